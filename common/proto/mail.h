/* SPDX-License-Identifier: Apache-2.0 */
/* What the mail protocols (SMTP, LMTP) have in common. */
#ifndef MAILSTEAD_PROTO_MAIL_H
#define MAILSTEAD_PROTO_MAIL_H

#include "common/proto/machine.h"

enum mail_flavor { MAIL_SMTP, MAIL_LMTP };

enum {
    MAIL_PATH_SIZE = 512,       /* a path without its brackets, and its NUL; RFC 5321 asks 256 */
    MAIL_ENVID_SIZE = 101,      /* an ENVID and its NUL, RFC 3461 section 5.4 */
    MAIL_ORCPT_SIZE = 501,      /* an ORCPT and its NUL, RFC 3461 section 5.4 */
    MAIL_REPLY_TEXT_SIZE = 512, /* the text of one reply, and its NUL */
    MAIL_REPLY_LINE_SIZE = MAIL_REPLY_TEXT_SIZE + 32 /* the same with both codes */
};

/*
 * One reply, RFC 5321 section 4.2 and RFC 2034.  `code` 0 stands for "no reply".
 * The text has no line break; a multi-line reply is folded to one line by ' '.
 */
struct mail_reply {
    int code;
    char enhanced[12]; /* "5.1.1", or empty */
    char text[MAIL_REPLY_TEXT_SIZE];
};

static inline bool mail_reply_is_positive(const struct mail_reply *reply)
{
    return reply->code >= 200 && reply->code < 400;
}

static inline bool mail_reply_is_permanent(const struct mail_reply *reply)
{
    return reply->code >= 500 && reply->code < 600;
}

/*
 * How a node says, with 451, that another node has the recipient's account: the frontend is to
 * resolve it again at once.  To who does not know it, it is a refusal for now.
 */
#define MAIL_ELSEWHERE "4.1.6"

static inline bool mail_reply_is_elsewhere(const struct mail_reply *reply)
{
    return reply->code == 451 && strcmp(reply->enhanced, MAIL_ELSEWHERE) == 0;
}

/*
 * A reply of our own; `enhanced` fits its member, `text` is cut to fit.  What is not
 * printable ASCII in the text becomes a space or '?'.  NULL stands for empty.
 */
struct mail_reply mail_reply_of(int code, const char *enhanced, const char *text);

/* Puts `text` behind the text that `reply` has, with a space between; cut and cleaned as above. */
void mail_reply_append_text(struct mail_reply *reply, struct span text);

/* Writes "550 5.1.1 No such user" as a C string; an empty one for "no reply". */
void mail_reply_write_line(const struct mail_reply *reply, char line[MAIL_REPLY_LINE_SIZE]);

/* What is returned in a report of a failure: RET of RFC 3461 section 4.3. */
enum mail_return { MAIL_RETURN_UNSAID, MAIL_RETURN_FULL, MAIL_RETURN_HEADERS };

/* When the sender wants to hear of a recipient: NOTIFY of RFC 3461 section 4.1, as bits. */
enum mail_notify {
    MAIL_NOTIFY_NEVER = 1 << 0, /* alone */
    MAIL_NOTIFY_SUCCESS = 1 << 1,
    MAIL_NOTIFY_FAILURE = 1 << 2,
    MAIL_NOTIFY_DELAY = 1 << 3
};

/* Writes "NEVER", or what is of "SUCCESS,FAILURE,DELAY"; at most MAIL_NOTIFY_WORDS_SIZE bytes. */
void mail_notify_write(unsigned notify, struct buffer *out);
enum { MAIL_NOTIFY_WORDS_SIZE = 32 };

/* The parameters of MAIL, RFC 1870, RFC 6152, RFC 6531 and RFC 3461. */
struct mail_parameters {
    uint64_t size; /* declared bytes, 0 when not */
    bool body_8bit;
    bool is_utf8;                /* SMTPUTF8: addresses and header may be UTF-8 */
    enum mail_return ret;        /* RET */
    char envid[MAIL_ENVID_SIZE]; /* ENVID, as xtext; empty: none */
};

/* The parameters of RCPT, RFC 3461. */
struct mail_recipient_parameters {
    unsigned notify;             /* of enum mail_notify; 0: nothing said */
    char orcpt[MAIL_ORCPT_SIZE]; /* ORCPT, "rfc822;" and xtext; empty: none */
};

#endif
