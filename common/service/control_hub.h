/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the control child: the clients on control.sock, and the hub that the
 * other processes are connected to.  An exchange is one command of a client; it has a leg for
 * each process that answers it.
 *
 * Messages on hub.sock (common/base/wire.h), the first byte is the type.
 */
#ifndef MAILSTEAD_SERVICE_CONTROL_HUB_H
#define MAILSTEAD_SERVICE_CONTROL_HUB_H

#include "common/base/bytes.h"
#include "common/io/channel.h"
#include "common/io/listener.h"
#include "common/service/control.h"

enum control_message {
    /* process -> hub: span role, u32 number, u32 count, then each: span command name; once, first
     */
    CONTROL_HELLO = 1,
    /* hub -> process: u32 leg, span command name, span the request as JSON */
    CONTROL_RUN,
    /* hub -> process: u32 leg; the client is gone */
    CONTROL_CANCEL,
    /* process -> hub: u32 leg, span a line as JSON */
    CONTROL_LINE,
    /* process -> hub: u32 leg, span error (empty: success) */
    CONTROL_END,
    /* A process that may asks as a client of control.sock does:
     * process -> hub: u32 question, span command name, span the request as JSON */
    CONTROL_ASK,
    /* process -> hub: u32 question; nobody wants the answer any more */
    CONTROL_WITHDRAW,
    /* hub -> process: u32 question, span a line as JSON */
    CONTROL_ANSWER,
    /* hub -> process: u32 question, span error (empty: success) */
    CONTROL_ANSWERED
};

/*
 * Sends a message of `type` on hub.sock; `first` and, for CONTROL_RUN and CONTROL_ASK, `second` are
 * its spans.  A
 * peer that is gone shows by its channel's end.
 */
void control_send(struct channel *channel, enum control_message type, uint32_t leg,
                  struct span first, struct span second);

enum { CONTROL_CLIENTS_MAX = 16, CONTROL_COMMANDS_MAX = 64, CONTROL_NAME_SIZE = 64 };

struct control_hub {
    struct child *child;
    struct listener processes; /* hub.sock */
    struct list peers;         /* of struct control_peer, the processes */
    struct list waiting;       /* of struct control_exchange: those they are for are starting */
    uv_timer_t look;           /* while any waits */
    uint32_t last_leg;
};

struct control_exchange;

/* What an exchange tells its client.  After `ended` it is no more. */
struct control_exchange_events {
    void (*line)(struct control_exchange *exchange, struct span json);
    void (*ended)(struct control_exchange *exchange, const char *error); /* NULL: success */
};

struct control_exchange {
    const struct control_exchange_events *events;
    struct list legs;              /* of struct control_leg */
    char error[CONFIG_ERROR_SIZE]; /* the first that a leg gave */
    /* While it waits: */
    struct list node; /* in hub->waiting */
    char command[CONTROL_NAME_SIZE];
    struct bytes json;
    uint64_t deadline_ms; /* monotonic */
};

void control_hub_start(struct control_hub *hub, struct child *child);
void control_hub_stop(struct control_hub *hub);

/*
 * Sends the command to all processes that have it; events follow, from the loop.  While processes
 * that should be there are starting it waits for them first, two seconds at most.  False, and
 * exchange->error, when none has it: there are no events.
 */
bool control_hub_run(struct control_hub *hub, struct control_exchange *exchange,
                     const char *command, struct span json,
                     const struct control_exchange_events *events);

/* The client is gone: no more events. */
void control_exchange_cancel(struct control_exchange *exchange);

/*
 * What a process asks over hub.sock (control_question.c).  `questions` are those of the process
 * behind `channel`.  False when the message breaks the contract, or the process is not the one
 * that may ask.
 */
bool control_question_take(struct control_hub *hub, struct channel *channel, struct list *questions,
                           enum control_message type, struct wire_reader *reader);

/* The process is gone: nobody wants these answers. */
void control_questions_drop(struct list *questions);

/* Answers any command of the control child's own, with the caller's: an object, or an array with
 * one a line.  NULL when it is not one. */
json_t *control_own_answer(const struct child *child, const char *command, const json_t *request);

/*
 * The same for drain: takes no more connections, and has all sessions gone in "deadline_s"
 * (timeouts.drain_s without it); with "undo" true, takes them again.
 */
json_t *control_drain_answer(const struct child *child, const char *command, const json_t *request);

/* is_drained, left_ms until the deadline, sessions. */
json_t *control_drain_state(const struct board *board);

/* The same for the commands about blocks: block-list, and block-clear with an account, an address
 * or network, both, or neither: all. */
json_t *control_blocks_answer(const struct child *child, const char *command,
                              const json_t *request);

#endif
