/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backlog costs disk and no memory: for a backend that is down, and while it is delivered.
 * MAILSTEAD_BACKLOG says how many messages wait; the size of the process stays the same.
 */
#include "tests/unit/queue_process_support.h"

#include <signal.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/session/backends.h"
#include "frontend/queue/store.h"

/* A sanitiser keeps what is freed for a while. */
#ifdef __SANITIZE_ADDRESS__
enum { SIZE_MAX_KB = 1024 * 1024 };
#else
enum { SIZE_MAX_KB = 60 * 1024 };
#endif
enum { BACKLOG = 20000, BATCH = 1000, DELIVERED = 1000 };

static unsigned backlog(void)
{
    const char *text = getenv("MAILSTEAD_BACKLOG");

    return text ? (unsigned)strtoul(text, NULL, 10) : BACKLOG;
}

/* Puts messages for sv1 and sv2 into the store of the process, which does not run. */
static void fill(const struct queue_rig *rig, unsigned count)
{
    static char body[1000];
    char error[STORE_ERROR_SIZE];
    struct store *store = store_open(rig->queue_folder, &store_system_real, error);

    assert_non_null(store);
    memset(body, 'b', sizeof(body));
    for (unsigned i = 0; i < count; i++) {
        bool is_first = i % 2 == 0;
        struct store_message message = { .session_id = SPAN_LITERAL("1"),
                                         .reverse_path = SPAN_LITERAL("sender@x"),
                                         .size = sizeof(body),
                                         .arrival_ms = clock_wall_ms(),
                                         .body = span_of(body, sizeof(body)) };
        struct store_recipient recipient = {
            .address = is_first ? SPAN_LITERAL("a@x") : SPAN_LITERAL("b@x"),
            .destination = is_first ? "sv1" : "sv2",
            .next_attempt_ms = clock_wall_ms(),
        };
        uint64_t id;

        assert_true(i % BATCH > 0 || store_begin(store));
        assert_true(store_add(store, &message, &recipient, 1, false, &id));
        assert_true((i + 1) % BATCH > 0 || store_commit(store));
    }
    store_close(store);
}

/* The most memory that the process had, in KB. */
static long peak_kb(const struct queue_rig *rig)
{
    char path[64], line[256];
    long size_kb = 0;
    FILE *status;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)rig->process);
    status = fopen(path, "r");
    assert_non_null(status);
    while (fgets(line, sizeof(line), status))
        if (strncmp(line, "VmHWM:", 6) == 0)
            size_kb = strtol(line + 6, NULL, 10);
    fclose(status);
    return size_kb;
}

/* What the daemon's probes would have found out about sv1. */
static void set_first(struct queue_rig *rig, enum board_health_state state)
{
    struct backends backends;

    backends_init(&backends, &rig->config, rig->board);
    atomic_store(&board_backend(rig->board, backends_find(&backends, "sv1")->key)
                      ->health[PROTOCOL_LMTP]
                      .state,
                 (int)state);
    backends_fini(&backends);
}

static void test_a_backlog_costs_no_memory(void **state)
{
    struct queue_rig *rig = *state;
    unsigned count = backlog() / BATCH * BATCH;
    uint64_t started_ms, delivered_ms;

    rig->timeout_ms += count / 10;
    queue_rig_end(rig, SIGTERM);
    fill(rig, count);
    set_first(rig, BOARD_HEALTH_DOWN);
    started_ms = clock_monotonic_ms();
    queue_rig_start(rig);
    /* Half of it is for a backend that is down, and delays nothing of the other. */
    WAIT_FOR(rig, rig->delivered >= DELIVERED);
    delivered_ms = clock_monotonic_ms() - started_ms;
    assert_true(queue_rig_messages(rig) >= count - DELIVERED - 100);
    assert_string_equal(rig->last_recipient, "b@x@sv2");
    set_first(rig, BOARD_HEALTH_UP);
    WAIT_FOR(rig, rig->delivered_to_first > 50);
    printf("%u messages: %ld KB at most, %d delivered after %llu ms\n", count, peak_kb(rig),
           DELIVERED, (unsigned long long)delivered_ms);
    assert_true(peak_kb(rig) < SIZE_MAX_KB);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_RIG_TEST(test_a_backlog_costs_no_memory),
    };

    log_set_level(LOG_LEVEL_WARNING);
    return cmocka_run_group_tests_name("queue backlog", tests, NULL, NULL);
}
