/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the provider's answer to a change until a frontend routes by it.
 *
 *     follow LDAP_URI BIND_DN PASSWORD_FILE FRONTEND DN ADDRESS COUNT HOST=ENDPOINT HOST=ENDPOINT
 *
 * COUNT times (0: until standard input ends) gives the account the other hostServer, and from
 * the answer on asks the frontend over one open SMTP connection where ADDRESS goes: the sinks
 * tell their own address in the reply to RCPT.  Prints milliseconds as JSON.  What a
 * question and its reply take (ask_ms) is part of each figure.
 */
#include <ldap.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/bench/stream.h"

enum { CHANGES_MAX = 1000000, PAUSE_US = 7000, PATIENCE_MS = 30000 };

static struct {
    LDAP *ldap;
    char *dn, *address;
    char hosts[2][64];
    const char *endpoints[2];
    struct stream smtp;
    double asked_ms, asked; /* in all, and how often */
} bench;

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;

    return difference < 0 ? -1 : difference > 0;
}

static void connect_ldap(const char *uri, const char *bind_dn, const char *password_file)
{
    char password[256] = "";
    FILE *file = fopen(password_file, "r");
    struct berval credentials = { .bv_val = password };
    int version = LDAP_VERSION3;

    if (!file || !fgets(password, sizeof(password), file))
        bench_die(password_file);
    fclose(file);
    credentials.bv_len = strcspn(password, "\n");
    if (ldap_initialize(&bench.ldap, uri) != LDAP_SUCCESS ||
        ldap_set_option(bench.ldap, LDAP_OPT_PROTOCOL_VERSION, &version) != LDAP_OPT_SUCCESS ||
        ldap_sasl_bind_s(bench.ldap, bind_dn, LDAP_SASL_SIMPLE, &credentials, NULL, NULL, NULL) !=
            LDAP_SUCCESS)
        bench_die(uri);
}

static void change(unsigned which)
{
    char attribute[] = "hostServer";
    char *values[] = { bench.hosts[which], NULL };
    LDAPMod replace = { .mod_op = LDAP_MOD_REPLACE,
                        .mod_type = attribute,
                        .mod_vals = { .modv_strvals = values } };
    LDAPMod *changes[] = { &replace, NULL };
    int code = ldap_modify_ext_s(bench.ldap, bench.dn, changes, NULL, NULL);

    if (code != LDAP_SUCCESS) {
        fprintf(stderr, "follow: %s: %s\n", bench.dn, ldap_err2string(code));
        exit(1);
    }
}

static const char *expect_reply(const char *code)
{
    char *line;

    do {
        line = stream_line(&bench.smtp);
        if (!line || strncmp(line, code, 3) != 0) {
            fprintf(stderr, "follow: the frontend said \"%s\", not %s\n", line ? line : "", code);
            exit(1);
        }
    } while (line[3] == '-');
    return line;
}

/* Whether the frontend sends the address to host number `which` now. */
static bool is_routed(unsigned which)
{
    double began = now_ms();
    bool is_there;

    if (!stream_print(&bench.smtp, "MAIL FROM:<bench@example.com>\r\nRCPT TO:<%s>\r\nRSET\r\n",
                      bench.address))
        bench_die("the frontend");
    expect_reply("250");
    is_there = strstr(expect_reply("250"), bench.endpoints[which]) != NULL;
    expect_reply("250");
    bench.asked_ms += now_ms() - began;
    bench.asked++;
    return is_there;
}

static double follow(unsigned which)
{
    double began;

    change(which);
    began = now_ms();
    while (!is_routed(which))
        if (now_ms() - began > PATIENCE_MS) {
            fprintf(stderr, "follow: the frontend does not follow\n");
            exit(1);
        }
    return now_ms() - began;
}

static bool is_over(size_t done, size_t count)
{
    struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

    if (count > 0)
        return done >= count;
    return done >= CHANGES_MAX || poll(&input, 1, 0) > 0;
}

static void take_host(unsigned which, const char *pair)
{
    const char *equals = strchr(pair, '=');

    if (!equals || (size_t)(equals - pair) >= sizeof(bench.hosts[which]))
        bench_die(pair);
    memcpy(bench.hosts[which], pair, (size_t)(equals - pair));
    bench.endpoints[which] = equals + 1;
}

int main(int argc, char **argv)
{
    double *took = calloc(CHANGES_MAX, sizeof(*took));
    size_t done = 0, count;

    if (argc != 10 || !took) {
        fprintf(stderr, "usage: see tests/bench/follow.c\n");
        return 2;
    }
    connect_ldap(argv[1], argv[2], argv[3]);
    bench.dn = argv[5];
    bench.address = argv[6];
    count = strtoul(argv[7], NULL, 10);
    take_host(0, argv[8]);
    take_host(1, argv[9]);
    if (!stream_connect(&bench.smtp, argv[4], NULL))
        bench_die(argv[4]);
    expect_reply("220");
    (void)stream_print(&bench.smtp, "EHLO bench.example.com\r\n");
    expect_reply("250");
    (void)follow(0);
    for (; !is_over(done, count); done++) {
        took[done] = follow((unsigned)(done + 1) % 2);
        usleep(PAUSE_US);
    }
    if (done == 0)
        return 1;
    qsort(took, done, sizeof(*took), compare);
    printf("{\"changes\": %zu, \"p50_ms\": %.2f, \"p99_ms\": %.2f, \"max_ms\": %.2f, "
           "\"ask_ms\": %.2f}\n",
           done, took[done / 2], took[done * 99 / 100], took[done - 1],
           bench.asked_ms / bench.asked);
    free(took);
    ldap_unbind_ext_s(bench.ldap, NULL, NULL);
    return 0;
}
