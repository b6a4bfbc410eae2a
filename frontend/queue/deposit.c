/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recipients that are already refused do not enter the queue: their report does, in
 * the same batch.
 */
#include "frontend/queue/deposit.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "frontend/queue/bounce.h"

struct deposit_memory {
    struct list node;
    char bytes[];
};

/* --- collecting --------------------------------------------------------------- */

static bool deposit_apply(struct operation *operation, struct store *store);

struct deposit *deposit_new(uint32_t number, int64_t now_ms, const char *hostname)
{
    struct deposit *deposit = memory_new(sizeof(*deposit));

    deposit->operation.apply = deposit_apply;
    list_init(&deposit->operation.node);
    list_init(&deposit->node);
    list_init(&deposit->memory);
    deposit->number = number;
    deposit->now_ms = now_ms;
    deposit->hostname = hostname;
    return deposit;
}

void deposit_free(struct deposit *deposit)
{
    list_remove(&deposit->node);
    LIST_EACH (node, &deposit->memory) {
        list_remove(node);
        free(LIST_ELEMENT(node, struct deposit_memory, node));
    }
    free(deposit->recipients);
    free(deposit);
}

static struct span keep(struct deposit *deposit, struct span bytes)
{
    struct deposit_memory *memory = memory_new(sizeof(*memory) + bytes.length);

    if (bytes.length > 0)
        memcpy(memory->bytes, bytes.data, bytes.length);
    list_append(&deposit->memory, &memory->node);
    deposit->memory_bytes += bytes.length;
    return span_of(memory->bytes, bytes.length);
}

static bool take_recipient(struct deposit *deposit, struct wire_reader *reader)
{
    struct deposit_recipient *recipient = &deposit->recipients[deposit->count];
    uint32_t not_before_s;

    recipient->address = wire_get_span(reader);
    recipient->fate = (enum queue_fate)wire_get_u8(reader);
    not_before_s = wire_get_u32(reader);
    recipient->text = wire_get_span(reader);
    recipient->notify = wire_get_u8(reader);
    recipient->orcpt = wire_get_span(reader);
    recipient->not_before_ms =
        not_before_s > 0 ? deposit->now_ms + (int64_t)not_before_s * 1000 : 0;
    deposit->count++;
    return !reader->failed && recipient->address.length > 0 &&
           (recipient->fate == QUEUE_PENDING || recipient->fate == QUEUE_FAILED ||
            recipient->fate == QUEUE_DELIVERED || recipient->fate == QUEUE_UNKNOWN);
}

static bool take_recipients(struct deposit *deposit, struct wire_reader *reader)
{
    uint32_t count = wire_get_u32(reader);

    if (count == 0 || count > DEPOSIT_RECIPIENTS_MAX - deposit->count)
        return false;
    deposit->recipients =
        memory_resize(deposit->recipients, (deposit->count + count) * sizeof(*deposit->recipients));
    for (uint32_t i = 0; i < count; i++) {
        deposit->recipients[deposit->count] = (struct deposit_recipient){ .not_before_ms = 0 };
        if (!take_recipient(deposit, reader))
            return false;
    }
    return true;
}

bool deposit_take_recipients(struct deposit *deposit, struct span rest)
{
    struct wire_reader reader = wire_reader_over(keep(deposit, rest));

    return take_recipients(deposit, &reader) && wire_reader_is_complete(&reader);
}

bool deposit_take_store(struct deposit *deposit, struct span rest)
{
    struct wire_reader reader = wire_reader_over(keep(deposit, rest));
    struct store_message *message = &deposit->message;

    message->session_id = wire_get_span(&reader);
    message->reverse_path = wire_get_span(&reader);
    message->body_8bit = wire_get_u8(&reader) != 0;
    message->is_utf8 = wire_get_u8(&reader) != 0;
    message->ret = (enum mail_return)wire_get_u8(&reader);
    message->envid = wire_get_span(&reader);
    message->may_relay = wire_get_u8(&reader) != 0;
    message->size = wire_get_u64(&reader);
    message->arrival_ms = deposit->now_ms;
    if (!take_recipients(deposit, &reader))
        return false;
    if (wire_get_u8(&reader) != 0) {
        wire_get_string(&reader, deposit->body_file, sizeof(deposit->body_file));
        message->body_file = deposit->body_file;
    } else {
        message->body = wire_get_span(&reader);
        reader.failed |= message->body.length != message->size;
    }
    return wire_reader_is_complete(&reader);
}

/* --- storing ------------------------------------------------------------------ */

static char *copy_string(struct span text)
{
    char *copy = memory_new(text.length + 1);

    if (text.length > 0)
        memcpy(copy, text.data, text.length);
    return copy;
}

/* Whether it is not to be kept: it was refused, or has the message. */
static bool is_over(const struct deposit_recipient *recipient)
{
    return recipient->fate == QUEUE_FAILED || recipient->fate == QUEUE_DELIVERED;
}

static bool is_in_report(const struct deposit_recipient *recipient, enum report_kind kind)
{
    if (kind == REPORT_FAILED)
        return recipient->fate == QUEUE_FAILED &&
               bounce_is_wanted(recipient->notify, MAIL_NOTIFY_FAILURE);
    return recipient->fate == QUEUE_DELIVERED && recipient->notify & MAIL_NOTIFY_SUCCESS;
}

static size_t count_reported(const struct deposit *deposit)
{
    size_t reported = 0;

    for (size_t i = 0; i < deposit->count; i++)
        reported += is_in_report(&deposit->recipients[i], REPORT_FAILED) ||
                    is_in_report(&deposit->recipients[i], REPORT_SUCCESS);
    return reported;
}

static bool add_report(struct deposit *deposit, struct store *store,
                       const struct store_message *message, enum report_kind kind)
{
    struct bounce_recipient *recipients = memory_new(deposit->count * sizeof(*recipients));
    struct bounce bounce = {
        .kind = kind,
        .hostname = deposit->hostname,
        .message = message,
        .recipients = recipients,
        .is_answered = true,
        .now_ms = deposit->now_ms,
    };
    bool is_good;

    for (size_t i = 0; i < deposit->count; i++)
        if (is_in_report(&deposit->recipients[i], kind))
            recipients[bounce.count++] = (struct bounce_recipient){
                .address = copy_string(deposit->recipients[i].address),
                .text = copy_string(deposit->recipients[i].text),
                .orcpt = copy_string(deposit->recipients[i].orcpt),
                .destination = deposit->recipients[i].destination,
            };
    is_good = bounce_add(store, &bounce);
    for (size_t i = 0; i < bounce.count; i++) {
        free((char *)(uintptr_t)recipients[i].address);
        free((char *)(uintptr_t)recipients[i].text);
        free((char *)(uintptr_t)recipients[i].orcpt);
    }
    free(recipients);
    return is_good;
}

/* Both reports, with the front of a body that is still a file in incoming/. */
static bool add_reports(struct deposit *deposit, struct store *store)
{
    struct store_message message = deposit->message;
    char *memory = NULL;
    bool is_good;
    int fd;

    if (count_reported(deposit) == 0)
        return true;
    if (message.body_file) {
        fd = store_open_incoming(store, message.body_file);
        if (fd < 0)
            return false;
        memory = bounce_read_head(fd, &message.body);
        close(fd);
    }
    is_good = add_report(deposit, store, &message, REPORT_FAILED) &&
              add_report(deposit, store, &message, REPORT_SUCCESS);
    deposit->has_report = message.reverse_path.length > 0;
    free(memory);
    return is_good;
}

static bool add_message(struct deposit *deposit, struct store *store, size_t count)
{
    struct store_recipient *recipients = memory_new(count * sizeof(*recipients));
    size_t added = 0;
    bool is_good;

    for (size_t i = 0; i < deposit->count; i++) {
        const struct deposit_recipient *from = &deposit->recipients[i];

        if (is_over(from))
            continue;
        recipients[added++] = (struct store_recipient){
            .address = from->address,
            .destination = from->destination,
            .next_attempt_ms =
                from->not_before_ms > deposit->now_ms ? from->not_before_ms : deposit->now_ms,
            .not_before_ms = from->not_before_ms,
            .reply = from->text,
            .notify = from->notify,
            .orcpt = from->orcpt,
            .flags = from->fate == QUEUE_UNKNOWN ? STORE_IS_UNKNOWN : 0,
        };
    }
    is_good = store_add(store, &deposit->message, recipients, count, true, &deposit->id);
    free(recipients);
    return is_good;
}

static bool deposit_apply(struct operation *operation, struct store *store)
{
    struct deposit *deposit = CONTAINER_OF(operation, struct deposit, operation);
    size_t kept = 0;

    deposit->id = 0;
    deposit->has_report = false;
    for (size_t i = 0; i < deposit->count; i++)
        kept += !is_over(&deposit->recipients[i]);
    if (!add_reports(deposit, store))
        return false;
    if (kept > 0)
        return add_message(deposit, store, kept);
    if (deposit->message.body_file)
        store_discard_incoming(store, deposit->message.body_file);
    return true;
}
