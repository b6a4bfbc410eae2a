/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include "common/proto/sasl.h"

/* Decodes the PLAIN message `plain` of `length` bytes. */
static enum sasl_result decode(const char *plain, size_t length, struct credentials *credentials)
{
    char memory[8192];
    struct buffer text = buffer_over(memory, sizeof(memory));

    assert_true(base64_encode(span_of(plain, length), &text));
    return sasl_plain_decode(buffer_span(&text), credentials);
}

#define DECODE(literal, credentials) decode(literal, sizeof(literal) - 1, credentials)

static void test_plain_takes_an_authzid_that_says_the_same(void **unused)
{
    struct credentials credentials;

    (void)unused;
    assert_int_equal(DECODE("\0alice\0se cret", &credentials), SASL_OK);
    assert_string_equal(credentials.authcid, "alice");
    assert_string_equal(credentials.password, "se cret");
    assert_int_equal(DECODE("bob\0bob\0x", &credentials), SASL_OK);
    assert_string_equal(credentials.authcid, "bob");
    assert_int_equal(DECODE("alice\0bob\0x", &credentials), SASL_AUTHZID_REFUSED);
    assert_int_equal(DECODE("bo\0bob\0x", &credentials), SASL_AUTHZID_REFUSED);
}

static void test_plain_leaves_the_target_when_malformed(void **unused)
{
    struct credentials credentials = { "old", "word" };

    (void)unused;
    assert_int_equal(DECODE("", &credentials), SASL_MALFORMED);
    assert_int_equal(DECODE("alice", &credentials), SASL_MALFORMED);
    assert_int_equal(DECODE("alice\0", &credentials), SASL_MALFORMED);
    assert_int_equal(DECODE("\0alice", &credentials), SASL_MALFORMED);
    assert_int_equal(DECODE("\0alice\0", &credentials), SASL_MALFORMED);
    assert_int_equal(DECODE("\0\0secret", &credentials), SASL_MALFORMED);
    assert_int_equal(DECODE("\0alice\0secret\0", &credentials), SASL_MALFORMED);
    assert_int_equal(DECODE("\0alice\0sec\rret", &credentials), SASL_MALFORMED);
    assert_int_equal(DECODE("\0ali\nce\0secret", &credentials), SASL_MALFORMED);
    assert_int_equal(sasl_plain_decode(SPAN_LITERAL("AGFsaWNlAHNlY3JldA"), &credentials),
                     SASL_MALFORMED);
    assert_int_equal(sasl_plain_decode(SPAN_LITERAL("="), &credentials), SASL_MALFORMED);
    assert_string_equal(credentials.authcid, "old");
    assert_string_equal(credentials.password, "word");
}

/* A message with a name and a password of these lengths. */
static enum sasl_result decode_long(size_t name, size_t password, struct credentials *credentials)
{
    char plain[4096] = { 0 };

    memset(plain + 1, 'n', name);
    memset(plain + 2 + name, 'p', password);
    return decode(plain, name + password + 2, credentials);
}

static void test_plain_takes_all_that_fits_and_no_more(void **unused)
{
    struct credentials credentials;

    (void)unused;
    assert_int_equal(decode_long(LOGIN_NAME_SIZE - 1, LOGIN_PASSWORD_SIZE - 1, &credentials),
                     SASL_OK);
    assert_int_equal(strlen(credentials.authcid), LOGIN_NAME_SIZE - 1);
    assert_int_equal(strlen(credentials.password), LOGIN_PASSWORD_SIZE - 1);
    assert_int_equal(decode_long(LOGIN_NAME_SIZE, 1, &credentials), SASL_MALFORMED);
    assert_int_equal(decode_long(1, LOGIN_PASSWORD_SIZE, &credentials), SASL_MALFORMED);
    assert_int_equal(decode_long(1, 3000, &credentials), SASL_MALFORMED);
}

static void test_plain_encodes_what_it_decodes(void **unused)
{
    char memory[SASL_PLAIN_ENCODED_MAX];
    struct buffer out = buffer_over(memory, sizeof(memory));
    struct credentials credentials;

    (void)unused;
    sasl_plain_encode("alice@example.org", "\xff \t", &out);
    assert_int_equal(out.length, sasl_plain_encoded_length("alice@example.org", "\xff \t"));
    assert_int_equal(sasl_plain_decode(buffer_span(&out), &credentials), SASL_OK);
    assert_string_equal(credentials.authcid, "alice@example.org");
    assert_string_equal(credentials.password, "\xff \t");
}

static void test_wiped_credentials_hold_nothing(void **unused)
{
    static const struct credentials nothing;
    struct credentials credentials;

    (void)unused;
    assert_int_equal(decode_long(LOGIN_NAME_SIZE - 1, LOGIN_PASSWORD_SIZE - 1, &credentials),
                     SASL_OK);
    credentials_wipe(&credentials);
    assert_memory_equal(&credentials, &nothing, sizeof(nothing));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_takes_an_authzid_that_says_the_same),
        cmocka_unit_test(test_plain_leaves_the_target_when_malformed),
        cmocka_unit_test(test_plain_takes_all_that_fits_and_no_more),
        cmocka_unit_test(test_plain_encodes_what_it_decodes),
        cmocka_unit_test(test_wiped_credentials_hold_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
