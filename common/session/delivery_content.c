/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Content that comes in small pieces is gathered, so that a message costs few system calls: the
 * trace fields, the text and its end go out together when they come together.
 */
#include "common/session/delivery_private.h"

void delivery_tend_content(struct delivery *delivery)
{
    if (delivery->is_closed || delivery->stage != DELIVERY_CONTENT)
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

void delivery_content(struct delivery *delivery, struct span content, bool is_scanned)
{
    delivery_hold(delivery);
    while (!delivery->is_closed) {
        struct span piece = is_scanned ? dot_stuffer_next_scanned(&delivery->stuffer, &content)
                                       : dot_stuffer_next(&delivery->stuffer, &content);

        if (piece.length == 0 || !delivery_put(delivery, piece))
            break;
    }
    delivery_tend_content(delivery);
    delivery_release(delivery);
}

void delivery_flush(struct delivery *delivery)
{
    if (delivery->is_closed || delivery->stage != DELIVERY_CONTENT)
        return;
    delivery_hold(delivery);
    if (delivery->gathered.length > 0 && delivery_send_gathered(delivery))
        delivery_tend_content(delivery);
    delivery_release(delivery);
}

bool delivery_is_full(const struct delivery *delivery)
{
    return !delivery->is_closed && mail_link_is_full(delivery->link);
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
    delivery_send_end(delivery);
    delivery_release(delivery);
}
