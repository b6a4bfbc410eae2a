/* SPDX-License-Identifier: Apache-2.0 */
/* Composes and stores reports; failures are the store's. */
#include "frontend/queue/bounce.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/random.h"
#include "common/proto/xtext.h"

enum { BOUNCE_SIZE_MAX = 1 << 20, STATUS_SIZE = 12 };

static bool is_status(struct span word)
{
    return word.length >= 5 && word.length < STATUS_SIZE && strchr("245", word.data[0]) &&
           word.data[1] == '.';
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

/* What a report's recipient points to. */
struct bounce_strings {
    char status[STATUS_SIZE];
    char original_type[MAIL_ORCPT_SIZE], original[MAIL_ORCPT_SIZE];
};

/* Decodes "rfc822;joe+2Bx@example.org"; what cannot be is left out. */
static void read_orcpt(const char *orcpt, struct bounce_strings *strings)
{
    struct span address = span_from_string(orcpt);
    struct span type = span_split(&address, ';');
    struct buffer decoded = buffer_over(strings->original, sizeof(strings->original));

    if (!xtext_decode(address, true, &decoded) || !buffer_append_byte(&decoded, '\0') ||
        !span_copy_string(type, strings->original_type, sizeof(strings->original_type)))
        strings->original[0] = '\0';
}

static void fill_recipients(const struct bounce *bounce, struct bounce_strings *strings,
                            struct report_recipient *targets)
{
    for (size_t i = 0; i < bounce->count; i++) {
        const struct bounce_recipient *recipient = &bounce->recipients[i];
        bool is_from_peer = is_reply(recipient->text);

        (void)find_status(recipient->text, strings[i].status);
        read_orcpt(recipient->orcpt, &strings[i]);
        targets[i] = (struct report_recipient){
            .original_type = strings[i].original_type,
            .original = strings[i].original,
            .final = recipient->address,
            .status = strings[i].status,
            .diagnostic = recipient->text,
            .remote_mta = is_from_peer ? recipient->destination : NULL,
            .is_reply = is_from_peer,
            .is_relayed = recipient->is_relayed,
        };
    }
}

/* The texts of a report that are made for it. */
struct bounce_texts {
    char id[RANDOM_ID_SIZE], boundary[2 * RANDOM_ID_SIZE], date[CLOCK_RFC5322_SIZE];
    char arrival[CLOCK_RFC5322_SIZE], until[CLOCK_RFC5322_SIZE];
    char reverse_path[MAIL_PATH_SIZE], envelope_id[MAIL_ENVID_SIZE];
};

static bool fill_texts(const struct bounce *bounce, struct bounce_texts *texts)
{
    struct buffer envid = buffer_over(texts->envelope_id, sizeof(texts->envelope_id));

    random_id(texts->id);
    random_id(texts->boundary);
    random_id(texts->boundary + RANDOM_ID_SIZE - 1);
    clock_format_rfc5322(bounce->now_ms, texts->date);
    clock_format_rfc5322(bounce->message->arrival_ms, texts->arrival);
    clock_format_rfc5322(bounce->retry_until_ms, texts->until);
    if (!xtext_decode(bounce->message->envid, false, &envid) || !buffer_append_byte(&envid, '\0'))
        texts->envelope_id[0] = '\0';
    return span_copy_string(bounce->message->reverse_path, texts->reverse_path,
                            sizeof(texts->reverse_path));
}

static struct report make_report(const struct bounce *bounce, const struct bounce_texts *texts,
                                 const struct report_recipient *recipients)
{
    const struct store_message *message = bounce->message;

    return (struct report){
        .kind = bounce->kind,
        .hostname = bounce->hostname,
        .reverse_path = texts->reverse_path,
        .message_id = texts->id,
        .boundary = texts->boundary,
        .date = texts->date,
        .arrival_date = texts->arrival,
        .envelope_id = texts->envelope_id,
        .message = span_take(message->body, BOUNCE_HEAD_MAX),
        /* RFC 3461 section 4.3: RET is about failures alone. */
        .is_full = bounce->kind == REPORT_FAILED && message->ret == MAIL_RETURN_FULL &&
                   message->size <= BOUNCE_HEAD_MAX && message->body.length == message->size,
        .is_utf8 = message->is_utf8,
        .retry_until = texts->until,
        .recipients = recipients,
        .recipient_count = bounce->count,
    };
}

static bool store_report(struct store *store, const struct bounce *bounce, struct span content,
                         bool is_8bit)
{
    struct store_message message = {
        .session_id = bounce->message->session_id,
        .reverse_path = SPAN_EMPTY,
        .body_8bit = is_8bit,
        .is_utf8 = !span_is_ascii(bounce->message->reverse_path),
        .may_relay = true,
        .size = content.length,
        .arrival_ms = bounce->now_ms,
        .body = content,
    };
    struct store_recipient recipient = {
        .address = bounce->message->reverse_path,
        .state = STORE_PENDING,
        .next_attempt_ms = bounce->now_ms,
    };
    uint64_t id;

    return store_add(store, &message, &recipient, 1, bounce->is_answered, &id);
}

/* Composes and stores it; `*is_composed` false: it cannot be. */
static bool compose_and_store(struct store *store, const struct bounce *bounce, bool *is_composed)
{
    struct bounce_strings *strings = memory_new(bounce->count * sizeof(*strings));
    struct report_recipient *recipients = memory_new(bounce->count * sizeof(*recipients));
    struct bytes content = bytes_empty(BOUNCE_SIZE_MAX);
    struct bounce_texts texts;
    struct report report;
    bool is_good = true;

    fill_recipients(bounce, strings, recipients);
    *is_composed = fill_texts(bounce, &texts);
    report = make_report(bounce, &texts, recipients);
    *is_composed = *is_composed && report_compose(&report, &content);
    if (*is_composed)
        is_good = store_report(store, bounce, bytes_span(&content), report_is_8bit(&report));
    bytes_release(&content);
    free(recipients);
    free(strings);
    return is_good;
}

static void log_reported(const struct bounce *bounce, const char *id)
{
    const char *event = bounce->kind == REPORT_FAILED    ? "queue_failure_reported"
                        : bounce->kind == REPORT_DELAYED ? "queue_delay_reported"
                                                         : "queue_success_reported";

    LOG_EVENT(LOG_LEVEL_INFO, id, event, LOG_SPAN("to", bounce->message->reverse_path),
              LOG_INTEGER("recipients", bounce->count));
}

static void log_dropped(const struct bounce *bounce, const char *id)
{
    for (size_t i = 0; i < bounce->count; i++)
        LOG_EVENT(LOG_LEVEL_WARNING, id, "queue_failure_not_reported",
                  LOG_TEXT("recipient", bounce->recipients[i].address),
                  LOG_TEXT("text", bounce->recipients[i].text));
}

bool bounce_add(struct store *store, const struct bounce *bounce)
{
    bool is_composed = false, is_good = true;
    char id[64];

    if (bounce->count == 0)
        return true;
    if (!span_copy_string(bounce->message->session_id, id, sizeof(id)))
        id[0] = '\0';
    if (bounce->message->reverse_path.length > 0)
        is_good = compose_and_store(store, bounce, &is_composed);
    if (is_composed)
        log_reported(bounce, id);
    else if (bounce->kind == REPORT_FAILED)
        log_dropped(bounce, id);
    return is_good;
}

bool bounce_is_wanted(unsigned notify, enum mail_notify event)
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
