/* SPDX-License-Identifier: Apache-2.0 */
/* Fence hooks that succeed, refuse, hang, or write without end. */
#include "tests/unit/unit.h"

#include "admin/fence.h"

#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/folder.h"

static char folder[FOLDER_SIZE], program[FOLDER_SIZE + 16], trace[FOLDER_SIZE + 16];

static int set_up(void **state)
{
    (void)state;
    folder_make(folder);
    snprintf(program, sizeof(program), "%s/hook", folder);
    snprintf(trace, sizeof(trace), "%s/trace", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

/* Runs a hook that is this shell script; `$T` in it is the trace file. */
static bool run(const char *script, unsigned timeout_ms, char why[FENCE_WHY_SIZE])
{
    struct fence fence = { program, "sv1", "10.0.1.11", timeout_ms };
    FILE *file = fopen(program, "w");

    assert_non_null(file);
    fprintf(file, "#!/bin/sh\nT=%s\n%s\n", trace, script);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(program, 0700), 0);
    why[0] = '\0';
    return fence_run(&fence, why);
}

static void read_trace(char *text, size_t size)
{
    FILE *file = fopen(trace, "r");
    size_t length;

    assert_non_null(file);
    length = fread(text, 1, size - 1, file);
    text[length] = '\0';
    fclose(file);
}

/* The process is dead, or about to be buried by whoever has inherited it. */
static void assert_gone(pid_t pid)
{
    uint64_t deadline_ms = clock_monotonic_ms() + 5000;
    char path[64], state = 'R';

    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    while (state != 'Z') {
        FILE *file = fopen(path, "r");

        assert_true(clock_monotonic_ms() < deadline_ms);
        if (!file)
            return;
        if (fscanf(file, "%*d %*s %c", &state) != 1)
            state = 'Z'; /* it went while it was read */
        fclose(file);
    }
}

static void status_0_means_that_the_node_is_off(void **state)
{
    char why[FENCE_WHY_SIZE], text[512];

    (void)state;
    setenv("SECRET", "of the administrator", 1);
    assert_true(
        run("echo $MAILSTEAD_ACTION $MAILSTEAD_NODE $MAILSTEAD_ADDRESS $SECRET >$T; cat >>$T", 5000,
            why));
    read_trace(text, sizeof(text));
    assert_string_equal(text, "off sv1 10.0.1.11\n");
}

static void anything_else_is_a_refusal_with_its_last_line(void **state)
{
    char why[FENCE_WHY_SIZE];

    (void)state;
    assert_false(run("echo first; echo 'no power switch' >&2; exit 7", 5000, why));
    assert_non_null(strstr(why, "ended with status 7: no power switch"));
    assert_false(run("kill -TERM $$", 5000, why));
    assert_non_null(strstr(why, "was killed by signal 15"));
}

static void what_hangs_is_killed_with_all_that_it_started(void **state)
{
    char why[FENCE_WHY_SIZE], text[64];
    uint64_t began_ms = clock_monotonic_ms();

    (void)state;
    assert_false(run("sleep 1000 & echo $! >$T; echo waiting; wait", 300, why));
    assert_in_range(clock_monotonic_ms() - began_ms, 300, 5000);
    assert_non_null(strstr(why, "did not end in time and was killed: waiting"));
    read_trace(text, sizeof(text));
    assert_gone((pid_t)atoi(text));
}

static void one_that_writes_without_end_costs_no_more_than_its_time(void **state)
{
    char why[FENCE_WHY_SIZE];

    (void)state;
    assert_false(run("while :; do echo again and again; done", 300, why));
    assert_non_null(strstr(why, "did not end in time and was killed: "));
}

static void what_it_leaves_behind_is_not_waited_for(void **state)
{
    char why[FENCE_WHY_SIZE];
    uint64_t began_ms = clock_monotonic_ms();

    (void)state;
    assert_true(run("sleep 3 & exit 0", 30000, why));
    assert_in_range(clock_monotonic_ms() - began_ms, 0, 2500);
}

static void a_program_that_is_not_there_turns_nothing_off(void **state)
{
    struct fence fence = { "/nonexistent/fence", "sv1", "10.0.1.11", 1000 };
    char why[FENCE_WHY_SIZE];

    (void)state;
    assert_false(fence_run(&fence, why));
    assert_non_null(strstr(why, "cannot be run: No such file or directory"));
}

#define fence_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        fence_test(status_0_means_that_the_node_is_off),
        fence_test(anything_else_is_a_refusal_with_its_last_line),
        fence_test(what_hangs_is_killed_with_all_that_it_started),
        fence_test(one_that_writes_without_end_costs_no_more_than_its_time),
        fence_test(what_it_leaves_behind_is_not_waited_for),
        fence_test(a_program_that_is_not_there_turns_nothing_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
