/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include "common/proto/imap_parse.h"

static void test_a_literal_is_found_only_at_the_end(void **unused)
{
    struct imap_literal literal;

    (void)unused;
    assert_true(imap_find_literal(SPAN_LITERAL("a LOGIN {5}"), &literal));
    assert_true(literal.size == 5 && literal.is_synchronizing);
    assert_true(imap_find_literal(SPAN_LITERAL("{0+}"), &literal));
    assert_true(literal.size == 0 && !literal.is_synchronizing);
    assert_true(imap_find_literal(SPAN_LITERAL("{18446744073709551616+}"), &literal));
    assert_true(literal.size == UINT64_MAX && !literal.is_synchronizing);
    assert_false(imap_find_literal(SPAN_LITERAL(""), &literal));
    assert_false(imap_find_literal(SPAN_LITERAL("}"), &literal));
    assert_false(imap_find_literal(SPAN_LITERAL("{}"), &literal));
    assert_false(imap_find_literal(SPAN_LITERAL("{+}"), &literal));
    assert_false(imap_find_literal(SPAN_LITERAL("{5++}"), &literal));
    assert_false(imap_find_literal(SPAN_LITERAL("{5} "), &literal));
    assert_false(imap_find_literal(SPAN_LITERAL("{5}}"), &literal));
}

static void test_a_command_asks_for_each_literal_once(void **unused)
{
    const char *text = "a LOGIN {1}\r\nx {1+}\r\ny {1}\r\nz\r\nb";
    struct span in = span_from_string(text), command;
    unsigned continued = 0;

    (void)unused;
    assert_int_equal(imap_take_command(&in, &continued, &command), IMAP_FRAME_CONTINUE);
    assert_int_equal(imap_take_command(&in, &continued, &command), IMAP_FRAME_CONTINUE);
    assert_int_equal(continued, 2);
    assert_int_equal(imap_take_command(&in, &continued, &command), IMAP_FRAME_WHOLE);
    assert_int_equal(continued, 0);
    assert_span(command, "a LOGIN {1}\r\nx {1+}\r\ny {1}\r\nz");
    assert_int_equal(imap_take_command(&in, &continued, &command), IMAP_FRAME_NONE);
    assert_span(in, "b");
}

static void test_a_tag_is_bounded_and_has_no_plus(void **unused)
{
    char tag[IMAP_TAG_SIZE];
    char longest[IMAP_TAG_SIZE + 1];
    struct span text = SPAN_LITERAL("a] x");

    (void)unused;
    assert_true(imap_take_tag(&text, tag));
    assert_string_equal(tag, "a]");
    assert_span(text, " x");
    text = SPAN_LITERAL("a+ x");
    assert_false(imap_take_tag(&text, tag));
    text = SPAN_LITERAL("+ x");
    assert_false(imap_take_tag(&text, tag));
    text = SPAN_EMPTY;
    assert_false(imap_take_tag(&text, tag));
    memset(longest, 't', sizeof(longest));
    text = span_of(longest, IMAP_TAG_SIZE - 1);
    assert_true(imap_take_tag(&text, tag));
    text = span_of(longest, IMAP_TAG_SIZE);
    assert_false(imap_take_tag(&text, tag));
}

/* What an astring of `text` is, or NULL. */
static const char *astring(const char *text, size_t capacity)
{
    static char value[64];
    struct span span = span_from_string(text);

    return imap_take_astring(&span, value, capacity) && span.length == 0 ? value : NULL;
}

static void test_an_astring_is_an_atom_a_quoted_string_or_a_literal(void **unused)
{
    (void)unused;
    assert_string_equal(astring("atom]", 64), "atom]");
    assert_string_equal(astring("\"\"", 64), "");
    assert_string_equal(astring("\"a\\\"\\\\b\"", 64), "a\"\\b");
    assert_string_equal(astring("{3}\r\na b", 64), "a b");
    assert_string_equal(astring("{0+}\r\n", 64), "");
    assert_string_equal(astring("{3+}\r\n{1}", 64), "{1}");
    assert_null(astring("", 64));
    assert_null(astring("a(", 64));
    assert_null(astring("\"a", 64));
    assert_null(astring("\"a\\", 64));
    assert_null(astring("\"a\\n\"", 64));
    assert_null(astring("\"a\r\nb\"", 64));
    assert_null(astring("{3}\r\nab", 64));
    assert_null(astring("{3}a b", 64));
    assert_null(astring("{4}\r\na\r\nb", 64));
    assert_null(astring("{99999999999999999999}\r\nab", 64));
}

static void test_a_value_that_does_not_fit_is_refused(void **unused)
{
    (void)unused;
    assert_string_equal(astring("abc", 4), "abc");
    assert_string_equal(astring("\"abc\"", 4), "abc");
    assert_string_equal(astring("{3}\r\nabc", 4), "abc");
    assert_null(astring("abcd", 4));
    assert_null(astring("\"abcd\"", 4));
    assert_null(astring("{4}\r\nabcd", 4));
}

static void test_capabilities_are_words_of_their_code(void **unused)
{
    struct span code = imap_capability_code(SPAN_LITERAL("[CAPABILITY IMAP4rev1 sasl-ir] ID"));

    (void)unused;
    assert_true(imap_has_capability(code, "SASL-IR"));
    assert_false(imap_has_capability(code, "SASL"));
    assert_false(imap_has_capability(code, "ID"));
    assert_int_equal(imap_capability_code(SPAN_LITERAL("[CAPABILITY X")).length, 0);
    assert_int_equal(imap_capability_code(SPAN_LITERAL("ready [CAPABILITY X]")).length, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_literal_is_found_only_at_the_end),
        cmocka_unit_test(test_a_command_asks_for_each_literal_once),
        cmocka_unit_test(test_a_tag_is_bounded_and_has_no_plus),
        cmocka_unit_test(test_an_astring_is_an_atom_a_quoted_string_or_a_literal),
        cmocka_unit_test(test_a_value_that_does_not_fit_is_refused),
        cmocka_unit_test(test_capabilities_are_words_of_their_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
