/* SPDX-License-Identifier: Apache-2.0 */
/* Whether an OpenLDAP server has threads enough for those that follow it. */
#ifndef MAILSTEAD_DIRECTORY_SERVER_THREADS_H
#define MAILSTEAD_DIRECTORY_SERVER_THREADS_H

#include "common/service/config.h"

enum { SERVER_THREADS_TEXT_SIZE = 512 };

typedef void server_threads_doubt(void *context, const char *text);

/*
 * Tells when it has too few, where backends are entries.  Only a server that shows the number to
 * who follows it, in cn=config or cn=Monitor, is known; silence says nothing.
 */
void server_threads_examine(const struct config *config, server_threads_doubt *doubt,
                            void *context);

#endif
