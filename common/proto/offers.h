/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a backend offers before a login: IMAP's CAPABILITY, POP3's CAPA (RFC 2449); and of LMTP what
 * may only be taken in when it is there to be passed on.  Kept as a
 * bit for each word that a proxy may announce as its own: those of which it sees nothing but
 * bytes, since they are used behind the login.  What concerns the login itself (AUTH=, SASL,
 * STARTTLS, ID ...) and what would lead back before it is not among them; but of POP3, whose
 * greeting tells nothing, what our own login there uses has bits of its own.
 *
 * The machine asks for them: greeting, STARTTLS when it must be, the question, goodbye.
 */
#ifndef MAILSTEAD_PROTO_OFFERS_H
#define MAILSTEAD_PROTO_OFFERS_H

#include "common/base/state.h"
#include "common/proto/machine.h"

/* Set in whatever was learned, and in no word's place. */
#define OFFERS_KNOWN (UINT64_C(1) << 63)

/* POP3: SASL with PLAIN (RFC 5034), and the code [AUTH] in what refuses it (RFC 3206). */
#define POP3_OFFERS_PLAIN (UINT64_C(1) << 62)
#define POP3_OFFERS_AUTH_RESP_CODE (UINT64_C(1) << 61)

/* The words whose place matters to somebody. */
enum { IMAP_OFFER_LITERAL_PLUS, IMAP_OFFER_LITERAL_MINUS };
enum { POP3_OFFER_TOP, POP3_OFFER_UIDL, POP3_OFFER_PIPELINING };
enum { LMTP_OFFER_SMTPUTF8 };
#define OFFER_BIT(word) (UINT64_C(1) << (word))

/* ManageSieve: the bits behind those of its extensions. */
enum { SIEVE_NOTIFY_FIRST = 47, SIEVE_REDIRECTS_FIRST = 49, SIEVE_REDIRECTS_BITS = 6 };

/* Of what was learned: whether it is one of the words. */
static inline bool offers_has_words(uint64_t offers)
{
    return offers & ~(OFFERS_KNOWN | POP3_OFFERS_PLAIN | POP3_OFFERS_AUTH_RESP_CODE);
}

/* The words of a protocol by their bits, ended by NULL. */
extern const char *const imap_offer_words[];
extern const char *const pop3_offer_words[];
extern const char *const lmtp_offer_words[];
extern const char *const sieve_offer_words[];
extern const char *const sieve_notify_words[]; /* from SIEVE_NOTIFY_FIRST on */

/* The bits of the words of a CAPABILITY response, or of one line of CAPA's. */
uint64_t imap_offers_read(struct span capabilities);
uint64_t pop3_offers_read(struct span line);

/* Those of a list of Sieve extensions, and of methods of notification (RFC 5804 section 1.7). */
uint64_t sieve_offers_read(struct span extensions);
uint64_t sieve_notify_read(struct span methods);

/*
 * The bits of the most redirections that a script may make, and that number of bits that are common
 * to several servers; -1: they differ, or did not say it.
 */
uint64_t sieve_redirects_read(struct span number);
int sieve_redirects(uint64_t offers);

enum offers_event {
    OFFERS_NEED_INPUT,
    OFFERS_FLUSH,
    OFFERS_STARTTLS, /* question: handshake, then offers_tls_started */
    OFFERS_DONE,     /* client.offers is the answer, with OFFERS_KNOWN */
    OFFERS_FAILED    /* no good greeting, or what follows it makes no sense */
};

struct offers_dialogue;
/* LMTP's is never asked inside TLS, and does not say goodbye. */
extern const struct offers_dialogue imap_offers_dialogue, pop3_offers_dialogue,
    lmtp_offers_dialogue, sieve_offers_dialogue;

struct offers_client {
    struct state state;
    const struct offers_dialogue *dialogue;
    bool starttls;   /* the question is asked inside TLS */
    bool is_greeted; /* the greeting has come, and was a good one */
    uint64_t offers;
};

void offers_init(struct offers_client *client, const struct offers_dialogue *dialogue,
                 bool starttls);
enum offers_event offers_next(struct offers_client *client, struct span *in, struct buffer *out);
void offers_tls_started(struct offers_client *client);

#endif
