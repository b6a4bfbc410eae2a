/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates come from the operator's files and from clients: no name is taken that holds a NUL
 * or a line's end, and none that is longer than names are.
 */
#include "common/io/tls_certificate.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/memory.h"
#include "common/base/span.h"

static struct span string_span(const ASN1_STRING *string)
{
    return span_of((const char *)ASN1_STRING_get0_data(string), (size_t)ASN1_STRING_length(string));
}

/* --- names -------------------------------------------------------------------- */

static void names_add(struct tls_names *names, struct span name)
{
    char *item;

    names->items = memory_resize(names->items, (names->count + 1) * sizeof(names->items[0]));
    item = names->items[names->count];
    if (name.length == 0 || span_has_line_break_or_nul(name) ||
        !span_copy_string(name, item, TLS_NAME_SIZE))
        return;
    string_to_lower(item);
    names->count++;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(a, b);
}

static void names_add_common(struct tls_names *names, const X509 *certificate)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

    if (at >= 0)
        names_add(names, string_span(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
}

void tls_names_read(struct tls_names *names, const X509 *certificate)
{
    GENERAL_NAMES *alternatives = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);

    *names = (struct tls_names){ .items = NULL };
    for (int i = 0; i < sk_GENERAL_NAME_num(alternatives); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(alternatives, i);

        if (name->type == GEN_DNS)
            names_add(names, string_span(name->d.dNSName));
    }
    GENERAL_NAMES_free(alternatives);
    if (names->count == 0)
        names_add_common(names, certificate);
    if (names->count > 1)
        qsort(names->items, names->count, sizeof(names->items[0]), compare_names);
}

void tls_names_fini(struct tls_names *names)
{
    free(names->items);
    *names = (struct tls_names){ .items = NULL };
}

bool tls_names_are_equal(const struct tls_names *a, const struct tls_names *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0)
            return false;
    return true;
}

/* --- facts -------------------------------------------------------------------- */

/* In place of OpenSSL's own, which would ask at the terminal. */
static int no_passphrase(char *text, int size, int is_writing, void *context)
{
    (void)text;
    (void)size;
    (void)is_writing;
    (void)context;
    return -1;
}

X509 *tls_certificate_next(BIO *pem)
{
    return PEM_read_bio_X509_AUX(pem, NULL, no_passphrase, NULL);
}

/* An end that cannot be told is now. */
static int64_t certificate_end(const X509 *certificate)
{
    struct tm broken_down;

    if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &broken_down) != 1)
        return (int64_t)time(NULL);
    return (int64_t)timegm(&broken_down);
}

bool tls_certificate_describe(const char *pem, struct tls_certificate_facts *facts)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *certificate = bio ? tls_certificate_next(bio) : NULL;
    bool is_there = certificate != NULL;
    struct tls_names names;

    if (is_there) {
        tls_names_read(&names, certificate);
        *facts = (struct tls_certificate_facts){ .name_count = names.count,
                                                 .expires_s = certificate_end(certificate) };
        if (names.count > 0)
            memcpy(facts->name, names.items[0], sizeof(facts->name));
        tls_names_fini(&names);
    }
    X509_free(certificate);
    BIO_free(bio);
    ERR_clear_error();
    return is_there;
}

/* --- who a client is ------------------------------------------------------------- */

static bool copy_identity(struct span identity, char *name, size_t capacity)
{
    return identity.length > 0 && identity.length < capacity &&
           !span_has_line_break_or_nul(identity) && span_copy_string(identity, name, capacity);
}

static bool copy_email(const X509 *certificate, char *name, size_t capacity)
{
    GENERAL_NAMES *alternatives = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    bool is_copied = false;

    for (int i = 0; i < sk_GENERAL_NAME_num(alternatives) && !is_copied; i++) {
        const GENERAL_NAME *alternative = sk_GENERAL_NAME_value(alternatives, i);

        if (alternative->type != GEN_EMAIL)
            continue;
        is_copied = copy_identity(string_span(alternative->d.rfc822Name), name, capacity);
        break;
    }
    GENERAL_NAMES_free(alternatives);
    return is_copied;
}

static bool copy_common_name(const X509 *certificate, char *name, size_t capacity)
{
    X509_NAME *subject = X509_get_subject_name(certificate);
    unsigned char *utf8 = NULL;
    int last = -1, length = -1;
    bool is_copied;

    for (int at; (at = X509_NAME_get_index_by_NID(subject, NID_commonName, last)) >= 0;)
        last = at;
    if (last >= 0)
        length = ASN1_STRING_to_UTF8(&utf8,
                                     X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, last)));
    is_copied = length > 0 && copy_identity(span_of((char *)utf8, (size_t)length), name, capacity);
    OPENSSL_free(utf8);
    return is_copied;
}

/* A session that is resumed again and again brings the result of a handshake of long ago. */
static bool is_in_force(const X509 *certificate)
{
    return X509_cmp_current_time(X509_get0_notBefore(certificate)) < 0 &&
           X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

bool tls_peer_identity(const SSL *ssl, enum tls_identity kind, char *name, size_t capacity)
{
    const X509 *certificate = ssl ? SSL_get0_peer_certificate(ssl) : NULL;
    bool is_copied;

    if (!certificate || !(SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER) ||
        SSL_get_verify_result(ssl) != X509_V_OK || !is_in_force(certificate))
        return false;
    is_copied = kind == TLS_IDENTITY_EMAIL ? copy_email(certificate, name, capacity)
                                           : copy_common_name(certificate, name, capacity);
    ERR_clear_error();
    return is_copied;
}

static bool has_one_of(const X509 *certificate, char *const *names, size_t count)
{
    struct tls_names own;
    bool has = false;

    tls_names_read(&own, certificate);
    for (size_t i = 0; i < own.count; i++)
        for (size_t j = 0; j < count; j++)
            has |=
                span_equals_ignore_case(span_from_string(own.items[i]), span_from_string(names[j]));
    tls_names_fini(&own);
    ERR_clear_error();
    return has;
}

const char *tls_peer_refusal(const SSL *ssl, char *const *names, size_t count)
{
    const X509 *certificate = ssl ? SSL_get0_peer_certificate(ssl) : NULL;

    if (!certificate || !(SSL_get_verify_mode(ssl) & SSL_VERIFY_PEER))
        return "it shows no certificate";
    if (SSL_get_verify_result(ssl) != X509_V_OK)
        return X509_verify_cert_error_string(SSL_get_verify_result(ssl));
    if (!is_in_force(certificate))
        return "its certificate is not in force";
    return has_one_of(certificate, names, count) ? NULL : "its certificate has another name";
}
