/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a subcommand that changes things is stopped: the first Ctrl-C (or SIGTERM, SIGHUP) asks it
 * to stop where nothing is left half done, a second one kills.
 */
#ifndef MAILSTEAD_ADMIN_INTERRUPT_H
#define MAILSTEAD_ADMIN_INTERRUPT_H

#include <stdbool.h>

/* From now on they are caught; one that came before is forgotten. */
void interrupt_catch(void);

/* Once nothing is under way any more. */
void interrupt_release(void);

bool interrupt_came(void);

#endif
