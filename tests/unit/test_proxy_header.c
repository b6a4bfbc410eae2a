/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include "common/proto/proxy_header.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"

/*
 * Reads `header` as a session does, no byte further than is missing.  `*is_good`: it is whole and
 * good.
 */
static struct proxy_header read_header(struct span header, bool *is_good)
{
    char have[PROXY_HEADER_MAX + 1];
    size_t length = 0, missing;
    struct proxy_header read = { .port = 0 };

    while ((missing = proxy_header_missing(span_of(have, length))) > 0 &&
           length + missing <= header.length) {
        memcpy(have + length, header.data + length, missing);
        length += missing;
    }
    *is_good =
        missing == 0 && length == header.length && proxy_header_read(span_of(have, length), &read);
    return read;
}

static void assert_header(struct span header, const char *address, unsigned port)
{
    bool is_good;
    struct proxy_header read = read_header(header, &is_good);

    assert_true(is_good);
    assert_string_equal(read.address, address);
    assert_int_equal(read.port, port);
}

static void assert_broken(struct span header)
{
    bool is_good;

    read_header(header, &is_good);
    assert_false(is_good);
}

static void text_tells_the_client(void **state)
{
    (void)state;
    assert_header(SPAN_LITERAL("PROXY TCP4 192.0.2.1 192.0.2.2 1025 25\r\n"), "192.0.2.1", 1025);
    assert_header(SPAN_LITERAL("PROXY TCP6 2001:db8::1 ::1 65535 25\r\n"), "2001:db8::1", 65535);
    assert_header(SPAN_LITERAL("PROXY UNKNOWN\r\n"), "", 0);
    assert_header(SPAN_LITERAL("PROXY UNKNOWN whatever it is\r\n"), "", 0);
}

static void text_that_is_wrong_is_broken(void **state)
{
    (void)state;
    assert_broken(SPAN_LITERAL("PROXY TCP4 192.0.2.1 192.0.2.2 1025 25\n"));
    assert_broken(SPAN_LITERAL("PROXY TCP4 192.0.2.1 192.0.2.2 1025\r\n"));
    assert_broken(SPAN_LITERAL("PROXY TCP4 192.0.2.1 192.0.2.2 1025 25 26\r\n"));
    assert_broken(SPAN_LITERAL("PROXY TCP4 192.0.2.1 192.0.2.2 65536 25\r\n"));
    assert_broken(SPAN_LITERAL("PROXY TCP4 2001:db8::1 ::1 1025 25\r\n"));
    assert_broken(SPAN_LITERAL("PROXY TCP4 host.example 192.0.2.2 1025 25\r\n"));
    assert_broken(SPAN_LITERAL("PROXY UDP4 192.0.2.1 192.0.2.2 1025 25\r\n"));
    assert_broken(SPAN_LITERAL("proxy TCP4 192.0.2.1 192.0.2.2 1025 25\r\n"));
    assert_broken(SPAN_LITERAL("EHLO client.example.org\r\n"));
    assert_broken(SPAN_LITERAL("PROXY UNKNOWN "
                               "0123456789012345678901234567890123456789012345678901234567890123456"
                               "7890123456789012345678901234567890\r\n"));
}

static void binary_tells_the_client(void **state)
{
    (void)state;
    assert_header(SPAN_LITERAL(SIGNATURE "\x21\x11\0\x0c"
                                         "\xc0\0\2\1\xc0\0\2\2\4\1\0\x19"),
                  "192.0.2.1", 1025);
    assert_header(SPAN_LITERAL(SIGNATURE "\x21\x21\0\x24"
                                         "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1"
                                         "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\4\1\0\x19"),
                  "2001:db8::1", 1025);
    /* More than the addresses, a check by the balancer itself, a family that is none of ours. */
    assert_header(SPAN_LITERAL(SIGNATURE "\x21\x11\0\x0f"
                                         "\xc0\0\2\1\xc0\0\2\2\4\1\0\x19\4\0\0"),
                  "192.0.2.1", 1025);
    assert_header(SPAN_LITERAL(SIGNATURE "\x20\0\0\0"), "", 0);
    assert_header(SPAN_LITERAL(SIGNATURE "\x21\0\0\0"), "", 0);
}

static void binary_that_is_wrong_is_broken(void **state)
{
    (void)state;
    assert_broken(SPAN_LITERAL(SIGNATURE "\x11\x11\0\x0c"
                                         "\xc0\0\2\1\xc0\0\2\2\4\1\0\x19"));
    assert_broken(SPAN_LITERAL(SIGNATURE "\x22\x11\0\x0c"
                                         "\xc0\0\2\1\xc0\0\2\2\4\1\0\x19"));
    assert_broken(SPAN_LITERAL(SIGNATURE "\x21\x11\0\x08"
                                         "\xc0\0\2\1\xc0\0\2\2"));
    assert_broken(SPAN_LITERAL(SIGNATURE "\x21\x21\0\x0c"
                                         "\xc0\0\2\1\xc0\0\2\2\4\1\0\x19"));
    assert_broken(SPAN_LITERAL(SIGNATURE "\x21\x11\xff\xff"));
    /* A value that is cut off, and one that is longer than the header. */
    assert_broken(SPAN_LITERAL(SIGNATURE "\x21\x11\0\x0d"
                                         "\xc0\0\2\1\xc0\0\2\2\4\1\0\x19\4"));
    assert_broken(SPAN_LITERAL(SIGNATURE "\x21\x11\0\x10"
                                         "\xc0\0\2\1\xc0\0\2\2\4\1\0\x19\4\0\2x"));
}

static void values_tell_of_tls_and_the_connection(void **state)
{
    static const struct {
        struct span header;
        bool is_tls;
        const char *id;
    } rows[] = {
        { SPAN_LITERAL(SIGNATURE "\x21\x11\0\x17"
                                 "\xc0\0\2\1\xc0\0\2\2\4\1\0\x19\x20\0\x8\1\0\0\0\0\x21\0\0"),
          true, "" },
        { SPAN_LITERAL(SIGNATURE "\x21\x11\0\x14"
                                 "\xc0\0\2\1\xc0\0\2\2\4\1\0\x19\x20\0\5\2\0\0\0\0"),
          false, "" },
        { SPAN_LITERAL(SIGNATURE "\x21\x11\0\x13"
                                 "\xc0\0\2\1\xc0\0\2\2\4\1\0\x19\x20\0\4\1\0\0\0"),
          false, "" },
        { SPAN_LITERAL(SIGNATURE "\x21\x11\0\x12"
                                 "\xc0\0\2\1\xc0\0\2\2\4\1\0\x19\5\0\3x-1"),
          false, "x-1" },
        { SPAN_LITERAL(SIGNATURE "\x21\x11\0\x12"
                                 "\xc0\0\2\1\xc0\0\2\2\4\1\0\x19\5\0\3x\r\n"),
          false, "" },
    };
    bool is_good;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct proxy_header read = read_header(rows[i].header, &is_good);

        assert_true(is_good);
        assert_int_equal(read.is_tls, rows[i].is_tls);
        assert_string_equal(read.id, rows[i].id);
    }
}

static void what_is_written_is_read_again(void **state)
{
    static const struct {
        struct proxy_header header;
        const char *to;
    } rows[] = {
        { { .address = "192.0.2.1", .port = 1025, .is_tls = true, .id = "abc" }, "192.0.2.2" },
        { { .address = "192.0.2.1", .port = 1025 }, "2001:db8::2" },
        { { .address = "" }, NULL },
        { { .address = "2001:db8::1",
            .port = 65535,
            .id = "0123456789abcdefghijklmnopqrstuvwxyz012" },
          NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char memory[PROXY_HEADER_ROOM];
        struct buffer out = buffer_over(memory, sizeof(memory));
        struct proxy_header read;
        bool is_good;

        proxy_header_write(&rows[i].header, rows[i].to, 993, &out);
        assert_false(out.overflowed);
        read = read_header(buffer_span(&out), &is_good);
        assert_true(is_good);
        assert_string_equal(read.address, rows[i].header.address);
        assert_int_equal(read.port, rows[i].header.port);
        assert_int_equal(read.is_tls, rows[i].header.is_tls);
        assert_string_equal(read.id, rows[i].header.id);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_tells_the_client),
        cmocka_unit_test(text_that_is_wrong_is_broken),
        cmocka_unit_test(binary_tells_the_client),
        cmocka_unit_test(binary_that_is_wrong_is_broken),
        cmocka_unit_test(values_tell_of_tls_and_the_connection),
        cmocka_unit_test(what_is_written_is_read_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
