/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `mailstead mirror` asks of the directory process.
 *
 *     mirror-held      an object a domain with held accounts: domain, held, accounts
 *     mirror-hosts     an object for each pair: host, old_host (each may be ""), accounts
 *     mirror-accept    {"removed":N}
 *     mirror-discard   {"kept":N}, then as mirror-verify
 *     mirror-verify    {"event":"progress"...} now and then, and at the end {"event":"result",
 *                      "entries":N,"accounts":N,"differing":N,"missing":N,"corrected":N,
 *                      "removed":N,"unsettled":N,"held":N,"elapsed_ms":N}
 */
#ifndef MAILSTEAD_DIRECTORY_MIRROR_COMMANDS_H
#define MAILSTEAD_DIRECTORY_MIRROR_COMMANDS_H

#include "common/service/control.h"
#include "directory/follower.h"

/* What is borrowed until the process ends. */
struct mirror_commands {
    struct io_loop *loop;
    struct follower *follower;
    struct mirror_writer *writer;
    struct held_listing *listing; /* under way, or NULL */
    struct host_listing *hosts;   /* likewise */
};

/* What is under way gets no answer. */
void mirror_commands_stop(struct mirror_commands *commands);

/* Adds to the answer of directory-status: csn (a list), held, held_since_s, held_kept. */
void mirror_commands_add_status(const struct mirror_commands *commands, json_t *status);

/* Each answers a control request; see struct control_command. */
void mirror_commands_held(struct mirror_commands *commands, struct control_request *request);
void mirror_commands_hosts(struct mirror_commands *commands, struct control_request *request);
void mirror_commands_accept(struct mirror_commands *commands, struct control_request *request);
void mirror_commands_discard(struct mirror_commands *commands, struct control_request *request);
void mirror_commands_verify(struct mirror_commands *commands, struct control_request *request);

#endif
