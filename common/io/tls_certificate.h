/* SPDX-License-Identifier: Apache-2.0 */
/* What a certificate says: its names, how long it is good, whose it is. */
#ifndef MAILSTEAD_IO_TLS_CERTIFICATE_H
#define MAILSTEAD_IO_TLS_CERTIFICATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/ssl.h>

enum { TLS_NAME_SIZE = 254 /* a DNS name and its NUL */ };

/* The DNS names of a certificate, in lower case and sorted; wildcards are "*.example.org". */
struct tls_names {
    char (*items)[TLS_NAME_SIZE]; /* owned */
    size_t count;
};

/*
 * Its subjectAltName's DNS names; when it has none, its common name if that could be one (RFC 6125
 * section 6.4.4).  What is no name is left out.
 */
void tls_names_read(struct tls_names *names, const X509 *certificate);
void tls_names_fini(struct tls_names *names);

bool tls_names_are_equal(const struct tls_names *a, const struct tls_names *b);

/* For people. */
struct tls_certificate_facts {
    char name[TLS_NAME_SIZE]; /* the first of its names; empty when it has none */
    size_t name_count;
    int64_t expires_s; /* of the Unix epoch: its last second */
};

/* Reads the first certificate of a PEM text; false when it has none. */
bool tls_certificate_describe(const char *pem, struct tls_certificate_facts *facts)
    __attribute__((warn_unused_result));

/* The next certificate of a PEM text, owned by the caller; NULL at its end. */
X509 *tls_certificate_next(BIO *pem);

/* Which name of a client's certificate is who it is. */
enum tls_identity {
    TLS_IDENTITY_EMAIL,      /* the first rfc822Name of its subjectAltName */
    TLS_IDENTITY_COMMON_NAME /* the last common name of its subject */
};

/*
 * The name in the certificate by which the peer of `ssl` has proved who it is, to an authority
 * that its context asks for.  False, and `name` untouched, when it has shown none or one that is
 * not valid, or its name is none that could log in.
 */
bool tls_peer_identity(const SSL *ssl, enum tls_identity kind, char *name, size_t capacity)
    __attribute__((warn_unused_result));

/*
 * Why the peer of `ssl` has not proved, to an authority that its context asks for, that it has one
 * of `names` (as tls_names_read gives them, in letters of any case): static text; NULL: it has.
 */
const char *tls_peer_refusal(const SSL *ssl, char *const *names, size_t count);

#endif
