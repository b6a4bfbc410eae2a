/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's TLS contexts: one for each set of names.  The first is the one that
 * connections begin with; it owns the others and the names that lead to them.
 *
 * It reads no key file (the supervisor does) and never asks for a passphrase: an encrypted key is
 * an error.
 */
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/map.h"
#include "common/base/memory.h"
#include "common/io/tls_certificate.h"
#include "common/io/tls_private.h"
#include "common/io/tls_tickets.h"

/* One name, and the context whose certificate has it. */
struct tls_host {
    struct map_node node;
    SSL_CTX *context;
    char name[TLS_NAME_SIZE];
};

/* One context and the names of its certificates. */
struct tls_choice {
    SSL_CTX *context;
    struct tls_names names;
};

struct tls_hosts {
    struct tls_choice *choices; /* owned; so are their contexts, but the first owns this */
    size_t count;
    struct map by_name;
};

/* --- one certificate and its key ------------------------------------------------- */

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
    X509 *leaf = bio ? tls_certificate_next(bio) : NULL;
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

/* Adds a certificate to a context, beside those with keys of other algorithms. */
static bool tls_use(SSL_CTX *context, const struct tls_certificate *certificate,
                    char error[TLS_ERROR_SIZE])
{
    const char *failed = NULL;

    if (!tls_use_certificate(context, certificate->certificate))
        failed = "certificate";
    else if (!tls_use_key(context, certificate->key))
        failed = "key";
    else if (SSL_CTX_check_private_key(context) != 1)
        failed = "key and certificate";
    if (failed)
        tls_describe(failed, error);
    return !failed;
}

bool tls_client_show(SSL_CTX *context, const struct tls_certificate *certificate,
                     char error[TLS_ERROR_SIZE])
{
    return tls_use(context, certificate, error);
}

/* --- certificates of clients ------------------------------------------------------- */

/* Whoever shows no good certificate is a client like any other. */
static int tls_let_pass(int is_good, X509_STORE_CTX *store)
{
    (void)is_good;
    (void)store;
    return 1;
}

/*
 * A session is not resumed where other authorities are asked for (or none), since the identity
 * would be resumed with it.
 */
static bool tls_name_sessions(SSL_CTX *context, bool has_authorities)
{
    STACK_OF(X509) *authorities =
        has_authorities ? X509_STORE_get1_all_certs(SSL_CTX_get_cert_store(context)) : NULL;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    unsigned char one[EVP_MAX_MD_SIZE], all[EVP_MAX_MD_SIZE];
    unsigned length = 0;
    bool is_named = digest && EVP_DigestInit_ex(digest, EVP_sha256(), NULL) == 1;

    for (int i = 0; is_named && i < sk_X509_num(authorities); i++)
        is_named = X509_digest(sk_X509_value(authorities, i), EVP_sha256(), one, &length) == 1 &&
                   EVP_DigestUpdate(digest, one, length) == 1;
    is_named = is_named && EVP_DigestFinal_ex(digest, all, &length) == 1 &&
               SSL_CTX_set_session_id_context(context, all, length) == 1;
    EVP_MD_CTX_free(digest);
    sk_X509_pop_free(authorities, X509_free);
    return is_named;
}

static bool tls_ask_clients(SSL_CTX *context, const char *file)
{
    STACK_OF(X509_NAME) * names;

    if (!file)
        return true;
    names = SSL_load_client_CA_file(file);
    if (!names)
        return false;
    SSL_CTX_set_client_CA_list(context, names);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, tls_let_pass);
    return SSL_CTX_load_verify_file(context, file) == 1;
}

/* --- contexts ------------------------------------------------------------------------ */

/* A context without a certificate yet. */
static SSL_CTX *tls_choice_context(const struct tls_server_options *options,
                                   char error[TLS_ERROR_SIZE])
{
    SSL_CTX *context = tls_context_new(TLS_server_method());
    const char *failed = NULL;

    if (!context)
        failed = "TLS context";
    else if (options->ciphers && SSL_CTX_set_cipher_list(context, options->ciphers) != 1)
        failed = "ciphers";
    else if (options->tickets && !tls_tickets_use(options->tickets, context))
        failed = "tickets";
    else if (!tls_ask_clients(context, options->client_ca_file))
        failed = options->client_ca_file;
    else if (!tls_name_sessions(context, options->client_ca_file))
        failed = "session context";
    if (!failed) {
        if (options->min_version == TLS_VERSION_1_3)
            SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
        SSL_CTX_set_num_tickets(context, 1);
        return context;
    }
    tls_describe(failed, error);
    SSL_CTX_free(context);
    return NULL;
}

/* Whether a context has a certificate whose key is of the algorithm of that of `other`. */
static bool tls_has_such_a_key(SSL_CTX *context, const X509 *other)
{
    int kind = EVP_PKEY_get_base_id(X509_get0_pubkey(other));
    long more = SSL_CTX_set_current_cert(context, SSL_CERT_SET_FIRST);

    while (more) {
        const X509 *leaf = SSL_CTX_get0_certificate(context);

        if (leaf && EVP_PKEY_get_base_id(X509_get0_pubkey(leaf)) == kind)
            return true;
        more = SSL_CTX_set_current_cert(context, SSL_CERT_SET_NEXT);
    }
    return false;
}

/* The context that a certificate joins; NULL: it needs its own. */
static SSL_CTX *tls_hosts_join(const struct tls_hosts *hosts, const struct tls_names *names,
                               const X509 *leaf)
{
    for (size_t i = 0; i < hosts->count; i++)
        if (tls_names_are_equal(&hosts->choices[i].names, names) &&
            !tls_has_such_a_key(hosts->choices[i].context, leaf))
            return hosts->choices[i].context;
    return NULL;
}

/* The names whose certificate `context` has, but those that an earlier one has. */
static void tls_hosts_enter(struct tls_hosts *hosts, const struct tls_names *names,
                            SSL_CTX *context)
{
    for (size_t i = 0; i < names->count; i++) {
        struct span name = span_from_string(names->items[i]);
        struct tls_host *host;

        if (map_find(&hosts->by_name, name))
            continue;
        host = memory_new(sizeof(*host));
        host->context = context;
        memcpy(host->name, names->items[i], sizeof(host->name));
        map_insert(&hosts->by_name, &host->node, span_of(host->name, name.length));
    }
}

/* Takes `names` over. */
static void tls_hosts_add(struct tls_hosts *hosts, struct tls_names *names, SSL_CTX *context)
{
    tls_hosts_enter(hosts, names, context);
    hosts->choices = memory_resize(hosts->choices, (hosts->count + 1) * sizeof(hosts->choices[0]));
    hosts->choices[hosts->count++] = (struct tls_choice){ context, *names };
}

static bool tls_hosts_take(struct tls_hosts *hosts, const struct tls_server_options *options,
                           const struct tls_certificate *certificate, char error[TLS_ERROR_SIZE])
{
    BIO *bio = BIO_new_mem_buf(certificate->certificate, -1);
    X509 *leaf = bio ? tls_certificate_next(bio) : NULL;
    struct tls_names names;
    SSL_CTX *joined = NULL, *own = NULL;

    BIO_free(bio);
    if (!leaf) {
        tls_describe("certificate", error);
        return false;
    }
    tls_names_read(&names, leaf);
    joined = tls_hosts_join(hosts, &names, leaf);
    if (!joined)
        own = tls_choice_context(options, error);
    X509_free(leaf);
    if ((joined || own) && tls_use(joined ? joined : own, certificate, error)) {
        if (own)
            tls_hosts_add(hosts, &names, own);
        else
            tls_names_fini(&names);
        return true;
    }
    tls_names_fini(&names);
    SSL_CTX_free(own);
    return false;
}

static void tls_host_free(struct map_node *node, void *context)
{
    (void)context;
    free(CONTAINER_OF(node, struct tls_host, node));
}

/* Frees the contexts from number `first` on, and all else. */
static void tls_hosts_free(struct tls_hosts *hosts, size_t first)
{
    map_each(&hosts->by_name, tls_host_free, NULL);
    map_fini(&hosts->by_name);
    for (size_t i = 0; i < hosts->count; i++) {
        if (i >= first)
            SSL_CTX_free(hosts->choices[i].context);
        tls_names_fini(&hosts->choices[i].names);
    }
    free(hosts->choices);
    free(hosts);
}

/* --- the choice by name --------------------------------------------------------------- */

static SSL_CTX *tls_hosts_find(const struct tls_hosts *hosts, struct span name)
{
    const struct map_node *node = map_find(&hosts->by_name, name);

    return node ? CONTAINER_OF(node, const struct tls_host, node)->context : NULL;
}

/* "*.example.org" for "mail.example.org", RFC 6125 section 6.4.3; empty when it has no such. */
static struct span tls_make_wildcard(char *name)
{
    char *dot = strchr(name, '.');

    if (!dot || dot == name)
        return SPAN_EMPTY;
    dot[-1] = '*';
    return span_from_string(dot - 1);
}

static int tls_choose_by_name(SSL *ssl, int *alert, void *context)
{
    const struct tls_hosts *hosts = context;
    struct span asked = span_from_string(SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name));
    char name[TLS_NAME_SIZE];
    SSL_CTX *chosen;

    (void)alert;
    if (asked.length == 0 || !span_copy_string(asked, name, sizeof(name)))
        return SSL_TLSEXT_ERR_NOACK;
    string_to_lower(name);
    if (name[asked.length - 1] == '.')
        name[--asked.length] = '\0';
    chosen = tls_hosts_find(hosts, span_of(name, asked.length));
    if (!chosen)
        chosen = tls_hosts_find(hosts, tls_make_wildcard(name));
    if (chosen && chosen != SSL_get_SSL_CTX(ssl) && !SSL_set_SSL_CTX(ssl, chosen))
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return chosen ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

static void tls_hosts_forget(void *parent, void *pointer, CRYPTO_EX_DATA *all, int index,
                             long number, void *context)
{
    (void)parent;
    (void)all;
    (void)index;
    (void)number;
    (void)context;
    if (pointer)
        tls_hosts_free(pointer, 1);
}

/* The first context is the owner from now on. */
static bool tls_hosts_give(struct tls_hosts *hosts)
{
    static int index = -1;
    SSL_CTX *first = hosts->choices[0].context;

    if (index < 0)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, tls_hosts_forget);
    if (index < 0 || SSL_CTX_set_ex_data(first, index, hosts) != 1)
        return false;
    SSL_CTX_set_tlsext_servername_callback(first, tls_choose_by_name);
    SSL_CTX_set_tlsext_servername_arg(first, hosts);
    return true;
}

SSL_CTX *tls_server_context(const struct tls_server_options *options, size_t *wrong,
                            char error[TLS_ERROR_SIZE])
{
    struct tls_hosts *hosts = memory_new(sizeof(*hosts));
    SSL_CTX *probe;

    map_init(&hosts->by_name);
    ERR_clear_error();
    *wrong = options->certificate_count;
    probe = tls_choice_context(options, error); /* what is not any certificate's fault */
    SSL_CTX_free(probe);
    for (size_t i = 0; probe && i < options->certificate_count; i++)
        if (!tls_hosts_take(hosts, options, &options->certificates[i], error)) {
            *wrong = i;
            probe = NULL;
        }
    if (probe && tls_hosts_give(hosts))
        return hosts->choices[0].context;
    tls_hosts_free(hosts, 0);
    return NULL;
}
