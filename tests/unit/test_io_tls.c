/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts, checked by two SSL objects that talk through memory. */
#include "tests/unit/tls_support.h"

#include <openssl/pem.h>
#include <time.h>

#include "common/base/memory.h"
#include "common/io/tls_certificate.h"

static void a_server_is_verified_against_the_ca(void **state)
{
    struct tls_fixture *fixture = *state;
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
    struct tls_fixture *fixture = *state;
    struct test_certificate intermediate, leaf;
    SSL_CTX *client = client_context(fixture), *server;
    struct pair pair;
    char chain[8192];

    test_authority_issue(&intermediate, &fixture->authority);
    test_certificate_issue(&leaf, &intermediate, "DNS:mail.example.org");
    snprintf(chain, sizeof(chain), "%s\n%s", leaf.certificate, intermediate.certificate);
    free(leaf.certificate);
    leaf.certificate = memory_copy_string(chain);
    server = test_server_context(&leaf, fixture->error);
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
    struct tls_fixture *fixture = *state;
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
    struct tls_fixture *fixture = *state;
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
        const struct tls_certificate pem[] = { { good, key },
                                               { rows[i].certificate, rows[i].key } };
        const struct tls_server_options options = { .certificates = pem, .certificate_count = 2 };
        size_t wrong;

        fixture->error[0] = '\0';
        assert_null(tls_server_context(&options, &wrong, fixture->error));
        assert_int_equal(wrong, 1);
        assert_memory_equal(fixture->error, rows[i].part, strlen(rows[i].part));
        assert_true(strlen(fixture->error) > strlen(rows[i].part));
    }
    free(encrypted);
}

static void a_ca_file_that_is_none_is_named(void **state)
{
    struct tls_fixture *fixture = *state;

    assert_null(tls_client_context("/nonexistent/ca.pem", true, fixture->error));
    assert_memory_equal(fixture->error, "/nonexistent/ca.pem: ", 21);
}

/* --- the choice by name --------------------------------------------------------- */

static const struct {
    const char *names;
    bool is_rsa;
} sni_rows[] = {
    { "DNS:mail.example.org", false },
    { "DNS:MAIL.example.net,DNS:imap.example.net", false },
    { "DNS:*.example.org,DNS:example.org", false },
    { "DNS:imap.example.net,DNS:mail.example.net", true },
    { "DNS:pop.example.org", false },
};

enum { SNI_ROWS = ARRAY_LENGTH(sni_rows) };

struct sni {
    struct test_certificate certificates[SNI_ROWS];
    SSL_CTX *server, *client;
};

static void sni_init(struct sni *sni, struct tls_fixture *fixture)
{
    struct tls_certificate pem[SNI_ROWS];
    const struct tls_server_options options = { .certificates = pem,
                                                .certificate_count = SNI_ROWS };
    size_t wrong;

    for (size_t i = 0; i < SNI_ROWS; i++) {
        struct test_certificate *certificate = &sni->certificates[i];

        if (sni_rows[i].is_rsa)
            test_certificate_issue_rsa(certificate, &fixture->authority, sni_rows[i].names);
        else
            test_certificate_issue(certificate, &fixture->authority, sni_rows[i].names);
        pem[i] = (struct tls_certificate){ certificate->certificate, certificate->key };
    }
    sni->server = tls_server_context(&options, &wrong, fixture->error);
    assert_non_null(sni->server);
    sni->client = client_context(fixture);
}

static void sni_fini(struct sni *sni)
{
    for (size_t i = 0; i < SNI_ROWS; i++)
        test_certificate_free(&sni->certificates[i]);
    SSL_CTX_free(sni->server);
    SSL_CTX_free(sni->client);
}

/* The number of the certificate that who asks for `name` (NULL: for none) is shown. */
static size_t sni_shown(const struct sni *sni, const char *name, const char *algorithms)
{
    struct pair pair;
    size_t shown = SNI_ROWS;

    pair_init(&pair, sni->client, sni->server);
    if (name)
        SSL_set_tlsext_host_name(pair.client, name);
    SSL_set1_sigalgs_list(pair.client, algorithms);
    assert_true(pair_shake_hands(&pair));
    for (size_t i = 0; i < SNI_ROWS; i++)
        if (X509_cmp(SSL_get0_peer_certificate(pair.client), sni->certificates[i].x509) == 0)
            shown = i;
    pair_fini(&pair);
    return shown;
}

static void each_name_is_shown_its_certificate(void **state)
{
    static const char any[] = "ECDSA+SHA256:RSA-PSS+SHA256", rsa[] = "RSA-PSS+SHA256:RSA+SHA256";
    static const struct {
        const char *name, *algorithms;
        size_t shown;
    } rows[] = {
        { NULL, any, 0 },
        { "unknown.example.com", any, 0 },
        { "mail.example.org", any, 0 },
        { "mail.example.net", any, 1 },
        { "IMAP.Example.NET", any, 1 },
        { "mail.example.net", rsa, 3 },
        { "smtp.example.org", any, 2 },
        { "example.org", any, 2 },
        { "pop.example.org", any, 4 },    /* the exact name before the wildcard */
        { "a.smtp.example.org", any, 0 }, /* a wildcard is one label */
        { "pop.example.org.", any, 4 },
        { "*.example.org", any, 2 },
        { ".example.org", any, 0 },
    };
    struct sni sni;

    sni_init(&sni, *state);
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        assert_int_equal(sni_shown(&sni, rows[i].name, rows[i].algorithms), rows[i].shown);
    sni_fini(&sni);
}

static void a_certificate_says_its_names_and_its_end(void **state)
{
    struct tls_fixture *fixture = *state;
    struct tls_certificate_facts facts;
    struct test_certificate certificate;
    struct tls_names names;

    test_certificate_issue(&certificate, &fixture->authority,
                           "DNS:b.example.org,IP:127.0.0.1,DNS:A.example.org,email:c@example.org");
    assert_true(tls_certificate_describe(certificate.certificate, &facts));
    assert_string_equal(facts.name, "a.example.org");
    assert_int_equal(facts.name_count, 2);
    assert_in_range(facts.expires_s, time(NULL) + TEST_CERTIFICATE_S - 100,
                    time(NULL) + TEST_CERTIFICATE_S + 100);
    test_certificate_free(&certificate);
    assert_false(tls_certificate_describe("no certificate", &facts));
    tls_names_read(&names, fixture->authority.x509);
    assert_int_equal(names.count, 1);
    assert_string_equal(names.items[0], "test authority");
    tls_names_fini(&names);
}

/* --- certificates of clients ---------------------------------------------------------- */

/* Connects with `certificate` (NULL: none): who the server says that it is. */
static bool is_known_as(struct tls_fixture *fixture, const struct test_certificate *certificate,
                        enum tls_identity kind, char name[64])
{
    SSL_CTX *server = asking_context(fixture, fixture->ca_file, NULL);
    SSL_CTX *client = client_context(fixture);
    struct pair pair;
    bool is_known;

    pair_init(&pair, client, server);
    if (certificate) {
        assert_int_equal(SSL_use_certificate(pair.client, certificate->x509), 1);
        assert_int_equal(SSL_use_PrivateKey(pair.client, certificate->pkey), 1);
    }
    assert_true(pair_shake_hands(&pair));
    strcpy(name, "untouched");
    is_known = tls_peer_identity(pair.server, kind, name, 64);
    pair_fini(&pair);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    return is_known;
}

static void a_client_is_who_its_certificate_says(void **state)
{
    struct tls_fixture *fixture = *state;
    struct test_certificate certificate;
    char name[64];

    assert_false(is_known_as(fixture, NULL, TLS_IDENTITY_EMAIL, name));
    test_certificate_issue(&certificate, &fixture->authority,
                           "DNS:x.example.org,email:ada@example.org,email:eve@example.org");
    assert_true(is_known_as(fixture, &certificate, TLS_IDENTITY_EMAIL, name));
    assert_string_equal(name, "ada@example.org");
    assert_true(is_known_as(fixture, &certificate, TLS_IDENTITY_COMMON_NAME, name));
    assert_string_equal(name, "Test server");
    test_certificate_free(&certificate);
    test_certificate_issue(&certificate, &fixture->authority, "DNS:x.example.org");
    assert_false(is_known_as(fixture, &certificate, TLS_IDENTITY_EMAIL, name));
    assert_string_equal(name, "untouched");
    test_certificate_free(&certificate);
}

static void a_certificate_of_another_authority_proves_nothing(void **state)
{
    struct tls_fixture *fixture = *state;
    struct test_certificate stranger, certificate;
    char name[64];

    test_authority_make(&stranger);
    test_certificate_issue(&certificate, &stranger, "email:ada@example.org");
    assert_false(is_known_as(fixture, &certificate, TLS_IDENTITY_EMAIL, name));
    assert_false(is_known_as(fixture, &certificate, TLS_IDENTITY_COMMON_NAME, name));
    test_certificate_free(&certificate);
    test_certificate_free(&stranger);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, tls_fixture_setup, tls_fixture_teardown)
        TEST(a_server_is_verified_against_the_ca),
        TEST(the_whole_chain_is_sent),
        TEST(versions_before_tls_1_2_are_refused),
        TEST(each_name_is_shown_its_certificate),
        TEST(a_certificate_says_its_names_and_its_end),
        TEST(a_client_is_who_its_certificate_says),
        TEST(a_certificate_of_another_authority_proves_nothing),
        TEST(what_is_wrong_with_certificate_or_key_is_said),
        TEST(a_ca_file_that_is_none_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
