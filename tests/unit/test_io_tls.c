/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts, checked by two SSL objects that talk through memory. */
#include "tests/unit/unit.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/io/tls.h"
#include "tests/unit/certificates.h"

struct fixture {
    struct test_certificate authority;
    struct test_certificate server;
    char ca_file[64];
    char error[TLS_ERROR_SIZE];
};

static int fixture_setup(void **state)
{
    struct fixture *fixture = memory_new(sizeof(*fixture));

    test_authority_make(&fixture->authority);
    test_certificate_issue(&fixture->server, &fixture->authority, "DNS:mail.example.org");
    strcpy(fixture->ca_file, "/tmp/test_io_tls.XXXXXX");
    test_pem_write(fixture->authority.certificate, fixture->ca_file);
    *state = fixture;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;

    unlink(fixture->ca_file);
    test_certificate_free(&fixture->authority);
    test_certificate_free(&fixture->server);
    assert_int_equal(ERR_peek_error(), 0);
    free(fixture);
    return 0;
}

struct pair {
    SSL *client;
    SSL *server;
};

static void pair_init(struct pair *pair, SSL_CTX *client, SSL_CTX *server)
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

/* True when both sides are done; the tickets are read too. */
static bool pair_shake_hands(struct pair *pair)
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

static void pair_fini(struct pair *pair)
{
    SSL_shutdown(pair->client);
    SSL_free(pair->client);
    SSL_free(pair->server);
    ERR_clear_error();
}

static SSL_CTX *server_context(struct fixture *fixture, const unsigned char *ticket_key)
{
    SSL_CTX *context = tls_server_context(fixture->server.certificate, fixture->server.key,
                                          ticket_key, fixture->error);

    assert_non_null(context);
    return context;
}

static SSL_CTX *client_context(struct fixture *fixture)
{
    SSL_CTX *context = tls_client_context(fixture->ca_file, true, fixture->error);

    assert_non_null(context);
    return context;
}

static void a_server_is_verified_against_the_ca(void **state)
{
    struct fixture *fixture = *state;
    SSL_CTX *server = server_context(fixture, NULL);
    SSL_CTX *client = client_context(fixture);
    struct pair pair;

    pair_init(&pair, client, server);
    assert_true(pair_shake_hands(&pair));
    assert_int_equal(SSL_version(pair.client), TLS1_3_VERSION);
    pair_fini(&pair);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static void the_whole_chain_is_sent(void **state)
{
    struct fixture *fixture = *state;
    struct test_certificate intermediate, leaf;
    SSL_CTX *client = client_context(fixture), *server;
    struct pair pair;
    char chain[8192];

    test_authority_issue(&intermediate, &fixture->authority);
    test_certificate_issue(&leaf, &intermediate, "DNS:mail.example.org");
    snprintf(chain, sizeof(chain), "%s\n%s", leaf.certificate, intermediate.certificate);
    server = tls_server_context(chain, leaf.key, NULL, fixture->error);
    assert_non_null(server);
    pair_init(&pair, client, server);
    assert_true(pair_shake_hands(&pair));
    pair_fini(&pair);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    test_certificate_free(&intermediate);
    test_certificate_free(&leaf);
}

static void versions_before_tls_1_2_are_refused(void **state)
{
    struct fixture *fixture = *state;
    SSL_CTX *server = server_context(fixture, NULL);
    SSL_CTX *client = client_context(fixture);
    struct pair pair;

    SSL_CTX_set_min_proto_version(client, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(client, TLS1_1_VERSION);
    pair_init(&pair, client, server);
    SSL_set_security_level(pair.client, 0);
    assert_false(pair_shake_hands(&pair));
    pair_fini(&pair);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

/* Connects to `first` and, with the session from there, to `second`: whether that was resumed. */
static bool session_is_resumed(SSL_CTX *client, SSL_CTX *first, SSL_CTX *second)
{
    SSL_SESSION *session;
    struct pair pair;
    bool is_resumed;

    pair_init(&pair, client, first);
    assert_true(pair_shake_hands(&pair));
    session = SSL_get1_session(pair.client);
    pair_fini(&pair);
    pair_init(&pair, client, second);
    assert_int_equal(SSL_set_session(pair.client, session), 1);
    assert_true(pair_shake_hands(&pair));
    is_resumed = SSL_session_reused(pair.client);
    pair_fini(&pair);
    SSL_SESSION_free(session);
    return is_resumed;
}

static void a_ticket_of_one_worker_is_good_in_all_that_share_its_key(void **state)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    struct fixture *fixture = *state;
    unsigned char shared[TLS_TICKET_KEY_SIZE], other[TLS_TICKET_KEY_SIZE];
    SSL_CTX *first, *second, *stranger;

    memset(shared, 's', sizeof(shared));
    memset(other, 'o', sizeof(other));
    first = server_context(fixture, shared);
    second = server_context(fixture, shared);
    stranger = server_context(fixture, other);
    for (size_t i = 0; i < ARRAY_LENGTH(versions); i++) {
        SSL_CTX *client = client_context(fixture);

        SSL_CTX_set_max_proto_version(client, versions[i]);
        assert_true(session_is_resumed(client, first, second));
        assert_false(session_is_resumed(client, first, stranger));
        SSL_CTX_free(client);
    }
    SSL_CTX_free(first);
    SSL_CTX_free(second);
    SSL_CTX_free(stranger);
}

static char *encrypted_key_new(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes, *text;
    long length;

    assert_int_equal(
        PEM_write_bio_PKCS8PrivateKey(bio, key, EVP_aes_128_cbc(), "secret", 6, NULL, NULL), 1);
    length = BIO_get_mem_data(bio, &bytes);
    text = memory_new((size_t)length + 1);
    memcpy(text, bytes, (size_t)length);
    BIO_free(bio);
    return text;
}

static void what_is_wrong_with_certificate_or_key_is_said(void **state)
{
    struct fixture *fixture = *state;
    const char *good = fixture->server.certificate;
    const char *key = fixture->server.key;
    char *encrypted = encrypted_key_new(fixture->server.pkey);
    char broken_chain[8192], cut[200];
    const struct {
        const char *certificate, *key, *part;
    } rows[] = {
        { "", key, "certificate: " },
        { "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", key, "certificate: " },
        { cut, key, "certificate: " },
        { broken_chain, key, "certificate: " },
        { good, "", "key: " },
        { good, good, "key: " },
        { good, encrypted, "key: " },
        { good, fixture->authority.key, "key: " },
    };

    snprintf(cut, sizeof(cut), "%s", good);
    snprintf(broken_chain, sizeof(broken_chain), "%s%s", good, cut);
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        fixture->error[0] = '\0';
        assert_null(tls_server_context(rows[i].certificate, rows[i].key, NULL, fixture->error));
        assert_memory_equal(fixture->error, rows[i].part, strlen(rows[i].part));
        assert_true(strlen(fixture->error) > strlen(rows[i].part));
    }
    free(encrypted);
}

static void a_ca_file_that_is_none_is_named(void **state)
{
    struct fixture *fixture = *state;

    assert_null(tls_client_context("/nonexistent/ca.pem", true, fixture->error));
    assert_memory_equal(fixture->error, "/nonexistent/ca.pem: ", 21);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_server_is_verified_against_the_ca),
        TEST(the_whole_chain_is_sent),
        TEST(versions_before_tls_1_2_are_refused),
        TEST(a_ticket_of_one_worker_is_good_in_all_that_share_its_key),
        TEST(what_is_wrong_with_certificate_or_key_is_said),
        TEST(a_ca_file_that_is_none_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
