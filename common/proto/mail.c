/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/mail.h"

#include <assert.h>
#include <stdio.h>

#include "common/base/memory.h"

/* The byte in a line of ASCII text that stands for `byte`. */
static char printable(char byte)
{
    if (byte >= ' ' && byte <= '~')
        return byte;
    return (unsigned char)byte >= 0x80 ? '?' : ' ';
}

void mail_reply_append_text(struct mail_reply *reply, struct span text)
{
    size_t length = strlen(reply->text);

    if (length > 0 && text.length > 0 && length < MAIL_REPLY_TEXT_SIZE - 1)
        reply->text[length++] = ' ';
    for (size_t i = 0; i < text.length && length < MAIL_REPLY_TEXT_SIZE - 1; i++)
        reply->text[length++] = printable(text.data[i]);
    reply->text[length] = '\0';
}

struct mail_reply mail_reply_of(int code, const char *enhanced, const char *text)
{
    struct mail_reply reply = { .code = code };
    bool fits =
        span_copy_string(span_from_string(enhanced), reply.enhanced, sizeof(reply.enhanced));

    assert(fits);
    (void)fits;
    mail_reply_append_text(&reply, span_from_string(text));
    return reply;
}

void mail_reply_write_line(const struct mail_reply *reply, char line[MAIL_REPLY_LINE_SIZE])
{
    line[0] = '\0';
    if (reply->code > 0)
        snprintf(line, MAIL_REPLY_LINE_SIZE, "%d %s%s%s", reply->code, reply->enhanced,
                 reply->enhanced[0] ? " " : "", reply->text);
}

void mail_notify_write(unsigned notify, struct buffer *out)
{
    static const struct {
        enum mail_notify bit;
        const char *word;
    } rows[] = {
        { MAIL_NOTIFY_NEVER, "NEVER" },
        { MAIL_NOTIFY_SUCCESS, "SUCCESS" },
        { MAIL_NOTIFY_FAILURE, "FAILURE" },
        { MAIL_NOTIFY_DELAY, "DELAY" },
    };
    const char *before = "";

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (notify & rows[i].bit) {
            buffer_append_format(out, "%s%s", before, rows[i].word);
            before = ",";
        }
}
