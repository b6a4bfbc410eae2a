/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scheduler over a real store, with a clock, a directory and workers that the
 * test plays.
 */
#ifndef MAILSTEAD_TESTS_QUEUE_SCHEDULER_SUPPORT_H
#define MAILSTEAD_TESTS_QUEUE_SCHEDULER_SUPPORT_H

#include "tests/unit/unit.h"

#include "frontend/queue/scheduler.h"
#include "tests/unit/folder.h"

enum { FIXTURE_ENTRIES_MAX = 8, FIXTURE_SENT_MAX = 4096, FIXTURE_WORKER = 7 };

/* One address of the directory, and where it goes. */
struct fixture_entry {
    const char *address;
    enum route_outcome outcome;
    const char *host;
};

/* An attempt that a worker got. */
struct fixture_sent {
    uint64_t attempt;
    char backend[32];
    size_t count;
    uint64_t rows[QUEUE_DELIVERY_RECIPIENTS_MAX];
    char address[64], recipient[64], reverse_path[64];
    bool is_open;
};

struct fixture {
    char folder[FOLDER_SIZE];
    struct io_loop loop;
    struct store *store;
    struct committer committer;
    struct scheduler *scheduler;
    bool has_stopped, has_relay_host;
    int64_t now_ms, expiry_ms, delay_ms;
    struct fixture_entry entries[FIXTURE_ENTRIES_MAX];
    const char *down;     /* a backend */
    const char *returned; /* a backend, at which `admitted` more attempts may begin */
    unsigned admitted;
    uint64_t revision;
    unsigned slots, busy;
    struct fixture_sent sent[FIXTURE_SENT_MAX];
    size_t sent_count, acknowledged, confirms;
    uint64_t confirm_row;
    uint32_t stored;
};

/* A message to submit; recipients end at the first NULL, and are pending unless `fates` says. */
struct fixture_letter {
    const char *reverse_path;
    bool may_relay;
    const char *recipients[4];
    enum queue_fate fates[4];
    const char *texts[4];
    unsigned notify[4];
    const char *orcpts[4];
    enum mail_return ret;
    const char *envid;
};

/*
 * cmocka's set-up and tear-down.  Accounts: a@x and a2@x on sv1, b@x on sv2, sender@x on sv3; the
 * workers have 10 slots.
 */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

#define FIXTURE_TEST(function)                                                                     \
    cmocka_unit_test_setup_teardown(function, fixture_set_up, fixture_tear_down)

/* Runs the loop until nothing is under way. */
void fixture_run(struct fixture *fixture);

/* Lets `milliseconds` pass, and the scheduler look at it. */
void fixture_pass(struct fixture *fixture, int64_t milliseconds);

/* Ends the queue in order and starts it again over the same store; no slot is busy. */
void fixture_restart(struct fixture *fixture);

/* Hands the letter to the committer; fixture_run stores it. */
void fixture_submit(struct fixture *fixture, const struct fixture_letter *letter);

/* Stores a message of sender@x to one recipient. */
void fixture_send_to(struct fixture *fixture, const char *recipient);

/* The newest attempt, of which there must be one; the fixture's own. */
struct fixture_sent *fixture_last_sent(struct fixture *fixture);

/* The worker reports one fate for all recipients of an attempt. */
void fixture_report(struct fixture *fixture, struct fixture_sent *sent, enum queue_fate fate,
                    const char *text);

/* The messages in the store. */
int64_t fixture_messages(const struct fixture *fixture);

#endif
