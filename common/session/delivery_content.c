/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content that comes in small pieces is gathered, so that a message costs few system calls: the
 * trace fields, the text and its end go out together when they come together.  Towards a peer that
 * takes chunks a small message is gathered whole, and what asks for it is not sent before it.
 */
#include "common/session/delivery_private.h"

#include <assert.h>

void delivery_tend_content(struct delivery *delivery)
{
    if (delivery->is_closed || delivery->stage != DELIVERY_CONTENT ||
        delivery->manner != DELIVERY_BY_DATA)
        return;
    delivery_expect(delivery, mail_link_is_full(delivery->link)
                                  ? delivery->service->config->timeout.backend_s
                                  : 0);
}

static bool delivery_send_gathered(struct delivery *delivery)
{
    bool is_sent = delivery_send(delivery, bytes_span(&delivery->gathered));

    bytes_release(&delivery->gathered);
    return is_sent;
}

/* Gathers a small piece, and sends a large one at once. */
static bool delivery_put(struct delivery *delivery, struct span piece)
{
    if (piece.length < DELIVERY_GATHERED_MAX / 2 && bytes_append(&delivery->gathered, piece))
        return true;
    if (!delivery_send_gathered(delivery))
        return false;
    if (piece.length < DELIVERY_GATHERED_MAX / 2)
        return bytes_append(&delivery->gathered, piece);
    return delivery_send(delivery, piece);
}

/* Sends it, dot-stuffed, but for small pieces. */
static void delivery_stream(struct delivery *delivery, struct span content, bool is_scanned)
{
    while (!delivery->is_closed) {
        struct span piece = is_scanned ? dot_stuffer_next_scanned(&delivery->stuffer, &content)
                                       : dot_stuffer_next(&delivery->stuffer, &content);

        if (piece.length == 0 || !delivery_put(delivery, piece))
            break;
    }
    delivery_tend_content(delivery);
}

/* --- in one piece ------------------------------------------------------------------------ */

void delivery_begin_chunk(struct delivery *delivery)
{
    const struct mail_reply go_on = mail_reply_of(354, "", "End data with <CR><LF>.<CR><LF>");

    delivery->stage = DELIVERY_CONTENT;
    delivery->manner = DELIVERY_BY_CHUNK;
    delivery->gathered = bytes_empty(DELIVERY_GATHERED_MAX);
    delivery->kept_since_ms = io_loop_now_ms(delivery->service->loop);
    delivery_expect(delivery, 0);
    delivery->events->data(delivery, &go_on);
}

static void delivery_ask_data(struct delivery *delivery)
{
    struct buffer out = io_loop_out(delivery->service->loop);

    delivery->manner = DELIVERY_ASKING;
    smtp_client_data(&delivery->link->machine, &out);
    delivery_expect(delivery, delivery->service->config->timeout.backend_s);
    delivery_send(delivery, buffer_span(&out));
}

/*
 * The peer hears nothing of us meanwhile and may lose its patience: who gives the content little
 * by little has it sent little by little.
 */
static bool delivery_may_keep(const struct delivery *delivery)
{
    uint64_t now_ms = io_loop_now_ms(delivery->service->loop);

    return delivery->manner == DELIVERY_BY_CHUNK &&
           now_ms - delivery->kept_since_ms <= DELIVERY_KEPT_MS;
}

/* Keeps it.  The piece that is too much is kept, too: none follows before the peer is heard. */
static void delivery_keep(struct delivery *delivery, struct span content)
{
    bool is_kept = delivery_may_keep(delivery) && bytes_append(&delivery->gathered, content);

    if (is_kept)
        return;
    delivery->gathered.limit = delivery->gathered.length + content.length;
    is_kept = bytes_append(&delivery->gathered, content);
    assert(is_kept);
    if (delivery->manner == DELIVERY_BY_CHUNK)
        delivery_ask_data(delivery);
}

void delivery_take_asked(struct delivery *delivery, const struct mail_reply *reply)
{
    struct bytes kept = delivery->gathered;

    delivery->gathered = bytes_empty(DELIVERY_GATHERED_MAX);
    if (reply->code == 354) {
        delivery->manner = DELIVERY_BY_DATA;
        dot_stuffer_init(&delivery->stuffer);
        delivery_stream(delivery, bytes_span(&kept), false);
        delivery_flush(delivery);
    } else {
        delivery->manner = DELIVERY_DROPPED;
        delivery->refusal = *reply;
        mail_link_release(delivery->link);
        delivery->link = NULL;
    }
    bytes_release(&kept);
    if (!delivery->is_closed && !delivery_is_full(delivery))
        delivery->events->writable(delivery);
}

/* What DATA's end would put behind it: a line that is not ended. */
static struct span delivery_missing_end(struct span content)
{
    struct span end = span_drop(content, content.length > 2 ? content.length - 2 : 0);

    return content.length == 0 || span_equals(end, SPAN_LITERAL("\r\n")) ? SPAN_EMPTY
                                                                         : SPAN_LITERAL("\r\n");
}

static void delivery_send_chunk(struct delivery *delivery)
{
    struct buffer out = io_loop_out(delivery->service->loop);
    struct span content = bytes_span(&delivery->gathered);
    struct span end = delivery_missing_end(content);

    delivery->stage = DELIVERY_ENDED;
    delivery_expect(delivery, delivery->service->config->timeout.data_end_s);
    smtp_client_chunk(&delivery->link->machine, content.length + end.length, delivery->accepted,
                      &out);
    buffer_append(&out, content);
    buffer_append(&out, end);
    assert(!out.overflowed);
    bytes_release(&delivery->gathered);
    delivery_send(delivery, buffer_span(&out));
}

/* --- what the caller does ------------------------------------------------------------------ */

void delivery_content(struct delivery *delivery, struct span content, bool is_scanned)
{
    if (delivery->is_closed || delivery->manner == DELIVERY_DROPPED)
        return;
    delivery_hold(delivery);
    if (delivery->manner == DELIVERY_BY_DATA)
        delivery_stream(delivery, content, is_scanned);
    else
        delivery_keep(delivery, content);
    delivery_release(delivery);
}

void delivery_flush(struct delivery *delivery)
{
    if (delivery->is_closed || delivery->stage != DELIVERY_CONTENT ||
        delivery->manner != DELIVERY_BY_DATA)
        return;
    delivery_hold(delivery);
    if (delivery->gathered.length > 0 && delivery_send_gathered(delivery))
        delivery_tend_content(delivery);
    delivery_release(delivery);
}

bool delivery_is_full(const struct delivery *delivery)
{
    return !delivery->is_closed && delivery->manner != DELIVERY_DROPPED &&
           (delivery->manner == DELIVERY_ASKING || mail_link_is_full(delivery->link));
}

static void delivery_send_end(struct delivery *delivery)
{
    if (!delivery_put(delivery, dot_stuffer_end(&delivery->stuffer)))
        return;
    /* From here on the peer may have all of it. */
    delivery->stage = DELIVERY_ENDED;
    delivery_expect(delivery, delivery->service->config->timeout.data_end_s);
    smtp_client_content_end(&delivery->link->machine, delivery->accepted);
    delivery_send_gathered(delivery);
}

void delivery_end(struct delivery *delivery)
{
    delivery_hold(delivery);
    switch (delivery->manner) {
    case DELIVERY_BY_CHUNK:
        delivery_send_chunk(delivery);
        break;
    case DELIVERY_DROPPED:
        delivery_conclude(delivery, &delivery->refusal);
        break;
    default:
        assert(delivery->manner == DELIVERY_BY_DATA);
        delivery_send_end(delivery);
    }
    delivery_release(delivery);
}
