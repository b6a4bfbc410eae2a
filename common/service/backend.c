/* SPDX-License-Identifier: Apache-2.0 */
#include "common/service/backend.h"

#include <assert.h>
#include <stdio.h>

#include "common/base/hash.h"

const char *const backend_state_names[] = { "up", "leaving", "down", NULL };

void backend_from_config(const struct backend_config *config, struct backend *backend)
{
    *backend = (struct backend){
        .address_count = 1,
        .lmtp_port = config->lmtp_port,
        .imap_port = config->imap_port,
        .pop3_port = config->pop3_port,
        .sieve_port = config->sieve_port,
        .weight = config->weight,
        .state = config->state,
    };
    snprintf(backend->name, sizeof(backend->name), "%s", config->name);
    snprintf(backend->addresses[0], sizeof(backend->addresses[0]), "%s", config->address);
    snprintf(backend->tls_name, sizeof(backend->tls_name), "%s",
             config->tls_name ? config->tls_name : config->address);
}

bool backend_make_tls_name(const struct config *config, struct backend *backend)
{
    char memory[sizeof(backend->tls_name)];
    struct buffer name = buffer_over(memory, sizeof(memory));

    for (const char *pattern = config->backend_tls.name; *pattern; pattern++)
        if (pattern[0] == '%' && pattern[1] == 'b') {
            buffer_append_string(&name, backend->name);
            pattern++;
        } else {
            buffer_append_byte(&name, *pattern);
        }
    if (!buffer_append_byte(&name, '\0'))
        return false;
    memcpy(backend->tls_name, memory, name.length);
    return true;
}

struct ramp_rules backend_ramp_rules(const struct health_config *config)
{
    return (struct ramp_rules){ config->ramp_first, config->ramp_s * UINT64_C(1000000) };
}

static uint16_t backend_port(const struct backend *backend, enum protocol protocol)
{
    switch (protocol) {
    case PROTOCOL_IMAP:
        return backend->imap_port;
    case PROTOCOL_POP3:
        return backend->pop3_port;
    case PROTOCOL_SIEVE:
        return backend->sieve_port;
    default:
        return backend->lmtp_port;
    }
}

size_t backend_endpoints(const struct backend *backend, enum protocol protocol,
                         struct endpoint endpoints[ENDPOINTS_MAX])
{
    for (size_t i = 0; i < backend->address_count; i++) {
        endpoints[i] = (struct endpoint){ .port = backend_port(backend, protocol) };
        memcpy(endpoints[i].host, backend->addresses[i], sizeof(endpoints[i].host));
    }
    return backend->address_count;
}

/* With the NUL, which keeps two texts apart. */
static uint64_t backend_hash(uint64_t hash, const char *text)
{
    return hash_add(hash, span_of(text, strlen(text) + 1));
}

uint64_t backend_key(const struct backend *backend)
{
    uint64_t hash = backend_hash(HASH_START, backend->name);
    char ports[32];

    snprintf(ports, sizeof(ports), "%u %u %u %u", backend->lmtp_port, backend->imap_port,
             backend->pop3_port, backend->sieve_port);
    hash = backend_hash(hash, ports);
    for (size_t i = 0; i < backend->address_count; i++)
        hash = backend_hash(hash, backend->addresses[i]);
    return hash ? hash : 1;
}

bool backend_equals(const struct backend *a, const struct backend *b)
{
    for (size_t i = 0; i < a->address_count && i < b->address_count; i++)
        if (strcmp(a->addresses[i], b->addresses[i]) != 0)
            return false;
    return strcmp(a->name, b->name) == 0 && strcmp(a->tls_name, b->tls_name) == 0 &&
           a->address_count == b->address_count && a->lmtp_port == b->lmtp_port &&
           a->imap_port == b->imap_port && a->pop3_port == b->pop3_port &&
           a->sieve_port == b->sieve_port && a->weight == b->weight && a->state == b->state &&
           a->is_from_directory == b->is_from_directory;
}

void backend_put(struct buffer *target, const struct backend *backend)
{
    assert(backend->address_count <= BACKEND_ADDRESSES_MAX);
    wire_put_span(target, span_of((const char *)backend->entry_uuid, sizeof(backend->entry_uuid)));
    wire_put_span(target, span_from_string(backend->name));
    wire_put_u8(target, (uint8_t)backend->state);
    wire_put_u32(target, backend->weight);
    wire_put_u32(target, backend->lmtp_port);
    wire_put_u32(target, backend->imap_port);
    wire_put_u32(target, backend->pop3_port);
    wire_put_u32(target, backend->sieve_port);
    wire_put_u8(target, (uint8_t)backend->address_count);
    for (size_t i = 0; i < backend->address_count; i++)
        wire_put_span(target, span_from_string(backend->addresses[i]));
}

void backend_get(struct wire_reader *reader, struct backend *backend)
{
    struct span uuid = wire_get_span(reader);
    unsigned state;

    *backend = (struct backend){ .is_from_directory = true };
    if (uuid.length == sizeof(backend->entry_uuid))
        memcpy(backend->entry_uuid, uuid.data, uuid.length);
    wire_get_string(reader, backend->name, sizeof(backend->name));
    state = wire_get_u8(reader);
    backend->state = state <= BACKEND_DOWN ? (enum backend_state)state : BACKEND_UP;
    backend->weight = wire_get_u32(reader);
    backend->lmtp_port = (uint16_t)wire_get_u32(reader);
    backend->imap_port = (uint16_t)wire_get_u32(reader);
    backend->pop3_port = (uint16_t)wire_get_u32(reader);
    backend->sieve_port = (uint16_t)wire_get_u32(reader);
    backend->address_count = wire_get_u8(reader);
    if (state > BACKEND_DOWN || uuid.length != sizeof(backend->entry_uuid) ||
        backend->address_count == 0 || backend->address_count > BACKEND_ADDRESSES_MAX)
        reader->failed = true;
    for (size_t i = 0; i < backend->address_count && !reader->failed; i++)
        wire_get_string(reader, backend->addresses[i], sizeof(backend->addresses[i]));
    if (reader->failed)
        *backend = (struct backend){ .name = "" };
}
