/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A packed name is a head byte (kinds; bit 6 when the domain of the first name follows; bit 7
 * for 256 bytes more), the count of bytes that it shares with the name before it, the count of
 * the others, and these.
 */
#include "directory/mirror_record.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/buffer.h"
#include "common/base/hash.h"
#include "directory/mirror.h"

enum {
    MIRROR_HEAD_LONG = 0x80,
    MIRROR_HEAD_DOMAIN = 0x40,
    MIRROR_HEAD_KINDS = 0x03,
    MIRROR_HEAD_SIZE = 3
};

const char mirror_schema[] =
    "CREATE TABLE entry(id INTEGER PRIMARY KEY, uuid BLOB NOT NULL, names BLOB NOT NULL,"
    " host INTEGER, old_host INTEGER, flags INTEGER NOT NULL);"
    "CREATE TABLE lookup(hash INTEGER NOT NULL, entry INTEGER NOT NULL,"
    " PRIMARY KEY(hash, entry)) WITHOUT ROWID;"
    "CREATE TABLE host(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);"
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;";

void mirror_path(const char *state_directory, char *path, size_t size)
{
    snprintf(path, size, "%s/mirror-%d.db", state_directory, MIRROR_SCHEMA_VERSION);
}

int64_t mirror_hash(struct span key)
{
    uint64_t hash = hash_add(HASH_START, key);

    hash ^= hash >> 32; /* mixed to 32 bits */
    hash *= UINT64_C(0x9fb21c651e98df25);
    hash ^= hash >> 29;
    return (int32_t)(uint32_t)hash; /* signed: sqlite then needs four bytes for it */
}

void mirror_packer_init(struct mirror_packer *packer)
{
    *packer = (struct mirror_packer){ .packed = bytes_empty(MIRROR_PACKED_MAX) };
}

void mirror_packer_fini(struct mirror_packer *packer)
{
    bytes_release(&packer->packed);
}

static size_t mirror_shared_prefix(const struct mirror_packer *packer, struct span name)
{
    size_t shared = 0;

    while (shared < UINT8_MAX && shared < name.length && shared < packer->last_length &&
           name.data[shared] == packer->last[shared])
        shared++;
    return shared;
}

/* The domain of a name with its "@"; empty when it has none. */
static struct span mirror_domain(struct span name)
{
    return span_drop(name, span_find_last(name, '@'));
}

/* Whether the name is in the domain of the first one; that keeps its own. */
static bool mirror_shares_domain(struct mirror_packer *packer, struct span name)
{
    struct span domain = mirror_domain(name);

    if (packer->packed.length > 0)
        return domain.length > 0 &&
               span_equals(domain, span_of(packer->domain, packer->domain_length));
    if (domain.length > 0)
        memcpy(packer->domain, domain.data, domain.length);
    packer->domain_length = domain.length;
    return false;
}

void mirror_packer_add(struct mirror_packer *packer, struct span name, unsigned kinds)
{
    bool shares_domain = mirror_shares_domain(packer, name);
    struct span own = shares_domain ? span_take(name, span_find_last(name, '@')) : name;
    size_t shared = mirror_shared_prefix(packer, own);
    struct span rest = span_drop(own, shared);
    char record[MIRROR_HEAD_SIZE + ROUTE_ADDRESS_SIZE - 1];
    struct buffer buffer = buffer_over(record, sizeof(record));

    buffer_append_byte(&buffer, (char)(kinds | (shares_domain ? MIRROR_HEAD_DOMAIN : 0) |
                                       (rest.length > UINT8_MAX ? MIRROR_HEAD_LONG : 0)));
    buffer_append_byte(&buffer, (char)shared);
    buffer_append_byte(&buffer, (char)(rest.length & UINT8_MAX));
    if (!buffer_append(&buffer, rest) || !bytes_append(&packer->packed, buffer_span(&buffer)))
        abort(); /* the caller gave more than it may */
    memcpy(packer->last, name.data, name.length);
    packer->last_length = name.length;
}

bool mirror_unpacker_next(struct mirror_unpacker *unpacker)
{
    const unsigned char *head = (const unsigned char *)unpacker->rest.data;
    size_t shared, length;
    struct span domain;

    if (unpacker->rest.length < MIRROR_HEAD_SIZE)
        return false;
    shared = head[1];
    length = head[2] + (head[0] & MIRROR_HEAD_LONG ? UINT8_MAX + 1u : 0u);
    domain = head[0] & MIRROR_HEAD_DOMAIN ? unpacker->domain : SPAN_EMPTY;
    if (shared > unpacker->length || shared + length + domain.length >= sizeof(unpacker->name) ||
        length > unpacker->rest.length - MIRROR_HEAD_SIZE)
        return false;
    memcpy(unpacker->name + shared, head + MIRROR_HEAD_SIZE, length);
    if (domain.length > 0)
        memcpy(unpacker->name + shared + length, domain.data, domain.length);
    if (!unpacker->domain.data) /* the first name has it all */
        unpacker->domain = mirror_domain(span_of((const char *)head + MIRROR_HEAD_SIZE, length));
    unpacker->length = shared + length + domain.length;
    unpacker->name[unpacker->length] = '\0';
    unpacker->kinds = head[0] & MIRROR_HEAD_KINDS;
    unpacker->rest = span_drop(unpacker->rest, MIRROR_HEAD_SIZE + length);
    return true;
}
