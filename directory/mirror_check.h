/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the whole mirror once, in libuv's pool, to find damage that only a lookup of just
 * the wrong account would meet.
 */
#ifndef MAILSTEAD_DIRECTORY_MIRROR_CHECK_H
#define MAILSTEAD_DIRECTORY_MIRROR_CHECK_H

#include <stdbool.h>

#include "common/io/loop.h"

struct mirror_check; /* on the heap; frees itself when it is over and stopped */

/* Starts; `damaged` is called from the loop if, and only if, the file is damaged. */
struct mirror_check *mirror_check_start(struct io_loop *loop, const char *state_directory,
                                        void (*damaged)(void *context), void *context);

/* To be called once, also when it is over; `damaged` is not called from then on. */
void mirror_check_stop(struct mirror_check *check);

#endif
