/* SPDX-License-Identifier: Apache-2.0 */
/* What earlier runs have left, and that one run at a time has it. */
#include "tests/unit/unit.h"

#include "admin/failover_journal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/folder.h"

static char folder[FOLDER_SIZE], error[REASSIGN_ERROR_SIZE];

static int set_up(void **state)
{
    (void)state;
    folder_make(folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    folder_remove(folder);
    return 0;
}

static struct failover_journal *open_it(const char *backend)
{
    enum failover_journal_trouble trouble;
    struct failover_journal *journal = failover_journal_open(folder, backend, &trouble, error);

    assert_non_null(journal);
    return journal;
}

static void write_fact(struct failover_journal *journal, const char *fact, const char *node)
{
    assert_true(failover_journal_write(
        journal, json_pack("{s:s, s:s}", "event", fact, "node", node), error));
}

/* What a run finds that begins now. */
static void assert_prior(const char *backend, const char *node)
{
    struct failover_journal *journal = open_it(backend);
    const char *prior = failover_journal_prior(journal);

    assert_int_equal(prior != NULL, node != NULL);
    if (node)
        assert_string_equal(prior, node);
    failover_journal_close(journal);
}

static void who_was_told_to_attach_may_have_it_until_it_says_otherwise(void **state)
{
    static const char *const ends[] = { "released", "off" };
    struct failover_journal *journal;

    (void)state;
    assert_prior("sv1", NULL);
    for (size_t i = 0; i < 2; i++) {
        journal = open_it("sv1");
        write_fact(journal, "attaching", "sv2");
        failover_journal_close(journal); /* killed here */
        assert_prior("sv1", "sv2");
        journal = open_it("sv1");
        write_fact(journal, ends[i], "sv3");
        failover_journal_close(journal);
        assert_prior("sv1", "sv2");
        journal = open_it("sv1");
        write_fact(journal, ends[i], "sv2");
        failover_journal_close(journal);
        assert_prior("sv1", NULL);
    }
    assert_prior("sv2", NULL);
}

static void half_a_line_means_nothing_and_spoils_nothing(void **state)
{
    struct failover_journal *journal = open_it("sv1");
    int fd;

    (void)state;
    write_fact(journal, "attaching", "sv2");
    fd = open(failover_journal_path(journal), O_WRONLY | O_APPEND);
    assert_int_equal(write(fd, "{\"event\":\"relea", 15), 15);
    close(fd);
    failover_journal_close(journal);
    assert_prior("sv1", "sv2");
    journal = open_it("sv1");
    write_fact(journal, "released", "sv2");
    failover_journal_close(journal);
    assert_prior("sv1", NULL);
}

static void one_run_at_a_time_has_a_backend(void **state)
{
    struct failover_journal *first = open_it("sv1"), *second = open_it("sv2");
    enum failover_journal_trouble trouble;

    (void)state;
    assert_null(failover_journal_open(folder, "sv1", &trouble, error));
    assert_int_equal(trouble, FAILOVER_JOURNAL_LOCKED);
    assert_non_null(strstr(error, "is under way"));
    assert_true(failover_journal_hold(first, "sv3", error)); /* both may go there */
    assert_true(failover_journal_hold(second, "sv3", error));
    assert_false(failover_journal_hold(first, "sv2", error));
    assert_null(failover_journal_open(folder, "sv3", &trouble, error));
    assert_int_equal(trouble, FAILOVER_JOURNAL_LOCKED);
    failover_journal_close(first);
    failover_journal_close(second);
    assert_prior("sv1", NULL);
    assert_prior("sv3", NULL);
}

static void a_name_is_no_path(void **state)
{
    struct failover_journal *journal = open_it("../a b");

    (void)state;
    assert_non_null(strstr(failover_journal_path(journal), "/failover-%2E.%2Fa%20b.json"));
    failover_journal_close(journal);
}

static void a_folder_that_others_can_write_to_is_refused(void **state)
{
    enum failover_journal_trouble trouble;

    (void)state;
    assert_int_equal(chmod(folder, 0777), 0);
    assert_null(failover_journal_open(folder, "sv1", &trouble, error));
    assert_int_equal(trouble, FAILOVER_JOURNAL_FAILED);
    assert_non_null(strstr(error, "others may write to it"));
}

#define journal_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    static const struct CMUnitTest tests[] = {
        journal_test(who_was_told_to_attach_may_have_it_until_it_says_otherwise),
        journal_test(half_a_line_means_nothing_and_spoils_nothing),
        journal_test(one_run_at_a_time_has_a_backend),
        journal_test(a_name_is_no_path),
        journal_test(a_folder_that_others_can_write_to_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
