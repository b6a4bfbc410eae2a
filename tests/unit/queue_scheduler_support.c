/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/queue_scheduler_support.h"

#include "tests/unit/fault.h"

/* --- what the scheduler asks ---------------------------------------------------------- */

static int64_t fake_now(void *context)
{
    return ((struct fixture *)context)->now_ms;
}

static void fake_route(void *context, struct span address, struct route *route)
{
    struct fixture *fixture = context;

    memset(route, 0, sizeof(*route));
    route->outcome = ROUTE_NOT_OURS;
    for (size_t i = 0; i < FIXTURE_ENTRIES_MAX && fixture->entries[i].address; i++) {
        const struct fixture_entry *entry = &fixture->entries[i];

        if (!span_equals(address, span_from_string(entry->address)))
            continue;
        route->outcome = entry->outcome;
        snprintf(route->host, sizeof(route->host), "%s", entry->host ? entry->host : "");
        snprintf(route->recipient, sizeof(route->recipient), "canonical-%s", entry->address);
    }
}

static void fake_confirm(void *context, uint64_t row, struct span address)
{
    struct fixture *fixture = context;

    (void)address;
    fixture->confirms++;
    fixture->confirm_row = row;
}

static uint64_t fake_revision(void *context)
{
    return ((struct fixture *)context)->revision;
}

static bool fake_is_known(void *context, const char *backend)
{
    (void)context;
    return strncmp(backend, "sv", 2) == 0;
}

static bool fake_is_up(void *context, const char *backend)
{
    struct fixture *fixture = context;

    return !fixture->down || strcmp(fixture->down, backend) != 0;
}

static bool fake_may_begin(void *context, const char *backend)
{
    struct fixture *fixture = context;

    if (!fixture->returned || strcmp(fixture->returned, backend) != 0)
        return true;
    if (fixture->admitted == 0)
        return false;
    fixture->admitted--;
    return true;
}

static unsigned fake_free_slots(void *context)
{
    struct fixture *fixture = context;

    return fixture->slots - fixture->busy;
}

static bool fake_deliver(void *context, struct job *job)
{
    struct fixture *fixture = context;
    struct fixture_sent *sent = &fixture->sent[fixture->sent_count++];
    const struct store_message *message = &job->stored->content;

    assert_true(fixture->sent_count <= FIXTURE_SENT_MAX);
    memset(sent, 0, sizeof(*sent));
    sent->attempt = job->attempt;
    sent->is_open = true;
    for (size_t i = 0; i < job->row_count; i++) {
        if (!job->rows[i].is_in_hand || !job->rows[i].recipient)
            continue;
        sent->rows[sent->count++] = job->rows[i].row;
        snprintf(sent->address, sizeof(sent->address), "%.*s", SPAN_PRINTF(job->rows[i].address));
        snprintf(sent->recipient, sizeof(sent->recipient), "%s", job->rows[i].recipient);
    }
    snprintf(sent->reverse_path, sizeof(sent->reverse_path), "%.*s",
             SPAN_PRINTF(message->reverse_path));
    snprintf(sent->backend, sizeof(sent->backend), "%s", scheduler_job_backend(job));
    job->worker = FIXTURE_WORKER;
    fixture->busy++;
    return true;
}

static void fake_acknowledge(void *context, uint64_t worker, uint64_t attempt)
{
    (void)worker, (void)attempt;
    ((struct fixture *)context)->acknowledged++;
}

static const struct scheduler_ops fake_ops = {
    fake_now,   fake_route,     fake_confirm,    fake_revision, fake_is_known,
    fake_is_up, fake_may_begin, fake_free_slots, fake_deliver,  fake_acknowledge,
};

/* --- life -------------------------------------------------------------------------------- */

static void committer_has_stopped(struct committer *committer)
{
    CONTAINER_OF(committer, struct fixture, committer)->has_stopped = true;
}

static void start(struct fixture *fixture)
{
    char error[STORE_ERROR_SIZE];
    struct scheduler_options options = {
        .rules = { .hostname = "mx.example.org",
                   .retry_min_ms = 60000,
                   .unknown_delay_ms = 600000,
                   .retry_max_ms = 3600000,
                   .expiry_ms = fixture->expiry_ms,
                   .lifetime_ms = fixture->expiry_ms,
                   .delay_ms = fixture->delay_ms },
        .has_relay_host = fixture->has_relay_host,
        .ops = &fake_ops,
        .context = fixture,
    };

    fixture->store = store_open(fixture->folder, &fault_system, error);
    assert_non_null(fixture->store);
    committer_start(&fixture->committer, &fixture->loop, fixture->store);
    fixture->scheduler = scheduler_new(&options, &fixture->committer);
}

static void stop(struct fixture *fixture)
{
    scheduler_stop(fixture->scheduler);
    committer_stop(&fixture->committer, committer_has_stopped);
    io_loop_run(&fixture->loop);
    assert_true(fixture->has_stopped);
    scheduler_free(fixture->scheduler);
    store_close(fixture->store);
}

int fixture_set_up(void **state)
{
    struct fixture *fixture = memory_new(sizeof(*fixture));

    folder_make(fixture->folder);
    io_loop_init(&fixture->loop);
    fixture->now_ms = 1700000000000;
    fixture->expiry_ms = 432000000;
    fixture->slots = 10;
    fixture->entries[0] = (struct fixture_entry){ "a@x", ROUTE_FOUND, "sv1" };
    fixture->entries[1] = (struct fixture_entry){ "b@x", ROUTE_FOUND, "sv2" };
    fixture->entries[2] = (struct fixture_entry){ "a2@x", ROUTE_FOUND, "sv1" };
    fixture->entries[3] = (struct fixture_entry){ "sender@x", ROUTE_FOUND, "sv3" };
    start(fixture);
    *state = fixture;
    return 0;
}

int fixture_tear_down(void **state)
{
    struct fixture *fixture = *state;

    fault_disarm();
    stop(fixture);
    io_loop_fini(&fixture->loop);
    folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

void fixture_run(struct fixture *fixture)
{
    io_loop_run(&fixture->loop);
}

void fixture_pass(struct fixture *fixture, int64_t milliseconds)
{
    fixture->now_ms += milliseconds;
    scheduler_tick(fixture->scheduler);
    fixture_run(fixture);
}

void fixture_restart(struct fixture *fixture)
{
    stop(fixture);
    fixture->has_stopped = false;
    fixture->busy = 0;
    start(fixture);
}

/* --- messages ------------------------------------------------------------------------------ */

static void deposit_done(struct operation *operation, bool is_committed)
{
    struct deposit *deposit = CONTAINER_OF(operation, struct deposit, operation);
    struct fixture *fixture = deposit->context;

    assert_true(is_committed);
    fixture->stored++;
    scheduler_deposited(fixture->scheduler, deposit);
    deposit_free(deposit);
}

void fixture_submit(struct fixture *fixture, const struct fixture_letter *letter)
{
    struct deposit *deposit = deposit_new(1, fixture->now_ms, "mx.example.org");
    char memory[1024];
    struct buffer wire = buffer_over(memory, sizeof(memory));
    uint32_t count = 0;

    while (count < 4 && letter->recipients[count])
        count++;
    wire_put_span(&wire, SPAN_LITERAL("session1"));
    wire_put_span(&wire, span_from_string(letter->reverse_path));
    wire_put_u8(&wire, 0);
    wire_put_u8(&wire, 0);
    wire_put_u8(&wire, (uint8_t)letter->ret);
    wire_put_span(&wire, span_from_string(letter->envid));
    wire_put_u8(&wire, letter->may_relay);
    wire_put_u64(&wire, 4);
    wire_put_u32(&wire, count);
    for (uint32_t i = 0; i < count; i++) {
        wire_put_span(&wire, span_from_string(letter->recipients[i]));
        wire_put_u8(&wire, (uint8_t)letter->fates[i]);
        wire_put_u32(&wire, 0);
        wire_put_span(&wire, span_from_string(letter->texts[i]));
        wire_put_u8(&wire, (uint8_t)letter->notify[i]);
        wire_put_span(&wire, span_from_string(letter->orcpts[i]));
    }
    wire_put_u8(&wire, 0);
    wire_put_span(&wire, SPAN_LITERAL("body"));
    assert_true(deposit_take_store(deposit, buffer_span(&wire)));
    deposit->context = fixture;
    deposit->operation.done = deposit_done;
    scheduler_resolve(fixture->scheduler, deposit);
    committer_submit(&fixture->committer, &deposit->operation);
}

void fixture_send_to(struct fixture *fixture, const char *recipient)
{
    fixture_submit(fixture, &(struct fixture_letter){ .reverse_path = "sender@x",
                                                      .recipients = { recipient } });
    fixture_run(fixture);
}

struct fixture_sent *fixture_last_sent(struct fixture *fixture)
{
    assert_true(fixture->sent_count > 0);
    return &fixture->sent[fixture->sent_count - 1];
}

void fixture_report(struct fixture *fixture, struct fixture_sent *sent, enum queue_fate fate,
                    const char *text)
{
    struct report_row rows[QUEUE_DELIVERY_RECIPIENTS_MAX];

    for (size_t i = 0; i < sent->count; i++)
        rows[i] = (struct report_row){ sent->rows[i], fate, 0, span_from_string(text) };
    if (sent->is_open)
        fixture->busy--;
    sent->is_open = false;
    scheduler_report(fixture->scheduler, FIXTURE_WORKER, sent->attempt, rows, sent->count);
    fixture_run(fixture);
}

int64_t fixture_messages(const struct fixture *fixture)
{
    return store_counts(fixture->store).messages;
}
