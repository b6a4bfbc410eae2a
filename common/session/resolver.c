/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/resolver.h"

#include <assert.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/service/child.h"
#include "common/session/resolver_bind.h"
#include "directory/route_rules.h"

enum {
    RESOLVER_TICK_MS = 250,
    RESOLVER_RECONNECT_MS = 10,
    RESOLVER_TIMEOUT_MS = 3000,
    RESOLVER_BIND_TIMEOUT_MS = 10000
};

static void resolver_tick(uv_timer_t *timer);

static void resolver_finish(struct resolver_request *request, enum route_outcome outcome)
{
    list_remove(&request->node);
    request->route.outcome = outcome;
    if (outcome == ROUTE_UNAVAILABLE)
        request->route.reason = "the directory could not confirm that it is unknown";
    request->done(request);
}

static void resolver_fail_waiting(struct resolver *resolver, uint64_t asked_before_ms)
{
    /* `done` may ask again, which appends behind what is walked here. */
    LIST_EACH (node, &resolver->waiting) {
        struct resolver_request *request = LIST_ELEMENT(node, struct resolver_request, node);

        if (request->asked_ms > asked_before_ms)
            break;
        resolver_finish(request, ROUTE_UNAVAILABLE);
    }
}

static struct resolver_request *resolver_find(struct resolver *resolver, uint32_t number)
{
    LIST_EACH (node, &resolver->waiting) {
        struct resolver_request *request = LIST_ELEMENT(node, struct resolver_request, node);

        if (request->number == number)
            return request;
    }
    return NULL;
}

static void resolver_confirmed(struct resolver *resolver, struct wire_reader *reader)
{
    uint32_t number = wire_get_u32(reader);
    uint8_t answer = wire_get_u8(reader);
    struct resolver_request *request =
        wire_reader_is_complete(reader) ? resolver_find(resolver, number) : NULL;

    if (request)
        resolver_finish(request, answer == DIRECTORY_ABSENT ? ROUTE_UNKNOWN : ROUTE_UNAVAILABLE);
}

static void resolver_accounts_changed(struct resolver *resolver, struct wire_reader *reader)
{
    (void)wire_get_u64(reader); /* the mirror already has this revision */
    while (!reader->failed && reader->rest.length > 0) {
        struct span account = wire_get_span(reader);
        struct span host = wire_get_span(reader);

        if (!reader->failed && resolver->changed)
            resolver->changed(resolver, account, host);
    }
}

static void resolver_backends_changed(struct resolver *resolver)
{
    resolver->backends_are_due =
        resolver->backends_changed && !resolver->backends_changed(resolver);
}

static void resolver_message(struct channel *channel, struct span message, int fd)
{
    struct resolver *resolver = CONTAINER_OF(channel, struct resolver, channel);
    struct wire_reader reader = wire_reader_over(message);

    if (fd >= 0)
        close(fd);
    switch (wire_get_u8(&reader)) {
    case DIRECTORY_CONFIRMED:
        resolver_confirmed(resolver, &reader);
        return;
    case DIRECTORY_BOUND:
        resolver_bound(resolver, &reader);
        return;
    case DIRECTORY_CHANGED:
        resolver_accounts_changed(resolver, &reader);
        return;
    case DIRECTORY_CHANGED_MANY:
        if (resolver->changed)
            resolver->changed(resolver, SPAN_EMPTY, SPAN_EMPTY);
        return;
    case DIRECTORY_BACKENDS:
        resolver_backends_changed(resolver);
        return;
    default:
        return;
    }
}

static void resolver_channel_ended(struct channel *channel)
{
    channel_close(channel);
}

static void resolver_handle_closed(struct resolver *resolver)
{
    if (--resolver->open_handles == 0 && resolver->stopped)
        resolver->stopped(resolver);
}

static void resolver_channel_closed(struct channel *channel)
{
    struct resolver *resolver = CONTAINER_OF(channel, struct resolver, channel);

    resolver->is_connected = false;
    if (!resolver->is_stopping) {
        resolver_fail_waiting(resolver, UINT64_MAX - 1);
        resolver_fail_binding(resolver, UINT64_MAX - 1);
        /* The supervisor holds the socket: the next process takes who waits there already. */
        uv_timer_start(&resolver->timer, resolver_tick, RESOLVER_RECONNECT_MS, RESOLVER_TICK_MS);
    }
    resolver_handle_closed(resolver);
}

static const struct channel_events resolver_channel_events = {
    .message = resolver_message,
    .ended = resolver_channel_ended,
    .closed = resolver_channel_closed,
};

static void resolver_connect(struct resolver *resolver)
{
    char path[256];
    int fd;

    child_run_path(resolver->config, "directory.sock", path, sizeof(path));
    fd = channel_connect(path);
    if (fd < 0)
        return;
    channel_init(&resolver->channel, resolver->loop, fd, &resolver_channel_events);
    resolver->is_connected = true;
    resolver->open_handles++;
    resolver_backends_changed(resolver);
}

static void resolver_tick(uv_timer_t *timer)
{
    struct resolver *resolver = CONTAINER_OF(timer, struct resolver, timer);
    uint64_t now_ms = io_loop_now_ms(resolver->loop);

    mirror_view(resolver->mirror, 0);
    if (!resolver->is_connected)
        resolver_connect(resolver);
    if (resolver->backends_are_due)
        resolver_backends_changed(resolver);
    if (now_ms > RESOLVER_TIMEOUT_MS)
        resolver_fail_waiting(resolver, now_ms - RESOLVER_TIMEOUT_MS);
    if (now_ms > RESOLVER_BIND_TIMEOUT_MS)
        resolver_fail_binding(resolver, now_ms - RESOLVER_BIND_TIMEOUT_MS);
}

void resolver_start(struct resolver *resolver, struct io_loop *loop, const struct config *config,
                    void (*changed)(struct resolver *resolver, struct span account,
                                    struct span host))
{
    *resolver =
        (struct resolver){ .loop = loop, .config = config, .open_handles = 1, .changed = changed };
    resolver->mirror = mirror_open(config->state_directory);
    resolver->rules = route_rules_of(config);
    list_init(&resolver->waiting);
    list_init(&resolver->binding);
    uv_timer_init(&loop->uv, &resolver->timer);
    uv_timer_start(&resolver->timer, resolver_tick, 0, RESOLVER_TICK_MS);
}

static void resolver_timer_closed(uv_handle_t *handle)
{
    struct resolver *resolver = CONTAINER_OF(handle, struct resolver, timer);

    mirror_close(resolver->mirror);
    resolver_handle_closed(resolver);
}

void resolver_stop(struct resolver *resolver, void (*stopped)(struct resolver *resolver))
{
    resolver->is_stopping = true;
    resolver->stopped = stopped;
    if (resolver->is_connected)
        channel_close(&resolver->channel);
    uv_close((uv_handle_t *)&resolver->timer, resolver_timer_closed);
}

/* Asks the directory process whether `key` really does not exist; false when it cannot be asked. */
static bool resolver_confirm(struct resolver *resolver, struct resolver_request *request,
                             enum route_key key)
{
    char memory[ROUTE_ADDRESS_SIZE + 16];
    struct buffer message = buffer_over(memory, sizeof(memory));

    if (!resolver->is_connected)
        return false;
    request->number = ++resolver->last_number;
    wire_put_u8(&message, DIRECTORY_CONFIRM);
    wire_put_u32(&message, request->number);
    wire_put_u8(&message, key);
    wire_put_span(&message, span_from_string(request->route.key));
    if (message.overflowed || !channel_send(&resolver->channel, buffer_span(&message), -1))
        return false;
    request->asked_ms = io_loop_now_ms(resolver->loop);
    list_append(&resolver->waiting, &request->node);
    return true;
}

/* The mirror, as of the revision that the board shows: as long as it is the same, in one view. */
static struct route_source resolver_source(struct resolver *resolver)
{
    mirror_view(resolver->mirror, resolver_revision(resolver));
    return mirror_source(resolver->mirror);
}

bool resolver_ask(struct resolver *resolver, struct resolver_request *request, enum route_key key,
                  struct span value, const char *default_domain)
{
    struct route_source source;

    assert(list_is_empty(&request->node));
    request->revision = resolver_revision(resolver);
    source = resolver_source(resolver);
    if (key == ROUTE_KEY_ADDRESS)
        route_address(&resolver->rules, &source, value, &request->route);
    else
        route_login(&resolver->rules, &source, value, default_domain, &request->route);
    if (request->route.outcome != ROUTE_UNKNOWN)
        return true;
    if (request->route.key[0] == '\0')
        return true; /* what cannot be a key needs no confirmation */
    if (resolver_confirm(resolver, request, key))
        return false;
    request->route.outcome = ROUTE_UNAVAILABLE;
    request->route.reason = "the directory process cannot be asked";
    return true;
}

void resolver_look_up(struct resolver *resolver, enum route_key key, const char *value,
                      struct route *route)
{
    struct route_source source = resolver_source(resolver);

    if (key == ROUTE_KEY_ADDRESS)
        route_address(&resolver->rules, &source, span_from_string(value), route);
    else
        route_login(&resolver->rules, &source, span_from_string(value), NULL, route);
}

uint64_t resolver_revision(const struct resolver *resolver)
{
    return resolver->board ? atomic_load(&resolver->board->mirror_revision) : 0;
}

bool resolver_is_behind(const struct resolver *resolver, uint64_t revision)
{
    return revision == 0 || revision != resolver_revision(resolver);
}

void resolver_cancel(struct resolver_request *request)
{
    list_remove(&request->node);
}

void resolver_request_init(struct resolver_request *request,
                           void (*done)(struct resolver_request *request))
{
    list_init(&request->node);
    request->done = done;
}
