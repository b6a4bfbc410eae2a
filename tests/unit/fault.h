/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes the Nth call that changes the disk fail, or kills the process there: a
 * shim around sqlite's default VFS, and a store_system that counts along with it.
 */
#ifndef MAILSTEAD_TESTS_FAULT_H
#define MAILSTEAD_TESTS_FAULT_H

#include "frontend/queue/store.h"

enum fault_mode {
    FAULT_FAIL_ONCE, /* the Nth call fails, later ones work */
    FAULT_FAIL_FROM, /* the Nth call and all later ones fail, until disarmed */
    FAULT_KILL       /* SIGKILL to ourselves before the Nth call */
};

/* The calls that count, and fail. */
extern const struct store_system fault_system;

/* Puts the shim in as sqlite's default VFS; once a process. */
void fault_install(void);

/* The call number `call` (from 1, counted from now) is the one. */
void fault_arm(unsigned call, enum fault_mode mode);

/* No more faults; true when one has fired since fault_arm. */
bool fault_disarm(void);

/* From now on every read of a database fails, or none; starts counting those that fail. */
void fault_set_unreadable(bool is_unreadable);

/* Reads that failed since then. */
unsigned fault_failed_reads(void);

/* Syncs since fault_arm. */
unsigned fault_syncs(void);

#endif
