/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether an identity could write what it should not, or cannot write what it should: asked of the
 * server itself, in a way that can change nothing.
 */
#ifndef MAILSTEAD_DIRECTORY_RIGHTS_H
#define MAILSTEAD_DIRECTORY_RIGHTS_H

#include "common/service/config.h"

enum { RIGHTS_TEXT_SIZE = 512 };

/* Told of each thing that is not as it should be, and of what could not be found out. */
typedef void rights_doubt(void *context, const char *text);

/*
 * The identity that follows must write neither accounts nor backends; the one of the section admin
 * must write hostServer and oldHostServer, and no backends.  `config` has the secrets; those that
 * are not there (an empty password) leave their identity unasked.
 */
void rights_examine(const struct config *config, rights_doubt *doubt, void *context);

#endif
