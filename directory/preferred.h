/* SPDX-License-Identifier: Apache-2.0 */
/* Tries the first server of directory.uri again, now and then, while another one is followed. */
#ifndef MAILSTEAD_DIRECTORY_PREFERRED_H
#define MAILSTEAD_DIRECTORY_PREFERRED_H

#include "common/io/loop.h"
#include "common/service/config.h"

struct preferred; /* on the heap; frees itself after preferred_stop */

/* Everything is borrowed until preferred_stop; `found`: it takes a bind again, and the seeking is
 * over. */
struct preferred *preferred_start(struct io_loop *loop, const struct directory_config *config,
                                  void (*found)(void *context), void *context);
void preferred_stop(struct preferred *preferred);

/* Tries at about every directory.return_s; or no more.  Both may be called in `found`. */
void preferred_seek(struct preferred *preferred);
void preferred_rest(struct preferred *preferred);

#endif
