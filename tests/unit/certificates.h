/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates for tests, made when they run: none is in the tree, none expires. */
#ifndef MAILSTEAD_TESTS_CERTIFICATES_H
#define MAILSTEAD_TESTS_CERTIFICATES_H

#include <openssl/x509.h>

#include "common/io/tls.h"

enum { TEST_CERTIFICATE_S = 6 * 3600 /* how long they are good */ };

struct test_certificate {
    X509 *x509;
    EVP_PKEY *pkey;
    char *certificate; /* PEM texts */
    char *key;
};

/* A self-signed authority. */
void test_authority_make(struct test_certificate *authority);

/* A certificate for `alternative_names` ("DNS:mail.example.org,IP:127.0.0.1"). */
void test_certificate_issue(struct test_certificate *certificate,
                            const struct test_certificate *authority,
                            const char *alternative_names);

/* An authority below another. */
void test_authority_issue(struct test_certificate *certificate,
                          const struct test_certificate *authority);

/* The same with an RSA key. */
void test_certificate_issue_rsa(struct test_certificate *certificate,
                                const struct test_certificate *authority,
                                const char *alternative_names);

/* A server context that shows it. */
SSL_CTX *test_server_context(const struct test_certificate *certificate,
                             char error[TLS_ERROR_SIZE]);

void test_certificate_free(struct test_certificate *certificate);

/* Writes a PEM text to a new file; `path` is a template for mkstemp. */
void test_pem_write(const char *pem, char *path);

#endif
