/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Live searches for keys that the mirror does not have, before anybody says "no such user".
 * At the first server of confirm_uri that answers, or at the followed one.  The same question
 * asked several times at once is one search; answers are kept for a few seconds; above
 * confirm_rate, without a connection, and after CONFIRM_TIMEOUT_MS the answer is UNSURE.
 *
 * A change of the key makes an answer that is kept void without further ado: who asks has looked
 * into the mirror first, and what the mirror has is not asked for.
 */
#ifndef MAILSTEAD_DIRECTORY_CONFIRM_H
#define MAILSTEAD_DIRECTORY_CONFIRM_H

#include "common/io/loop.h"
#include "common/service/config.h"
#include "directory/messages.h"
#include "directory/route.h"

enum { CONFIRM_TIMEOUT_MS = 2000 };

struct confirm;

/* Gets the answer to question `number` of `asker`. */
typedef void confirm_answered(void *asker, uint32_t number, enum directory_confirmation answer);

/*
 * `config` is borrowed until confirm_stop; `followed_uri` says which server is followed.
 * Without questions nothing is connected.
 */
struct confirm *confirm_start(struct io_loop *loop, const struct config *config,
                              const char *(*followed_uri)(void *context), void *context);

/* Answers what is open with UNSURE and ends it; nothing is called from then on. */
void confirm_stop(struct confirm *confirm);

/*
 * Asks whether there really is no `key` called `value` (in normal form), by any step of
 * the order of route.h.  `answered` is called once, perhaps before this returns, unless
 * confirm_forget comes first.
 */
void confirm_ask(struct confirm *confirm, enum route_key key, struct span value,
                 confirm_answered *answered, void *asker, uint32_t number);

/* Drops all questions of `asker`. */
void confirm_forget(struct confirm *confirm, const void *asker);

#endif
