/* SPDX-License-Identifier: Apache-2.0 */
/* Logins by each SASL mechanism, with a client and a backend that the test plays. */
#include "tests/unit/session_support.h"

#include "common/proto/sasl.h"
#include "common/service/config_table.h"
#include "common/session/login_master.h"

/* "user=anna^Aauth=Bearer t^A^A", and the same for somebody whom nobody knows. */
#define ANNAS_TOKEN "dXNlcj1hbm5hAWF1dGg9QmVhcmVyIHQBAQ=="
#define NOBODYS_TOKEN "dXNlcj1ub2JvZHkBYXV0aD1CZWFyZXIgdAEB"
#define CHALLENGE "eyJzdGF0dXMiOiI0MDEiLCJzY2hlbWVzIjoiYmVhcmVyIn0="

static void a_token_is_replayed_and_its_refusal_looks_like_that_of_an_unknown_account(void **state)
{
    struct rig *rig = *state;
    struct peer *client = rig_connect(rig, &rig->imap);
    struct peer *backend;

    rig_expect(client, "AUTH=XOAUTH2 AUTH=OAUTHBEARER]");
    rig_say(client, "1 AUTHENTICATE XOAUTH2 " ANNAS_TOKEN "\r\n");
    backend = rig_accept(rig, 0);
    rig_say(backend, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=XOAUTH2] ready\r\n");
    /* user=anna@example.org^Aauth=Bearer t^A^A */
    rig_expect(backend, "a AUTHENTICATE XOAUTH2 "
                        "dXNlcj1hbm5hQGV4YW1wbGUub3JnAWF1dGg9QmVhcmVyIHQBAQ==\r\n");
    rig_say(backend, "+ " CHALLENGE "\r\n");
    rig_expect(backend, "AQ==\r\n");
    rig_say(backend, "a NO [AUTHENTICATIONFAILED] no\r\n");
    rig_expect(client, "+ " CHALLENGE "\r\n");
    rig_say(client, "\r\n2 AUTHENTICATE XOAUTH2 " NOBODYS_TOKEN "\r\n");
    rig_expect(client, "1 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n");
    rig_expect(client, "+ " CHALLENGE "\r\n");
    rig_say(client, "AQ==\r\n");
    rig_expect(client, "2 NO [AUTHENTICATIONFAILED] Authentication failed.\r\n");
    assert_int_equal(rig_count(rig, BOARD_LOGINS_REFUSED), 2);
    rig_close(client);
}

/* CR, LF, NUL, and whole commands in names, passwords and tokens; in base64, by any mechanism. */
static const struct {
    const char *mechanism, *response;
} injections[] = {
    { "PLAIN", "AGFubmENAHNlY3JldA==" },
    { "LOGIN", "YW5uYQ0=\r\nc2VjcmV0" },
    { "XOAUTH2", "dXNlcj1hbm5hDQFhdXRoPUJlYXJlciBzZWNyZXQBAQ==" },
    { "OAUTHBEARER", "bixhPWFubmENLAFhdXRoPUJlYXJlciBzZWNyZXQBAQ==" },
    { "PLAIN", "AGFubmEAc2VjDXJldA==" },
    { "LOGIN", "YW5uYQ==\r\nc2VjDXJldA==" },
    { "XOAUTH2", "dXNlcj1hbm5hAWF1dGg9QmVhcmVyIHNlYw1yZXQBAQ==" },
    { "OAUTHBEARER", "bixhPWFubmEsAWF1dGg9QmVhcmVyIHNlYw1yZXQBAQ==" },
    { "PLAIN", "AGFubmEKAHNlY3JldA==" },
    { "LOGIN", "YW5uYQo=\r\nc2VjcmV0" },
    { "XOAUTH2", "dXNlcj1hbm5hCgFhdXRoPUJlYXJlciBzZWNyZXQBAQ==" },
    { "OAUTHBEARER", "bixhPWFubmEKLAFhdXRoPUJlYXJlciBzZWNyZXQBAQ==" },
    { "PLAIN", "AGFubmEAc2VjCnJldA==" },
    { "LOGIN", "YW5uYQ==\r\nc2VjCnJldA==" },
    { "XOAUTH2", "dXNlcj1hbm5hAWF1dGg9QmVhcmVyIHNlYwpyZXQBAQ==" },
    { "OAUTHBEARER", "bixhPWFubmEsAWF1dGg9QmVhcmVyIHNlYwpyZXQBAQ==" },
    { "PLAIN", "AGFubmEAAHNlY3JldA==" },
    { "LOGIN", "YW5uYQA=\r\nc2VjcmV0" },
    { "XOAUTH2", "dXNlcj1hbm5hAAFhdXRoPUJlYXJlciBzZWNyZXQBAQ==" },
    { "OAUTHBEARER", "bixhPWFubmEALAFhdXRoPUJlYXJlciBzZWNyZXQBAQ==" },
    { "PLAIN", "AGFubmEAc2VjAHJldA==" },
    { "LOGIN", "YW5uYQ==\r\nc2VjAHJldA==" },
    { "XOAUTH2", "dXNlcj1hbm5hAWF1dGg9QmVhcmVyIHNlYwByZXQBAQ==" },
    { "OAUTHBEARER", "bixhPWFubmEsAWF1dGg9QmVhcmVyIHNlYwByZXQBAQ==" },
    { "PLAIN", "AGFubmENCmEyIERFTEVURSBJTkJPWA0KAHNlY3JldA==" },
    { "LOGIN", "YW5uYQ0KYTIgREVMRVRFIElOQk9YDQo=\r\nc2VjcmV0" },
    { "XOAUTH2", "dXNlcj1hbm5hDQphMiBERUxFVEUgSU5CT1gNCgFhdXRoPUJlYXJlciBzZWNyZXQBAQ==" },
    { "OAUTHBEARER", "bixhPWFubmENCmEyIERFTEVURSBJTkJPWA0KLAFhdXRoPUJlYXJlciBzZWNyZXQBAQ==" },
    { "PLAIN", "AGFubmEAc2VjDQphMiBERUxFVEUgSU5CT1gNCnJldA==" },
    { "LOGIN", "YW5uYQ==\r\nc2VjDQphMiBERUxFVEUgSU5CT1gNCnJldA==" },
    { "XOAUTH2", "dXNlcj1hbm5hAWF1dGg9QmVhcmVyIHNlYw0KYTIgREVMRVRFIElOQk9YDQpyZXQBAQ==" },
    { "OAUTHBEARER", "bixhPWFubmEsAWF1dGg9QmVhcmVyIHNlYw0KYTIgREVMRVRFIElOQk9YDQpyZXQBAQ==" },
};

/* Waits for `text` and nothing else. */
static void rig_expect_only(struct rig *rig, struct peer *peer, const char *text)
{
    size_t length = strlen(text);

    while (peer->received.length < length)
        rig_wait(rig, 2);
    assert_span(bytes_span(&peer->received), text);
    bytes_consume(&peer->received, length);
}

/* Logs in as it should be, behind all that was refused: the backend hears this and nothing else. */
static void check_nothing_was_injected(struct rig *rig, struct peer *client, bool is_imap)
{
    struct peer *backend;

    assert_null(rig->accepted[0]);
    rig_say(client, is_imap ? "z LOGIN anna secret\r\n" : "USER anna\r\nPASS secret\r\n");
    backend = rig_accept(rig, 0);
    rig_say(backend, is_imap ? "* OK [CAPABILITY IMAP4rev1] ready\r\n" : "+OK ready\r\n");
    if (is_imap) {
        rig_expect_only(rig, backend, "a LOGIN \"anna@example.org\" \"secret\"\r\n");
    } else {
        rig_expect_only(rig, backend, "USER anna@example.org\r\n");
        rig_say(backend, "+OK\r\n");
        rig_expect_only(rig, backend, "PASS secret\r\n");
    }
    rig_close(client);
    rig_close(backend);
    rig_expect_no_session(rig);
}

/* Says one of them, and hears that it is malformed. */
static void inject(struct peer *client, size_t index, bool is_imap)
{
    char line[512];

    snprintf(line, sizeof(line), "%s %s %s\r\n", is_imap ? "a1 AUTHENTICATE" : "AUTH",
             injections[index].mechanism, injections[index].response);
    rig_say(client, line);
    rig_expect(client, is_imap ? "a1 BAD Malformed authentication response.\r\n"
                               : "-ERR Malformed authentication response.\r\n");
}

static void nothing_in_a_credential_reaches_a_backend_as_a_command(void **state)
{
    enum { AT_A_TIME = 8 /* a client is shown out after ten errors */ };
    struct rig *rig = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(injections); i += AT_A_TIME)
        for (int is_imap = 0; is_imap < 2; is_imap++) {
            struct peer *client = rig_connect(rig, is_imap ? &rig->imap : &rig->pop3);

            rig_expect(client, "\r\n");
            for (size_t j = i; j < i + AT_A_TIME && j < ARRAY_LENGTH(injections); j++)
                inject(client, j, is_imap);
            check_nothing_was_injected(rig, client, is_imap);
        }
}

static void nothing_in_a_literal_or_an_argument_reaches_a_backend_as_a_command(void **state)
{
    static const char *const commands[] = { "a1 LOGIN {4+}\r\nan\r\n {6+}\r\nsecret\r\n",
                                            "a1 LOGIN anna {6+}\r\nse\r\net\r\n",
                                            "a1 LOGIN anna {3+}\r\na\nb\r\n",
                                            "a1 LOGIN anna \"se\ncret\"\r\n",
                                            "a1 LOGIN an\rna secret\r\n" };
    struct rig *rig = *state;

    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        struct peer *client = rig_connect(rig, &rig->imap);

        rig_say(client, commands[i]);
        rig_expect(client, "a1 BAD ");
        check_nothing_was_injected(rig, client, true);
    }
}

static void a_node_takes_the_master_user_from_a_frontend(void **state)
{
    struct rig *rig = *state;
    char user[] = "root", separator[] = "*";
    struct peer *client, *backend;

    rig->config.master = (struct master_config){ .user = user, .separator = separator };
    for (int is_trusted = 0; is_trusted < 2; is_trusted++) {
        rig->service.peers_are_trusted = is_trusted;
        client = rig_connect(rig, &rig->pop3);
        rig_say(client, "USER anna*root\r\nPASS secret\r\n");
        if (is_trusted) {
            backend = rig_accept(rig, 0);
            rig_say(backend, "+OK ready\r\n");
            rig_expect(backend, "USER anna@example.org*root\r\n");
            rig_close(backend);
        } else { /* nobody has that name */
            rig_expect(client, "-ERR [AUTH] Authentication failed.\r\n");
        }
        rig_close(client);
        rig_expect_no_session(rig);
    }
    rig->service.peers_are_trusted = false;
    rig->config.master.user = NULL;
}

static void a_certificate_is_logged_in_as_the_master_user(void **state)
{
    struct rig *rig = *state;
    struct credentials credentials = { .kind = CREDENTIALS_EXTERNAL, .authcid = "anna" };
    char user[] = "root", separator[] = "*", name[LOGIN_NAME_SIZE];

    assert_false(login_master_prepare(&rig->service, true, &credentials, "anna@e.org", name));
    rig->config.master = (struct master_config){ .user = user,
                                                 .separator = separator,
                                                 .password.value = "masterly" };
    for (int i = 0; i < 2; i++) { /* a held login is prepared again */
        assert_true(login_master_prepare(&rig->service, true, &credentials, "anna@e.org", name));
        assert_string_equal(name, "anna@e.org*root");
        assert_string_equal(credentials.password, "masterly");
        assert_int_equal(credentials.kind, CREDENTIALS_PASSWORD);
    }
    assert_true(login_master_prepare(&rig->service, false, &credentials, "anna@e.org", name));
    assert_string_equal(name, "anna@e.org");
    rig->config.master.user = NULL;
}

static void the_mechanisms_of_the_configuration_are_those_of_sasl(void **unused)
{
    const char *const *words = NULL;
    enum sasl_mechanism mechanism = 0;

    (void)unused;
    for (size_t i = 0; i < config_section_count; i++)
        if (strcmp(config_sections[i]->path, "listen") == 0)
            words = config_section_find(config_sections[i], "mechanisms")->words;
    assert_non_null(words);
    for (; words[mechanism]; mechanism++)
        assert_string_equal(words[mechanism], sasl_mechanism_name(mechanism));
    assert_int_equal(mechanism, SASL_MECHANISMS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
        T(a_token_is_replayed_and_its_refusal_looks_like_that_of_an_unknown_account),
        T(nothing_in_a_credential_reaches_a_backend_as_a_command),
        T(nothing_in_a_literal_or_an_argument_reaches_a_backend_as_a_command),
        T(a_node_takes_the_master_user_from_a_frontend),
        T(a_certificate_is_logged_in_as_the_master_user),
        cmocka_unit_test(the_mechanisms_of_the_configuration_are_those_of_sasl),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
