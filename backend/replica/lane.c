/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane never writes a command twice: when a connection that waited for it turns out to be gone,
 * the command is lost, and its owner tries again when it likes.
 */
#include "backend/replica/lane.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/io/connector.h"
#include "common/io/deadline.h"
#include "common/io/transport.h"
#include "common/session/intake.h"

enum {
    LANE_CONNECT_MS = 10000,
    LANE_IDLE_MS = 2000,
    LANE_OUTPUT_MAX = 4 << 20 /* of one command */
};

enum { LANE_IDLE, LANE_CONNECTING, LANE_PROVING, LANE_READY, LANE_RUNNING, LANE_CLOSING };

static const struct state_row lane_states[] = {
    [LANE_IDLE] = { "idle", STATE_BIT(LANE_CONNECTING) },
    [LANE_CONNECTING] = { "connecting", STATE_BIT(LANE_PROVING) | STATE_BIT(LANE_IDLE) },
    [LANE_PROVING] = { "proving", STATE_BIT(LANE_RUNNING) | STATE_BIT(LANE_CLOSING) },
    [LANE_READY] = { "ready", STATE_BIT(LANE_RUNNING) | STATE_BIT(LANE_CLOSING) },
    [LANE_RUNNING] = { "running", STATE_BIT(LANE_READY) | STATE_BIT(LANE_CLOSING) },
    [LANE_CLOSING] = { "closing", STATE_BIT(LANE_IDLE) },
};

struct lane {
    struct io_loop *loop;
    const struct lane_target *target;
    void *context;
    struct state state;
    struct connector *connector;
    struct transport transport;
    struct deadline deadline;
    struct intake intake;
    struct doveadm_client client;
    struct doveadm_command command; /* in `words` */
    struct bytes words;
    struct bytes output;
    uint64_t timeout_ms;
    void (*done)(struct lane *lane, const struct lane_result *result); /* NULL: nothing runs */
    bool is_waiting;                /* a command came while the last connection was closing */
    void (*stopped)(void *context); /* not NULL: no more */
};

bool lane_is_busy(const struct lane *lane)
{
    return lane->done != NULL;
}

void *lane_context(const struct lane *lane)
{
    return lane->context;
}

static void lane_finish(struct lane *lane, enum lane_end end, const char *text)
{
    void (*done)(struct lane *, const struct lane_result *) = lane->done;
    const struct lane_result result = { end, text, bytes_span(&lane->output) };

    lane->done = NULL;
    if (done && !lane->stopped)
        done(lane, &result);
}

/* Ends the connection, and then what runs on it; a command that was not sent gets another. */
static void lane_close(struct lane *lane, enum lane_end end, const char *text)
{
    lane->is_waiting = lane->state.current == LANE_READY && lane->done;
    state_move(&lane->state, LANE_CLOSING);
    deadline_clear(&lane->deadline);
    transport_close(&lane->transport);
    if (!lane->is_waiting)
        lane_finish(lane, end, text);
}

/* --- the dialogue --------------------------------------------------------------------------- */

static bool lane_begin_command(struct lane *lane)
{
    state_move(&lane->state, LANE_RUNNING);
    deadline_set(&lane->deadline, lane->timeout_ms);
    return doveadm_client_run(&lane->client, &lane->command);
}

/* True when the machine is to be called again. */
static bool lane_take_event(struct lane *lane, enum doveadm_event event)
{
    switch (event) {
    case DOVEADM_FLUSH:
        return true;
    case DOVEADM_NEED_INPUT:
        return false;
    case DOVEADM_READY:
        if (lane_begin_command(lane))
            return true;
        lane_close(lane, LANE_CODE, "a word that cannot be sent");
        return false;
    case DOVEADM_OUTPUT:
        if (bytes_append(&lane->output, lane->client.output))
            return true;
        lane_close(lane, LANE_CODE, "too much output");
        return false;
    case DOVEADM_RESULT:
        if (!lane->target->is_used_again) {
            lane_close(lane, lane->client.code[0] ? LANE_CODE : LANE_OK, lane->client.code);
            return false;
        }
        state_move(&lane->state, LANE_READY);
        deadline_set(&lane->deadline, LANE_IDLE_MS);
        lane_finish(lane, lane->client.code[0] ? LANE_CODE : LANE_OK, lane->client.code);
        return false;
    case DOVEADM_FAILED:
        lane_close(lane, lane->state.current == LANE_RUNNING ? LANE_LOST : LANE_UNREACHABLE,
                   lane->client.why);
        return false;
    }
    return false;
}

static void lane_talk(struct lane *lane)
{
    bool goes_on = true;

    while (goes_on && lane->state.current != LANE_CLOSING && lane->state.current != LANE_READY) {
        struct buffer out = io_loop_out(lane->loop);
        enum doveadm_event event = doveadm_client_next(&lane->client, &lane->intake.input, &out);

        if (out.length > 0 && !transport_send(&lane->transport, buffer_span(&out))) {
            lane_close(lane, LANE_LOST, transport_error(&lane->transport));
            return;
        }
        if (lane->state.current == LANE_PROVING)
            explicit_bzero(out.data, out.length); /* it may have been the password */
        goes_on = lane_take_event(lane, event);
    }
}

static void lane_hear(struct lane *lane)
{
    while (lane->state.current != LANE_CLOSING) {
        ssize_t count = intake_read(&lane->intake, &lane->transport);

        if (count == TRANSPORT_AGAIN)
            return;
        if (count <= 0 || lane->state.current == LANE_READY) {
            lane_close(lane, lane->state.current == LANE_RUNNING ? LANE_LOST : LANE_UNREACHABLE,
                       count == TRANSPORT_END ? "it closed the connection"
                                              : transport_error(&lane->transport));
            return;
        }
        lane_talk(lane);
        intake_settle(&lane->intake);
    }
}

static void lane_ready(struct transport *transport, unsigned readiness)
{
    struct lane *lane = CONTAINER_OF(transport, struct lane, transport);

    if (lane->state.current == LANE_CLOSING)
        return;
    if (readiness & TRANSPORT_SECURED)
        lane_talk(lane);
    if (readiness & TRANSPORT_READABLE)
        lane_hear(lane);
}

/* --- the connection ------------------------------------------------------------------------- */

static void lane_connect(struct lane *lane);

static void lane_deadline_closed(struct deadline *deadline)
{
    struct lane *lane = CONTAINER_OF(deadline, struct lane, deadline);

    bytes_release(&lane->words);
    bytes_release(&lane->output);
    lane->stopped(lane->context);
    free(lane);
}

static void lane_transport_closed(struct transport *transport)
{
    struct lane *lane = CONTAINER_OF(transport, struct lane, transport);

    intake_fini(&lane->intake);
    doveadm_client_fini(&lane->client);
    state_move(&lane->state, LANE_IDLE);
    if (lane->stopped)
        deadline_close(&lane->deadline, lane_deadline_closed);
    else if (lane->is_waiting)
        lane_connect(lane);
}

static const struct transport_events lane_events = {
    .ready = lane_ready,
    .closed = lane_transport_closed,
};

static void lane_connected(struct connector *connector, struct io_watch *watch, const char *error)
{
    struct lane *lane = connector_context(connector);
    const struct lane_target *target = lane->target;

    lane->connector = NULL;
    if (!watch) {
        state_move(&lane->state, LANE_IDLE);
        deadline_clear(&lane->deadline);
        lane_finish(lane, LANE_UNREACHABLE, error);
        return;
    }
    state_move(&lane->state, LANE_PROVING);
    transport_init_connected(&lane->transport, watch, &lane_events);
    intake_init(&lane->intake, false);
    doveadm_client_init(&lane->client, target->password);
    transport_watch(&lane->transport, TRANSPORT_READABLE);
    if (!target->tls)
        lane_talk(lane);
    else if (!transport_start_tls_client(&lane->transport, target->tls, target->tls_name, NULL))
        lane_close(lane, LANE_UNREACHABLE, "TLS cannot begin");
}

static void lane_connect(struct lane *lane)
{
    lane->is_waiting = false;
    state_move(&lane->state, LANE_CONNECTING);
    deadline_set(&lane->deadline, LANE_CONNECT_MS);
    lane->connector = connector_start(lane->loop, &lane->target->endpoint, 1, lane->target->sources,
                                      LANE_CONNECT_MS, lane_connected, lane);
}

/* The command, the proof or the connection took too long; or nothing came to be run. */
static void lane_expired(struct deadline *deadline)
{
    struct lane *lane = CONTAINER_OF(deadline, struct lane, deadline);

    switch (lane->state.current) {
    case LANE_CONNECTING:
        deadline_set(deadline, LANE_CONNECT_MS); /* the connector has its own, and says why */
        break;
    case LANE_PROVING:
        lane_close(lane, LANE_UNREACHABLE, "it did not greet in time");
        break;
    case LANE_READY:
        if (lane->done && lane_begin_command(lane))
            lane_talk(lane);
        else
            lane_close(lane, LANE_CODE, "a word that cannot be sent");
        break;
    case LANE_RUNNING:
        lane_close(lane, LANE_TIMEOUT, "it took too long");
        break;
    default:
        break;
    }
}

/* --- targets ---------------------------------------------------------------------------------- */

/* What the own Dovecot's certificate has: it is the one that frontends see, too. */
static const char *lane_own_name(const struct config *config)
{
    const struct backend_config *own = config_backend(config, config->node.name);

    return own ? own->tls_name : config->cluster.hostname;
}

bool lane_target_init(struct lane_target *target, const struct config *config,
                      const struct backend_config *backend)
{
    const struct backend_tls_config *tls = &config->backend_tls;
    char error[TLS_ERROR_SIZE] = "";

    *target = (struct lane_target){ .endpoint = config->replica.doveadm,
                                    .password = config->replica.password.value };
    if (backend) {
        target->sources = &config->sources;
        target->endpoint = (struct endpoint){ .port = backend->doveadm_port };
        snprintf(target->endpoint.host, sizeof(target->endpoint.host), "%s", backend->address);
    }
    if (!config->replica.tls || target->endpoint.is_unix)
        return true;
    if (tls->verify)
        target->tls_name = backend ? backend->tls_name : lane_own_name(config);
    target->tls = tls_client_context(tls->ca, tls->verify, error);
    if (!target->tls)
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "tls_failed", LOG_TEXT("section", "backend_tls"),
                  LOG_TEXT("why", error));
    return target->tls != NULL;
}

/* --- use ------------------------------------------------------------------------------------ */

struct lane *lane_start(struct io_loop *loop, const struct lane_target *target, void *context)
{
    struct lane *lane = memory_new(sizeof(*lane));

    *lane = (struct lane){ .loop = loop,
                           .target = target,
                           .context = context,
                           .words = bytes_empty(LANE_OUTPUT_MAX),
                           .output = bytes_empty(LANE_OUTPUT_MAX) };
    state_init(&lane->state, lane_states, LANE_IDLE);
    deadline_init(&lane->deadline, loop, lane_expired);
    return lane;
}

/* Copies the words, which must fit; the spans then point to the copies. */
static void lane_keep_command(struct lane *lane, const struct doveadm_command *command)
{
    size_t offset = 0;

    bytes_release(&lane->words);
    for (size_t i = 0; i < command->count; i++)
        if (!bytes_append(&lane->words, command->words[i]))
            abort();
    lane->command.count = command->count;
    for (size_t i = 0; i < command->count; i++) {
        lane->command.words[i] =
            span_of(bytes_span(&lane->words).data + offset, command->words[i].length);
        offset += command->words[i].length;
    }
}

void lane_run(struct lane *lane, const struct doveadm_command *command, uint64_t timeout_ms,
              void (*done)(struct lane *lane, const struct lane_result *result))
{
    assert(!lane->done && !lane->stopped);
    lane_keep_command(lane, command);
    bytes_release(&lane->output);
    lane->timeout_ms = timeout_ms;
    lane->done = done;
    switch (lane->state.current) {
    case LANE_READY:
        deadline_set(&lane->deadline, 0); /* it begins from the loop */
        break;
    case LANE_CLOSING:
        lane->is_waiting = true;
        break;
    default:
        lane_connect(lane);
        break;
    }
}

void lane_stop(struct lane *lane, void (*stopped)(void *context))
{
    if (lane->stopped)
        return;
    lane->stopped = stopped;
    switch (lane->state.current) {
    case LANE_IDLE:
        deadline_close(&lane->deadline, lane_deadline_closed);
        break;
    case LANE_CONNECTING:
        connector_cancel(lane->connector);
        deadline_close(&lane->deadline, lane_deadline_closed);
        break;
    case LANE_CLOSING:
        break;
    default:
        lane_close(lane, LANE_LOST, "");
        break;
    }
}
