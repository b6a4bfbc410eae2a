/* SPDX-License-Identifier: Apache-2.0 */
/* What node.c (the node's life), node_leave.c and node_commands.c share. */
#ifndef MAILSTEAD_BACKEND_NODE_PRIVATE_H
#define MAILSTEAD_BACKEND_NODE_PRIVATE_H

#include "backend/node_file.h"
#include "backend/storage.h"
#include "directory/host_counts.h"

enum node_phase {
    NODE_PHASE_HERE,
    NODE_PHASE_SESSIONS,  /* leaving: the sessions end */
    NODE_PHASE_STOPPING,  /* the stop hook runs */
    NODE_PHASE_RELEASING, /* the storages are released */
    NODE_PHASE_STUCK,     /* leaving, and an order is needed to go on */
    NODE_PHASE_LEFT,
    NODE_PHASE_STARTING /* returning: the start hook runs */
};

/* The question where the accounts are whose mail is on storages that are held. */
struct node_holds {
    struct control_inquiry inquiry;
    struct host_counts counts; /* that were told so far */
    bool is_asked, is_wrong;   /* wrong: it was told what makes no sense */
    uint64_t revision;         /* of the mirror when it was asked last */
    uint64_t next_ms;          /* monotonic: not before */
};

struct node {
    struct child *child;
    struct storage_jobs jobs;
    struct storages storages;
    struct node_holds holds;
    struct storage_job hook; /* of the store */
    struct state phase;
    uint64_t sessions_until_ms; /* monotonic: they end by then */
    char why[STORAGE_WHY_SIZE]; /* what it is stuck with */
    struct list waiters;        /* of struct node_waiter: for the end of leaving, or of returning */
    struct control_client *control;
    uv_timer_t timer;
    unsigned ticks;
    bool is_lost; /* the hand is gone */
};

struct node_waiter {
    struct list node;
    struct control_request *request;
};

static inline struct board_node *node_board(const struct node *node)
{
    return &node->child->board->node;
}

static inline bool node_has_storages(const struct node *node)
{
    return node->child->config->storage.kind != STORAGE_NONE;
}

/* node.c: writes down what is to be known after a restart; false, and an error logged. */
bool node_remember(struct node *node);

/* node_holds.c: to be called a few times a second: judges what is held, when it can be. */
void node_holds_look(struct node *node);
void node_holds_stop(struct node *node);

/* node_leave.c: begin at once, and the waiters hear of the end. */
void node_leave(struct node *node, uint64_t deadline_s);
void node_return(struct node *node);
/* As it was remembered: nothing is served from the first moment on. */
void node_resume_leaving(struct node *node, enum node_memory memory);
/* A few times a second, and when a storage has settled. */
void node_leave_look(struct node *node);
/* Those who wait are told that it goes on. */
void node_tell(struct node *node);
void node_leave_init(struct node *node);
enum node_memory node_leave_memory(const struct node *node);

/* node_commands.c: ended by a NULL name. */
extern const struct control_command node_commands[];

/* node_stores.c: adds which of the node's stores can be reached to `answer`, replies and finishes.
 */
void node_stores_answer(struct node *node, struct control_request *request, json_t *answer);
/* Answers with samples of mailstead_store_up instead. */
void node_stores_measure(struct node *node, struct control_request *request);

#endif
