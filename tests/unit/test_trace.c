/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include "common/base/memory.h"
#include "common/proto/trace.h"

static const char date[] = "Mon, 2 Jan 2006 15:04:05 +0000";

static struct span received(const struct trace_hop *hop)
{
    static char memory[TRACE_FIELD_MAX];
    struct buffer out = buffer_over(memory, sizeof(memory));

    trace_write_received(hop, &out);
    assert_false(out.overflowed);
    return buffer_span(&out);
}

static void test_received_names_the_hop(void **unused)
{
    struct trace_hop hop = { .helo = "client.example",
                             .address = "192.0.2.1",
                             .hostname = "mx.example.org",
                             .session_id = "abc123",
                             .recipient = "joe@example.org",
                             .date = date,
                             .flavor = MAIL_SMTP,
                             .is_extended = true,
                             .is_encrypted = true };

    (void)unused;
    assert_span(received(&hop), "Received: from client.example ([192.0.2.1])\r\n"
                                "\tby mx.example.org with ESMTPS id abc123\r\n"
                                "\tfor <joe@example.org>;\r\n"
                                "\tMon, 2 Jan 2006 15:04:05 +0000\r\n");
    hop.name = "spike.example\r\n(";
    assert_non_null(memmem(received(&hop).data, received(&hop).length,
                           "from client.example (spike.example??? [192.0.2.1])\r\n", 51));
    hop = (struct trace_hop){ .helo = "",
                              .address = "2001:db8::1",
                              .hostname = "sv1",
                              .session_id = "x",
                              .date = date,
                              .flavor = MAIL_LMTP,
                              .is_extended = true };
    assert_span(received(&hop), "Received: from unknown ([IPv6:2001:db8::1])\r\n"
                                "\tby sv1 with LMTP id x;\r\n"
                                "\tMon, 2 Jan 2006 15:04:05 +0000\r\n");
}

/* RFC 3848. */
static void test_received_names_the_protocol(void **unused)
{
    static const struct {
        enum mail_flavor flavor;
        bool is_extended, is_encrypted, is_authenticated, is_utf8;
        const char *word;
    } cases[] = {
        { MAIL_SMTP, false, false, false, false, "with SMTP id" },
        { MAIL_SMTP, true, false, false, false, "with ESMTP id" },
        { MAIL_SMTP, true, true, true, false, "with ESMTPSA id" },
        { MAIL_SMTP, true, false, true, false, "with ESMTPA id" },
        { MAIL_LMTP, true, true, false, false, "with LMTPS id" },
        { MAIL_SMTP, true, true, true, true, "with UTF8SMTPSA id" },
        { MAIL_LMTP, true, false, false, true, "with UTF8LMTP id" },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct trace_hop hop = { .helo = "h",
                                 .hostname = "x",
                                 .session_id = "y",
                                 .date = date,
                                 .flavor = cases[i].flavor,
                                 .is_extended = cases[i].is_extended,
                                 .is_encrypted = cases[i].is_encrypted,
                                 .is_authenticated = cases[i].is_authenticated,
                                 .is_utf8 = cases[i].is_utf8 };
        struct span field = received(&hop);

        assert_non_null(memmem(field.data, field.length, cases[i].word, strlen(cases[i].word)));
    }
}

static void test_nothing_that_a_client_said_breaks_a_field(void **unused)
{
    char helo[256], memory[TRACE_FIELD_MAX];
    struct buffer out = buffer_over(memory, sizeof(memory));
    struct trace_hop hop = { .helo = "a\r\nX-Evil: (b);\xff",
                             .hostname = "x",
                             .session_id = "y",
                             .recipient = "\"a b\r\n>\"@c",
                             .date = date };

    (void)unused;
    assert_span(received(&hop), "Received: from a??X-Evil:??b???\r\n"
                                "\tby x with SMTP id y\r\n"
                                "\tfor <\"a b???\"@c>;\r\n"
                                "\tMon, 2 Jan 2006 15:04:05 +0000\r\n");
    memset(helo, 'h', sizeof(helo));
    helo[sizeof(helo) - 1] = '\0';
    hop.helo = helo;
    assert_true(received(&hop).length > sizeof(helo));
    trace_write_original_recipient("\"a b\"@c\r\nX: \t", false, &out);
    assert_span(buffer_span(&out), "X-Original-To: \"a b\"@c??X: ?\r\n");
}

static unsigned count(struct span message, size_t first, size_t second)
{
    struct header_scan scan;

    header_scan_init(&scan);
    header_scan_feed(&scan, span_take(message, first));
    header_scan_feed(&scan, span_drop(span_take(message, second), first));
    header_scan_feed(&scan, span_drop(message, second));
    return scan.received_count;
}

static void test_received_fields_are_counted_at_any_cut(void **unused)
{
    static const struct {
        const char *message;
        unsigned count;
    } cases[] = {
        { "", 0 },
        { "Received: a\r\n", 1 },
        { "received:a\r\n\tb\r\nRECEIVED \t: c\r\nSubject: Received: x\r\n\r\n", 2 },
        { "Received: a\r\n\r\nReceived: b\r\n", 1 },
        { "\r\nReceived: a\r\n", 0 },
        { "Received-SPF: a\r\nXReceived: a\r\n Received: b\r\nReceive: c\r\nReceived\r\n: d\r\n",
          0 },
        { "Rec\r\neived: a\r\nReceived x: b\r\nReReceived: c\r\nReceived:\r\n", 1 },
        { "x\r\n\r\n\r\nReceived: a\r\n", 0 },
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(cases); i++) {
        struct span message = span_from_string(cases[i].message);

        for (size_t second = 0; second <= message.length; second++)
            for (size_t first = 0; first <= second; first++)
                assert_int_equal(count(message, first, second), cases[i].count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_received_names_the_hop),
        cmocka_unit_test(test_received_names_the_protocol),
        cmocka_unit_test(test_nothing_that_a_client_said_breaks_a_field),
        cmocka_unit_test(test_received_fields_are_counted_at_any_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
