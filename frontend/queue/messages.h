/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on queue.sock, between workers and the queue process.  Wire
 * encoding of common/base/wire.h; the first byte is the type.
 *
 * An envelope is: span session_id, span reverse_path, parameters, u8 may_relay, u64 size.
 * Parameters (of MAIL) are: u8 body_8bit, u8 is_utf8, u8 enum mail_return, span envid.
 * A recipient to store is: span recipient (as given in RCPT), u8 enum queue_fate,
 * u32 not_before_s, span text, u8 bits of enum mail_notify, span orcpt.
 *
 * After each connect a worker says first what it has in hand, so that a queue
 * process that was started anew delivers nothing twice: every QUEUE_RESULT that was not
 * acknowledged, one QUEUE_HOLDING for each delivery that still runs, and only then QUEUE_READY.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_MESSAGES_H
#define MAILSTEAD_FRONTEND_QUEUE_MESSAGES_H

enum queue_message {
    /*
     * worker -> queue: u32 number, u32 count, recipients to store: those of a QUEUE_STORE with the
     * same number that follows and has not room for all.
     */
    QUEUE_RECIPIENTS = 1,
    /*
     * worker -> queue: u32 number, envelope, u32 count, recipients to store; u8 has_file, span
     * file name (a complete and synced file in queue.directory/incoming, which the queue then
     * owns) or span body (at most QUEUE_INLINE_MAX bytes).
     */
    QUEUE_STORE,
    /*
     * queue -> worker: u32 number, u8 stored (1: committed; 0: failed, answer 451, and a file is
     * the worker's again), span message id.
     */
    QUEUE_STORED,
    /* worker -> queue: u32 slots: how many deliveries this worker takes at a time; again to change
       it */
    QUEUE_READY,
    /*
     * queue -> worker: u64 attempt, span message id, span session_id of its arrival, span backend
     * (a hostServer value; empty: the relay host), span reverse_path, parameters, u64 size, u32
     * count, for each: u64 row, span original recipient, span recipient to use, u8 bits of enum
     * mail_notify, span orcpt; u8 has_file; span body when inline, else a descriptor for reading
     * beside it.
     */
    QUEUE_DELIVER,
    /* worker -> queue: u64 attempt, u32 count, for each: u64 row, u8 enum queue_fate, u32
       not_before_s, span text */
    QUEUE_RESULT,
    /* queue -> worker: u64 attempt: its result is committed; until then the worker keeps it */
    QUEUE_RESULT_STORED,
    /* worker -> queue: u64 attempt, u32 count, u64 row each: being delivered since before this
       connection */
    QUEUE_HOLDING,
    /* queue -> worker: u8 refusing: 1: nothing can be written at the moment; 0: it can again. After
       a connect nothing said means that it can. */
    QUEUE_REFUSING
};

/* What happened to a recipient, or is to happen. */
enum queue_fate {
    QUEUE_PENDING,   /* to be tried (again); text: the last reply */
    QUEUE_DELIVERED, /* done; who asked to hear of that does (RFC 3461) */
    QUEUE_FAILED,    /* permanently refused: report it to the sender (RFC 3464) */
    QUEUE_UNKNOWN,   /* the reply was lost: as PENDING, but not before 10 minutes, outcome logged */
    QUEUE_UNREACHABLE, /* as PENDING: no connection was made at all, so others for this backend wait
                          too */
    QUEUE_ELSEWHERE,   /* as PENDING, but soon: its node says that it has another owner now */
    QUEUE_GONE,        /* done, and nothing is reported here: the peer does it, or nobody is to */
    QUEUE_FATES
};

enum {
    QUEUE_INLINE_MAX = 98304,  /* bytes of a body inside a message */
    QUEUE_TEXT_MAX = 500,      /* bytes of a reply's text; longer is cut */
    QUEUE_ID_SIZE = 24,        /* a message id, and its NUL */
    QUEUE_FILE_NAME_SIZE = 32, /* a name under incoming/ or bodies/, and its NUL */
    QUEUE_DELIVERY_RECIPIENTS_MAX = 50
};

#endif
