/* SPDX-License-Identifier: Apache-2.0 */
/* How far the server that is written to has come: the contextCSN of its suffix. */
#ifndef MAILSTEAD_DIRECTORY_PROVIDER_CSN_H
#define MAILSTEAD_DIRECTORY_PROVIDER_CSN_H

#include "common/service/config.h"
#include "directory/csn.h"

enum { PROVIDER_CSN_ERROR_SIZE = 256 };

/*
 * For a program without a loop: asks, blocking for a few seconds at most.  False and `error` when
 * the server cannot be asked, or does not show it (it is no OpenLDAP provider).
 */
bool provider_csn_read(const struct config *config, struct csn_set *csns,
                       char error[PROVIDER_CSN_ERROR_SIZE]);

#endif
