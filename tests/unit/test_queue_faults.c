/* SPDX-License-Identifier: Apache-2.0 */
/* The store, when each of its calls in turn fails or is the last one of its process. */
#include "tests/unit/queue_store_support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/log.h"
#include "tests/unit/fault.h"

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
            queue_store_write_file(path, name);
        }
        if (!queue_store_add(store, name, i == PER_ROUND - 1 ? name : NULL, 2, "sv1",
                             &run->ids[round][i]))
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
    struct store *store = queue_store_open();
    struct store_due due = queue_store_due("sv1", 5000);
    struct list jobs;
    int64_t next;

    list_init(&jobs);
    queue_store_begin(store);
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
    queue_store_free_jobs(&jobs);
    store_close(store);
}

/* The copy of the WAL that could not be completed takes no room. */
static void assert_no_leftover_wal(void)
{
    char path[128];

    snprintf(path, sizeof(path), "%s/queue.db-wal.new", queue_store_folder);
    assert_int_equal(access(path, F_OK), -1);
}

static void run_with_faults(enum fault_mode mode)
{
    bool fired = true;

    for (unsigned call = 1; fired; call++) {
        struct run run = { .report = -1 };
        struct store *store = queue_store_open();

        fault_arm(call, mode);
        run_rounds(&run, store);
        fired = fault_disarm();
        assert_no_leftover_wal();
        /* After the trouble the store works, and what was refused is gone. */
        queue_store_begin(store);
        assert_true(store_commit(store));
        store_close(store);
        check(&run, false);
        folder_remove(queue_store_folder);
        mkdir(queue_store_folder, 0700);
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
        run_rounds(&run, queue_store_open());
        _exit(0);
    }
    close(pipe_fds[1]);
    read_report(pipe_fds[0], &run);
    assert_int_equal(waitpid(child, &status, 0), child);
    mark_unsure(&run);
    check(&run, true);
    folder_remove(queue_store_folder);
    mkdir(queue_store_folder, 0700);
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
        QUEUE_STORE_TEST(test_nothing_acknowledged_is_lost_when_any_call_fails),
        QUEUE_STORE_TEST(test_nothing_acknowledged_is_lost_when_killed_at_any_call),
    };

    fault_install();
    return cmocka_run_group_tests_name("queue faults", tests, NULL, NULL);
}
