/* SPDX-License-Identifier: Apache-2.0 */
/* A queue's store in a folder of its own: what the tests of the store and of its faults share. */
#ifndef MAILSTEAD_TESTS_QUEUE_STORE_SUPPORT_H
#define MAILSTEAD_TESTS_QUEUE_STORE_SUPPORT_H

#include "tests/unit/unit.h"

#include "frontend/queue/store.h"
#include "tests/unit/folder.h"

extern char queue_store_folder[FOLDER_SIZE]; /* the running test's */

/* cmocka's set-up and tear-down: an empty folder; no folder and no armed fault. */
int queue_store_set_up(void **unused);
int queue_store_tear_down(void **unused);

#define QUEUE_STORE_TEST(function)                                                                 \
    cmocka_unit_test_setup_teardown(function, queue_store_set_up, queue_store_tear_down)

/* Opens the store of the folder, over fault_system; the test closes it. */
struct store *queue_store_open(void);

/* Writes the file `name` of the folder, or tells whether there is one. */
void queue_store_write_file(const char *name, const char *text);
bool queue_store_has_file(const char *name);
void queue_store_remove_file(const char *name);

/* store_begin, which must succeed. */
void queue_store_begin(struct store *store);

/*
 * Adds a message whose body is its session id, or else the file `body_file`, with `count` (at most
 * 8) recipients "0@x", "1@x"... at `destination`, due at 1000.  False: store_add failed.
 */
bool queue_store_add(struct store *store, const char *session, const char *body_file,
                     unsigned count, const char *destination, uint64_t *id);

/* Asks for all that is due at `destination`, within limits beyond what any test adds. */
struct store_due queue_store_due(const char *destination, int64_t now_ms);

/* The first of the jobs, of which there must be one; the list keeps it. */
struct store_job *queue_store_first_job(struct list *jobs);

/* The recipient as store_look shows it; its spans are of no use any more. */
struct store_view queue_store_look(struct store *store, uint64_t row);

/* Empties the list and frees its jobs: their number. */
size_t queue_store_free_jobs(struct list *jobs);

#endif
