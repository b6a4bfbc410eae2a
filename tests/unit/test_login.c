/* SPDX-License-Identifier: Apache-2.0 */
/* The login machines against each other: what a client machine replays is what a server reads. */
#include "tests/unit/unit.h"

#include "common/base/memory.h"
#include "common/proto/imap_client.h"
#include "common/proto/imap_server.h"
#include "common/proto/pop3_client.h"
#include "common/proto/pop3_server.h"

struct protocol {
    const struct login_server_ops *server;
    const struct login_client_ops *client;
};

static const struct protocol protocols[] = {
    { &imap_server_ops, &imap_client_ops },
    { &pop3_server_ops, &pop3_client_ops },
};

/* A client machine and a server machine with wires between them. */
struct pair {
    const struct protocol *protocol;
    void *server, *client;                   /* owned */
    char to_server[32768], to_client[32768]; /* all that was ever sent */
    struct buffer server_input, client_input;
    size_t server_used, client_used;
    struct credentials credentials;
};

static void pair_start(struct pair *pair, const struct protocol *protocol, const char *name,
                       bool is_trusted, bool starttls)
{
    static const struct forwarded forwarded = { "192.0.2.1", 4711, "8fk2", 4, true, NULL };
    struct login_server_options server_options = { .hostname = "sv1",
                                                   .tls_available = starttls,
                                                   .plaintext_allowed = !starttls,
                                                   .peer_is_trusted = is_trusted,
                                                   .sasl.mechanisms =
                                                       SASL_BIT(SASL_MECHANISMS) - 1 };
    struct login_client_options client_options = { .starttls = starttls,
                                                   .name = name,
                                                   .credentials = &pair->credentials,
                                                   .forwarded = &forwarded };

    pair->protocol = protocol;
    pair->server = memory_new(protocol->server->size);
    pair->client = memory_new(protocol->client->size);
    pair->server_input = buffer_over(pair->to_server, sizeof(pair->to_server));
    pair->client_input = buffer_over(pair->to_client, sizeof(pair->to_client));
    protocol->client->init(pair->client, &client_options);
    protocol->server->init(pair->server, &server_options, &pair->client_input);
}

static void pair_end(struct pair *pair)
{
    assert_false(pair->server_input.overflowed || pair->client_input.overflowed);
    login_server_fini(pair->server);
    free(pair->server);
    free(pair->client);
}

static enum login_client_event pair_run_client(struct pair *pair)
{
    struct span in = span_drop(buffer_span(&pair->client_input), pair->client_used);
    enum login_client_event event =
        pair->protocol->client->next(pair->client, &in, &pair->server_input);

    pair->client_used = pair->client_input.length - in.length;
    return event;
}

static enum login_event pair_run_server(struct pair *pair)
{
    struct span in = span_drop(buffer_span(&pair->server_input), pair->server_used);
    enum login_event event = pair->protocol->server->next(pair->server, &in, &pair->client_input);

    pair->server_used = pair->server_input.length - in.length;
    return event;
}

/* Lets both talk until the server has credentials; false when the client gave up before. */
static bool pair_meet(struct pair *pair)
{
    for (int turn = 0; turn < 10; turn++) {
        enum login_client_event client = pair_run_client(pair);
        enum login_event server = pair_run_server(pair);

        if (client == LOGIN_CLIENT_FAILED || client == LOGIN_CLIENT_REFUSED)
            return false;
        if (server == LOGIN_CREDENTIALS)
            return true;
        if (server == LOGIN_STARTTLS) {
            assert_int_equal(pair_run_client(pair), LOGIN_CLIENT_STARTTLS);
            pair->protocol->server->tls_started(pair->server);
            pair->protocol->client->tls_started(pair->client);
        }
    }
    fail_msg("no credentials after ten turns");
    return false;
}

static void check_replayed(struct pair *pair, const char *name, bool is_trusted)
{
    const struct credentials *got = login_server_credentials(pair->server);
    const struct forwarded *forwarded = &((const struct login_server *)pair->server)->forwarded;

    assert_string_equal(got->authcid, name);
    assert_string_equal(got->password, pair->credentials.password);
    assert_string_equal(forwarded->address, is_trusted ? "192.0.2.1" : "");
    assert_int_equal(forwarded->port, is_trusted ? 4711 : 0);
    assert_string_equal(forwarded->session_id, is_trusted ? "8fk2" : "");
    assert_int_equal(forwarded->ttl, is_trusted ? 4 : 0);
}

/* Replays one login in each way that a backend may be. */
static void check_login(const struct protocol *protocol, const char *name, const char *password)
{
    for (unsigned way = 0; way < 4; way++) {
        bool is_trusted = way & 1, starttls = way & 2;
        struct pair pair = { .protocol = NULL };

        assert_true(span_copy_string(span_from_string(password), pair.credentials.password,
                                     sizeof(pair.credentials.password)));
        pair_start(&pair, protocol, name, is_trusted, starttls);
        assert_true(pair_meet(&pair));
        check_replayed(&pair, name, is_trusted);
        protocol->server->accept(pair.server, SPAN_LITERAL("[X] welcome"), &pair.client_input);
        assert_true(buffer_append_string(&pair.client_input, "more"));
        assert_int_equal(pair_run_client(&pair), LOGIN_CLIENT_ACCEPTED);
        assert_span(login_client_text(pair.client), "[X] welcome");
        assert_int_equal(pair.client_input.length - pair.client_used, strlen("more"));
        pair_end(&pair);
    }
}

static void test_every_name_and_password_arrives_as_it_was(void **unused)
{
    static const char *const words[] = { "alice@example.org",
                                         " ",
                                         "a b",
                                         "\"",
                                         "\\",
                                         "a\\\"b",
                                         "{5}",
                                         "{5+}",
                                         "NIL",
                                         "*",
                                         "=",
                                         "\t",
                                         "]",
                                         "[x]",
                                         "j\xc3\xbcrgen",
                                         "\x01",
                                         "\x7f",
                                         "+OK",
                                         "(",
                                         "%",
                                         "\xff\xfe",
                                         "p assword",
                                         "\\\\ ",
                                         " lead",
                                         "trail ",
                                         "a\"",
                                         ".",
                                         "$|;&" };

    (void)unused;
    for (size_t p = 0; p < ARRAY_LENGTH(protocols); p++)
        for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
            for (size_t j = 0; j < ARRAY_LENGTH(words); j++)
                check_login(&protocols[p], words[i], words[j]);
}

static void test_every_length_arrives_as_it_was(void **unused)
{
    (void)unused;
    for (size_t p = 0; p < ARRAY_LENGTH(protocols); p++)
        for (size_t length = 1; length < LOGIN_PASSWORD_SIZE; length += length < 300 ? 1 : 181) {
            char name[LOGIN_NAME_SIZE] = "", password[LOGIN_PASSWORD_SIZE] = "";

            memset(name, '"', length < LOGIN_NAME_SIZE ? length : LOGIN_NAME_SIZE - 1);
            memset(password, '\\', length);
            check_login(&protocols[p], name, password);
        }
}

/* A refusal by the server, as the client machine understands it. */
static enum login_client_event refusal_seen(const struct protocol *protocol,
                                            const struct login_refusal *refusal,
                                            char text[LOGIN_TEXT_SIZE], enum login_denial *denial)
{
    struct pair pair = { .credentials.password = "secret" };
    enum login_client_event event;

    pair_start(&pair, protocol, "alice", true, false);
    assert_true(pair_meet(&pair));
    protocol->server->refuse(pair.server, refusal, &pair.client_input);
    event = pair_run_client(&pair);
    login_copy_text(login_client_text(pair.client), text);
    *denial = ((const struct login_client *)pair.client)->denial;
    pair_end(&pair);
    return event;
}

static void test_a_refusal_is_told_on_as_it_was_meant(void **unused)
{
    (void)unused;
    for (size_t p = 0; p < ARRAY_LENGTH(protocols); p++) {
        struct login_refusal refusal = { .reason = LOGIN_REFUSED_CREDENTIALS };
        char text[LOGIN_TEXT_SIZE];
        enum login_denial denial;

        assert_int_equal(refusal_seen(&protocols[p], &refusal, text, &denial),
                         LOGIN_CLIENT_REFUSED);
        assert_int_equal(denial, LOGIN_DENIED);
        refusal.reason = LOGIN_REFUSED_TEMPORARY;
        assert_int_equal(refusal_seen(&protocols[p], &refusal, text, &denial),
                         LOGIN_CLIENT_REFUSED);
        assert_int_equal(denial, LOGIN_DENIED_FOR_NOW);
        refusal.reason = LOGIN_REFUSED_ELSEWHERE;
        assert_int_equal(refusal_seen(&protocols[p], &refusal, text, &denial),
                         LOGIN_CLIENT_REFUSED);
        assert_int_equal(denial, LOGIN_DENIED_ELSEWHERE);
        refusal = (struct login_refusal){ .reason = LOGIN_REFUSED_BY_BACKEND,
                                          .text = SPAN_LITERAL("[X] not you") };
        assert_int_equal(refusal_seen(&protocols[p], &refusal, text, &denial),
                         LOGIN_CLIENT_REFUSED);
        assert_int_equal(denial, LOGIN_DENIED);
        assert_string_equal(text, "[X] not you");
    }
}

static void test_a_server_that_ends_makes_the_client_fail_or_be_refused_for_now(void **unused)
{
    (void)unused;
    for (size_t p = 0; p < ARRAY_LENGTH(protocols); p++) {
        struct pair pair = { .credentials.password = "secret" };
        enum login_client_event event;

        pair_start(&pair, &protocols[p], "alice", false, false);
        assert_true(pair_meet(&pair));
        protocols[p].server->goodbye(pair.server, "going away", &pair.client_input);
        event = pair_run_client(&pair);
        assert_true(event == LOGIN_CLIENT_FAILED ||
                    (event == LOGIN_CLIENT_REFUSED &&
                     ((const struct login_client *)pair.client)->denial == LOGIN_DENIED_FOR_NOW));
        pair_end(&pair);
    }
}

/* Replays the longest token, and has it refused by a challenge. */
static void check_token(const struct protocol *protocol, enum credentials_kind kind,
                        bool is_trusted, bool starttls)
{
    struct login_refusal refusal = { LOGIN_REFUSED_BY_BACKEND, SPAN_LITERAL("[X] not this one"),
                                     SPAN_LITERAL("eyJzdGF0dXMiOiI0MDEifQ==") };
    struct pair pair = { .credentials.kind = kind };
    const struct credentials *got;

    memset(pair.credentials.token, '~', LOGIN_TOKEN_SIZE - 1);
    pair_start(&pair, protocol, "a,=b@example.org", is_trusted, starttls);
    assert_true(pair_meet(&pair));
    got = login_server_credentials(pair.server);
    assert_int_equal(got->kind, kind);
    assert_string_equal(got->authcid, "a,=b@example.org");
    assert_string_equal(got->token, pair.credentials.token);
    protocol->server->refuse(pair.server, &refusal, &pair.client_input);
    assert_int_equal(pair_run_client(&pair), LOGIN_CLIENT_NEED_INPUT);
    assert_int_equal(pair_run_server(&pair), LOGIN_NEED_INPUT);
    assert_int_equal(pair_run_client(&pair), LOGIN_CLIENT_REFUSED);
    assert_span(login_client_text(pair.client), "[X] not this one");
    assert_span(login_client_challenge(pair.client), "eyJzdGF0dXMiOiI0MDEifQ==");
    pair_end(&pair);
}

static void test_the_longest_token_arrives_and_its_refusal_comes_back(void **unused)
{
    (void)unused;
    for (size_t p = 0; p < ARRAY_LENGTH(protocols); p++)
        for (unsigned way = 0; way < 8; way++)
            check_token(&protocols[p], way & 4 ? CREDENTIALS_XOAUTH2 : CREDENTIALS_OAUTHBEARER,
                        way & 1, way & 2);
}

/* True when `secret` stands anywhere in the memory. */
static bool memory_holds(const void *memory, size_t size, const char *secret)
{
    return memmem(memory, size, secret, strlen(secret)) != NULL;
}

static void test_an_answered_or_ended_server_holds_no_password(void **unused)
{
    (void)unused;
    for (size_t p = 0; p < ARRAY_LENGTH(protocols); p++) {
        for (int answer = 0; answer < 4; answer++) {
            const struct login_server_ops *ops = protocols[p].server;
            struct login_refusal refusal = { .reason = LOGIN_REFUSED_CREDENTIALS };
            struct pair pair = { .credentials.password = "hunter2-hunter2" };

            pair_start(&pair, &protocols[p], "alice", false, false);
            assert_true(pair_meet(&pair));
            assert_true(memory_holds(pair.server, ops->size, "hunter2"));
            if (answer == 0)
                ops->refuse(pair.server, &refusal, &pair.client_input);
            else if (answer == 1)
                ops->accept(pair.server, SPAN_LITERAL("in"), &pair.client_input);
            else if (answer == 2)
                ops->goodbye(pair.server, "going away", &pair.client_input);
            else
                login_server_fini(pair.server);
            assert_false(memory_holds(pair.server, ops->size, "hunter2"));
            pair_end(&pair);
        }
    }
}

static void test_forwarded_fields_are_checked(void **unused)
{
    struct forwarded forwarded = { "192.0.2.1", 1, "old", 2, true, NULL };

    (void)unused;
    assert_false(forwarded_set(&forwarded, FORWARDED_ADDRESS, SPAN_LITERAL("")));
    assert_false(forwarded_set(&forwarded, FORWARDED_ADDRESS, SPAN_LITERAL("192.0.2.1\r\n")));
    assert_false(forwarded_set(&forwarded, FORWARDED_ADDRESS, SPAN_LITERAL("192.0.2.1\0")));
    assert_false(forwarded_set(&forwarded, FORWARDED_ADDRESS, SPAN_LITERAL("192.0.2")));
    assert_false(forwarded_set(&forwarded, FORWARDED_PORT, SPAN_LITERAL("65536")));
    assert_false(forwarded_set(&forwarded, FORWARDED_PORT, SPAN_LITERAL("")));
    assert_false(forwarded_set(&forwarded, FORWARDED_SESSION, SPAN_LITERAL("a b")));
    assert_false(forwarded_set(&forwarded, FORWARDED_SESSION, SPAN_LITERAL("a\n")));
    assert_false(forwarded_set(&forwarded, FORWARDED_SESSION,
                               SPAN_LITERAL("0123456789012345678901234567890123456789")));
    assert_false(forwarded_set(&forwarded, FORWARDED_TTL, SPAN_LITERAL("256")));
    assert_string_equal(forwarded.address, "192.0.2.1");
    assert_int_equal(forwarded.port, 1);
    assert_string_equal(forwarded.session_id, "old");
    assert_int_equal(forwarded.ttl, 2);
    assert_true(forwarded_set(&forwarded, FORWARDED_ADDRESS, SPAN_LITERAL("::ffff:192.0.2.1")));
    assert_true(forwarded_set(&forwarded, FORWARDED_PORT, SPAN_LITERAL("65535")));
    assert_true(forwarded_set(&forwarded, FORWARDED_TTL, SPAN_LITERAL("0")));
    assert_string_equal(forwarded.address, "::ffff:192.0.2.1");
    assert_int_equal(forwarded.port, 65535);
    assert_int_equal(forwarded.ttl, 0);
}

static void test_a_line_ends_with_crlf_only(void **unused)
{
    struct span in = SPAN_LITERAL("ab\r\nc\nd\re\r\n\0\r\n\r\n\r"), line = SPAN_EMPTY;

    (void)unused;
    assert_int_equal(login_take_line(&in, 4, &line), LOGIN_LINE_WHOLE);
    assert_span(line, "ab");
    assert_int_equal(login_take_line(&in, 10, &line), LOGIN_LINE_BROKEN);
    assert_int_equal(login_take_line(&in, 10, &line), LOGIN_LINE_BROKEN);
    assert_int_equal(login_take_line(&in, 10, &line), LOGIN_LINE_BROKEN);
    assert_int_equal(login_take_line(&in, 10, &line), LOGIN_LINE_WHOLE);
    assert_span(line, "");
    assert_int_equal(login_take_line(&in, 10, &line), LOGIN_LINE_NONE);
    assert_int_equal(in.length, 1);
    assert_int_equal(login_take_line(&in, 1, &line), LOGIN_LINE_TOO_LONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_name_and_password_arrives_as_it_was),
        cmocka_unit_test(test_every_length_arrives_as_it_was),
        cmocka_unit_test(test_a_refusal_is_told_on_as_it_was_meant),
        cmocka_unit_test(test_a_server_that_ends_makes_the_client_fail_or_be_refused_for_now),
        cmocka_unit_test(test_the_longest_token_arrives_and_its_refusal_comes_back),
        cmocka_unit_test(test_an_answered_or_ended_server_holds_no_password),
        cmocka_unit_test(test_forwarded_fields_are_checked),
        cmocka_unit_test(test_a_line_ends_with_crlf_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
