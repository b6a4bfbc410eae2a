/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages on directory.sock, between the directory process and workers or queue.
 * Wire encoding of common/base/wire.h; the first byte is the type.
 */
#ifndef MAILSTEAD_DIRECTORY_MESSAGES_H
#define MAILSTEAD_DIRECTORY_MESSAGES_H

enum directory_message {
    /* -> u32 number, u8 enum route_key, span value (normalised): is there really no such key? */
    DIRECTORY_CONFIRM = 1,
    /* <- u32 number, u8 enum directory_confirmation */
    DIRECTORY_CONFIRMED,
    /*
     * <- u64 revision, and once or more often span account, span host (empty: deleted): sent to
     * every connected process after the commit that changed the accounts' owners.  Not sent for a
     * new account, of which nobody can hold anything, nor when its hostServer becomes absent or
     * several: that is doubt, in which what is open stays, and its end is told.
     */
    DIRECTORY_CHANGED,
    /*
     * <- u64 revision: so many changed at once that the receiver should look at all it holds.
     * Also the first message of a connection: changes before it may have been missed.
     */
    DIRECTORY_CHANGED_MANY,
    /*
     * <- nothing: the list of backends in the mirror is another.  Who connects reads it, too: it
     * may have changed before.
     */
    DIRECTORY_BACKENDS,
    /*
     * -> u32 number, span account (canonical name), span password, not empty: is that its
     * password?  A bind at the LDAP server tells.  Both sides wipe the message.
     */
    DIRECTORY_BIND,
    /* <- u32 number, u8 enum directory_bind_answer */
    DIRECTORY_BOUND
};

enum directory_bind_answer {
    DIRECTORY_BIND_ACCEPTED,
    DIRECTORY_BIND_REFUSED, /* the server says that these are not its credentials */
    DIRECTORY_BIND_UNSURE   /* anything else: temporary */
};

enum directory_confirmation {
    DIRECTORY_ABSENT,  /* a live search found nothing: 550 is right */
    DIRECTORY_PRESENT, /* it exists; the mirror lags: temporary */
    DIRECTORY_UNSURE   /* the search failed or was over its rate: temporary */
};

#endif
