/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker that breaks the contract of messages.h is disconnected; what it had in
 * hand is then the scheduler's to judge.  Deposits are bounded: above the bound they are
 * refused, which the sender hears as a temporary failure.
 */
#include "frontend/queue/workers.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/log.h"

enum {
    DEPOSIT_BYTES_MAX = 64 << 20,
    WAITING_MAX = 64, /* messages that a worker has not read: it gets no more deliveries */
    SLOTS_MAX = 1000
};

struct worker {
    struct list node;
    struct workers *workers;
    struct channel channel;
    uint64_t number;
    unsigned slots, busy;
    struct list deposits; /* whose QUEUE_STORE has not come yet */
    bool has_ended;       /* gets nothing more */
};

/* --- sending ----------------------------------------------------------------------- */

static struct worker *find_worker(const struct workers *workers, uint64_t number)
{
    LIST_EACH (node, &workers->connections) {
        struct worker *worker = LIST_ELEMENT(node, struct worker, node);

        if (worker->number == number && !worker->has_ended)
            return worker;
    }
    return NULL;
}

void workers_acknowledge(struct workers *workers, uint64_t number, uint64_t attempt)
{
    struct worker *worker = find_worker(workers, number);
    char memory[16];
    struct buffer message = buffer_over(memory, sizeof(memory));

    wire_put_u8(&message, QUEUE_RESULT_STORED);
    wire_put_u64(&message, attempt);
    if (worker)
        channel_send(&worker->channel, buffer_span(&message), -1);
}

static void answer_deposit(struct workers *workers, const struct deposit *deposit, bool is_stored)
{
    struct worker *worker = find_worker(workers, deposit->worker);
    char memory[16 + QUEUE_ID_SIZE], id[QUEUE_ID_SIZE];
    struct buffer message = buffer_over(memory, sizeof(memory));

    snprintf(id, sizeof(id), "%llu", (unsigned long long)deposit->id);
    wire_put_u8(&message, QUEUE_STORED);
    wire_put_u32(&message, deposit->number);
    wire_put_u8(&message, is_stored);
    wire_put_span(&message, span_from_string(is_stored ? id : ""));
    if (worker)
        channel_send(&worker->channel, buffer_span(&message), -1);
}

static void tell_refusing(struct worker *worker)
{
    char memory[4];
    struct buffer message = buffer_over(memory, sizeof(memory));

    wire_put_u8(&message, QUEUE_REFUSING);
    wire_put_u8(&message, worker->workers->is_refusing);
    channel_send(&worker->channel, buffer_span(&message), -1);
}

void workers_set_refusing(struct workers *workers, bool is_refusing)
{
    if (workers->is_refusing == is_refusing)
        return;
    workers->is_refusing = is_refusing;
    LIST_EACH (node, &workers->connections)
        if (!LIST_ELEMENT(node, struct worker, node)->has_ended)
            tell_refusing(LIST_ELEMENT(node, struct worker, node));
}

/* --- deposits ---------------------------------------------------------------------- */

static void log_deposit(const struct deposit *deposit)
{
    char session_id[64] = "";

    if (!span_copy_string(deposit->message.session_id, session_id, sizeof(session_id)))
        session_id[0] = '\0';
    LOG_EVENT(LOG_LEVEL_INFO, session_id, "queued", LOG_INTEGER("message", deposit->id),
              LOG_SPAN("from", deposit->message.reverse_path),
              LOG_INTEGER("recipients", deposit->count),
              LOG_INTEGER("size", deposit->message.size));
    for (size_t i = 0; i < deposit->count; i++)
        if (deposit->recipients[i].fate == QUEUE_UNKNOWN)
            LOG_EVENT(LOG_LEVEL_WARNING, session_id, "queue_outcome_unknown",
                      LOG_INTEGER("message", deposit->id), LOG_INTEGER("recipient", i),
                      LOG_SPAN("text", deposit->recipients[i].text));
}

static void deposit_done(struct operation *operation, bool is_committed)
{
    struct deposit *deposit = CONTAINER_OF(operation, struct deposit, operation);
    struct workers *workers = deposit->context;

    workers->deposit_bytes -= deposit->memory_bytes;
    answer_deposit(workers, deposit, is_committed);
    if (is_committed) {
        log_deposit(deposit);
        scheduler_deposited(workers->scheduler, deposit);
    }
    deposit_free(deposit);
}

static struct deposit *find_deposit(struct worker *worker, uint32_t number)
{
    struct workers *workers = worker->workers;
    struct deposit *deposit;

    LIST_EACH (node, &worker->deposits) {
        deposit = LIST_ELEMENT(node, struct deposit, node);
        if (deposit->number == number)
            return deposit;
    }
    deposit = deposit_new(number, workers->now_ms(workers->context), workers->hostname);
    deposit->worker = worker->number;
    deposit->context = workers;
    deposit->operation.done = deposit_done;
    list_append(&worker->deposits, &deposit->node);
    return deposit;
}

static bool take_recipients(struct worker *worker, struct wire_reader *reader)
{
    struct deposit *deposit = find_deposit(worker, wire_get_u32(reader));

    return deposit_take_recipients(deposit, reader->rest);
}

static bool take_store(struct worker *worker, struct wire_reader *reader)
{
    struct workers *workers = worker->workers;
    struct deposit *deposit = find_deposit(worker, wire_get_u32(reader));

    if (!deposit_take_store(deposit, reader->rest))
        return false;
    list_remove(&deposit->node);
    if (workers->deposit_bytes + deposit->memory_bytes > DEPOSIT_BYTES_MAX) {
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "queue_busy",
                  LOG_INTEGER("bytes", workers->deposit_bytes));
        answer_deposit(workers, deposit, false);
        deposit_free(deposit);
        return true;
    }
    workers->deposit_bytes += deposit->memory_bytes;
    scheduler_resolve(workers->scheduler, deposit);
    committer_submit(workers->committer, &deposit->operation);
    return true;
}

/* --- deliveries -------------------------------------------------------------------- */

static void put_recipients(struct buffer *message, const struct job *job)
{
    uint32_t count = 0;

    for (size_t i = 0; i < job->row_count; i++)
        count += job->rows[i].is_in_hand && job->rows[i].recipient;
    wire_put_u32(message, count);
    for (size_t i = 0; i < job->row_count; i++) {
        if (!job->rows[i].is_in_hand || !job->rows[i].recipient)
            continue;
        wire_put_u64(message, job->rows[i].row);
        wire_put_span(message, job->rows[i].address);
        wire_put_span(message, span_from_string(job->rows[i].recipient));
        wire_put_u8(message, (uint8_t)job->rows[i].stored->notify);
        wire_put_span(message, job->rows[i].stored->orcpt);
    }
}

static void put_envelope(struct buffer *message, const struct job *job)
{
    const struct store_message *content = &job->stored->content;
    char id[QUEUE_ID_SIZE];

    snprintf(id, sizeof(id), "%llu", (unsigned long long)job->stored->message);
    wire_put_u8(message, QUEUE_DELIVER);
    wire_put_u64(message, job->attempt);
    wire_put_span(message, span_from_string(id));
    wire_put_span(message, content->session_id);
    wire_put_span(message, span_from_string(scheduler_job_backend(job)));
    wire_put_span(message, content->reverse_path);
    wire_put_u8(message, content->body_8bit);
    wire_put_u8(message, content->is_utf8);
    wire_put_u8(message, (uint8_t)content->ret);
    wire_put_span(message, content->envid);
    wire_put_u64(message, content->size);
    put_recipients(message, job);
}

/* A body that has no room in the message goes as a file in memory. */
static int body_in_memory(struct span body)
{
    int fd = memfd_create("body", MFD_CLOEXEC);

    if (fd >= 0 && (write(fd, body.data, body.length) != (ssize_t)body.length ||
                    lseek(fd, 0, SEEK_SET) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Ends the message with the body, or gives its descriptor; false when it cannot be had. */
static bool put_body(const struct workers *workers, struct buffer *message, const struct job *job,
                     int *fd)
{
    const struct store_message *content = &job->stored->content;
    bool is_inline = !content->body_file && content->body.length <= QUEUE_INLINE_MAX &&
                     content->body.length + 16 <= buffer_room(message);

    *fd = -1;
    wire_put_u8(message, !is_inline);
    if (is_inline) {
        wire_put_span(message, content->body);
        return !message->overflowed;
    }
    *fd = content->body_file ? store_open_body(workers->store, content->body_file)
                             : body_in_memory(content->body);
    return *fd >= 0 && !message->overflowed;
}

static bool send_job(struct workers *workers, struct worker *worker, struct job *job)
{
    char *memory = memory_new(CHANNEL_MESSAGE_MAX);
    struct buffer message = buffer_over(memory, CHANNEL_MESSAGE_MAX);
    bool is_sent;
    int fd;

    put_envelope(&message, job);
    is_sent = put_body(workers, &message, job, &fd);
    if (!is_sent)
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "queue_body_unreadable",
                  LOG_INTEGER("message", job->stored->message),
                  LOG_TEXT("reason", strerror(errno)));
    is_sent = is_sent && channel_send(&worker->channel, buffer_span(&message), fd);
    if (fd >= 0)
        close(fd);
    free(memory);
    return is_sent;
}

static unsigned worker_free_slots(const struct worker *worker)
{
    if (worker->has_ended || worker->busy >= worker->slots ||
        channel_waiting(&worker->channel) >= WAITING_MAX)
        return 0;
    return worker->slots - worker->busy;
}

unsigned workers_free_slots(const struct workers *workers)
{
    unsigned sum = 0;

    LIST_EACH (node, &workers->connections)
        sum += worker_free_slots(LIST_ELEMENT(node, struct worker, node));
    return sum;
}

bool workers_deliver(struct workers *workers, struct job *job)
{
    struct worker *best = NULL;

    LIST_EACH (node, &workers->connections) {
        struct worker *worker = LIST_ELEMENT(node, struct worker, node);

        if (!best || worker_free_slots(worker) > worker_free_slots(best))
            best = worker;
    }
    if (!best || worker_free_slots(best) == 0 || !send_job(workers, best, job))
        return false;
    best->busy++;
    job->worker = best->number;
    return true;
}

static bool take_ready(struct worker *worker, struct wire_reader *reader)
{
    uint32_t slots = wire_get_u32(reader);

    worker->slots = slots < SLOTS_MAX ? slots : SLOTS_MAX;
    scheduler_run(worker->workers->scheduler);
    return wire_reader_is_complete(reader);
}

static bool take_result(struct worker *worker, struct wire_reader *reader)
{
    struct report_row rows[QUEUE_DELIVERY_RECIPIENTS_MAX];
    uint64_t attempt = wire_get_u64(reader);
    uint32_t count = wire_get_u32(reader);

    if (count == 0 || count > QUEUE_DELIVERY_RECIPIENTS_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        rows[i].row = wire_get_u64(reader);
        rows[i].fate = (enum queue_fate)wire_get_u8(reader);
        rows[i].not_before_s = wire_get_u32(reader);
        rows[i].text = wire_get_span(reader);
        if (rows[i].fate >= QUEUE_FATES || rows[i].row == 0 || rows[i].row > INT64_MAX)
            return false;
    }
    if (!wire_reader_is_complete(reader))
        return false;
    if (worker->busy > 0)
        worker->busy--;
    scheduler_report(worker->workers->scheduler, worker->number, attempt, rows, count);
    return true;
}

static bool take_holding(struct worker *worker, struct wire_reader *reader)
{
    uint64_t rows[QUEUE_DELIVERY_RECIPIENTS_MAX];
    uint64_t attempt = wire_get_u64(reader);
    uint32_t count = wire_get_u32(reader);

    if (count == 0 || count > QUEUE_DELIVERY_RECIPIENTS_MAX)
        return false;
    for (uint32_t i = 0; i < count; i++)
        rows[i] = wire_get_u64(reader);
    if (!wire_reader_is_complete(reader))
        return false;
    worker->busy++;
    scheduler_claim(worker->workers->scheduler, worker->number, attempt, rows, count);
    return true;
}

/* --- connections ------------------------------------------------------------------- */

/* Nothing more goes to it, and what it had in hand waits for its return. */
static void worker_end(struct worker *worker)
{
    if (worker->has_ended)
        return;
    worker->has_ended = true;
    scheduler_worker_lost(worker->workers->scheduler, worker->number);
    channel_close(&worker->channel);
}

static bool take_message(struct worker *worker, struct span message)
{
    struct wire_reader reader = wire_reader_over(message);

    switch (wire_get_u8(&reader)) {
    case QUEUE_RECIPIENTS:
        return take_recipients(worker, &reader);
    case QUEUE_STORE:
        return take_store(worker, &reader);
    case QUEUE_READY:
        return take_ready(worker, &reader);
    case QUEUE_RESULT:
        return take_result(worker, &reader);
    case QUEUE_HOLDING:
        return take_holding(worker, &reader);
    default:
        return false;
    }
}

static void worker_message(struct channel *channel, struct span message, int fd)
{
    struct worker *worker = CONTAINER_OF(channel, struct worker, channel);

    if (fd >= 0)
        close(fd); /* no message to us carries one */
    if (worker->has_ended || worker->workers->is_paused || take_message(worker, message))
        return;
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "queue_worker_broke_contract",
              LOG_INTEGER("type", message.length > 0 ? message.data[0] : 0));
    worker_end(worker);
}

static void worker_ended(struct channel *channel)
{
    worker_end(CONTAINER_OF(channel, struct worker, channel));
}

static void handle_closed(struct workers *workers)
{
    if (--workers->open_handles == 0 && workers->stopped)
        workers->stopped(workers);
}

static void worker_closed(struct channel *channel)
{
    struct worker *worker = CONTAINER_OF(channel, struct worker, channel);
    struct workers *workers = worker->workers;

    list_remove(&worker->node);
    LIST_EACH (node, &worker->deposits)
        deposit_free(LIST_ELEMENT(node, struct deposit, node));
    free(worker);
    handle_closed(workers);
}

static const struct channel_events worker_events = {
    .message = worker_message,
    .ended = worker_ended,
    .closed = worker_closed,
};

static void worker_accepted(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
    struct workers *workers = listener->context;
    struct worker *worker = memory_new(sizeof(*worker));

    (void)peer;
    worker->workers = workers;
    worker->number = ++workers->last_number;
    list_init(&worker->deposits);
    list_append(&workers->connections, &worker->node);
    channel_init(&worker->channel, workers->loop, fd, &worker_events);
    workers->open_handles++;
    if (workers->is_refusing)
        tell_refusing(worker);
}

void workers_start(struct workers *workers, int fd)
{
    list_init(&workers->connections);
    workers->open_handles = 1;
    listener_start(&workers->listener, workers->loop, fd, worker_accepted, workers);
}

static void listener_stopped(struct listener *listener)
{
    handle_closed(CONTAINER_OF(listener, struct workers, listener));
}

void workers_pause(struct workers *workers)
{
    workers->is_paused = true;
}

void workers_stop(struct workers *workers, void (*stopped)(struct workers *workers))
{
    workers->stopped = stopped;
    LIST_EACH (node, &workers->connections)
        worker_end(LIST_ELEMENT(node, struct worker, node));
    listener_stop(&workers->listener, listener_stopped);
}
