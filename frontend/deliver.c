/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whatever is not a backend's clear answer leaves the recipient in the queue: PENDING
 * when the backend cannot have the message, UNKNOWN when it may.
 */
#include "frontend/deliver.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/proto/trace.h"
#include "common/session/delivery.h"

enum { DELIVER_BLOCK_SIZE = 65536 };

struct deliver {
    struct list node; /* in deliver_service.running */
    struct deliver_service *service;
    struct queue_delivery *job;
    struct delivery *delivery; /* NULL once it has failed or ended */
    char *reverse_path;
    char *session_id;
    bool *is_settled; /* per recipient */
    size_t answered, accepted;
    char *block; /* while a file is read */
    uv_buf_t block_buffer;
    uv_fs_t read;
    int64_t offset;
    unsigned holds; /* a read that is under way, calls that still use this after an event */
    bool is_reading, is_ended, is_finished;
};

static const struct delivery_events deliver_events;

static void deliver_set(struct deliver *deliver, size_t index, enum queue_fate fate,
                        unsigned not_before_s, const struct mail_reply *reply, const char *why)
{
    bool is_done = fate == QUEUE_DELIVERED || fate == QUEUE_GONE;
    char text[MAIL_REPLY_LINE_SIZE];
    struct board_slot *slot = deliver->service->sessions->slot;

    if (reply && reply->code > 0)
        mail_reply_write_line(reply, text);
    else
        snprintf(text, sizeof(text), "%s", why ? why : "");
    deliver->is_settled[index] = true;
    queue_delivery_set(deliver->job, index, fate, not_before_s, span_from_string(text));
    board_count(slot,
                is_done                ? BOARD_RECIPIENTS_DELIVERED
                : fate == QUEUE_FAILED ? BOARD_RECIPIENTS_FAILED
                                       : BOARD_RECIPIENTS_DEFERRED,
                1);
    LOG_EVENT(LOG_LEVEL_INFO, deliver->session_id, "delivery",
              LOG_TEXT("message", deliver->job->message_id),
              LOG_SPAN("recipient", deliver->job->recipients[index].address),
              LOG_TEXT("backend", deliver->job->backend[0] ? deliver->job->backend : "relay_host"),
              LOG_TEXT("fate", is_done                 ? "delivered"
                               : fate == QUEUE_FAILED  ? "failed"
                               : fate == QUEUE_UNKNOWN ? "unknown"
                                                       : "deferred"),
              LOG_TEXT("words", text));
}

static void deliver_set_by_reply(struct deliver *deliver, size_t index,
                                 const struct mail_reply *reply)
{
    enum queue_fate fate = mail_reply_is_permanent(reply)   ? QUEUE_FAILED
                           : mail_reply_is_elsewhere(reply) ? QUEUE_ELSEWHERE
                                                            : QUEUE_PENDING;

    if (reply->code >= 200 && reply->code < 300) /* who has DSN reports by himself */
        fate = delivery_reports(deliver->delivery) ? QUEUE_GONE : QUEUE_DELIVERED;
    deliver_set(deliver, index, fate, 0, reply, NULL);
}

/* Every recipient without a fate gets this one. */
static void deliver_set_rest(struct deliver *deliver, enum queue_fate fate, unsigned not_before_s,
                             const struct mail_reply *reply, const char *why)
{
    for (size_t i = 0; i < deliver->job->recipient_count; i++)
        if (!deliver->is_settled[i])
            deliver_set(deliver, i, fate, not_before_s, reply, why);
}

static void deliver_free(struct deliver *deliver)
{
    free(deliver->is_settled);
    free(deliver->reverse_path);
    free(deliver->session_id);
    free(deliver->block);
    free(deliver);
}

static void deliver_hold(struct deliver *deliver)
{
    deliver->holds++;
}

/* Lets go; a job that is finished goes back to the queue with the last hold. */
static void deliver_release(struct deliver *deliver)
{
    if (--deliver->holds > 0 || !deliver->is_finished)
        return;
    list_remove(&deliver->node);
    queue_delivery_finish(deliver->job);
    deliver_free(deliver);
}

/* Every recipient has its fate: nothing more is sent. */
static void deliver_finish(struct deliver *deliver)
{
    deliver_hold(deliver);
    if (deliver->delivery)
        delivery_close(deliver->delivery);
    deliver->delivery = NULL;
    deliver->is_finished = true;
    deliver_release(deliver);
}

/* --- content ------------------------------------------------------------------------ */

static void deliver_pump(struct deliver *deliver);

static void deliver_end(struct deliver *deliver)
{
    deliver->is_ended = true;
    delivery_end(deliver->delivery);
}

/* Sends what was read of the file; nothing more is there when that is nothing. */
static void deliver_take_block(struct deliver *deliver, ssize_t count)
{
    if (deliver->is_finished)
        return;
    if (count < 0) {
        LOG_EVENT(LOG_LEVEL_ERROR, deliver->session_id, "body_unreadable",
                  LOG_TEXT("message", deliver->job->message_id),
                  LOG_TEXT("why", uv_strerror((int)count)));
        deliver_set_rest(deliver, QUEUE_PENDING, 0, NULL, "the queued body cannot be read");
        deliver_finish(deliver);
        return;
    }
    deliver->offset += count;
    if (count == 0)
        deliver_end(deliver);
    else
        delivery_content(deliver->delivery, span_of(deliver->block, (size_t)count), false);
    if (deliver->delivery && count > 0)
        deliver_pump(deliver);
}

static void deliver_block_read(uv_fs_t *request)
{
    struct deliver *deliver = CONTAINER_OF(request, struct deliver, read);
    ssize_t count = request->result;

    uv_fs_req_cleanup(request);
    deliver->is_reading = false;
    deliver_take_block(deliver, count);
    deliver_release(deliver);
}

static void deliver_read_block(struct deliver *deliver)
{
    if (!deliver->block)
        deliver->block = memory_new(DELIVER_BLOCK_SIZE);
    deliver->block_buffer = uv_buf_init(deliver->block, DELIVER_BLOCK_SIZE);
    deliver->is_reading = true;
    deliver_hold(deliver);
    uv_fs_read(&deliver->service->sessions->loop->uv, &deliver->read, deliver->job->fd,
               &deliver->block_buffer, 1, deliver->offset, deliver_block_read);
}

/* Sends on until the backend takes no more. */
static void deliver_pump_held(struct deliver *deliver)
{
    struct span rest;

    if (deliver->is_ended || deliver->is_reading || delivery_is_full(deliver->delivery))
        return;
    if (deliver->job->fd >= 0) {
        deliver_read_block(deliver);
        return;
    }
    while (deliver->delivery && !delivery_is_full(deliver->delivery)) {
        rest = span_drop(deliver->job->body, (size_t)deliver->offset);
        if (rest.length == 0) {
            deliver_end(deliver);
            return;
        }
        rest = span_take(rest, DELIVER_BLOCK_SIZE);
        deliver->offset += (int64_t)rest.length;
        delivery_content(deliver->delivery, rest, false);
    }
}

static void deliver_pump(struct deliver *deliver)
{
    deliver_hold(deliver);
    deliver_pump_held(deliver);
    deliver_release(deliver);
}

static void deliver_trace(struct deliver *deliver)
{
    const struct queue_delivery_recipient *first = &deliver->job->recipients[0];
    struct buffer out = io_loop_out(deliver->service->sessions->loop);
    char original[MAIL_PATH_SIZE];

    if (deliver->job->recipient_count != 1 || !deliver->job->backend[0] ||
        span_equals(first->address, first->recipient) ||
        !span_copy_string(first->address, original, sizeof(original)))
        return;
    trace_write_original_recipient(original, deliver->job->parameters.is_utf8, &out);
    delivery_content(deliver->delivery, buffer_span(&out), false);
}

/* --- events --------------------------------------------------------------------------- */

static void deliver_rcpt(struct delivery *delivery, unsigned index, const struct mail_reply *reply)
{
    struct deliver *deliver = delivery_context(delivery);

    deliver->answered++;
    if (mail_reply_is_positive(reply))
        deliver->accepted++;
    else
        deliver_set_by_reply(deliver, index, reply);
    if (deliver->answered == deliver->job->recipient_count && deliver->accepted == 0)
        deliver_finish(deliver);
}

static void deliver_data(struct delivery *delivery, const struct mail_reply *reply)
{
    struct deliver *deliver = delivery_context(delivery);

    if (reply->code != 354) {
        deliver_set_rest(deliver, mail_reply_is_permanent(reply) ? QUEUE_FAILED : QUEUE_PENDING, 0,
                         reply, NULL);
        deliver_finish(deliver);
        return;
    }
    deliver_hold(deliver);
    deliver_trace(deliver);
    if (deliver->delivery)
        deliver_pump(deliver);
    deliver_release(deliver);
}

static void deliver_final(struct delivery *delivery, unsigned index, const struct mail_reply *reply)
{
    deliver_set_by_reply(delivery_context(delivery), index, reply);
}

static void deliver_done(struct delivery *delivery)
{
    deliver_finish(delivery_context(delivery));
}

static void deliver_writable(struct delivery *delivery)
{
    struct deliver *deliver = delivery_context(delivery);

    if (delivery_stage(delivery) == DELIVERY_CONTENT)
        deliver_pump(deliver);
}

/* RFC 4954 section 6: our login is at fault, or that there was none, and not the message. */
static bool deliver_is_login_refusal(const struct mail_reply *reply)
{
    return reply->code == 530 || reply->code == 534 || reply->code == 535 || reply->code == 538;
}

/* The relay host, unlike a backend, can be wrong for all mail until somebody corrects it. */
static bool deliver_is_relay_refusal(const struct deliver *deliver, enum delivery_stage stage,
                                     const struct mail_reply *reply)
{
    return !deliver->job->backend[0] &&
           (deliver_is_login_refusal(reply) ||
            (stage == DELIVERY_CONNECTING && mail_reply_is_permanent(reply)));
}

static void deliver_failed(struct delivery *delivery, enum delivery_stage stage,
                           const struct mail_reply *reply, const char *why)
{
    struct deliver *deliver = delivery_context(delivery);

    deliver->delivery = NULL;
    if (deliver_is_relay_refusal(deliver, stage, reply)) {
        LOG_EVENT(LOG_LEVEL_ERROR, deliver->session_id, "relay_host_refused", LOG_TEXT("why", why),
                  LOG_INTEGER("code", reply->code), LOG_TEXT("words", reply->text));
        deliver_set_rest(deliver, QUEUE_UNREACHABLE, 0, reply, why);
        deliver_finish(deliver);
        return;
    }
    if (stage == DELIVERY_ENDED)
        deliver_set_rest(deliver, QUEUE_UNKNOWN,
                         deliver->service->sessions->config->queue.unknown_delay_s, reply, why);
    else if (stage == DELIVERY_ENVELOPE && mail_reply_is_permanent(reply))
        deliver_set_rest(deliver, QUEUE_FAILED, 0, reply, why); /* MAIL was refused */
    else
        deliver_set_rest(deliver, stage == DELIVERY_CONNECTING ? QUEUE_UNREACHABLE : QUEUE_PENDING,
                         0, reply, why);
    deliver_finish(deliver);
}

static const struct delivery_events deliver_events = {
    .rcpt = deliver_rcpt,
    .data = deliver_data,
    .final = deliver_final,
    .done = deliver_done,
    .writable = deliver_writable,
    .failed = deliver_failed,
};

/* --- the start -------------------------------------------------------------------------- */

static void deliver_choose_relay(const struct deliver_service *service, struct target *target)
{
    const struct relay_host_config *relay = &service->sessions->config->relay_host;

    *target = (struct target){ .kind = TARGET_TEMPORARY };
    snprintf(target->name, sizeof(target->name), "relay_host");
    if (!relay->address) {
        target->reason = "no relay_host is configured";
        return;
    }
    target->kind = TARGET_GO;
    target->endpoint_count = 1;
    target->endpoints[0].port = relay->port;
    snprintf(target->endpoints[0].host, sizeof(target->endpoints[0].host), "%s", relay->address);
    target->tls = relay->tls;
    target->tls_context = service->tls_relay;
    snprintf(target->tls_name, sizeof(target->tls_name), "%s", relay->address);
}

static char *deliver_copy_span(struct span span)
{
    char *copy = memory_new(span.length + 1);

    if (span.length > 0)
        memcpy(copy, span.data, span.length);
    return copy;
}

static void deliver_add_recipient(struct deliver *deliver,
                                  const struct queue_delivery_recipient *from)
{
    char recipient[MAIL_PATH_SIZE], original[MAIL_PATH_SIZE], orcpt[MAIL_ORCPT_SIZE];

    if (!span_copy_string(from->recipient, recipient, sizeof(recipient)))
        recipient[0] = '\0'; /* cannot be: it came through RCPT */
    if (!span_copy_string(from->address, original, sizeof(original)))
        original[0] = '\0';
    if (!span_copy_string(from->orcpt, orcpt, sizeof(orcpt)))
        orcpt[0] = '\0';
    delivery_rcpt(deliver->delivery, recipient, original, from->notify, orcpt[0] ? orcpt : NULL);
}

static void deliver_connect(struct deliver *deliver, const struct target *target)
{
    const struct queue_delivery *job = deliver->job;
    const struct relay_host_config *relay = &deliver->service->sessions->config->relay_host;
    bool is_relayed = !job->backend[0];
    const struct delivery_options options = {
        .flavor = is_relayed ? MAIL_SMTP : MAIL_LMTP,
        .session_id = deliver->session_id,
        .reverse_path = deliver->reverse_path,
        .parameters = job->parameters,
        .user = is_relayed ? relay->user : NULL,
        .password = is_relayed ? relay->password.value : NULL,
    };

    deliver->delivery =
        delivery_new(deliver->service->sessions, target, &options, &deliver_events, deliver);
    for (size_t i = 0; i < job->recipient_count; i++)
        deliver_add_recipient(deliver, &job->recipients[i]);
    delivery_data(deliver->delivery); /* asked ahead, where the peer takes it */
}

void deliver_give_up_all(struct deliver_service *service)
{
    LIST_EACH (node, &service->running) {
        struct deliver *deliver = LIST_ELEMENT(node, struct deliver, node);

        if (deliver->is_finished)
            continue;
        if (deliver->is_ended)
            deliver_set_rest(deliver, QUEUE_UNKNOWN,
                             service->sessions->config->queue.unknown_delay_s, NULL,
                             "given up behind the end of the message");
        else
            deliver_set_rest(deliver, QUEUE_PENDING, 0, NULL, "given up, the server goes down");
        deliver_finish(deliver);
    }
}

void deliver_start(struct deliver_service *service, struct queue_delivery *job)
{
    struct deliver *deliver = memory_new(sizeof(*deliver));
    struct target target;

    deliver->service = service;
    list_init(&deliver->node);
    list_append(&service->running, &deliver->node);
    deliver->job = job;
    deliver->session_id = deliver_copy_span(job->session_id);
    deliver->reverse_path = deliver_copy_span(job->reverse_path);
    deliver->is_settled = memory_new(job->recipient_count * sizeof(*deliver->is_settled));
    if (job->backend[0])
        session_target_backend(service->sessions, PROTOCOL_LMTP, job->backend, &target);
    else
        deliver_choose_relay(service, &target);
    deliver_hold(deliver);
    if (target.kind == TARGET_GO) {
        deliver_connect(deliver, &target);
    } else {
        deliver_set_rest(deliver, QUEUE_UNREACHABLE, 0, NULL, target.reason);
        deliver_finish(deliver);
    }
    deliver_release(deliver);
}
