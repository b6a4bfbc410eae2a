/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include "common/base/memory.h"
#include "common/proto/smtp_path.h"

struct path_case {
    enum smtp_path_kind kind;
    const char *arguments;
    const char *path; /* NULL: refused */
    const char *rest;
};

static const struct path_case paths[] = {
    { SMTP_PATH_REVERSE, "<a@example.org>", "a@example.org", "" },
    { SMTP_PATH_REVERSE, "<>", "", "" },
    { SMTP_PATH_REVERSE, " <A.b@Example.ORG> SIZE=1", "A.b@Example.ORG", " SIZE=1" },
    { SMTP_PATH_FORWARD, "<>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<PostMaster>", "PostMaster", "" },
    { SMTP_PATH_REVERSE, "<postmaster>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<joe>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<@a.example,@[10.0.0.1]:joe+x@b.example>", "joe+x@b.example", "" },
    { SMTP_PATH_FORWARD, "<@a.example,joe@b.example>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<@a.example:>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<\"joe\"@b.example>", "joe@b.example", "" },
    { SMTP_PATH_FORWARD, "<\"j\\oe..x\"@b.example>", "\"joe..x\"@b.example", "" },
    { SMTP_PATH_FORWARD, "<\"a b>\\\"\\\\<@c\"@b.example> X", "\"a b>\\\"\\\\<@c\"@b.example",
      " X" },
    { SMTP_PATH_FORWARD, "<\"\"@b.example>", "\"\"@b.example", "" },
    { SMTP_PATH_FORWARD, "<\"joe@b.example>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<\"joe\\", NULL, NULL },
    { SMTP_PATH_FORWARD, "<joe@[IPv6:2001:db8::1]>", "joe@[IPv6:2001:db8::1]", "" },
    { SMTP_PATH_FORWARD, "<joe@[10.0.0.1>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<joe@[]>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<.joe@b.example>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<joe.@b.example>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<j..oe@b.example>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<joe@b..example>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<joe@>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<joe@b@c>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<joe smith@b.example>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<jo\xc3\xa9@\xc3\xa9.b>", "jo\xc3\xa9@\xc3\xa9.b", "" },
    { SMTP_PATH_FORWARD, "<jo\xc3@b.example>", NULL, NULL },
    { SMTP_PATH_FORWARD, "<joe@b.example", NULL, NULL },
    { SMTP_PATH_FORWARD, "joe@b.example", NULL, NULL },
    { SMTP_PATH_FORWARD, "<joe@b.example>x", NULL, NULL },
    { SMTP_PATH_FORWARD, "", NULL, NULL },
};

static void test_a_path_is_taken_in_canonical_form_or_refused_whole(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(paths); i++) {
        struct span arguments = span_from_string(paths[i].arguments);
        char path[MAIL_PATH_SIZE] = "old";

        if (smtp_path_take(&arguments, paths[i].kind, path)) {
            assert_non_null(paths[i].path);
            assert_string_equal(path, paths[i].path);
            assert_span(arguments, paths[i].rest);
            assert_true(smtp_path_is_safe(path));
        } else {
            assert_null(paths[i].path);
            assert_string_equal(path, "old");
            assert_span(arguments, paths[i].arguments);
        }
    }
}

static void test_a_path_longer_than_its_array_is_refused(void **unused)
{
    char text[2 * MAIL_PATH_SIZE];
    char path[MAIL_PATH_SIZE];

    (void)unused;
    for (unsigned length = MAIL_PATH_SIZE - 4; length < MAIL_PATH_SIZE + 4; length++) {
        struct span arguments = span_of(text, length + 2);

        memset(text, 'a', sizeof(text));
        text[0] = '<';
        memcpy(text + length - 2, "@b>", 3);
        text[length + 1] = '>';
        text[length] = 'c';
        assert_int_equal(smtp_path_take(&arguments, SMTP_PATH_FORWARD, path),
                         length < MAIL_PATH_SIZE);
    }
}

static void test_only_paths_that_cannot_break_a_command_are_safe(void **unused)
{
    (void)unused;
    assert_true(smtp_path_is_safe(""));
    assert_true(smtp_path_is_safe("joe"));
    assert_true(smtp_path_is_safe("joe@[10.0.0.1]"));
    assert_true(smtp_path_is_safe("\"a > b\"@c"));
    assert_false(smtp_path_is_safe("a b@c"));
    assert_false(smtp_path_is_safe("a>@c"));
    assert_false(smtp_path_is_safe("a<b@c"));
    assert_false(smtp_path_is_safe("a@b\r\nRCPT TO:<c@d"));
    assert_false(smtp_path_is_safe("\"a\r\nb\"@c"));
    assert_false(smtp_path_is_safe("\"a > b"));
    assert_false(smtp_path_is_safe("\"a\" > b@c"));
    assert_false(smtp_path_is_safe("\"a\\\" >b@c"));
    assert_true(smtp_path_is_safe("\xc3\xa9@b\xc3\xa9"));
    assert_false(smtp_path_is_safe("a@b\xc3"));
    assert_false(smtp_path_is_safe("a@b\xc0\xbe")); /* an overlong '>' */
}

static void test_parameters_are_taken_one_by_one(void **unused)
{
    struct span arguments = SPAN_LITERAL("  SIZE=12  body=8BITMIME X-y ");
    struct smtp_parameter parameter;

    (void)unused;
    assert_true(smtp_parameter_follows(arguments));
    assert_true(smtp_parameter_take(&arguments, &parameter));
    assert_span(parameter.keyword, "SIZE");
    assert_span(parameter.value, "12");
    assert_true(smtp_parameter_take(&arguments, &parameter));
    assert_span(parameter.keyword, "body");
    assert_span(parameter.value, "8BITMIME");
    assert_true(smtp_parameter_take(&arguments, &parameter));
    assert_span(parameter.keyword, "X-y");
    assert_false(parameter.has_value);
    assert_false(smtp_parameter_follows(arguments));
}

static void test_parameters_that_are_not_well_formed_are_refused(void **unused)
{
    static const char *const bad[] = { "=1", "SIZE=", "SIZE=1=2", "-A=1", "A_B", "A\tB", "\xc3=1" };

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(bad); i++) {
        struct span arguments = span_from_string(bad[i]);
        struct smtp_parameter parameter;

        assert_false(smtp_parameter_take(&arguments, &parameter));
        assert_span(arguments, bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_path_is_taken_in_canonical_form_or_refused_whole),
        cmocka_unit_test(test_a_path_longer_than_its_array_is_refused),
        cmocka_unit_test(test_only_paths_that_cannot_break_a_command_are_safe),
        cmocka_unit_test(test_parameters_are_taken_one_by_one),
        cmocka_unit_test(test_parameters_that_are_not_well_formed_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
