/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane never writes a command twice: when a connection that waited for it turns out to be gone,
 * the command is lost, and its owner tries again when it likes.
 */
#include "backend/replica/doveadm_lane.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/log.h"
#include "common/io/connector.h"
#include "common/io/deadline.h"
#include "common/io/transport.h"
#include "common/session/intake.h"

enum {
    DOVEADM_LANE_CONNECT_MS = 10000,
    DOVEADM_LANE_IDLE_MS = 2000,
    DOVEADM_LANE_OUTPUT_MAX = 4 << 20 /* of one command */
};

enum {
    DOVEADM_LANE_IDLE,
    DOVEADM_LANE_CONNECTING,
    DOVEADM_LANE_PROVING,
    DOVEADM_LANE_READY,
    DOVEADM_LANE_RUNNING,
    DOVEADM_LANE_CLOSING
};

static const struct state_row doveadm_lane_states[] = {
    [DOVEADM_LANE_IDLE] = { "idle", STATE_BIT(DOVEADM_LANE_CONNECTING) },
    [DOVEADM_LANE_CONNECTING] = { "connecting",
                                  STATE_BIT(DOVEADM_LANE_PROVING) | STATE_BIT(DOVEADM_LANE_IDLE) },
    [DOVEADM_LANE_PROVING] = { "proving",
                               STATE_BIT(DOVEADM_LANE_RUNNING) | STATE_BIT(DOVEADM_LANE_CLOSING) },
    [DOVEADM_LANE_READY] = { "ready",
                             STATE_BIT(DOVEADM_LANE_RUNNING) | STATE_BIT(DOVEADM_LANE_CLOSING) },
    [DOVEADM_LANE_RUNNING] = { "running",
                               STATE_BIT(DOVEADM_LANE_READY) | STATE_BIT(DOVEADM_LANE_CLOSING) },
    [DOVEADM_LANE_CLOSING] = { "closing", STATE_BIT(DOVEADM_LANE_IDLE) },
};

struct doveadm_lane {
    struct io_loop *loop;
    const struct doveadm_lane_target *target;
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
    void (*done)(struct doveadm_lane *lane,
                 const struct doveadm_lane_result *result); /* NULL: nothing runs */
    bool is_waiting;                /* a command came while the last connection was closing */
    void (*stopped)(void *context); /* not NULL: no more */
};

bool doveadm_lane_is_busy(const struct doveadm_lane *lane)
{
    return lane->done != NULL;
}

void *doveadm_lane_context(const struct doveadm_lane *lane)
{
    return lane->context;
}

static void doveadm_lane_finish(struct doveadm_lane *lane, enum doveadm_lane_end end,
                                const char *text)
{
    void (*done)(struct doveadm_lane *, const struct doveadm_lane_result *) = lane->done;
    const struct doveadm_lane_result result = { end, text, bytes_span(&lane->output) };

    lane->done = NULL;
    if (done && !lane->stopped)
        done(lane, &result);
}

/* Ends the connection, and then what runs on it; a command that was not sent gets another. */
static void doveadm_lane_close(struct doveadm_lane *lane, enum doveadm_lane_end end,
                               const char *text)
{
    lane->is_waiting = lane->state.current == DOVEADM_LANE_READY && lane->done;
    state_move(&lane->state, DOVEADM_LANE_CLOSING);
    deadline_clear(&lane->deadline);
    transport_close(&lane->transport);
    if (!lane->is_waiting)
        doveadm_lane_finish(lane, end, text);
}

/* --- the dialogue --------------------------------------------------------------------------- */

static bool doveadm_lane_begin_command(struct doveadm_lane *lane)
{
    state_move(&lane->state, DOVEADM_LANE_RUNNING);
    deadline_set(&lane->deadline, lane->timeout_ms);
    return doveadm_client_run(&lane->client, &lane->command);
}

/* True when the machine is to be called again. */
static bool doveadm_lane_take_event(struct doveadm_lane *lane, enum doveadm_event event)
{
    switch (event) {
    case DOVEADM_FLUSH:
        return true;
    case DOVEADM_NEED_INPUT:
        return false;
    case DOVEADM_READY:
        if (lane->command.count == 0) {
            doveadm_lane_close(lane, DOVEADM_LANE_OK, "");
            return false;
        }
        if (doveadm_lane_begin_command(lane))
            return true;
        doveadm_lane_close(lane, DOVEADM_LANE_CODE, "a word that cannot be sent");
        return false;
    case DOVEADM_OUTPUT:
        if (bytes_append(&lane->output, lane->client.output))
            return true;
        doveadm_lane_close(lane, DOVEADM_LANE_CODE, "too much output");
        return false;
    case DOVEADM_RESULT:
        if (!lane->target->is_used_again) {
            doveadm_lane_close(lane, lane->client.code[0] ? DOVEADM_LANE_CODE : DOVEADM_LANE_OK,
                               lane->client.code);
            return false;
        }
        state_move(&lane->state, DOVEADM_LANE_READY);
        deadline_set(&lane->deadline, DOVEADM_LANE_IDLE_MS);
        doveadm_lane_finish(lane, lane->client.code[0] ? DOVEADM_LANE_CODE : DOVEADM_LANE_OK,
                            lane->client.code);
        return false;
    case DOVEADM_FAILED:
        doveadm_lane_close(lane,
                           lane->state.current == DOVEADM_LANE_RUNNING ? DOVEADM_LANE_LOST
                                                                       : DOVEADM_LANE_UNREACHABLE,
                           lane->client.why);
        return false;
    }
    return false;
}

static void doveadm_lane_talk(struct doveadm_lane *lane)
{
    bool goes_on = true;

    while (goes_on && lane->state.current != DOVEADM_LANE_CLOSING &&
           lane->state.current != DOVEADM_LANE_READY) {
        struct buffer out = io_loop_out(lane->loop);
        enum doveadm_event event = doveadm_client_next(&lane->client, &lane->intake.input, &out);

        if (out.length > 0 && !transport_send(&lane->transport, buffer_span(&out))) {
            doveadm_lane_close(lane, DOVEADM_LANE_LOST, transport_error(&lane->transport));
            return;
        }
        if (lane->state.current == DOVEADM_LANE_PROVING)
            explicit_bzero(out.data, out.length); /* it may have been the password */
        goes_on = doveadm_lane_take_event(lane, event);
    }
}

static void doveadm_lane_hear(struct doveadm_lane *lane)
{
    while (lane->state.current != DOVEADM_LANE_CLOSING) {
        ssize_t count = intake_read(&lane->intake, &lane->transport);

        if (count == TRANSPORT_AGAIN)
            return;
        if (count <= 0 || lane->state.current == DOVEADM_LANE_READY) {
            doveadm_lane_close(lane,
                               lane->state.current == DOVEADM_LANE_RUNNING
                                   ? DOVEADM_LANE_LOST
                                   : DOVEADM_LANE_UNREACHABLE,
                               count == TRANSPORT_END ? "it closed the connection"
                                                      : transport_error(&lane->transport));
            return;
        }
        doveadm_lane_talk(lane);
        intake_settle(&lane->intake);
    }
}

static void doveadm_lane_ready(struct transport *transport, unsigned readiness)
{
    struct doveadm_lane *lane = CONTAINER_OF(transport, struct doveadm_lane, transport);

    if (lane->state.current == DOVEADM_LANE_CLOSING)
        return;
    if (readiness & TRANSPORT_SECURED)
        doveadm_lane_talk(lane);
    if (readiness & TRANSPORT_READABLE)
        doveadm_lane_hear(lane);
}

/* --- the connection ------------------------------------------------------------------------- */

static void doveadm_lane_connect(struct doveadm_lane *lane);

static void doveadm_lane_deadline_closed(struct deadline *deadline)
{
    struct doveadm_lane *lane = CONTAINER_OF(deadline, struct doveadm_lane, deadline);

    bytes_release(&lane->words);
    bytes_release(&lane->output);
    lane->stopped(lane->context);
    free(lane);
}

static void doveadm_lane_transport_closed(struct transport *transport)
{
    struct doveadm_lane *lane = CONTAINER_OF(transport, struct doveadm_lane, transport);

    intake_fini(&lane->intake);
    doveadm_client_fini(&lane->client);
    state_move(&lane->state, DOVEADM_LANE_IDLE);
    if (lane->stopped)
        deadline_close(&lane->deadline, doveadm_lane_deadline_closed);
    else if (lane->is_waiting)
        doveadm_lane_connect(lane);
}

static const struct transport_events doveadm_lane_events = {
    .ready = doveadm_lane_ready,
    .closed = doveadm_lane_transport_closed,
};

static void doveadm_lane_connected(struct connector *connector, struct io_watch *watch,
                                   const char *error)
{
    struct doveadm_lane *lane = connector_context(connector);
    const struct doveadm_lane_target *target = lane->target;

    lane->connector = NULL;
    if (!watch) {
        state_move(&lane->state, DOVEADM_LANE_IDLE);
        deadline_clear(&lane->deadline);
        doveadm_lane_finish(lane, DOVEADM_LANE_UNREACHABLE, error);
        return;
    }
    state_move(&lane->state, DOVEADM_LANE_PROVING);
    transport_init_connected(&lane->transport, watch, &doveadm_lane_events);
    intake_init(&lane->intake, false);
    doveadm_client_init(&lane->client, target->password);
    transport_watch(&lane->transport, TRANSPORT_READABLE);
    if (!target->tls)
        doveadm_lane_talk(lane);
    else if (!transport_start_tls_client(&lane->transport, target->tls, target->tls_name, NULL))
        doveadm_lane_close(lane, DOVEADM_LANE_UNREACHABLE, "TLS cannot begin");
}

static void doveadm_lane_connect(struct doveadm_lane *lane)
{
    lane->is_waiting = false;
    state_move(&lane->state, DOVEADM_LANE_CONNECTING);
    deadline_set(&lane->deadline, DOVEADM_LANE_CONNECT_MS);
    lane->connector = connector_start(lane->loop, &lane->target->endpoint, 1, lane->target->sources,
                                      DOVEADM_LANE_CONNECT_MS, doveadm_lane_connected, lane);
}

/* The command, the proof or the connection took too long; or nothing came to be run. */
static void doveadm_lane_expired(struct deadline *deadline)
{
    struct doveadm_lane *lane = CONTAINER_OF(deadline, struct doveadm_lane, deadline);

    switch (lane->state.current) {
    case DOVEADM_LANE_CONNECTING:
        deadline_set(deadline,
                     DOVEADM_LANE_CONNECT_MS); /* the connector has its own, and says why */
        break;
    case DOVEADM_LANE_PROVING:
        doveadm_lane_close(lane, DOVEADM_LANE_UNREACHABLE, "it did not greet in time");
        break;
    case DOVEADM_LANE_READY:
        if (lane->done && doveadm_lane_begin_command(lane))
            doveadm_lane_talk(lane);
        else
            doveadm_lane_close(lane, DOVEADM_LANE_CODE, "a word that cannot be sent");
        break;
    case DOVEADM_LANE_RUNNING:
        doveadm_lane_close(lane, DOVEADM_LANE_TIMEOUT, "it took too long");
        break;
    default:
        break;
    }
}

/* --- targets ---------------------------------------------------------------------------------- */

/* What the own Dovecot's certificate has: it is the one that frontends see, too. */
static const char *doveadm_lane_own_name(const struct config *config)
{
    const struct backend_config *own = config_backend(config, config->node.name);

    return own ? own->tls_name : config->cluster.hostname;
}

bool doveadm_lane_target_init(struct doveadm_lane_target *target, const struct config *config,
                              const struct backend_config *backend)
{
    const struct backend_tls_config *tls = &config->backend_tls;
    char error[TLS_ERROR_SIZE] = "";

    *target = (struct doveadm_lane_target){ .endpoint = config->replica.doveadm,
                                            .password = config->replica.password.value };
    if (backend) {
        target->sources = &config->sources;
        target->endpoint = (struct endpoint){ .port = backend->doveadm_port };
        snprintf(target->endpoint.host, sizeof(target->endpoint.host), "%s", backend->address);
    }
    if (!config->replica.tls || target->endpoint.is_unix)
        return true;
    if (tls->verify)
        target->tls_name = backend ? backend->tls_name : doveadm_lane_own_name(config);
    target->tls = tls_client_context(tls->ca, tls->verify, error);
    if (!target->tls)
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "tls_failed", LOG_TEXT("section", "backend_tls"),
                  LOG_TEXT("why", error));
    return target->tls != NULL;
}

/* --- use ------------------------------------------------------------------------------------ */

struct doveadm_lane *doveadm_lane_start(struct io_loop *loop,
                                        const struct doveadm_lane_target *target, void *context)
{
    struct doveadm_lane *lane = memory_new(sizeof(*lane));

    *lane = (struct doveadm_lane){ .loop = loop,
                                   .target = target,
                                   .context = context,
                                   .words = bytes_empty(DOVEADM_LANE_OUTPUT_MAX),
                                   .output = bytes_empty(DOVEADM_LANE_OUTPUT_MAX) };
    state_init(&lane->state, doveadm_lane_states, DOVEADM_LANE_IDLE);
    deadline_init(&lane->deadline, loop, doveadm_lane_expired);
    return lane;
}

/* Copies the words, which must fit; the spans then point to the copies. */
static void doveadm_lane_keep_command(struct doveadm_lane *lane,
                                      const struct doveadm_command *command)
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

void doveadm_lane_run(struct doveadm_lane *lane, const struct doveadm_command *command,
                      uint64_t timeout_ms,
                      void (*done)(struct doveadm_lane *lane,
                                   const struct doveadm_lane_result *result))
{
    assert(!lane->done && !lane->stopped);
    doveadm_lane_keep_command(lane, command);
    bytes_release(&lane->output);
    lane->timeout_ms = timeout_ms;
    lane->done = done;
    switch (lane->state.current) {
    case DOVEADM_LANE_READY:
        deadline_set(&lane->deadline, 0); /* it begins from the loop */
        break;
    case DOVEADM_LANE_CLOSING:
        lane->is_waiting = true;
        break;
    default:
        doveadm_lane_connect(lane);
        break;
    }
}

void doveadm_lane_prove(struct doveadm_lane *lane,
                        void (*done)(struct doveadm_lane *lane,
                                     const struct doveadm_lane_result *result))
{
    static const struct doveadm_command nothing = { .count = 0 };

    doveadm_lane_run(lane, &nothing, 0, done);
}

void doveadm_lane_stop(struct doveadm_lane *lane, void (*stopped)(void *context))
{
    if (lane->stopped)
        return;
    lane->stopped = stopped;
    switch (lane->state.current) {
    case DOVEADM_LANE_IDLE:
        deadline_close(&lane->deadline, doveadm_lane_deadline_closed);
        break;
    case DOVEADM_LANE_CONNECTING:
        connector_cancel(lane->connector);
        deadline_close(&lane->deadline, doveadm_lane_deadline_closed);
        break;
    case DOVEADM_LANE_CLOSING:
        break;
    default:
        doveadm_lane_close(lane, DOVEADM_LANE_LOST, "");
        break;
    }
}
