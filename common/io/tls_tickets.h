/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys that session tickets are sealed with (RFC 5077, RFC 8446 section 4.6.1).  They are in
 * memory that all processes forked from their maker share, so that a ticket of one worker is good
 * in all of them, in each generation, and a new key is everywhere at once.
 *
 * One process makes and renews them; the others only read, without a lock.
 */
#ifndef MAILSTEAD_IO_TLS_TICKETS_H
#define MAILSTEAD_IO_TLS_TICKETS_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/ssl.h>

struct tls_tickets;

/* A ticket is opened under the newest key and so many before it. */
enum { TLS_TICKET_OLD_KEYS = 2 };

/* Makes the memory and its first key; NULL and errno when the system refuses. */
struct tls_tickets *tls_tickets_new(void);

/*
 * Makes a new key when the newest is `interval_ms` old; `now_ms` is monotonic.  True when it did.
 * For the maker alone.  The oldest key is overwritten: what was sealed with it is lost for good.
 */
bool tls_tickets_renew(struct tls_tickets *tickets, uint64_t now_ms, uint64_t interval_ms);

/* From here on this process can read the keys only. */
void tls_tickets_protect(struct tls_tickets *tickets);

/* Unmaps them from this process; those of the others stay.  NULL is allowed. */
void tls_tickets_free(struct tls_tickets *tickets);

/* Overwrites all keys; for the maker's end. */
void tls_tickets_wipe(struct tls_tickets *tickets);

/* How many keys were made. */
unsigned tls_tickets_count(const struct tls_tickets *tickets);

/* Has `context` seal and open its tickets with the keys, which outlive it. */
bool tls_tickets_use(const struct tls_tickets *tickets, SSL_CTX *context)
    __attribute__((warn_unused_result));

#endif
