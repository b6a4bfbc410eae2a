/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backend node remembers over a restart, in the file "node" of its state directory: whether
 * it was told to leave, which storages it has, and which it has only after an order.
 */
#ifndef MAILSTEAD_BACKEND_NODE_FILE_H
#define MAILSTEAD_BACKEND_NODE_FILE_H

#include <stdbool.h>

#include "common/service/node_board.h"

enum node_memory { NODE_MEMORY_HERE, NODE_MEMORY_LEAVING, NODE_MEMORY_LEFT };

struct node_file {
    enum node_memory memory;
    char servers[BOARD_STORAGES][BOARD_SERVER_SIZE];
    bool is_held[BOARD_STORAGES]; /* not to be attached before it is ordered */
    unsigned server_count;
};

/* Without a file: here, with no storages.  False when there is one that makes no sense. */
bool node_file_read(const char *state_directory, struct node_file *file)
    __attribute__((warn_unused_result));

/* Synced when it returns; false and errno when it could not be written. */
bool node_file_write(const char *state_directory, const struct node_file *file)
    __attribute__((warn_unused_result));

#endif
