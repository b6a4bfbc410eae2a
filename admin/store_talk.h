/* SPDX-License-Identifier: Apache-2.0 */
/* A short talk with a mail store, line by line, that waits: for the administrator's command. */
#ifndef MAILSTEAD_ADMIN_STORE_TALK_H
#define MAILSTEAD_ADMIN_STORE_TALK_H

#include <stdbool.h>
#include <stdint.h>

#include "common/base/span.h"
#include "common/io/endpoint.h"

enum { STORE_LINE_SIZE = 1024, STORE_TALK_ERROR_SIZE = 160 };

struct store_talk {
    int fd;
    uint64_t deadline_ms; /* monotonic; of all of it */
    char held[STORE_LINE_SIZE];
    size_t held_length;
    char line[STORE_LINE_SIZE]; /* what was read last, without its end */
};

/* Connects; the whole talk may take `timeout_ms`.  False and `error` when nobody answers. */
bool store_talk_begin(struct store_talk *talk, const struct endpoint *store, unsigned timeout_ms,
                      char error[STORE_TALK_ERROR_SIZE]) __attribute__((warn_unused_result));
void store_talk_end(struct store_talk *talk);

/* Whether nothing comes, not even the end, for so long. */
bool store_talk_is_silent(const struct store_talk *talk, unsigned for_ms);

/* Sends bytes as they are.  False when they cannot be sent. */
bool store_talk_send(struct store_talk *talk, struct span bytes)
    __attribute__((warn_unused_result));

/* Sends one line.  False when it cannot be sent. */
bool store_talk_say(struct store_talk *talk, const char *format, ...)
    __attribute__((format(printf, 2, 3), warn_unused_result));

/* The next line at talk->line.  False at the end, when it is too long, or at the deadline. */
bool store_talk_hear(struct store_talk *talk) __attribute__((warn_unused_result));

/*
 * A whole SMTP reply (RFC 5321 section 4.2.1): its code, the last line at talk->line; 0 when there
 * is none.  `has_word`, when it is not NULL, becomes true when a line of it begins with `word`.
 */
int store_talk_reply(struct store_talk *talk, const char *word, bool *has_word);

#endif
