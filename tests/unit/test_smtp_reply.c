/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include "common/base/memory.h"
#include "common/proto/smtp_reply.h"

/* Reads all of `text` as one reply. */
static enum smtp_reply_progress read_reply(struct smtp_reply_reader *reader, const char *text)
{
    struct span in = span_from_string(text);
    enum smtp_reply_progress progress;

    do
        progress = smtp_reply_read(reader, &in);
    while (progress == SMTP_REPLY_LINE);
    return progress;
}

static void test_a_reply_of_several_lines_is_folded(void **unused)
{
    struct smtp_reply_reader reader = { .lines = 0 };

    (void)unused;
    assert_int_equal(read_reply(&reader, "550-5.1.1 No such user\r\n550-\r\n550 5.1.1  here\r\n"),
                     SMTP_REPLY_LAST);
    assert_int_equal(reader.reply.code, 550);
    assert_string_equal(reader.reply.enhanced, "5.1.1");
    assert_string_equal(reader.reply.text, "No such user here");
    assert_int_equal(read_reply(&reader, "250\r\n"), SMTP_REPLY_LAST);
    assert_int_equal(reader.reply.code, 250);
    assert_string_equal(reader.reply.enhanced, "");
    assert_string_equal(reader.reply.text, "");
}

static void test_only_an_enhanced_code_of_the_same_class_is_one(void **unused)
{
    static const struct {
        const char *line, *enhanced, *text;
    } cases[] = {
        { "250 2.1.0 Ok\r\n", "2.1.0", "Ok" },       { "250 2.1.0\r\n", "2.1.0", "" },
        { "250 4.1.0 Ok\r\n", "", "4.1.0 Ok" },      { "250 2.1.0x\r\n", "", "2.1.0x" },
        { "250 2.1.1234 x\r\n", "", "2.1.1234 x" },  { "250 2.1 x\r\n", "", "2.1 x" },
        { "554 5.999.999 x\r\n", "5.999.999", "x" }, { "250 10.0.0.1 x\r\n", "", "10.0.0.1 x" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct smtp_reply_reader reader = { .lines = 0 };

        assert_int_equal(read_reply(&reader, cases[i].line), SMTP_REPLY_LAST);
        assert_string_equal(reader.reply.enhanced, cases[i].enhanced);
        assert_string_equal(reader.reply.text, cases[i].text);
    }
}

static void test_what_is_no_reply_is_broken(void **unused)
{
    static const char *const broken[] = { "\r\n",          "25\r\n",       "150 x\r\n",
                                          "650 x\r\n",     "2x0 x\r\n",    "250x\r\n",
                                          "hello\r\n",     "250 a\rb\r\n", "250-a\r\n251 b\r\n",
                                          "250-a\r\nb\r\n" };

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(broken); i++) {
        struct smtp_reply_reader reader = { .lines = 0 };

        assert_int_equal(read_reply(&reader, broken[i]), SMTP_REPLY_BROKEN);
    }
}

static void test_nul_in_a_reply_is_broken(void **unused)
{
    struct smtp_reply_reader reader = { .lines = 0 };
    struct span in = SPAN_LITERAL("250 a\0b\r\n");

    (void)unused;
    assert_int_equal(smtp_reply_read(&reader, &in), SMTP_REPLY_BROKEN);
}

static void test_a_reply_is_bounded_in_length_and_lines(void **unused)
{
    struct smtp_reply_reader reader = { .lines = 0 };
    static char endless[8192];
    struct span in = span_of(endless, 4095);
    unsigned lines = 0;

    (void)unused;
    memset(endless, '2', sizeof(endless));
    assert_int_equal(smtp_reply_read(&reader, &in), SMTP_REPLY_NEED_INPUT);
    in = span_of(endless, 4096);
    assert_int_equal(smtp_reply_read(&reader, &in), SMTP_REPLY_BROKEN);
    for (;;) {
        in = SPAN_LITERAL("250-0123456789\r\n");
        if (smtp_reply_read(&reader, &in) != SMTP_REPLY_LINE)
            break;
        assert_true(++lines < 1000);
    }
    assert_true(lines >= 100);
    assert_true(strlen(reader.reply.text) < MAIL_REPLY_TEXT_SIZE);
}

static void test_foreign_bytes_of_a_text_are_replaced(void **unused)
{
    struct mail_reply reply = mail_reply_of(550, "5.1.1", "a\r\nb\x01\xc3\xa9");

    (void)unused;
    assert_string_equal(reply.text, "a  b ??");
}

/* Writes and reads a reply with text of `length` bytes, `space` of them a space. */
static void check_written(size_t length, size_t space)
{
    char memory[SMTP_REPLY_SIZE_MAX], text[MAIL_REPLY_TEXT_SIZE] = "";
    struct buffer out = buffer_over(memory, sizeof(memory));
    struct smtp_reply_reader reader = { .lines = 0 };
    struct mail_reply reply;
    struct span written;

    memset(text, 'x', length);
    text[space] = ' ';
    reply = mail_reply_of(554, "5.999.999", text);
    smtp_reply_write(&reply, &out);
    assert_false(out.overflowed);
    written = buffer_span(&out);
    while (written.length > 0) {
        assert_true(span_find(written, '\n') < 512);
        assert_int_not_equal(smtp_reply_read(&reader, &written), SMTP_REPLY_BROKEN);
    }
    assert_true(reader.is_whole);
    assert_int_equal(reader.reply.code, 554);
    assert_string_equal(reader.reply.enhanced, "5.999.999");
}

static void test_a_written_reply_has_short_lines_and_reads_back(void **unused)
{
    char memory[SMTP_REPLY_SIZE_MAX];
    struct buffer out = buffer_over(memory, sizeof(memory));
    struct mail_reply reply = mail_reply_of(250, "2.0.0", "Ok");

    (void)unused;
    smtp_reply_write(&reply, &out);
    reply = mail_reply_of(220, NULL, "");
    smtp_reply_write(&reply, &out);
    assert_span(buffer_span(&out), "250 2.0.0 Ok\r\n220 \r\n");
    for (size_t space = 1; space < MAIL_REPLY_TEXT_SIZE - 1; space += 17)
        check_written(MAIL_REPLY_TEXT_SIZE - 1, space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reply_of_several_lines_is_folded),
        cmocka_unit_test(test_only_an_enhanced_code_of_the_same_class_is_one),
        cmocka_unit_test(test_what_is_no_reply_is_broken),
        cmocka_unit_test(test_nul_in_a_reply_is_broken),
        cmocka_unit_test(test_a_reply_is_bounded_in_length_and_lines),
        cmocka_unit_test(test_foreign_bytes_of_a_text_are_replaced),
        cmocka_unit_test(test_a_written_reply_has_short_lines_and_reads_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
