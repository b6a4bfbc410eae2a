/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/tls_support.h"

#include <openssl/err.h>
#include <time.h>
#include <unistd.h>

#include "common/base/memory.h"

long test_clock_shift_s;

time_t time(time_t *target)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += test_clock_shift_s;
    if (target)
        *target = now.tv_sec;
    return now.tv_sec;
}

int tls_fixture_setup(void **state)
{
    struct tls_fixture *fixture = memory_new(sizeof(*fixture));

    test_authority_make(&fixture->authority);
    test_certificate_issue(&fixture->server, &fixture->authority, "DNS:mail.example.org");
    strcpy(fixture->ca_file, "/tmp/test_io_tls.XXXXXX");
    test_pem_write(fixture->authority.certificate, fixture->ca_file);
    *state = fixture;
    return 0;
}

int tls_fixture_teardown(void **state)
{
    struct tls_fixture *fixture = *state;

    test_clock_shift_s = 0;
    unlink(fixture->ca_file);
    test_certificate_free(&fixture->authority);
    test_certificate_free(&fixture->server);
    assert_int_equal(ERR_peek_error(), 0);
    free(fixture);
    return 0;
}

void pair_init(struct pair *pair, SSL_CTX *client, SSL_CTX *server)
{
    BIO *left, *right;

    pair->client = SSL_new(client);
    pair->server = SSL_new(server);
    assert_int_equal(BIO_new_bio_pair(&left, 0, &right, 0), 1);
    SSL_set_bio(pair->client, left, left);
    SSL_set_bio(pair->server, right, right);
    SSL_set_connect_state(pair->client);
    SSL_set_accept_state(pair->server);
}

bool pair_shake_hands(struct pair *pair)
{
    char byte;

    for (int i = 0; i < 10; i++) {
        SSL_do_handshake(pair->client);
        SSL_do_handshake(pair->server);
    }
    SSL_read(pair->client, &byte, 1);
    ERR_clear_error();
    return SSL_is_init_finished(pair->client) && SSL_is_init_finished(pair->server);
}

void pair_fini(struct pair *pair)
{
    SSL_shutdown(pair->client);
    SSL_free(pair->client);
    SSL_free(pair->server);
    ERR_clear_error();
}

SSL_CTX *asking_context(struct tls_fixture *fixture, const char *client_ca_file,
                        const struct tls_tickets *tickets)
{
    const struct tls_certificate pem = { fixture->server.certificate, fixture->server.key };
    const struct tls_server_options options = { .certificates = &pem,
                                                .certificate_count = 1,
                                                .tickets = tickets,
                                                .client_ca_file = client_ca_file };
    size_t wrong;
    SSL_CTX *context = tls_server_context(&options, &wrong, fixture->error);

    assert_non_null(context);
    return context;
}

SSL_CTX *server_context(struct tls_fixture *fixture, const struct tls_tickets *tickets)
{
    return asking_context(fixture, NULL, tickets);
}

SSL_CTX *client_context(struct tls_fixture *fixture)
{
    SSL_CTX *context = tls_client_context(fixture->ca_file, true, fixture->error);

    assert_non_null(context);
    return context;
}
