/* SPDX-License-Identifier: Apache-2.0 */
/* The marker and the claim of a storage: who gets it, who does not, and what he is told. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backend/storage_claim.h"
#include "common/base/memory.h"
#include "tests/unit/folder.h"

static char folder[FOLDER_SIZE];
static struct storage_config config;
static char why[STORAGE_WHY_SIZE];

static int set_up(void **unused)
{
    (void)unused;
    folder_make(folder);
    config = (struct storage_config){ .kind = STORAGE_SHARED,
                                      .directory = folder,
                                      .require_mount = STORAGE_MOUNT_OFF };
    why[0] = '\0';
    return 0;
}

static int tear_down(void **unused)
{
    (void)unused;
    folder_remove(folder);
    return 0;
}

static struct storage_place place_of(const char *server, const char *node)
{
    return (struct storage_place){ &config, server, node };
}

static void path_of(const char *server, const char *name, char path[256])
{
    snprintf(path, 256, "%s/%s/%s", folder, server, name);
}

static void write_file(const char *server, const char *name, const char *text)
{
    char path[256];
    FILE *file;

    path_of(server, name, path);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static bool take(const char *server, const char *node, bool fenced, struct claim *claim)
{
    struct storage_place place = place_of(server, node);

    return claim_take(&place, fenced, claim, why);
}

static void mark(const char *server)
{
    struct storage_place place = place_of(server, "sv1");

    assert_true(storage_mark(&place, why));
}

/* As when its holder's machine loses its power: the lock goes, the claim stays. */
static void lose_power(const struct claim *claim)
{
    close(claim->lock_fd);
}

/* --- the marker ---------------------------------------------------------------------------- */

static void test_without_a_marker_it_is_refused(void **unused)
{
    struct claim claim;
    char path[256];

    (void)unused;
    assert_false(take("sv1", "sv1", false, &claim));
    path_of("sv1", "", path);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_false(take("sv1", "sv1", true, &claim));
    assert_non_null(strstr(why, "mailstead storage init sv1"));
}

static void test_the_marker_is_made_once(void **unused)
{
    struct storage_place place = place_of("sv1", "sv2");
    struct claim claim;

    (void)unused;
    mark("sv1");
    assert_true(storage_mark(&place, why));
    assert_true(take("sv1", "sv1", false, &claim));
    lose_power(&claim);
}

static void test_the_marker_of_another_server_is_refused(void **unused)
{
    struct storage_place place = place_of("sv1", "sv1");
    struct claim claim;

    (void)unused;
    mark("sv1");
    write_file("sv1", ".mailstead-server", "mailstead storage 1\nserver sv3\n");
    assert_false(take("sv1", "sv1", true, &claim));
    assert_string_equal(why, "this is the storage of server \"sv3\", not of \"sv1\"");
    assert_false(storage_mark(&place, why));
    assert_string_equal(why, "this is the storage of server \"sv3\", not of \"sv1\"");
}

static void test_a_marker_that_makes_no_sense_is_refused(void **unused)
{
    static const char *const wrong[] = { "",
                                         "sv1",
                                         "mailstead storage 2\nserver sv1\n",
                                         "mailstead storage 1\nserver sv1",
                                         "mailstead storage 1\nserver sv1\n\n",
                                         "mailstead storage 1\nserver sv11\n" };
    struct claim claim;

    (void)unused;
    mark("sv1");
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++) {
        write_file("sv1", ".mailstead-server", wrong[i]);
        assert_false(take("sv1", "sv1", true, &claim));
    }
}

/* The folders belong to the users of a mail store. */
static void test_no_link_is_followed(void **unused)
{
    char path[256], target[256];
    struct claim claim;

    (void)unused;
    mark("sv1");
    mark("sv2");
    path_of("sv1", ".mailstead-claim", path);
    path_of("sv2", "precious", target);
    write_file("sv2", "precious", "precious");
    assert_int_equal(symlink(target, path), 0);
    assert_false(take("sv1", "sv1", true, &claim));
    unlink(path);
    assert_int_equal(link(target, path), 0);
    assert_false(take("sv1", "sv1", true, &claim));
    unlink(path);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_false(take("sv1", "sv1", true, &claim));
    unlink(path);
    assert_true(take("sv1", "sv1", false, &claim));
    lose_power(&claim);
}

static void test_what_is_not_mounted_is_refused(void **unused)
{
    struct claim claim;

    (void)unused;
    mark("sv1");
    config.require_mount = STORAGE_MOUNT_SERVER;
    assert_false(take("sv1", "sv1", true, &claim));
    assert_non_null(strstr(why, "/sv1 is not mounted"));
    config.require_mount = STORAGE_MOUNT_DIRECTORY;
    assert_false(take("sv1", "sv1", true, &claim));
    assert_non_null(strstr(why, "is not mounted"));
}

/* --- the claim ------------------------------------------------------------------------------- */

static void test_a_storage_is_not_had_twice(void **unused)
{
    struct claim first, second;

    (void)unused;
    mark("sv1");
    assert_true(take("sv1", "sv1", false, &first));
    assert_false(take("sv1", "sv2", false, &second));
    assert_non_null(strstr(why, "it is locked by node \"sv1\" (process "));
    assert_non_null(strstr(why, "last seen 20"));
    lose_power(&first);
}

/* Nobody's word takes it from a process that lives on this machine: it can be ended. */
static void test_a_word_does_not_take_it_from_a_process_of_this_machine(void **unused)
{
    struct claim first, second;

    (void)unused;
    mark("sv1");
    assert_true(take("sv1", "sv1", false, &first));
    assert_false(take("sv1", "sv2", true, &second));
    assert_true(claim_check(&(struct storage_place){ &config, "sv1", "sv1" }, &first, why));
    lose_power(&first);
}

static void test_a_claim_outlives_its_holder(void **unused)
{
    struct claim claim;

    (void)unused;
    mark("sv1");
    assert_true(take("sv1", "sv1", false, &claim));
    lose_power(&claim);
    assert_false(take("sv1", "sv2", false, &claim));
    assert_non_null(strstr(why, "node \"sv1\" "));
    assert_non_null(strstr(why, "has not released it"));
    assert_true(take("sv1", "sv1", false, &claim)); /* its own: again without a word */
    lose_power(&claim);
    assert_true(take("sv1", "sv2", true, &claim));
    lose_power(&claim);
    assert_false(take("sv1", "sv1", false, &claim)); /* and now it is the other's */
}

static void test_what_was_released_is_anybodys(void **unused)
{
    struct storage_place place = place_of("sv1", "sv1");
    struct claim claim;

    (void)unused;
    mark("sv1");
    assert_true(take("sv1", "sv1", false, &claim));
    assert_true(claim_release(&place, &claim, why));
    lose_power(&claim);
    assert_true(take("sv1", "sv2", false, &claim));
    lose_power(&claim);
}

static void test_what_an_earlier_process_left_is_given_up(void **unused)
{
    struct storage_place own = place_of("sv1", "sv1"), other = place_of("sv1", "sv2");
    struct claim claim;

    (void)unused;
    mark("sv1");
    assert_true(take("sv1", "sv1", false, &claim));
    lose_power(&claim);
    assert_true(claim_disclaim(&other, why)); /* not its own: it stays */
    assert_false(take("sv1", "sv2", false, &claim));
    assert_true(claim_disclaim(&own, why));
    assert_true(take("sv1", "sv2", false, &claim));
    lose_power(&claim);
}

static void test_a_claim_that_makes_no_sense_needs_a_word(void **unused)
{
    struct claim claim;

    (void)unused;
    mark("sv1");
    write_file("sv1", ".mailstead-claim", "mailstead claim 2\nnode sv9\n");
    assert_false(take("sv1", "sv1", false, &claim));
    assert_non_null(strstr(why, "--fenced"));
    assert_true(take("sv1", "sv1", true, &claim));
    lose_power(&claim);
}

static void test_a_claim_of_no_time_that_there_is_tells_its_second(void **unused)
{
    struct claim claim;

    (void)unused;
    mark("sv1");
    write_file("sv1", ".mailstead-claim",
               "mailstead claim 1\nnode sv9\npid 1\nboot x\nsince 9223372036854775807\n"
               "seen 253402300800\nstate held\n");
    assert_false(take("sv1", "sv1", false, &claim));
    assert_non_null(strstr(why, "since second 9223372036854775807"));
    assert_non_null(strstr(why, "last seen 10000-01-01T00:00:00Z"));
}

/* An NFS server keeps the lock of a client that lost its power; here, one of another boot. */
static void test_a_lock_that_outlives_its_machine_is_left_behind(void **unused)
{
    struct storage_place place = place_of("sv1", "sv1");
    struct claim first, second;
    char path[256];
    int fd;

    (void)unused;
    mark("sv1");
    assert_true(take("sv1", "sv1", false, &first));
    path_of("sv1", ".mailstead-claim", path);
    fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd,
                            "mailstead claim 1\nnode sv1\npid 7\nboot other\nsince 1\nseen 2\n"
                            "state held\n\n\n\n\n\n",
                            75, 0),
                     75);
    close(fd);
    assert_false(take("sv1", "sv2", false, &second));
    assert_non_null(strstr(why, "it is locked by node \"sv1\" (process 7, boot other)"));
    assert_true(take("sv1", "sv2", true, &second));
    assert_false(claim_check(&place, &first, why)); /* should it live: it finds out */
    assert_non_null(strstr(why, "the claim is another now, of node \"sv2\""));
    lose_power(&first);
    lose_power(&second);
}

/* --- while it is held --------------------------------------------------------------------------
 */

static void test_a_look_finds_what_has_gone_wrong(void **unused)
{
    struct storage_place place = place_of("sv1", "sv1");
    char path[256], away[256];
    struct claim claim;

    (void)unused;
    mark("sv1");
    assert_true(take("sv1", "sv1", false, &claim));
    assert_true(claim_check(&place, &claim, why));
    path_of("sv1", "", path);
    path[strlen(path) - 1] = '\0';
    snprintf(away, sizeof(away), "%s-away", path);
    assert_int_equal(rename(path, away), 0); /* as if it was unmounted */
    assert_false(claim_check(&place, &claim, why));
    assert_int_equal(mkdir(path, 0755), 0);
    assert_false(claim_check(&place, &claim, why));
    assert_non_null(strstr(why, "there is no marker"));
    mark("sv1"); /* another file system, with the right marker */
    assert_false(claim_check(&place, &claim, why));
    lose_power(&claim);
}

static void test_names_that_are_no_folders_are_refused(void **unused)
{
    static const char *const wrong[] = { "", ".", "..", ".x", "a/b", "a b", "\xc3\xa4", "a\n" };

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(wrong); i++)
        assert_false(storage_server_is_good(wrong[i]));
    assert_true(storage_server_is_good("sv1.example.org_2-3"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_without_a_marker_it_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_marker_is_made_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_marker_of_another_server_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_marker_that_makes_no_sense_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_no_link_is_followed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_mounted_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_storage_is_not_had_twice, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_word_does_not_take_it_from_a_process_of_this_machine,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_claim_outlives_its_holder, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_was_released_is_anybodys, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_an_earlier_process_left_is_given_up, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_claim_that_makes_no_sense_needs_a_word, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_claim_of_no_time_that_there_is_tells_its_second,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_lock_that_outlives_its_machine_is_left_behind,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_look_finds_what_has_gone_wrong, set_up, tear_down),
        cmocka_unit_test(test_names_that_are_no_folders_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
