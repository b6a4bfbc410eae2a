/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on replica.sock, between the workers of a backend node and the replica process.
 * Wire encoding of common/base/wire.h; the first byte is the type.
 *
 * A worker remembers what it told until it is noted, and tells it again to the next replica
 * process; numbers grow by one, and what is noted is all up to a number.
 */
#ifndef MAILSTEAD_BACKEND_REPLICA_MESSAGES_H
#define MAILSTEAD_BACKEND_REPLICA_MESSAGES_H

enum replica_message {
    /* -> u32 number, u8 enum route_key, span name: the mail of this account may have changed */
    REPLICA_TOUCHED = 1,
    /* -> u32 number: more changed than the worker could remember, so any account may have */
    REPLICA_MISSED,
    /* -> nothing: the worker ends in order; who goes without this may have known of changes */
    REPLICA_LEAVING,
    /* <- u32 number: all up to this one is on disk */
    REPLICA_NOTED
};

#endif
