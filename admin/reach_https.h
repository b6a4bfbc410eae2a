/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests to admin ports: HTTPS with the client certificate of the section admin.  The server's
 * certificate must be of that section's authorities and have the node's name; no proxy of the
 * environment is used.
 */
#ifndef MAILSTEAD_ADMIN_REACH_HTTPS_H
#define MAILSTEAD_ADMIN_REACH_HTTPS_H

#include <poll.h>

#include "admin/reach.h"
#include "common/service/control_answer.h"

/* NULL is never returned; `config` must outlive it. */
struct reach_https *reach_https_new(const struct admin_config *config);
void reach_https_free(struct reach_https *https);

struct reach_https_asking; /* one request */

/*
 * Begins to ask; whatever goes wrong breaks the answer, which is the caller's.  Ended by
 * reach_https_end, before or after the answer is whole; it has no deadline of its own.
 */
struct reach_https_asking *reach_https_start(struct reach_https *https,
                                             const struct reach_node *node, const json_t *request,
                                             struct control_answer *answer);

/* Whether nothing more is to come.  A connection whose request is ended before is not used again.
 */
bool reach_https_is_over(const struct reach_https_asking *asking);
void reach_https_end(struct reach_https_asking *asking);

/*
 * Waits until anything can be done for any of the requests or one of `others` is ready,
 * `timeout_ms` at most, and does it for the requests.  revents of `others` is set.  NULL has no
 * requests.
 */
void reach_https_wait(struct reach_https *https, struct pollfd *others, size_t count,
                      unsigned timeout_ms);

#endif
