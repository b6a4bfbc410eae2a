/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of TLS share: two SSL objects that talk through memory, and a clock to move. */
#ifndef MAILSTEAD_TESTS_TLS_SUPPORT_H
#define MAILSTEAD_TESTS_TLS_SUPPORT_H

#include "tests/unit/unit.h"

#include "common/io/tls.h"
#include "common/io/tls_tickets.h"
#include "tests/unit/certificates.h"

/* Seconds by which the clock of this program and its libraries is ahead; 0 again after each test.
 */
extern long test_clock_shift_s;

struct tls_fixture {
    struct test_certificate authority;
    struct test_certificate server;
    char ca_file[64];
    char error[TLS_ERROR_SIZE];
};

int tls_fixture_setup(void **state);

/* Fails when an error was left in OpenSSL's queue. */
int tls_fixture_teardown(void **state);

/* A server context with the fixture's certificate; `tickets` may be NULL. */
SSL_CTX *server_context(struct tls_fixture *fixture, const struct tls_tickets *tickets);

/* One that asks clients for certificates of `client_ca_file` (NULL: it does not). */
SSL_CTX *asking_context(struct tls_fixture *fixture, const char *client_ca_file,
                        const struct tls_tickets *tickets);

/* A client context that trusts the fixture's authority. */
SSL_CTX *client_context(struct tls_fixture *fixture);

struct pair {
    SSL *client;
    SSL *server;
};

void pair_init(struct pair *pair, SSL_CTX *client, SSL_CTX *server);

/* True when both sides are done; the tickets are read too. */
bool pair_shake_hands(struct pair *pair);

void pair_fini(struct pair *pair);

#endif
