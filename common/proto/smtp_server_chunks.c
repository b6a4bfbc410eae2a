/* SPDX-License-Identifier: Apache-2.0 */
/*
 * BDAT, RFC 3030.  A chunk is never looked at for an end; its lines are as strict as those of DATA,
 * since it may go on to a backend by DATA.  A CR that ends a chunk is held in one bit up to the
 * next one.
 */
#include "common/proto/smtp_chunk.h"
#include "common/proto/smtp_reply.h"
#include "common/proto/smtp_server_private.h"

/* Has the chunk dropped; then `reply` is said, and the machine is in `state_after`. */
static void skip_chunk(struct smtp_server *server, const struct mail_reply *reply,
                       unsigned state_after)
{
    bool is_for_each = server->options.flavor == MAIL_LMTP && server->chunk_is_last &&
                       server->recipients_accepted > 0;

    server->chunk_refusal = *reply;
    server->chunk_refusals = is_for_each ? server->recipients_accepted : 1;
    server->chunk_state_after = state_after;
    state_move(&server->state, CHUNK_SKIPPING);
}

/* A refusal of the machine's own that is an error of the client's. */
static enum smtp_server_event refuse_chunk(struct smtp_server *server, int code,
                                           const char *enhanced, const char *text,
                                           unsigned state_after, struct buffer *out)
{
    struct mail_reply reply = mail_reply_of(code, enhanced, text);

    if (server->errors >= server->options.errors_max) {
        smtp_server_goodbye(server, "Too many errors", out);
        return SMTP_SERVER_END;
    }
    server->errors++;
    skip_chunk(server, &reply, state_after);
    return SMTP_SERVER_NEED_INPUT;
}

/* Reads "SIZE" and what may follow; false when there is no size. */
static bool take_chunk_size(struct smtp_server *server, struct span *arguments)
{
    struct span size = span_split(arguments, ' ');

    if (!span_parse_u64(size, &server->chunk_size))
        return false;
    server->chunk_left = server->chunk_size;
    *arguments = span_trim(*arguments);
    server->chunk_is_last = span_equals_ignore_case(*arguments, SPAN_LITERAL("LAST"));
    return true;
}

enum smtp_server_event smtp_server_execute_bdat(struct smtp_server *server, struct span arguments,
                                                struct buffer *out)
{
    unsigned state = server->state.current;
    struct mail_reply reply;

    if (!take_chunk_size(server, &arguments)) {
        smtp_server_say(501, "5.5.4", "BDAT needs the length of what follows it", out);
        state_move(&server->state, DONE);
        return SMTP_SERVER_END;
    }
    if (!server->is_extended || state == GREETED || state == READY || state == CHUNKS_FAILED)
        return refuse_chunk(server, 503, "5.5.1", "Not now: the order of commands is wrong", state,
                            out);
    if (arguments.length > 0 && !server->chunk_is_last)
        return refuse_chunk(server, 501, "5.5.4", "An argument is not known", CHUNKS_FAILED, out);
    if (server->recipients_accepted == 0) {
        /* Not counted as an error: a client that pipelines could not know. */
        reply = mail_reply_of(server->options.flavor == MAIL_LMTP ? 503 : 554, "5.5.1",
                              "No valid recipients");
        skip_chunk(server, &reply, ENVELOPE);
        return SMTP_SERVER_NEED_INPUT;
    }
    if (state == CHUNKS) {
        state_move(&server->state, CHUNK);
        return SMTP_SERVER_NEED_INPUT;
    }
    state_move(&server->state, ASKED_CHUNKS);
    return SMTP_SERVER_DATA;
}

void smtp_server_chunks_answered(struct smtp_server *server, const struct mail_reply *reply)
{
    if (reply->code == 354) {
        smtp_server_begin_content(server, CHUNK);
        server->content_is_scanned = false;
        server->chunk_ends_in_cr = false;
    } else {
        skip_chunk(server, reply, CHUNKS_FAILED);
    }
}

/* --- content ----------------------------------------------------------------------- */

/* Refuses the message: the rest of the chunk is dropped. */
static enum smtp_server_event fail_chunk(struct smtp_server *server)
{
    struct mail_reply reply =
        server->content_is_broken
            ? mail_reply_of(554, "5.6.0", "The message has a bare CR or LF in it")
            : mail_reply_of(552, "5.3.4", "The message is larger than this server takes");

    skip_chunk(server, &reply, CHUNKS_FAILED);
    return SMTP_SERVER_CONTENT_BROKEN;
}

static enum smtp_server_event hand_out(struct smtp_server *server, struct span piece)
{
    return smtp_server_hand_out(server, piece) ? SMTP_SERVER_CONTENT : fail_chunk(server);
}

/* A bare CR or LF, which is taken off: refused, or handed out as a line's end. */
static enum smtp_server_event take_bare_line_end(struct smtp_server *server)
{
    if (server->options.converts_line_ends)
        return hand_out(server, SPAN_LITERAL("\r\n"));
    server->content_is_broken = true;
    return fail_chunk(server);
}

static enum smtp_server_event end_chunk(struct smtp_server *server, struct buffer *out)
{
    char text[64];
    struct buffer words = buffer_over(text, sizeof(text));

    if (server->chunk_is_last && server->chunk_ends_in_cr) {
        server->chunk_ends_in_cr = false;
        return take_bare_line_end(server);
    }
    if (server->chunk_is_last) {
        state_move(&server->state, ASKED_FINAL);
        return SMTP_SERVER_CONTENT_END;
    }
    buffer_append_format(&words, "%llu octets received", (unsigned long long)server->chunk_size);
    buffer_append_byte(&words, '\0');
    smtp_server_say(250, "2.0.0", text, out);
    state_move(&server->state, CHUNKS);
    return SMTP_SERVER_NEED_INPUT;
}

static void consume(struct smtp_server *server, struct span *in, size_t count)
{
    *in = span_drop(*in, count);
    server->chunk_left -= count;
}

/* The CR that ended the chunk before waits for its LF. */
static enum smtp_server_event take_awaited_lf(struct smtp_server *server, struct span *in)
{
    server->chunk_ends_in_cr = false;
    if (in->data[0] != '\n')
        return take_bare_line_end(server);
    consume(server, in, 1);
    return hand_out(server, SPAN_LITERAL("\r\n"));
}

static enum smtp_server_event read_piece(struct smtp_server *server, struct span *in,
                                         struct buffer *out)
{
    struct span there = *in;
    size_t length;

    if (server->chunk_left < there.length)
        there = span_take(there, (size_t)server->chunk_left);
    if (server->chunk_left == 0)
        return end_chunk(server, out);
    if (there.length == 0)
        return SMTP_SERVER_NEED_INPUT;
    if (server->chunk_ends_in_cr)
        return take_awaited_lf(server, in);
    length = smtp_chunk_whole_lines(there);
    if (length > 0) {
        consume(server, in, length);
        return hand_out(server, span_take(there, length));
    }
    if (there.data[0] != '\r' || there.length > 1) {
        consume(server, in, 1);
        return take_bare_line_end(server);
    }
    if (server->chunk_left > 1)
        return SMTP_SERVER_NEED_INPUT; /* whether the CR is bare is told by the next byte */
    server->chunk_ends_in_cr = true;
    consume(server, in, 1);
    return end_chunk(server, out);
}

static enum smtp_server_event refuse_skipped(struct smtp_server *server, struct buffer *out)
{
    for (; server->chunk_refusals > 0; server->chunk_refusals--) {
        if (buffer_room(out) < MACHINE_REPLY_ROOM)
            return SMTP_SERVER_FLUSH;
        smtp_reply_write(&server->chunk_refusal, out);
    }
    state_move(&server->state, server->chunk_state_after);
    return SMTP_SERVER_NEED_INPUT;
}

enum smtp_server_event smtp_server_read_chunk(struct smtp_server *server, struct span *in,
                                              struct buffer *out)
{
    if (buffer_room(out) < MACHINE_REPLY_ROOM)
        return SMTP_SERVER_FLUSH;
    if (server->state.current == CHUNK && server->content_is_too_big)
        return fail_chunk(server);
    if (server->state.current == CHUNK)
        return read_piece(server, in, out);
    if (server->state.current == CHUNK_SKIPPING) {
        size_t there = in->length;

        if (server->chunk_left < there)
            there = (size_t)server->chunk_left;
        consume(server, in, there);
        if (server->chunk_left > 0)
            return SMTP_SERVER_NEED_INPUT;
        state_move(&server->state, CHUNK_REFUSING);
    }
    return refuse_skipped(server, out);
}
