/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays transcripts (script.h) through any protocol machine: each with its input
 * given whole, byte by byte, and cut in two at every position.  All must give
 * what the transcript says.
 *
 * The input of a replay is all input of the transcript in one run; it is given
 * out without regard to what the machine has said, since a peer may pipeline.
 * Output that follows output, and content that follows content, is compared joined.
 */
#ifndef MAILSTEAD_TESTS_TRANSCRIPTS_RUNNER_H
#define MAILSTEAD_TESTS_TRANSCRIPTS_RUNNER_H

#include "common/base/buffer.h"

/* What one call of a machine gave. */
enum transcript_step {
    TRANSCRIPT_NEED_INPUT,
    TRANSCRIPT_FLUSH,
    TRANSCRIPT_CONTENT,  /* `note` is the content, or a part of it */
    TRANSCRIPT_EVENT,    /* `note` is the event as E: has it; answers are given if there are any */
    TRANSCRIPT_QUESTION, /* the same, but without an answer the replay stops here */
    TRANSCRIPT_END       /* the same; the machine is not called again */
};

enum transcript_answered {
    TRANSCRIPT_GO_ON, /* the machine may be called again */
    TRANSCRIPT_DONE,  /* the answer was its end */
    TRANSCRIPT_UNKNOWN_ANSWER
};

/* How the runner drives a kind of machine. */
struct transcript_adapter {
    const char *folder;   /* of the transcripts, "tests/transcripts/pop3-server" */
    bool input_is_server; /* the machine is a client */
    size_t size;          /* of the memory given as `subject` */
    /* Starts a machine under the options of the transcript; false when they are unknown. */
    bool (*init)(void *subject, struct span options, struct buffer *out);
    /* Calls it once.  `note` is empty and has room for a whole `in`. */
    enum transcript_step (*next)(void *subject, struct span *in, struct buffer *out,
                                 struct buffer *note);
    /* Does what an A: line says. */
    enum transcript_answered (*answer)(void *subject, struct span answer, struct buffer *out);
    void (*fini)(void *subject);
};

/*
 * Takes the next word of `*text`, up to a space, off it: for adapters that read
 * options and answers.
 */
struct span transcript_take_word(struct span *text);

/* Copies a word of the options, unescaped, as a string; false when it does not fit. */
bool transcript_copy_word(struct span word, char *target, size_t capacity);

/*
 * Replays every .txt file of the adapter's folder, under the source folder that
 * the environment's top_srcdir names, or only those whose path contains the environment's
 * TRANSCRIPT.  The count of failures; each is on standard error.  No file
 * at all is one failure.
 */
int transcript_run_folder(const struct transcript_adapter *adapter);

#endif
