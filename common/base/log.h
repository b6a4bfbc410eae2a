/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line a fact, as key=value, the session's id first.
 *
 *     id=8fk2... event=login account=a@example.org backend=sv1 ms=3
 *
 * Values are typed fields, never format strings: whatever came from a peer is
 * quoted and escaped here and cannot forge a line or a key.  Nothing secret is
 * ever given to this module.
 */
#ifndef MAILSTEAD_BASE_LOG_H
#define MAILSTEAD_BASE_LOG_H

#include "common/base/span.h"

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

enum log_field_type { LOG_FIELD_END, LOG_FIELD_SPAN, LOG_FIELD_INTEGER };

struct log_field {
    const char *key; /* lower-case word */
    enum log_field_type type;
    struct span text;
    int64_t integer;
};

/* Fields for log_event: LOG_TEXT takes a C string or NULL (left out), LOG_SPAN a span. */
#define LOG_TEXT(key, string)                                                                      \
    {                                                                                              \
        (key), LOG_FIELD_SPAN, span_from_string(string), 0                                         \
    }
#define LOG_SPAN(key, span)                                                                        \
    {                                                                                              \
        (key), LOG_FIELD_SPAN, (span), 0                                                           \
    }
#define LOG_INTEGER(key, number)                                                                   \
    {                                                                                              \
        (key), LOG_FIELD_INTEGER, { NULL, 0 }, (int64_t)(number)                                   \
    }

/*
 * One line: `id` is the session's, NULL for the process's own; `event` one
 * word with underscores.  Then the fields:
 *
 *     LOG_EVENT(LOG_LEVEL_INFO, id, "login", LOG_SPAN("account", name), LOG_INTEGER("ms", 3));
 */
#define LOG_EVENT(level, id, event, ...)                                                           \
    do {                                                                                           \
        if (log_is_enabled(level))                                                                 \
            log_event((level), (id),                                                               \
                      (const struct log_field[]){ LOG_TEXT("event", event),                        \
                                                  ##__VA_ARGS__,                                   \
                                                  { NULL, LOG_FIELD_END, { NULL, 0 }, 0 } });      \
    } while (0)

/* The function behind LOG_EVENT; `fields` end with a LOG_FIELD_END. */
void log_event(enum log_level level, const char *id, const struct log_field *fields);

/* The least level that is written; LOG_LEVEL_INFO until set. */
void log_set_level(enum log_level level);
bool log_is_enabled(enum log_level level);

/* Called with each event that is written, by its name; NULL: nobody is.  It logs nothing itself. */
void log_set_observer(void (*observer)(enum log_level level, const char *event));

/*
 * What stands in front of each line of this process: the program and its role,
 * "mailstead-frontend worker-1".  Copied; cut at 63 bytes.
 */
void log_set_process(const char *process);

/* Writes to the descriptor `fd`, not closed by us; standard error until set. */
void log_set_descriptor(int fd);

#endif
