/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is at the other end: certificates are judged inside the handshake, so that nothing of a
 * stranger is parsed as HTTP.  A refused one is one line in the log with the peer's address.
 */
#include <gnutls/x509.h>
#include <sys/socket.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/io/listener.h"
#include "common/service/admin_port_private.h"

static void log_refused(const struct admin_peer *peer, const char *why)
{
    LOG_EVENT(LOG_LEVEL_WARNING, NULL, "admin_client_refused", LOG_TEXT("peer", peer->address),
              LOG_TEXT("name", *peer->name ? peer->name : NULL), LOG_TEXT("why", why));
}

/* --- names --------------------------------------------------------------------------- */

/* Keeps the best role; without any, the first name is kept for the log. */
static void take_name(struct admin_peer *peer, const char *name, size_t size)
{
    enum admin_role role;

    if (size == 0 || size >= ADMIN_NAME_SIZE || strlen(name) != size)
        return;
    role = admin_role_of(&peer->port->child->config->admin_port, name);
    if (*peer->name && role <= peer->role)
        return;
    memcpy(peer->name, name, size + 1);
    peer->role = role;
}

static void take_common_names(struct admin_peer *peer, gnutls_x509_crt_t certificate)
{
    int result = 0;

    for (unsigned i = 0; result != GNUTLS_E_REQUESTED_DATA_NOT_AVAILABLE; i++) {
        char name[ADMIN_NAME_SIZE] = "";
        size_t size = sizeof(name);

        result = gnutls_x509_crt_get_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, i, 0, name,
                                               &size);
        if (result == 0)
            take_name(peer, name, size);
        else if (result != GNUTLS_E_SHORT_MEMORY_BUFFER)
            return;
    }
}

static void take_alternative_names(struct admin_peer *peer, gnutls_x509_crt_t certificate)
{
    int type = 0;

    for (unsigned i = 0; type >= 0 || type == GNUTLS_E_SHORT_MEMORY_BUFFER; i++) {
        char name[ADMIN_NAME_SIZE] = "";
        size_t size = sizeof(name) - 1;

        type = gnutls_x509_crt_get_subject_alt_name(certificate, i, name, &size, NULL);
        if (type == GNUTLS_SAN_DNSNAME || type == GNUTLS_SAN_RFC822NAME || type == GNUTLS_SAN_URI)
            take_name(peer, name, size);
    }
}

static bool read_names(struct admin_peer *peer, const gnutls_datum_t *der)
{
    gnutls_x509_crt_t certificate;
    bool is_read;

    if (gnutls_x509_crt_init(&certificate) != 0)
        return false;
    is_read = gnutls_x509_crt_import(certificate, der, GNUTLS_X509_FMT_DER) == 0;
    if (is_read) {
        take_common_names(peer, certificate);
        take_alternative_names(peer, certificate);
    }
    gnutls_x509_crt_deinit(certificate);
    return is_read;
}

/* --- the handshake --------------------------------------------------------------------- */

static const char *explain(unsigned status)
{
    static const struct {
        unsigned bit;
        const char *why;
    } rows[] = { { GNUTLS_CERT_EXPIRED, "its certificate has ended" },
                 { GNUTLS_CERT_NOT_ACTIVATED, "its certificate is not valid yet" },
                 { GNUTLS_CERT_SIGNER_NOT_FOUND, "its certificate is of another authority" },
                 { GNUTLS_CERT_SIGNER_NOT_CA, "its certificate is of another authority" },
                 { GNUTLS_CERT_PURPOSE_MISMATCH, "its certificate is not for clients" } };

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (status & rows[i].bit)
            return rows[i].why;
    return "its certificate is not valid";
}

/* GnuTLS's gnutls_certificate_verify_function; also called when the client has shown none. */
static int judge(gnutls_session_t session)
{
    gnutls_typed_vdata_st purpose = { .type = GNUTLS_DT_KEY_PURPOSE_OID,
                                      .data =
                                          (unsigned char *)(uintptr_t)GNUTLS_KP_TLS_WWW_CLIENT };
    struct admin_peer *peer = gnutls_session_get_ptr(session);
    unsigned count = 0, status = 0;
    const gnutls_datum_t *chain = gnutls_certificate_get_peers(session, &count);

    if (!chain || count == 0) {
        log_refused(peer, "it showed no certificate");
        gnutls_alert_send(session, GNUTLS_AL_FATAL, GNUTLS_A_CERTIFICATE_REQUIRED);
        return GNUTLS_E_CERTIFICATE_ERROR;
    }
    if (!read_names(peer, &chain[0]) ||
        gnutls_certificate_verify_peers(session, &purpose, 1, &status) != 0 || status != 0) {
        log_refused(peer, explain(status));
        gnutls_alert_send(session, GNUTLS_AL_FATAL, GNUTLS_A_UNKNOWN_CA);
        return GNUTLS_E_CERTIFICATE_ERROR;
    }
    peer->is_known = true;
    if (peer->role == ADMIN_ROLE_NONE)
        log_refused(peer, "no name of its certificate is in read or operate");
    return 0;
}

/* --- connections ------------------------------------------------------------------------ */

static void format_address(struct admin_peer *peer)
{
    struct sockaddr_storage address = { .ss_family = AF_UNSPEC };
    socklen_t length = sizeof(address);

    if (getpeername(peer->fd, (struct sockaddr *)&address, &length) == 0)
        peer_format(&address, peer->address);
}

static void *peer_start(struct admin_port *port, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *fd =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    const union MHD_ConnectionInfo *tls =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    struct admin_peer *peer = memory_new(sizeof(*peer));
    gnutls_session_t session = tls->tls_session;

    peer->port = port;
    peer->fd = fd->connect_fd;
    peer->opened_ms = clock_monotonic_ms();
    format_address(peer);
    list_append(&port->peers, &peer->node);
    gnutls_session_set_ptr(session, peer);
    gnutls_session_set_verify_function(session, judge);
    return peer;
}

void admin_peer_notify(void *context, struct MHD_Connection *connection, void **socket_context,
                       enum MHD_ConnectionNotificationCode code)
{
    struct admin_peer *peer = *socket_context;

    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        *socket_context = peer_start(context, connection);
        return;
    }
    list_remove(&peer->node);
    free(peer);
    *socket_context = NULL;
}

void admin_peers_tick(struct admin_port *port, uint64_t now_ms)
{
    LIST_EACH (node, &port->peers) {
        struct admin_peer *peer = LIST_ELEMENT(node, struct admin_peer, node);

        if (!peer->is_known && now_ms >= peer->opened_ms + ADMIN_HANDSHAKE_MS)
            shutdown(peer->fd, SHUT_RDWR); /* the library sees the end, and closes it */
    }
}
