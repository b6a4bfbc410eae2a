/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The part that all children have in common: heartbeat and signals.  Until the
 * supervisor asks for the end the loop stays, even with nothing to do; from then on
 * only what the role itself has open keeps it.
 */
#include "common/service/child.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"

enum { HEARTBEAT_INTERVAL_MS = 500 };

static void show_heartbeat(uv_timer_t *timer)
{
    struct child *child = CONTAINER_OF(timer, struct child, heartbeat);

    atomic_store(&child->slot->heartbeat_ms, clock_monotonic_ms());
}

/* The end was asked for: the loop may run out. */
static void let_loop_end(struct child *child)
{
    uv_unref((uv_handle_t *)&child->signal_term);
}

static void tell_to_stop(struct child *child)
{
    let_loop_end(child);
    if (child->stop)
        child->stop(child);
    else
        io_loop_stop(&child->loop);
}

static void on_term(uv_signal_t *handle, int number)
{
    (void)number;
    tell_to_stop(CONTAINER_OF(handle, struct child, signal_term));
}

static void on_usr1(uv_signal_t *handle, int number)
{
    struct child *child = CONTAINER_OF(handle, struct child, signal_usr1);

    (void)number;
    if (atomic_exchange(&child->slot->is_draining, 1))
        return;
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "draining",
              LOG_INTEGER("sessions", atomic_load(&child->slot->counters[BOARD_SESSIONS])));
    let_loop_end(child);
    if (child->drain)
        child->drain(child);
    else
        tell_to_stop(child);
}

static void start_signal(struct child *child, uv_signal_t *handle, uv_signal_cb callback,
                         int number)
{
    if (uv_signal_init(&child->loop.uv, handle) != 0 ||
        uv_signal_start(handle, callback, number) != 0)
        abort();
}

/* The supervisor forked us with these blocked, so that none is lost before now. */
static void unblock_signals(void)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

static void tell_ready(struct child *child)
{
    uint64_t one = 1;

    atomic_store(&child->slot->is_ready, 1);
    if (child->ready_fd >= 0 && write(child->ready_fd, &one, sizeof(one)) < 0)
        LOG_EVENT(LOG_LEVEL_DEBUG, NULL, "supervisor_not_woken");
}

void child_run_loop(struct child *child)
{
    start_signal(child, &child->signal_term, on_term, SIGTERM);
    start_signal(child, &child->signal_usr1, on_usr1, SIGUSR1);
    uv_unref((uv_handle_t *)&child->signal_usr1);
    uv_timer_init(&child->loop.uv, &child->heartbeat);
    uv_timer_start(&child->heartbeat, show_heartbeat, 0, HEARTBEAT_INTERVAL_MS);
    uv_unref((uv_handle_t *)&child->heartbeat);
    unblock_signals();
    show_heartbeat(&child->heartbeat);
    tell_ready(child);
    io_loop_run(&child->loop);
    uv_close((uv_handle_t *)&child->heartbeat, NULL);
    uv_close((uv_handle_t *)&child->signal_term, NULL);
    uv_close((uv_handle_t *)&child->signal_usr1, NULL);
}

void child_close_listeners(struct child *child)
{
    for (size_t i = 0; child->listen_fds && i < child->config->listener_count; i++) {
        if (child->listen_fds[i] >= 0)
            close(child->listen_fds[i]);
        child->listen_fds[i] = -1;
    }
}

void child_run_path(const struct config *config, const char *name, char *path, size_t size)
{
    snprintf(path, size, "%s/%s", config->run_directory, name);
}
