/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What nginx's mail proxy needs beside it: an HTTP service that tells where an account lives,
 * written as cheaply as it can be, one LDAP search a login.
 *
 *     auth_http ENDPOINT LDAP_URI BIND_DN PASSWORD_FILE BASE HOST=ADDRESS...
 *
 * The port of the backend is by the Auth-Protocol: 1143 or 1110, as all backends of a bench have.
 */
#include <ldap.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "tests/bench/stream.h"

enum { THREADS = 4 };

static struct {
    int fd;
    char *uri, *bind_dn, *base, **hosts;
    char password[256];
} service;

static LDAP *connect_ldap(void)
{
    struct berval credentials = { .bv_val = service.password, .bv_len = strlen(service.password) };
    int version = LDAP_VERSION3;
    LDAP *ldap;

    if (ldap_initialize(&ldap, service.uri) != LDAP_SUCCESS ||
        ldap_set_option(ldap, LDAP_OPT_PROTOCOL_VERSION, &version) != LDAP_OPT_SUCCESS ||
        ldap_sasl_bind_s(ldap, service.bind_dn, LDAP_SASL_SIMPLE, &credentials, NULL, NULL, NULL) !=
            LDAP_SUCCESS)
        bench_die(service.uri);
    return ldap;
}

static const char *address_of_host(const struct berval *host)
{
    for (char **pair = service.hosts; *pair; pair++)
        if (strncmp(*pair, host->bv_val, host->bv_len) == 0 && (*pair)[host->bv_len] == '=')
            return *pair + host->bv_len + 1;
    return NULL;
}

/* The address of the backend that `user` lives on, or NULL. */
static const char *find_backend(LDAP *ldap, const char *user)
{
    char attribute[] = "hostServer";
    char *attributes[] = { attribute, NULL };
    char filter[512];
    LDAPMessage *answer = NULL, *entry;
    struct berval **values;
    const char *address = NULL;

    snprintf(filter, sizeof(filter), "(mail=%.400s)", user);
    if (ldap_search_ext_s(ldap, service.base, LDAP_SCOPE_ONELEVEL, filter, attributes, 0, NULL,
                          NULL, NULL, 0, &answer) == LDAP_SUCCESS &&
        (entry = ldap_first_entry(ldap, answer)) &&
        (values = ldap_get_values_len(ldap, entry, attributes[0]))) {
        address = address_of_host(values[0]);
        ldap_value_free_len(values);
    }
    ldap_msgfree(answer);
    return address;
}

static void serve(struct stream *stream, LDAP *ldap)
{
    char user[256] = "";
    bool is_imap = true;
    const char *address;
    char *line;

    while ((line = stream_line(stream)) && *line) {
        if (strncasecmp(line, "Auth-User: ", 11) == 0)
            snprintf(user, sizeof(user), "%.255s", line + 11);
        else if (strncasecmp(line, "Auth-Protocol: ", 15) == 0)
            is_imap = strcmp(line + 15, "imap") == 0;
    }
    address = line ? find_backend(ldap, user) : NULL;
    if (address)
        (void)stream_print(stream,
                           "HTTP/1.0 200 OK\r\nAuth-Status: OK\r\nAuth-Server: %s\r\nAuth-Port: "
                           "%d\r\n\r\n",
                           address, is_imap ? 1143 : 1110);
    else
        (void)stream_print(stream, "HTTP/1.0 200 OK\r\nAuth-Status: Invalid login\r\n\r\n");
}

static void *run(void *unused)
{
    LDAP *ldap = connect_ldap();
    struct stream *stream = malloc(sizeof(*stream));

    (void)unused;
    if (!stream)
        bench_die("malloc");
    for (;;) {
        int fd = accept(service.fd, NULL, NULL);

        if (fd < 0)
            bench_die("accept");
        stream_init(stream, fd);
        serve(stream, ldap);
        stream_close(stream);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    FILE *file;

    if (argc < 7 || !(file = fopen(argv[4], "re")) ||
        !fgets(service.password, sizeof(service.password), file)) {
        fprintf(stderr,
                "usage: auth_http ENDPOINT LDAP_URI BIND_DN PASSWORD_FILE BASE HOST=ADDRESS...\n");
        return 2;
    }
    fclose(file);
    service.fd = stream_listen(argv[1]);
    service.uri = argv[2];
    service.bind_dn = argv[3];
    service.base = argv[5];
    service.hosts = argv + 6;
    for (int i = 1; i < THREADS; i++)
        if (pthread_create(&thread, NULL, run, NULL))
            bench_die("thread");
    run(NULL);
}
