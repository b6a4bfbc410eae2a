/* SPDX-License-Identifier: Apache-2.0 */
/* The arguments of MAIL and RCPT: paths and parameters, RFC 5321 section 4.1.2. */
#ifndef MAILSTEAD_PROTO_SMTP_PATH_H
#define MAILSTEAD_PROTO_SMTP_PATH_H

#include "common/proto/mail.h"

enum smtp_path_kind {
    SMTP_PATH_REVERSE, /* of MAIL: a mailbox, or "<>" */
    SMTP_PATH_FORWARD  /* of RCPT: a mailbox, or "<postmaster>" in any case */
};

/*
 * Takes a path in angle brackets off the front of `*arguments`; spaces before it
 * are skipped.  `path` gets it without the brackets and without a source route; empty
 * for "<>".  A quoted local-part that needs no quotes loses them, any other keeps only
 * the backslashes that it needs, so that equal mailboxes are equal strings; case is kept.
 * It may have UTF-8 in it (RFC 6531); whether it may here is the caller's business.
 * False, and both untouched, when it is not well-formed, not UTF-8, or longer than the
 * array.  What follows the path must be a space or the end.
 */
bool smtp_path_take(struct span *arguments, enum smtp_path_kind kind, char path[MAIL_PATH_SIZE])
    __attribute__((warn_unused_result));

/*
 * True when "<path>" is safe to send: printable ASCII or UTF-8, no space or angle bracket but
 * inside a well-formed quoted local-part, shorter than MAIL_PATH_SIZE.  It need not have
 * a domain: names from a directory may have none.  The empty path is safe.
 */
bool smtp_path_is_safe(const char *path);

/* One parameter of MAIL or RCPT: KEYWORD or KEYWORD=VALUE; the value may have bytes above ASCII. */
struct smtp_parameter {
    struct span keyword;
    struct span value;
    bool has_value;
};

/*
 * Takes the next parameter off `*arguments`, which is what follows a path.  False, and
 * both untouched, when it is not well-formed.  To be called while smtp_parameter_follows.
 */
bool smtp_parameter_take(struct span *arguments, struct smtp_parameter *parameter)
    __attribute__((warn_unused_result));

/* True when `arguments` holds more than spaces. */
static inline bool smtp_parameter_follows(struct span arguments)
{
    return span_trim(arguments).length > 0;
}

#endif
