/* SPDX-License-Identifier: Apache-2.0 */
/* What a child has when it starts, told by a child in a file of its own. */
#include "tests/unit/daemon_support.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { HEARTBEAT_MS = 1500, SLOW_START_MS = 2500, REPORT_SIZE = 512 };

static unsigned capabilities(void)
{
    struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3];

    if (syscall(SYS_capget, &header, sets) != 0)
        return ~0U;
    return sets[0].effective | sets[0].permitted | sets[0].inheritable | sets[1].effective |
           sets[1].permitted | sets[1].inheritable;
}

/* Writes "state/report"; the file's own permissions are part of what it tells. */
static bool write_report(const struct child *child)
{
    struct rlimit core = { 1, 1 };
    char path[1200], input[64] = "";
    FILE *file;

    getrlimit(RLIMIT_CORE, &core);
    if (readlink("/proc/self/fd/0", input, sizeof(input) - 1) < 0)
        snprintf(input, sizeof(input), "closed");
    snprintf(path, sizeof(path), "%s/report", child->config->state_directory);
    file = fopen(path, "w");
    if (!file)
        return false;
    fprintf(file, "capabilities=%x core=%d input=%s\n", capabilities(), (int)core.rlim_max, input);
    return fclose(file) == 0;
}

static bool worker_run(struct child *child)
{
    if (strcmp(child->config->cluster.hostname, "slow.example.org") == 0)
        poll(NULL, 0, SLOW_START_MS);
    if (!write_report(child))
        return false;
    child_run_loop(child);
    return true;
}

static const struct supervisor_role roles[] = {
    { .name = "worker", .is_per_core = true, .run = worker_run },
};

static const struct supervisor_program program = {
    .name = "toy",
    .program = CONFIG_BACKEND,
    .roles = roles,
    .role_count = ARRAY_LENGTH(roles),
    .heartbeat_timeout_ms = HEARTBEAT_MS,
};

static void read_file(const char *name, char text[REPORT_SIZE])
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", daemon_folder, name);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, REPORT_SIZE, file));
    fclose(file);
}

static void test_a_child_has_no_capabilities_and_leaves_no_core(void **unused)
{
    char report[REPORT_SIZE];

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&program);
    read_file("state/report", report);
    assert_non_null(strstr(report, "capabilities=0 core=0 "));
    daemon_stop();
}

static void test_what_a_child_makes_is_for_its_user_alone(void **unused)
{
    mode_t mask = umask(0);
    struct stat status;
    char path[128];

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&program);
    umask(mask);
    snprintf(path, sizeof(path), "%s/state/report", daemon_folder);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 0777, 0600);
    daemon_stop();
}

static void test_a_closed_standard_descriptor_is_nobody_elses(void **unused)
{
    char report[REPORT_SIZE];

    (void)unused;
    daemon_configure(1, "a.example.org", "");
    daemon_start(&program); /* which has no standard input */
    read_file("state/report", report);
    assert_non_null(strstr(report, "input=/dev/null\n"));
    daemon_stop();
}

static void test_a_child_that_starts_slowly_is_left_to_it(void **unused)
{
    (void)unused;
    daemon_configure(1, "slow.example.org", "");
    daemon_start(&program);
    daemon_stop();
}

static void test_the_pid_is_not_written_into_what_is_there(void **unused)
{
    char precious[128], link_path[128], text[REPORT_SIZE];
    FILE *file;

    (void)unused;
    snprintf(precious, sizeof(precious), "%s/precious", daemon_folder);
    snprintf(link_path, sizeof(link_path), "%s/run/toy.pid", daemon_folder);
    file = fopen(precious, "w");
    assert_non_null(file);
    fputs("precious\n", file);
    fclose(file);
    assert_int_equal(link(precious, link_path), 0);
    daemon_configure(1, "a.example.org", "");
    daemon_start(&program);
    read_file("precious", text);
    assert_string_equal(text, "precious\n");
    read_file("run/toy.pid", text);
    assert_int_equal(atoi(text), daemon_pid);
    daemon_stop();
    unlink(precious);
}

static int remove_report(void **state)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/state/report", daemon_folder);
    unlink(path);
    return daemon_end(state);
}

#define REPORT_TEST(function) cmocka_unit_test_teardown(function, remove_report)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REPORT_TEST(test_a_child_has_no_capabilities_and_leaves_no_core),
        REPORT_TEST(test_what_a_child_makes_is_for_its_user_alone),
        REPORT_TEST(test_a_closed_standard_descriptor_is_nobody_elses),
        REPORT_TEST(test_a_child_that_starts_slowly_is_left_to_it),
        REPORT_TEST(test_the_pid_is_not_written_into_what_is_there),
    };

    return cmocka_run_group_tests(tests, daemon_set_up, daemon_tear_down);
}
