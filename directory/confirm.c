/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ABSENT needs a search that succeeded and found nothing; whatever else happens is UNSURE
 * or PRESENT, which mail and logins treat as temporary.
 *
 * A question lives in one map under its key, first open (in `open`), then as an answer that is kept
 * (in `kept`, oldest first, all for the same time).
 */
#include "directory/confirm.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/memory.h"
#include "directory/link_settings.h"
#include "directory/route_rules.h"

enum {
    CONFIRM_KEEP_MS = 3000,
    CONFIRM_KEPT_MAX = 4096,
    CONFIRM_OPEN_MAX = 256,
    CONFIRM_RETRY_MS = 1000, /* after a connection that failed */
    CONFIRM_FILTER_SIZE = 65536
};

struct confirm {
    struct io_loop *loop;
    const struct config *config;
    const char *(*followed_uri)(void *context);
    void *context;
    struct ldap_link *link; /* NULL: none */
    size_t server;          /* which of confirm_uri is used or next */
    size_t failures;        /* of servers, in a row */
    bool is_ready;
    uint64_t retry_at_ms; /* no connection before */
    uint64_t tokens_ms;   /* when `tokens` was last filled up */
    double tokens;        /* searches that may start now */
    struct map questions; /* open and kept */
    struct list open, kept;
    size_t open_count;
};

struct confirm_asker {
    struct list node;
    confirm_answered *answered;
    void *asker;
    uint32_t number;
};

struct confirm_question {
    struct map_node map_node;
    struct list node; /* in `open` or `kept` */
    struct confirm *confirm;
    bool is_open;
    bool was_found;
    enum directory_confirmation answer;
    uint64_t until_ms; /* open: an answer is needed; kept: it is dropped */
    struct list askers;
    size_t key_length;
    char key[1 + ROUTE_ADDRESS_SIZE]; /* enum route_key, then the value */
};

static void confirm_connect(struct confirm *confirm);

/* --- servers ------------------------------------------------------------------------ */

static size_t confirm_servers(const struct confirm *confirm)
{
    size_t count = confirm->config->directory.confirm_uri.count;

    return count > 0 ? count : 1;
}

static const char *confirm_uri(const struct confirm *confirm)
{
    const struct string_list *uris = &confirm->config->directory.confirm_uri;

    return uris->count > 0 ? uris->items[confirm->server] : confirm->followed_uri(confirm->context);
}

/* What one server may take, so that there is time for all of them. */
static unsigned confirm_attempt_ms(const struct confirm *confirm)
{
    return CONFIRM_TIMEOUT_MS / (unsigned)confirm_servers(confirm);
}

/* --- questions ---------------------------------------------------------------------- */

static void confirm_free_askers(struct confirm_question *question)
{
    LIST_EACH (node, &question->askers) {
        list_remove(node);
        free(LIST_ELEMENT(node, struct confirm_asker, node));
    }
}

static void confirm_drop(struct confirm_question *question)
{
    struct confirm *confirm = question->confirm;

    map_remove(&confirm->questions, &question->map_node);
    list_remove(&question->node);
    if (question->is_open)
        confirm->open_count--;
    confirm_free_askers(question);
    free(question);
}

/* Takes the answers that are too old, and the oldest when there are too many. */
static void confirm_expire(struct confirm *confirm, uint64_t now_ms)
{
    size_t kept_count = confirm->questions.count - confirm->open_count;

    while (!list_is_empty(&confirm->kept)) {
        struct confirm_question *oldest =
            LIST_ELEMENT(confirm->kept.next, struct confirm_question, node);

        if (oldest->until_ms > now_ms && kept_count <= CONFIRM_KEPT_MAX)
            return;
        confirm_drop(oldest);
        kept_count--;
    }
}

/* Answers all who asked; the answer is kept, unless it is UNSURE. */
static void confirm_settle(struct confirm_question *question, enum directory_confirmation answer)
{
    struct confirm *confirm = question->confirm;
    struct list askers;

    list_init(&askers);
    while (!list_is_empty(&question->askers)) {
        struct list *node = question->askers.next;

        list_remove(node);
        list_append(&askers, node);
    }
    question->answer = answer;
    question->is_open = false;
    question->until_ms = clock_monotonic_ms() + CONFIRM_KEEP_MS;
    confirm->open_count--;
    list_remove(&question->node);
    list_append(&confirm->kept, &question->node);
    if (answer == DIRECTORY_UNSURE)
        confirm_drop(question);
    while (!list_is_empty(&askers)) {
        struct confirm_asker *asker = LIST_ELEMENT(askers.next, struct confirm_asker, node);

        list_remove(&asker->node);
        asker->answered(asker->asker, asker->number, answer);
        free(asker);
    }
}

static void confirm_settle_all(struct confirm *confirm)
{
    while (!list_is_empty(&confirm->open))
        confirm_settle(LIST_ELEMENT(confirm->open.next, struct confirm_question, node),
                       DIRECTORY_UNSURE);
}

/* --- searching ------------------------------------------------------------------------- */

static void confirm_append_value(struct buffer *filter, const struct string_list *attributes,
                                 const char *value)
{
    for (size_t i = 0; i < attributes->count; i++) {
        buffer_append_format(filter, "(%s=", attributes->items[i]);
        ldap_escape(filter, span_from_string(value));
        buffer_append_byte(filter, ')');
    }
}

static void confirm_append_steps(struct confirm *confirm, struct buffer *filter, enum route_key key,
                                 const char *value, const char *default_domain)
{
    const struct directory_config *config = &confirm->config->directory;
    const struct string_list *attributes =
        key == ROUTE_KEY_LOGIN ? &config->login_attributes : &config->address_attributes;
    struct route_rules rules = route_rules_of(confirm->config);
    struct route_step steps[ROUTE_STEPS_MAX];
    size_t count = route_steps(&rules, key, value, default_domain, steps);

    for (size_t i = 0; i < count; i++) {
        char u_labels[ROUTE_ADDRESS_SIZE];

        confirm_append_value(filter, attributes, steps[i].value);
        if (route_to_u_labels(steps[i].value, u_labels)) /* perhaps the entry has them */
            confirm_append_value(filter, attributes, u_labels);
    }
}

/* All that the question's key might be found by; a login name may get any listener's domain. */
static bool confirm_write_filter(const struct confirm_question *question, struct buffer *filter)
{
    struct confirm *confirm = question->confirm;
    const struct directory_config *config = &confirm->config->directory;
    enum route_key key = (enum route_key)question->key[0];
    const char *value = question->key + 1;

    buffer_append_string(filter, "(&");
    if (key == ROUTE_KEY_ADDRESS && config->relay_filter)
        buffer_append_format(filter, "(|%s%s)", config->filter, config->relay_filter);
    else
        buffer_append_string(filter, config->filter);
    buffer_append_string(filter, "(|");
    confirm_append_steps(confirm, filter, key, value, NULL);
    for (size_t i = 0; key == ROUTE_KEY_LOGIN && i < confirm->config->listener_count; i++)
        if (confirm->config->listeners[i].default_domain && !strchr(value, '@'))
            confirm_append_steps(confirm, filter, key, value,
                                 confirm->config->listeners[i].default_domain);
    buffer_append_string(filter, "))");
    return buffer_append_byte(filter, '\0');
}

static void confirm_on_entry(void *context, const struct ldap_entry *entry)
{
    struct confirm_question *question = context;

    (void)entry;
    question->was_found = true;
}

/* An idle link that a server closes is nothing special: the next question opens another. */
static void confirm_lose_link(struct confirm *confirm, const char *reason)
{
    const char *uri = confirm_uri(confirm);

    ldap_link_close(confirm->link);
    confirm->link = NULL;
    confirm->is_ready = false;
    if (list_is_empty(&confirm->open))
        return;
    LOG_EVENT(LOG_LEVEL_WARNING, NULL, "confirm_unavailable", LOG_TEXT("uri", uri),
              LOG_TEXT("reason", reason));
    confirm->server = (confirm->server + 1) % confirm_servers(confirm);
    if (++confirm->failures < confirm_servers(confirm)) {
        confirm_connect(confirm);
        return;
    }
    confirm->failures = 0;
    confirm->retry_at_ms = clock_monotonic_ms() + CONFIRM_RETRY_MS;
    confirm_settle_all(confirm);
}

static enum directory_confirmation confirm_judge(const struct confirm_question *question,
                                                 const struct ldap_answer *answer)
{
    if (question->was_found || answer->code == LDAP_CODE_SIZE_LIMIT)
        return DIRECTORY_PRESENT;
    return answer->code == LDAP_CODE_SUCCESS ? DIRECTORY_ABSENT : DIRECTORY_UNSURE;
}

/* Without an answer the question stays open as long as there is another server. */
static void confirm_on_done(void *context, const struct ldap_answer *answer)
{
    struct confirm_question *question = context;
    struct confirm *confirm = question->confirm;
    bool is_answered = answer->code != LDAP_CODE_LOST && answer->code != LDAP_CODE_TIMEOUT;

    if (is_answered)
        confirm->failures = 0;
    if (is_answered || confirm->failures + 1 >= confirm_servers(confirm))
        confirm_settle(question, confirm_judge(question, answer));
    if (answer->code == LDAP_CODE_TIMEOUT)
        confirm_lose_link(confirm, "the server does not answer");
}

static const struct ldap_search_events confirm_search_events = { .entry = confirm_on_entry,
                                                                 .done = confirm_on_done };

static void confirm_search(struct confirm_question *question)
{
    static const char *const attributes[] = { "1.1", NULL };
    struct confirm *confirm = question->confirm;
    uint64_t now_ms = clock_monotonic_ms();
    char memory[CONFIRM_FILTER_SIZE];
    struct buffer filter = buffer_over(memory, sizeof(memory));
    struct ldap_search search = {
        .base = confirm->config->directory.base,
        .scope = LDAP_SCOPE_OF_SUBTREE,
        .filter = memory,
        .attributes = attributes,
        .size_limit = 1,
    };

    question->was_found = false;
    if (now_ms >= question->until_ms || !confirm_write_filter(question, &filter)) {
        confirm_settle(question, DIRECTORY_UNSURE);
        return;
    }
    search.timeout_ms = (unsigned)(question->until_ms - now_ms);
    if (search.timeout_ms > confirm_attempt_ms(confirm))
        search.timeout_ms = confirm_attempt_ms(confirm);
    (void)ldap_link_search(confirm->link, &search, &confirm_search_events, question);
}

/* --- the link ------------------------------------------------------------------------------ */

static void confirm_on_ready(void *context)
{
    struct confirm *confirm = context;

    confirm->is_ready = true;
    LIST_EACH (node, &confirm->open)
        confirm_search(LIST_ELEMENT(node, struct confirm_question, node));
}

static void confirm_on_ended(void *context, const char *reason)
{
    confirm_lose_link(context, reason);
}

static const struct ldap_link_events confirm_link_events = { .ready = confirm_on_ready,
                                                             .ended = confirm_on_ended };

static void confirm_connect(struct confirm *confirm)
{
    const struct directory_config *config = &confirm->config->directory;
    struct ldap_settings settings =
        link_settings(config, confirm_uri(confirm), confirm_attempt_ms(confirm));

    confirm->link = ldap_link_open(confirm->loop, &settings, &confirm_link_events, confirm);
}

/* --- asking ---------------------------------------------------------------------------------- */

/* Takes one token of the bucket, which holds a second's worth. */
static bool confirm_take_token(struct confirm *confirm, uint64_t now_ms)
{
    double rate = confirm->config->directory.confirm_rate;

    confirm->tokens += rate * (double)(now_ms - confirm->tokens_ms) / 1000;
    if (confirm->tokens > rate)
        confirm->tokens = rate;
    confirm->tokens_ms = now_ms;
    if (confirm->tokens < 1)
        return false;
    confirm->tokens -= 1;
    return true;
}

static void confirm_join(struct confirm_question *question, confirm_answered *answered, void *asker,
                         uint32_t number)
{
    struct confirm_asker *one = memory_new(sizeof(*one));

    *one = (struct confirm_asker){ .answered = answered, .asker = asker, .number = number };
    list_append(&question->askers, &one->node);
}

static struct confirm_question *confirm_open_question(struct confirm *confirm, struct span key,
                                                      uint64_t now_ms)
{
    struct confirm_question *question = memory_new(sizeof(*question));

    question->confirm = confirm;
    question->is_open = true;
    question->until_ms = now_ms + CONFIRM_TIMEOUT_MS;
    question->key_length = key.length;
    memcpy(question->key, key.data, key.length);
    list_init(&question->askers);
    list_append(&confirm->open, &question->node);
    confirm->open_count++;
    map_insert(&confirm->questions, &question->map_node, span_of(question->key, key.length));
    return question;
}

/* Whether a new search may be started now. */
static bool confirm_can_search(struct confirm *confirm, uint64_t now_ms)
{
    return confirm->open_count < CONFIRM_OPEN_MAX &&
           (confirm->link || now_ms >= confirm->retry_at_ms) && confirm_take_token(confirm, now_ms);
}

static void confirm_ask_anew(struct confirm *confirm, struct span key, confirm_answered *answered,
                             void *asker, uint32_t number)
{
    uint64_t now_ms = clock_monotonic_ms();
    struct confirm_question *question;

    if (!confirm_can_search(confirm, now_ms)) {
        answered(asker, number, DIRECTORY_UNSURE);
        return;
    }
    question = confirm_open_question(confirm, key, now_ms);
    confirm_join(question, answered, asker, number);
    if (!confirm->link)
        confirm_connect(confirm);
    else if (confirm->is_ready)
        confirm_search(question);
}

void confirm_ask(struct confirm *confirm, enum route_key key, struct span value,
                 confirm_answered *answered, void *asker, uint32_t number)
{
    char memory[1 + ROUTE_ADDRESS_SIZE];
    struct buffer whole = buffer_over(memory, sizeof(memory) - 1);
    struct map_node *node;

    confirm_expire(confirm, clock_monotonic_ms());
    buffer_append_byte(&whole, (char)key);
    if (value.length == 0 || !buffer_append(&whole, value) || memchr(memory + 1, 0, value.length)) {
        answered(asker, number, DIRECTORY_ABSENT); /* it can be no key */
        return;
    }
    node = map_find(&confirm->questions, buffer_span(&whole));
    if (node) {
        struct confirm_question *question = CONTAINER_OF(node, struct confirm_question, map_node);

        if (question->is_open)
            confirm_join(question, answered, asker, number);
        else
            answered(asker, number, question->answer);
        return;
    }
    confirm_ask_anew(confirm, buffer_span(&whole), answered, asker, number);
}

void confirm_forget(struct confirm *confirm, const void *asker)
{
    LIST_EACH (question_node, &confirm->open) {
        struct confirm_question *question =
            LIST_ELEMENT(question_node, struct confirm_question, node);

        LIST_EACH (node, &question->askers) {
            struct confirm_asker *one = LIST_ELEMENT(node, struct confirm_asker, node);

            if (one->asker != asker)
                continue;
            list_remove(node);
            free(one);
        }
    }
}

struct confirm *confirm_start(struct io_loop *loop, const struct config *config,
                              const char *(*followed_uri)(void *context), void *context)
{
    struct confirm *confirm = memory_new(sizeof(*confirm));

    confirm->loop = loop;
    confirm->config = config;
    confirm->followed_uri = followed_uri;
    confirm->context = context;
    confirm->tokens = config->directory.confirm_rate;
    confirm->tokens_ms = clock_monotonic_ms();
    map_init(&confirm->questions);
    list_init(&confirm->open);
    list_init(&confirm->kept);
    return confirm;
}

static void confirm_drop_node(struct map_node *node, void *context)
{
    struct confirm_question *question = CONTAINER_OF(node, struct confirm_question, map_node);

    (void)context;
    confirm_free_askers(question);
    free(question);
}

void confirm_stop(struct confirm *confirm)
{
    if (confirm->link)
        ldap_link_close(confirm->link);
    confirm_settle_all(confirm);
    map_each(&confirm->questions, confirm_drop_node, NULL);
    map_fini(&confirm->questions);
    free(confirm);
}
