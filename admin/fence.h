/* SPDX-License-Identifier: Apache-2.0 */
/* The program that turns a node off: admin.fence_hook. */
#ifndef MAILSTEAD_ADMIN_FENCE_H
#define MAILSTEAD_ADMIN_FENCE_H

#include <stdbool.h>

enum { FENCE_WHY_SIZE = 512 };

struct fence {
    const char *program; /* absolute */
    const char *node, *address;
    unsigned timeout_ms;
};

/*
 * Runs it in a process group of its own, with /dev/null as its input and nothing in its environment
 * but PATH, MAILSTEAD_NODE, MAILSTEAD_ADDRESS and MAILSTEAD_ACTION=off.  True only when it ended
 * in time with status 0: the node is off.  At the deadline the group is killed.  `why` is then what
 * went wrong, with the last line that it wrote.
 */
bool fence_run(const struct fence *fence, char why[FENCE_WHY_SIZE])
    __attribute__((warn_unused_result));

#endif
