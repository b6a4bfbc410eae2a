/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A question goes through two steps: its entry's DN is searched, on one link with our own identity,
 * and then a link that is free binds as that DN.  A link that fails, or is silent, takes
 * the question on it with it, and is opened anew for the next one.
 *
 * No password is logged; each is wiped with its question.
 */
#include "directory/binder.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "directory/link_settings.h"
#include "directory/route.h"

enum {
    BINDER_TIMEOUT_MS = 4000, /* of each step */
    BINDER_RETRY_MS = 1000,   /* after a connection that failed */
    BINDER_FILTER_SIZE = 8192
};

struct binder_question {
    struct list node; /* in `searching` or `waiting`; alone while it is on a link */
    struct binder *binder;
    binder_answered *answered;
    void *asker; /* NULL: nobody wants to know any more */
    uint32_t number;
    bool is_searched; /* its search was sent */
    unsigned entries; /* that were found */
    char *dn;
    char account[ROUTE_ADDRESS_SIZE];
    char password[BINDER_PASSWORD_SIZE];
};

struct binder_link {
    struct binder *binder;
    struct ldap_link *link; /* NULL: none */
    bool is_ready;
    struct binder_question *question; /* that is bound; for the links that bind */
};

struct binder {
    struct io_loop *loop;
    const struct config *config;
    const char *(*followed_uri)(void *context);
    void *context;
    struct binder_link search, binds[BINDER_LINKS];
    struct list searching, waiting;
    size_t open_count;
    uint64_t retry_at_ms; /* no connection before */
};

static void binder_advance(struct binder *binder);

/* --- questions ---------------------------------------------------------------------- */

static void binder_settle(struct binder_question *question, enum directory_bind_answer answer)
{
    if (question->asker)
        question->answered(question->asker, question->number, answer);
    list_remove(&question->node);
    question->binder->open_count--;
    explicit_bzero(question->password, sizeof(question->password));
    free(question->dn);
    free(question);
}

static void binder_settle_all(struct list *questions)
{
    while (!list_is_empty(questions))
        binder_settle(LIST_ELEMENT(questions->next, struct binder_question, node),
                      DIRECTORY_BIND_UNSURE);
}

/* --- links --------------------------------------------------------------------------- */

static void binder_close(struct binder_link *link)
{
    struct binder_question *question = link->question;

    if (link->link)
        ldap_link_close(link->link);
    link->link = NULL;
    link->is_ready = false;
    link->question = NULL;
    if (question)
        binder_settle(question, DIRECTORY_BIND_UNSURE);
}

static void binder_on_ready(void *context)
{
    struct binder_link *link = context;

    link->is_ready = true;
    binder_advance(link->binder);
}

static bool binder_has_bind_link(const struct binder *binder)
{
    for (size_t i = 0; i < BINDER_LINKS; i++)
        if (binder->binds[i].link)
            return true;
    return false;
}

/* An idle link that a server closes is nothing special. */
static void binder_on_ended(void *context, const char *reason)
{
    struct binder_link *link = context;
    struct binder *binder = link->binder;
    bool was_ready = link->is_ready;

    if (binder->open_count > 0)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "bind_unavailable",
                  LOG_TEXT("uri", binder->followed_uri(binder->context)),
                  LOG_TEXT("reason", reason));
    binder_close(link);
    if (!was_ready)
        binder->retry_at_ms = clock_monotonic_ms() + BINDER_RETRY_MS;
    if (link == &binder->search)
        binder_settle_all(&binder->searching);
    else if (!was_ready && !binder_has_bind_link(binder))
        binder_settle_all(&binder->waiting);
    binder_advance(binder);
}

static const struct ldap_link_events binder_link_events = { .ready = binder_on_ready,
                                                            .ended = binder_on_ended };

/* False when no connection may be made just now. */
static bool binder_open(struct binder_link *link)
{
    struct binder *binder = link->binder;
    const struct ldap_settings settings = link_settings(
        &binder->config->directory, binder->followed_uri(binder->context), BINDER_TIMEOUT_MS);

    if (clock_monotonic_ms() < binder->retry_at_ms)
        return false;
    link->link = ldap_link_open(binder->loop, &settings, &binder_link_events, link);
    return true;
}

/* --- the search ------------------------------------------------------------------------ */

static void binder_on_entry(void *context, const struct ldap_entry *entry)
{
    struct binder_question *question = context;

    question->entries++;
    free(question->dn);
    question->dn = memory_copy_string(entry->dn);
}

/* No answer to one question: what else was asked there gets none either. */
static void binder_leave_silent_search(struct binder *binder)
{
    LOG_EVENT(LOG_LEVEL_WARNING, NULL, "bind_unavailable",
              LOG_TEXT("uri", binder->followed_uri(binder->context)),
              LOG_TEXT("reason", "no answer in time"));
    binder_close(&binder->search);
    binder_settle_all(&binder->searching);
}

/* One entry is its own; several are nobody's. */
static void binder_on_found(void *context, const struct ldap_answer *answer)
{
    struct binder_question *question = context;
    struct binder *binder = question->binder;

    if (answer->code == LDAP_CODE_TIMEOUT) {
        binder_leave_silent_search(binder);
        return;
    }
    if (answer->code != LDAP_CODE_SUCCESS || question->entries != 1 || !*question->dn) {
        binder_settle(question, DIRECTORY_BIND_UNSURE);
        return;
    }
    list_remove(&question->node);
    list_append(&binder->waiting, &question->node);
    binder_advance(binder);
}

static const struct ldap_search_events binder_search_events = { .entry = binder_on_entry,
                                                                .done = binder_on_found };

static void binder_append_name(struct buffer *filter, const char *attribute, const char *name)
{
    buffer_append_format(filter, "(%s=", attribute);
    ldap_escape(filter, span_from_string(name));
    buffer_append_byte(filter, ')');
}

/* The entry may have its domain as U-labels. */
static bool binder_write_filter(const struct binder_question *question, struct buffer *filter)
{
    const struct directory_config *config = &question->binder->config->directory;
    char u_labels[ROUTE_ADDRESS_SIZE];

    buffer_append_format(filter, "(&%s(|", config->filter);
    binder_append_name(filter, config->store_name_attribute, question->account);
    if (route_to_u_labels(question->account, u_labels))
        binder_append_name(filter, config->store_name_attribute, u_labels);
    buffer_append_string(filter, "))");
    return buffer_append_byte(filter, '\0');
}

static void binder_search(struct binder_question *question)
{
    static const char *const attributes[] = { "1.1", NULL };
    struct binder *binder = question->binder;
    char memory[BINDER_FILTER_SIZE];
    struct buffer filter = buffer_over(memory, sizeof(memory));
    const struct ldap_search search = {
        .base = binder->config->directory.base,
        .scope = LDAP_SCOPE_OF_SUBTREE,
        .filter = memory,
        .attributes = attributes,
        .size_limit = 2,
        .timeout_ms = BINDER_TIMEOUT_MS,
    };

    question->is_searched = true;
    if (binder_write_filter(question, &filter))
        (void)ldap_link_search(binder->search.link, &search, &binder_search_events, question);
    else
        binder_settle(question, DIRECTORY_BIND_UNSURE);
}

static void binder_advance_searches(struct binder *binder)
{
    if (list_is_empty(&binder->searching))
        return;
    if (!binder->search.link && !binder_open(&binder->search)) {
        binder_settle_all(&binder->searching);
        return;
    }
    if (!binder->search.is_ready)
        return;
    LIST_EACH (node, &binder->searching) {
        struct binder_question *question = LIST_ELEMENT(node, struct binder_question, node);

        if (!question->is_searched)
            binder_search(question);
    }
}

/* --- the bind ---------------------------------------------------------------------------- */

static enum directory_bind_answer binder_judge(const struct ldap_answer *answer)
{
    switch (answer->code) {
    case LDAP_CODE_SUCCESS:
        return DIRECTORY_BIND_ACCEPTED;
    case LDAP_CODE_INVALID_CREDENTIALS:
        return DIRECTORY_BIND_REFUSED;
    default:
        return DIRECTORY_BIND_UNSURE;
    }
}

static void binder_on_bound(void *context, const struct ldap_answer *answer)
{
    struct binder_link *link = context;
    struct binder *binder = link->binder;
    struct binder_question *question = link->question;

    link->question = NULL;
    binder_settle(question, binder_judge(answer));
    if (answer->code == LDAP_CODE_LOST)
        return; /* `ended` follows */
    if (answer->code == LDAP_CODE_TIMEOUT)
        binder_close(link); /* its answer must not be taken for the next one's */
    binder_advance(binder);
}

/* Gives `question` to the link. */
static void binder_bind(struct binder_link *link, struct binder_question *question)
{
    list_remove(&question->node);
    link->question = question;
    (void)ldap_link_bind(link->link, question->dn, question->password, BINDER_TIMEOUT_MS,
                         binder_on_bound, link);
}

static struct binder_link *binder_free_link(struct binder *binder)
{
    for (size_t i = 0; i < BINDER_LINKS; i++)
        if (binder->binds[i].is_ready && !binder->binds[i].question)
            return &binder->binds[i];
    return NULL;
}

static bool binder_is_connecting(const struct binder *binder)
{
    for (size_t i = 0; i < BINDER_LINKS; i++)
        if (binder->binds[i].link && !binder->binds[i].is_ready)
            return true;
    return false;
}

/* One more connection, unless one is on its way, or there are enough. */
static void binder_open_bind_link(struct binder *binder)
{
    if (binder_is_connecting(binder))
        return;
    for (size_t i = 0; i < BINDER_LINKS; i++)
        if (!binder->binds[i].link) {
            if (!binder_open(&binder->binds[i]) && !binder_has_bind_link(binder))
                binder_settle_all(&binder->waiting);
            return;
        }
}

static void binder_advance_binds(struct binder *binder)
{
    while (!list_is_empty(&binder->waiting)) {
        struct binder_link *link = binder_free_link(binder);

        if (!link) {
            binder_open_bind_link(binder);
            return;
        }
        binder_bind(link, LIST_ELEMENT(binder->waiting.next, struct binder_question, node));
    }
}

static void binder_advance(struct binder *binder)
{
    binder_advance_searches(binder);
    binder_advance_binds(binder);
}

/* --- asking --------------------------------------------------------------------------------- */

void binder_ask(struct binder *binder, struct span account, struct span password,
                binder_answered *answered, void *asker, uint32_t number)
{
    struct binder_question *question;

    if (binder->open_count >= BINDER_OPEN_MAX || account.length == 0 || password.length == 0) {
        answered(asker, number, DIRECTORY_BIND_UNSURE);
        return;
    }
    question = memory_new(sizeof(*question));
    question->binder = binder;
    question->answered = answered;
    question->asker = asker;
    question->number = number;
    list_append(&binder->searching, &question->node);
    binder->open_count++;
    if (span_copy_string(account, question->account, sizeof(question->account)) &&
        span_copy_string(password, question->password, sizeof(question->password)))
        binder_advance(binder);
    else
        binder_settle(question, DIRECTORY_BIND_UNSURE);
}

static void binder_forget_one(struct binder_question *question, const void *asker)
{
    if (question && question->asker == asker)
        question->asker = NULL;
}

static void binder_forget_in(struct list *questions, const void *asker)
{
    LIST_EACH (node, questions)
        binder_forget_one(LIST_ELEMENT(node, struct binder_question, node), asker);
}

void binder_forget(struct binder *binder, const void *asker)
{
    binder_forget_in(&binder->searching, asker);
    binder_forget_in(&binder->waiting, asker);
    for (size_t i = 0; i < BINDER_LINKS; i++)
        binder_forget_one(binder->binds[i].question, asker);
}

struct binder *binder_start(struct io_loop *loop, const struct config *config,
                            const char *(*followed_uri)(void *context), void *context)
{
    struct binder *binder = memory_new(sizeof(*binder));

    binder->loop = loop;
    binder->config = config;
    binder->followed_uri = followed_uri;
    binder->context = context;
    binder->search.binder = binder;
    for (size_t i = 0; i < BINDER_LINKS; i++)
        binder->binds[i].binder = binder;
    list_init(&binder->searching);
    list_init(&binder->waiting);
    return binder;
}

void binder_stop(struct binder *binder)
{
    binder_close(&binder->search);
    for (size_t i = 0; i < BINDER_LINKS; i++)
        binder_close(&binder->binds[i]);
    binder_settle_all(&binder->searching);
    binder_settle_all(&binder->waiting);
    free(binder);
}
