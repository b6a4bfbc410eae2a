/* SPDX-License-Identifier: Apache-2.0 */
/* The samples that need nobody's answer: what all processes count and show on the board. */
#include "common/base/clock.h"
#include "common/service/admin_health.h"
#include "common/service/certificate_watch.h"
#include "common/service/metrics.h"
#include "common/service/supervisor.h"

/* Each counter's metric; a test holds that none is left out. */
static const struct {
    const char *metric, *label, *value;
} counters[BOARD_COUNTERS] = {
    [BOARD_SESSIONS] = { "mailstead_sessions", NULL, NULL },
    [BOARD_CONNECTIONS] = { "mailstead_connections", NULL, NULL },
    [BOARD_LOGINS] = { "mailstead_logins", "result", "accepted" },
    [BOARD_LOGINS_REFUSED] = { "mailstead_logins", "result", "refused" },
    [BOARD_LOGINS_TEMPORARY] = { "mailstead_logins", "result", "temporary" },
    [BOARD_MESSAGES_CUT_THROUGH] = { "mailstead_messages", "way", "cut_through" },
    [BOARD_MESSAGES_QUEUED] = { "mailstead_messages", "way", "queued" },
    [BOARD_MESSAGES_REFUSED] = { "mailstead_messages", "way", "refused" },
    [BOARD_RECIPIENTS_DELIVERED] = { "mailstead_recipients", "result", "delivered" },
    [BOARD_RECIPIENTS_DEFERRED] = { "mailstead_recipients", "result", "deferred" },
    [BOARD_RECIPIENTS_FAILED] = { "mailstead_recipients", "result", "failed" },
    [BOARD_RECIPIENTS_LIMITED] = { "mailstead_recipients", "result", "limited" },
    [BOARD_QUEUE_MESSAGES] = { "mailstead_queue_messages", NULL, NULL },
    [BOARD_QUEUE_RECIPIENTS] = { "mailstead_queue_recipients", NULL, NULL },
};

static void add(json_t *samples, json_t *sample)
{
    json_array_append_new(samples, sample);
}

static double seconds_since(uint64_t then_ms, uint64_t now_ms)
{
    return now_ms > then_ms ? (double)(now_ms - then_ms) / 1000 : 0;
}

/* --- processes ----------------------------------------------------------------------------------
 */

struct place {
    const char *role;
    char number[16], generation[24];
};

static struct place place_of(const struct supervisor_role *role, int number, uint64_t generation)
{
    struct place place = { .role = role->name };

    snprintf(place.number, sizeof(place.number), "%d", number);
    snprintf(place.generation, sizeof(place.generation), "%llu", (unsigned long long)generation);
    return place;
}

#define PLACE(place)                                                                               \
    "role", (place).role, "number", (place).number, "generation", (place).generation

static void add_slot(json_t *samples, const struct child *child, const struct board_slot *slot,
                     uint64_t now_ms)
{
    struct place place = place_of(&child->program->roles[atomic_load(&slot->role)],
                                  atomic_load(&slot->number), atomic_load(&slot->generation));

    add(samples, METRICS_SAMPLE("mailstead_process_up", atomic_load(&slot->is_ready) != 0,
                                PLACE(place), NULL));
    add(samples, METRICS_SAMPLE("mailstead_process_heartbeat_age_seconds",
                                seconds_since(atomic_load(&slot->heartbeat_ms), now_ms),
                                PLACE(place), NULL));
}

/* One that should be there; where it is, its slot was shown before and this is left out. */
static void add_expected(json_t *samples, const struct child *child,
                         const struct supervisor_role *role, int number)
{
    struct place place = place_of(role, number, atomic_load(&child->board->generation));

    add(samples, METRICS_SAMPLE("mailstead_process_up", 0, PLACE(place), NULL));
}

static void add_processes(json_t *samples, const struct child *child, uint64_t now_ms)
{
    const struct supervisor_program *program = child->program;

    for (size_t i = 0; i < BOARD_SLOTS; i++)
        if (atomic_load(&child->board->slots[i].pid) != 0)
            add_slot(samples, child, &child->board->slots[i], now_ms);
    for (size_t i = 0; i < program->role_count; i++) {
        unsigned count = supervisor_role_count(&program->roles[i], child->config);

        for (unsigned number = 0; number < count; number++)
            add_expected(samples, child, &program->roles[i], (int)number);
    }
}

/* --- the rest -----------------------------------------------------------------------------------
 */

static bool program_has(const struct child *child, const char *role)
{
    for (size_t i = 0; i < child->program->role_count; i++)
        if (strcmp(child->program->roles[i].name, role) == 0)
            return true;
    return false;
}

static void add_counters(json_t *samples, const struct board *board)
{
    for (int i = 0; i < BOARD_COUNTERS; i++)
        add(samples, METRICS_SAMPLE(counters[i].metric, (double)board_sum(board, i),
                                    counters[i].label, counters[i].value, NULL));
}

static void add_mirror(json_t *samples, const struct board *board, uint64_t now_ms)
{
    uint64_t stale_ms = atomic_load(&board->mirror_stale_since_ms);
    bool is_new = !atomic_load(&board->mirror_is_synchronised);

    if (stale_ms == 0 && is_new)
        stale_ms = atomic_load(&board->started_ms);
    add(samples, METRICS_SAMPLE("mailstead_directory_connected",
                                atomic_load(&board->directory_is_connected), NULL));
    add(samples, METRICS_SAMPLE("mailstead_mirror_revision",
                                (double)atomic_load(&board->mirror_revision), NULL));
    add(samples, METRICS_SAMPLE("mailstead_mirror_entries",
                                (double)atomic_load(&board->mirror_entries), NULL));
    add(samples, METRICS_SAMPLE("mailstead_mirror_synchronised", !is_new, NULL));
    add(samples, METRICS_SAMPLE("mailstead_mirror_age_seconds",
                                stale_ms > 0 ? seconds_since(stale_ms, now_ms) : 0, NULL));
}

static void add_events(json_t *samples, const struct event_counts *events)
{
    for (size_t i = 0; i < EVENT_COUNTS_ROWS; i++) {
        const struct event_count *row = &events->rows[i];

        if (!atomic_load(&row->is_named))
            continue;
        add(samples, METRICS_SAMPLE("mailstead_events", (double)atomic_load(&row->count), "event",
                                    row->name, NULL));
        add(samples, METRICS_SAMPLE("mailstead_event_last_timestamp_seconds",
                                    (double)atomic_load(&row->last_s), "event", row->name, NULL));
    }
}

static void add_certificates_of(json_t *samples, const struct tls_config *tls)
{
    json_t *rows = certificate_rows(tls), *row;
    size_t index;

    json_array_foreach (rows, index, row)
        add(samples, METRICS_SAMPLE("mailstead_certificate_left_seconds",
                                    (double)json_integer_value(json_object_get(row, "left_s")),
                                    "file", json_string_value(json_object_get(row, "file")), NULL));
    json_decref(rows);
}

static void add_certificates(json_t *samples, const struct config *config)
{
    const struct tls_config admin_port = { .pem = config->admin_port.pem,
                                           .certificate_file =
                                               config->admin_port.certificate_file };

    add_certificates_of(samples, &config->tls);
    add_certificates_of(samples, &admin_port);
}

/* 1 for the one that it is in, 0 for the others: an alarm can be made of any of them. */
static void add_states(json_t *samples, const char *metric, const char *server,
                       const char *const *names, int state)
{
    for (int i = 0; names[i]; i++)
        add(samples, METRICS_SAMPLE(metric, i == state, "state", names[i], server ? "server" : NULL,
                                    server, NULL));
}

static void add_storage(json_t *samples, const struct board_storage *storage, uint64_t now_ms)
{
    if (!atomic_load(&storage->is_named))
        return;
    add_states(samples, "mailstead_storage_state", storage->server, storage_state_names,
               atomic_load(&storage->state));
    add(samples, METRICS_SAMPLE("mailstead_storage_held", atomic_load(&storage->is_held), "server",
                                storage->server, NULL));
    add(samples, METRICS_SAMPLE("mailstead_storage_missed", storage_is_missed(storage, now_ms),
                                "server", storage->server, NULL));
}

static void add_node(json_t *samples, const struct board *board, uint64_t now_ms)
{
    add_states(samples, "mailstead_node_state", NULL, node_state_names,
               (int)node_board_state(board));
    add(samples,
        METRICS_SAMPLE("mailstead_node_overridden", atomic_load(&board->node.is_overridden), NULL));
    for (size_t i = 0; i < BOARD_STORAGES; i++)
        add_storage(samples, &board->node.storages[i], now_ms);
}

static bool is_healthy(const struct child *child)
{
    json_t *reasons = admin_health_reasons(child);
    bool has_none = json_array_size(reasons) == 0;

    json_decref(reasons);
    return has_none;
}

void metrics_add_board(json_t *samples, const struct child *child)
{
    const struct board *board = child->board;
    uint64_t now_ms = clock_monotonic_ms();

    add(samples, METRICS_SAMPLE("mailstead_build", 1, "program", child->program->name, "version",
                                PACKAGE_VERSION, NULL));
    add(samples, METRICS_SAMPLE("mailstead_uptime_seconds",
                                seconds_since(atomic_load(&board->started_ms), now_ms), NULL));
    add(samples, METRICS_SAMPLE("mailstead_healthy", is_healthy(child), NULL));
    add_processes(samples, child, now_ms);
    add(samples,
        METRICS_SAMPLE("mailstead_drained", atomic_load(&board->drain_deadline_ms) > 0, NULL));
    add_certificates(samples, child->config);
    add_events(samples, &board->events);
    add_counters(samples, board);
    add_mirror(samples, board, now_ms);
    if (child->program->program == CONFIG_BACKEND)
        add_node(samples, board, now_ms);
    if (program_has(child, "queue"))
        add(samples, METRICS_SAMPLE("mailstead_queue_refusing",
                                    atomic_load(&board->queue_is_refusing), NULL));
}
