/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What has come from one peer and is not yet consumed by its machine.  Fresh input
 * lies in the loop's scratch area; only what is left when control returns to
 * the loop is kept on the heap, so that a quiet session owns no buffer.
 */
#ifndef MAILSTEAD_SESSION_INTAKE_H
#define MAILSTEAD_SESSION_INTAKE_H

#include "common/io/transport.h"

struct intake {
    struct span input; /* all that is not consumed: the machine takes off its front */
    struct bytes held; /* what `input` points into when it is not the scratch area */
    char *fresh;       /* in the scratch area, since the last settling; else NULL */
    size_t fresh_length;
    bool is_secret; /* passwords may come: nothing consumed stays in memory */
};

/* Starts empty; `is_secret` makes it wipe what was consumed. */
void intake_init(struct intake *intake, bool is_secret);

/*
 * Reads once.  Above 0: bytes came, `input` has grown; else TRANSPORT_AGAIN, END or
 * ERROR.  `input` must have been settled, or be empty, before.
 */
ssize_t intake_read(struct intake *intake, struct transport *transport);

/*
 * To be called before control returns to the loop, also when a machine asked something: keeps
 * what is left of `input`, and forgets what was consumed.
 */
void intake_settle(struct intake *intake);

/* Wipes and frees; `input` is empty then. */
void intake_fini(struct intake *intake);

#endif
