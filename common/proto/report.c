/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Composes the three parts of a report: words for a person, fields for a program, and
 * the header of the message.  Text from elsewhere goes through append_clean, which
 * leaves nothing that could end a line.  An append that does not fit marks the writer, so that
 * the result is tested once.
 */
#include "common/proto/report.h"

#include <assert.h>

enum {
    LINE_MAX_BYTES = 998, /* RFC 5322 section 2.1.1, without CRLF */
    TEXT_MAX = 900,       /* of one foreign text, so that its line stays below that */
    HEADER_MAX = 64 * 1024
};

struct writer {
    struct bytes *target;
    bool is_full;
};

static void append_span(struct writer *writer, struct span text)
{
    writer->is_full = writer->is_full || !bytes_append(writer->target, text);
}

static void append(struct writer *writer, const char *text)
{
    append_span(writer, span_from_string(text));
}

/* Appends printable ASCII and tabs as they are and '?' for anything else. */
static void append_clean(struct writer *writer, struct span text)
{
    while (text.length > 0) {
        size_t good = 0;

        while (good < text.length &&
               (text.data[good] == '\t' || (text.data[good] >= ' ' && text.data[good] <= '~')))
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

static void append_header(struct writer *writer, const struct report *report)
{
    append_field(writer, "Date: ", report->date);
    append(writer, "From: Mail Delivery System <MAILER-DAEMON@");
    append(writer, report->hostname);
    append(writer, ">\r\nTo: <");
    append_text(writer, report->reverse_path);
    append(writer, report->retry_until
                       ? ">\r\nSubject: Delayed mail (still being retried)\r\nMessage-ID: <"
                       : ">\r\nSubject: Undelivered mail returned to sender\r\nMessage-ID: <");
    append(writer, report->message_id);
    append(writer, "@");
    append(writer, report->hostname);
    append(writer, ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
                   "Content-Type: multipart/report; report-type=delivery-status;\r\n"
                   "\tboundary=\"");
    append(writer, report->boundary);
    append(writer, "\"\r\nContent-Transfer-Encoding: 7bit\r\n\r\n"
                   "This is a message in MIME format.\r\n");
}

static void append_boundary(struct writer *writer, const struct report *report, const char *rest)
{
    append(writer, "\r\n--");
    append(writer, report->boundary);
    append(writer, rest);
}

static void append_notification(struct writer *writer, const struct report *report)
{
    append_boundary(writer, report,
                    "\r\nContent-Description: Notification\r\n"
                    "Content-Type: text/plain; charset=us-ascii\r\n\r\n"
                    "This is the mail system at host ");
    append(writer, report->hostname);
    append(writer,
           report->retry_until
               ? ".\r\n\r\nYour message could not be delivered to the recipients below yet.  It is "
                 "tried\r\nfurther, and you need not send it again.  Its header is attached.\r\n"
               : ".\r\n\r\nYour message could not be delivered to the recipients below, and it "
                 "will not be\r\ntried again.  Its header is attached.\r\n");
    for (size_t i = 0; i < report->recipient_count; i++) {
        const struct report_recipient *recipient = &report->recipients[i];

        append(writer, "\r\n<");
        append_text(writer,
                    is_present(recipient->original) ? recipient->original : recipient->final);
        append(writer, ">\r\n");
        append_field(writer, "    ", recipient->diagnostic);
    }
}

/* RFC 3464 section 2.3.4: class 4 stands for a failure by age. */
static const char *status_of(const struct report *report, const struct report_recipient *recipient)
{
    const char *status = recipient->status;

    if (report->retry_until)
        return is_present(status) && status[0] == '4' ? status : "4.0.0";
    return is_present(status) && (status[0] == '4' || status[0] == '5') ? status : "5.0.0";
}

/* RFC 3464 section 2.3. */
static void append_recipient_fields(struct writer *writer, const struct report *report,
                                    const struct report_recipient *recipient)
{
    append(writer, "\r\n");
    append_field(writer, "Original-Recipient: rfc822; ", recipient->original);
    append_field(writer, "Final-Recipient: rfc822; ", recipient->final);
    append(writer, report->retry_until ? "Action: delayed\r\n" : "Action: failed\r\n");
    append_field(writer, "Status: ", status_of(report, recipient));
    append_field(writer, "Remote-MTA: dns; ", recipient->remote_mta);
    append_field(writer,
                 recipient->is_reply ? "Diagnostic-Code: smtp; " : "Diagnostic-Code: x-mailstead; ",
                 recipient->diagnostic);
    append_field(writer, "Will-Retry-Until: ", report->retry_until);
}

/* RFC 3464 section 2.2. */
static void append_status(struct writer *writer, const struct report *report)
{
    append_boundary(writer, report,
                    "\r\nContent-Description: Delivery report\r\n"
                    "Content-Type: message/delivery-status\r\n\r\n");
    append_field(writer, "Reporting-MTA: dns; ", report->hostname);
    append_field(writer, "Arrival-Date: ", report->arrival_date);
    for (size_t i = 0; i < report->recipient_count; i++)
        append_recipient_fields(writer, report, &report->recipients[i]);
}

/* The header of the message, line by line up to the empty one. */
static void append_returned_header(struct writer *writer, const struct report *report)
{
    struct span rest = span_take(report->message, HEADER_MAX);

    append_boundary(writer, report,
                    "\r\nContent-Description: Header of the message\r\n"
                    "Content-Type: text/rfc822-headers\r\n\r\n");
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
    struct writer writer = { target, false };

    assert(report->reverse_path[0] != '\0' && report->recipient_count > 0);
    assert(strlen(report->boundary) > 0 && strlen(report->boundary) <= 60);
    append_header(&writer, report);
    append_notification(&writer, report);
    append_status(&writer, report);
    append_returned_header(&writer, report);
    append_boundary(&writer, report, "--\r\n");
    return !writer.is_full;
}
