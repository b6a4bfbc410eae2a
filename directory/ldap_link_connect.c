/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates are always verified: the password goes to whoever answers.  A failure leaves
 * nothing behind but its reason, which holds no secret.
 */
#include "directory/ldap_link_connect.h"

#include <lber.h>
#include <ldap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

#include "common/base/memory.h"

enum {
    CONNECT_INCOMING_MAX = 16 * 1024 * 1024, /* of one message from the server */
    CONNECT_KEEPALIVE_S = 30,
    CONNECT_LOST_AFTER_MS = 60000 /* not acknowledged by the peer's TCP */
};

static const char connect_system_authorities[] = "/etc/ssl/certs/ca-certificates.crt";

void ldap_link_explain(LDAP *ld, const char *what, int code, char reason[LDAP_REASON_SIZE])
{
    char *explanation = NULL;

    if (ld)
        ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &explanation);
    if (explanation && *explanation)
        snprintf(reason, LDAP_REASON_SIZE, "%s: %s (%s)", what, ldap_err2string(code), explanation);
    else
        snprintf(reason, LDAP_REASON_SIZE, "%s: %s", what, ldap_err2string(code));
    ldap_memfree(explanation);
}

static void connect_set_number(LDAP *ld, int option, int number)
{
    ldap_set_option(ld, option, &number);
}

static void connect_set_tls(LDAP *ld, const char *ca)
{
    char *configured = NULL;

    ldap_get_option(NULL, LDAP_OPT_X_TLS_CACERTFILE, &configured);
    if (!ca && !configured && access(connect_system_authorities, R_OK) == 0)
        ca = connect_system_authorities;
    if (ca)
        ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, ca);
    ldap_memfree(configured);
    connect_set_number(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, LDAP_OPT_X_TLS_DEMAND);
    connect_set_number(ld, LDAP_OPT_X_TLS_NEWCTX, 0);
}

/* --- the watch: a way to end what waits, from another thread ---------------------- */

struct connect_watch {
    struct ldap_conncb callbacks;
    uv_mutex_t mutex; /* over what follows */
    int fd;           /* connected and not yet closed, or -1 */
    bool is_aborted;
};

void connect_watch_abort(struct connect_watch *watch)
{
    uv_mutex_lock(&watch->mutex);
    watch->is_aborted = true;
    if (watch->fd >= 0)
        (void)shutdown(watch->fd, SHUT_RDWR);
    uv_mutex_unlock(&watch->mutex);
}

/* libldap has connected, and will shake hands next, which it does without any timeout. */
static int connect_on_connected(LDAP *ld, Sockbuf *stream, LDAPURLDesc *server,
                                struct sockaddr *address, struct ldap_conncb *callbacks)
{
    struct connect_watch *watch = callbacks->lc_arg;
    bool is_aborted;

    (void)ld;
    (void)server;
    (void)address;
    uv_mutex_lock(&watch->mutex);
    ber_sockbuf_ctrl(stream, LBER_SB_OPT_GET_FD, &watch->fd);
    is_aborted = watch->is_aborted;
    uv_mutex_unlock(&watch->mutex);
    return is_aborted ? -1 : 0;
}

/* The descriptor is about to be closed: its number may soon be another's. */
static void connect_on_closing(LDAP *ld, Sockbuf *stream, struct ldap_conncb *callbacks)
{
    struct connect_watch *watch = callbacks->lc_arg;

    (void)ld;
    (void)stream;
    uv_mutex_lock(&watch->mutex);
    watch->fd = -1;
    uv_mutex_unlock(&watch->mutex);
}

struct connect_watch *connect_watch_new(void)
{
    struct connect_watch *watch = memory_new(sizeof(*watch));

    watch->callbacks = (struct ldap_conncb){ connect_on_connected, connect_on_closing, watch };
    watch->fd = -1;
    if (uv_mutex_init(&watch->mutex) != 0)
        memory_exhausted();
    return watch;
}

void connect_watch_free(struct connect_watch *watch)
{
    uv_mutex_destroy(&watch->mutex);
    free(watch);
}

/* --- connecting --------------------------------------------------------------------- */

static void connect_set_options(LDAP *ld, const struct ldap_settings *settings)
{
    struct timeval timeout = { settings->timeout_ms / 1000, settings->timeout_ms % 1000 * 1000 };

    connect_set_number(ld, LDAP_OPT_PROTOCOL_VERSION, LDAP_VERSION3);
    ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
    ldap_set_option(ld, LDAP_OPT_RESTART, LDAP_OPT_OFF);
    connect_set_number(ld, LDAP_OPT_DEREF, LDAP_DEREF_NEVER);
    connect_set_number(ld, LDAP_OPT_SIZELIMIT, LDAP_NO_LIMIT);
    connect_set_number(ld, LDAP_OPT_TIMELIMIT, LDAP_NO_LIMIT);
    ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &timeout);
    ldap_set_option(ld, LDAP_OPT_TIMEOUT, &timeout);
    connect_set_number(ld, LDAP_OPT_X_KEEPALIVE_IDLE, CONNECT_KEEPALIVE_S);
    connect_set_number(ld, LDAP_OPT_X_KEEPALIVE_INTERVAL, CONNECT_KEEPALIVE_S / 3);
    connect_set_number(ld, LDAP_OPT_X_KEEPALIVE_PROBES, 3);
    connect_set_number(ld, LDAP_OPT_TCP_USER_TIMEOUT, CONNECT_LOST_AFTER_MS);
    if (strncmp(settings->uri, "ldapi:", 6) != 0)
        connect_set_tls(ld, settings->ca);
}

/*
 * Limits what one message from the server may make us allocate, and has many small ones taken by
 * one read: else libldap asks, and reads twice, for each.  Such a read must never wait: the
 * descriptor does not block once libuv watches it.
 */
static void connect_set_reading(LDAP *ld)
{
    ber_len_t limit = CONNECT_INCOMING_MAX;
    Sockbuf *stream = NULL;

    if (ldap_get_option(ld, LDAP_OPT_SOCKBUF, &stream) != LDAP_OPT_SUCCESS || !stream)
        return;
    ber_sockbuf_ctrl(stream, LBER_SB_OPT_SET_MAX_INCOMING, &limit);
    ber_sockbuf_add_io(stream, &ber_sockbuf_io_readahead, LBER_SBIOD_LEVEL_PROVIDER, NULL);
}

static int connect_bind(LDAP *ld, const struct ldap_settings *settings)
{
    bool is_external = !settings->bind_dn && strncmp(settings->uri, "ldapi:", 6) == 0;
    /* An empty initial response: we are who the socket says that we are (RFC 4422 appendix A). */
    const char *secret = is_external || !settings->password ? "" : settings->password;
    struct berval password = { strlen(secret), (char *)(uintptr_t)secret };
    struct berval *answer = NULL;
    int code = ldap_sasl_bind_s(ld, settings->bind_dn ? settings->bind_dn : "",
                                is_external ? "EXTERNAL" : LDAP_SASL_SIMPLE, &password, NULL, NULL,
                                is_external ? &answer : NULL);

    ber_bvfree(answer);
    return code;
}

/* Secures and binds; false and the reason when either fails. */
static bool connect_log_in(LDAP *ld, const struct ldap_settings *settings,
                           char reason[LDAP_REASON_SIZE])
{
    int code = LDAP_SUCCESS;

    if (settings->starttls && strncmp(settings->uri, "ldap:", 5) == 0)
        code = ldap_start_tls_s(ld, NULL, NULL);
    if (code != LDAP_SUCCESS) {
        ldap_link_explain(ld, code == LDAP_SERVER_DOWN ? "connect" : "StartTLS", code, reason);
        return false;
    }
    code = connect_bind(ld, settings);
    if (code != LDAP_SUCCESS)
        ldap_link_explain(ld, code == LDAP_SERVER_DOWN ? "connect" : "bind", code, reason);
    return code == LDAP_SUCCESS;
}

LDAP *ldap_link_connect(const struct ldap_settings *settings, struct connect_watch *watch,
                        char reason[LDAP_REASON_SIZE])
{
    LDAP *ld = NULL;
    int code = ldap_initialize(&ld, settings->uri);

    if (code != LDAP_SUCCESS) {
        ldap_link_explain(NULL, settings->uri, code, reason);
        return NULL;
    }
    connect_set_options(ld, settings);
    ldap_set_option(ld, LDAP_OPT_CONNECT_CB, &watch->callbacks);
    if (!connect_log_in(ld, settings, reason)) {
        ldap_unbind_ext(ld, NULL, NULL);
        if (watch->is_aborted)
            snprintf(reason, LDAP_REASON_SIZE, "connect: no answer in time");
        return NULL;
    }
    connect_set_reading(ld);
    return ld;
}
