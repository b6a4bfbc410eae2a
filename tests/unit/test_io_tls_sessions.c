/* SPDX-License-Identifier: Apache-2.0 */
/* Which TLS sessions are resumed: those that we gave, and those that backends gave us. */
#include "tests/unit/tls_support.h"

#include <unistd.h>

#include "common/base/memory.h"
#include "common/io/tls_certificate.h"
#include "common/io/tls_sessions.h"

/* --- tickets that we give --------------------------------------------------------------- */

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
    struct tls_fixture *fixture = *state;
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
    struct tls_fixture *fixture = *state;
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

static void an_identity_is_not_resumed_under_other_authorities(void **state)
{
    struct tls_fixture *fixture = *state;
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
    struct tls_fixture *fixture = *state;
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
    for (test_clock_shift_s = 0; test_clock_shift_s < TEST_CERTIFICATE_S;
         test_clock_shift_s += 3000)
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
    struct tls_fixture *fixture = *state;

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
    struct tls_fixture *fixture = *state;
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
    struct tls_fixture *fixture = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(versions); i++) {
        SSL_CTX *server = server_context(fixture, NULL), *client = client_context(fixture);
        struct pair pair;

        SSL_CTX_set_max_proto_version(client, versions[i]);
        test_clock_shift_s = 0;
        assert_false(is_resumed(client, server, "mail.example.org", "sv1 143"));
        test_clock_shift_s = TLS_SESSIONS_AGE_S - 1000;
        assert_true(is_resumed(client, server, "mail.example.org", "sv1 143"));
        test_clock_shift_s = TLS_SESSIONS_AGE_S + 1000;
        assert_false(is_resumed(client, server, "mail.example.org", "sv1 143"));
        test_clock_shift_s = TEST_CERTIFICATE_S - 1000;
        (void)is_resumed(client, server, "mail.example.org", "sv1 143");
        test_clock_shift_s = TEST_CERTIFICATE_S + 100;
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
#define TEST(name) cmocka_unit_test_setup_teardown(name, tls_fixture_setup, tls_fixture_teardown)
        TEST(a_ticket_of_one_worker_is_good_in_all_that_share_its_keys),
        TEST(a_ticket_is_good_for_two_more_keys),
        TEST(an_identity_is_not_resumed_under_other_authorities),
        TEST(an_identity_ends_with_its_certificate_however_often_it_is_resumed),
        TEST(sessions_are_resumed_with_the_peer_that_gave_them),
        TEST(a_session_of_tls_1_3_is_offered_once),
        TEST(a_backend_shows_its_certificate_now_and_then),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
