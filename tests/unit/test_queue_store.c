/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/queue_store_support.h"

#include <dirent.h>
#include <unistd.h>

#include "tests/unit/fault.h"

static void test_a_committed_message_is_there_after_reopening(void **unused)
{
    struct store *store = queue_store_open();
    struct store_due due = queue_store_due("sv1", 1000);
    struct store_job *job;
    struct list jobs;
    int64_t next;
    uint64_t id;

    (void)unused;
    list_init(&jobs);
    queue_store_begin(store);
    assert_true(queue_store_add(store, "hello", NULL, 3, "sv1", &id));
    assert_true(store_commit(store));
    store_close(store);

    store = queue_store_open();
    assert_int_equal(store_counts(store).messages, 1);
    assert_int_equal(store_counts(store).recipients, 3);
    queue_store_begin(store);
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_true(store_commit(store));
    job = queue_store_first_job(&jobs);
    assert_true(job->message == id);
    assert_int_equal(job->row_count, 3);
    assert_true(job->rows[2].row == STORE_ROW(id, 2));
    assert_span(job->rows[2].address, "2@x");
    assert_span(job->content.body, "hello");
    assert_span(job->content.session_id, "hello");
    assert_span(job->content.reverse_path, "from@example.org");
    assert_null(job->content.body_file);
    assert_true(next == INT64_MAX);
    assert_int_equal(queue_store_free_jobs(&jobs), 1);
    store_close(store);
}

static void test_fetch_gives_what_is_due_and_says_when_more_is(void **unused)
{
    struct store *store = queue_store_open();
    struct store_due due = queue_store_due("sv1", 5000);
    uint64_t a, b, c, d;
    struct list jobs;
    int64_t next;

    (void)unused;
    list_init(&jobs);
    queue_store_begin(store);
    assert_true(queue_store_add(store, "a", NULL, 2, "sv1", &a) &&
                queue_store_add(store, "b", NULL, 1, "sv1", &b) &&
                queue_store_add(store, "c", NULL, 1, "sv2", &c) &&
                queue_store_add(store, "d", NULL, 1, NULL, &d));
    assert_true(store_defer(store, STORE_ROW(a, 0), 9000, 0, false, SPAN_LITERAL("451 later")));
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_int_equal(queue_store_first_job(&jobs)->row_count, 1);
    assert_true(queue_store_first_job(&jobs)->rows[0].row == STORE_ROW(a, 1));
    assert_int_equal(queue_store_free_jobs(&jobs), 2);
    assert_int_equal(next, 9000);

    due.skip_rows = (const uint64_t[]){ STORE_ROW(a, 1) };
    due.skip_count = 1;
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_true(queue_store_first_job(&jobs)->message == b);
    assert_int_equal(queue_store_free_jobs(&jobs), 1);

    due.skip_count = 0;
    due.jobs_max = 1;
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_int_equal(queue_store_free_jobs(&jobs), 1);
    assert_int_equal(next, 5000);

    due = queue_store_due(NULL, 5000);
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_true(queue_store_first_job(&jobs)->message == d);
    assert_int_equal(queue_store_free_jobs(&jobs), 1);

    due = queue_store_due("sv1", 5000);
    due.message_before = b;
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_true(queue_store_first_job(&jobs)->message == a);
    assert_int_equal(queue_store_free_jobs(&jobs), 1);
    assert_true(store_commit(store));
    store_close(store);
}

static void test_a_message_goes_with_its_last_recipient(void **unused)
{
    struct store *store = queue_store_open();
    struct store_job *job;
    uint64_t id;

    (void)unused;
    queue_store_write_file("incoming/big", "big");
    queue_store_begin(store);
    assert_true(queue_store_add(store, "big", "big", 2, "sv1", &id));
    assert_true(store_commit(store));
    assert_true(queue_store_has_file("bodies/big"));
    assert_false(queue_store_has_file("incoming/big"));

    queue_store_begin(store);
    assert_true(store_remove_recipient(store, STORE_ROW(id, 0)));
    assert_true(store_remove_recipient(store, STORE_ROW(id, 0)));
    assert_true(store_remove_finished(store, id));
    assert_true(store_read_message(store, id, 100, &job));
    assert_non_null(job);
    assert_string_equal(job->content.body_file, "big");
    store_job_free(job);
    assert_true(store_commit(store));

    queue_store_begin(store);
    assert_true(store_remove_recipient(store, STORE_ROW(id, 1)));
    assert_true(store_remove_finished(store, id));
    assert_true(queue_store_has_file("bodies/big")); /* not before the commit */
    assert_true(store_commit(store));
    assert_false(queue_store_has_file("bodies/big"));
    assert_int_equal(store_counts(store).messages, 0);
    assert_int_equal(store_counts(store).recipients, 0);
    store_close(store);
}

static void test_a_move_respects_not_before(void **unused)
{
    struct store *store = queue_store_open();
    struct store_due due = queue_store_due("sv2", 3000);
    struct list jobs;
    int64_t next;
    uint64_t id;

    (void)unused;
    list_init(&jobs);
    queue_store_begin(store);
    assert_true(queue_store_add(store, "a", NULL, 2, "sv1", &id));
    assert_true(store_defer(store, STORE_ROW(id, 0), 8000, 8000, true, SPAN_EMPTY));
    assert_true(store_defer(store, STORE_ROW(id, 1), 8000, 0, false, SPAN_EMPTY));
    assert_true(store_move(store, STORE_ROW(id, 0), "sv2", 3000));
    assert_true(store_move(store, STORE_ROW(id, 1), "sv2", 3000));
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_int_equal(queue_store_first_job(&jobs)->row_count, 1);
    assert_true(queue_store_first_job(&jobs)->rows[0].row == STORE_ROW(id, 1));
    assert_int_equal(next, 8000);
    queue_store_free_jobs(&jobs);
    assert_true(store_commit(store));
    store_close(store);
}

static void test_a_flush_makes_due_also_before_not_before(void **unused)
{
    struct store *store = queue_store_open();
    uint64_t id;

    (void)unused;
    queue_store_begin(store);
    assert_true(queue_store_add(store, "a", NULL, 1, "sv1", &id));
    assert_true(store_defer(store, STORE_ROW(id, 0), 8000, 9000, true, SPAN_EMPTY));
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 0)).recipient.flags, STORE_IS_UNKNOWN);
    assert_true(store_make_due(store, STORE_ROW(id, 0), 100));
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 0)).recipient.next_attempt_ms, 100);
    assert_true(store_make_due(store, STORE_ROW(id, 0), 200));
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 0)).recipient.next_attempt_ms, 100);
    assert_true(store_defer(store, STORE_ROW(id, 0), 8000, 0, false, SPAN_EMPTY));
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 0)).recipient.flags, 0);
    assert_true(store_commit(store));
    store_close(store);
}

static void test_what_is_held_is_not_due_until_it_is_released(void **unused)
{
    struct store *store = queue_store_open();
    struct store_due due = queue_store_due("sv1", 5000);
    struct list jobs;
    uint64_t id;
    int64_t next;

    (void)unused;
    list_init(&jobs);
    queue_store_begin(store);
    assert_true(queue_store_add(store, "a", NULL, 2, "sv1", &id));
    assert_true(store_defer(store, STORE_ROW(id, 1), 7000, 7000, false, SPAN_LITERAL("451 x")));
    assert_true(store_set_state(store, STORE_ROW(id, 0), STORE_HELD, 0, SPAN_EMPTY));
    assert_true(store_set_state(store, STORE_ROW(id, 1), STORE_HELD, 0, SPAN_EMPTY));
    assert_true(store_make_due(store, STORE_ROW(id, 0), 1));
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_true(list_is_empty(&jobs));
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 1)).recipient.reply.length, 5);
    assert_true(store_commit(store));
    assert_int_equal(store_counts(store).held, 2);
    queue_store_begin(store);
    assert_true(store_release(store, STORE_ROW(id, 0), 4000));
    assert_true(store_release(store, STORE_ROW(id, 1), 4000));
    assert_true(store_release(store, STORE_ROW(id, 1), 4000));
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 0)).recipient.next_attempt_ms, 4000);
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 1)).recipient.next_attempt_ms, 7000);
    assert_true(store_commit(store));
    assert_int_equal(store_counts(store).held, 0);
    store_close(store);
}

static void test_what_needs_a_relay_host_is_released_at_once_and_alone(void **unused)
{
    struct store *store = queue_store_open();
    size_t count = 0;
    uint64_t id;

    (void)unused;
    queue_store_begin(store);
    assert_true(queue_store_add(store, "a", NULL, 2, "sv1", &id));
    assert_true(store_set_state(store, STORE_ROW(id, 0), STORE_HELD, 0, SPAN_EMPTY));
    assert_true(
        store_set_state(store, STORE_ROW(id, 1), STORE_HELD, STORE_NEEDS_RELAY, SPAN_EMPTY));
    assert_true(store_release_for_relay(store, 50, &count));
    assert_int_equal(count, 1);
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 0)).recipient.state, STORE_HELD);
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 1)).recipient.state, STORE_PENDING);
    assert_int_equal(queue_store_look(store, STORE_ROW(id, 1)).recipient.flags, 0);
    assert_true(store_commit(store));
    assert_int_equal(store_counts(store).held, 1);
    store_close(store);
}

static void count_view(void *context, const struct store_view *view)
{
    size_t *counts = context;

    assert_span(view->recipient.address, counts[0] == 0 ? "0@x" : "1@x");
    assert_true(view->recipient.destination == NULL || !*view->recipient.destination);
    counts[0]++;
    counts[1] += view->recipient.attempts;
}

static void test_scan_shows_recipients_in_order(void **unused)
{
    struct store *store = queue_store_open();
    size_t counts[2] = { 0, 0 };
    uint64_t id;

    (void)unused;
    queue_store_begin(store);
    assert_true(queue_store_add(store, "a", NULL, 2, "", &id));
    assert_true(store_defer(store, STORE_ROW(id, 1), 1, 0, false, SPAN_EMPTY));
    assert_true(store_move(store, STORE_ROW(id, 0), NULL, 1));
    assert_true(store_scan(store, 0, UINT64_MAX, 100, true, count_view, counts));
    assert_int_equal(counts[0], 2);
    assert_int_equal(counts[1], 1);
    assert_true(store_set_state(store, STORE_ROW(id, 1), STORE_HELD, 0, SPAN_LITERAL("why")));
    counts[0] = 0;
    assert_true(store_scan(store, 0, UINT64_MAX, 100, true, count_view, counts));
    assert_int_equal(counts[0], 1);
    assert_true(store_commit(store));
    assert_int_equal(store_counts(store).held, 1);
    store_close(store);
}

static void test_a_body_that_is_gone_is_set_aside(void **unused)
{
    struct store *store = queue_store_open();
    struct store_due due = queue_store_due("sv1", 5000);
    uint64_t lost, good;
    struct list jobs;
    char path[96];
    int64_t next;

    (void)unused;
    list_init(&jobs);
    queue_store_write_file("incoming/lost", "lost");
    queue_store_begin(store);
    assert_true(queue_store_add(store, "lost", "lost", 2, "sv1", &lost));
    assert_true(queue_store_add(store, "good", NULL, 1, "sv1", &good));
    assert_true(store_commit(store));
    snprintf(path, sizeof(path), "%s/bodies/lost", queue_store_folder);
    assert_int_equal(truncate(path, 2), 0);

    queue_store_begin(store);
    assert_true(store_fetch_due(store, &due, &jobs, &next));
    assert_true(store_commit(store));
    assert_true(queue_store_first_job(&jobs)->message == good);
    assert_int_equal(queue_store_free_jobs(&jobs), 1);
    assert_int_equal(store_counts(store).set_aside, 2);
    assert_int_equal(store_counts(store).messages, 2);
    assert_true(queue_store_has_file("bodies/lost"));
    store_close(store);
}

static struct store *adopt_as(const char *adopter, char error[STORE_ERROR_SIZE])
{
    char source[STORE_SOURCE_SIZE];

    return store_open_adopted(queue_store_folder, adopter, &store_system_real, source, error);
}

static void test_an_adopted_queue_is_refused_until_its_mark_is_removed(void **unused)
{
    char first[STORE_SOURCE_SIZE], second[STORE_SOURCE_SIZE], error[STORE_ERROR_SIZE], path[400];
    struct store *store = queue_store_open();

    (void)unused;
    assert_null(adopt_as("mx2", error)); /* while it is used */
    assert_non_null(strstr(error, "another queue process uses it"));
    store_close(store);
    store = store_open_adopted(queue_store_folder, "mx2", &store_system_real, first, error);
    assert_non_null(store);
    store_close(store);
    assert_null(store_open(queue_store_folder, &store_system_real, error));
    assert_non_null(strstr(error, "was adopted by mx2"));
    assert_null(adopt_as("mx3", error));
    assert_non_null(strstr(error, "was adopted by mx2"));
    store = store_open_adopted(queue_store_folder, "mx2", &store_system_real, second, error);
    assert_non_null(store);
    assert_string_equal(first, second);
    store_close(store);
    snprintf(path, sizeof(path), "%s/adopted", queue_store_folder);
    assert_int_equal(unlink(path), 0);
    store_close(queue_store_open());
}

static void test_a_folder_without_a_queue_is_left_as_it_is(void **unused)
{
    char error[STORE_ERROR_SIZE];

    (void)unused;
    assert_null(adopt_as("mx2", error));
    assert_non_null(strstr(error, "No such file"));
    assert_false(queue_store_has_file("incoming"));
}

static void test_names_that_leave_the_folder_are_refused(void **unused)
{
    struct store *store = queue_store_open();
    uint64_t id;

    (void)unused;
    queue_store_write_file("secret", "x");
    queue_store_begin(store);
    assert_false(queue_store_add(store, "x", "../secret", 1, "sv1", &id));
    store_abort(store);
    assert_true(queue_store_has_file("secret"));
    store_close(store);
}

static void test_cleaning_keeps_what_is_used(void **unused)
{
    struct store *store = queue_store_open();
    uint64_t id;

    (void)unused;
    queue_store_write_file("incoming/used", "used");
    queue_store_begin(store);
    assert_true(queue_store_add(store, "used", "used", 1, "sv1", &id));
    assert_true(store_commit(store));
    queue_store_write_file("bodies/orphan", "x");
    queue_store_write_file("incoming/young", "x");
    assert_true(store_clean_files(store, 0));
    assert_true(queue_store_has_file("bodies/used"));
    assert_true(queue_store_has_file("incoming/young"));
    assert_false(queue_store_has_file("bodies/orphan"));
    assert_true(store_clean_files(store, INT64_MAX));
    assert_false(queue_store_has_file("incoming/young"));
    store_close(store);
}

static void test_parameters_of_the_envelope_are_kept(void **unused)
{
    struct store *store = queue_store_open();
    const struct store_message message = { .session_id = SPAN_LITERAL("s"),
                                           .reverse_path = SPAN_LITERAL("\xc3\xa9@x"),
                                           .body_8bit = true,
                                           .is_utf8 = true,
                                           .ret = MAIL_RETURN_FULL,
                                           .envid = SPAN_LITERAL("QQ+20314"),
                                           .size = 1,
                                           .arrival_ms = 1000,
                                           .body = SPAN_LITERAL("b") };
    const struct store_recipient recipient = { .address = SPAN_LITERAL("a@x"),
                                               .destination = "sv1",
                                               .notify = MAIL_NOTIFY_SUCCESS | MAIL_NOTIFY_DELAY,
                                               .orcpt = SPAN_LITERAL("rfc822;a+2Bb@x") };
    struct store_due due = queue_store_due("sv1", 2000);
    struct store_view view;
    struct store_job *job;
    struct list jobs;
    int64_t next_due_ms;
    uint64_t id;

    (void)unused;
    queue_store_begin(store);
    assert_true(store_add(store, &message, &recipient, 1, true, &id));
    assert_true(store_commit(store));
    queue_store_begin(store);
    list_init(&jobs);
    assert_true(store_fetch_due(store, &due, &jobs, &next_due_ms));
    job = queue_store_first_job(&jobs);
    assert_true(job->content.is_utf8);
    assert_int_equal(job->content.ret, MAIL_RETURN_FULL);
    assert_span(job->content.envid, "QQ+20314");
    assert_int_equal(job->rows[0].notify, recipient.notify);
    assert_span(job->rows[0].orcpt, "rfc822;a+2Bb@x");
    assert_int_equal(queue_store_free_jobs(&jobs), 1);
    view = queue_store_look(store, STORE_ROW(id, 0));
    assert_true(view.is_utf8);
    assert_int_equal(view.ret, MAIL_RETURN_FULL);
    assert_int_equal(view.recipient.notify, recipient.notify);
    assert_true(store_commit(store));
    store_close(store);
}

static void test_two_processes_cannot_use_one_queue(void **unused)
{
    struct store *store = queue_store_open();
    char error[STORE_ERROR_SIZE];

    (void)unused;
    assert_null(store_open(queue_store_folder, &fault_system, error));
    assert_non_null(strstr(error, "another queue process"));
    store_close(store);
}

static void test_what_cannot_be_read_is_set_aside_whole(void **unused)
{
    struct store *store = queue_store_open();
    DIR *entries;
    unsigned kept = 0;
    uint64_t id;

    (void)unused;
    queue_store_write_file("incoming/body", "body");
    queue_store_begin(store);
    assert_true(queue_store_add(store, "body", "body", 1, "sv1", &id));
    assert_true(store_commit(store));
    store_close(store);
    queue_store_write_file(
        "queue.db", "this is no database, and long enough to be taken for a header of one....."
                    "........................................................");
    store = queue_store_open();
    assert_int_equal(store_counts(store).messages, 0);
    queue_store_begin(store);
    assert_true(queue_store_add(store, "new", NULL, 1, "sv1", &id));
    assert_true(store_commit(store));
    store_close(store);
    entries = opendir(queue_store_folder);
    for (struct dirent *entry; (entry = readdir(entries));)
        if (strncmp(entry->d_name, "set-aside-", 10) == 0) {
            char name[300];

            snprintf(name, sizeof(name), "%s/bodies/body", entry->d_name);
            kept += queue_store_has_file(name);
            snprintf(name, sizeof(name), "%s/queue.db", entry->d_name);
            kept += queue_store_has_file(name);
        }
    closedir(entries);
    assert_int_equal(kept, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_STORE_TEST(test_a_committed_message_is_there_after_reopening),
        QUEUE_STORE_TEST(test_fetch_gives_what_is_due_and_says_when_more_is),
        QUEUE_STORE_TEST(test_a_message_goes_with_its_last_recipient),
        QUEUE_STORE_TEST(test_a_move_respects_not_before),
        QUEUE_STORE_TEST(test_a_flush_makes_due_also_before_not_before),
        QUEUE_STORE_TEST(test_what_is_held_is_not_due_until_it_is_released),
        QUEUE_STORE_TEST(test_what_needs_a_relay_host_is_released_at_once_and_alone),
        QUEUE_STORE_TEST(test_scan_shows_recipients_in_order),
        QUEUE_STORE_TEST(test_a_body_that_is_gone_is_set_aside),
        QUEUE_STORE_TEST(test_an_adopted_queue_is_refused_until_its_mark_is_removed),
        QUEUE_STORE_TEST(test_a_folder_without_a_queue_is_left_as_it_is),
        QUEUE_STORE_TEST(test_names_that_leave_the_folder_are_refused),
        QUEUE_STORE_TEST(test_cleaning_keeps_what_is_used),
        QUEUE_STORE_TEST(test_parameters_of_the_envelope_are_kept),
        QUEUE_STORE_TEST(test_two_processes_cannot_use_one_queue),
        QUEUE_STORE_TEST(test_what_cannot_be_read_is_set_aside_whole),
    };

    fault_install();
    return cmocka_run_group_tests_name("queue store", tests, NULL, NULL);
}
