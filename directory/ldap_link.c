/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libldap in the loop.  What it can only do by waiting (resolving, connecting, TLS, bind)
 * it does in libuv's pool, on a handle that nobody else uses meanwhile.  From
 * then on the handle is the loop's: results are polled with a zero timeout until there are none, or
 * until this turn's budget is used up, since what libldap or TLS has buffered makes no new
 * readiness.
 *
 * One timer holds all deadlines: first of being ready, then of operations; it runs while an
 * operation has one, and also pushes requests that the socket did not take at once.
 *
 * A link ends once, by link_end.  The descriptor is libldap's and is closed by it, so the
 * poll handle is stopped first.  The struct is freed when the last handle is
 * closed and the pool is done with it.
 *
 * Referrals are never followed: the one write URI is configured.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "directory/ldap_link_private.h"

enum { LINK_TICK_MS = 50, LINK_TURN_MESSAGES = 1000, LINK_TURN_MS = 20 };

/* Runs in the pool. */
static void link_connect(uv_work_t *work)
{
    struct ldap_link *link = work->data;
    struct ldap_settings settings = {
        .uri = link->uri,
        .starttls = link->starttls,
        .ca = link->ca,
        .bind_dn = link->bind_dn,
        .password = link->password,
        .timeout_ms = link->timeout_ms,
    };

    link->ld = ldap_link_connect(&settings, link->watch, link->reason);
}

/* --- the end ---------------------------------------------------------------------------- */

static void link_release(struct ldap_link *link)
{
    if (--link->users > 0)
        return;
    if (link->password)
        explicit_bzero(link->password, strlen(link->password));
    connect_watch_free(link->watch);
    free(link->uri);
    free(link->ca);
    free(link->bind_dn);
    free(link->password);
    free(link);
}

static void link_on_closed(uv_handle_t *handle)
{
    link_release(handle->data);
}

void link_free_operation(struct ldap_link *link, struct link_operation *operation)
{
    list_remove(&operation->node);
    link->operation_count--;
    if (operation->deadline_ms && --link->deadline_count == 0)
        uv_timer_stop(&link->timer);
    free(operation);
}

void link_finish(struct ldap_link *link, struct link_operation *operation,
                 const struct ldap_answer *answer)
{
    ldap_done *done = operation->done;
    void *context = operation->context;

    link_free_operation(link, operation);
    if (!link->is_closing)
        done(context, answer);
}

/* Lets go of the server: from here on there is no handle to ask. */
static void link_disconnect(struct ldap_link *link)
{
    if (link->state == LINK_READY) {
        uv_poll_stop(&link->poll);
        uv_timer_stop(&link->rest);
    }
    link->state = LINK_ENDED;
    if (link->ld)
        ldap_unbind_ext(link->ld, NULL, NULL);
    link->ld = NULL;
    io_resumption_cancel(&link->more);
}

/* Ends the link for `reason`: all that is open is lost. */
static void link_end(struct ldap_link *link)
{
    struct ldap_answer lost = { .code = LDAP_CODE_LOST, .text = link->reason };

    link_disconnect(link);
    while (!list_is_empty(&link->operations))
        link_finish(link, LIST_ELEMENT(link->operations.next, struct link_operation, node), &lost);
    if (!link->is_closing)
        link->events->ended(link->context, link->reason);
}

void ldap_link_close(struct ldap_link *link)
{
    bool is_connecting = link->state == LINK_CONNECTING;

    link->is_closing = true;
    while (!list_is_empty(&link->operations))
        link_free_operation(link, LIST_ELEMENT(link->operations.next, struct link_operation, node));
    if (!is_connecting)
        link_disconnect(link); /* else when the pool is done with it */
    uv_close((uv_handle_t *)&link->timer, link_on_closed);
    if (link->poll.data) {
        uv_close((uv_handle_t *)&link->poll, link_on_closed);
        uv_close((uv_handle_t *)&link->rest, link_on_closed);
    }
    if (is_connecting && uv_cancel((uv_req_t *)&link->work) != 0)
        connect_watch_abort(link->watch);
}

/* --- answers ------------------------------------------------------------------------------ */

struct link_operation *link_find_operation(struct ldap_link *link, int number)
{
    LIST_EACH (node, &link->operations) {
        struct link_operation *operation = LIST_ELEMENT(node, struct link_operation, node);

        if (operation->number == number)
            return operation;
    }
    return NULL;
}

/* Takes one message; false when there is none, or the link is at its end. */
static bool link_take_next(struct ldap_link *link)
{
    struct timeval zero = { 0, 0 };
    LDAPMessage *message = NULL;
    int result = ldap_result(link->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &zero, &message);

    if (result < 0)
        ldap_link_explain(link->ld, "connection", LDAP_SERVER_DOWN, link->reason);
    if (result <= 0)
        return false;
    link->message_count++;
    link_take_message(link, message);
    ldap_msgfree(message);
    return !link->is_closing && link->reason[0] == '\0';
}

/* Takes what has arrived, within the budget of a turn. */
static void link_read(struct ldap_link *link)
{
    uint64_t start_ms = clock_monotonic_ms();
    uint64_t first = link->message_count;
    unsigned count = 0;

    while (link_take_next(link))
        if (++count % 16 == 0 &&
            (count >= LINK_TURN_MESSAGES || clock_monotonic_ms() - start_ms >= LINK_TURN_MS)) {
            io_loop_resume(link->loop, &link->more);
            break;
        }
    if (!link->is_closing && link->message_count > first && link->events->turn)
        link->events->turn(link->context);
    if (!link->is_closing && link->reason[0])
        link_end(link);
}

static void link_on_readiness(uv_poll_t *poll, int status, int events)
{
    (void)status; /* an error shows in ldap_result */
    (void)events;
    link_read(poll->data);
}

static void link_on_rested(uv_timer_t *timer)
{
    struct ldap_link *link = timer->data;

    uv_poll_start(&link->poll, UV_READABLE, link_on_readiness);
    link_read(link); /* what libldap or TLS has already shows on no descriptor */
}

void ldap_link_rest(struct ldap_link *link, unsigned ms)
{
    if (link->state != LINK_READY || uv_is_active((uv_handle_t *)&link->rest))
        return;
    uv_poll_stop(&link->poll);
    io_resumption_cancel(&link->more);
    uv_timer_start(&link->rest, link_on_rested, ms, 0);
}

static void link_on_more(struct io_resumption *more)
{
    struct ldap_link *link = CONTAINER_OF(more, struct ldap_link, more);

    if (link->reason[0])
        link_end(link);
    else
        link_read(link);
}

/* --- opening ------------------------------------------------------------------------------- */

/* The handle is the loop's now. */
static void link_become_ready(struct ldap_link *link)
{
    int fd = -1;

    ldap_get_option(link->ld, LDAP_OPT_DESC, &fd);
    if (fd < 0 || uv_poll_init(&link->loop->uv, &link->poll, fd) != 0) {
        snprintf(link->reason, sizeof(link->reason), "connection: no descriptor");
        link_end(link);
        return;
    }
    uv_timer_init(&link->loop->uv, &link->rest);
    link->poll.data = link->rest.data = link;
    link->users += 2;
    link->state = LINK_READY;
    uv_poll_start(&link->poll, UV_READABLE, link_on_readiness);
    link->events->ready(link->context);
}

static void link_on_connected(uv_work_t *work, int status)
{
    struct ldap_link *link = work->data;

    (void)status; /* a cancelled one is closing */
    if (!link->is_closing)
        uv_timer_stop(&link->timer);
    if (link->is_closing)
        link_disconnect(link);
    else if (link->reason[0])
        link_end(link);
    else
        link_become_ready(link);
    link_release(link);
}

static void link_on_late(uv_timer_t *timer)
{
    struct ldap_link *link = timer->data;

    connect_watch_abort(link->watch);
}

static char *link_copy(const char *text)
{
    return text ? memory_copy_string(text) : NULL;
}

struct ldap_link *ldap_link_open(struct io_loop *loop, const struct ldap_settings *settings,
                                 const struct ldap_link_events *events, void *context)
{
    struct ldap_link *link = memory_new(sizeof(*link));

    link->loop = loop;
    link->events = events;
    link->context = context;
    link->uri = memory_copy_string(settings->uri);
    link->ca = link_copy(settings->ca);
    link->bind_dn = link_copy(settings->bind_dn);
    link->password = link_copy(settings->password);
    link->starttls = settings->starttls;
    link->timeout_ms = settings->timeout_ms;
    list_init(&link->operations);
    io_resumption_init(&link->more, link_on_more);
    uv_timer_init(&loop->uv, &link->timer);
    link->timer.data = link;
    link->work.data = link;
    link->users = 2; /* the timer and the pool */
    link->watch = connect_watch_new();
    uv_timer_start(&link->timer, link_on_late, link->timeout_ms, 0);
    uv_queue_work(&loop->uv, &link->work, link_connect, link_on_connected);
    return link;
}

int ldap_link_descriptor(const struct ldap_link *link)
{
    int fd = -1;

    if (link->state == LINK_READY)
        ldap_get_option(link->ld, LDAP_OPT_DESC, &fd);
    return fd;
}

size_t ldap_link_pending(const struct ldap_link *link)
{
    return link->operation_count;
}

/* --- operations ------------------------------------------------------------------------------ */

static void link_expire(struct ldap_link *link, struct link_operation *operation)
{
    struct ldap_answer late = { .code = LDAP_CODE_TIMEOUT, .text = "no answer in time" };

    ldap_abandon_ext(link->ld, operation->number, NULL, NULL);
    link_finish(link, operation, &late);
}

/* Expires one operation that is late; false when none is. */
static bool link_expire_next(struct ldap_link *link, uint64_t now_ms)
{
    LIST_EACH (node, &link->operations) {
        struct link_operation *operation = LIST_ELEMENT(node, struct link_operation, node);

        if (operation->deadline_ms && operation->deadline_ms <= now_ms) {
            link_expire(link, operation);
            return !link->is_closing;
        }
    }
    return false;
}

static void link_on_tick(uv_timer_t *timer)
{
    struct ldap_link *link = timer->data;

    link_read(link);
    while (link->state == LINK_READY && link_expire_next(link, clock_monotonic_ms()))
        ;
}

int link_note(struct ldap_link *link, int code, int number, unsigned timeout_ms,
              const struct link_operation *what)
{
    struct link_operation *operation;

    if (code != LDAP_SUCCESS) {
        ldap_link_explain(link->ld, "request", code, link->reason);
        io_loop_resume(link->loop, &link->more);
        return 0;
    }
    operation = memory_new(sizeof(*operation));
    *operation = *what;
    operation->number = number;
    list_append(&link->operations, &operation->node);
    link->operation_count++;
    if (timeout_ms == 0)
        return number;
    operation->deadline_ms = clock_monotonic_ms() + timeout_ms;
    if (link->deadline_count++ == 0)
        uv_timer_start(&link->timer, link_on_tick, LINK_TICK_MS, LINK_TICK_MS);
    return number;
}
