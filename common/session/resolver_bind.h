/* SPDX-License-Identifier: Apache-2.0 */
/* The resolver's part about passwords, for resolver.c alone; resolver.h is its interface. */
#ifndef MAILSTEAD_SESSION_RESOLVER_BIND_H
#define MAILSTEAD_SESSION_RESOLVER_BIND_H

#include "common/session/resolver.h"

/* The answer to a DIRECTORY_BIND: what follows its type. */
void resolver_bound(struct resolver *resolver, struct wire_reader *reader);

/* Those that were asked not later than that are UNSURE. */
void resolver_fail_binding(struct resolver *resolver, uint64_t asked_before_ms);

#endif
