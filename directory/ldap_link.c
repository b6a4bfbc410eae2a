/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libldap in the loop.  What it can only do by waiting (resolving, connecting, TLS, bind)
 * it does in libuv's pool, on a handle that nobody else uses meanwhile.  From
 * then on the handle is the loop's: results are polled with a zero timeout until there are none, or
 * until this turn's budget is used up, since what libldap or TLS has buffered makes no new
 * readiness.
 *
 * One timer holds all deadlines: first of being ready, then of operations; it runs while an
 * operation has one, and also pushes requests that the socket did not take at once.
 *
 * A link ends once, by link_end.  The descriptor is libldap's and is closed by it, so the
 * poll handle is stopped first.  The struct is freed when the last handle is
 * closed and the pool is done with it.
 *
 * Referrals are never followed: the one write URI is configured.
 */
#include "directory/ldap_link.h"

#include <lber.h>
#include <ldap.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "directory/ldap_link_connect.h"
#include "directory/page_value.h"

enum {
    LINK_TICK_MS = 50,
    LINK_TURN_MESSAGES = 1000,
    LINK_TURN_MS = 20,
    LINK_ATTRIBUTES_MAX = 32,
    LINK_VALUES_MAX = 8192, /* of one entry; what is more is not shown */
    LINK_CONTROLS_MAX = 3
};

enum link_state { LINK_CONNECTING, LINK_READY, LINK_ENDED };

struct ldap_link {
    struct io_loop *loop;
    const struct ldap_link_events *events;
    void *context;
    enum link_state state;
    bool is_closing; /* by its owner: nothing is called any more */
    LDAP *ld;        /* the pool's while CONNECTING, then the loop's; NULL after the end */
    struct list operations;
    size_t operation_count;
    size_t deadline_count; /* operations that have one */
    uv_work_t work;
    struct connect_watch *watch;
    uv_poll_t poll;
    uv_timer_t timer;
    uint64_t message_count;        /* taken in all */
    struct io_resumption more;     /* input beyond the budget, or a failure to be told */
    unsigned users;                /* open handles, and the pool: at 0 the memory is freed */
    char reason[LDAP_REASON_SIZE]; /* of the end; empty while there is none */
    /* Copies for the pool: */
    char *uri, *ca, *bind_dn, *password;
    bool starttls;
    unsigned timeout_ms;
};

struct link_operation {
    struct list node;
    int number;
    uint64_t deadline_ms;                    /* 0: none */
    const struct ldap_search_events *search; /* NULL: not a search */
    ldap_done *done;
    void *context;
};

/* Runs in the pool. */
static void link_connect(uv_work_t *work)
{
    struct ldap_link *link = work->data;
    struct ldap_settings settings = {
        .uri = link->uri,
        .starttls = link->starttls,
        .ca = link->ca,
        .bind_dn = link->bind_dn,
        .password = link->password,
        .timeout_ms = link->timeout_ms,
    };

    link->ld = ldap_link_connect(&settings, link->watch, link->reason);
}

/* --- the end ---------------------------------------------------------------------------- */

static void link_release(struct ldap_link *link)
{
    if (--link->users > 0)
        return;
    if (link->password)
        explicit_bzero(link->password, strlen(link->password));
    connect_watch_free(link->watch);
    free(link->uri);
    free(link->ca);
    free(link->bind_dn);
    free(link->password);
    free(link);
}

static void link_on_closed(uv_handle_t *handle)
{
    link_release(handle->data);
}

static void link_free_operation(struct ldap_link *link, struct link_operation *operation)
{
    list_remove(&operation->node);
    link->operation_count--;
    if (operation->deadline_ms && --link->deadline_count == 0)
        uv_timer_stop(&link->timer);
    free(operation);
}

/* Ends one operation and tells its owner. */
static void link_finish(struct ldap_link *link, struct link_operation *operation,
                        const struct ldap_answer *answer)
{
    ldap_done *done = operation->done;
    void *context = operation->context;

    link_free_operation(link, operation);
    if (!link->is_closing)
        done(context, answer);
}

/* Lets go of the server: from here on there is no handle to ask. */
static void link_disconnect(struct ldap_link *link)
{
    if (link->state == LINK_READY)
        uv_poll_stop(&link->poll);
    link->state = LINK_ENDED;
    if (link->ld)
        ldap_unbind_ext(link->ld, NULL, NULL);
    link->ld = NULL;
    io_resumption_cancel(&link->more);
}

/* Ends the link for `reason`: all that is open is lost. */
static void link_end(struct ldap_link *link)
{
    struct ldap_answer lost = { .code = LDAP_CODE_LOST, .text = link->reason };

    link_disconnect(link);
    while (!list_is_empty(&link->operations))
        link_finish(link, LIST_ELEMENT(link->operations.next, struct link_operation, node), &lost);
    if (!link->is_closing)
        link->events->ended(link->context, link->reason);
}

void ldap_link_close(struct ldap_link *link)
{
    bool is_connecting = link->state == LINK_CONNECTING;

    link->is_closing = true;
    while (!list_is_empty(&link->operations))
        link_free_operation(link, LIST_ELEMENT(link->operations.next, struct link_operation, node));
    if (!is_connecting)
        link_disconnect(link); /* else when the pool is done with it */
    uv_close((uv_handle_t *)&link->timer, link_on_closed);
    if (link->poll.data)
        uv_close((uv_handle_t *)&link->poll, link_on_closed);
    if (is_connecting && uv_cancel((uv_req_t *)&link->work) != 0)
        connect_watch_abort(link->watch);
}

/* --- answers ------------------------------------------------------------------------------ */

static struct span link_span(const struct berval *value)
{
    return value ? span_of(value->bv_val, value->bv_len) : SPAN_EMPTY;
}

static struct link_operation *link_find_operation(struct ldap_link *link, int number)
{
    LIST_EACH (node, &link->operations) {
        struct link_operation *operation = LIST_ELEMENT(node, struct link_operation, node);

        if (operation->number == number)
            return operation;
    }
    return NULL;
}

/* The value of the control `oid`; data NULL when there is none. */
static struct span link_find_control(LDAPControl **controls, const char *oid)
{
    LDAPControl *control = ldap_control_find(oid, controls, NULL);

    return control ? link_span(&control->ldctl_value) : SPAN_EMPTY;
}

/* Reads what ended an operation and tells its owner. */
static void link_take_result(struct ldap_link *link, struct link_operation *operation,
                             LDAPMessage *message)
{
    struct ldap_answer answer = { .code = LDAP_CODE_LOST };
    struct berval *value = NULL;
    LDAPControl **controls = NULL;
    char *text = NULL, *oid = NULL, **referrals = NULL;

    if (ldap_msgtype(message) == LDAP_RES_EXTENDED)
        ldap_parse_extended_result(link->ld, message, &oid, &value, 0);
    ldap_parse_result(link->ld, message, &answer.code, NULL, &text, &referrals, &controls, 0);
    answer.text = text && *text ? text : answer.code ? ldap_err2string(answer.code) : "";
    answer.referral = referrals ? referrals[0] : NULL;
    if (value)
        answer.value = span_of(value->bv_val ? value->bv_val : "", value->bv_len);
    answer.page = page_read(link_find_control(controls, LDAP_CONTROL_PAGEDRESULTS));
    if (!sync_read_done(link_find_control(controls, LDAP_CONTROL_SYNC_DONE), &answer.sync))
        answer.sync = (struct sync_done_value){ .refresh_deletes = false };
    link_finish(link, operation, &answer);
    ldap_controls_free(controls);
    ldap_memvfree((void **)referrals);
    ldap_memfree(text);
    ldap_memfree(oid);
    ber_bvfree(value);
}

struct link_attributes {
    struct ldap_attribute list[LINK_ATTRIBUTES_MAX];
    size_t count;
    struct span values[LINK_VALUES_MAX];
    size_t value_count;
};

static void link_add_attribute(struct link_attributes *attributes, const struct berval *name,
                               const struct berval *values)
{
    struct ldap_attribute *attribute = &attributes->list[attributes->count];
    size_t first = attributes->value_count;

    if (attributes->count == LINK_ATTRIBUTES_MAX)
        return;
    for (; values && values->bv_val && attributes->value_count < LINK_VALUES_MAX; values++)
        attributes->values[attributes->value_count++] = link_span(values);
    *attribute = (struct ldap_attribute){ link_span(name), attributes->values + first,
                                          attributes->value_count - first };
    attributes->count++;
}

/* Shows the entry's attributes, which stay in the message. */
static void link_tell_entry(struct ldap_link *link, struct link_operation *operation,
                            LDAPMessage *message, const struct sync_entry_value *sync)
{
    static struct link_attributes
        attributes; /* large; used by one call at a time, copied by none */
    struct berval dn, name, *values = NULL;
    BerElement *ber = NULL;
    struct ldap_entry entry;

    if (ldap_get_dn_ber(link->ld, message, &ber, &dn) != LDAP_SUCCESS)
        return;
    attributes.count = 0;
    attributes.value_count = 0;
    while (ldap_get_attribute_ber(link->ld, message, ber, &name, &values) == LDAP_SUCCESS &&
           name.bv_val) {
        link_add_attribute(&attributes, &name, values);
        ldap_memfree(values);
        values = NULL;
    }
    ber_free(ber, 0);
    entry = (struct ldap_entry){ dn.bv_val, sync, attributes.list, attributes.count };
    operation->search->entry(operation->context, &entry);
}

static void link_take_entry(struct ldap_link *link, struct link_operation *operation,
                            LDAPMessage *message)
{
    struct sync_entry_value sync;
    LDAPControl **controls = NULL;
    bool is_synchronised;

    if (!operation->search || !operation->search->notice) {
        link_tell_entry(link, operation, message, NULL);
        return;
    }
    ldap_get_entry_controls(link->ld, message, &controls);
    is_synchronised = sync_read_entry(link_find_control(controls, LDAP_CONTROL_SYNC_STATE), &sync);
    if (is_synchronised)
        link_tell_entry(link, operation, message, &sync);
    else
        snprintf(link->reason, sizeof(link->reason), "an entry without its state (RFC 4533)");
    ldap_controls_free(controls);
}

static void link_take_intermediate(struct ldap_link *link, struct link_operation *operation,
                                   LDAPMessage *message)
{
    struct sync_notice_value notice;
    struct berval *value = NULL;
    char *oid = NULL;

    if (ldap_parse_intermediate(link->ld, message, &oid, &value, NULL, 0) == LDAP_SUCCESS && oid &&
        strcmp(oid, LDAP_SYNC_INFO) == 0 && operation->search && operation->search->notice) {
        if (sync_read_notice(link_span(value), &notice))
            operation->search->notice(operation->context, &notice);
        else
            snprintf(link->reason, sizeof(link->reason), "a malformed notice (RFC 4533)");
    }
    ldap_memfree(oid);
    ber_bvfree(value);
}

static void link_take_message(struct ldap_link *link, LDAPMessage *message)
{
    struct link_operation *operation = link_find_operation(link, ldap_msgid(message));

    if (!operation)
        return; /* abandoned, timed out, or a notice to nobody */
    switch (ldap_msgtype(message)) {
    case LDAP_RES_SEARCH_ENTRY:
        link_take_entry(link, operation, message);
        break;
    case LDAP_RES_INTERMEDIATE:
        link_take_intermediate(link, operation, message);
        break;
    case LDAP_RES_SEARCH_REFERENCE:
        break;
    default:
        link_take_result(link, operation, message);
    }
}

/* Takes one message; false when there is none, or the link is at its end. */
static bool link_take_next(struct ldap_link *link)
{
    struct timeval zero = { 0, 0 };
    LDAPMessage *message = NULL;
    int result = ldap_result(link->ld, LDAP_RES_ANY, LDAP_MSG_ONE, &zero, &message);

    if (result < 0)
        ldap_link_explain(link->ld, "connection", LDAP_SERVER_DOWN, link->reason);
    if (result <= 0)
        return false;
    link->message_count++;
    link_take_message(link, message);
    ldap_msgfree(message);
    return !link->is_closing && link->reason[0] == '\0';
}

/* Takes what has arrived, within the budget of a turn. */
static void link_read(struct ldap_link *link)
{
    uint64_t start_ms = clock_monotonic_ms();
    uint64_t first = link->message_count;
    unsigned count = 0;

    while (link_take_next(link))
        if (++count % 16 == 0 &&
            (count >= LINK_TURN_MESSAGES || clock_monotonic_ms() - start_ms >= LINK_TURN_MS)) {
            io_loop_resume(link->loop, &link->more);
            break;
        }
    if (!link->is_closing && link->message_count > first && link->events->turn)
        link->events->turn(link->context);
    if (!link->is_closing && link->reason[0])
        link_end(link);
}

static void link_on_readiness(uv_poll_t *poll, int status, int events)
{
    (void)status; /* an error shows in ldap_result */
    (void)events;
    link_read(poll->data);
}

static void link_on_more(struct io_resumption *more)
{
    struct ldap_link *link = CONTAINER_OF(more, struct ldap_link, more);

    if (link->reason[0])
        link_end(link);
    else
        link_read(link);
}

/* --- opening ------------------------------------------------------------------------------- */

/* The handle is the loop's now. */
static void link_become_ready(struct ldap_link *link)
{
    int fd = -1;

    ldap_get_option(link->ld, LDAP_OPT_DESC, &fd);
    if (fd < 0 || uv_poll_init(&link->loop->uv, &link->poll, fd) != 0) {
        snprintf(link->reason, sizeof(link->reason), "connection: no descriptor");
        link_end(link);
        return;
    }
    link->poll.data = link;
    link->users++;
    link->state = LINK_READY;
    uv_poll_start(&link->poll, UV_READABLE, link_on_readiness);
    link->events->ready(link->context);
}

static void link_on_connected(uv_work_t *work, int status)
{
    struct ldap_link *link = work->data;

    (void)status; /* a cancelled one is closing */
    if (!link->is_closing)
        uv_timer_stop(&link->timer);
    if (link->is_closing)
        link_disconnect(link);
    else if (link->reason[0])
        link_end(link);
    else
        link_become_ready(link);
    link_release(link);
}

static void link_on_late(uv_timer_t *timer)
{
    struct ldap_link *link = timer->data;

    connect_watch_abort(link->watch);
}

static char *link_copy(const char *text)
{
    return text ? memory_copy_string(text) : NULL;
}

struct ldap_link *ldap_link_open(struct io_loop *loop, const struct ldap_settings *settings,
                                 const struct ldap_link_events *events, void *context)
{
    struct ldap_link *link = memory_new(sizeof(*link));

    link->loop = loop;
    link->events = events;
    link->context = context;
    link->uri = memory_copy_string(settings->uri);
    link->ca = link_copy(settings->ca);
    link->bind_dn = link_copy(settings->bind_dn);
    link->password = link_copy(settings->password);
    link->starttls = settings->starttls;
    link->timeout_ms = settings->timeout_ms;
    list_init(&link->operations);
    io_resumption_init(&link->more, link_on_more);
    uv_timer_init(&loop->uv, &link->timer);
    link->timer.data = link;
    link->work.data = link;
    link->users = 2; /* the timer and the pool */
    link->watch = connect_watch_new();
    uv_timer_start(&link->timer, link_on_late, link->timeout_ms, 0);
    uv_queue_work(&loop->uv, &link->work, link_connect, link_on_connected);
    return link;
}

size_t ldap_link_pending(const struct ldap_link *link)
{
    return link->operation_count;
}

/* --- operations ------------------------------------------------------------------------------ */

static void link_expire(struct ldap_link *link, struct link_operation *operation)
{
    struct ldap_answer late = { .code = LDAP_CODE_TIMEOUT, .text = "no answer in time" };

    ldap_abandon_ext(link->ld, operation->number, NULL, NULL);
    link_finish(link, operation, &late);
}

/* Expires one operation that is late; false when none is. */
static bool link_expire_next(struct ldap_link *link, uint64_t now_ms)
{
    LIST_EACH (node, &link->operations) {
        struct link_operation *operation = LIST_ELEMENT(node, struct link_operation, node);

        if (operation->deadline_ms && operation->deadline_ms <= now_ms) {
            link_expire(link, operation);
            return !link->is_closing;
        }
    }
    return false;
}

static void link_on_tick(uv_timer_t *timer)
{
    struct ldap_link *link = timer->data;

    link_read(link);
    while (link->state == LINK_READY && link_expire_next(link, clock_monotonic_ms()))
        ;
}

/* Notes an operation that libldap answered with `code`; its number, or 0. */
static int link_note(struct ldap_link *link, int code, int number, unsigned timeout_ms,
                     const struct link_operation *what)
{
    struct link_operation *operation;

    if (code != LDAP_SUCCESS) {
        ldap_link_explain(link->ld, "request", code, link->reason);
        io_loop_resume(link->loop, &link->more);
        return 0;
    }
    operation = memory_new(sizeof(*operation));
    *operation = *what;
    operation->number = number;
    list_append(&link->operations, &operation->node);
    link->operation_count++;
    if (timeout_ms == 0)
        return number;
    operation->deadline_ms = clock_monotonic_ms() + timeout_ms;
    if (link->deadline_count++ == 0)
        uv_timer_start(&link->timer, link_on_tick, LINK_TICK_MS, LINK_TICK_MS);
    return number;
}

/* Controls of one request, on the stack; the values are borrowed. */
struct link_controls {
    LDAPControl controls[LINK_CONTROLS_MAX];
    LDAPControl *list[LINK_CONTROLS_MAX + 1];
    size_t count;
};

static void link_add_control(struct link_controls *controls, const char *oid, struct span value)
{
    LDAPControl *control = &controls->controls[controls->count];

    control->ldctl_oid = (char *)(uintptr_t)oid;
    control->ldctl_value = (struct berval){ value.length, (char *)(uintptr_t)value.data };
    control->ldctl_iscritical = 1;
    controls->list[controls->count++] = control;
    controls->list[controls->count] = NULL;
}

int ldap_link_search(struct ldap_link *link, const struct ldap_search *search,
                     const struct ldap_search_events *events, void *context)
{
    struct link_operation what = { .search = events, .done = events->done, .context = context };
    struct link_controls controls = { .count = 0 };
    char sync_memory[SYNC_REQUEST_SIZE], page_memory[SYNC_REQUEST_SIZE];
    struct buffer sync = buffer_over(sync_memory, sizeof(sync_memory));
    struct buffer page = buffer_over(page_memory, sizeof(page_memory));
    int number = 0, code;

    if (link->state != LINK_READY || link->reason[0])
        return 0;
    if (search->is_synchronised) {
        sync_write_request(&sync, search->sync_cookie);
        link_add_control(&controls, LDAP_CONTROL_SYNC, buffer_span(&sync));
    }
    if (search->page_size) {
        page_write_request(&page, search->page_size, search->page);
        link_add_control(&controls, LDAP_CONTROL_PAGEDRESULTS, buffer_span(&page));
    }
    code = ldap_search_ext(
        link->ld, search->base,
        search->scope == LDAP_SCOPE_OF_BASE ? LDAP_SCOPE_BASE : LDAP_SCOPE_SUBTREE, search->filter,
        (char **)(uintptr_t)search->attributes, 0, controls.list, NULL, NULL,
        search->size_limit ? (int)search->size_limit : LDAP_NO_LIMIT, &number);
    return link_note(link, code, number, search->timeout_ms, &what);
}

struct link_mods {
    LDAPMod mods[LDAP_CHANGES_MAX];
    LDAPMod *list[LDAP_CHANGES_MAX + 1];
    struct berval values[LDAP_CHANGES_MAX];
    struct berval *value_lists[LDAP_CHANGES_MAX][2];
};

static void link_build_mods(struct link_mods *mods, const struct ldap_modify *modify)
{
    static const int kinds[] = { LDAP_MOD_ADD, LDAP_MOD_DELETE, LDAP_MOD_REPLACE };

    for (size_t i = 0; i < modify->change_count; i++) {
        const struct ldap_change *change = &modify->changes[i];

        mods->values[i].bv_val = (char *)(uintptr_t)change->value;
        mods->values[i].bv_len = change->value ? strlen(change->value) : 0;
        mods->value_lists[i][0] = change->value ? &mods->values[i] : NULL;
        mods->value_lists[i][1] = NULL;
        mods->mods[i].mod_op = kinds[change->kind] | LDAP_MOD_BVALUES;
        mods->mods[i].mod_type = (char *)(uintptr_t)change->attribute;
        mods->mods[i].mod_bvalues = change->value ? mods->value_lists[i] : NULL;
        mods->list[i] = &mods->mods[i];
    }
    mods->list[modify->change_count] = NULL;
}

int ldap_link_modify(struct ldap_link *link, const struct ldap_modify *modify, ldap_done *done,
                     void *context)
{
    struct link_operation what = { .done = done, .context = context };
    struct link_controls controls = { .count = 0 };
    struct berval assertion = { 0, NULL };
    struct link_mods mods;
    int number = 0, code = LDAP_SUCCESS;

    if (link->state != LINK_READY || link->reason[0])
        return 0;
    if (modify->assertion) {
        code = ldap_create_assertion_control_value(link->ld, (char *)(uintptr_t)modify->assertion,
                                                   &assertion);
        link_add_control(&controls, LDAP_CONTROL_ASSERT, link_span(&assertion));
    }
    if (modify->transaction.data)
        link_add_control(&controls, LDAP_CONTROL_TXN_SPEC, modify->transaction);
    link_build_mods(&mods, modify);
    if (code == LDAP_SUCCESS)
        code = ldap_modify_ext(link->ld, modify->dn, mods.list, controls.list, NULL, &number);
    ldap_memfree(assertion.bv_val);
    return link_note(link, code, number, modify->timeout_ms, &what);
}

int ldap_link_begin_transaction(struct ldap_link *link, unsigned timeout_ms, ldap_done *done,
                                void *context)
{
    struct link_operation what = { .done = done, .context = context };
    int number = 0, code;

    if (link->state != LINK_READY || link->reason[0])
        return 0;
    code = ldap_txn_start(link->ld, NULL, NULL, &number);
    return link_note(link, code, number, timeout_ms, &what);
}

int ldap_link_end_transaction(struct ldap_link *link, struct span transaction, bool commit,
                              unsigned timeout_ms, ldap_done *done, void *context)
{
    struct link_operation what = { .done = done, .context = context };
    struct berval identifier = { transaction.length, (char *)(uintptr_t)transaction.data };
    int number = 0, code;

    if (link->state != LINK_READY || link->reason[0])
        return 0;
    code = ldap_txn_end(link->ld, commit, &identifier, NULL, NULL, &number);
    return link_note(link, code, number, timeout_ms, &what);
}

void ldap_link_abandon(struct ldap_link *link, int number)
{
    struct link_operation *operation = link_find_operation(link, number);

    if (!operation)
        return;
    if (link->state == LINK_READY)
        ldap_abandon_ext(link->ld, number, NULL, NULL);
    link_free_operation(link, operation);
}
