/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS contexts.  Made at start and at a reload, immutable from then on.  It reads no key file
 * (the supervisor does) and never asks for a passphrase: an encrypted key is an error.
 * Failures are returned as a text that names the part and OpenSSL's reason.
 */
#include "common/io/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <string.h>

/*
 * One read(2) takes up to four full TLS 1.3 records (5 bytes of header, 16384 of content, 17 of
 * type and tag) behind OpenSSL's 3 bytes of alignment.  A few
 * bytes less would cost another call for the tail.  The buffer is only there while input is.
 */
enum { TLS_READ_BUFFER_SIZE = 4 * (5 + 16384 + 17) + 3 };

/* Describes the failure, drains OpenSSL's queue, frees `context`; the result is NULL. */
static SSL_CTX *tls_fail(SSL_CTX *context, const char *what, char error[TLS_ERROR_SIZE])
{
    unsigned long code = ERR_peek_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;

    snprintf(error, TLS_ERROR_SIZE, "%s: %s", what, reason ? reason : "not usable");
    ERR_clear_error();
    SSL_CTX_free(context);
    return NULL;
}

static SSL_CTX *tls_context_new(const SSL_METHOD *method)
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

/* In place of OpenSSL's own, which would ask at the terminal. */
static int tls_no_passphrase(char *text, int size, int is_writing, void *context)
{
    (void)text;
    (void)size;
    (void)is_writing;
    (void)context;
    return -1;
}

/* The rest of the PEM text: the intermediate certificates, up to its end. */
static bool tls_use_intermediates(SSL_CTX *context, BIO *bio)
{
    X509 *certificate;

    while ((certificate = PEM_read_bio_X509(bio, NULL, tls_no_passphrase, NULL)))
        if (SSL_CTX_add0_chain_cert(context, certificate) != 1) {
            X509_free(certificate);
            return false;
        }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
        return false;
    ERR_clear_error();
    return true;
}

static bool tls_use_certificate(SSL_CTX *context, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *leaf = bio ? PEM_read_bio_X509_AUX(bio, NULL, tls_no_passphrase, NULL) : NULL;
    bool is_used =
        leaf && SSL_CTX_use_certificate(context, leaf) == 1 && tls_use_intermediates(context, bio);

    X509_free(leaf);
    BIO_free(bio);
    return is_used;
}

static bool tls_use_key(SSL_CTX *context, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, tls_no_passphrase, NULL) : NULL;
    bool is_used = key && SSL_CTX_use_PrivateKey(context, key) == 1;

    EVP_PKEY_free(key);
    BIO_free(bio);
    return is_used;
}

SSL_CTX *tls_server_context(const char *certificate, const char *key,
                            const unsigned char *ticket_key, char error[TLS_ERROR_SIZE])
{
    static const unsigned char session_context[] = "mailstead";
    SSL_CTX *context = tls_context_new(TLS_server_method());

    if (!context)
        return tls_fail(context, "TLS context", error);
    if (!tls_use_certificate(context, certificate))
        return tls_fail(context, "certificate", error);
    if (!tls_use_key(context, key))
        return tls_fail(context, "key", error);
    if (SSL_CTX_check_private_key(context) != 1)
        return tls_fail(context, "key and certificate", error);
    /* SSL_CTX_set_tlsext_ticket_keys copies; its parameter only lacks the const. */
    if (ticket_key && SSL_CTX_set_tlsext_ticket_keys(context, (void *)(uintptr_t)ticket_key,
                                                     TLS_TICKET_KEY_SIZE) != 1)
        return tls_fail(context, "ticket key", error);
    SSL_CTX_set_session_id_context(context, session_context, sizeof(session_context) - 1);
    SSL_CTX_set_num_tickets(context, 1);
    return context;
}

SSL_CTX *tls_client_context(const char *ca_file, bool verify, char error[TLS_ERROR_SIZE])
{
    SSL_CTX *context = tls_context_new(TLS_client_method());
    int is_loaded = 1;

    if (!context)
        return tls_fail(context, "TLS context", error);
    if (!verify) {
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        return context;
    }
    is_loaded = ca_file ? SSL_CTX_load_verify_file(context, ca_file)
                        : SSL_CTX_set_default_verify_paths(context);
    if (is_loaded != 1)
        return tls_fail(context, ca_file ? ca_file : "system's CA store", error);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return context;
}
