/* SPDX-License-Identifier: Apache-2.0 */
/* TLS contexts, checked by two SSL objects that talk through memory. */
#include "tests/unit/unit.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <time.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/io/tls.h"
#include "common/io/tls_certificate.h"
#include "common/io/tls_sessions.h"
#include "common/io/tls_tickets.h"
#include "tests/unit/certificates.h"

struct fixture {
    struct test_certificate authority;
    struct test_certificate server;
    char ca_file[64];
    char error[TLS_ERROR_SIZE];
};

static long shift_s; /* of the clock of this program and its libraries */

time_t time(time_t *target)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    now.tv_sec += shift_s;
    if (target)
        *target = now.tv_sec;
    return now.tv_sec;
}

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

    shift_s = 0;
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

/* A server context with one certificate. */
static SSL_CTX *server_context(struct fixture *fixture, const struct tls_tickets *tickets)
{
    const struct tls_certificate pem = { fixture->server.certificate, fixture->server.key };
    const struct tls_server_options options = { .certificates = &pem,
                                                .certificate_count = 1,
                                                .tickets = tickets };
    size_t wrong;
    SSL_CTX *context = tls_server_context(&options, &wrong, fixture->error);

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

static void a_ticket_of_one_worker_is_good_in_all_that_share_its_keys(void **state)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    struct fixture *fixture = *state;
    struct tls_tickets *shared = tls_tickets_new(), *other = tls_tickets_new();
    SSL_CTX *first, *second, *stranger;

    assert_true(shared && other);
    first = server_context(fixture, shared);
    second = server_context(fixture, shared);
    stranger = server_context(fixture, other);
    tls_tickets_protect(shared);
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
    tls_tickets_free(shared);
    tls_tickets_free(other);
}

static void a_ticket_is_good_for_two_more_keys(void **state)
{
    struct fixture *fixture = *state;
    struct tls_tickets *tickets = tls_tickets_new();
    SSL_CTX *server, *client = client_context(fixture);
    SSL_SESSION *session;
    struct pair pair;

    assert_non_null(tickets);
    server = server_context(fixture, tickets);
    pair_init(&pair, client, server);
    assert_true(pair_shake_hands(&pair));
    session = SSL_get1_session(pair.client);
    pair_fini(&pair);
    assert_false(tls_tickets_renew(tickets, 5000, 1000));
    assert_false(tls_tickets_renew(tickets, 5999, 1000));
    for (uint64_t i = 0; i < 4; i++) {
        SSL_SESSION *offered = SSL_SESSION_dup(session);

        assert_int_equal(tls_tickets_count(tickets), 1 + i);
        pair_init(&pair, client, server);
        assert_int_equal(SSL_set_session(pair.client, offered), 1);
        assert_true(pair_shake_hands(&pair));
        assert_int_equal(SSL_session_reused(pair.client), i < 3);
        pair_fini(&pair);
        SSL_SESSION_free(offered);
        assert_true(tls_tickets_renew(tickets, 6000 + 1000 * i, 1000));
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
    tls_tickets_free(tickets);
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
    struct fixture *fixture = *state;

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

static void sni_init(struct sni *sni, struct fixture *fixture)
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
    struct fixture *fixture = *state;
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

static SSL_CTX *asking_context(struct fixture *fixture, const char *client_ca_file,
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

/* Connects with `certificate` (NULL: none): who the server says that it is. */
static bool is_known_as(struct fixture *fixture, const struct test_certificate *certificate,
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
    struct fixture *fixture = *state;
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
    struct fixture *fixture = *state;
    struct test_certificate stranger, certificate;
    char name[64];

    test_authority_make(&stranger);
    test_certificate_issue(&certificate, &stranger, "email:ada@example.org");
    assert_false(is_known_as(fixture, &certificate, TLS_IDENTITY_EMAIL, name));
    assert_false(is_known_as(fixture, &certificate, TLS_IDENTITY_COMMON_NAME, name));
    test_certificate_free(&certificate);
    test_certificate_free(&stranger);
}

static void an_identity_is_not_resumed_under_other_authorities(void **state)
{
    struct fixture *fixture = *state;
    struct tls_tickets *tickets = tls_tickets_new();
    struct test_certificate other;
    SSL_CTX *client = client_context(fixture), *first, *same, *changed, *none;
    char path[] = "/tmp/test_io_tls.XXXXXX";

    test_authority_make(&other);
    test_pem_write(other.certificate, path);
    first = asking_context(fixture, fixture->ca_file, tickets);
    same = asking_context(fixture, fixture->ca_file, tickets);
    changed = asking_context(fixture, path, tickets);
    none = asking_context(fixture, NULL, tickets);
    assert_true(session_is_resumed(client, first, same));
    assert_false(session_is_resumed(client, first, changed));
    assert_false(session_is_resumed(client, none, first));
    unlink(path);
    test_certificate_free(&other);
    SSL_CTX_free(client);
    SSL_CTX_free(first);
    SSL_CTX_free(same);
    SSL_CTX_free(changed);
    SSL_CTX_free(none);
    tls_tickets_free(tickets);
}

/* Resumes `*session` with the server and keeps the one that it gives: whether it knows who it is.
 */
static bool is_still_known(SSL_CTX *client, SSL_CTX *server, SSL_SESSION **session)
{
    struct pair pair;
    char name[64];
    bool is_known;

    pair_init(&pair, client, server);
    assert_int_equal(SSL_set_session(pair.client, *session), 1);
    assert_true(pair_shake_hands(&pair));
    assert_true(SSL_session_reused(pair.client));
    SSL_SESSION_free(*session);
    *session = SSL_get1_session(pair.client);
    is_known = tls_peer_identity(pair.server, TLS_IDENTITY_EMAIL, name, sizeof(name));
    pair_fini(&pair);
    return is_known;
}

static void an_identity_ends_with_its_certificate_however_often_it_is_resumed(void **state)
{
    struct fixture *fixture = *state;
    SSL_CTX *server = asking_context(fixture, fixture->ca_file, NULL);
    SSL_CTX *client = client_context(fixture);
    struct test_certificate certificate;
    SSL_SESSION *session;
    struct pair pair;

    test_certificate_issue(&certificate, &fixture->authority, "email:ada@example.org");
    pair_init(&pair, client, server);
    assert_int_equal(SSL_use_certificate(pair.client, certificate.x509), 1);
    assert_int_equal(SSL_use_PrivateKey(pair.client, certificate.pkey), 1);
    assert_true(pair_shake_hands(&pair));
    session = SSL_get1_session(pair.client);
    pair_fini(&pair);
    for (shift_s = 0; shift_s < TEST_CERTIFICATE_S; shift_s += 3000)
        assert_true(is_still_known(client, server, &session));
    assert_false(is_still_known(client, server, &session));
    SSL_SESSION_free(session);
    test_certificate_free(&certificate);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

/* --- sessions of our own as a client ---------------------------------------------------- */

/* Connects as `peer`, which must be `verify_name`: whether a session was resumed. */
static bool is_resumed(SSL_CTX *client, SSL_CTX *server, const char *verify_name, const char *peer)
{
    struct pair pair;
    bool is_resumed;

    pair_init(&pair, client, server);
    tls_sessions_offer(pair.client, verify_name, peer);
    assert_true(pair_shake_hands(&pair));
    is_resumed = SSL_session_reused(pair.client);
    pair_fini(&pair);
    return is_resumed;
}

static void sessions_are_resumed_with_the_peer_that_gave_them(void **state)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(versions); i++) {
        SSL_CTX *server = server_context(fixture, NULL);
        SSL_CTX *client = client_context(fixture), *other = client_context(fixture);

        SSL_CTX_set_max_proto_version(client, versions[i]);
        SSL_CTX_set_max_proto_version(other, versions[i]);
        assert_false(is_resumed(client, server, "mail.example.org", "sv1 143"));
        for (int j = 0; j < 3 * TLS_SESSIONS_EACH; j++)
            assert_true(is_resumed(client, server, "mail.example.org", "sv1 143"));
        assert_false(is_resumed(client, server, "mail.example.org", "sv1 110"));
        assert_false(is_resumed(client, server, NULL, "sv1 143"));
        assert_false(is_resumed(client, server, "other.example.org", "sv1 143"));
        assert_false(is_resumed(other, server, "mail.example.org", "sv1 143"));
        SSL_CTX_free(client);
        SSL_CTX_free(other);
        SSL_CTX_free(server);
    }
}

static void a_session_of_tls_1_3_is_offered_once(void **state)
{
    struct fixture *fixture = *state;
    SSL_CTX *server = server_context(fixture, NULL), *client = client_context(fixture);
    struct pair first, second;

    assert_false(is_resumed(client, server, NULL, "sv1 143"));
    pair_init(&first, client, server);
    tls_sessions_offer(first.client, NULL, "sv1 143");
    pair_init(&second, client, server);
    tls_sessions_offer(second.client, NULL, "sv1 143");
    assert_true(pair_shake_hands(&first));
    assert_true(pair_shake_hands(&second));
    assert_true(SSL_session_reused(first.client));
    assert_false(SSL_session_reused(second.client));
    pair_fini(&first);
    pair_fini(&second);
    SSL_CTX_free(client);
    SSL_CTX_free(server);
}

static void a_backend_shows_its_certificate_now_and_then(void **state)
{
    static const int versions[] = { TLS1_2_VERSION, TLS1_3_VERSION };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(versions); i++) {
        SSL_CTX *server = server_context(fixture, NULL), *client = client_context(fixture);
        struct pair pair;

        SSL_CTX_set_max_proto_version(client, versions[i]);
        shift_s = 0;
        assert_false(is_resumed(client, server, "mail.example.org", "sv1 143"));
        shift_s = TLS_SESSIONS_AGE_S - 1000;
        assert_true(is_resumed(client, server, "mail.example.org", "sv1 143"));
        shift_s = TLS_SESSIONS_AGE_S + 1000;
        assert_false(is_resumed(client, server, "mail.example.org", "sv1 143"));
        shift_s = TEST_CERTIFICATE_S - 1000;
        (void)is_resumed(client, server, "mail.example.org", "sv1 143");
        shift_s = TEST_CERTIFICATE_S + 100;
        pair_init(&pair, client, server);
        tls_sessions_offer(pair.client, "mail.example.org", "sv1 143");
        assert_false(pair_shake_hands(&pair));
        pair_fini(&pair);
        SSL_CTX_free(client);
        SSL_CTX_free(server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(a_server_is_verified_against_the_ca),
        TEST(the_whole_chain_is_sent),
        TEST(versions_before_tls_1_2_are_refused),
        TEST(a_ticket_of_one_worker_is_good_in_all_that_share_its_keys),
        TEST(a_ticket_is_good_for_two_more_keys),
        TEST(each_name_is_shown_its_certificate),
        TEST(a_certificate_says_its_names_and_its_end),
        TEST(a_client_is_who_its_certificate_says),
        TEST(a_certificate_of_another_authority_proves_nothing),
        TEST(an_identity_is_not_resumed_under_other_authorities),
        TEST(an_identity_ends_with_its_certificate_however_often_it_is_resumed),
        TEST(sessions_are_resumed_with_the_peer_that_gave_them),
        TEST(a_session_of_tls_1_3_is_offered_once),
        TEST(a_backend_shows_its_certificate_now_and_then),
        TEST(what_is_wrong_with_certificate_or_key_is_said),
        TEST(a_ca_file_that_is_none_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
