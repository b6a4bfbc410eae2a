/* SPDX-License-Identifier: Apache-2.0 */
/* What a process of ours gives up for good, and what no other may look at. */
#ifndef MAILSTEAD_SERVICE_CONFINE_H
#define MAILSTEAD_SERVICE_CONFINE_H

#include <stdbool.h>

/*
 * No core file of this process, and its memory is nobody's to read but root's.  A change of user
 * resets it.  False, and errno, when the system refuses.
 */
bool confine_memory(void) __attribute__((warn_unused_result));

/*
 * Gives up all capabilities, those too that a service manager gave to a supervisor that is not
 * root, and the way back to them by executing a file.  False, and errno, when the system refuses.
 */
bool confine_privileges(void) __attribute__((warn_unused_result));

#endif
