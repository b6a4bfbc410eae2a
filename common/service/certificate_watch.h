/* SPDX-License-Identifier: Apache-2.0 */
/* How long the certificates of the configuration are still good: for status, and as an alarm. */
#ifndef MAILSTEAD_SERVICE_CERTIFICATE_WATCH_H
#define MAILSTEAD_SERVICE_CERTIFICATE_WATCH_H

#include <jansson.h>

#include "common/io/deadline.h"
#include "common/service/config.h"

struct certificate_watch {
    const struct tls_config *tls;
    struct deadline deadline;
};

/*
 * Each certificate as a row: its name, the number of its names, its file, the seconds for which it
 * is still good (below 0: it has expired) and whether that is less than
 * tls.expiry_warning_days.  Owned by the caller.
 */
json_t *certificate_rows(const struct tls_config *tls);

/* Warns in the log of each certificate that ends soon or has ended: at once, then twice a day. */
void certificate_watch_start(struct certificate_watch *watch, struct io_loop *loop,
                             const struct tls_config *tls);

/* The memory is the loop's until its handles are closed. */
void certificate_watch_stop(struct certificate_watch *watch);

#endif
