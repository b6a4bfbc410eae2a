/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include "common/proto/report.h"

static const struct report_recipient recipients[] = {
    { .original_type = "rfc822",
      .original = "joe+x@example.org",
      .final = "joe@example.org",
      .status = "5.1.1",
      .diagnostic = "550 5.1.1 No such user",
      .remote_mta = "sv1",
      .is_reply = true },
    { .final = "eve@example.org", .status = "", .diagnostic = "No reply for five days" },
    { .final = "ann@example.org",
      .status = "5.7.1",
      .diagnostic = "550 5.7.1 Not from you",
      .is_reply = true },
};

static struct report example(void)
{
    return (struct report){
        .hostname = "mx.example.org",
        .reverse_path = "sender@x.example",
        .message_id = "id1",
        .boundary = "boundary1",
        .date = "Mon, 2 Jan 2006 15:04:05 +0000",
        .arrival_date = "Mon, 2 Jan 2006 15:00:00 +0000",
        .message = SPAN_LITERAL("Subject: hello\r\nX-A: b\r\n\r\nbody\r\n"),
        .recipients = recipients,
        .recipient_count = sizeof(recipients) / sizeof(recipients[0]),
    };
}

static const char expected[] =
    "Date: Mon, 2 Jan 2006 15:04:05 +0000\r\n"
    "From: Mail Delivery System <MAILER-DAEMON@mx.example.org>\r\n"
    "To: <sender@x.example>\r\n"
    "Subject: Undelivered mail returned to sender\r\n"
    "Message-ID: <id1@mx.example.org>\r\n"
    "Auto-Submitted: auto-replied\r\n"
    "MIME-Version: 1.0\r\n"
    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
    "\tboundary=\"boundary1\"\r\n"
    "Content-Transfer-Encoding: 7bit\r\n"
    "\r\n"
    "This is a message in MIME format.\r\n"
    "\r\n--boundary1\r\n"
    "Content-Description: Notification\r\n"
    "Content-Type: text/plain; charset=us-ascii\r\n"
    "\r\n"
    "This is the mail system at host mx.example.org.\r\n"
    "\r\n"
    "Your message could not be delivered to the recipients below, and it will not be\r\n"
    "tried again.  Its header is attached.\r\n"
    "\r\n"
    "<joe+x@example.org>\r\n"
    "    550 5.1.1 No such user\r\n"
    "\r\n"
    "<eve@example.org>\r\n"
    "    No reply for five days\r\n"
    "\r\n"
    "<ann@example.org>\r\n"
    "    550 5.7.1 Not from you\r\n"
    "\r\n--boundary1\r\n"
    "Content-Description: Delivery report\r\n"
    "Content-Type: message/delivery-status\r\n"
    "\r\n"
    "Reporting-MTA: dns; mx.example.org\r\n"
    "Arrival-Date: Mon, 2 Jan 2006 15:00:00 +0000\r\n"
    "\r\n"
    "Original-Recipient: rfc822; joe+x@example.org\r\n"
    "Final-Recipient: rfc822; joe@example.org\r\n"
    "Action: failed\r\n"
    "Status: 5.1.1\r\n"
    "Remote-MTA: dns; sv1\r\n"
    "Diagnostic-Code: smtp; 550 5.1.1 No such user\r\n"
    "\r\n"
    "Final-Recipient: rfc822; eve@example.org\r\n"
    "Action: failed\r\n"
    "Status: 5.0.0\r\n"
    "Diagnostic-Code: x-mailstead; No reply for five days\r\n"
    "\r\n"
    "Final-Recipient: rfc822; ann@example.org\r\n"
    "Action: failed\r\n"
    "Status: 5.7.1\r\n"
    "Diagnostic-Code: smtp; 550 5.7.1 Not from you\r\n"
    "\r\n--boundary1\r\n"
    "Content-Description: Header of the message\r\n"
    "Content-Type: text/rfc822-headers\r\n"
    "\r\n"
    "Subject: hello\r\n"
    "X-A: b\r\n"
    "\r\n--boundary1--\r\n";

static void test_a_report_has_its_three_parts(void **unused)
{
    struct report report = example();
    struct bytes target = bytes_empty(1 << 20);

    (void)unused;
    assert_true(report_compose(&report, &target));
    assert_span(bytes_span(&target), expected);
    bytes_release(&target);
}

/* RFC 5322: lines of at most 998 bytes that end in CRLF; and nothing but ASCII. */
static void assert_sendable(struct span text)
{
    while (text.length > 0) {
        size_t lf = span_find(text, '\n');

        assert_true(lf < text.length && lf > 0 && lf < 1000 && text.data[lf - 1] == '\r');
        for (size_t i = 0; i < lf - 1; i++)
            assert_true(text.data[i] == '\t' || (text.data[i] >= ' ' && text.data[i] <= '~'));
        text = span_drop(text, lf + 1);
    }
}

static void test_foreign_text_neither_breaks_lines_nor_makes_them_long(void **unused)
{
    static char path[512], diagnostic[8192], message[100000];
    struct report report = example();
    struct report_recipient recipient = { .original_type = "x\r\nAction: delivered",
                                          .original = path,
                                          .final = "a@b\r\nAction: delivered",
                                          .status = "5.1.1",
                                          .diagnostic = diagnostic,
                                          .remote_mta = "h\r\n\r\n",
                                          .is_reply = true };
    struct bytes target = bytes_empty(1 << 20);

    (void)unused;
    memset(path, 'p', sizeof(path) - 1);
    memset(diagnostic, 'd', sizeof(diagnostic) - 1);
    memset(message, 'm', sizeof(message));
    memcpy(message, "A: \xff\0\r\rx\nB: \x01\r\n", 15);
    report.reverse_path = "a@b>\r\nBcc: <c@d";
    report.envelope_id = "id\r\nAction: delivered";
    report.recipients = &recipient;
    report.recipient_count = 1;
    report.message = span_of(message, sizeof(message));
    assert_true(report_compose(&report, &target));
    assert_sendable(bytes_span(&target));
    assert_null(memmem(target.data, target.length, "\nAction: delivered", 18));
    assert_null(memmem(target.data, target.length, "\nBcc", 4));
    bytes_release(&target);
}

static void test_a_report_of_a_delay_says_until_when_it_is_tried(void **unused)
{
    struct report report = example();
    struct bytes target = bytes_empty(1 << 16);
    struct span text;

    (void)unused;
    report.kind = REPORT_DELAYED;
    report.retry_until = "Sat, 7 Jan 2006 15:00:00 +0000";
    assert_true(report_compose(&report, &target));
    assert_true(bytes_append(&target, SPAN_LITERAL("\0")));
    text = bytes_span(&target);
    assert_non_null(strstr(text.data, "Subject: Delayed mail"));
    assert_non_null(strstr(text.data, "Action: delayed\r\nStatus: 4.0.0\r\n"));
    assert_non_null(strstr(text.data, "Will-Retry-Until: Sat, 7 Jan 2006 15:00:00 +0000\r\n"));
    assert_null(strstr(text.data, "Action: failed"));
    assert_null(strstr(text.data, "5.0.0"));
    bytes_release(&target);
}

/* The report as a string; the caller releases `target`. */
static const char *compose(const struct report *report, struct bytes *target)
{
    *target = bytes_empty(1 << 20);
    assert_true(report_compose(report, target));
    assert_true(bytes_append(target, SPAN_LITERAL("\0")));
    return target->data;
}

static void test_a_success_is_delivered_or_relayed(void **unused)
{
    struct report_recipient reached[2] = {
        { .final = "joe@example.org", .status = "2.1.5", .diagnostic = "250 2.1.5 Taken" },
        { .final = "eve@x.example", .status = "5.0.0", .is_relayed = true },
    };
    struct report report = example();
    struct bytes target;
    const char *text;

    (void)unused;
    report.kind = REPORT_SUCCESS;
    report.envelope_id = "QQ 314";
    report.recipients = reached;
    report.recipient_count = 2;
    text = compose(&report, &target);
    assert_non_null(strstr(text, "\r\nOriginal-Envelope-Id: QQ 314\r\nReporting-MTA: "));
    assert_non_null(strstr(text, "joe@example.org\r\nAction: delivered\r\nStatus: 2.1.5\r\n"));
    assert_non_null(strstr(text, "eve@x.example\r\nAction: relayed\r\nStatus: 2.0.0\r\n"));
    assert_null(strstr(text, "body"));
    bytes_release(&target);
}

static void test_a_message_is_returned_in_full_and_as_it_is(void **unused)
{
    struct report report = example();
    struct bytes target;
    const char *text;

    (void)unused;
    report.is_full = true;
    text = compose(&report, &target);
    assert_false(report_is_8bit(&report));
    assert_non_null(strstr(text, "message/rfc822\r\n\r\nSubject: hello\r\nX-A: b\r\n\r\nbody\r\n"
                                 "\r\n--boundary1--"));
    bytes_release(&target);
    report.message = SPAN_LITERAL("Subject: x\r\n\r\n\xff\r\n");
    text = compose(&report, &target);
    assert_true(report_is_8bit(&report));
    assert_non_null(strstr(text, "\r\nContent-Transfer-Encoding: 8bit\r\n\r\nThis is"));
    assert_non_null(strstr(text, "message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"));
    assert_non_null(strstr(text, "\r\n\r\n\xff\r\n"));
    bytes_release(&target);
}

/* RFC 6533. */
static void test_a_report_about_a_utf8_message_is_utf8(void **unused)
{
    struct report_recipient failed = { .final = "\xc3\xa9@example.org", .status = "5.6.7" };
    struct report report = example();
    struct bytes target;
    const char *text;

    (void)unused;
    report.is_utf8 = true;
    report.recipients = &failed;
    report.recipient_count = 1;
    report.message = SPAN_LITERAL("Subject: \xc3\xa9\r\nX: \xff\r\n\r\n");
    text = compose(&report, &target);
    assert_true(report_is_8bit(&report));
    assert_non_null(strstr(text, "\r\nContent-Type: message/global-delivery-status\r\n"));
    assert_non_null(strstr(text, "\r\nFinal-Recipient: utf-8; \xc3\xa9@example.org\r\n"));
    assert_non_null(strstr(text, "message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n"
                                 "\r\nSubject: \xc3\xa9\r\nX: ?\r\n"));
    bytes_release(&target);
}

static void test_a_message_without_a_header_is_reported(void **unused)
{
    static const struct span messages[] = { SPAN_LITERAL(""), SPAN_LITERAL("\r\nbody\r\n") };

    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        struct report report = example();
        struct bytes target = bytes_empty(1 << 20);

        report.message = messages[i];
        report.arrival_date = NULL;
        assert_true(report_compose(&report, &target));
        assert_sendable(bytes_span(&target));
        assert_null(memmem(target.data, target.length, "body", 4));
        assert_null(memmem(target.data, target.length, "Arrival", 7));
        bytes_release(&target);
    }
}

static void test_a_limit_that_is_passed_is_told(void **unused)
{
    struct report report = example();

    (void)unused;
    for (size_t limit = 0; limit < sizeof(expected) + 1; limit++) {
        struct bytes target = bytes_empty(limit);

        assert_int_equal(report_compose(&report, &target), limit >= sizeof(expected) - 1);
        bytes_release(&target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_report_has_its_three_parts),
        cmocka_unit_test(test_foreign_text_neither_breaks_lines_nor_makes_them_long),
        cmocka_unit_test(test_a_report_of_a_delay_says_until_when_it_is_tried),
        cmocka_unit_test(test_a_success_is_delivered_or_relayed),
        cmocka_unit_test(test_a_message_is_returned_in_full_and_as_it_is),
        cmocka_unit_test(test_a_report_about_a_utf8_message_is_utf8),
        cmocka_unit_test(test_a_message_without_a_header_is_reported),
        cmocka_unit_test(test_a_limit_that_is_passed_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
