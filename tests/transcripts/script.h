/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A transcript: a text file that says what a protocol machine is fed and what it
 * must give, in order.  One item a line:
 *
 *     # a comment; empty lines are skipped
 *     O: options        for the adapter, before anything else; at most one such line
 *     C: text           the client says `text` CRLF
 *     S: text           the server says `text` CRLF
 *     c: s: text        the same without the CRLF
 *     c*5000: text      five thousand times the text; also C*, S*, s*
 *     D: text           the machine gives content: `text` CRLF; d: without the CRLF
 *     E: event          the machine gives this event
 *     A: answer         what the session does at the event above; several may follow each other
 *     L: text           what the machine has left in its input at the end; l: without the CRLF
 *
 * C and S are the input and the expected output of a server machine, and the
 * output and input of a client machine.  In text, \r \n \t \0 \\ and \xHH stand
 * for bytes.
 */
#ifndef MAILSTEAD_TESTS_TRANSCRIPTS_SCRIPT_H
#define MAILSTEAD_TESTS_TRANSCRIPTS_SCRIPT_H

#include "common/base/bytes.h"

enum script_kind {
    SCRIPT_INPUT,
    SCRIPT_OUTPUT,
    SCRIPT_CONTENT,
    SCRIPT_EVENT,
    SCRIPT_ANSWER,
    SCRIPT_LEFT
};

struct script_item {
    enum script_kind kind;
    unsigned line;      /* in the file, from 1 */
    struct bytes bytes; /* unescaped; CRLF is part of it */
};

struct script {
    struct script_item *items; /* owned */
    size_t count;
    char options[2048]; /* not unescaped: words first */
};

/*
 * Reads `path`; the input side is the server's when `input_is_server`.  False,
 * with the reason on standard error, when it is no transcript.  The caller ends it
 * with script_fini in both cases.
 */
bool script_read(struct script *script, const char *path, bool input_is_server);

/* Appends `text` with its escapes resolved; false when one is wrong or the limit is passed. */
bool script_unescape(struct bytes *target, struct span text);

/* Frees what script_read made. */
void script_fini(struct script *script);

#endif
