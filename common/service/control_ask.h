/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request to a control.sock and its answer, without a loop and without waiting: for who asks
 * several at a time (admin/reach.h).
 */
#ifndef MAILSTEAD_SERVICE_CONTROL_ASK_H
#define MAILSTEAD_SERVICE_CONTROL_ASK_H

#include "common/service/control_answer.h"

struct control_asking {
    int fd;           /* -1: there is none */
    char *request;    /* owned, with its line break */
    struct span rest; /* of it, that is not sent */
    struct control_answer *answer;
};

/*
 * Begins to ask the daemon whose socket is `path`.  `answer` stays the caller's and has been
 * initialised; whatever goes wrong breaks it.
 */
void control_asking_start(struct control_asking *asking, const char *path, const json_t *request,
                          struct control_answer *answer);

/* What poll(2) should wait for on `fd` while the answer is open. */
short control_asking_events(const struct control_asking *asking);

/* To be called when poll(2) has seen that: sends or receives what is possible now. */
void control_asking_go_on(struct control_asking *asking);

/* Ends it, whether or not the answer has. */
void control_asking_end(struct control_asking *asking);

#endif
