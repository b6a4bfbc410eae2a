/* SPDX-License-Identifier: Apache-2.0 */
/* A whole frontend worker in this process, with a queue that the test plays on the same loop. */
#include "tests/unit/io_support.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/io/channel.h"
#include "common/io/listener.h"
#include "common/service/child.h"
#include "frontend/queue/messages.h"
#include "frontend/worker.h"
#include "tests/unit/folder.h"

struct fixture {
    struct child child;
    struct config config;
    struct backend_config backend;
    char folder[FOLDER_SIZE];
    int backend_fd, queue_fd;
    struct listener listener;
    struct channel channel;
    uv_timer_t timer;
    bool has_delivered;
    bool has_queue_ended;
    unsigned slots;  /* what the worker said last */
    unsigned fate;   /* of its result */
    unsigned signal; /* what is sent to us once the delivery runs */
};

static void timer_fired(uv_timer_t *timer)
{
    struct fixture *fixture = CONTAINER_OF(timer, struct fixture, timer);

    uv_close((uv_handle_t *)timer, NULL);
    kill(getpid(), (int)fixture->signal);
}

/* A message for the backend, which is there and never says a word. */
static void queue_deliver(struct fixture *fixture)
{
    char memory[512];
    struct buffer message = buffer_over(memory, sizeof(memory));

    fixture->has_delivered = true;
    wire_put_u8(&message, QUEUE_DELIVER);
    wire_put_u64(&message, 7);
    wire_put_span(&message, SPAN_LITERAL("1"));
    wire_put_span(&message, SPAN_LITERAL("session"));
    wire_put_span(&message, SPAN_LITERAL("sv0"));
    wire_put_span(&message, SPAN_LITERAL("me@example.com"));
    wire_put_u8(&message, 0);
    wire_put_u8(&message, 0);
    wire_put_u8(&message, 0);
    wire_put_span(&message, SPAN_EMPTY);
    wire_put_u64(&message, 6);
    wire_put_u32(&message, 1);
    wire_put_u64(&message, 3);
    wire_put_span(&message, SPAN_LITERAL("anna@example.org"));
    wire_put_span(&message, SPAN_LITERAL("anna@example.org"));
    wire_put_u8(&message, 0);
    wire_put_span(&message, SPAN_EMPTY);
    wire_put_u8(&message, 0);
    wire_put_span(&message, SPAN_LITERAL("body\r\n"));
    assert_true(channel_send(&fixture->channel, buffer_span(&message), -1));
    uv_timer_init(&fixture->child.loop.uv, &fixture->timer);
    uv_timer_start(&fixture->timer, timer_fired, 100, 0);
}

static void queue_take_result(struct fixture *fixture, struct wire_reader *reader)
{
    char memory[16];
    struct buffer message = buffer_over(memory, sizeof(memory));

    assert_int_equal(wire_get_u64(reader), 7);
    assert_int_equal(wire_get_u32(reader), 1);
    assert_int_equal(wire_get_u64(reader), 3);
    fixture->fate = wire_get_u8(reader);
    wire_put_u8(&message, QUEUE_RESULT_STORED);
    wire_put_u64(&message, 7);
    assert_true(channel_send(&fixture->channel, buffer_span(&message), -1));
}

static void queue_message(struct channel *channel, struct span message, int fd)
{
    struct fixture *fixture = CONTAINER_OF(channel, struct fixture, channel);
    struct wire_reader reader = wire_reader_over(message);

    assert_int_equal(fd, -1);
    switch (wire_get_u8(&reader)) {
    case QUEUE_READY:
        fixture->slots = wire_get_u32(&reader);
        if (!fixture->has_delivered)
            queue_deliver(fixture);
        return;
    case QUEUE_RESULT:
        queue_take_result(fixture, &reader);
        return;
    default:
        fail();
    }
}

static void queue_ended(struct channel *channel)
{
    struct fixture *fixture = CONTAINER_OF(channel, struct fixture, channel);

    channel_close(channel);
    listener_stop(&fixture->listener, NULL);
}

static void queue_closed(struct channel *channel)
{
    CONTAINER_OF(channel, struct fixture, channel)->has_queue_ended = true;
}

static void queue_accepted(struct listener *listener, int fd, const struct sockaddr_storage *peer)
{
    static const struct channel_events events = { queue_message, queue_ended, queue_closed };
    struct fixture *fixture = CONTAINER_OF(listener, struct fixture, listener);

    (void)peer;
    channel_init(&fixture->channel, &fixture->child.loop, fd, &events);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    static char address[] = "127.0.0.1", name[] = "sv0", hostname[] = "mx.example.org";
    char path[FOLDER_SIZE + 16];
    uint16_t port;

    *state = fixture;
    if (!getenv("MAILSTEAD_TEST_LOG"))
        log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    folder_make(fixture->folder);
    fixture->backend_fd = io_listen_tcp(&port);
    fixture->backend =
        (struct backend_config){ .name = name, .address = address, .lmtp_port = port };
    fixture->config = (struct config){
        .cluster = { .hostname = hostname, .backends = &fixture->backend, .backend_count = 1 },
        .timeout = { .connect_s = 600, .backend_s = 600, .data_end_s = 600 },
        .health = { .probe_interval_ms = 1000, .failures = 3, .successes = 2 },
        .state_directory = fixture->folder,
        .run_directory = fixture->folder,
    };
    fixture->child = (struct child){
        .config = &fixture->config, .board = board_new(), .number = 1, .ready_fd = -1
    };
    fixture->child.slot = board_take_slot(fixture->child.board);
    io_loop_init(&fixture->child.loop);
    snprintf(path, sizeof(path), "%s/queue.sock", fixture->folder);
    fixture->queue_fd = channel_listen(path, 0600);
    assert_true(fixture->queue_fd >= 0);
    listener_start(&fixture->listener, &fixture->child.loop, fixture->queue_fd, queue_accepted,
                   NULL);
    fixture->fate = QUEUE_FATES;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    io_run_until_set(&fixture->child.loop, &fixture->has_queue_ended);
    io_loop_fini(&fixture->child.loop);
    close(fixture->queue_fd);
    close(fixture->backend_fd);
    board_free(fixture->child.board);
    folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

static void a_worker_told_to_stop_gives_its_deliveries_back(void **state)
{
    struct fixture *fixture = *state;
    uint64_t before_ms = io_loop_now_ms(&fixture->child.loop);

    fixture->signal = SIGTERM;
    assert_true(frontend_worker_run(&fixture->child));
    assert_int_equal(fixture->fate, QUEUE_PENDING);
    assert_int_equal(fixture->slots, 0);
    assert_in_range(io_loop_now_ms(&fixture->child.loop) - before_ms, 0, 3000);
}

static void a_draining_worker_finishes_its_deliveries(void **state)
{
    struct fixture *fixture = *state;

    fixture->signal = SIGUSR1;
    fixture->config.timeout.connect_s = 2; /* then the delivery ends by itself */
    assert_true(frontend_worker_run(&fixture->child));
    assert_int_equal(fixture->fate, QUEUE_UNREACHABLE);
    assert_int_equal(fixture->slots, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_worker_told_to_stop_gives_its_deliveries_back, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_draining_worker_finishes_its_deliveries, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
