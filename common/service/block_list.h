/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is blocked, in words, beside the hashes of the tally: for an administrator to see and to
 * lift. It is on the board; a process writes a row without waiting for anybody, and who reads one
 * that is being written passes it over.  When there are more blocks than rows, the one that ends
 * first is no longer listed; it is in force all the same.
 */
#ifndef MAILSTEAD_SERVICE_BLOCK_LIST_H
#define MAILSTEAD_SERVICE_BLOCK_LIST_H

#include "common/service/tally.h"

enum { BLOCK_ROWS = 512, BLOCK_ACCOUNT_SIZE = 320, BLOCK_NETWORK_SIZE = 64 };

struct block {
    uint64_t key;      /* of the tally */
    uint64_t until_ms; /* monotonic */
    uint32_t failures;
    char account[BLOCK_ACCOUNT_SIZE]; /* empty: the whole network */
    char network[BLOCK_NETWORK_SIZE]; /* "192.0.2.0/24" */
};

struct block_list {
    struct {
        _Atomic uint32_t turn; /* odd while it is written */
        struct block block;
    } rows[BLOCK_ROWS];
};

/* Lists `block`, in the place of an earlier one with its key. */
void block_list_add(struct block_list *list, const struct block *block);

/* Copies row `index` (below BLOCK_ROWS); false when it holds no block that is in force. */
bool block_list_get(const struct block_list *list, size_t index, uint64_t now_ms,
                    struct block *block) __attribute__((warn_unused_result));

/* Lifts the block: it is in force and listed no more, and its failures are forgiven. */
void block_list_lift(struct block_list *list, struct tally *tally, const struct block *block);

/* Lifts all blocks of the tally, those that are not listed too; how many there were. */
size_t block_list_lift_all(struct block_list *list, struct tally *tally, uint64_t now_ms);

#endif
