/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backend: its name, where it is and how it is to be treated.  It comes from a section of the
 * configuration or from an entry of the directory; what its certificate must have is in either
 * case said by the configuration alone.
 */
#ifndef MAILSTEAD_SERVICE_BACKEND_H
#define MAILSTEAD_SERVICE_BACKEND_H

#include "common/base/ramp.h"
#include "common/base/wire.h"
#include "common/service/config.h"

enum {
    BACKENDS_MAX = 512, /* at one time */
    BACKEND_NAME_SIZE = 128,
    BACKEND_ADDRESSES_MAX = ENDPOINTS_MAX,
    BACKENDS_LIST_MAX = 4 << 20, /* bytes of a list of all */
    BACKEND_WIRE_MAX = BACKEND_NAME_SIZE + BACKEND_ADDRESSES_MAX * (ENDPOINT_HOST_SIZE + 4) + 64
};

struct backend {
    char name[BACKEND_NAME_SIZE];                              /* a value of hostServer */
    char addresses[BACKEND_ADDRESSES_MAX][ENDPOINT_HOST_SIZE]; /* IP addresses or names */
    unsigned address_count;                                    /* 1 or more */
    uint16_t lmtp_port, imap_port, pop3_port, sieve_port;
    unsigned weight; /* its share when accounts are planned */
    enum backend_state state;
    bool is_from_directory;
    unsigned char entry_uuid[16];      /* of the entry that it comes from */
    char tls_name[ENDPOINT_HOST_SIZE]; /* what its certificate must have */
    /* Its set's (backend_set.h): */
    unsigned id;  /* never that of another backend; 0: of no set */
    uint64_t key; /* backend_key */
};

/* The backend of a section of the configuration. */
void backend_from_config(const struct backend_config *config, struct backend *backend);

/*
 * The name in the certificate of a backend that the directory lists: backend_tls.name with "%b"
 * replaced by the backend's name.  False when that is too long.
 */
bool backend_make_tls_name(const struct config *config, struct backend *backend)
    __attribute__((warn_unused_result));

/* Where it serves `protocol` (any but SMTP), in the order of its addresses; the count. */
size_t backend_endpoints(const struct backend *backend, enum protocol protocol,
                         struct endpoint endpoints[ENDPOINTS_MAX]);

/* How a backend that was down is let in again. */
struct ramp_rules backend_ramp_rules(const struct health_config *config);

/*
 * A number, never 0, for its name, addresses and ports: what is known of its health holds as long
 * as these are the same, in whichever process.
 */
uint64_t backend_key(const struct backend *backend);

/* True when all but id and key is the same. */
bool backend_equals(const struct backend *a, const struct backend *b);

/* All of a backend but what its set or the configuration adds, at most BACKEND_WIRE_MAX bytes. */
void backend_put(struct buffer *target, const struct backend *backend);

/* What backend_put wrote, as one from the directory; a reader that fails gives an empty name. */
void backend_get(struct wire_reader *reader, struct backend *backend);

#endif
