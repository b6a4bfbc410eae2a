/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Channels.  The peer is our own process: a message that is cut, or that carries anything but
 * at most one descriptor, ends the channel.  It never blocks and never drops or reorders
 * a message while the peer lives; what waits is the sender's to bound (channel_waiting).  A
 * send that fails does not end the channel by itself: the end comes by reading, behind what the
 * peer sent before it left.
 */
#include "common/io/channel.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/io/unix_socket.h"

enum { CHANNEL_MESSAGES_PER_TURN = 32, CHANNEL_BACKLOG = 128 };

/* A message that the socket did not take. */
struct outgoing {
    struct list node;
    int fd; /* owned, or -1 */
    size_t length;
    char bytes[];
};

/* Room for the control message of one descriptor. */
union descriptor_control {
    char bytes[CMSG_SPACE(sizeof(int))];
    struct cmsghdr align;
};

static void channel_watch(struct channel *channel)
{
    unsigned writable = channel->outgoing_count > 0 ? IO_WRITABLE : 0;

    io_watch_levels(channel->watch, IO_READABLE | writable);
}

static void outgoing_free(struct outgoing *outgoing)
{
    if (outgoing->fd >= 0)
        close(outgoing->fd);
    explicit_bzero(outgoing->bytes, outgoing->length); /* it may be a password */
    free(outgoing);
}

static void channel_drop_outgoing(struct channel *channel)
{
    LIST_EACH (node, &channel->outgoing) {
        list_remove(node);
        outgoing_free(LIST_ELEMENT(node, struct outgoing, node));
    }
    channel->outgoing_count = 0;
}

/* Nothing is read or sent any more, and the owner is told once. */
static void channel_mark_ended(struct channel *channel)
{
    if (channel->has_ended)
        return;
    channel->has_ended = true;
    io_watch_levels(channel->watch, 0);
    channel_drop_outgoing(channel);
    io_loop_resume(channel->loop, &channel->end);
}

static void channel_on_end(struct io_resumption *resumption)
{
    struct channel *channel = CONTAINER_OF(resumption, struct channel, end);

    channel->events->ended(channel);
}

/* 0, or an errno; EAGAIN when the socket is full. */
static int channel_send_now(int socket, struct span message, int fd)
{
    union descriptor_control control = { .bytes = { 0 } };
    struct iovec part = { .iov_base = (void *)message.data, .iov_len = message.length };
    struct msghdr header = { .msg_iov = &part, .msg_iovlen = 1 };

    if (fd >= 0) {
        struct cmsghdr *rights;

        header.msg_control = control.bytes;
        header.msg_controllen = sizeof(control.bytes);
        rights = CMSG_FIRSTHDR(&header);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(rights), &fd, sizeof(fd));
    }
    while (sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        if (errno != EINTR)
            return errno;
    return 0;
}

/*
 * The kernel is full for now: of bytes, or of descriptors in flight (unix(7), ETOOMANYREFS).  The
 * latter makes no writability of its own, but whoever holds them is about to receive them.
 */
static bool error_is_temporary(int error)
{
    return error == EAGAIN || error == ENOBUFS || error == ENOMEM || error == ETOOMANYREFS;
}

static bool channel_keep(struct channel *channel, struct span message, int fd)
{
    struct outgoing *outgoing;
    int duplicate = -1;

    if (fd >= 0) {
        duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        if (duplicate < 0)
            return false;
    }
    outgoing = memory_new(sizeof(*outgoing) + message.length);
    outgoing->fd = duplicate;
    outgoing->length = message.length;
    memcpy(outgoing->bytes, message.data, message.length);
    list_append(&channel->outgoing, &outgoing->node);
    channel->outgoing_count++;
    if (channel->outgoing_count == 1)
        channel_watch(channel);
    return true;
}

bool channel_send(struct channel *channel, struct span message, int fd)
{
    int error = EAGAIN;

    assert(message.length > 0 && message.length <= CHANNEL_MESSAGE_MAX);
    if (channel->has_ended || channel->is_closing)
        return false;
    if (channel->outgoing_count == 0)
        error = channel_send_now(channel->fd, message, fd);
    if (error == 0)
        return true;
    if (!error_is_temporary(error))
        return false;
    if (channel_keep(channel, message, fd))
        return true;
    channel_mark_ended(channel);
    return false;
}

static void channel_flush(struct channel *channel)
{
    while (channel->outgoing_count > 0) {
        struct outgoing *outgoing = LIST_ELEMENT(channel->outgoing.next, struct outgoing, node);
        int error =
            channel_send_now(channel->fd, span_of(outgoing->bytes, outgoing->length), outgoing->fd);

        if (error_is_temporary(error))
            return;
        if (error != 0) {
            channel_drop_outgoing(channel);
            break;
        }
        list_remove(&outgoing->node);
        outgoing_free(outgoing);
        channel->outgoing_count--;
    }
    channel_watch(channel);
}

/* Takes the descriptor out of what came; false when there are several: all of them are closed. */
static bool header_take_descriptor(struct msghdr *header, int *fd)
{
    unsigned count = 0;

    *fd = -1;
    for (struct cmsghdr *part = CMSG_FIRSTHDR(header); part; part = CMSG_NXTHDR(header, part)) {
        size_t end = part->cmsg_len - CMSG_LEN(0);

        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t offset = 0; offset + sizeof(int) <= end; offset += sizeof(int)) {
            if (count++ > 0)
                close(*fd);
            memcpy(fd, CMSG_DATA(part) + offset, sizeof(*fd));
        }
    }
    if (count <= 1)
        return true;
    close(*fd);
    *fd = -1;
    return false;
}

/*
 * Reads one message and hands it over; false when there is none now or never again.  A reset only
 * says that the peer left messages of ours unread: what it sent before, and the end, are behind it.
 */
static bool channel_receive(struct channel *channel)
{
    union descriptor_control control;
    struct iovec part = { .iov_base = channel->loop->message, .iov_len = IO_MESSAGE_SIZE };
    struct msghdr header = { .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes) };
    ssize_t length = recvmsg(channel->fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    bool is_whole;
    int fd;

    if (length < 0 && (errno == EINTR || errno == ECONNRESET))
        return true;
    if (length < 0 && errno == EAGAIN)
        return false;
    if (length < 0) {
        channel_mark_ended(channel);
        return false;
    }
    is_whole = header_take_descriptor(&header, &fd) && length > 0 &&
               (header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0;
    if (!is_whole) {
        if (fd >= 0)
            close(fd);
        channel_mark_ended(channel);
        return false;
    }
    channel->events->message(channel, span_of(channel->loop->message, (size_t)length), fd);
    return true;
}

static void channel_on_event(void *owner, unsigned readiness)
{
    struct channel *channel = owner;
    bool is_active = true;

    if (readiness & IO_WRITABLE)
        channel_flush(channel);
    if ((readiness & IO_READABLE) == 0)
        return;
    for (int i = 0; i < CHANNEL_MESSAGES_PER_TURN && is_active; i++)
        is_active = channel_receive(channel) && !channel->has_ended && !channel->is_closing;
}

void channel_init(struct channel *channel, struct io_loop *loop, int fd,
                  const struct channel_events *events)
{
    int size = 4 * CHANNEL_MESSAGE_MAX;

    *channel = (struct channel){ .watch = io_watch_new(loop, fd, channel_on_event, channel),
                                 .loop = loop,
                                 .events = events,
                                 .fd = fd };
    list_init(&channel->outgoing);
    io_resumption_init(&channel->end, channel_on_end);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    channel_watch(channel);
}

void channel_put_in_background(struct channel *channel)
{
    io_watch_put_in_background(channel->watch);
}

static void channel_on_closed(void *owner)
{
    struct channel *channel = owner;

    channel->events->closed(channel);
}

void channel_close(struct channel *channel)
{
    if (channel->is_closing)
        return;
    channel->is_closing = true;
    io_resumption_cancel(&channel->end);
    channel_drop_outgoing(channel);
    io_watch_close(channel->watch, channel_on_closed);
    channel->fd = -1;
}

int channel_connect(const char *path)
{
    return unix_socket_connect(path, SOCK_SEQPACKET);
}

int channel_listen(const char *path, unsigned mode)
{
    return unix_socket_listen(path, SOCK_SEQPACKET, mode, CHANNEL_BACKLOG);
}
