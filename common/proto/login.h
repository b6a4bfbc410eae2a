/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the login protocols (IMAP, POP3) have in common: the two tables of
 * functions by which a session drives any of them, and what passes through.
 *
 * A login server machine talks to the mail client until its credentials are
 * known; a login client machine replays them to the backend.  When the backend
 * has accepted them, both are done and a byte relay takes over.
 */
#ifndef MAILSTEAD_PROTO_LOGIN_H
#define MAILSTEAD_PROTO_LOGIN_H

#include "common/proto/machine.h"
#include "common/proto/offers.h"
#include "common/proto/sasl.h"

enum {
    LOGIN_TEXT_SIZE = 1024,       /* a refusal's or an acceptance's text and its NUL */
    FORWARDED_FIELDS_SIZE = 2048, /* a client's fields of ID and their NUL */
    /* A client machine writes only where so much room is left: for any credentials, and a line. */
    LOGIN_CLIENT_ROOM = SASL_RESPONSE_MAX + FORWARDED_FIELDS_SIZE + 1024
};

enum login_line {
    LOGIN_LINE_NONE,    /* not yet whole; `*in` untouched */
    LOGIN_LINE_WHOLE,   /* `*line` is it without its CRLF */
    LOGIN_LINE_BROKEN,  /* taken off, but it holds a CR or NUL, or ends with a bare LF */
    LOGIN_LINE_TOO_LONG /* its end is not among the first `line_max` bytes; `*in` untouched */
};

/*
 * Takes one line off `*in`, strictly: only CRLF ends one.  What it gives depends
 * on the bytes alone, not on how many of them have come.
 */
enum login_line login_take_line(struct span *in, size_t line_max, struct span *line)
    __attribute__((warn_unused_result));

/* Copies `text`, which holds no NUL, cut to fit. */
void login_copy_text(struct span text, char target[LOGIN_TEXT_SIZE]);

/*
 * Facts of a client that a frontend passes on to the node behind it: by IMAP ID
 * (x-originating-ip, x-originating-port, x-session-id, x-proxy-ttl) or POP3 XCLIENT
 * (ADDR, PORT, SESSION, TTL).
 */
struct forwarded {
    char address[46];    /* textual IP address of the client; empty when not known */
    uint16_t port;       /* 0 when not known */
    char session_id[40]; /* printable ASCII without spaces; may be empty */
    unsigned ttl;        /* proxies that may still follow; 0 when not known */
    bool has_ttl;        /* somebody has said it, be it 0 */
    const char *fields;  /* the client's own for IMAP ID (imap_id.h), the machine's; NULL: none */
};

enum {
    FORWARDED_TTL_MAX = 255,
    FORWARDED_TTL_LAST = 1 /* the next proxy is the last: a node may not relay to another */
};

/* Whether it comes from a node that has relayed it: another may not relay it again. */
static inline bool forwarded_was_relayed(const struct forwarded *forwarded)
{
    return forwarded->has_ttl && forwarded->ttl <= FORWARDED_TTL_LAST;
}

enum forwarded_field { FORWARDED_ADDRESS, FORWARDED_PORT, FORWARDED_SESSION, FORWARDED_TTL };

/* Reads `value` into a field; false, and nothing changed, when it is not such a value. */
bool forwarded_set(struct forwarded *forwarded, enum forwarded_field field, struct span value)
    __attribute__((warn_unused_result));

/*
 * Reads a "KEY=VALUE" of POP3's or ManageSieve's XCLIENT; a key that we have no use for is no
 * error.
 */
bool forwarded_set_parameter(struct forwarded *forwarded, struct span parameter)
    __attribute__((warn_unused_result));

/* Why a login does not succeed now; each protocol has its own words and response code for it. */
enum login_refusal_reason {
    LOGIN_REFUSED_CREDENTIALS, /* wrong password or no such account, never told apart */
    LOGIN_REFUSED_TEMPORARY,   /* IMAP NO [UNAVAILABLE], POP3 -ERR [SYS/TEMP] */
    LOGIN_REFUSED_ELSEWHERE,   /* by a node, to frontends alone: see LOGIN_DENIED_ELSEWHERE */
    LOGIN_REFUSED_BY_BACKEND   /* the backend's own words, in `text` */
};

struct login_refusal {
    enum login_refusal_reason reason;
    struct span text;      /* BY_BACKEND: what followed NO or -ERR, with its response code */
    struct span challenge; /* in base64: how the backend told that it refuses a token; or empty */
};

/*
 * The challenge that tells a client that its token was refused: the backend's, or the usual
 * one when we refuse ourselves.  Empty when the refusal says nothing about the token.
 */
struct span login_refusal_challenge(const struct login_refusal *refusal);

enum login_event {
    LOGIN_NEED_INPUT,
    LOGIN_FLUSH,
    LOGIN_STARTTLS, /* question: flush `out`, refuse leftover input, handshake, then tls_started */
    LOGIN_CREDENTIALS, /* question: resolve and try; then refuse, or accept and drop the machine */
    LOGIN_END          /* send `out` and close */
};

struct login_server_options {
    const char *hostname;   /* for the greeting; outlives the machine */
    bool tls_available;     /* STARTTLS is offered while TLS is not active */
    bool tls_active;        /* the connection is already inside TLS */
    bool plaintext_allowed; /* credentials are accepted outside TLS */
    bool peer_is_trusted;   /* a frontend: what it forwards is believed */
    /* The mechanisms of AUTHENTICATE and AUTH; its strings outlive the machine. */
    struct sasl_options sasl;
    /* What the client will find behind the login (offers.h): bits of the machine's protocol. */
    uint64_t offers;
};

/*
 * A machine of the server side; `machine` is memory of `size` bytes that the session owns.  It
 * begins with a `struct login_server` (login_head.h), by which all that is not here is done.
 */
struct login_server_ops {
    const char *protocol; /* "imap", "pop3" */
    size_t size;
    /* Starts the machine and writes the greeting. */
    void (*init)(void *machine, const struct login_server_options *options, struct buffer *out);
    enum login_event (*next)(void *machine, struct span *in, struct buffer *out);
    /* Answers LOGIN_STARTTLS, once the handshake is done. */
    void (*tls_started)(void *machine);
    /*
     * Answers LOGIN_CREDENTIALS: not this time; the client may try again.  Who presented a token
     * that is refused hears that when it has answered a challenge.
     */
    void (*refuse)(void *machine, const struct login_refusal *refusal, struct buffer *out);
    /*
     * Answers LOGIN_CREDENTIALS: the backend accepted.  `text` is what the client
     * machine gave; writes the client's own success line.  The machine is done.
     */
    void (*accept)(void *machine, struct span text, struct buffer *out);
    /* Writes an unasked goodbye (we are going away, too slow), at any time; the machine is done. */
    void (*goodbye)(void *machine, const char *text, struct buffer *out);
};

enum login_client_event {
    LOGIN_CLIENT_NEED_INPUT,
    LOGIN_CLIENT_FLUSH,
    LOGIN_CLIENT_STARTTLS, /* question: handshake, then tls_started */
    LOGIN_CLIENT_ACCEPTED, /* `text` holds the words of the success */
    LOGIN_CLIENT_REFUSED,  /* `text` holds the backend's words; `denial` says which kind */
    LOGIN_CLIENT_FAILED    /* the peer broke the protocol, or offers no STARTTLS when it must */
};

struct login_client_options {
    bool starttls;                         /* must be used before the credentials are sent */
    const char *name;                      /* the account's canonical name; outlives the machine */
    const struct credentials *credentials; /* for the secret; outlives the machine */
    const struct forwarded *forwarded; /* what to pass on; copied by nobody, outlives the machine */
    uint64_t offers; /* what the backend has said that it offers (offers.h); 0: nothing is known */
};

/* What a backend's refusal means. */
enum login_denial {
    LOGIN_DENIED,           /* the credentials are wrong, or the account may not log in */
    LOGIN_DENIED_FOR_NOW,   /* they may succeed later: IMAP [UNAVAILABLE], POP3 [SYS/TEMP] */
    LOGIN_DENIED_ELSEWHERE, /* a node says that another node has the account: look again at once */
};

/*
 * How a node says so: a temporary refusal to who does not know it.  IMAP's has an argument, the
 * others' are a level below (RFC 2449 section 8, RFC 5804 section 1.3).
 */
#define LOGIN_ELSEWHERE_IMAP "[UNAVAILABLE ELSEWHERE]"
#define LOGIN_ELSEWHERE_POP3 "[SYS/TEMP/ELSEWHERE]"
#define LOGIN_ELSEWHERE_SIEVE "TRYLATER/ELSEWHERE"
#define LOGIN_ELSEWHERE_WORDS " The account is another node's."

/* A machine of the client side, towards a backend; it begins with a `struct login_client`. */
struct login_client_ops {
    const char *protocol;
    size_t size;
    void (*init)(void *machine, const struct login_client_options *options);
    enum login_client_event (*next)(void *machine, struct span *in, struct buffer *out);
    void (*tls_started)(void *machine);
};

#endif
