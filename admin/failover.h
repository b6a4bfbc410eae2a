/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Failover and failback as a machine: pure.  It says what is to be done next, is told how that
 * went, and so walks the phases; it asks nobody itself (failover_run.h does).
 *
 *     away                                         home
 *     look      can the taker take it?             is the backend there, and does it follow?
 *     let go    the backend leaves, or is fenced,  who has its storage, or copies, releases it
 *               or somebody says that it is off
 *     attach    the taker attaches its storages    the backend returns, with its own storage
 *     rewrite   hostServer = the taker             hostServer = the backend
 *     follow    who routes by the new values       likewise
 *
 * One owner at every moment: nothing is attached before every node that may have it has let it go,
 * and nothing is rewritten before the new owner has it.  No phase is skipped, but each is quickly
 * done when it was done before: that is how an interrupted run goes on.
 */
#ifndef MAILSTEAD_ADMIN_FAILOVER_H
#define MAILSTEAD_ADMIN_FAILOVER_H

#include "admin/command.h"
#include "common/base/state.h"

enum failover_kind { FAILOVER_AWAY, FAILOVER_HOME };

enum failover_phase {
    FAILOVER_LOOK,
    FAILOVER_LET_GO,
    FAILOVER_ATTACH,
    FAILOVER_REWRITE,
    FAILOVER_FOLLOW,
    FAILOVER_PHASES
};

/* What is wanted, and what was known of the cluster when it began.  All of it is borrowed. */
struct failover_names {
    const char *const *items;
    size_t count;
};

struct failover_order {
    enum failover_kind kind;
    const char *backend;
    /* The nodes that the operator says are off: it counts for those that cannot be asked. */
    struct failover_names off;
    /*
     * The nodes with accounts whose mail is on the backend's storage, by the directory: they have
     * it attached.  Away: the only possible taker; home: those that release it.
     */
    struct failover_names holders;
    /* Away only: */
    const char *to;                 /* the taker that is asked for; NULL: the first that can */
    struct failover_names siblings; /* in their order */
    struct failover_names storages; /* the taker needs them all; the backend's own is the first */
    const char *prior; /* the taker of an earlier run, which may have attached it; or NULL */
    bool is_planned;   /* the backend itself must let go: no fence, no word */
    bool has_fence;
    bool accepts_behind; /* accounts whose copy is not complete may go */
};

/* What is to be done next, with failover.node and, where it says so, failover.server. */
enum failover_action {
    FAILOVER_ASK_TAKER,   /* does the node serve? */
    FAILOVER_ASK_BACKEND, /* does it answer, and has it synchronised? */
    FAILOVER_ORDER_LEAVE,
    FAILOVER_PROBE,         /* does anything of the node answer?  DONE: nothing does */
    FAILOVER_FENCE,         /* turn the node off */
    FAILOVER_ORDER_RELEASE, /* of server's storage */
    FAILOVER_ORDER_ATTACH,  /* likewise; with failover.was_fenced, whoever claims it is off */
    FAILOVER_ORDER_RETURN,
    FAILOVER_AWAIT_READY, /* until it serves with server's storage */
    FAILOVER_ASK_BEHIND,  /* the copies of the backend's accounts at the node; DONE: complete */
    FAILOVER_SYNCHRONISE, /* its accounts with their copies; DONE also where there are none */
    FAILOVER_DO_REWRITE,
    FAILOVER_SHOW_FOLLOWERS,
    FAILOVER_END
};

/* How it went. */
enum failover_result {
    FAILOVER_DONE,
    FAILOVER_REFUSED, /* it was asked, and did not do it */
    FAILOVER_SILENT   /* it could not be asked, or did not answer: it may have done it */
};

/* How the last one that had to let go did. */
enum failover_manner { FAILOVER_ACKNOWLEDGED, FAILOVER_FENCED, FAILOVER_WORD };

enum { FAILOVER_TEXT_SIZE = 1024 };

struct failover {
    const struct failover_order *order;
    struct state state;
    struct state probed_from; /* the state whose silent node is probed */
    const char *node, *server;
    bool was_fenced;
    const char *taker; /* away: who takes it, once asked; home: the backend itself */
    size_t candidate, item;
    bool has_let_go;      /* nobody serves the accounts until it is done */
    const char *unproven; /* home: who did not synchronise behind the rewrite, against all words */
    enum failover_manner manner;
    enum command_status status;    /* at the end */
    char note[FAILOVER_TEXT_SIZE]; /* what is to be said of the last answer; may be empty */
    char why[FAILOVER_TEXT_SIZE];  /* at the end: why it stopped; empty when all is done */
};

/* Begins; `order` stays valid. */
void failover_init(struct failover *failover, const struct failover_order *order);

/* What is to be done; the same until it is answered. */
enum failover_action failover_next(struct failover *failover);

/* How that went; `why` is for people, and not NULL. */
void failover_answer(struct failover *failover, enum failover_result result, const char *why);

/* For FAILOVER_DO_REWRITE that did not end well, and for an operator who stops it: it ends so. */
void failover_stop(struct failover *failover, enum command_status status, const char *why);

/* Of what is to be done next. */
enum failover_phase failover_phase(const struct failover *failover);

/* "let go" and so on; of a failback "release" and so on. */
const char *failover_phase_name(enum failover_kind kind, enum failover_phase phase);

#endif
