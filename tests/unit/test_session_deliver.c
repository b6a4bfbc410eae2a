/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries from the queue, with a queue and backends that the test plays. */
#include "tests/unit/session_support.h"

#include <sys/mman.h>
#include <unistd.h>

#include "frontend/deliver.h"

/* --- the queue's part ------------------------------------------------------------------- */

static const char *const fates[QUEUE_FATES] = { "pending", "delivered", "failed", "unknown",
                                                "unreachable" };

struct test_job {
    struct queue_delivery job;
    struct queue_delivery_recipient recipients[2];
    char result[256]; /* "FATE " of each recipient, once it is finished */
    bool is_finished;
};

void queue_delivery_set(struct queue_delivery *job, size_t index, enum queue_fate fate,
                        unsigned not_before_s, struct span text)
{
    (void)text;
    job->recipients[index].fate = fate;
    job->recipients[index].not_before_s = not_before_s;
}

void queue_delivery_finish(struct queue_delivery *job)
{
    struct test_job *test = CONTAINER_OF(job, struct test_job, job);

    assert_false(test->is_finished);
    for (size_t i = 0; i < job->recipient_count; i++) {
        size_t length = strlen(test->result);

        snprintf(test->result + length, sizeof(test->result) - length, "%s ",
                 fates[job->recipients[i].fate]);
    }
    test->is_finished = true;
    if (job->fd >= 0)
        close(job->fd);
}

/* --- jobs --------------------------------------------------------------------------------- */

static void start_job(struct rig *rig, struct deliver_service *service, struct test_job *test,
                      struct span body, int fd)
{
    *service = (struct deliver_service){ .sessions = &rig->service };
    list_init(&service->running);
    *test = (struct test_job){
        .job = { .session_id = SPAN_LITERAL("session"),
                 .message_id = "1",
                 .backend = "sv0",
                 .reverse_path = SPAN_LITERAL("me@example.com"),
                 .recipients = test->recipients,
                 .recipient_count = 2,
                 .body = body,
                 .fd = fd },
        .recipients = { { .address = SPAN_LITERAL("anna@example.org"),
                          .recipient = SPAN_LITERAL("anna@example.org") },
                        { .address = SPAN_LITERAL("bert@example.org"),
                          .recipient = SPAN_LITERAL("bert@example.org") } },
    };
    deliver_start(service, &test->job);
}

static const char hello[] = "250 store\r\n"; /* no PIPELINING: one at a time */

/* The backend's side up to its answer to the first recipient. */
static struct peer *accept_envelope(struct rig *rig, const char *offers, const char *answers)
{
    struct peer *backend = rig_accept_lmtp(rig, 0, offers);

    rig_expect(backend, "MAIL FROM:<me@example.com>\r\n");
    rig_say(backend, "250 2.1.0 Ok\r\n");
    rig_expect(backend, "RCPT TO:<anna@example.org>\r\n");
    rig_say(backend, answers);
    return backend;
}

static struct peer *accept_content(struct rig *rig)
{
    struct peer *backend = accept_envelope(rig, hello, "250 2.1.5 Ok\r\n");

    rig_expect(backend, "RCPT TO:<bert@example.org>\r\n");
    rig_say(backend, "250 2.1.5 Ok\r\n");
    rig_expect(backend, "DATA\r\n");
    return backend;
}

static void expect_result(struct rig *rig, struct test_job *test, const char *result)
{
    io_run_until_set(&rig->loop, &test->is_finished);
    assert_string_equal(test->result, result);
}

static void each_recipient_gets_its_own_fate(void **state)
{
    struct rig *rig = *state;
    struct deliver_service service;
    struct test_job test;
    struct peer *backend;

    start_job(rig, &service, &test, SPAN_LITERAL("Subject: x\r\n\r\nbody\r\n"), -1);
    backend = accept_content(rig);
    rig_say(backend, "354 go on\r\n");
    rig_expect(backend, "Subject: x\r\n\r\nbody\r\n.\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n452 4.2.2 full\r\n");
    expect_result(rig, &test, "delivered pending ");
    assert_true(list_is_empty(&service.running));
}

static void a_peer_that_takes_it_is_asked_all_at_once(void **state)
{
    struct rig *rig = *state;
    struct deliver_service service;
    struct test_job test;
    struct peer *backend;

    start_job(rig, &service, &test, SPAN_LITERAL("body\r\n"), -1);
    backend = rig_accept_lmtp(rig, 0, "250-store\r\n250 PIPELINING\r\n");
    rig_expect(backend, "RCPT TO:<bert@example.org>\r\nDATA\r\n");
    rig_say(backend, "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n550 5.1.1 no\r\n354 go on\r\n");
    rig_expect(backend, "body\r\n.\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    expect_result(rig, &test, "delivered failed ");
    /* RFC 2920: it may say 354 although it took nobody; nothing of the message follows. */
    start_job(rig, &service, &test, SPAN_LITERAL("body\r\n"), -1);
    backend = rig_accept_lmtp(rig, 0, "250-store\r\n250 PIPELINING\r\n");
    rig_expect(backend, "DATA\r\n");
    rig_say(backend, "250 2.1.0 Ok\r\n550 5.1.1 no\r\n450 4.2.0 later\r\n354 go on\r\n");
    expect_result(rig, &test, "failed pending ");
    rig_expect_end(backend);
    assert_int_equal(backend->received.length, 0);
}

/* Without PIPELINING all is answered before the content is due. */
static void a_peer_that_takes_chunks_is_not_asked_for_a_small_body(void **state)
{
    struct rig *rig = *state;
    struct deliver_service service;
    struct test_job test;
    struct peer *backend;

    start_job(rig, &service, &test, SPAN_LITERAL(".body\r\n"), -1);
    backend = accept_envelope(rig, "250-store\r\n250 CHUNKING\r\n", "250 2.1.5 Ok\r\n");
    rig_expect(backend, "RCPT TO:<bert@example.org>\r\n");
    rig_say(backend, "250 2.1.5 Ok\r\n");
    rig_expect(backend, "BDAT 7 LAST\r\n.body\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n452 4.2.2 full\r\n");
    expect_result(rig, &test, "delivered pending ");
}

static void a_large_body_is_asked_for_all_the_same(void **state)
{
    struct rig *rig = *state;
    enum { BODY_SIZE = 200000 };
    static const char *const answers[] = { "354 go on\r\n", "451 4.3.0 later\r\n" };
    char *body = malloc(BODY_SIZE);

    memset(body, 'x', BODY_SIZE);
    memcpy(body + BODY_SIZE - 4, "y\r\n", 4);
    for (int is_refused = 0; is_refused < 2; is_refused++) {
        struct deliver_service service;
        struct test_job test;
        struct peer *backend;

        start_job(rig, &service, &test, span_of(body, BODY_SIZE - 1), -1);
        backend = accept_envelope(rig, "250-store\r\n250 CHUNKING\r\n", "250 2.1.5 Ok\r\n");
        rig_expect(backend, "RCPT TO:<bert@example.org>\r\n");
        rig_say(backend, "550 5.1.1 no\r\n");
        rig_expect(backend, "DATA\r\n");
        assert_int_equal(backend->received.length, 0);
        rig_say(backend, answers[is_refused]);
        if (is_refused) {
            expect_result(rig, &test, "pending failed ");
            continue;
        }
        rig_expect(backend, "xy\r\n.\r\n");
        rig_say(backend, "250 2.0.0 Saved\r\n");
        expect_result(rig, &test, "delivered failed ");
    }
    free(body);
}

static void nobody_there_is_unreachable(void **state)
{
    struct rig *rig = *state;
    struct deliver_service service;
    struct test_job test;

    rig_kill_backend(rig, 0);
    start_job(rig, &service, &test, SPAN_LITERAL("body\r\n"), -1);
    expect_result(rig, &test, "unreachable unreachable ");
}

static void a_refusal_of_all_ends_it(void **state)
{
    struct rig *rig = *state;
    struct deliver_service service;
    struct test_job test;
    struct peer *backend;

    start_job(rig, &service, &test, SPAN_LITERAL("body\r\n"), -1);
    backend = accept_envelope(rig, hello, "550 5.1.1 no\r\n");
    rig_expect(backend, "RCPT TO:<bert@example.org>\r\n");
    rig_say(backend, "450 4.2.0 later\r\n");
    expect_result(rig, &test, "failed pending ");
}

static void a_reply_that_is_lost_is_unknown(void **state)
{
    struct rig *rig = *state;
    struct deliver_service service;
    struct test_job test;
    struct peer *backend;

    start_job(rig, &service, &test, SPAN_LITERAL("body\r\n"), -1);
    backend = accept_content(rig);
    rig_say(backend, "354 go on\r\n");
    rig_expect(backend, "body\r\n.\r\n");
    rig_say(backend, "250 2.0.0 Saved\r\n");
    io_run_turns(&rig->loop, 5);
    rig_close(backend);
    expect_result(rig, &test, "delivered unknown ");
    assert_int_equal(test.recipients[1].not_before_s, 600);
}

/* The backend resets the connection behind its 354: the first write may already fail. */
static void a_backend_that_resets_within_the_content_leaves_it_pending(void **state)
{
    struct rig *rig = *state;
    enum { BODY_SIZE = 8 << 20 };
    char *body = malloc(BODY_SIZE);

    memset(body, 'x', BODY_SIZE);
    for (int from_file = 0; from_file < 2; from_file++) {
        struct deliver_service service;
        struct test_job test;
        struct peer *backend;
        int fd = from_file ? memfd_create("body", MFD_CLOEXEC) : -1;

        if (from_file)
            assert_int_equal(ftruncate(fd, BODY_SIZE), 0);
        start_job(rig, &service, &test, from_file ? SPAN_EMPTY : span_of(body, BODY_SIZE), fd);
        backend = accept_content(rig);
        rig_say(backend, "354 go on\r\n");
        transport_watch(&backend->transport, 0);
        rig_wait(rig, 50);
        rig_close(backend); /* with much unread */
        expect_result(rig, &test, "pending pending ");
    }
    free(body);
}

static void what_is_given_up_goes_back_as_it_was(void **state)
{
    struct rig *rig = *state;
    struct deliver_service service;
    struct test_job test;
    struct peer *backend;

    start_job(rig, &service, &test, SPAN_LITERAL("body\r\n"), -1);
    backend = accept_content(rig);
    deliver_give_up_all(&service);
    assert_true(test.is_finished);
    assert_string_equal(test.result, "pending pending ");
    assert_true(list_is_empty(&service.running));
    rig_expect_end(backend);

    start_job(rig, &service, &test, SPAN_LITERAL("body\r\n"), -1);
    backend = accept_content(rig);
    rig_say(backend, "354 go on\r\n");
    rig_expect(backend, "body\r\n.\r\n");
    deliver_give_up_all(&service);
    assert_string_equal(test.result, "unknown unknown ");
}

static void a_file_that_is_being_read_is_given_up_behind_the_read(void **state)
{
    struct rig *rig = *state;
    struct deliver_service service;
    struct test_job test;
    struct peer *backend;
    int fd = memfd_create("body", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, 8 << 20), 0);
    start_job(rig, &service, &test, SPAN_EMPTY, fd);
    backend = accept_content(rig);
    transport_watch(&backend->transport, 0);
    rig_say(backend, "354 go on\r\n");
    while (rig->loop.uv.active_reqs.count == 0)
        io_run_turns(&rig->loop, 1);
    deliver_give_up_all(&service);
    assert_false(test.is_finished);
    deliver_give_up_all(&service);
    expect_result(rig, &test, "pending pending ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
        T(each_recipient_gets_its_own_fate),
        T(a_peer_that_takes_it_is_asked_all_at_once),
        T(a_peer_that_takes_chunks_is_not_asked_for_a_small_body),
        T(a_large_body_is_asked_for_all_the_same),
        T(nobody_there_is_unreachable),
        T(a_refusal_of_all_ends_it),
        T(a_reply_that_is_lost_is_unknown),
        T(a_backend_that_resets_within_the_content_leaves_it_pending),
        T(what_is_given_up_goes_back_as_it_was),
        T(a_file_that_is_being_read_is_given_up_behind_the_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
