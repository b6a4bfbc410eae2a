/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the directory's schema (RFC 4512 section 4) has the attributes of the configuration. */
#ifndef MAILSTEAD_DIRECTORY_SCHEMA_H
#define MAILSTEAD_DIRECTORY_SCHEMA_H

#include "common/service/config.h"

enum { SCHEMA_TEXT_SIZE = 512 };

/* Told of each attribute that the server does not know, or that the schema cannot be read. */
typedef void schema_doubt(void *context, const char *text);

/* Asks the followed server; a server that shows no schema at all is not held against anybody. */
void schema_examine(const struct config *config, schema_doubt *doubt, void *context);

#endif
