/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control plane inside one daemon.  The child "control" listens on the root-only
 * stream socket control.sock (JSON, one object a line, for the `mailstead` command) and on
 * hub.sock, to which every other child connects.  A command goes to the
 * roles that have it; their answers come back line by line.
 *
 *     -> {"command":"queue-list","limit":100}
 *     <- {"id":1,...}\n{"id":2,...}\n{"end":true}\n          or {"end":true,"error":"..."}
 *
 * A command that several processes have (all workers, of both generations during a reload)
 * goes to all of them; their lines come mixed, the end when all have ended.  Behind a start it
 * waits up to two seconds for processes that are not there yet.  The control child itself answers:
 *
 *     ping     {"program":...,"version":...,"pid":...}
 *     status   one object: program, version, pid, uptime_s, generation, processes (role, number,
 *              pid, generation, is_ready, is_draining, heartbeat_age_ms, counters), counters
 *              (sums), mirror (revision, entries, is_synchronised, is_connected),
 *              drain (is_drained, left_ms, sessions), certificates (certificate_watch.h)
 *     drain    common/service/control_drain.c
 *     block-list, block-clear   common/service/control_blocks.c
 *
 * Bounds: a request is CONTROL_REQUEST_MAX bytes at most, a line of an answer CONTROL_LINE_MAX; who
 * does not read 32 MiB of answers is cut off.  One request at a time on a connection; a client that
 * shuts down its sending side has left.
 */
#ifndef MAILSTEAD_SERVICE_CONTROL_H
#define MAILSTEAD_SERVICE_CONTROL_H

#include <jansson.h>

#include "common/service/child.h"

enum { CONTROL_REQUEST_MAX = 65536, CONTROL_LINE_MAX = 122880 };

struct control_request; /* one command being answered */

struct control_command {
    const char *name; /* "queue-list" */
    /*
     * Answers now or later: any number of control_reply, then one control_finish, whatever
     * happens in between.  `arguments` is the whole request, valid during the call.
     */
    void (*run)(struct control_request *request, json_t *arguments, void *context);
};

struct control_client; /* a child's connection to the hub, made again when it breaks */

/*
 * Starts serving `commands` (ended by a NULL name) to the hub.  Owned by the caller until stop;
 * it does not keep the loop alive.  `commands` and `context` stay valid until then.
 */
struct control_client *control_client_start(struct child *child,
                                            const struct control_command *commands, void *context);

/* Ends it; requests that are still open get no answer and may be finished later. */
void control_client_stop(struct control_client *client);

/* One line of the answer, an object without "end"; takes over the reference to `line`. */
void control_reply(struct control_request *request, json_t *line);

/* False when nobody wants the answer any more: stop working on it and finish. */
bool control_is_wanted(const struct control_request *request);

/* Lines of answers that the hub has not taken yet: who has many more should wait while they are
 * many. */
size_t control_unread(const struct control_request *request);

/* The end of the answer; `error` NULL: success.  Frees the request. */
void control_finish(struct control_request *request, const char *error);

/* The run function of the role "control", for both daemons. */
bool control_run(struct child *child);

/*
 * A command for the others, asked through the hub: any by the admin port's process, and by the
 * storage process where the accounts are (control_question.c).  Owned by who asks until `answered`
 * was called or it was withdrawn; then it may be asked again.
 */
struct control_inquiry {
    void (*line)(struct control_inquiry *inquiry, struct span json); /* valid during the call */
    /* Once; `error` NULL: success.  With `is_lost` the hub went away before it told the end. */
    void (*answered)(struct control_inquiry *inquiry, const char *error, bool is_lost);
    /* The client's own: */
    struct list node;
    uint32_t number;
};

/*
 * Asks; `json` is the whole request, CONTROL_REQUEST_MAX bytes at most.  False, without any call,
 * when there is no hub at the moment.
 */
bool control_client_ask(struct control_client *client, struct control_inquiry *inquiry,
                        const char *command, struct span json) __attribute__((warn_unused_result));

/* No more calls; what was asked for may still happen. */
void control_client_withdraw(struct control_client *client, struct control_inquiry *inquiry);

#endif
