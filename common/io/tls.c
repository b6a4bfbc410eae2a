/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts: what both sides have in common, and the client's.  Made at start and at a
 * reload, immutable from then on.  Failures are returned as a text that names the part and
 * OpenSSL's reason.
 */
#include "common/io/tls_private.h"

#include <openssl/err.h>
#include <stdio.h>

#include "common/io/tls_sessions.h"

/*
 * One read(2) takes up to four full TLS 1.3 records (5 bytes of header, 16384 of content, 17 of
 * type and tag) behind OpenSSL's 3 bytes of alignment.  A few
 * bytes less would cost another call for the tail.  The buffer is only there while input is.
 */
enum { TLS_READ_BUFFER_SIZE = 4 * (5 + 16384 + 17) + 3 };

void tls_describe(const char *what, char error[TLS_ERROR_SIZE])
{
    unsigned long code = ERR_peek_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    snprintf(error, TLS_ERROR_SIZE, "%s: %s", what, reason ? reason : "not usable");
    ERR_clear_error();
}

SSL_CTX *tls_context_new(const SSL_METHOD *method)
{
    SSL_CTX *context;

    ERR_clear_error();
    context = SSL_CTX_new(method);
    if (!context)
        return NULL;
    SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                     SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, TLS_READ_BUFFER_SIZE);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    return context;
}

/* Frees `context` and says why; the result is NULL. */
static SSL_CTX *tls_client_fail(SSL_CTX *context, const char *what, char error[TLS_ERROR_SIZE])
{
    tls_describe(what, error);
    SSL_CTX_free(context);
    return NULL;
}

SSL_CTX *tls_client_context(const char *ca_file, bool verify, char error[TLS_ERROR_SIZE])
{
    SSL_CTX *context = tls_context_new(TLS_client_method());
    int is_loaded = 1;

    if (!context || !tls_sessions_keep(context))
        return tls_client_fail(context, "TLS context", error);
    if (!verify) {
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        return context;
    }
    is_loaded = ca_file ? SSL_CTX_load_verify_file(context, ca_file)
                        : SSL_CTX_set_default_verify_paths(context);
    if (is_loaded != 1)
        return tls_client_fail(context, ca_file ? ca_file : "system's CA store", error);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return context;
}
