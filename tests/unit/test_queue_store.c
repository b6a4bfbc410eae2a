/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "common/base/log.h"
#include "frontend/queue/store.h"
#include "tests/unit/fault.h"
#include "tests/unit/folder.h"

static char folder[FOLDER_SIZE];

static int setup(void **unused)
{
    (void)unused;
    folder_make(folder);
    return 0;
}

static int teardown(void **unused)
{
    (void)unused;
    fault_disarm();
    folder_remove(folder);
    return 0;
}

static struct store *open_store(void)
{
    char error[STORE_ERROR_SIZE] = "";
    struct store *store = store_open(folder, &fault_system, error);

    if (!store)
        fail_msg("store_open: %s", error);
    return store;
}

static void write_file(const char *name, const char *text)
{
    char path[400];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static bool file_exists(const char *name)
{
    char path[400];

    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return access(path, F_OK) == 0;
}

/* A message whose body is its session id, with `count` recipients "0@x", "1@x"... at `destination`.
 */
static bool add(struct store *store, const char *session, const char *body_file, unsigned count,
                const char *destination, uint64_t *id)
{
    char addresses[8][16];
    struct store_recipient recipients[8];
    struct store_message message = { .session_id = span_from_string(session),
                                     .reverse_path = SPAN_LITERAL("from@example.org"),
                                     .size = strlen(session),
                                     .arrival_ms = 1000,
                                     .body = span_from_string(body_file ? NULL : session),
                                     .body_file = body_file };

    for (unsigned i = 0; i < count; i++) {
        snprintf(addresses[i], sizeof(addresses[i]), "%u@x", i);
        recipients[i] = (struct store_recipient){ .address = span_from_string(addresses[i]),
                                                  .destination = destination,
                                                  .next_attempt_ms = 1000 };
    }
    return store_add(store, &message, recipients, count, true, id);
}

static struct store_due due_of(const char *destination, int64_t now_ms)
{
    return (struct store_due){ .destination = destination,
                               .now_ms = now_ms,
                               .message_before = UINT64_MAX,
                               .jobs_max = 100,
                               .rows_max = 50,
                               .bytes_max = 1 << 20 };
}

static size_t free_jobs(struct list *jobs)
{
    size_t count = 0;

    LIST_EACH (item, jobs) {
        list_remove(item);
        store_job_free(LIST_ELEMENT(item, struct store_job, node));
        count++;
    }
    return count;
}

static struct store_job *first_job(struct list *jobs)
{
    assert_false(list_is_empty(jobs));
    return LIST_ELEMENT(jobs->next, struct store_job, node);
}

static void begin(struct store *store)
{
    assert_true(store_begin(store));
}

static void test_a_committed_message_is_there_after_reopening(void **unused)
{
    struct store *store = open_store();
    struct store_due due = due_of("sv1", 1000);
    struct store_job *job;
    struct list jobs;
    int64_t next;
    uint64_t id;

    (void)unused;
    list_init(&jobs);
    begin(store);
    assert_true(add(store, "hello", NULL, 3, "sv1", &id));
    assert_true(store_commit(store));
    store_close(store);

    store = open_store();
    assert_int_equal(store_counts(store).messages, 1);
    assert_int_equal(store_counts(store).recipients, 3);
    begin(store);
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_true(store_commit(store));
    job = first_job(&jobs);
    assert_true(job->message == id);
    assert_int_equal(job->row_count, 3);
    assert_true(job->rows[2].row == STORE_ROW(id, 2));
    assert_span(job->rows[2].address, "2@x");
    assert_span(job->content.body, "hello");
    assert_span(job->content.session_id, "hello");
    assert_span(job->content.reverse_path, "from@example.org");
    assert_null(job->content.body_file);
    assert_true(next == INT64_MAX);
    assert_int_equal(free_jobs(&jobs), 1);
    store_close(store);
}

static void test_fetch_gives_what_is_due_and_says_when_more_is(void **unused)
{
    struct store *store = open_store();
    struct store_due due = due_of("sv1", 5000);
    uint64_t a, b, c, d;
    struct list jobs;
    int64_t next;

    (void)unused;
    list_init(&jobs);
    begin(store);
    assert_true(add(store, "a", NULL, 2, "sv1", &a) && add(store, "b", NULL, 1, "sv1", &b) &&
                add(store, "c", NULL, 1, "sv2", &c) && add(store, "d", NULL, 1, NULL, &d));
    assert_true(store_defer(store, STORE_ROW(a, 0), 9000, 0, SPAN_LITERAL("451 later")));
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_int_equal(first_job(&jobs)->row_count, 1);
    assert_true(first_job(&jobs)->rows[0].row == STORE_ROW(a, 1));
    assert_int_equal(free_jobs(&jobs), 2);
    assert_int_equal(next, 9000);

    due.skip_rows = (const uint64_t[]){ STORE_ROW(a, 1) };
    due.skip_count = 1;
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_true(first_job(&jobs)->message == b);
    assert_int_equal(free_jobs(&jobs), 1);

    due.skip_count = 0;
    due.jobs_max = 1;
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_int_equal(free_jobs(&jobs), 1);
    assert_int_equal(next, 5000);

    due = due_of(NULL, 5000);
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_true(first_job(&jobs)->message == d);
    assert_int_equal(free_jobs(&jobs), 1);

    due = due_of("sv1", 5000);
    due.message_before = b;
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_true(first_job(&jobs)->message == a);
    assert_int_equal(free_jobs(&jobs), 1);
    assert_true(store_commit(store));
    store_close(store);
}

static void test_a_message_goes_with_its_last_recipient(void **unused)
{
    struct store *store = open_store();
    struct store_job *job;
    uint64_t id;

    (void)unused;
    write_file("incoming/big", "big");
    begin(store);
    assert_true(add(store, "big", "big", 2, "sv1", &id));
    assert_true(store_commit(store));
    assert_true(file_exists("bodies/big"));
    assert_false(file_exists("incoming/big"));

    begin(store);
    assert_true(store_remove_recipient(store, STORE_ROW(id, 0)));
    assert_true(store_remove_recipient(store, STORE_ROW(id, 0)));
    assert_true(store_remove_finished(store, id));
    assert_true(store_read_message(store, id, 100, &job));
    assert_non_null(job);
    assert_string_equal(job->content.body_file, "big");
    store_job_free(job);
    assert_true(store_commit(store));

    begin(store);
    assert_true(store_remove_recipient(store, STORE_ROW(id, 1)));
    assert_true(store_remove_finished(store, id));
    assert_true(file_exists("bodies/big")); /* not before the commit */
    assert_true(store_commit(store));
    assert_false(file_exists("bodies/big"));
    assert_int_equal(store_counts(store).messages, 0);
    assert_int_equal(store_counts(store).recipients, 0);
    store_close(store);
}

static void test_a_move_respects_not_before(void **unused)
{
    struct store *store = open_store();
    struct store_due due = due_of("sv2", 3000);
    struct list jobs;
    int64_t next;
    uint64_t id;

    (void)unused;
    list_init(&jobs);
    begin(store);
    assert_true(add(store, "a", NULL, 2, "sv1", &id));
    assert_true(store_defer(store, STORE_ROW(id, 0), 8000, 8000, SPAN_EMPTY));
    assert_true(store_defer(store, STORE_ROW(id, 1), 8000, 0, SPAN_EMPTY));
    assert_true(store_move(store, STORE_ROW(id, 0), "sv2", 3000));
    assert_true(store_move(store, STORE_ROW(id, 1), "sv2", 3000));
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_int_equal(first_job(&jobs)->row_count, 1);
    assert_true(first_job(&jobs)->rows[0].row == STORE_ROW(id, 1));
    assert_int_equal(next, 8000);
    free_jobs(&jobs);
    assert_true(store_commit(store));
    store_close(store);
}

static void flush_all(struct store *store, const struct store_flush *flush, size_t expected)
{
    uint64_t cursor = 0;
    size_t changed, sum = 0;

    while (cursor != UINT64_MAX) {
        assert_true(store_flush(store, flush, 2, &cursor, &changed));
        sum += changed;
    }
    assert_int_equal(sum, expected);
}

static void test_flush_makes_the_chosen_due(void **unused)
{
    struct store *store = open_store();
    uint64_t a, b;

    (void)unused;
    begin(store);
    assert_true(add(store, "a", NULL, 5, "sv1", &a) && add(store, "b", NULL, 1, "sv2", &b));
    flush_all(store, &(struct store_flush){ .message = b, .now_ms = 100 }, 1);
    flush_all(store,
              &(struct store_flush){ .by_destination = true, .destination = "sv2", .now_ms = 90 },
              1);
    flush_all(store, &(struct store_flush){ .message = b + 7, .now_ms = 1 }, 0);
    flush_all(store, &(struct store_flush){ .now_ms = 80 }, 6);
    flush_all(store, &(struct store_flush){ .now_ms = 80 }, 0);
    assert_true(store_commit(store));
    store_close(store);
}

static void count_view(void *context, const struct store_view *view)
{
    size_t *counts = context;

    assert_span(view->recipient.address, counts[0] == 0 ? "0@x" : "1@x");
    assert_true(view->recipient.destination == NULL || !*view->recipient.destination);
    counts[0]++;
    counts[1] += view->attempts;
}

static void test_scan_shows_recipients_in_order(void **unused)
{
    struct store *store = open_store();
    size_t counts[2] = { 0, 0 };
    uint64_t id;

    (void)unused;
    begin(store);
    assert_true(add(store, "a", NULL, 2, "", &id));
    assert_true(store_defer(store, STORE_ROW(id, 1), 1, 0, SPAN_EMPTY));
    assert_true(store_move(store, STORE_ROW(id, 0), NULL, 1));
    assert_true(store_scan(store, 0, UINT64_MAX, 100, true, count_view, counts));
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 1);
    assert_true(store_set_state(store, STORE_ROW(id, 1), STORE_HELD, SPAN_LITERAL("why")));
    counts[0] = 0;
    assert_true(store_scan(store, 0, UINT64_MAX, 100, true, count_view, counts));
    assert_int_equal(counts[0], 1);
    assert_true(store_commit(store));
    assert_int_equal(store_counts(store).held, 1);
    store_close(store);
}

static void test_a_body_that_is_gone_is_set_aside(void **unused)
{
    struct store *store = open_store();
    struct store_due due = due_of("sv1", 5000);
    uint64_t lost, good;
    struct list jobs;
    char path[96];
    int64_t next;

    (void)unused;
    list_init(&jobs);
    write_file("incoming/lost", "lost");
    begin(store);
    assert_true(add(store, "lost", "lost", 2, "sv1", &lost));
    assert_true(add(store, "good", NULL, 1, "sv1", &good));
    assert_true(store_commit(store));
    snprintf(path, sizeof(path), "%s/bodies/lost", folder);
    assert_int_equal(truncate(path, 2), 0);

    begin(store);
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_true(store_commit(store));
    assert_true(first_job(&jobs)->message == good);
    assert_int_equal(free_jobs(&jobs), 1);
    assert_int_equal(store_counts(store).set_aside, 2);
    assert_int_equal(store_counts(store).messages, 2);
    assert_true(file_exists("bodies/lost"));
    store_close(store);
}

static void test_names_that_leave_the_folder_are_refused(void **unused)
{
    struct store *store = open_store();
    uint64_t id;

    (void)unused;
    write_file("secret", "x");
    begin(store);
    assert_false(add(store, "x", "../secret", 1, "sv1", &id));
    store_abort(store);
    assert_true(file_exists("secret"));
    store_close(store);
}

static void test_cleaning_keeps_what_is_used(void **unused)
{
    struct store *store = open_store();
    uint64_t id;

    (void)unused;
    write_file("incoming/used", "used");
    begin(store);
    assert_true(add(store, "used", "used", 1, "sv1", &id));
    assert_true(store_commit(store));
    write_file("bodies/orphan", "x");
    write_file("incoming/young", "x");
    assert_true(store_clean_files(store, 0));
    assert_true(file_exists("bodies/used"));
    assert_true(file_exists("incoming/young"));
    assert_false(file_exists("bodies/orphan"));
    assert_true(store_clean_files(store, INT64_MAX));
    assert_false(file_exists("incoming/young"));
    store_close(store);
}

static void set_version(int version)
{
    char path[96], sql[64];
    sqlite3 *db;

    snprintf(path, sizeof(path), "%s/queue.db", folder);
    snprintf(sql, sizeof(sql), "PRAGMA user_version = %d", version);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
}

static void test_a_newer_database_is_refused_and_not_damaged(void **unused)
{
    struct store *store = open_store();
    char error[STORE_ERROR_SIZE];
    uint64_t id;

    (void)unused;
    begin(store);
    assert_true(add(store, "a", NULL, 1, "sv1", &id));
    assert_true(store_commit(store));
    store_close(store);
    set_version(STORE_SCHEMA_VERSION + 1);
    assert_null(store_open(folder, &fault_system, error));
    assert_non_null(strstr(error, "newer"));
    set_version(STORE_SCHEMA_VERSION);
    store = open_store();
    assert_int_equal(store_counts(store).messages, 1);
    store_close(store);
}

static void test_two_processes_cannot_use_one_queue(void **unused)
{
    struct store *store = open_store();
    char error[STORE_ERROR_SIZE];

    (void)unused;
    assert_null(store_open(folder, &fault_system, error));
    assert_non_null(strstr(error, "another queue process"));
    store_close(store);
}

static void test_what_cannot_be_read_is_set_aside_whole(void **unused)
{
    struct store *store = open_store();
    DIR *entries;
    unsigned kept = 0;
    uint64_t id;

    (void)unused;
    write_file("incoming/body", "body");
    begin(store);
    assert_true(add(store, "body", "body", 1, "sv1", &id));
    assert_true(store_commit(store));
    store_close(store);
    write_file("queue.db",
               "this is no database, and long enough to be taken for a header of one....."
               "........................................................");
    store = open_store();
    assert_int_equal(store_counts(store).messages, 0);
    begin(store);
    assert_true(add(store, "new", NULL, 1, "sv1", &id));
    assert_true(store_commit(store));
    store_close(store);
    entries = opendir(folder);
    for (struct dirent *entry; (entry = readdir(entries));)
        if (strncmp(entry->d_name, "set-aside-", 10) == 0) {
            char name[300];

            snprintf(name, sizeof(name), "%s/bodies/body", entry->d_name);
            kept += file_exists(name);
            snprintf(name, sizeof(name), "%s/queue.db", entry->d_name);
            kept += file_exists(name);
        }
    closedir(entries);
    assert_int_equal(kept, 2);
}

/* --- faults --------------------------------------------------------------------- */

enum { ROUNDS = 6, PER_ROUND = 3 };

/* What the clients of a run know: the fate of message "mROUND-NUMBER". */
enum known { NEVER_TRIED, REFUSED, ACKNOWLEDGED, FINISHED, FINISH_UNSURE };

struct run {
    enum known known[ROUNDS][PER_ROUND];
    uint64_t ids[ROUNDS][PER_ROUND];
    int report; /* where a child says what it knows, or -1 */
};

static void set_known(struct run *run, int round, int number, enum known known)
{
    unsigned char line[3] = { (unsigned char)round, (unsigned char)number, (unsigned char)known };

    run->known[round][number] = known;
    if (run->report >= 0)
        assert_int_equal(write(run->report, line, sizeof(line)), sizeof(line));
}

static void message_name(int round, int number, char name[32])
{
    snprintf(name, 32, "m%d-%d", round, number);
}

/* Adds the round's messages (the last one as a file) and finishes the first of the round before. */
static bool run_batch(struct run *run, struct store *store, int round)
{
    char name[32], path[64];

    for (int i = 0; i < PER_ROUND; i++) {
        message_name(round, i, name);
        if (i == PER_ROUND - 1) {
            snprintf(path, sizeof(path), "incoming/%s", name);
            write_file(path, name);
        }
        if (!add(store, name, i == PER_ROUND - 1 ? name : NULL, 2, "sv1", &run->ids[round][i]))
            return false;
    }
    if (round == 0)
        return true;
    for (int i = 0; i < PER_ROUND; i += PER_ROUND - 1) {
        uint64_t id = run->ids[round - 1][i];

        if (run->known[round - 1][i] != ACKNOWLEDGED)
            continue;
        if (!store_remove_recipient(store, STORE_ROW(id, 0)) ||
            !store_remove_recipient(store, STORE_ROW(id, 1)) || !store_remove_finished(store, id))
            return false;
    }
    return true;
}

static void settle(struct run *run, int round, bool committed)
{
    for (int i = 0; i < PER_ROUND; i++)
        set_known(run, round, i, committed ? ACKNOWLEDGED : REFUSED);
    for (int i = 0; round > 0 && i < PER_ROUND; i += PER_ROUND - 1)
        if (run->known[round - 1][i] == ACKNOWLEDGED)
            set_known(run, round - 1, i, committed ? FINISHED : FINISH_UNSURE);
}

static void run_rounds(struct run *run, struct store *store)
{
    for (int round = 0; round < ROUNDS; round++) {
        bool committed = store_begin(store);

        committed = committed && run_batch(run, store, round) && store_commit(store);
        if (!committed)
            store_abort(store);
        settle(run, round, committed);
    }
}

static bool job_is(const struct store_job *job, const char *name)
{
    return span_equals(job->content.session_id, span_from_string(name));
}

static void check_body(const struct store *store, const struct store_job *job)
{
    char text[32] = "";
    int fd;

    if (!job->content.body_file) {
        assert_true(span_equals(job->content.body, job->content.session_id));
        return;
    }
    fd = store_open_body(store, job->content.body_file);
    assert_true(fd >= 0);
    assert_int_equal(read(fd, text, sizeof(text)), (ssize_t)job->content.session_id.length);
    assert_true(span_equals(span_from_string(text), job->content.session_id));
    close(fd);
}

/* Every message that was acknowledged is there, whole; none that was refused is. */
static void check(const struct run *run, bool refused_may_be_there)
{
    struct store *store = open_store();
    struct store_due due = due_of("sv1", 5000);
    struct list jobs;
    int64_t next;

    list_init(&jobs);
    begin(store);
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_true(store_commit(store));
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < PER_ROUND; i++) {
            char name[32];
            unsigned found = 0;

            message_name(round, i, name);
            LIST_EACH (item, &jobs) {
                struct store_job *job = LIST_ELEMENT(item, struct store_job, node);

                if (!job_is(job, name))
                    continue;
                found++;
                check_body(store, job);
                assert_int_equal(job->row_count, 2);
            }
            if (run->known[round][i] == ACKNOWLEDGED)
                assert_int_equal(found, 1);
            else if (run->known[round][i] == FINISHED ||
                     (run->known[round][i] == REFUSED && !refused_may_be_there))
                assert_int_equal(found, 0);
            else
                assert_true(found <= 1);
        }
    assert_int_equal(store_counts(store).set_aside, 0);
    free_jobs(&jobs);
    store_close(store);
}

/* The copy of the WAL that could not be completed takes no room. */
static void assert_no_leftover_wal(void)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/queue.db-wal.new", folder);
    assert_int_equal(access(path, F_OK), -1);
}

static void run_with_faults(enum fault_mode mode)
{
    bool fired = true;

    for (unsigned call = 1; fired; call++) {
        struct run run = { .report = -1 };
        struct store *store = open_store();

        fault_arm(call, mode);
        run_rounds(&run, store);
        fired = fault_disarm();
        assert_no_leftover_wal();
        /* After the trouble the store works, and what was refused is gone. */
        begin(store);
        assert_true(store_commit(store));
        store_close(store);
        check(&run, false);
        folder_remove(folder);
        mkdir(folder, 0700);
        assert_true(call < 10000);
    }
}

static void test_nothing_acknowledged_is_lost_when_any_call_fails(void **unused)
{
    (void)unused;
    log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    run_with_faults(FAULT_FAIL_ONCE);
    run_with_faults(FAULT_FAIL_FROM);
    log_set_descriptor(STDERR_FILENO);
}

/* What the child said before it died; a batch that it was in has no line. */
static void read_report(int fd, struct run *run)
{
    unsigned char line[3];

    while (read(fd, line, sizeof(line)) == (ssize_t)sizeof(line))
        run->known[line[0]][line[1]] = (enum known)line[2];
    close(fd);
}

static void mark_unsure(struct run *run)
{
    for (int round = 0; round < ROUNDS; round++)
        for (int i = 0; i < PER_ROUND; i++) {
            bool was_being_finished =
                run->known[round][i] == ACKNOWLEDGED && i != 1 &&
                (round + 1 == ROUNDS || run->known[round + 1][0] == NEVER_TRIED);

            if (was_being_finished)
                run->known[round][i] = FINISH_UNSURE;
        }
}

static bool run_killed(unsigned call)
{
    struct run run = { .report = -1 };
    int pipe_fds[2], status;
    pid_t child;

    assert_int_equal(pipe(pipe_fds), 0);
    child = fork();
    if (child == 0) {
        close(pipe_fds[0]);
        run.report = pipe_fds[1];
        fault_arm(call, FAULT_KILL);
        run_rounds(&run, open_store());
        _exit(0);
    }
    close(pipe_fds[1]);
    read_report(pipe_fds[0], &run);
    assert_int_equal(waitpid(child, &status, 0), child);
    mark_unsure(&run);
    check(&run, true);
    folder_remove(folder);
    mkdir(folder, 0700);
    return WIFSIGNALED(status);
}

static void test_nothing_acknowledged_is_lost_when_killed_at_any_call(void **unused)
{
    unsigned call = 1;

    (void)unused;
    while (run_killed(call))
        call++;
    assert_true(call > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_committed_message_is_there_after_reopening, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_fetch_gives_what_is_due_and_says_when_more_is, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_message_goes_with_its_last_recipient, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_a_move_respects_not_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_flush_makes_the_chosen_due, setup, teardown),
        cmocka_unit_test_setup_teardown(test_scan_shows_recipients_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_body_that_is_gone_is_set_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_names_that_leave_the_folder_are_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_cleaning_keeps_what_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_newer_database_is_refused_and_not_damaged, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_two_processes_cannot_use_one_queue, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_set_aside_whole, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_nothing_acknowledged_is_lost_when_any_call_fails,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_acknowledged_is_lost_when_killed_at_any_call,
                                        setup, teardown),
    };

    fault_install();
    return cmocka_run_group_tests_name("queue store", tests, NULL, NULL);
}
