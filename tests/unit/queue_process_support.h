/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real queue process, in a process of its own, and the workers' real client; the
 * test is the worker.  The directory is a mirror without a directory process.
 */
#ifndef MAILSTEAD_TESTS_QUEUE_PROCESS_SUPPORT_H
#define MAILSTEAD_TESTS_QUEUE_PROCESS_SUPPORT_H

#include "tests/unit/unit.h"

#include "common/service/board.h"
#include "frontend/queue_client.h"
#include "tests/unit/folder.h"

enum { DELIVERIES_MAX = 2000, TIMEOUT_MS = 30000 };

struct queue_rig {
    char folder[FOLDER_SIZE], queue_folder[FOLDER_SIZE + 16];
    struct config config;
    struct backend_config backends[3];
    char *domain;
    struct board *board;
    int listening;
    pid_t process, control;
    struct io_loop loop;
    uv_timer_t watchdog;
    struct queue_client *client;
    bool has_stopped, holds_deliveries, has_timed_out;
    uint64_t timeout_ms; /* of WAIT_FOR */
    size_t stored, refused;
    struct queue_delivery *deliveries[DELIVERIES_MAX]; /* held */
    size_t delivered, delivered_to_first; /* deliveries that came; those for sv1 of them */
    size_t recipients;                    /* of them all */
    size_t held;
    char last_body[64];
    char last_recipient[64];
    uint64_t last_body_length;
    unsigned char seen[DELIVERIES_MAX];     /* by the number in the reverse path */
    unsigned char accepted[DELIVERIES_MAX]; /* stored, by the same number */
};

/* cmocka's set-up and tear-down: the process runs and the worker is connected.  Accounts: a@x on
 * sv1, b@x on sv2, sender@x on sv3. */
int queue_rig_set_up(void **state);
int queue_rig_tear_down(void **state);

#define QUEUE_RIG_TEST(function)                                                                   \
    cmocka_unit_test_setup_teardown(function, queue_rig_set_up, queue_rig_tear_down)

/* Runs the process; ends it by a signal, and gives its status. */
void queue_rig_start(struct queue_rig *rig);
int queue_rig_end(struct queue_rig *rig, int signal_number);

/* Starts the control child, whose hub the queue process finds by itself. */
void queue_rig_start_control(struct queue_rig *rig);

/* Stores message `number` for `count` recipients called `recipient`. */
void queue_rig_store(struct queue_rig *rig, unsigned number, const char *recipient, size_t count,
                     struct span body);

/* Stores any message under that number. */
void queue_rig_send(struct queue_rig *rig, unsigned number, const struct queue_store *message);

/* Delivered: one delivery, or all that are held. */
void queue_rig_finish(struct queue_delivery *delivery);
void queue_rig_finish_held(struct queue_rig *rig);

/* The messages in the queue, as the process shows them on the board. */
int64_t queue_rig_messages(struct queue_rig *rig);

/* Whether a folder of the queue has no file. */
bool queue_rig_is_empty(const struct queue_rig *rig, const char *name);

void queue_rig_bark(uv_timer_t *timer);

#define WAIT_FOR(rig, condition)                                                                   \
    do {                                                                                           \
        uv_timer_start(&(rig)->watchdog, queue_rig_bark, (rig)->timeout_ms, 0);                    \
        while (!(condition) && !(rig)->has_timed_out)                                              \
            io_loop_turn(&(rig)->loop, true);                                                      \
        uv_timer_stop(&(rig)->watchdog);                                                           \
        assert_true(condition);                                                                    \
    } while (0)

#endif
