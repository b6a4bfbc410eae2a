/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What reader and writer of the mirror agree on: the file's name, its schema, and
 * how an account's names are packed.
 *
 * An account is one row of `entry`; all its keys are packed in it.  `lookup` leads from a
 * 32-bit hash of a key, or of the entryUUID, to the rows to be compared in full.
 * So a key's text is stored once, and an update finds an account's old keys in the account.
 */
#ifndef MAILSTEAD_DIRECTORY_MIRROR_RECORD_H
#define MAILSTEAD_DIRECTORY_MIRROR_RECORD_H

#include "common/base/bytes.h"
#include "directory/route.h"

enum {
    MIRROR_SCHEMA_VERSION = 3,
    MIRROR_PATH_SIZE = 4096,
    MIRROR_UUID_SIZE = 16,
    MIRROR_NAMES_MAX = 4096, /* of one account */
    MIRROR_PACKED_MAX = MIRROR_NAMES_MAX * (ROUTE_ADDRESS_SIZE + 3)
};

/* What a name of an account is a key for; the canonical name may be for none. */
enum mirror_kind {
    MIRROR_KIND_ADDRESS = 1 << ROUTE_KEY_ADDRESS,
    MIRROR_KIND_LOGIN = 1 << ROUTE_KEY_LOGIN
};

/* Bits of the column `flags`. */
enum mirror_flag { MIRROR_FLAG_SEVERAL_HOSTS = 1, MIRROR_FLAG_RELAYED = 2 };

/* The row of the table meta with the backends that the directory lists, each by backend_put. */
#define MIRROR_META_BACKENDS "backends"

/* The statements that make an empty mirror. */
extern const char mirror_schema[];

/* The hash in `lookup` of a key or an entryUUID. */
int64_t mirror_hash(struct span key);

/*
 * Packs names one after the other; each stores only where it differs from the last, and no domain
 * that is the first one's.
 */
struct mirror_packer {
    struct bytes packed; /* owned */
    char last[ROUTE_ADDRESS_SIZE];
    size_t last_length;
    char domain[ROUTE_ADDRESS_SIZE]; /* of the first name, with its "@" */
    size_t domain_length;
};

void mirror_packer_init(struct mirror_packer *packer);
void mirror_packer_fini(struct mirror_packer *packer);

/*
 * Appends `name`, shorter than ROUTE_ADDRESS_SIZE, as a key of `kinds`; at most
 * MIRROR_NAMES_MAX times.  The first one is the canonical name.
 */
void mirror_packer_add(struct mirror_packer *packer, struct span name, unsigned kinds);

/* Reads packed names one after the other. */
struct mirror_unpacker {
    struct span rest;
    struct span domain;            /* of the first name; its data is in the packed names */
    char name[ROUTE_ADDRESS_SIZE]; /* of the last mirror_unpacker_next, NUL-terminated */
    size_t length;
    unsigned kinds;
};

static inline struct mirror_unpacker mirror_unpacker_over(struct span packed)
{
    return (struct mirror_unpacker){ .rest = packed };
}

/* The next name; false at the end, and for bytes that are no packed names. */
bool mirror_unpacker_next(struct mirror_unpacker *unpacker);

#endif
