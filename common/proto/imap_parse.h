/* SPDX-License-Identifier: Apache-2.0 */
/* The syntax of IMAP that both sides of a login need: RFC 9051 section 9, RFC 7888. */
#ifndef MAILSTEAD_PROTO_IMAP_PARSE_H
#define MAILSTEAD_PROTO_IMAP_PARSE_H

#include "common/proto/login.h"

enum {
    /* Bytes of a command with its literals and line ends. */
    IMAP_COMMAND_MAX = SASL_LINE_MAX,
    IMAP_TAG_SIZE = 64 /* a tag and its NUL */
};

/* A literal that a line announces at its end, "{5}" or "{5+}". */
struct imap_literal {
    uint64_t size;         /* UINT64_MAX stands for all that is larger, too */
    bool is_synchronizing; /* its sender waits for "+" before it sends the bytes */
};

/* True, and `*literal` filled, when `line` (without its CRLF) announces a literal. */
bool imap_find_literal(struct span line, struct imap_literal *literal);

enum imap_frame {
    IMAP_FRAME_NONE,     /* not yet whole */
    IMAP_FRAME_CONTINUE, /* send "+ OK", then call again: a literal may come */
    IMAP_FRAME_WHOLE,    /* `*command` is it, its literals inside, without its last CRLF */
    IMAP_FRAME_BROKEN,   /* taken off, but one of its lines holds a CR or NUL or ends with a bare LF
                          */
    IMAP_FRAME_REFUSED,  /* taken off up to the literal that is too large and was not asked for */
    IMAP_FRAME_FATAL /* too long, or a literal too large that comes unasked: nothing can follow */
};

/*
 * Takes one command off `*in`.  `*continued` counts the literals of this command
 * that were answered with CONTINUE; it is 0 before the first call, then this
 * function's own.  Sizes are checked before anything is asked for.
 */
enum imap_frame imap_take_command(struct span *in, unsigned *continued, struct span *command)
    __attribute__((warn_unused_result));

/*
 * Each takes one element off the front of `*text`; false, with `*text` at an
 * unspecified place in it, when there is none.
 */
bool imap_take_byte(struct span *text, char byte) __attribute__((warn_unused_result));
bool imap_take_atom(struct span *text, struct span *atom) __attribute__((warn_unused_result));
bool imap_take_tag(struct span *text, char tag[IMAP_TAG_SIZE]) __attribute__((warn_unused_result));

/*
 * The same for a quoted string or literal, and for these or an atom.  The value goes
 * to `target` of `capacity` bytes with a NUL behind it; one that does not fit
 * or holds CR, LF or NUL is refused.
 */
bool imap_take_string(struct span *text, char *target, size_t capacity)
    __attribute__((warn_unused_result));
bool imap_take_astring(struct span *text, char *target, size_t capacity)
    __attribute__((warn_unused_result));

/* True when `value` can be a quoted string for any server: ASCII without CR and LF. */
bool imap_is_quotable(const char *value);

/* Appends `value`, which is quotable, as a quoted string. */
void imap_append_quoted(struct buffer *out, const char *value);

/* The words of a [CAPABILITY ...] code at the start of `text`; empty when there is none. */
struct span imap_capability_code(struct span text);

/* True when `word` is among the words of `capabilities`, case ignored. */
bool imap_has_capability(struct span capabilities, const char *word);

#endif
