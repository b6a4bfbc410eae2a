/* SPDX-License-Identifier: Apache-2.0 */
/* Tells the service manager how we are (sd_notify(3)), without its library. */
#ifndef MAILSTEAD_SERVICE_NOTIFY_H
#define MAILSTEAD_SERVICE_NOTIFY_H

/* Each does nothing when $NOTIFY_SOCKET is not set. */
void notify_ready(void);
void notify_reloading(void);
void notify_stopping(void);

#endif
