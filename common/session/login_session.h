/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One IMAP or POP3 session: talks to the client until its credentials are known,
 * resolves the account, replays the credentials to the owner, and then relays
 * bytes.  What only the login needs is freed when the relay starts.
 */
#ifndef MAILSTEAD_SESSION_LOGIN_SESSION_H
#define MAILSTEAD_SESSION_LOGIN_SESSION_H

#include "common/session/service.h"

/* Starts a session of listener `listener` on the accepted socket `fd`; it owns itself. */
void login_session_start(struct session_service *service, const struct listener_config *listener,
                         int fd, const struct sockaddr_storage *peer);

#endif
