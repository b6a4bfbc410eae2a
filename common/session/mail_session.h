/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One SMTP or LMTP session with a client: drives the server machine, has each
 * recipient resolved, and hands messages to a mail_transaction.
 */
#ifndef MAILSTEAD_SESSION_MAIL_SESSION_H
#define MAILSTEAD_SESSION_MAIL_SESSION_H

#include "common/session/service.h"

/* Starts a session of listener `listener` on the accepted socket `fd`; it owns itself. */
void mail_session_start(struct session_service *service, const struct listener_config *listener,
                        int fd, const struct sockaddr_storage *peer);

#endif
