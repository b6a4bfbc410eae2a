/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the follower: a real slapd, a mirror, and what lies between. */
#ifndef MAILSTEAD_TESTS_FOLLOWER_SUPPORT_H
#define MAILSTEAD_TESTS_FOLLOWER_SUPPORT_H

#include "tests/unit/unit.h"

#include "directory/follower.h"
#include "directory/mirror.h"
#include "tests/unit/slapd.h"

struct rig {
    struct slapd slapd;
    struct io_loop loop;
    char state_directory[64];
    char *uris[2];
    char *address_attributes[1], *login_attributes[2];
    struct directory_config config;
    struct account_reader *reader;
    struct mirror_writer *writer;
    struct mirror *mirror;
    struct follower *follower; /* NULL: it does not run */
    uv_timer_t tick;           /* so that a wait for what never comes ends */
    char told[4096];
    struct compare_report report;
    bool is_compared;
};

/* Starts the follower on the mirror as it is; or ends it. */
void rig_start(struct rig *rig);
void rig_stop(struct rig *rig);
/* A stopped slapd, with `more` in its configuration, and a follower that is not started. */
struct rig *rig_new(const char *more);
/* For cmocka: with a session log, or without. */
int rig_set_up(void **state);
int rig_set_up_without_session_log(void **state);
int rig_tear_down(void **state);
bool rig_is_following(struct rig *rig);
bool rig_is_waiting(struct rig *rig);
/* Runs the loop until it is so; false when that takes too long. */
bool rig_run_until(struct rig *rig, bool (*is_so)(struct rig *rig));
/* Compares the mirror with the directory and gives what differed. */
struct compare_report rig_compare(struct rig *rig);
/* A lookup in the mirror. */
enum route_found rig_find(struct rig *rig, enum route_key key, const char *value,
                          struct route_entry *entry);
/* Runs until the address is routed to `host`; NULL: until it is unknown. */
void rig_await_host(struct rig *rig, const char *address, const char *host);
/* Starts slapd with accounts 1 to `count` on sv1, and follows it. */
void rig_follow(struct rig *rig, unsigned count);
/* Moves an account, from sv1 to `host`, in the directory. */
void rig_move(struct rig *rig, unsigned number, const char *host);
/* Removes accounts from the directory. */
void rig_erase(struct rig *rig, unsigned first, unsigned last);

#endif
