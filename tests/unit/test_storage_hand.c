/* SPDX-License-Identifier: Apache-2.0 */
/* The hand: hooks, keepers, and what becomes of those that never return. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/storage_claim.h"
#include "backend/storage_hand.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/base/wire.h"
#include "tests/unit/folder.h"

enum { ANSWER_MS = 20000 };

static char folder[FOLDER_SIZE], hook[FOLDER_SIZE + 16];
static char node_name[] = "sv2";
static struct config config;
static struct child child;

static void write_hook(const char *text)
{
    FILE *file = fopen(hook, "w");

    assert_non_null(file);
    fprintf(file, "#!/bin/sh\n%s", text);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(hook, 0755), 0);
}

static int set_up(void **unused)
{
    (void)unused;
    folder_make(folder);
    snprintf(hook, sizeof(hook), "%s/hook", folder);
    config = (struct config){
        .node = { .name = node_name },
        .storage = { .kind = STORAGE_SHARED,
                     .directory = folder,
                     .require_mount = STORAGE_MOUNT_OFF,
                     .attach_hook = hook,
                     .check_interval_s = 1 },
    };
    child = (struct child){ .config = &config, .helper_fd = -1 };
    return storage_hand_start(&child) ? 0 : -1;
}

static int tear_down(void **unused)
{
    (void)unused;
    close(child.helper_fd);
    folder_remove(folder);
    return 0;
}

static void order(enum hand_message type, uint32_t number, uint8_t word, const char *server)
{
    char memory[HAND_MESSAGE_MAX];
    struct buffer out = buffer_over(memory, sizeof(memory));

    wire_put_u8(&out, type);
    wire_put_u32(&out, number);
    wire_put_u8(&out, word);
    if (type == HAND_START) {
        wire_put_span(&out, span_from_string(server));
        wire_put_u8(&out, 0);
    }
    assert_int_equal(send(child.helper_fd, out.data, out.length, 0), (ssize_t)out.length);
}

struct answer {
    enum hand_message type;
    uint32_t number;
    bool is_good;
    char text[STORAGE_WHY_SIZE];
};

static struct answer wait_for_answer(void)
{
    struct pollfd waker = { .fd = child.helper_fd, .events = POLLIN };
    char memory[HAND_MESSAGE_MAX];
    struct wire_reader reader;
    struct answer answer = { .text = "" };
    ssize_t count;

    assert_int_equal(poll(&waker, 1, ANSWER_MS), 1);
    count = recv(child.helper_fd, memory, sizeof(memory), 0);
    assert_true(count > 0);
    reader = wire_reader_over(span_of(memory, (size_t)count));
    answer.type = wire_get_u8(&reader);
    answer.number = wire_get_u32(&reader);
    answer.is_good = wire_get_u8(&reader) != 0;
    if (answer.type == HAND_TELLS)
        wire_get_string(&reader, answer.text, sizeof(answer.text));
    assert_true(wire_reader_is_complete(&reader));
    return answer;
}

static void assert_ended(uint32_t number, bool is_good)
{
    struct answer answer = wait_for_answer();

    assert_int_equal(answer.type, HAND_ENDED);
    assert_int_equal(answer.number, number);
    assert_int_equal(answer.is_good, is_good);
}

static void assert_told(bool is_good, const char *text)
{
    struct answer answer = wait_for_answer();

    assert_int_equal(answer.type, HAND_TELLS);
    assert_int_equal(answer.is_good, is_good);
    assert_non_null(strstr(answer.text, text));
}

static void read_file(const char *name, char *text, size_t size)
{
    char path[FOLDER_SIZE + 32];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, size - 1, file)] = '\0';
    fclose(file);
}

/* --- hooks --------------------------------------------------------------------------------- */

static void test_a_hook_gets_a_clean_environment(void **unused)
{
    char script[256], text[2048], expected[512];

    (void)unused;
    snprintf(script, sizeof(script), "cd %s && pwd >pwd && env | sort | grep -v ^_= >said\n",
             folder);
    write_hook(script);
    order(HAND_START, 1, HAND_HOOK_ATTACH, "sv1");
    assert_ended(1, true);
    snprintf(expected, sizeof(expected),
             "LC_ALL=C\nMAILSTEAD_NODE=sv2\nMAILSTEAD_ORDER=attach\nMAILSTEAD_SERVER=sv1\n"
             "MAILSTEAD_STORAGE=%s/sv1\n",
             folder);
    read_file("said", text, sizeof(text));
    assert_int_equal(strncmp(text, expected, strlen(expected)), 0);
    assert_null(strstr(text, "HOME="));
}

static void test_a_hook_that_fails_is_told_with_its_first_words(void **unused)
{
    (void)unused;
    write_hook("echo 'mount: wrong disk' >&2; echo more >&2; exit 3\n");
    order(HAND_START, 1, HAND_HOOK_ATTACH, "sv1");
    assert_told(false, "status 3: mount: wrong disk");
    assert_ended(1, false);
    unlink(hook);
    order(HAND_START, 2, HAND_HOOK_ATTACH, "sv1");
    assert_told(false, "No such file or directory");
    assert_ended(2, false);
}

static pid_t read_pid(void)
{
    char text[32];

    read_file("pid", text, sizeof(text));
    return (pid_t)atol(text);
}

static void test_a_hook_may_say_much_and_leave_things_in_the_background(void **unused)
{
    char script[256];

    (void)unused;
    snprintf(script, sizeof(script), "head -c 1000000 /dev/zero; sleep 1000 & echo $! >%s/pid\n",
             folder);
    write_hook(script);
    order(HAND_START, 1, HAND_HOOK_ATTACH, "sv1");
    assert_ended(1, true);
    assert_int_equal(kill(read_pid(), SIGKILL), 0); /* it lives: it is the hook's own business */
}

static void wait_for_file(const char *name)
{
    uint64_t deadline_ms = clock_monotonic_ms() + ANSWER_MS;
    char path[FOLDER_SIZE + 32];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    while (access(path, F_OK) != 0) {
        assert_true(clock_monotonic_ms() < deadline_ms);
        poll(NULL, 0, 5);
    }
}

static void wait_for_death(pid_t pid)
{
    uint64_t deadline_ms = clock_monotonic_ms() + ANSWER_MS;

    while (kill(pid, 0) == 0) {
        assert_true(clock_monotonic_ms() < deadline_ms);
        poll(NULL, 0, 5);
    }
    assert_int_equal(errno, ESRCH);
}

/* Starts a hook that never returns; what it started itself is the process that is given. */
static pid_t start_endless_hook(void)
{
    char script[256];

    snprintf(script, sizeof(script),
             "trap '' TERM\nsleep 1000 &\necho $! >%s/new; mv %s/new %s/pid; wait\n", folder,
             folder, folder);
    write_hook(script);
    order(HAND_START, 1, HAND_HOOK_ATTACH, "sv1");
    wait_for_file("pid");
    return read_pid();
}

static void test_a_hook_that_never_returns_is_killed_with_all_that_it_started(void **unused)
{
    pid_t pid = start_endless_hook();

    (void)unused;
    order(HAND_SIGNAL, 1, SIGKILL, NULL);
    assert_ended(1, false);
    wait_for_death(pid);
}

static void test_no_hook_outlives_the_storage_process(void **unused)
{
    pid_t pid = start_endless_hook();

    (void)unused;
    close(child.helper_fd);
    wait_for_death(pid);
    child.helper_fd = -1;
}

/* --- keepers ---------------------------------------------------------------------------------- */

static void start_keeper(void)
{
    order(HAND_START, 1, HAND_MARK, "sv1");
    assert_ended(1, true);
    order(HAND_START, 2, HAND_KEEP, "sv1");
    assert_told(true, "");
}

static void assert_claim_says(const char *expected)
{
    char text[1024];

    read_file("sv1/.mailstead-claim", text, sizeof(text));
    assert_non_null(strstr(text, expected));
}

static void test_a_keeper_holds_and_releases(void **unused)
{
    (void)unused;
    start_keeper();
    assert_claim_says("node sv2\n");
    assert_claim_says("state held\n");
    assert_told(true, ""); /* its next look */
    order(HAND_SIGNAL, 2, SIGTERM, NULL);
    assert_ended(2, true);
    assert_claim_says("state released\n");
}

static void test_a_killed_keeper_leaves_the_claim(void **unused)
{
    (void)unused;
    start_keeper();
    order(HAND_SIGNAL, 2, SIGKILL, NULL);
    assert_ended(2, false);
    assert_claim_says("state held\n");
}

static void test_a_keeper_ends_when_the_storage_is_gone(void **unused)
{
    char path[FOLDER_SIZE + 8], away[FOLDER_SIZE + 8];

    (void)unused;
    start_keeper();
    snprintf(path, sizeof(path), "%s/sv1", folder);
    snprintf(away, sizeof(away), "%s/away", folder);
    assert_int_equal(rename(path, away), 0);
    assert_told(false, "No such file or directory");
    assert_ended(2, false);
}

/* --- orders -------------------------------------------------------------------------------------
 */

static void test_orders_that_make_no_sense_are_refused(void **unused)
{
    (void)unused;
    order(HAND_START, 1, HAND_KEEP, "../etc");
    assert_ended(1, false);
    order(HAND_START, 2, HAND_DISCLAIM + 1, "sv1");
    order(HAND_SIGNAL, 0, SIGKILL, NULL);
    order(HAND_SIGNAL, 77, SIGKILL, NULL);
    assert_int_equal(send(child.helper_fd, "x", 1, 0), 1);
    order(HAND_START, 3, HAND_DISCLAIM, "sv1");
    assert_ended(3, true);
}

/* A task that hangs where it cannot be killed is not joined by one more at each attempt. */
static void test_one_task_of_a_kind_at_a_time(void **unused)
{
    (void)unused;
    start_endless_hook();
    order(HAND_START, 2, HAND_HOOK_ATTACH, "sv1");
    assert_ended(2, false);
    order(HAND_SIGNAL, 1, SIGKILL, NULL);
    assert_ended(1, false);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_hook_gets_a_clean_environment),
        TEST(test_a_hook_that_fails_is_told_with_its_first_words),
        TEST(test_a_hook_may_say_much_and_leave_things_in_the_background),
        TEST(test_a_hook_that_never_returns_is_killed_with_all_that_it_started),
        TEST(test_no_hook_outlives_the_storage_process),
        TEST(test_a_keeper_holds_and_releases),
        TEST(test_a_killed_keeper_leaves_the_claim),
        TEST(test_a_keeper_ends_when_the_storage_is_gone),
        TEST(test_orders_that_make_no_sense_are_refused),
        TEST(test_one_task_of_a_kind_at_a_time),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
