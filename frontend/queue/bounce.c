/* SPDX-License-Identifier: Apache-2.0 */
/* Composes and stores failure reports; failures are the store's. */
#include "frontend/queue/bounce.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/proto/report.h"

enum { BOUNCE_SIZE_MAX = 1 << 20, STATUS_SIZE = 12 };

static bool is_status(struct span word)
{
    return word.length >= 5 && word.length < STATUS_SIZE &&
           (word.data[0] == '4' || word.data[0] == '5') && word.data[1] == '.';
}

/* The status in "550 5.1.1 No such user" or "4.4.7 expired"; empty when there is none. */
static bool find_status(const char *text, char status[STATUS_SIZE])
{
    struct span rest = span_from_string(text);
    struct span first = span_split(&rest, ' ');
    struct span second = span_split(&rest, ' ');
    struct span word = is_status(first) ? first : second;

    status[0] = '\0';
    return is_status(word) && span_copy_string(word, status, STATUS_SIZE);
}

static bool is_reply(const char *text)
{
    return isdigit((unsigned char)text[0]) && isdigit((unsigned char)text[1]) &&
           isdigit((unsigned char)text[2]);
}

static void fill_recipients(struct report_recipient *targets, char (*statuses)[STATUS_SIZE],
                            const struct bounce_recipient *recipients, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool is_from_peer = is_reply(recipients[i].text);

        (void)find_status(recipients[i].text, statuses[i]);
        targets[i] = (struct report_recipient){
            .final = recipients[i].address,
            .status = statuses[i],
            .diagnostic = recipients[i].text,
            .remote_mta = is_from_peer ? recipients[i].destination : NULL,
            .is_reply = is_from_peer,
        };
    }
}

/* `retry_until_ms` 0: the recipients were given up. */
static bool compose(const char *hostname, const struct store_message *message,
                    const struct bounce_recipient *recipients, size_t count, int64_t now_ms,
                    int64_t retry_until_ms, struct bytes *target)
{
    char id[RANDOM_ID_SIZE], boundary[2 * RANDOM_ID_SIZE], date[CLOCK_RFC5322_SIZE];
    char arrival[CLOCK_RFC5322_SIZE], until[CLOCK_RFC5322_SIZE], reverse_path[512];
    char(*statuses)[STATUS_SIZE] = memory_new(count * sizeof(*statuses));
    struct report_recipient *targets = memory_new(count * sizeof(*targets));
    bool is_composed;

    random_id(id);
    random_id(boundary);
    random_id(boundary + RANDOM_ID_SIZE - 1);
    clock_format_rfc5322(now_ms, date);
    clock_format_rfc5322(message->arrival_ms, arrival);
    clock_format_rfc5322(retry_until_ms, until);
    fill_recipients(targets, statuses, recipients, count);
    is_composed =
        span_copy_string(message->reverse_path, reverse_path, sizeof(reverse_path)) &&
        report_compose(&(struct report){ .hostname = hostname,
                                         .reverse_path = reverse_path,
                                         .message_id = id,
                                         .boundary = boundary,
                                         .date = date,
                                         .arrival_date = arrival,
                                         .retry_until = retry_until_ms > 0 ? until : NULL,
                                         .message = span_take(message->body, BOUNCE_HEAD_MAX),
                                         .recipients = targets,
                                         .recipient_count = count },
                       target);
    free(targets);
    free(statuses);
    return is_composed;
}

static bool store_report(struct store *store, const struct store_message *failed,
                         struct span report, bool is_answered, int64_t now_ms)
{
    struct store_message message = {
        .session_id = failed->session_id,
        .reverse_path = SPAN_EMPTY,
        .may_relay = true,
        .size = report.length,
        .arrival_ms = now_ms,
        .body = report,
    };
    struct store_recipient recipient = {
        .address = failed->reverse_path,
        .state = STORE_PENDING,
        .next_attempt_ms = now_ms,
    };
    uint64_t id;

    return store_add(store, &message, &recipient, 1, is_answered, &id);
}

static void copy_id(const struct store_message *message, char id[64])
{
    if (!span_copy_string(message->session_id, id, 64))
        id[0] = '\0';
}

static void log_reported(const struct store_message *message, size_t count)
{
    char id[64];

    copy_id(message, id);
    LOG_EVENT(LOG_LEVEL_INFO, id, "queue_failure_reported", LOG_SPAN("to", message->reverse_path),
              LOG_INTEGER("recipients", count));
}

static void log_dropped(const struct store_message *message,
                        const struct bounce_recipient *recipients, size_t count)
{
    char id[64];

    copy_id(message, id);
    for (size_t i = 0; i < count; i++)
        LOG_EVENT(LOG_LEVEL_WARNING, id, "queue_failure_not_reported",
                  LOG_TEXT("recipient", recipients[i].address),
                  LOG_TEXT("text", recipients[i].text));
}

bool bounce_add(struct store *store, const char *hostname, const struct store_message *message,
                const struct bounce_recipient *recipients, size_t count, bool is_answered,
                int64_t now_ms)
{
    struct bytes report = bytes_empty(BOUNCE_SIZE_MAX);
    bool is_good = true;

    if (message->reverse_path.length > 0 &&
        compose(hostname, message, recipients, count, now_ms, 0, &report)) {
        is_good = store_report(store, message, bytes_span(&report), is_answered, now_ms);
        log_reported(message, count);
    } else {
        log_dropped(message, recipients, count);
    }
    bytes_release(&report);
    return is_good;
}

bool bounce_add_delay(struct store *store, const char *hostname,
                      const struct store_message *message,
                      const struct bounce_recipient *recipients, size_t count, int64_t now_ms,
                      int64_t retry_until_ms)
{
    struct bytes report = bytes_empty(BOUNCE_SIZE_MAX);
    bool is_good = true;
    char id[64];

    if (message->reverse_path.length > 0 &&
        compose(hostname, message, recipients, count, now_ms, retry_until_ms, &report)) {
        is_good = store_report(store, message, bytes_span(&report), false, now_ms);
        copy_id(message, id);
        LOG_EVENT(LOG_LEVEL_INFO, id, "queue_delay_reported", LOG_SPAN("to", message->reverse_path),
                  LOG_INTEGER("recipients", count));
    }
    bytes_release(&report);
    return is_good;
}

bool bounce_is_wanted(unsigned notify, enum store_notify event)
{
    return notify == 0 || notify & event;
}

char *bounce_read_head(int fd, struct span *head)
{
    char *memory = memory_new(BOUNCE_HEAD_MAX);
    ssize_t count = pread(fd, memory, BOUNCE_HEAD_MAX, 0);

    *head = span_of(memory, count > 0 ? (size_t)count : 0);
    return memory;
}
