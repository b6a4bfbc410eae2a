/* SPDX-License-Identifier: Apache-2.0 */
/* The journal of a reassignment: what it says, where it is kept, and what a full disk does to it.
 */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "directory/reassign/journal.h"
#include "directory/reassign/journal_folder.h"
#include "tests/unit/folder.h"

static char base[FOLDER_SIZE], folder[128];
static struct config config;
static struct reassign_plan plan;
static char error[REASSIGN_ERROR_SIZE];

static char *text(const char *string)
{
    return (char *)(uintptr_t)string;
}

static int set_up(void **state)
{
    (void)state;
    folder_make(base);
    snprintf(folder, sizeof(folder), "%s/journal", base);
    config = (struct config){ .file = text("/etc/mailstead.conf") };
    config.admin.bind_dn = text("cn=admin");
    plan = (struct reassign_plan){
        .kind = REASSIGN_MOVE, .from = "sv1", .to = "sv2", .journal_directory = folder
    };
    error[0] = '\0';
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    folder_remove(base);
    return 0;
}

static struct journal *open_journal(void)
{
    struct journal *journal = journal_open(&config, &plan, "ldap://provider", error);

    if (!journal)
        fail_msg("%s", error);
    return journal;
}

static void refuse_journal(const char *why)
{
    assert_null(journal_open(&config, &plan, "ldap://provider", error));
    if (!strstr(error, why))
        fail_msg("\"%s\" does not say \"%s\"", error, why);
}

/* The file's lines as JSON; fails the test when one is none, or the last is not whole. */
static json_t *read_lines(const char *path)
{
    json_t *lines = json_array();
    char line[8192];
    FILE *file = fopen(path, "r");

    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        json_t *object = json_loads(line, 0, NULL);

        assert_non_null(object);
        assert_non_null(strchr(line, '\n'));
        json_array_append_new(lines, object);
    }
    fclose(file);
    return lines;
}

static const char *line_text(json_t *lines, size_t index)
{
    static char memory[8192];
    char *dumped = json_dumps(json_array_get(lines, index), JSON_COMPACT | JSON_SORT_KEYS);

    assert_non_null(dumped);
    snprintf(memory, sizeof(memory), "%s", dumped);
    free(dumped);
    return memory;
}

static struct plan_item make_item(const char *dn, const char *host, const char *old_host)
{
    return (struct plan_item){ .dn = text(dn), .host = text(host), .old_host = text(old_host) };
}

/* --- what it says ------------------------------------------------------------------------- */

static void each_fact_is_a_line(void **state)
{
    struct plan_item a = make_item("uid=a", "sv1", NULL), b = make_item("uid=b", "SV1", "sv2");
    struct plan_item *items[] = { &a, &b };
    struct reassign_result result = { .end = REASSIGN_INTERRUPTED, .error = "stopped" };
    static const char *const domains[] = { "example.org" };
    struct journal *journal;
    char path[REASSIGN_PATH_SIZE];
    json_t *lines;

    (void)state;
    plan.domains = domains;
    plan.domain_count = 1;
    plan.filter = "(uid=*)";
    plan.limit = 7;
    journal = open_journal();
    strcpy(path, journal_path(journal));
    assert_true(journal_intend(journal, items, 2, error));
    assert_true(journal_settle(journal, JOURNAL_DONE, items, 1, NULL, error));
    assert_true(journal_settle(journal, JOURNAL_NOT_DONE, items + 1, 1, "why \"not\"", error));
    assert_true(journal_settle(journal, JOURNAL_UNKNOWN, items, 2, "", error));
    assert_true(journal_close(journal, &result, error));
    lines = read_lines(path);
    assert_int_equal(json_array_size(lines), 7);
    assert_non_null(strstr(line_text(lines, 0), "\"bind_dn\":\"cn=admin\",\"command\":\"reassign\","
                                                "\"configuration\":\"/etc/mailstead.conf\","
                                                "\"domains\":[\"example.org\"],\"event\":\"run\","
                                                "\"filter\":\"(uid=*)\",\"from\":\"sv1\","
                                                "\"limit\":7,"));
    assert_non_null(strstr(line_text(lines, 0), "\"server\":\"ldap://provider\""));
    assert_string_equal(line_text(lines, 1),
                        "{\"dn\":\"uid=a\",\"entry\":1,\"event\":\"intended\","
                        "\"host\":[\"sv1\",\"sv2\"],\"old_host\":[null,\"sv1\"]}");
    assert_string_equal(line_text(lines, 2),
                        "{\"dn\":\"uid=b\",\"entry\":2,\"event\":\"intended\","
                        "\"host\":[\"SV1\",\"sv2\"],\"old_host\":[\"sv2\",null]}");
    assert_string_equal(line_text(lines, 3), "{\"entries\":[1,1],\"event\":\"done\"}");
    assert_string_equal(line_text(lines, 4),
                        "{\"entries\":[2,2],\"event\":\"not done\",\"why\":\"why \\\"not\\\"\"}");
    assert_string_equal(line_text(lines, 5), "{\"entries\":[1,2],\"event\":\"unknown\"}");
    assert_non_null(strstr(line_text(lines, 6), "\"end\":\"interrupted\",\"error\":\"stopped\""));
    json_decref(lines);
}

static void what_is_no_ascii_is_another_spelling_of_the_same_dn(void **state)
{
    struct plan_item item = make_item("cn=M\xc3\xbcller\xff\n\\, \"x\"", "sv1", NULL);
    struct plan_item *items[] = { &item };
    struct reassign_result result = { .end = REASSIGN_DONE };
    struct journal *journal = open_journal();
    char path[REASSIGN_PATH_SIZE];
    json_t *lines;

    (void)state;
    strcpy(path, journal_path(journal));
    assert_true(journal_intend(journal, items, 1, error));
    assert_true(journal_close(journal, &result, error));
    lines = read_lines(path);
    assert_string_equal(json_string_value(json_object_get(json_array_get(lines, 1), "dn")),
                        "cn=M\\C3\\BCller\\FF\\0A\\, \"x\"");
    json_decref(lines);
}

static void what_was_written_is_there_for_others_at_once(void **state)
{
    struct plan_item item = make_item("uid=a", "sv1", NULL);
    struct plan_item *items[] = { &item };
    struct reassign_result result = { .end = REASSIGN_DONE };
    struct journal *journal = open_journal();
    json_t *lines;

    (void)state;
    assert_true(journal_intend(journal, items, 1, error));
    lines = read_lines(journal_path(journal));
    assert_int_equal(json_array_size(lines), 2);
    json_decref(lines);
    assert_true(journal_settle(journal, JOURNAL_DONE, items, 1, NULL, error));
    lines = read_lines(journal_path(journal));
    assert_int_equal(json_array_size(lines), 3);
    json_decref(lines);
    assert_true(journal_close(journal, &result, error));
}

/* --- where it is kept ----------------------------------------------------------------------- */

static mode_t mode_of(const char *path)
{
    struct stat status;

    assert_int_equal(lstat(path, &status), 0);
    return status.st_mode & 07777;
}

static void each_run_has_a_file_that_only_its_owner_reads(void **state)
{
    struct reassign_result result = { .end = REASSIGN_DONE };
    struct journal *first, *second;

    (void)state;
    umask(0);
    first = open_journal();
    second = open_journal();
    assert_true(journal_is_alone(first));
    assert_false(journal_is_alone(second));
    assert_string_not_equal(journal_path(first), journal_path(second));
    assert_int_equal(mode_of(folder), 0700);
    assert_int_equal(mode_of(journal_path(first)), 0600);
    assert_int_equal(mode_of(journal_path(second)), 0600);
    assert_true(journal_close(first, &result, error));
    assert_true(journal_close(second, &result, error));
}

static void a_symbolic_link_is_not_followed(void **state)
{
    char target[128];

    (void)state;
    snprintf(target, sizeof(target), "%s/elsewhere", base);
    assert_int_equal(mkdir(target, 0700), 0);
    assert_int_equal(symlink(target, folder), 0);
    refuse_journal("Not a directory");
    assert_string_equal(journal_folder_trouble(folder), "Not a directory");
    strcat(folder, "//");
    refuse_journal("--journal");
    assert_int_equal(rmdir(target), 0); /* nothing was put there */
}

static void a_folder_that_others_can_write_to_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(chmod(folder, 0777), 0);
    refuse_journal("others may write to it");
    assert_int_equal(chmod(folder, 0770), 0);
    refuse_journal("others may write to it");
    assert_string_equal(journal_folder_trouble(folder), "others may write to it");
    assert_int_equal(chmod(folder, 0700), 0);
    assert_null(journal_folder_trouble(folder));
}

static void a_folder_of_somebody_else_is_refused(void **state)
{
    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(mkdir(folder, 0700), 0);
    assert_int_equal(chown(folder, 65534, 65534), 0);
    refuse_journal("it belongs to somebody else");
}

static void only_the_last_folder_is_made(void **state)
{
    (void)state;
    strcat(folder, "/below/that");
    assert_null(journal_folder_trouble(folder));
    refuse_journal("No such file or directory");
    assert_null(strchr(error, '\n'));
}

static void a_file_in_its_place_is_refused(void **state)
{
    int fd = open(folder, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    refuse_journal("Not a directory");
}

/* --- a full disk ------------------------------------------------------------------------------ */

static void limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* No line fits behind those that are in the file. */
static void fill_disk_behind(const char *path)
{
    struct stat status;

    assert_int_equal(stat(path, &status), 0);
    signal(SIGXFSZ, SIG_IGN);
    limit_files((rlim_t)status.st_size + 50);
}

static void what_does_not_fit_is_refused_and_leaves_whole_lines(void **state)
{
    struct plan_item item = make_item("uid=somebody,ou=people,dc=example,dc=org", "sv1", NULL);
    struct plan_item *items[] = { &item };
    struct reassign_result result = { .end = REASSIGN_INTERRUPTED };
    struct journal *journal = open_journal();
    char path[REASSIGN_PATH_SIZE];
    json_t *lines;

    (void)state;
    strcpy(path, journal_path(journal));
    fill_disk_behind(path);
    assert_false(journal_intend(journal, items, 1, error));
    assert_non_null(strstr(error, path));
    assert_non_null(strstr(error, "cannot be written"));
    assert_false(journal_close(journal, &result, error));
    limit_files(RLIM_INFINITY);
    lines = read_lines(path);
    assert_int_equal(json_array_size(lines), 1);
    json_decref(lines);
}

/* A line of a batch that did not fit may have had room before the others. */
static void what_is_written_once_there_is_room_again_stands_behind_whole_lines(void **state)
{
    struct plan_item a = make_item("uid=a", "sv1", NULL), b = make_item("uid=b", "sv1", NULL);
    struct plan_item *items[] = { &a, &b };
    struct reassign_result result = { .end = REASSIGN_INTERRUPTED };
    struct journal *journal = open_journal();
    char path[REASSIGN_PATH_SIZE];
    json_t *lines;

    (void)state;
    strcpy(path, journal_path(journal));
    assert_true(journal_intend(journal, items, 1, error));
    fill_disk_behind(path);
    assert_false(journal_intend(journal, items + 1, 1, error));
    limit_files(RLIM_INFINITY);
    assert_true(journal_settle(journal, JOURNAL_DONE, items, 1, NULL, error));
    assert_true(journal_close(journal, &result, error));
    lines = read_lines(path);
    assert_int_equal(json_array_size(lines), 4);
    assert_string_equal(line_text(lines, 2), "{\"entries\":[1,1],\"event\":\"done\"}");
    json_decref(lines);
}

#define journal_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        journal_test(each_fact_is_a_line),
        journal_test(what_is_no_ascii_is_another_spelling_of_the_same_dn),
        journal_test(what_was_written_is_there_for_others_at_once),
        journal_test(each_run_has_a_file_that_only_its_owner_reads),
        journal_test(a_symbolic_link_is_not_followed),
        journal_test(a_folder_that_others_can_write_to_is_refused),
        journal_test(a_folder_of_somebody_else_is_refused),
        journal_test(only_the_last_folder_is_made),
        journal_test(a_file_in_its_place_is_refused),
        journal_test(what_does_not_fit_is_refused_and_leaves_whole_lines),
        journal_test(what_is_written_once_there_is_room_again_stands_behind_whole_lines),
    };

    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}
