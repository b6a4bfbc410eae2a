/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS on a transport's descriptor.  OpenSSL reads ahead, so that records cost one system call
 * and not two; what it then holds is reported as buffered input.  It reaches the descriptor through
 * a BIO of ours, which knows without a system call when nothing is there.  The library's error
 * queue is empty before each call and drained after a failure; its texts name reasons and never
 * keys.
 */
#include "common/io/transport_tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "common/io/tls_sessions.h"

/* --- failures -------------------------------------------------------------- */

static const char *tls_failure_reason(const struct transport *transport, int kind, int os_error)
{
    long verified = SSL_get_verify_result(transport->ssl);
    unsigned long code = ERR_peek_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    if ((SSL_get_verify_mode(transport->ssl) & SSL_VERIFY_PEER) && verified != X509_V_OK)
        return X509_verify_cert_error_string(verified);
    if (kind == SSL_ERROR_ZERO_RETURN || (!reason && os_error == 0))
        return "closed by the peer";
    return reason ? reason : strerror(os_error);
}

/* Nothing may be asked of an SSL object any more that failed in this way. */
static void tls_break(struct transport *transport, const char *operation, int kind, int os_error)
{
    if (transport->error_text[0] == '\0')
        snprintf(transport->error_text, sizeof(transport->error_text), "TLS %s: %s", operation,
                 tls_failure_reason(transport, kind, os_error));
    ERR_clear_error();
    transport->error = kind == SSL_ERROR_SYSCALL && os_error != 0 ? os_error : EPROTO;
    transport->handshake = TRANSPORT_NOT_SECURED;
    transport->input = TRANSPORT_INPUT_BROKEN;
    transport->output = TRANSPORT_OUTPUT_BROKEN;
    transport->plain_left = 0;
    bytes_wipe(&transport->pending);
}

/* --- the descriptor --------------------------------------------------------- */

static int tls_bio_read(BIO *bio, char *target, int size)
{
    struct transport *transport = BIO_get_data(bio);
    ssize_t count = -1;

    BIO_clear_retry_flags(bio);
    if (!transport->is_dry)
        count = transport_receive(transport, target, (size_t)size);
    if (count < 0 && transport->is_dry)
        BIO_set_retry_read(bio);
    if (count == 0)
        BIO_set_flags(bio, BIO_FLAGS_IN_EOF);
    return (int)count;
}

static int tls_bio_write(BIO *bio, const char *source, int size)
{
    const struct transport *transport = BIO_get_data(bio);
    ssize_t count;

    BIO_clear_retry_flags(bio);
    do
        count = send(transport->fd, source, (size_t)size, MSG_NOSIGNAL);
    while (count < 0 && errno == EINTR);
    if (count < 0 && errno == EAGAIN)
        BIO_set_retry_write(bio);
    return (int)count;
}

static long tls_bio_control(BIO *bio, int command, long number, void *pointer)
{
    (void)number;
    (void)pointer;
    if (command == BIO_CTRL_EOF)
        return BIO_test_flags(bio, BIO_FLAGS_IN_EOF) != 0;
    return command == BIO_CTRL_FLUSH;
}

/* Made once in a process; NULL when there is no memory for it. */
static BIO_METHOD *tls_bio_method(void)
{
    static BIO_METHOD *method;

    if (method)
        return method;
    method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "transport");
    if (method) {
        BIO_meth_set_read(method, tls_bio_read);
        BIO_meth_set_write(method, tls_bio_write);
        BIO_meth_set_ctrl(method, tls_bio_control);
    }
    return method;
}

static bool tls_attach_descriptor(struct transport *transport)
{
    BIO_METHOD *method = tls_bio_method();
    BIO *bio = method ? BIO_new(method) : NULL;

    if (!bio)
        return false;
    BIO_set_data(bio, transport);
    BIO_set_init(bio, 1);
    SSL_set_bio(transport->ssl, bio, bio);
    return true;
}

/* --- start ----------------------------------------------------------------- */

static bool tls_attach(struct transport *transport, SSL_CTX *context)
{
    ERR_clear_error();
    transport->ssl = SSL_new(context);
    if (!transport->ssl || !tls_attach_descriptor(transport)) {
        tls_break(transport, "start", SSL_ERROR_SSL, ENOMEM);
        return false;
    }
    return true;
}

bool transport_tls_start_server(struct transport *transport, SSL_CTX *context)
{
    if (!tls_attach(transport, context))
        return false;
    SSL_set_accept_state(transport->ssl);
    return true;
}

static bool text_is_ip_address(const char *text)
{
    struct in6_addr address;

    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

static bool tls_expect_name(SSL *ssl, const char *name)
{
    if (text_is_ip_address(name))
        return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
    SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

bool transport_tls_start_client(struct transport *transport, SSL_CTX *context,
                                const char *verify_name, const char *peer)
{
    if (!tls_attach(transport, context))
        return false;
    SSL_set_connect_state(transport->ssl);
    if (!verify_name || tls_expect_name(transport->ssl, verify_name)) {
        if (peer)
            tls_sessions_offer(transport->ssl, verify_name, peer);
        return true;
    }
    tls_break(transport, "start", SSL_ERROR_SSL, EINVAL);
    return false;
}

/* --- handshake ------------------------------------------------------------- */

/* Whether anything is left to be read, in the library or in the descriptor. */
static enum transport_input tls_input_state(const struct transport *transport)
{
    if (SSL_has_pending(transport->ssl))
        return TRANSPORT_INPUT_BUFFERED;
    return transport->is_dry ? TRANSPORT_INPUT_DRAINED : TRANSPORT_INPUT_READY;
}

void transport_tls_advance(struct transport *transport)
{
    int result, kind, os_error;

    ERR_clear_error();
    errno = 0;
    result = SSL_do_handshake(transport->ssl);
    os_error = errno;
    transport->tls_wants = 0;
    if (result == 1) {
        transport->handshake = TRANSPORT_IS_SECURED;
        transport->input = tls_input_state(transport);
        return;
    }
    kind = SSL_get_error(transport->ssl, result);
    if (kind == SSL_ERROR_WANT_WRITE)
        transport->tls_wants = TRANSPORT_TLS_READ_WANTS_WRITABLE;
    else if (kind != SSL_ERROR_WANT_READ)
        tls_break(transport, "handshake", kind, os_error);
}

/* --- input and output ------------------------------------------------------ */

/* A read gave nothing: leaves the input in the state that says why. */
static void tls_note_read_failure(struct transport *transport, int kind, int os_error)
{
    switch (kind) {
    case SSL_ERROR_WANT_WRITE:
        transport->tls_wants |= TRANSPORT_TLS_READ_WANTS_WRITABLE;
        transport->input = TRANSPORT_INPUT_DRAINED;
        break;
    case SSL_ERROR_WANT_READ:
        transport->input = TRANSPORT_INPUT_DRAINED;
        break;
    case SSL_ERROR_ZERO_RETURN:
        transport->input = TRANSPORT_INPUT_ENDED;
        break;
    default:
        tls_break(transport, "read", kind, os_error);
    }
}

static ssize_t tls_read_nothing(const struct transport *transport)
{
    switch (transport->input) {
    case TRANSPORT_INPUT_ENDED:
        return TRANSPORT_END;
    case TRANSPORT_INPUT_BROKEN:
        return TRANSPORT_ERROR;
    default:
        return TRANSPORT_AGAIN;
    }
}

/* Takes as many records as fit, so that whoever relays them writes once. */
ssize_t transport_tls_read(struct transport *transport, char *target, size_t size)
{
    size_t total = 0;

    do {
        size_t count = 0;
        int result;

        ERR_clear_error();
        errno = 0;
        result = SSL_read_ex(transport->ssl, target + total, size - total, &count);
        if (result != 1) {
            int os_error = errno;

            tls_note_read_failure(transport, SSL_get_error(transport->ssl, result), os_error);
            return total > 0 ? (ssize_t)total : tls_read_nothing(transport);
        }
        total += count;
        transport->input = tls_input_state(transport);
    } while (total < size && transport->input == TRANSPORT_INPUT_BUFFERED);
    return (ssize_t)total;
}

ssize_t transport_tls_write(struct transport *transport, struct span bytes)
{
    size_t count = 0;
    int result, kind, os_error;

    ERR_clear_error();
    errno = 0;
    result = SSL_write_ex(transport->ssl, bytes.data, bytes.length, &count);
    if (result == 1)
        return (ssize_t)count;
    os_error = errno;
    kind = SSL_get_error(transport->ssl, result);
    if (kind == SSL_ERROR_WANT_READ)
        transport->tls_wants |= TRANSPORT_TLS_WRITE_WANTS_READABLE;
    else if (kind != SSL_ERROR_WANT_WRITE) {
        tls_break(transport, "write", kind, os_error);
        return TRANSPORT_ERROR;
    }
    transport->output = TRANSPORT_OUTPUT_BLOCKED;
    return 0;
}

bool transport_tls_shutdown(struct transport *transport)
{
    int result;

    ERR_clear_error();
    result = SSL_shutdown(transport->ssl);
    if (result >= 0 || SSL_get_error(transport->ssl, result) != SSL_ERROR_WANT_WRITE) {
        ERR_clear_error();
        return true;
    }
    return false;
}
