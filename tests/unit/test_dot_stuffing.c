/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include "common/base/bytes.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/proto/dot_stuffing.h"
#include "common/proto/smtp_content.h"

enum { BYTES_MAX = 1 << 16 };

static void must_append(struct bytes *target, struct span bytes)
{
    assert_true(bytes_append(target, bytes));
}

static void stuff_part(struct dot_stuffer *stuffer, struct span content, struct bytes *target)
{
    while (content.length > 0)
        must_append(target, dot_stuffer_next(stuffer, &content));
    assert_int_equal(dot_stuffer_next(stuffer, &content).length, 0);
}

/* `content`, cut in three, as it goes over the wire. */
static struct bytes stuff(struct span content, size_t first, size_t second)
{
    struct bytes wire = bytes_empty(BYTES_MAX);
    struct dot_stuffer stuffer;

    dot_stuffer_init(&stuffer);
    stuff_part(&stuffer, span_take(content, first), &wire);
    stuff_part(&stuffer, span_drop(span_take(content, second), first), &wire);
    stuff_part(&stuffer, span_drop(content, second), &wire);
    must_append(&wire, dot_stuffer_end(&stuffer));
    return wire;
}

struct stuffing_case {
    const char *content, *wire;
};

static const struct stuffing_case cases[] = {
    { "", ".\r\n" },
    { ".", "..\r\n.\r\n" },
    { ".\r\n", "..\r\n.\r\n" },
    { "a\r\n", "a\r\n.\r\n" },
    { "a", "a\r\n.\r\n" },
    { "a\r\n.\r\nb\r\n", "a\r\n..\r\nb\r\n.\r\n" },
    { "..a\r\n...\r\n\r\n.", "...a\r\n....\r\n\r\n..\r\n.\r\n" },
    { "a.b\r\n b.\r\n", "a.b\r\n b.\r\n.\r\n" },
    { "\r\n\r\n.\r\n", "\r\n\r\n..\r\n.\r\n" },
    /* Only CRLF ends a line. */
    { "a\n.b\r.c\r\r\n.", "a\n.b\r.c\r\r\n..\r\n.\r\n" },
    { "a\r", "a\r\r\n.\r\n" },
    { "a\n", "a\n\r\n.\r\n" },
};

static void test_stuffing_is_the_same_for_every_cut(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct span content = span_from_string(cases[i].content);

        for (size_t second = 0; second <= content.length; second++)
            for (size_t first = 0; first <= second; first++) {
                struct bytes wire = stuff(content, first, second);

                assert_span(bytes_span(&wire), cases[i].wire);
                bytes_release(&wire);
            }
    }
}

/* Reads content of which `step` more bytes are there each time; all that is left is in `rest`. */
static enum smtp_content_progress unstuff(struct span wire, size_t step, struct bytes *content,
                                          struct span *rest)
{
    enum smtp_content_progress progress = SMTP_CONTENT_NEED_INPUT;
    struct smtp_content reader;
    size_t taken = 0;

    smtp_content_begin(&reader, false);
    for (size_t given = step; progress == SMTP_CONTENT_NEED_INPUT; given += step) {
        struct span in = span_drop(span_take(wire, given), taken);
        struct span piece;

        while ((progress = smtp_content_next(&reader, &in, &piece)) == SMTP_CONTENT_PIECE)
            must_append(content, piece);
        if (progress == SMTP_CONTENT_NEED_INPUT)
            assert_true(in.length <= 2 && given < wire.length);
        taken = (size_t)(in.data - wire.data);
    }
    *rest = span_drop(wire, taken);
    return progress;
}

static void test_unstuffing_gives_the_content_back_and_leaves_what_follows(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(cases) - 3; i++) {
        struct span content = span_from_string(cases[i].content);
        struct bytes wire = stuff(content, 0, 0);

        must_append(&wire, SPAN_LITERAL(".\r\nQUIT\r\n"));
        for (size_t step = 1; step <= wire.length; step++) {
            struct bytes got = bytes_empty(BYTES_MAX);
            struct span rest;

            assert_int_equal(unstuff(bytes_span(&wire), step, &got, &rest), SMTP_CONTENT_END);
            assert_span(rest, ".\r\nQUIT\r\n");
            assert_memory_equal(got.length ? got.data : "", content.data, content.length);
            bytes_release(&got);
        }
        bytes_release(&wire);
    }
}

static void test_a_bare_cr_or_lf_is_broken_at_its_place(void **unused)
{
    static const struct {
        const char *wire, *content, *rest;
    } broken[] = {
        { "\n.\r\n", "", "\n.\r\n" },
        { "a\n.\r\n", "a", "\n.\r\n" },
        { "a\r\n.\nb\r\n.\r\n", "a\r\n", "\nb\r\n.\r\n" },
        { "a\r\n.\rb\r\n.\r\n", "a\r\n", "\rb\r\n.\r\n" },
        { "a\r.\r\n.\r\n", "a", "\r.\r\n.\r\n" },
        { "a\r\nb\r\r\n.\r\n", "a\r\nb", "\r\r\n.\r\n" },
        { "a\r\n\n.\r\n", "a\r\n", "\n.\r\n" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(broken); i++) {
        struct span wire = span_from_string(broken[i].wire);

        for (size_t step = 1; step <= wire.length; step++) {
            struct bytes got = bytes_empty(BYTES_MAX);
            struct span rest;

            assert_int_equal(unstuff(wire, step, &got, &rest), SMTP_CONTENT_BROKEN);
            assert_span(bytes_span(&got), broken[i].content);
            assert_span(rest, broken[i].rest);
            bytes_release(&got);
        }
    }
}

static void test_skipping_stops_at_the_true_end_only(void **unused)
{
    static const struct span wire =
        SPAN_LITERAL("x\n.\r\ny\r\n.\n\r\n.\rz\r\n..\r\n\r\r\n.\r\nQUIT\r\n");

    (void)unused;
    for (size_t step = 1; step <= wire.length; step++) {
        enum smtp_content_progress progress = SMTP_CONTENT_NEED_INPUT;
        struct smtp_content reader;
        size_t taken = 0;

        smtp_content_begin(&reader, false);
        for (size_t given = step; progress == SMTP_CONTENT_NEED_INPUT; given += step) {
            struct span in = span_drop(span_take(wire, given), taken);

            assert_true(given < wire.length + step);
            progress = smtp_content_skip(&reader, &in);
            taken = (size_t)(in.data - wire.data);
        }
        assert_int_equal(progress, SMTP_CONTENT_END);
        assert_span(span_drop(wire, taken), "QUIT\r\n");
    }
}

/* The definition, byte by byte: the content before the end or before what is broken. */
static enum smtp_content_progress read_naively(struct span wire, struct bytes *content)
{
    char before = '\n';

    for (size_t i = 0; i < wire.length; before = wire.data[i++]) {
        struct span rest = span_drop(wire, i);
        bool is_line_end = span_starts_with_ignore_case(rest, SPAN_LITERAL("\r\n"));

        if (before == '\n' && span_starts_with_ignore_case(rest, SPAN_LITERAL(".\r\n")))
            return SMTP_CONTENT_END;
        if (before == '\n' && wire.data[i] == '.')
            continue;
        if ((wire.data[i] == '\r' && !is_line_end) || (wire.data[i] == '\n' && before != '\r'))
            return SMTP_CONTENT_BROKEN;
        must_append(content, span_take(rest, 1));
    }
    return SMTP_CONTENT_NEED_INPUT;
}

/* Lines of text, then `length` bytes that are likely to be special ones, then a true end. */
static size_t compose_wire(char *wire, size_t length)
{
    static const char line[] = "mail has lines.\r\n";
    static const char special[] = "\r\n..ab\r\n\r\n";
    size_t plain = random_below(200), size = 0;

    for (; size < plain; size++)
        wire[size] = line[size % (sizeof(line) - 1)];
    for (size_t i = 0; i < length; i++)
        wire[size++] = special[random_below(sizeof(special) - 1)];
    for (size_t i = 0; i < plain; i++)
        wire[size++] = line[i % (sizeof(line) - 1)];
    return (size_t)(stpcpy(wire + size, "\r\n.\r\n\r\n.\r\n") - wire);
}

static void test_every_wire_is_read_as_byte_by_byte(void **unused)
{
    (void)unused;
    for (unsigned round = 0; round < 20000; round++) {
        char wire[1024];
        struct span whole = span_of(wire, compose_wire(wire, random_below(12)));
        struct bytes expected = bytes_empty(BYTES_MAX), got = bytes_empty(BYTES_MAX);
        enum smtp_content_progress progress = read_naively(whole, &expected);
        size_t step = round % 2 ? whole.length : 1 + random_below(150);
        struct span rest;

        assert_int_equal(unstuff(whole, step, &got, &rest), progress);
        assert_int_equal(got.length, expected.length);
        assert_memory_equal(got.data ? got.data : "", expected.data ? expected.data : "",
                            expected.length);
        bytes_release(&got);
        bytes_release(&expected);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stuffing_is_the_same_for_every_cut),
        cmocka_unit_test(test_unstuffing_gives_the_content_back_and_leaves_what_follows),
        cmocka_unit_test(test_a_bare_cr_or_lf_is_broken_at_its_place),
        cmocka_unit_test(test_every_wire_is_read_as_byte_by_byte),
        cmocka_unit_test(test_skipping_stops_at_the_true_end_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
