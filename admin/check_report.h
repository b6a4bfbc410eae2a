/* SPDX-License-Identifier: Apache-2.0 */
/* One `mailstead check`, for the parts of it (check_*.c): what is looked at, and who is told. */
#ifndef MAILSTEAD_ADMIN_CHECK_REPORT_H
#define MAILSTEAD_ADMIN_CHECK_REPORT_H

#include "admin/check.h"

struct check {
    const struct config *config; /* as the daemon reads it */
    enum config_program program;
    const struct backend_set *backends;
    check_warning *fault; /* of what keeps the daemon, or what it stands for, from being right */
    check_warning *warn;  /* of what works, and should perhaps not be so */
    void *context;
};

void check_fault(const struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void check_doubt(const struct check *check, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Asks the node's running mail store whether it does what it must (check_store.c). */
void check_store(const struct check *check);

/* Whether the Dovecots that copies are made with take the password (check_replica.c). */
void check_replica(const struct check *check);

/* Whether the daemon's addresses and names are this machine's, and nobody else's (check_host.c). */
void check_host(const struct check *check);

/* Whether what it keeps is on file systems that keep it, and used by it alone (check_places.c). */
void check_places(const struct check *check);

/* Whether the directory knows the attributes of the configuration, and can serve who follows it
 * (check_rights.c). */
void check_directory(const struct check *check);

/* Whether this machine can carry all of its logical hosts at once (check_resources.c). */
void check_resources(const struct check *check);

/* The configurations of the other daemons of this machine, each loaded while it is looked at. */
void check_each_other(const struct check *check,
                      void (*look)(const struct check *check, const struct config *other,
                                   const char *file));

#endif
