/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays the transcripts of the mail machines.
 *
 * Options of a server: words of tls (STARTTLS is available), secure (TLS is active), and
 * size=N, recipients=N, errors=N.  Answers: tls, CODE ENHANCED TEXT (ENHANCED may be "-"),
 * goodbye TEXT.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/proto/smtp_server.h"
#include "tests/transcripts/runner.h"

/* Reads "KEY=NUMBER" when `word` begins with "KEY=". */
static bool number_option(struct span word, const char *key, uint64_t *value)
{
    struct span name = span_split(&word, '=');

    return span_equals(name, span_from_string(key)) && span_parse_u64(word, value);
}

static bool server_option(struct smtp_server_options *options, struct span word)
{
    uint64_t number;

    if (span_equals(word, SPAN_LITERAL("tls")))
        options->tls_available = true;
    else if (span_equals(word, SPAN_LITERAL("secure")))
        options->tls_active = true;
    else if (number_option(word, "size", &number))
        options->size_max = number;
    else if (number_option(word, "recipients", &number))
        options->recipients_max = (unsigned)number;
    else if (number_option(word, "errors", &number))
        options->errors_max = (unsigned)number;
    else
        return false;
    return true;
}

static bool server_init(struct smtp_server *server, enum mail_flavor flavor, struct span words,
                        struct buffer *out)
{
    struct smtp_server_options options = { .flavor = flavor,
                                           .hostname = "mx.example.org",
                                           .size_max = 100000,
                                           .recipients_max = 10,
                                           .errors_max = 10 };

    while (words.length > 0)
        if (!server_option(&options, transcript_take_word(&words)))
            return false;
    smtp_server_init(server, &options, out);
    return true;
}

static bool smtp_server_start(void *subject, struct span options, struct buffer *out)
{
    return server_init(subject, MAIL_SMTP, options, out);
}

static bool lmtp_server_start(void *subject, struct span options, struct buffer *out)
{
    return server_init(subject, MAIL_LMTP, options, out);
}

static enum transcript_step note_mail(const struct smtp_server *server, struct buffer *note)
{
    buffer_append_format(note, "MAIL <%s>", server->reverse_path);
    if (server->parameters.size > 0)
        buffer_append_format(note, " size=%llu", (unsigned long long)server->parameters.size);
    if (server->parameters.body_8bit)
        buffer_append_string(note, " 8bit");
    return TRANSCRIPT_QUESTION;
}

static enum transcript_step server_next(void *subject, struct span *in, struct buffer *out,
                                        struct buffer *note)
{
    struct smtp_server *server = subject;

    switch (smtp_server_next(server, in, out)) {
    case SMTP_SERVER_NEED_INPUT:
        return TRANSCRIPT_NEED_INPUT;
    case SMTP_SERVER_FLUSH:
        return TRANSCRIPT_FLUSH;
    case SMTP_SERVER_STARTTLS:
        buffer_append_string(note, "STARTTLS");
        return TRANSCRIPT_QUESTION;
    case SMTP_SERVER_MAIL:
        return note_mail(server, note);
    case SMTP_SERVER_RCPT:
        buffer_append_format(note, "RCPT <%s>", server->recipient);
        return TRANSCRIPT_QUESTION;
    case SMTP_SERVER_DATA:
        buffer_append_format(note, "DATA for %u from %s", server->recipients_accepted,
                             server->helo);
        return TRANSCRIPT_QUESTION;
    case SMTP_SERVER_CONTENT:
        buffer_append(note, server->content);
        return TRANSCRIPT_CONTENT;
    case SMTP_SERVER_CONTENT_END:
        buffer_append_format(note, "CONTENT_END %llu", (unsigned long long)server->content_bytes);
        return TRANSCRIPT_QUESTION;
    case SMTP_SERVER_CONTENT_BROKEN:
        buffer_append_string(note, "CONTENT_BROKEN");
        return TRANSCRIPT_EVENT;
    case SMTP_SERVER_RESET:
        buffer_append_string(note, "RESET");
        return TRANSCRIPT_EVENT;
    case SMTP_SERVER_END:
        buffer_append_string(note, "END");
        return TRANSCRIPT_END;
    }
    abort();
}

/* "CODE ENHANCED TEXT" as a reply. */
static bool read_reply(struct span words, struct mail_reply *reply)
{
    struct span code_word = transcript_take_word(&words);
    struct span enhanced_word = transcript_take_word(&words);
    char enhanced[12], text[MAIL_REPLY_TEXT_SIZE];
    uint64_t code;

    if (!span_parse_u64(code_word, &code) || code < 200 || code > 599 ||
        !span_copy_string(enhanced_word, enhanced, sizeof(enhanced)) ||
        !span_copy_string(words, text, sizeof(text)))
        return false;
    *reply = mail_reply_of((int)code, strcmp(enhanced, "-") == 0 ? NULL : enhanced, text);
    return true;
}

static enum transcript_answered server_answer(void *subject, struct span answer, struct buffer *out)
{
    struct smtp_server *server = subject;
    struct mail_reply reply;
    struct span rest = answer;
    struct span verb = transcript_take_word(&rest);
    char text[256];

    if (span_equals(verb, SPAN_LITERAL("tls"))) {
        smtp_server_tls_started(server);
    } else if (span_equals(verb, SPAN_LITERAL("goodbye"))) {
        if (!span_copy_string(rest, text, sizeof(text)))
            return TRANSCRIPT_UNKNOWN_ANSWER;
        smtp_server_goodbye(server, text, out);
    } else if (read_reply(answer, &reply)) {
        smtp_server_reply(server, &reply, out);
    } else {
        return TRANSCRIPT_UNKNOWN_ANSWER;
    }
    return TRANSCRIPT_GO_ON;
}

static void nothing_to_end(void *subject)
{
    (void)subject;
}

#define SERVER_ADAPTER(folder, start)                                                              \
    {                                                                                              \
        folder, false, sizeof(struct smtp_server), start, server_next, server_answer,              \
            nothing_to_end                                                                         \
    }

int main(void)
{
    static const struct transcript_adapter adapters[] = {
        SERVER_ADAPTER("tests/transcripts/lmtp-server", lmtp_server_start),
        SERVER_ADAPTER("tests/transcripts/smtp-server", smtp_server_start),
    };
    int failures = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(adapters); i++)
        failures += transcript_run_folder(&adapters[i]);
    return failures > 0;
}
