/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer of control.sock or of an admin port, off whatever it comes by: lines of JSON, the last
 * of which is the end.
 */
#ifndef MAILSTEAD_SERVICE_CONTROL_ANSWER_H
#define MAILSTEAD_SERVICE_CONTROL_ANSWER_H

#include <jansson.h>

#include "common/base/bytes.h"
#include "common/service/config.h"

/* The end of the error of an answer that a process took with it: of an order it is not known
 * whether it was done. */
#define CONTROL_ASK_AGAIN "ended before it answered; ask again"

enum control_answer_state {
    CONTROL_ANSWER_OPEN,
    CONTROL_ANSWER_DONE,    /* the end came, and it is a success */
    CONTROL_ANSWER_REFUSED, /* the end came, and says why not: `error` */
    CONTROL_ANSWER_BROKEN   /* there was no end that makes sense: `error` */
};

struct control_answer {
    void (*line)(json_t *object, void *context); /* gets each line, borrowed; may be NULL */
    void *context;
    enum control_answer_state state;
    char error[CONFIG_ERROR_SIZE];
    size_t line_count; /* that came so far */
    struct bytes input;
};

void control_answer_init(struct control_answer *answer, void (*line)(json_t *object, void *context),
                         void *context);
void control_answer_fini(struct control_answer *answer);

/* Takes the next bytes, in any pieces; what comes behind the end is passed over. */
void control_answer_take(struct control_answer *answer, struct span bytes);

/* What it comes by has failed: broken, if it is open. */
void control_answer_break(struct control_answer *answer, const char *error);

/* It failed since whoever had the question ended, as at a reload: CONTROL_ASK_AGAIN. */
bool control_answer_is_lost(const struct control_answer *answer);

#endif
