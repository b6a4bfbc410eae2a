/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Composes the three parts of a report: words for a person, fields for a program, and
 * the header of the message, or all of it.  Text from elsewhere goes through append_clean, which
 * leaves nothing that could end a line.  An append that does not fit marks the writer, so that
 * the result is tested once.
 */
#include "common/proto/report.h"

#include <assert.h>

enum {
    LINE_MAX_BYTES = 998, /* RFC 5322 section 2.1.1, without CRLF */
    TEXT_MAX = 900,       /* of one foreign text, so that its line stays below that */
    TYPE_MAX = 50,        /* of an address's type, beside one */
    HEADER_MAX = 64 * 1024
};

struct writer {
    struct bytes *target;
    bool is_full;
    bool may_utf8;
};

static void append_span(struct writer *writer, struct span text)
{
    writer->is_full = writer->is_full || !bytes_append(writer->target, text);
}

static void append(struct writer *writer, const char *text)
{
    append_span(writer, span_from_string(text));
}

static bool is_clean(char byte, bool may_utf8)
{
    return byte == '\t' || (byte >= ' ' && byte <= '~') ||
           (may_utf8 && (unsigned char)byte >= 0x80);
}

/* Appends printable ASCII, tabs and, where it may, UTF-8 as they are and '?' for anything else. */
static void append_clean(struct writer *writer, struct span text)
{
    bool may_utf8 = writer->may_utf8 && span_is_utf8(text);

    while (text.length > 0) {
        size_t good = 0;

        while (good < text.length && is_clean(text.data[good], may_utf8))
            good++;
        append_span(writer, span_take(text, good));
        if (good < text.length)
            append(writer, "?");
        text = span_drop(text, good + 1);
    }
}

static bool is_present(const char *text)
{
    return text && text[0] != '\0';
}

/* Appends a foreign text, cut so that its line stays in bounds. */
static void append_text(struct writer *writer, const char *text)
{
    append_clean(writer, span_take(span_from_string(text), TEXT_MAX));
}

/* Appends a line of `name` and `text`, or nothing at all for an empty text. */
static void append_field(struct writer *writer, const char *name, const char *text)
{
    if (!is_present(text))
        return;
    append(writer, name);
    append_text(writer, text);
    append(writer, "\r\n");
}

bool report_is_8bit(const struct report *report)
{
    return report->is_utf8 || !span_is_ascii(span_from_string(report->reverse_path)) ||
           (report->is_full && !span_is_ascii(report->message));
}

/* --- the header ---------------------------------------------------------------------- */

static void append_header(struct writer *writer, const struct report *report)
{
    static const char *const subjects[] = {
        [REPORT_FAILED] = "Undelivered mail returned to sender",
        [REPORT_DELAYED] = "Delayed mail (still being retried)",
        [REPORT_SUCCESS] = "Successful mail delivery report",
    };

    append_field(writer, "Date: ", report->date);
    append(writer, "From: Mail Delivery System <MAILER-DAEMON@");
    append(writer, report->hostname);
    append(writer, ">\r\nTo: <");
    append_text(writer, report->reverse_path);
    append(writer, ">\r\nSubject: ");
    append(writer, subjects[report->kind]);
    append(writer, "\r\nMessage-ID: <");
    append(writer, report->message_id);
    append(writer, "@");
    append(writer, report->hostname);
    append(writer, ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
                   "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                   "\tboundary=\"");
    append(writer, report->boundary);
    append(writer, "\"\r\nContent-Transfer-Encoding: ");
    append(writer, report_is_8bit(report) ? "8bit" : "7bit");
    append(writer, "\r\n\r\nThis is a message in MIME format.\r\n");
}

/* Begins a part; `type` and what else stands in its header. */
static void append_part(struct writer *writer, const struct report *report, const char *description,
                        const char *type, bool is_8bit)
{
    append(writer, "\r\n--");
    append(writer, report->boundary);
    append(writer, "\r\nContent-Description: ");
    append(writer, description);
    append(writer, "\r\nContent-Type: ");
    append(writer, type);
    append(writer, is_8bit ? "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n" : "\r\n\r\n");
}

/* --- for a person -------------------------------------------------------------------- */

static void append_notification(struct writer *writer, const struct report *report)
{
    static const char *const words[] = {
        [REPORT_FAILED] =
            ".\r\n\r\nYour message could not be delivered to the recipients below, and it "
            "will not be\r\ntried again.  ",
        [REPORT_DELAYED] =
            ".\r\n\r\nYour message could not be delivered to the recipients below yet.  It is "
            "tried\r\nfurther, and you need not send it again.  ",
        [REPORT_SUCCESS] = ".\r\n\r\nYour message was delivered to the recipients below.  ",
    };

    append_part(writer, report, "Notification",
                report->is_utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii",
                report->is_utf8);
    append(writer, "This is the mail system at host ");
    append(writer, report->hostname);
    append(writer, words[report->kind]);
    append(writer, report->is_full ? "It is attached.\r\n" : "Its header is attached.\r\n");
    for (size_t i = 0; i < report->recipient_count; i++) {
        const struct report_recipient *recipient = &report->recipients[i];

        append(writer, "\r\n<");
        append_text(writer,
                    is_present(recipient->original) ? recipient->original : recipient->final);
        append(writer, ">\r\n");
        append_field(writer, "    ", recipient->diagnostic);
        if (report->kind == REPORT_SUCCESS && recipient->is_relayed)
            append(writer, "    given to a mail system that reports no further\r\n");
    }
}

/* --- for a program ------------------------------------------------------------------- */

/* RFC 3464 section 2.3.4: class 4 stands for a failure by age. */
static const char *status_of(const struct report *report, const struct report_recipient *recipient)
{
    static const struct {
        const char *classes, *otherwise;
    } rows[] = {
        [REPORT_FAILED] = { "45", "5.0.0" },
        [REPORT_DELAYED] = { "4", "4.0.0" },
        [REPORT_SUCCESS] = { "2", "2.0.0" },
    };
    const char *status = recipient->status;

    return is_present(status) && strchr(rows[report->kind].classes, status[0])
               ? status
               : rows[report->kind].otherwise;
}

static const char *action_of(const struct report *report, const struct report_recipient *recipient)
{
    switch (report->kind) {
    case REPORT_FAILED:
        return "Action: failed\r\n";
    case REPORT_DELAYED:
        return "Action: delayed\r\n";
    case REPORT_SUCCESS:
        break;
    }
    return recipient->is_relayed ? "Action: relayed\r\n" : "Action: delivered\r\n";
}

static void append_original(struct writer *writer, const struct report_recipient *recipient)
{
    if (!is_present(recipient->original) || !is_present(recipient->original_type))
        return;
    append(writer, "Original-Recipient: ");
    append_clean(writer, span_take(span_from_string(recipient->original_type), TYPE_MAX));
    append_field(writer, "; ", recipient->original);
}

/* RFC 3464 section 2.3. */
static void append_recipient_fields(struct writer *writer, const struct report *report,
                                    const struct report_recipient *recipient)
{
    bool is_ascii = span_is_ascii(span_from_string(recipient->final));

    append(writer, "\r\n");
    append_original(writer, recipient);
    append_field(writer, is_ascii ? "Final-Recipient: rfc822; " : "Final-Recipient: utf-8; ",
                 recipient->final);
    append(writer, action_of(report, recipient));
    append_field(writer, "Status: ", status_of(report, recipient));
    append_field(writer, "Remote-MTA: dns; ", recipient->remote_mta);
    append_field(writer,
                 recipient->is_reply ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: x-mailstead; ",
                 recipient->diagnostic);
    if (report->kind == REPORT_DELAYED)
        append_field(writer, "Will-Retry-Until: ", report->retry_until);
}

/* RFC 3464 section 2.2. */
static void append_status(struct writer *writer, const struct report *report)
{
    append_part(writer, report, "Delivery report",
                report->is_utf8 ? "message/global-delivery-status" : "message/delivery-status",
                report->is_utf8);
    append_field(writer, "Original-Envelope-Id: ", report->envelope_id);
    append_field(writer, "Reporting-MTA: dns; ", report->hostname);
    append_field(writer, "Arrival-Date: ", report->arrival_date);
    for (size_t i = 0; i < report->recipient_count; i++)
        append_recipient_fields(writer, report, &report->recipients[i]);
}

/* --- what is returned ---------------------------------------------------------------- */

static void append_returned_message(struct writer *writer, const struct report *report)
{
    append_part(writer, report, "The message",
                report->is_utf8 ? "message/global" : "message/rfc822",
                !span_is_ascii(report->message));
    append_span(writer, report->message);
}

/* The header of the message, line by line up to the empty one. */
static void append_returned_header(struct writer *writer, const struct report *report)
{
    struct span rest = span_take(report->message, HEADER_MAX);

    append_part(writer, report, "Header of the message",
                report->is_utf8 ? "message/global-headers" : "text/rfc822-headers",
                report->is_utf8);
    while (rest.length > 0) {
        struct span line = span_split(&rest, '\n');

        if (line.length > 0 && line.data[line.length - 1] == '\r')
            line.length--;
        if (line.length == 0)
            break;
        append_clean(writer, span_take(line, LINE_MAX_BYTES));
        append(writer, "\r\n");
    }
}

bool report_compose(const struct report *report, struct bytes *target)
{
    bool may_utf8 = report->is_utf8 || !span_is_ascii(span_from_string(report->reverse_path));
    struct writer writer = { target, false, may_utf8 };

    assert(report->reverse_path[0] != '\0' && report->recipient_count > 0);
    assert(strlen(report->boundary) > 0 && strlen(report->boundary) <= 60);
    append_header(&writer, report);
    append_notification(&writer, report);
    append_status(&writer, report);
    if (report->is_full)
        append_returned_message(&writer, report);
    else
        append_returned_header(&writer, report);
    append(&writer, "\r\n--");
    append(&writer, report->boundary);
    append(&writer, "--\r\n");
    return !writer.is_full;
}
