/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include "common/base/memory.h"
#include "common/proto/sasl.h"

#define TOKEN "ya29.vF9dft4qmTc2Nvb3RlckBhdHRhdmlzdGEuY29tCg=="

static const struct sasl_options all = { .mechanisms = SASL_BIT(SASL_MECHANISMS) - 1,
                                         .external_identity = "alice@example.org" };

/* An exchange, and what it was told in base64. */
struct talk {
    struct sasl_exchange exchange;
    struct credentials credentials;
    const struct sasl_options *options;
    char memory[2 * SASL_ENCODED_MAX];
};

static struct span talk_encode(struct talk *talk, struct span plain)
{
    struct buffer text = buffer_over(talk->memory, sizeof(talk->memory));

    assert_true(base64_encode(plain, &text));
    return buffer_span(&text);
}

/* One message as an initial response and, in a second exchange, as a response: it is the same. */
static enum sasl_result tell(struct talk *talk, const char *mechanism, struct span plain)
{
    struct span text = talk_encode(talk, plain), name = span_from_string(mechanism);
    struct credentials second = { .authcid = "old" };
    enum sasl_result result;

    if (!talk->options)
        talk->options = &all;
    assert_int_equal(sasl_start(&talk->exchange, talk->options, name, NULL, &second),
                     SASL_CHALLENGE);
    assert_string_equal(sasl_challenge(&talk->exchange), "");
    result = sasl_respond(&talk->exchange, talk->options, text, &second);
    assert_int_equal(result,
                     sasl_start(&talk->exchange, talk->options, name, &text, &talk->credentials));
    assert_memory_equal(&second, &talk->credentials, sizeof(second));
    return result;
}

#define TELL(talk, mechanism, literal) tell(talk, mechanism, SPAN_LITERAL(literal))

/* Each of these is malformed, and leaves nothing behind. */
static void check_malformed(const char *mechanism, const struct span *messages, size_t count)
{
    static const struct credentials nothing;

    for (size_t i = 0; i < count; i++) {
        struct talk talk = { .options = NULL };

        assert_int_equal(tell(&talk, mechanism, messages[i]), SASL_MALFORMED);
        assert_memory_equal(&talk.credentials, &nothing, sizeof(nothing));
    }
}

static void test_plain_takes_an_authzid_that_says_the_same(void **unused)
{
    struct talk talk = { .options = NULL };

    (void)unused;
    assert_int_equal(TELL(&talk, "PLAIN", "\0alice\0se cret"), SASL_OK);
    assert_string_equal(talk.credentials.authcid, "alice");
    assert_string_equal(talk.credentials.password, "se cret");
    assert_int_equal(talk.credentials.kind, CREDENTIALS_PASSWORD);
    assert_int_equal(TELL(&talk, "plain", "bob\0bob\0x"), SASL_OK);
    assert_string_equal(talk.credentials.authcid, "bob");
    assert_int_equal(TELL(&talk, "PLAIN", "alice\0bob\0x"), SASL_AUTHZID_REFUSED);
    assert_int_equal(TELL(&talk, "PLAIN", "bo\0bob\0x"), SASL_AUTHZID_REFUSED);
    assert_string_equal(talk.credentials.authcid, "");
}

static void test_plain_that_is_malformed_leaves_nothing(void **unused)
{
    static const struct span messages[] = {
        SPAN_LITERAL(""),
        SPAN_LITERAL("alice"),
        SPAN_LITERAL("alice\0"),
        SPAN_LITERAL("\0alice"),
        SPAN_LITERAL("\0alice\0"),
        SPAN_LITERAL("\0\0secret"),
        SPAN_LITERAL("\0alice\0secret\0"),
        SPAN_LITERAL("\0alice\0sec\rret"),
        SPAN_LITERAL("\0alice\0secret\n"),
        SPAN_LITERAL("\0ali\nce\0secret"),
        SPAN_LITERAL("\0ali\r\nLOGOUT\0secret"),
        SPAN_LITERAL("a\nb\0a\nb\0secret"),
    };

    (void)unused;
    check_malformed("PLAIN", messages, ARRAY_LENGTH(messages));
}

static void test_a_response_that_is_no_base64_is_malformed(void **unused)
{
    static const struct span responses[] = { SPAN_LITERAL("AGFsaWNlAHNlY3JldA"), SPAN_LITERAL(" "),
                                             SPAN_LITERAL("=AA="),
                                             SPAN_LITERAL("AGFs aWNlAHNlY3JldA=="),
                                             SPAN_LITERAL("**") };
    struct talk talk;

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(responses); i++) {
        assert_int_equal(sasl_start(&talk.exchange, &all, SPAN_LITERAL("PLAIN"), &responses[i],
                                    &talk.credentials),
                         SASL_MALFORMED);
        assert_string_equal(talk.credentials.authcid, "");
    }
}

/* A PLAIN message with a name and a password of these lengths. */
static enum sasl_result tell_long(struct talk *talk, size_t name, size_t password)
{
    char plain[4096] = { 0 };

    memset(plain + 1, 'n', name);
    memset(plain + 2 + name, 'p', password);
    return tell(talk, "PLAIN", span_of(plain, name + password + 2));
}

static void test_plain_takes_all_that_fits_and_no_more(void **unused)
{
    struct talk talk = { .options = NULL };

    (void)unused;
    assert_int_equal(tell_long(&talk, LOGIN_NAME_SIZE - 1, LOGIN_PASSWORD_SIZE - 1), SASL_OK);
    assert_int_equal(strlen(talk.credentials.authcid), LOGIN_NAME_SIZE - 1);
    assert_int_equal(strlen(talk.credentials.password), LOGIN_PASSWORD_SIZE - 1);
    assert_int_equal(tell_long(&talk, LOGIN_NAME_SIZE, 1), SASL_MALFORMED);
    assert_int_equal(tell_long(&talk, 1, LOGIN_PASSWORD_SIZE), SASL_MALFORMED);
    assert_int_equal(tell_long(&talk, 1, 3000), SASL_MALFORMED);
}

/* SASL LOGIN from a name, initial or not, to the password. */
static enum sasl_result tell_login(struct talk *talk, struct span name, struct span password,
                                   bool is_initial)
{
    const struct span mechanism = SPAN_LITERAL("LOGIN");
    struct span text = talk_encode(talk, name);
    enum sasl_result result;

    if (is_initial) {
        result = sasl_start(&talk->exchange, &all, mechanism, &text, &talk->credentials);
    } else {
        result = sasl_start(&talk->exchange, &all, mechanism, NULL, &talk->credentials);
        assert_int_equal(result, SASL_CHALLENGE);
        assert_string_equal(sasl_challenge(&talk->exchange), "VXNlcm5hbWU6");
        result = sasl_respond(&talk->exchange, &all, text, &talk->credentials);
    }
    if (result != SASL_CHALLENGE)
        return result;
    assert_string_equal(sasl_challenge(&talk->exchange), "UGFzc3dvcmQ6");
    return sasl_respond(&talk->exchange, &all, talk_encode(talk, password), &talk->credentials);
}

static void test_login_asks_for_a_name_and_a_password(void **unused)
{
    struct talk talk;

    (void)unused;
    for (int is_initial = 0; is_initial < 2; is_initial++) {
        assert_int_equal(
            tell_login(&talk, SPAN_LITERAL("alice"), SPAN_LITERAL("se cret"), is_initial), SASL_OK);
        assert_int_equal(talk.credentials.kind, CREDENTIALS_PASSWORD);
        assert_string_equal(talk.credentials.authcid, "alice");
        assert_string_equal(talk.credentials.password, "se cret");
        assert_int_equal(tell_login(&talk, SPAN_LITERAL("al\0ice"), SPAN_LITERAL("x"), is_initial),
                         SASL_MALFORMED);
        assert_int_equal(tell_login(&talk, SPAN_LITERAL("al\nice"), SPAN_LITERAL("x"), is_initial),
                         SASL_MALFORMED);
        assert_int_equal(tell_login(&talk, SPAN_LITERAL(""), SPAN_LITERAL("x"), is_initial),
                         SASL_MALFORMED);
        assert_int_equal(tell_login(&talk, SPAN_LITERAL("alice"), SPAN_LITERAL(""), is_initial),
                         SASL_MALFORMED);
        assert_int_equal(
            tell_login(&talk, SPAN_LITERAL("alice"), SPAN_LITERAL("x\r\n"), is_initial),
            SASL_MALFORMED);
        assert_string_equal(talk.credentials.authcid, "");
    }
}

static void test_a_star_cancels_at_every_step(void **unused)
{
    const struct span star = SPAN_LITERAL("*"), name = SPAN_LITERAL("YWxpY2U=");
    struct talk talk;

    (void)unused;
    for (enum sasl_mechanism i = 0; i < SASL_MECHANISMS; i++) {
        const struct span mechanism = span_from_string(sasl_mechanism_name(i));

        assert_int_equal(sasl_start(&talk.exchange, &all, mechanism, NULL, &talk.credentials),
                         SASL_CHALLENGE);
        assert_int_equal(sasl_respond(&talk.exchange, &all, star, &talk.credentials),
                         SASL_CANCELLED);
    }
    assert_int_equal(
        sasl_start(&talk.exchange, &all, SPAN_LITERAL("LOGIN"), &name, &talk.credentials),
        SASL_CHALLENGE);
    assert_int_equal(sasl_respond(&talk.exchange, &all, star, &talk.credentials), SASL_CANCELLED);
    assert_string_equal(talk.credentials.authcid, "");
}

static void test_xoauth2_finds_the_user_and_the_token(void **unused)
{
    struct talk talk = { .options = NULL };

    (void)unused;
    assert_int_equal(TELL(&talk, "XOAUTH2", "user=a@example.org\1auth=Bearer " TOKEN "\1\1"),
                     SASL_OK);
    assert_int_equal(talk.credentials.kind, CREDENTIALS_XOAUTH2);
    assert_string_equal(talk.credentials.authcid, "a@example.org");
    assert_string_equal(talk.credentials.token, TOKEN);
    assert_int_equal(TELL(&talk, "xoauth2", "AUTH=bearer  x\1more=\1user=a=b\1\1"), SASL_OK);
    assert_string_equal(talk.credentials.authcid, "a=b");
    assert_string_equal(talk.credentials.token, "x");
}

static void test_xoauth2_that_is_malformed_leaves_nothing(void **unused)
{
    static const struct span messages[] = {
        SPAN_LITERAL(""),
        SPAN_LITERAL("\1"),
        SPAN_LITERAL("user=a\1\1"),
        SPAN_LITERAL("auth=Bearer x\1\1"),
        SPAN_LITERAL("user=a\1auth=Bearer x\1"),
        SPAN_LITERAL("user=a\1auth=Bearer x"),
        SPAN_LITERAL("user=a\1auth=Bearer x\1\1\1"),
        SPAN_LITERAL("user=a\1auth=Bearer x\1\1user=b"),
        SPAN_LITERAL("user=a\1user=b\1auth=Bearer x\1\1"),
        SPAN_LITERAL("user=a\1auth=Bearer x\1auth=Bearer y\1\1"),
        SPAN_LITERAL("user=\1auth=Bearer x\1\1"),
        SPAN_LITERAL("user=a\1auth=Bearer \1\1"),
        SPAN_LITERAL("user=a\1auth=Basic x\1\1"),
        SPAN_LITERAL("user=a\1auth=Bearer x y\1\1"),
        SPAN_LITERAL("user=a\1auth=Bearer x\r\n\1\1"),
        SPAN_LITERAL("user=a\1auth=Bearer x\0\1\1"),
        SPAN_LITERAL("user=a\r\nQUIT\1auth=Bearer x\1\1"),
        SPAN_LITERAL("user=a\1auth=Bearer x\1other=\n\1\1"),
        SPAN_LITERAL("user=a\1auth=Bearer \xff\1\1"),
        SPAN_LITERAL("user=a\1=x\1auth=Bearer x\1\1"),
        SPAN_LITERAL("user=a\1flag\1auth=Bearer x\1\1"),
    };

    (void)unused;
    check_malformed("XOAUTH2", messages, ARRAY_LENGTH(messages));
}

static void test_oauthbearer_finds_the_user_and_the_token(void **unused)
{
    struct talk talk = { .options = NULL };

    (void)unused;
    assert_int_equal(TELL(&talk, "OAUTHBEARER",
                          "n,a=user@example.com,\1host=server.example.com\1port=143\1"
                          "auth=Bearer " TOKEN "\1\1"),
                     SASL_OK);
    assert_int_equal(talk.credentials.kind, CREDENTIALS_OAUTHBEARER);
    assert_string_equal(talk.credentials.authcid, "user@example.com");
    assert_string_equal(talk.credentials.token, TOKEN);
    assert_int_equal(TELL(&talk, "OAUTHBEARER", "y,a=a=2Cb=3Dc,\1auth=Bearer x\1\1"), SASL_OK);
    assert_string_equal(talk.credentials.authcid, "a,b=c");
}

static void test_oauthbearer_that_is_malformed_leaves_nothing(void **unused)
{
    static const struct span messages[] = {
        SPAN_LITERAL(""),
        SPAN_LITERAL("n,,\1auth=Bearer x\1\1"), /* nobody knows whose it is */
        SPAN_LITERAL("n,a=,\1auth=Bearer x\1\1"),
        SPAN_LITERAL("p=tls-unique,a=u,\1auth=Bearer x\1\1"),
        SPAN_LITERAL("n,u,\1auth=Bearer x\1\1"),
        SPAN_LITERAL("n,a=u\1auth=Bearer x\1\1"),
        SPAN_LITERAL("n,a=u,auth=Bearer x\1\1"),
        SPAN_LITERAL("n,a=u,\1\1"),
        SPAN_LITERAL("n,a=u,\1auth=Bearer x\1"),
        SPAN_LITERAL("n,a=u=2,\1auth=Bearer x\1\1"),
        SPAN_LITERAL("n,a=u=41,\1auth=Bearer x\1\1"),
        SPAN_LITERAL("n,a=u\1v,\1auth=Bearer x\1\1"),
        SPAN_LITERAL("n,a=u\nv,\1auth=Bearer x\1\1"),
        SPAN_LITERAL("n,a=u\0v,\1auth=Bearer x\1\1"),
        SPAN_LITERAL("n,a=u,\1auth=Bearer x\r\1\1"),
        SPAN_LITERAL("n,a=u,\1host=\r\n\1auth=Bearer x\1\1"),
        SPAN_LITERAL("n,a=u,"),
        SPAN_LITERAL("n,a=u"),
        SPAN_LITERAL("n"),
    };

    (void)unused;
    check_malformed("OAUTHBEARER", messages, ARRAY_LENGTH(messages));
}

/* An XOAUTH2 message with a name and a token of these lengths. */
static enum sasl_result tell_token(struct talk *talk, size_t name, size_t token)
{
    static char memory[2 * LOGIN_TOKEN_SIZE];
    struct buffer plain = buffer_over(memory, sizeof(memory));

    buffer_append_string(&plain, "user=");
    for (size_t i = 0; i < name; i++)
        buffer_append_byte(&plain, 'n');
    buffer_append_string(&plain, "\1auth=Bearer ");
    for (size_t i = 0; i < token; i++)
        buffer_append_byte(&plain, 't');
    buffer_append_string(&plain, "\1\1");
    return tell(talk, "XOAUTH2", buffer_span(&plain));
}

static void test_a_token_may_be_long_but_not_too_long(void **unused)
{
    static struct talk talk;

    (void)unused;
    assert_int_equal(tell_token(&talk, LOGIN_NAME_SIZE - 1, LOGIN_TOKEN_SIZE - 1), SASL_OK);
    assert_int_equal(strlen(talk.credentials.token), LOGIN_TOKEN_SIZE - 1);
    assert_int_equal(tell_token(&talk, LOGIN_NAME_SIZE, 1), SASL_MALFORMED);
    assert_int_equal(tell_token(&talk, 1, LOGIN_TOKEN_SIZE), SASL_MALFORMED);
    assert_int_equal(tell_token(&talk, 1, LOGIN_TOKEN_SIZE + 1000), SASL_MALFORMED);
}

static void test_external_is_the_certificates_identity(void **unused)
{
    struct sasl_options options = all;
    struct talk talk = { .options = &options };
    const struct span empty = SPAN_LITERAL("=");
    char other[] = "webmail", alice[] = "alice@example.org";
    char *const masters[] = { other, alice };

    (void)unused;
    assert_int_equal(TELL(&talk, "EXTERNAL", ""), SASL_OK);
    assert_string_equal(talk.credentials.authcid, "alice@example.org");
    assert_int_equal(talk.credentials.kind, CREDENTIALS_EXTERNAL);
    assert_int_equal(
        sasl_start(&talk.exchange, &options, SPAN_LITERAL("EXTERNAL"), &empty, &talk.credentials),
        SASL_OK);
    assert_int_equal(TELL(&talk, "EXTERNAL", "alice@example.org"), SASL_OK);
    assert_int_equal(TELL(&talk, "EXTERNAL", "bob@example.org"), SASL_AUTHZID_REFUSED);
    assert_string_equal(talk.credentials.authcid, "");
    options.external_masters = masters;
    options.external_master_count = 1;
    assert_int_equal(TELL(&talk, "EXTERNAL", "bob@example.org"), SASL_AUTHZID_REFUSED);
    options.external_master_count = 2;
    assert_int_equal(TELL(&talk, "EXTERNAL", "bob@example.org"), SASL_OK);
    assert_string_equal(talk.credentials.authcid, "bob@example.org");
    assert_int_equal(TELL(&talk, "EXTERNAL", "bob\r\n"), SASL_MALFORMED);
    assert_int_equal(TELL(&talk, "EXTERNAL", "bob\0x"), SASL_MALFORMED);
}

static void test_only_what_is_offered_can_be_used(void **unused)
{
    const struct sasl_options options = { .mechanisms =
                                              SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_EXTERNAL) };
    const struct sasl_options nobody = { .mechanisms = SASL_BIT(SASL_MECHANISMS) - 1,
                                         .external_identity = "" };
    struct talk talk;

    (void)unused;
    for (enum sasl_mechanism i = 0; i < SASL_MECHANISMS; i++) {
        enum sasl_result result =
            sasl_start(&talk.exchange, &options, span_from_string(sasl_mechanism_name(i)), NULL,
                       &talk.credentials);

        assert_true(sasl_is_offered(&all, i));
        assert_int_equal(sasl_is_offered(&nobody, i), i != SASL_EXTERNAL);
        assert_int_equal(sasl_is_offered(&options, i), i == SASL_PLAIN);
        assert_int_equal(result, i == SASL_PLAIN ? SASL_CHALLENGE : SASL_UNKNOWN);
    }
    assert_int_equal(
        sasl_start(&talk.exchange, &all, SPAN_LITERAL("CRAM-MD5"), NULL, &talk.credentials),
        SASL_UNKNOWN);
    assert_int_equal(sasl_start(&talk.exchange, &all, SPAN_EMPTY, NULL, &talk.credentials),
                     SASL_UNKNOWN);
}

static void test_a_refused_token_is_told_by_a_challenge(void **unused)
{
    static const struct span answers[] = { SPAN_LITERAL("AQ=="), SPAN_LITERAL(""),
                                           SPAN_LITERAL("*"), SPAN_LITERAL("no base64") };
    struct talk talk = { .options = NULL };

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(answers); i++) {
        assert_int_equal(TELL(&talk, "OAUTHBEARER", "n,a=u,\1auth=Bearer x\1\1"), SASL_OK);
        assert_true(sasl_refuse(&talk.exchange));
        assert_int_equal(sasl_respond(&talk.exchange, &all, answers[i], &talk.credentials),
                         SASL_REFUSED);
    }
    assert_int_equal(TELL(&talk, "PLAIN", "\0alice\0x"), SASL_OK);
    assert_false(sasl_refuse(&talk.exchange));
}

/* What is replayed under `name` is read as it was meant. */
static void check_replay(const struct credentials *credentials, const char *name)
{
    static char memory[SASL_RESPONSE_MAX];
    struct buffer out = buffer_over(memory, sizeof(memory));
    struct span mechanism =
        span_from_string(sasl_mechanism_name(sasl_replay_mechanism(credentials)));
    struct span text;
    struct talk talk;

    assert_true(credentials_are_sendable(credentials, name));
    sasl_append_response(credentials, name, &out);
    assert_false(out.overflowed);
    assert_int_equal(out.length, sasl_response_length(credentials, name));
    text = buffer_span(&out);
    assert_int_equal(sasl_start(&talk.exchange, &all, mechanism, &text, &talk.credentials),
                     SASL_OK);
    assert_string_equal(talk.credentials.authcid, name);
    assert_string_equal(talk.credentials.token, credentials->token);
    assert_int_equal(talk.credentials.kind, credentials->kind);
}

static void test_what_is_replayed_is_what_was_presented(void **unused)
{
    struct credentials credentials = { .authcid = "other", .password = "\xff \t=,*" };
    char name[LOGIN_NAME_SIZE];

    (void)unused;
    check_replay(&credentials, "alice@example.org");
    credentials = (struct credentials){ .kind = CREDENTIALS_XOAUTH2, .token = TOKEN };
    check_replay(&credentials, "alice@example.org");
    check_replay(&credentials, "=,a b");
    credentials.kind = CREDENTIALS_OAUTHBEARER;
    check_replay(&credentials, "=,a b");
    memset(name, ',', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    check_replay(&credentials, name);
}

static void test_what_could_end_a_line_or_a_part_is_not_sendable(void **unused)
{
    struct credentials credentials = { .kind = CREDENTIALS_XOAUTH2, .token = TOKEN };

    (void)unused;
    assert_true(credentials_are_sendable(&credentials, "alice"));
    assert_false(credentials_are_sendable(&credentials, ""));
    assert_false(credentials_are_sendable(&credentials, "a\r"));
    assert_false(credentials_are_sendable(&credentials, "a\1b"));
    strcpy(credentials.token, "a b");
    assert_false(credentials_are_sendable(&credentials, "alice"));
    strcpy(credentials.token, "a\1");
    assert_false(credentials_are_sendable(&credentials, "alice"));
    strcpy(credentials.token, "");
    assert_false(credentials_are_sendable(&credentials, "alice"));
    credentials = (struct credentials){ .password = "a\n" };
    assert_false(credentials_are_sendable(&credentials, "alice"));
    credentials = (struct credentials){ .kind = CREDENTIALS_EXTERNAL };
    assert_false(credentials_are_sendable(&credentials, "alice"));
}

static void test_a_challenge_that_is_no_base64_is_not_kept(void **unused)
{
    char kept[SASL_CHALLENGE_SIZE] = "old";

    (void)unused;
    sasl_keep_challenge(SPAN_LITERAL(SASL_REFUSAL_CHALLENGE), kept);
    assert_string_equal(kept, SASL_REFUSAL_CHALLENGE);
    sasl_keep_challenge(SPAN_LITERAL("not [CAPABILITY]"), kept);
    assert_string_equal(kept, "");
}

static void test_wiped_credentials_hold_nothing(void **unused)
{
    static const struct credentials nothing;
    struct talk talk = { .options = NULL };

    (void)unused;
    assert_int_equal(tell_token(&talk, LOGIN_NAME_SIZE - 1, LOGIN_TOKEN_SIZE - 1), SASL_OK);
    credentials_wipe(&talk.credentials);
    assert_memory_equal(&talk.credentials, &nothing, sizeof(nothing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_takes_an_authzid_that_says_the_same),
        cmocka_unit_test(test_plain_that_is_malformed_leaves_nothing),
        cmocka_unit_test(test_a_response_that_is_no_base64_is_malformed),
        cmocka_unit_test(test_plain_takes_all_that_fits_and_no_more),
        cmocka_unit_test(test_login_asks_for_a_name_and_a_password),
        cmocka_unit_test(test_a_star_cancels_at_every_step),
        cmocka_unit_test(test_xoauth2_finds_the_user_and_the_token),
        cmocka_unit_test(test_xoauth2_that_is_malformed_leaves_nothing),
        cmocka_unit_test(test_oauthbearer_finds_the_user_and_the_token),
        cmocka_unit_test(test_oauthbearer_that_is_malformed_leaves_nothing),
        cmocka_unit_test(test_a_token_may_be_long_but_not_too_long),
        cmocka_unit_test(test_external_is_the_certificates_identity),
        cmocka_unit_test(test_only_what_is_offered_can_be_used),
        cmocka_unit_test(test_a_refused_token_is_told_by_a_challenge),
        cmocka_unit_test(test_what_is_replayed_is_what_was_presented),
        cmocka_unit_test(test_what_could_end_a_line_or_a_part_is_not_sendable),
        cmocka_unit_test(test_a_challenge_that_is_no_base64_is_not_kept),
        cmocka_unit_test(test_wiped_credentials_hold_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
