/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client of Dovecot's doveadm protocol (its TCP and unix sockets, version 1): it proves the
 * password once, and then runs one command after the other.
 *
 *     -> VERSION doveadm-server 1 0            <- "-": prove yourself, "+": no need
 *     -> PLAIN base64(NUL doveadm NUL password)  <- "+", or "-" and the end
 *     -> flags TAB user TAB command TAB words    <- output, LF, "+" or "-CODE"
 *
 * A server that can do nothing more (its process met a fatal error) closes without a result:
 * that is the caller's to see.
 */
#ifndef MAILSTEAD_PROTO_DOVEADM_CLIENT_H
#define MAILSTEAD_PROTO_DOVEADM_CLIENT_H

#include "common/base/state.h"
#include "common/proto/machine.h"

enum {
    DOVEADM_WORDS_MAX = 7,
    DOVEADM_PASSWORD_SIZE = 256,
    DOVEADM_CODE_SIZE = 32 /* of a result's code, with its NUL */
};

enum doveadm_event {
    DOVEADM_NEED_INPUT,
    DOVEADM_FLUSH,
    DOVEADM_READY,  /* question: doveadm_client_run */
    DOVEADM_OUTPUT, /* client.output is the next piece of what the command prints */
    DOVEADM_RESULT, /* question: client.code says how it went; doveadm_client_run may follow */
    DOVEADM_FAILED  /* the end: client.why says why, a static text */
};

/* A command: flags and user (both may be empty), its name, its words.  Borrowed until its result.
 */
struct doveadm_command {
    struct span words[DOVEADM_WORDS_MAX];
    size_t count; /* at least 3 */
};

struct doveadm_client {
    struct state state;
    char password[DOVEADM_PASSWORD_SIZE]; /* wiped when it was sent */
    struct doveadm_command command;
    size_t word;                  /* the next to send */
    struct span rest;             /* of it */
    struct span output;           /* in the input, until the next call */
    char code[DOVEADM_CODE_SIZE]; /* empty: success; "NOUSER", "TEMPFAIL", "2" */
    const char *why;
};

/* `password` is shorter than DOVEADM_PASSWORD_SIZE and without line breaks. */
void doveadm_client_init(struct doveadm_client *client, const char *password);
enum doveadm_event doveadm_client_next(struct doveadm_client *client, struct span *in,
                                       struct buffer *out);

/* The answer to READY and RESULT.  False when a word has a control character: nothing is sent. */
bool doveadm_client_run(struct doveadm_client *client, const struct doveadm_command *command)
    __attribute__((warn_unused_result));

/* Wipes it. */
void doveadm_client_fini(struct doveadm_client *client);

#endif
