/* SPDX-License-Identifier: Apache-2.0 */
/* The content of a message: handed out, or dropped up to its end and refused there. */
#include "common/proto/smtp_server_private.h"

/* Takes from now on nothing of this message, and tells the session. */
static enum smtp_server_event refuse_content(struct smtp_server *server)
{
    state_move(&server->state, SKIPPING);
    return SMTP_SERVER_CONTENT_BROKEN;
}

bool smtp_server_hand_out(struct smtp_server *server, struct span piece)
{
    uint64_t room = server->options.size_max - server->content_bytes;

    server->content_is_too_big = piece.length > room;
    server->content = server->content_is_too_big ? span_take(piece, (size_t)room) : piece;
    server->content_bytes += server->content.length;
    return server->content.length > 0;
}

enum smtp_server_event smtp_server_read_content(struct smtp_server *server, struct span *in)
{
    struct span piece;

    if (server->content_is_too_big)
        return refuse_content(server);
    switch (smtp_content_next(&server->content_reader, in, &piece)) {
    case SMTP_CONTENT_PIECE:
        return smtp_server_hand_out(server, piece) ? SMTP_SERVER_CONTENT : refuse_content(server);
    case SMTP_CONTENT_BROKEN:
        server->content_is_broken = true;
        return refuse_content(server);
    case SMTP_CONTENT_END:
        state_move(&server->state, ASKED_FINAL);
        return SMTP_SERVER_CONTENT_END;
    default:
        return SMTP_SERVER_NEED_INPUT;
    }
}

void smtp_server_count_final_reply(struct smtp_server *server)
{
    server->final_replies++;
    if (server->options.flavor == MAIL_LMTP && server->final_replies < server->recipients_accepted)
        return;
    server->recipients_accepted = 0;
    state_move(&server->state, READY);
}

enum smtp_server_event smtp_server_write_refusals(struct smtp_server *server, struct buffer *out)
{
    while (server->state.current == REFUSING) {
        if (buffer_room(out) < MACHINE_REPLY_ROOM)
            return SMTP_SERVER_FLUSH;
        if (server->content_is_broken)
            smtp_server_say(554, "5.6.0", "The message has a bare CR or LF in it", out);
        else
            smtp_server_say(552, "5.3.4", "The message is larger than this server takes", out);
        smtp_server_count_final_reply(server);
    }
    return SMTP_SERVER_NEED_INPUT;
}

void smtp_server_begin_content(struct smtp_server *server, unsigned state)
{
    smtp_content_begin(&server->content_reader, server->options.converts_line_ends);
    server->content_bytes = 0;
    server->content_is_scanned = true;
    server->content_is_broken = false;
    server->content_is_too_big = false;
    server->final_replies = 0;
    state_move(&server->state, state);
}
