/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states, the answers, and the lines: each that is whole and clean goes to
 * smtp_server_commands.c.  What is wrong with a line or a command gets its 5xx by
 * smtp_server_refuse, and too many of them end the session with 421; what the session answers
 * is its own policy and is not counted.
 */
#include "common/proto/smtp_server.h"

#include <assert.h>

#include "common/proto/smtp_reply.h"
#include "common/proto/smtp_server_private.h"

/* RFC 5321 section 4.5.3.1.4 asks 512, with CRLF; paths and parameters may be longer. */
enum { COMMAND_LINE_MAX = 2048, LONG_LINE_MAX = 65536 };

static const struct state_row states[] = {
    [GREETED] = { "greeted", STATE_BIT(GREETED) | STATE_BIT(READY) | STATE_BIT(ASKED_STARTTLS) |
                                 STATE_BIT(CHUNK_SKIPPING) | STATE_BIT(DONE) },
    [READY] = { "ready", STATE_BIT(GREETED) | STATE_BIT(READY) | STATE_BIT(ASKED_MAIL) |
                             STATE_BIT(ASKED_STARTTLS) | STATE_BIT(CHUNK_SKIPPING) |
                             STATE_BIT(AUTHENTICATING) | STATE_BIT(ASKED_AUTH) | STATE_BIT(DONE) },
    [ASKED_MAIL] = { "asked-mail", STATE_BIT(READY) | STATE_BIT(ENVELOPE) | STATE_BIT(DONE) },
    [ENVELOPE] = { "envelope", STATE_BIT(READY) | STATE_BIT(ASKED_RCPT) | STATE_BIT(ASKED_DATA) |
                                   STATE_BIT(ASKED_CHUNKS) | STATE_BIT(CHUNK_SKIPPING) |
                                   STATE_BIT(DONE) },
    [ASKED_RCPT] = { "asked-rcpt", STATE_BIT(ENVELOPE) | STATE_BIT(DONE) },
    [ASKED_DATA] = { "asked-data", STATE_BIT(ENVELOPE) | STATE_BIT(CONTENT) | STATE_BIT(DONE) },
    [CONTENT] = { "content", STATE_BIT(SKIPPING) | STATE_BIT(ASKED_FINAL) | STATE_BIT(DONE) },
    [SKIPPING] = { "skipping", STATE_BIT(REFUSING) | STATE_BIT(DONE) },
    [REFUSING] = { "refusing", STATE_BIT(READY) | STATE_BIT(DONE) },
    [ASKED_FINAL] = { "asked-final", STATE_BIT(READY) | STATE_BIT(DONE) },
    [ASKED_CHUNKS] = { "asked-chunks",
                       STATE_BIT(CHUNK) | STATE_BIT(CHUNK_SKIPPING) | STATE_BIT(DONE) },
    [CHUNK] = { "chunk", STATE_BIT(CHUNKS) | STATE_BIT(CHUNK_SKIPPING) | STATE_BIT(ASKED_FINAL) |
                             STATE_BIT(DONE) },
    [CHUNKS] = { "chunks", STATE_BIT(READY) | STATE_BIT(CHUNK) | STATE_BIT(CHUNK_SKIPPING) |
                               STATE_BIT(DONE) },
    [CHUNK_SKIPPING] = { "chunk-skipping", STATE_BIT(CHUNK_REFUSING) | STATE_BIT(DONE) },
    [CHUNK_REFUSING] = { "chunk-refusing", STATE_BIT(GREETED) | STATE_BIT(READY) |
                                               STATE_BIT(ENVELOPE) | STATE_BIT(CHUNKS_FAILED) |
                                               STATE_BIT(DONE) },
    [CHUNKS_FAILED] = { "chunks-failed",
                        STATE_BIT(READY) | STATE_BIT(CHUNK_SKIPPING) | STATE_BIT(DONE) },
    [AUTHENTICATING] = { "authenticating",
                         STATE_BIT(READY) | STATE_BIT(ASKED_AUTH) | STATE_BIT(DONE) },
    [ASKED_AUTH] = { "asked-auth", STATE_BIT(READY) | STATE_BIT(AUTHENTICATING) | STATE_BIT(DONE) },
    [ASKED_STARTTLS] = { "asked-starttls", STATE_BIT(GREETED) | STATE_BIT(DONE) },
    [DONE] = { "done", STATE_BIT(DONE) },
};

void smtp_server_say(int code, const char *enhanced, const char *text, struct buffer *out)
{
    struct mail_reply reply = mail_reply_of(code, enhanced, text);

    smtp_reply_write(&reply, out);
}

enum smtp_server_event smtp_server_refuse(struct smtp_server *server, int code,
                                          const char *enhanced, const char *text,
                                          struct buffer *out)
{
    if (server->errors >= server->options.errors_max) {
        smtp_server_goodbye(server, "Too many errors", out);
        return SMTP_SERVER_END;
    }
    server->errors++;
    smtp_server_say(code, enhanced, text, out);
    return SMTP_SERVER_NEED_INPUT;
}

/*
 * Drops what a line has beyond its limit.  NEED_INPUT: its end has not come; END: it will not be
 * waited for; FLUSH, which this cannot give otherwise: it is over, go on.
 */
static enum smtp_server_event skip_long_line(struct smtp_server *server, struct span *in,
                                             struct buffer *out)
{
    size_t left = LONG_LINE_MAX - server->line_skipped;
    size_t lf = span_find(span_take(*in, left), '\n');
    size_t skipped;

    if (lf >= left) {
        smtp_server_goodbye(server, "The line is too long", out);
        *in = span_drop(*in, in->length);
        return SMTP_SERVER_END;
    }
    if (lf == in->length) {
        /* A CR stays: whether the line ends well is told by the byte before its LF. */
        skipped = lf > 0 && in->data[lf - 1] == '\r' ? lf - 1 : lf;
        server->line_skipped += skipped;
        *in = span_drop(*in, skipped);
        return SMTP_SERVER_NEED_INPUT;
    }
    server->line_is_too_long = false;
    server->line_is_broken = lf == 0 || in->data[lf - 1] != '\r';
    *in = span_drop(*in, lf + 1);
    return SMTP_SERVER_FLUSH;
}

#define LINE_STATES (SMTP_SERVER_COMMAND_STATES | STATE_BIT(AUTHENTICATING))

/* RFC 4954 section 4: a line with a response may be longer than others. */
static size_t line_max(const struct smtp_server *server, struct span in)
{
    if (server->state.current == AUTHENTICATING ||
        (smtp_server_may_authenticate(server) &&
         span_starts_with_ignore_case(in, SPAN_LITERAL("AUTH "))))
        return SASL_LINE_MAX;
    return COMMAND_LINE_MAX;
}

static enum smtp_server_event refuse_line(struct smtp_server *server, const char *enhanced,
                                          const char *text, struct buffer *out)
{
    if (server->state.current == AUTHENTICATING)
        smtp_server_give_up_auth(server);
    return smtp_server_refuse(server, 500, enhanced, text, out);
}

/* Takes the next line and does what it says. */
static enum smtp_server_event next_line(struct smtp_server *server, size_t max, struct span *in,
                                        struct buffer *out)
{
    size_t lf = span_find(span_take(*in, max), '\n');
    bool was_broken = server->line_is_broken;
    struct span line;

    if (lf >= max) {
        server->line_is_too_long = true;
        server->line_skipped = 0;
        return refuse_line(server, max == SASL_LINE_MAX ? "5.5.6" : "5.5.2", "The line is too long",
                           out);
    }
    line = span_take(*in, lf);
    *in = span_drop(*in, lf + 1);
    server->line_is_broken = lf == 0 || line.data[lf - 1] != '\r';
    if (!server->line_is_broken)
        line.length--;
    if (was_broken || server->line_is_broken || span_has_line_break_or_nul(line))
        return refuse_line(server, "5.5.2", "A line ends in CRLF and has no CR, LF or NUL in it",
                           out);
    return server->state.current == AUTHENTICATING ? smtp_server_take_response(server, line, out)
                                                   : smtp_server_execute(server, line, out);
}

static enum smtp_server_event read_commands(struct smtp_server *server, struct span *in,
                                            struct buffer *out)
{
    enum smtp_server_event event = SMTP_SERVER_NEED_INPUT;

    while (event == SMTP_SERVER_NEED_INPUT && (LINE_STATES & STATE_BIT(server->state.current))) {
        size_t max;

        if (buffer_room(out) < MACHINE_REPLY_ROOM)
            return SMTP_SERVER_FLUSH;
        if (server->line_is_too_long) {
            event = skip_long_line(server, in, out);
            if (event != SMTP_SERVER_FLUSH)
                return event;
        }
        max = line_max(server, *in);
        if (in->length < max && span_find(*in, '\n') == in->length)
            return SMTP_SERVER_NEED_INPUT;
        event = next_line(server, max, in, out);
    }
    return event;
}

/* Goes on in the state that it is in; NEED_INPUT also when the state has changed. */
static enum smtp_server_event step(struct smtp_server *server, struct span *in, struct buffer *out)
{
    switch (server->state.current) {
    case DONE:
        return SMTP_SERVER_END;
    case CONTENT:
        return smtp_server_read_content(server, in);
    case CHUNK:
    case CHUNK_SKIPPING:
    case CHUNK_REFUSING:
        return smtp_server_read_chunk(server, in, out);
    case SKIPPING:
        if (smtp_content_skip(&server->content_reader, in) == SMTP_CONTENT_END)
            state_move(&server->state, REFUSING);
        return SMTP_SERVER_NEED_INPUT;
    case REFUSING:
        return smtp_server_write_refusals(server, out);
    default:
        assert(LINE_STATES & STATE_BIT(server->state.current));
        return read_commands(server, in, out);
    }
}

enum smtp_server_event smtp_server_next(struct smtp_server *server, struct span *in,
                                        struct buffer *out)
{
    enum smtp_server_event event;
    unsigned before;

    do {
        before = server->state.current;
        event = step(server, in, out);
    } while (event == SMTP_SERVER_NEED_INPUT && server->state.current != before);
    return event;
}

void smtp_server_greet(const struct smtp_server *server, struct buffer *out)
{
    buffer_append_format(out, "220 %s %s ready\r\n", server->options.hostname,
                         server->options.flavor == MAIL_LMTP ? "LMTP" : "ESMTP");
}

void smtp_server_init(struct smtp_server *server, const struct smtp_server_options *options,
                      struct buffer *out)
{
    *server = (struct smtp_server){ .options = *options };
    state_init(&server->state, states, GREETED);
    smtp_server_greet(server, out);
}

void smtp_server_tls_started(struct smtp_server *server)
{
    assert(server->state.current == ASKED_STARTTLS);
    server->options.tls_active = true;
    /* RFC 3207 section 4.2: what was said before is forgotten. */
    server->helo[0] = '\0';
    server->is_extended = false;
    state_move(&server->state, GREETED);
}

/*
 * RFC 2034 section 4: what is offered is in each reply; a backend that has none, or one of another
 * class than its code, gets the least that says the same.
 */
static void write_reply(const struct smtp_server *server, const struct mail_reply *given,
                        struct buffer *out)
{
    struct mail_reply reply = *given;
    char class = (char)('0' + reply.code / 100);

    if (server->is_extended && class != '3' && reply.enhanced[0] != class) {
        memcpy(reply.enhanced, "0.0.0", sizeof("0.0.0"));
        reply.enhanced[0] = class;
    }
    smtp_reply_write(&reply, out);
}

void smtp_server_reply(struct smtp_server *server, const struct mail_reply *reply,
                       struct buffer *out)
{
    bool is_positive = mail_reply_is_positive(reply);
    unsigned asked = server->state.current;

    assert(asked == ASKED_MAIL || asked == ASKED_RCPT || asked == ASKED_DATA ||
           asked == ASKED_CHUNKS || asked == ASKED_FINAL);
    assert(!is_positive || (asked == ASKED_DATA || asked == ASKED_CHUNKS) == (reply->code == 354));
    if (asked == ASKED_CHUNKS && reply->code != 421) {
        smtp_server_chunks_answered(server, reply);
        return;
    }
    write_reply(server, reply, out);
    if (reply->code == 421) {
        state_move(&server->state, DONE);
    } else if (asked == ASKED_FINAL) {
        smtp_server_count_final_reply(server);
    } else if (asked == ASKED_MAIL) {
        state_move(&server->state, is_positive ? ENVELOPE : READY);
    } else if (asked == ASKED_DATA && is_positive) {
        smtp_server_begin_content(server, CONTENT);
    } else {
        server->recipients_accepted += asked == ASKED_RCPT && is_positive;
        state_move(&server->state, ENVELOPE);
    }
}

void smtp_server_goodbye(struct smtp_server *server, const char *text, struct buffer *out)
{
    smtp_server_say(421, "4.3.2", text, out);
    state_move(&server->state, DONE);
}
