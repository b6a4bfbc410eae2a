/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/backend_status.h"

#include "common/base/clock.h"
#include "common/service/metrics.h"

/* A row of the board, at one moment. */
struct seen {
    int state; /* enum board_health_state */
    uint64_t age_ms;
    bool is_ramped;
};

static struct seen look(const struct board_health *health, const struct ramp_rules *rules)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t since_ms = atomic_load(&health->since_ms);
    struct seen seen = { .state = atomic_load(&health->state),
                         .age_ms = since_ms > 0 && now_ms > since_ms ? now_ms - since_ms : 0 };

    if (seen.state < BOARD_HEALTH_UNKNOWN || seen.state > BOARD_HEALTH_DOWN)
        seen.state = BOARD_HEALTH_UNKNOWN;
    seen.is_ramped =
        seen.state != BOARD_HEALTH_DOWN && ramp_is_steep(&health->returning, rules, now_ms * 1000);
    return seen;
}

static json_t *protocol_status(const struct board_health *health, const struct ramp_rules *rules)
{
    struct seen seen = look(health, rules);

    return json_pack("{s:s, s:I, s:b}", "state", board_health_names[seen.state], "since_s",
                     (json_int_t)(seen.age_ms / 1000), "is_ramped", seen.is_ramped);
}

static json_t *address_list(const struct backend *backend)
{
    json_t *addresses = json_array();

    for (size_t i = 0; i < backend->address_count; i++)
        json_array_append_new(addresses, json_string(backend->addresses[i]));
    return addresses;
}

json_t *backend_status(const struct backend *backend, struct board *board,
                       const struct health_config *config)
{
    struct ramp_rules rules = backend_ramp_rules(config);
    const struct board_backend *row = board_backend(board, backend_key(backend));
    json_t *status = json_pack(
        "{s:s, s:s, s:s, s:i, s:o, s:i, s:i, s:i, s:i}", "backend", backend->name, "source",
        backend->is_from_directory ? "directory" : "configuration", "state",
        backend_state_names[backend->state], "weight", (int)backend->weight, "addresses",
        address_list(backend), "lmtp_port", backend->lmtp_port, "imap_port", backend->imap_port,
        "pop3_port", backend->pop3_port, "sieve_port", backend->sieve_port);

    for (int protocol = PROTOCOL_LMTP; row && protocol <= PROTOCOL_SIEVE; protocol++)
        json_object_set_new(status, protocol_name(protocol),
                            protocol_status(&row->health[protocol], &rules));
    return status;
}

void backend_metrics(const struct backend *backend, struct board *board,
                     const struct health_config *config,
                     void (*sample)(json_t *sample, void *context), void *context)
{
    struct ramp_rules rules = backend_ramp_rules(config);
    const struct board_backend *row = board_backend(board, backend_key(backend));

    for (int protocol = PROTOCOL_LMTP; row && protocol <= PROTOCOL_SIEVE; protocol++) {
        struct seen seen = look(&row->health[protocol], &rules);
        const char *name = protocol_name(protocol);

        if (seen.state == BOARD_HEALTH_UNKNOWN)
            continue;
        sample(METRICS_SAMPLE("mailstead_backend_up", seen.state == BOARD_HEALTH_UP, "backend",
                              backend->name, "protocol", name, NULL),
               context);
        sample(METRICS_SAMPLE("mailstead_backend_ramping", seen.is_ramped, "backend", backend->name,
                              "protocol", name, NULL),
               context);
        sample(METRICS_SAMPLE("mailstead_backend_since_seconds", (double)seen.age_ms / 1000,
                              "backend", backend->name, "protocol", name, NULL),
               context);
    }
}

static bool copy_text(const json_t *value, char *text, size_t size)
{
    const char *string = json_string_value(value);

    return string && span_copy_string(span_from_string(string), text, size);
}

static bool read_addresses(const json_t *list, struct backend *backend)
{
    size_t count = json_array_size(list);

    for (size_t i = 0; i < count && i < BACKEND_ADDRESSES_MAX; i++)
        if (!copy_text(json_array_get(list, i), backend->addresses[backend->address_count++],
                       ENDPOINT_HOST_SIZE))
            return false;
    return count > 0 && count <= BACKEND_ADDRESSES_MAX;
}

static bool read_state(const json_t *value, struct backend *backend)
{
    for (int i = 0; json_string_value(value) && backend_state_names[i]; i++)
        if (strcmp(json_string_value(value), backend_state_names[i]) == 0) {
            backend->state = (enum backend_state)i;
            return true;
        }
    return false;
}

bool backend_from_status(const json_t *status, struct backend *backend)
{
    const char *source = json_string_value(json_object_get(status, "source"));
    struct backend read = { .is_from_directory = source && strcmp(source, "directory") == 0 };

    if (!copy_text(json_object_get(status, "backend"), read.name, sizeof(read.name)) ||
        !read_addresses(json_object_get(status, "addresses"), &read) ||
        !read_state(json_object_get(status, "state"), &read))
        return false;
    read.lmtp_port = (uint16_t)json_integer_value(json_object_get(status, "lmtp_port"));
    read.imap_port = (uint16_t)json_integer_value(json_object_get(status, "imap_port"));
    read.pop3_port = (uint16_t)json_integer_value(json_object_get(status, "pop3_port"));
    read.sieve_port = (uint16_t)json_integer_value(json_object_get(status, "sieve_port"));
    read.weight = (unsigned)json_integer_value(json_object_get(status, "weight"));
    *backend = read;
    return true;
}
