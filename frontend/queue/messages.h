/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on queue.sock, between workers and the queue process.  Wire
 * encoding of common/base/wire.h; the first byte is the type.
 *
 * An envelope is: span session_id, span reverse_path, u8 body_8bit, u64 size,
 * u32 count, then for each recipient: span recipient (as given in RCPT).
 * The body is either inline in the message or a descriptor beside it: a file in
 * queue.directory/incoming, written and synced by the worker, that the queue links and owns.
 */
#ifndef MAILSTEAD_FRONTEND_QUEUE_MESSAGES_H
#define MAILSTEAD_FRONTEND_QUEUE_MESSAGES_H

enum queue_message {
    /*
     * worker -> queue: u32 number, envelope with for each recipient also u8 enum queue_fate,
     * u32 not_before_s, span text; u8 has_file, span file name (under incoming/) or span body.
     */
    QUEUE_STORE = 1,
    /* queue -> worker: u32 number, u8 stored (1: committed; 0: failed, answer 451), span message id */
    QUEUE_STORED,
    /* worker -> queue: u32 slots: how many deliveries this worker takes at a time; once at connect */
    QUEUE_READY,
    /*
     * queue -> worker: u64 attempt, span message id, span backend (a hostServer value; empty: the relay
     * host), span reverse_path, u8 body_8bit, u64 size, u32 count, for each: u64 row, span original
     * recipient, span recipient to use; u8 has_file; span body when inline, else a descriptor for reading.
     */
    QUEUE_DELIVER,
    /* worker -> queue: u64 attempt, u32 count, for each: u64 row, u8 enum queue_fate, u32 not_before_s, span text */
    QUEUE_RESULT
};

/* What happened to a recipient, or is to happen. */
enum queue_fate {
    QUEUE_PENDING,   /* to be tried (again); text: the last reply */
    QUEUE_DELIVERED, /* done */
    QUEUE_FAILED,    /* permanently refused: report it to the sender (RFC 3464) */
    QUEUE_UNKNOWN    /* the reply was lost: as PENDING, but not before 10 minutes, outcome logged */
};

#endif
