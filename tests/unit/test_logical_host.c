/* SPDX-License-Identifier: Apache-2.0 */
/* Which logical host a process is of, and what follows from its name. */
#include "tests/unit/config_support.h"

#include <stdlib.h>

#include "common/base/memory.h"
#include "common/service/logical_host.h"

static char error[LOGICAL_HOST_ERROR_SIZE];

static int forget_host(void **unused)
{
    (void)unused;
    unsetenv("MAILSTEAD_LOGICAL_HOST");
    return logical_host_choose(NULL, error) ? 0 : -1;
}

static void test_without_a_name_everything_is_where_it_always_was(void **unused)
{
    (void)unused;
    assert_true(logical_host_choose(NULL, error));
    assert_null(logical_host_name());
    assert_string_equal(logical_host_config_file(), MAILSTEAD_CONFIG_FILE);
}

static void test_an_empty_name_counts_as_none(void **unused)
{
    (void)unused;
    setenv("MAILSTEAD_LOGICAL_HOST", "", 1);
    assert_true(logical_host_choose(NULL, error));
    assert_null(logical_host_name());
    setenv("MAILSTEAD_LOGICAL_HOST", "sv1", 1);
    assert_true(logical_host_choose("", error));
    assert_string_equal(logical_host_name(), "sv1");
}

static void test_the_option_wins_over_the_environment(void **unused)
{
    (void)unused;
    setenv("MAILSTEAD_LOGICAL_HOST", "sv1", 1);
    assert_true(logical_host_choose("sv2", error));
    assert_string_equal(logical_host_name(), "sv2");
    assert_true(logical_host_choose(NULL, error));
    assert_string_equal(logical_host_name(), "sv1");
    setenv("MAILSTEAD_LOGICAL_HOST", "../sv1", 1);
    assert_true(logical_host_choose("sv2", error));
}

static void test_what_could_leave_its_folder_is_no_name(void **unused)
{
    static const char *const wrong[] = {
        "..", ".",   "a.b",  "../etc",   "a/b",  "/",    "-a",
        "_a", "a b", "a\nb", "\xc3\xa4", "a\\b", "a%sb", "abcdefghijklmnopqrstuvwxyz1234567"
    };

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        assert_false(logical_host_choose(wrong[i], error));
        assert_non_null(strstr(error, "--logical-host: "));
        assert_null(logical_host_name());
    }
    setenv("MAILSTEAD_LOGICAL_HOST", "a/b", 1);
    assert_false(logical_host_choose(NULL, error));
    assert_non_null(strstr(error, "MAILSTEAD_LOGICAL_HOST: \"a/b\""));
    assert_true(logical_host_choose("Sv-1_b", error));
}

static void test_a_name_leads_to_a_configuration_and_directories_of_its_own(void **unused)
{
    struct config *config;
    char title[64], expected[sizeof(MAILSTEAD_CONFIG_FILE) + 8];

    (void)unused;
    assert_true(logical_host_choose("fe1", error));
    snprintf(expected, sizeof(expected), "%.*s/fe1/mailstead.conf",
             (int)(strrchr(MAILSTEAD_CONFIG_FILE, '/') - MAILSTEAD_CONFIG_FILE),
             MAILSTEAD_CONFIG_FILE);
    assert_string_equal(logical_host_config_file(), expected);
    logical_host_title("mailstead-frontend", title, sizeof(title));
    assert_string_equal(title, "mailstead-frontend@fe1");
    config = config_load_text(GOOD, CONFIG_FRONTEND, false);
    assert_string_equal(config->run_directory, "/run/mailstead/fe1");
    assert_string_equal(config->state_directory, "/var/lib/mailstead/fe1");
    assert_string_equal(config->queue.directory, "/var/spool/mailstead/fe1");
    assert_string_equal(config->admin.journal_directory, "/var/lib/mailstead/fe1/journal");
    config_free(config);
}

static void test_the_file_still_wins(void **unused)
{
    struct config *config;

    (void)unused;
    assert_true(logical_host_choose("fe1", error));
    config =
        config_load_text(GOOD "queue { directory = \"/srv/fe1/queue\" }\n", CONFIG_FRONTEND, false);
    assert_string_equal(config->queue.directory, "/srv/fe1/queue");
    assert_string_equal(config->run_directory, "/run/mailstead/fe1");
    config_free(config);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, forget_host, forget_host)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_without_a_name_everything_is_where_it_always_was),
        TEST(test_an_empty_name_counts_as_none),
        TEST(test_the_option_wins_over_the_environment),
        TEST(test_what_could_leave_its_folder_is_no_name),
        TEST(test_a_name_leads_to_a_configuration_and_directories_of_its_own),
        TEST(test_the_file_still_wins),
    };

    return cmocka_run_group_tests(tests, config_folder_make, config_folder_remove);
}
