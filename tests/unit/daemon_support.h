/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real supervisor, forked, for the tests of a program's processes.  Its log is a
 * pipe: a test waits for lines of it, never for time.
 */
#ifndef MAILSTEAD_TESTS_DAEMON_SUPPORT_H
#define MAILSTEAD_TESTS_DAEMON_SUPPORT_H

#include "tests/unit/unit.h"

#include "common/service/supervisor.h"

enum { DAEMON_WAIT_MS = 20000, DAEMON_LISTENERS_MAX = 2 };

extern char daemon_folder[64];                      /* has run/, state/, toy.conf */
extern uint16_t daemon_ports[DAEMON_LISTENERS_MAX]; /* nobody had them at the start */
extern pid_t daemon_pid;                            /* the supervisor; 0: none */
extern int daemon_log_fd;                           /* what it and its children log */

/*
 * Writes the configuration of a backend with one worker, and `listeners` listeners on
 * daemon_ports; `more` is its line 7.
 */
void daemon_configure(int listeners, const char *hostname, const char *more);

/* Runs `program`, whose name is "toy", in a process of its own, without standard input. */
void daemon_launch(const struct supervisor_program *program);

/* daemon_launch, and waits until it is ready. */
void daemon_start(const struct supervisor_program *program);

/* Reads the log until a line has all of `words` (ended by NULL); forgets what was before it. */
void daemon_await_line(const char *const *words, char line[1024]);

#define DAEMON_AWAIT(...)                                                                          \
    do {                                                                                           \
        char await_line_[1024];                                                                    \
        daemon_await_line((const char *const[]){ __VA_ARGS__, NULL }, await_line_);                \
    } while (0)

/* SIGTERM, and a clean end. */
void daemon_stop(void);

/* Waits for the end of the supervisor: its exit status. */
int daemon_await_status(void);

/* Set-up and teardown of a group, and teardown of each test: a test that failed leaves its daemon.
 */
int daemon_set_up(void **unused);
int daemon_tear_down(void **unused);
int daemon_end(void **unused);

#define DAEMON_TEST(function) cmocka_unit_test_teardown(function, daemon_end)

#endif
