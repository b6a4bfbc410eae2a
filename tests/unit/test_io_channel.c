/* SPDX-License-Identifier: Apache-2.0 */
/* Channels: messages, descriptors, back-pressure, and peers that leave or break the contract. */
#include "tests/unit/io_support.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io/channel.h"

struct end {
    struct channel channel;
    struct io_loop *loop;
    size_t count;  /* messages */
    size_t wanted; /* sets is_enough */
    size_t last_length;
    char last[64];        /* the start of the last message */
    uint32_t next_number; /* numbered messages come in order */
    bool is_numbered;
    int last_fd;
    bool is_enough;
    bool has_ended;
    bool is_closed;
    bool closes_itself; /* in its first message */
};

static void end_on_message(struct channel *channel, struct span message, int fd)
{
    struct end *end = CONTAINER_OF(channel, struct end, channel);

    assert_false(end->is_closed);
    end->count++;
    end->last_length = message.length;
    memset(end->last, 0, sizeof(end->last));
    memcpy(end->last, message.data,
           message.length < sizeof(end->last) ? message.length : sizeof(end->last) - 1);
    if (end->is_numbered) {
        uint32_t number;

        memcpy(&number, message.data, sizeof(number));
        assert_int_equal(number, end->next_number++);
    }
    if (end->last_fd >= 0)
        close(end->last_fd);
    end->last_fd = fd;
    end->is_enough = end->count >= end->wanted;
    if (end->closes_itself)
        channel_close(channel);
}

static void end_on_ended(struct channel *channel)
{
    struct end *end = CONTAINER_OF(channel, struct end, channel);

    assert_false(end->has_ended);
    end->has_ended = true;
}

static void end_on_closed(struct channel *channel)
{
    CONTAINER_OF(channel, struct end, channel)->is_closed = true;
}

static void end_init(struct end *end, struct io_loop *loop, int fd)
{
    static const struct channel_events events = { end_on_message, end_on_ended, end_on_closed };

    *end = (struct end){ .loop = loop, .wanted = 1, .last_fd = -1 };
    channel_init(&end->channel, loop, fd, &events);
}

static void end_fini(struct end *end)
{
    channel_close(&end->channel);
    channel_close(&end->channel);
    io_run_until_set(end->loop, &end->is_closed);
    if (end->last_fd >= 0)
        close(end->last_fd);
}

struct fixture {
    struct io_loop loop;
    struct end a;
    struct end b;
    int raw; /* a's descriptor, to send what a channel would not */
};

static int fixture_setup(void **state)
{
    struct fixture *fixture = memory_new(sizeof(*fixture));
    int fds[2];

    io_loop_init(&fixture->loop);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    end_init(&fixture->a, &fixture->loop, fds[0]);
    end_init(&fixture->b, &fixture->loop, fds[1]);
    fixture->raw = fds[0];
    *state = fixture;
    return 0;
}

static int fixture_teardown(void **state)
{
    struct fixture *fixture = *state;

    end_fini(&fixture->a);
    end_fini(&fixture->b);
    io_loop_fini(&fixture->loop);
    free(fixture);
    return 0;
}

static void messages_arrive_whole_and_apart(void **state)
{
    struct fixture *fixture = *state;

    fixture->b.wanted = 2;
    assert_true(channel_send(&fixture->a.channel, SPAN_LITERAL("one"), -1));
    assert_true(channel_send(&fixture->a.channel, SPAN_LITERAL("three"), -1));
    io_run_until_set(&fixture->loop, &fixture->b.is_enough);
    assert_int_equal(fixture->b.last_length, 5);
    assert_string_equal(fixture->b.last, "three");
    assert_int_equal(fixture->b.last_fd, -1);
    assert_int_equal(channel_waiting(&fixture->a.channel), 0);
}

static void the_largest_message_arrives(void **state)
{
    struct fixture *fixture = *state;
    char *message = memory_new(CHANNEL_MESSAGE_MAX);

    memset(message, 'm', CHANNEL_MESSAGE_MAX);
    assert_true(channel_send(&fixture->a.channel, span_of(message, CHANNEL_MESSAGE_MAX), -1));
    io_run_until_set(&fixture->loop, &fixture->b.is_enough);
    assert_int_equal(fixture->b.last_length, CHANNEL_MESSAGE_MAX);
    free(message);
}

static void a_descriptor_arrives_and_stays_the_senders(void **state)
{
    struct fixture *fixture = *state;
    char byte = 0;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_true(channel_send(&fixture->a.channel, SPAN_LITERAL("take this"), ends[1]));
    close(ends[1]);
    io_run_until_set(&fixture->loop, &fixture->b.is_enough);
    assert_true(fixture->b.last_fd >= 0);
    assert_int_equal(fcntl(fixture->b.last_fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(write(fixture->b.last_fd, "x", 1), 1);
    assert_int_equal(read(ends[0], &byte, 1), 1);
    close(ends[0]);
}

enum { MANY = 300, LARGE = 60000 };

/* Far more than the socket holds, each with a descriptor that the sender closes at once. */
static void what_the_socket_does_not_take_waits_in_order_with_its_descriptor(void **state)
{
    struct fixture *fixture = *state;
    char *message = memory_new(LARGE);
    struct stat sent, received;

    fixture->b.is_numbered = true;
    fixture->b.wanted = MANY;
    assert_int_equal(stat("/dev/zero", &sent), 0);
    for (uint32_t number = 0; number < MANY; number++) {
        int fd = open(number == MANY - 1 ? "/dev/zero" : "/dev/null", O_RDONLY | O_CLOEXEC);

        memcpy(message, &number, sizeof(number));
        assert_true(channel_send(&fixture->a.channel, span_of(message, LARGE), fd));
        close(fd);
    }
    assert_in_range(channel_waiting(&fixture->a.channel), MANY / 2, MANY - 1);
    io_run_until_set(&fixture->loop, &fixture->b.is_enough);
    assert_int_equal(channel_waiting(&fixture->a.channel), 0);
    assert_int_equal(fstat(fixture->b.last_fd, &received), 0);
    assert_int_equal(received.st_rdev, sent.st_rdev);
    free(message);
}

static void closing_drops_what_waits(void **state)
{
    struct fixture *fixture = *state;
    char *message = memory_new(LARGE);

    for (int i = 0; i < 50; i++)
        assert_true(channel_send(&fixture->a.channel, span_of(message, LARGE), STDERR_FILENO));
    assert_true(channel_waiting(&fixture->a.channel) > 0);
    channel_close(&fixture->a.channel);
    assert_int_equal(channel_waiting(&fixture->a.channel), 0);
    assert_false(channel_send(&fixture->a.channel, SPAN_LITERAL("late"), -1));
    io_run_until_set(&fixture->loop, &fixture->b.has_ended);
    free(message);
}

static void messages_of_a_turn_are_bounded(void **state)
{
    struct fixture *fixture = *state;

    fixture->b.is_numbered = true;
    for (uint32_t number = 0; number < 100; number++)
        assert_true(
            channel_send(&fixture->a.channel, span_of((const char *)&number, sizeof(number)), -1));
    io_run_turns(&fixture->loop, 1);
    assert_in_range(fixture->b.count, 1, 99);
    fixture->b.wanted = 100;
    fixture->b.is_enough = false;
    io_run_until_set(&fixture->loop, &fixture->b.is_enough);
}

/* What b leaves unread resets the connection; a's end must not overtake b's answer. */
static void a_peer_that_leaves_is_told_once_behind_its_last_message(void **state)
{
    struct fixture *fixture = *state;

    assert_true(channel_send(&fixture->a.channel, SPAN_LITERAL("unread"), -1));
    assert_true(channel_send(&fixture->b.channel, SPAN_LITERAL("answer"), -1));
    channel_close(&fixture->b.channel);
    io_run_until_set(&fixture->loop, &fixture->a.has_ended);
    assert_string_equal(fixture->a.last, "answer");
    assert_false(channel_send(&fixture->a.channel, SPAN_LITERAL("nobody"), -1));
    io_run_turns(&fixture->loop, 3);
}

static void a_send_that_fails_does_not_hide_the_peers_last_message(void **state)
{
    struct fixture *fixture = *state;

    assert_true(channel_send(&fixture->b.channel, SPAN_LITERAL("answer"), -1));
    channel_close(&fixture->b.channel);
    assert_false(channel_send(&fixture->a.channel, SPAN_LITERAL("nobody"), -1));
    assert_false(fixture->a.has_ended);
    io_run_until_set(&fixture->loop, &fixture->a.has_ended);
    assert_string_equal(fixture->a.last, "answer");
}

static void a_message_that_is_too_long_ends_the_channel(void **state)
{
    struct fixture *fixture = *state;
    char *message = memory_new(CHANNEL_MESSAGE_MAX + 1);

    assert_int_equal(send(fixture->raw, message, CHANNEL_MESSAGE_MAX + 1, 0),
                     CHANNEL_MESSAGE_MAX + 1);
    io_run_until_set(&fixture->loop, &fixture->b.has_ended);
    assert_int_equal(fixture->b.count, 0);
    free(message);
}

static void send_descriptors(int socket, int fd, unsigned count)
{
    char control[256] = "";
    struct iovec part = { (void *)(uintptr_t) "x", 1 };
    struct msghdr header = { .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = CMSG_SPACE(count * sizeof(int)) };
    struct cmsghdr *rights = CMSG_FIRSTHDR(&header);

    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(count * sizeof(int));
    for (unsigned i = 0; i < count; i++)
        memcpy(CMSG_DATA(rights) + i * sizeof(int), &fd, sizeof(fd));
    assert_int_equal(sendmsg(socket, &header, 0), 1);
}

static unsigned count_open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static void several_descriptors_end_the_channel_and_none_leaks(void **state)
{
    struct fixture *fixture = *state;
    unsigned before = count_open_descriptors();

    send_descriptors(fixture->raw, STDERR_FILENO, 2);
    io_run_until_set(&fixture->loop, &fixture->b.has_ended);
    assert_int_equal(fixture->b.count, 0);
    assert_int_equal(count_open_descriptors(), before);
}

static void more_descriptors_than_fit_end_the_channel_and_none_leaks(void **state)
{
    struct fixture *fixture = *state;
    unsigned before = count_open_descriptors();

    send_descriptors(fixture->raw, STDERR_FILENO, 5);
    io_run_until_set(&fixture->loop, &fixture->b.has_ended);
    assert_int_equal(fixture->b.count, 0);
    assert_int_equal(count_open_descriptors(), before);
}

static void a_channel_may_be_closed_in_its_message(void **state)
{
    struct fixture *fixture = *state;

    fixture->b.closes_itself = true;
    assert_true(channel_send(&fixture->a.channel, SPAN_LITERAL("one"), -1));
    assert_true(channel_send(&fixture->a.channel, SPAN_LITERAL("two"), -1));
    io_run_until_set(&fixture->loop, &fixture->b.is_closed);
    assert_int_equal(fixture->b.count, 1);
}

static void a_listening_socket_has_its_mode_and_takes_channels(void **state)
{
    struct fixture *fixture = *state;
    char folder[] = "/tmp/test_io_channel.XXXXXX";
    struct end left, right;
    struct stat status;
    char path[64];
    int listening, again, accepted;

    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof(path), "%s/socket", folder);
    assert_int_equal(channel_connect(path), -1);
    assert_int_equal(errno, ENOENT);
    again = channel_listen(path, 0600);
    listening = channel_listen(path, 0660);
    assert_true(again >= 0 && listening >= 0);
    close(again);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0660);
    end_init(&left, &fixture->loop, channel_connect(path));
    accepted = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    assert_true(accepted >= 0);
    end_init(&right, &fixture->loop, accepted);
    assert_true(channel_send(&left.channel, SPAN_LITERAL("hello"), -1));
    io_run_until_set(&fixture->loop, &right.is_enough);
    assert_string_equal(right.last, "hello");
    end_fini(&left);
    end_fini(&right);
    close(listening);
    unlink(path);
    rmdir(folder);
}

static void listening_never_removes_a_file_that_is_no_socket(void **state)
{
    char path[] = "/tmp/test_io_channel.XXXXXX";
    int file = mkstemp(path);

    (void)state;
    assert_true(file >= 0);
    assert_int_equal(channel_listen(path, 0600), -1);
    assert_int_equal(errno, EADDRINUSE);
    assert_int_equal(access(path, F_OK), 0);
    close(file);
    unlink(path);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    char path[300];

    (void)state;
    memset(path, 'p', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(channel_listen(path, 0600), -1);
    assert_int_equal(errno, ENAMETOOLONG);
    path[150] = '\0';
    assert_int_equal(channel_connect(path), -1);
    assert_int_equal(errno, ENAMETOOLONG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)
        TEST(messages_arrive_whole_and_apart),
        TEST(the_largest_message_arrives),
        TEST(a_descriptor_arrives_and_stays_the_senders),
        TEST(what_the_socket_does_not_take_waits_in_order_with_its_descriptor),
        TEST(closing_drops_what_waits),
        TEST(messages_of_a_turn_are_bounded),
        TEST(a_peer_that_leaves_is_told_once_behind_its_last_message),
        TEST(a_send_that_fails_does_not_hide_the_peers_last_message),
        TEST(a_message_that_is_too_long_ends_the_channel),
        TEST(several_descriptors_end_the_channel_and_none_leaks),
        TEST(more_descriptors_than_fit_end_the_channel_and_none_leaks),
        TEST(a_channel_may_be_closed_in_its_message),
        TEST(a_listening_socket_has_its_mode_and_takes_channels),
        cmocka_unit_test(listening_never_removes_a_file_that_is_no_socket),
        cmocka_unit_test(a_path_that_is_too_long_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
