/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One link at a time.  While refreshing, what differs is committed about once a second,
 * without a cookie; the end of the refresh commits the removals and the cookie together.  While
 * following, each turn's changes and their cookie are one commit.
 *
 * Changes that come after a resumption may be told again as additions: everything is an
 * upsert by entryUUID.  OpenLDAP tells changes before it commits them, so that a
 * transaction that is aborted leaves phantoms here until its entries are touched again.
 *
 * A failure of the mirror ends the link: the next one resumes from what the mirror then has.
 */
#include "directory/follower.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "common/base/state.h"
#include "directory/ldap_link.h"

enum {
    FOLLOWER_CONNECT_MS = 4000,
    FOLLOWER_RETRY_MIN_MS = 250,
    FOLLOWER_RETRY_MAX_MS = 8000,
    FOLLOWER_COMMIT_MS = 1000, /* while refreshing */
    FOLLOWER_ALIVE_MS = 15000, /* of silence, before the server is asked whether it is there */
    FOLLOWER_ANSWER_MS = 10000,
    FOLLOWER_REMOVALS_FREE = 100 /* so many may go without suspicion */
};

enum follower_state {
    FOLLOWER_WAITING,
    FOLLOWER_CONNECTING,
    FOLLOWER_REFRESHING,
    FOLLOWER_FOLLOWING
};

static const struct state_row follower_states[] = {
    [FOLLOWER_WAITING] = { "waiting", STATE_BIT(FOLLOWER_CONNECTING) },
    [FOLLOWER_CONNECTING] = { "connecting",
                              STATE_BIT(FOLLOWER_REFRESHING) | STATE_BIT(FOLLOWER_WAITING) },
    [FOLLOWER_REFRESHING] = { "refreshing", STATE_BIT(FOLLOWER_REFRESHING) |
                                                STATE_BIT(FOLLOWER_FOLLOWING) |
                                                STATE_BIT(FOLLOWER_WAITING) },
    [FOLLOWER_FOLLOWING] = { "following",
                             STATE_BIT(FOLLOWER_REFRESHING) | STATE_BIT(FOLLOWER_WAITING) },
};

struct follower {
    struct io_loop *loop;
    const struct directory_config *config;
    struct account_reader *reader;
    struct mirror_writer *writer;
    void (*changed)(void *context);
    void *context;
    struct state state;
    struct ldap_link *link; /* NULL while WAITING */
    size_t uri;             /* index of the one that is used or next */
    unsigned failures;      /* in a row, without a complete refresh */
    bool is_synchronised;
    char trouble[256];
    uv_timer_t timer; /* WAITING: the next attempt; else the check that the server is there */
    /* Of the search under way: */
    int search;
    bool is_resumed;           /* it was given a cookie */
    bool has_present_phase;    /* what was not named is gone */
    bool must_refresh_in_full; /* the next search gets no cookie */
    bool was_heard;            /* something came since the last check */
    struct bytes cookie;       /* the newest, not yet committed */
    bool has_cookie;
    uint64_t committed_ms;
};

static void follower_connect(struct follower *follower);
static void follower_search(struct follower *follower);

static void follower_tell(struct follower *follower)
{
    follower->changed(follower->context);
}

/* --- ending and waiting ---------------------------------------------------------- */

static void follower_drop_link(struct follower *follower)
{
    if (follower->link)
        ldap_link_close(follower->link);
    follower->link = NULL;
    follower->search = 0;
}

static void follower_on_retry(uv_timer_t *timer)
{
    follower_connect(timer->data);
}

/* Doubles from try to try once all servers have been tried, and is spread over its half. */
static uint64_t follower_delay(const struct follower *follower)
{
    unsigned rounds = follower->failures / (unsigned)follower->config->uri.count;
    uint64_t delay_ms = FOLLOWER_RETRY_MIN_MS;

    while (rounds-- > 0 && delay_ms < FOLLOWER_RETRY_MAX_MS)
        delay_ms *= 2;
    return delay_ms / 2 + random_below(delay_ms / 2);
}

static void follower_wait(struct follower *follower, uint64_t delay_ms)
{
    follower_drop_link(follower);
    state_move(&follower->state, FOLLOWER_WAITING);
    uv_timer_start(&follower->timer, follower_on_retry, delay_ms, 0);
    follower_tell(follower);
}

/* The server, or the mirror, is of no use for now: the next server, a little later. */
static void follower_fail(struct follower *follower, const char *why)
{
    const struct string_list *uris = &follower->config->uri;

    LOG_EVENT(LOG_LEVEL_WARNING, NULL, "directory_lost",
              LOG_TEXT("uri", uris->items[follower->uri]), LOG_TEXT("reason", why));
    snprintf(follower->trouble, sizeof(follower->trouble), "%s", why);
    if (follower->state.current == FOLLOWER_REFRESHING &&
        !mirror_writer_commit(follower->writer, NULL))
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "mirror_lost_changes");
    follower->failures++;
    follower->uri = (follower->uri + 1) % uris->count;
    follower_wait(follower, follower_delay(follower));
}

/* --- committing ---------------------------------------------------------------------- */

static void follower_take_cookie(struct follower *follower, struct span cookie)
{
    if (!cookie.data)
        return;
    bytes_release(&follower->cookie);
    follower->has_cookie = bytes_append(&follower->cookie, cookie);
}

/* Commits with the newest cookie, or `cookie` instead.  False, and the link is dropped, on failure.
 */
static bool follower_commit(struct follower *follower, const struct span *cookie)
{
    follower->committed_ms = clock_monotonic_ms();
    if (mirror_writer_commit(follower->writer, cookie))
        return true;
    follower_fail(follower, "the mirror could not be written");
    return false;
}

static void follower_commit_changes(struct follower *follower)
{
    struct span cookie = bytes_span(&follower->cookie);

    if (!mirror_writer_has_changes(follower->writer) && !follower->has_cookie)
        return;
    if (!follower_commit(follower, follower->has_cookie ? &cookie : NULL))
        return;
    follower->has_cookie = false;
    follower_tell(follower);
}

static void follower_on_turn(void *context)
{
    struct follower *follower = context;

    follower->was_heard = true;
    if (follower->state.current == FOLLOWER_FOLLOWING)
        follower_commit_changes(follower);
    else if (follower->state.current == FOLLOWER_REFRESHING &&
             clock_monotonic_ms() - follower->committed_ms >= FOLLOWER_COMMIT_MS &&
             follower_commit(follower, NULL))
        follower_tell(follower);
}

/* --- the end of a refresh ---------------------------------------------------------------- */

/* Whether so many removals may be believed. */
static bool follower_is_plausible(const struct follower *follower)
{
    uint64_t unseen = mirror_writer_unseen(follower->writer);

    return unseen <= FOLLOWER_REMOVALS_FREE ||
           unseen * 2 <= mirror_writer_entries(follower->writer);
}

/* Too many would go: ask for everything, or when this was everything, wait for a person. */
static void follower_doubt(struct follower *follower)
{
    LOG_EVENT(LOG_LEVEL_ERROR, NULL, "refresh_doubtful",
              LOG_TEXT("action", follower->is_resumed ? "refresh in full" : "held"),
              LOG_INTEGER("would_remove", mirror_writer_unseen(follower->writer)),
              LOG_INTEGER("accounts", mirror_writer_entries(follower->writer)));
    follower->must_refresh_in_full = true;
    if (follower->is_resumed) {
        ldap_link_abandon(follower->link, follower->search);
        follower_search(follower);
        return;
    }
    snprintf(follower->trouble, sizeof(follower->trouble),
             "a refresh would remove more than half of the accounts: held");
    if (mirror_writer_commit(follower->writer, NULL))
        follower_wait(follower, FOLLOWER_HELD_MS / 2 + random_below(FOLLOWER_HELD_MS / 2));
    else
        follower_fail(follower, "the mirror could not be written");
}

static void follower_finish_refresh(struct follower *follower)
{
    struct span cookie;

    if (!follower->is_resumed || follower->has_present_phase) {
        if (!follower_is_plausible(follower)) {
            follower_doubt(follower);
            return;
        }
        mirror_writer_sweep(follower->writer);
    }
    mirror_writer_end_refresh(follower->writer);
    cookie = bytes_span(&follower->cookie);
    if (!follower_commit(follower, &cookie)) /* without one, the next refresh is a full one */
        return;
    follower->has_cookie = false;
    follower->must_refresh_in_full = false;
    follower->is_synchronised = true;
    follower->failures = 0;
    follower->trouble[0] = '\0';
    state_move(&follower->state, FOLLOWER_FOLLOWING);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "directory_followed",
              LOG_TEXT("uri", follower->config->uri.items[follower->uri]),
              LOG_TEXT("refresh", follower->is_resumed ? "resumed" : "full"),
              LOG_INTEGER("accounts", mirror_writer_entries(follower->writer)),
              LOG_INTEGER("revision", mirror_writer_revision(follower->writer)));
    follower_tell(follower);
}

/* --- what the search shows ------------------------------------------------------------------ */

static void follower_on_entry(void *context, const struct ldap_entry *entry)
{
    struct follower *follower = context;
    struct mirror_account account;

    switch (entry->sync->state) {
    case SYNC_STATE_PRESENT:
        (void)mirror_writer_see(follower->writer, entry->sync->uuid);
        break;
    case SYNC_STATE_DELETE:
        mirror_writer_delete(follower->writer, entry->sync->uuid);
        break;
    default:
        if (account_read(follower->reader, entry, &account))
            mirror_writer_put(follower->writer, &account);
        else
            mirror_writer_delete(follower->writer, entry->sync->uuid);
    }
    follower_take_cookie(follower, entry->sync->cookie);
}

static void follower_take_ids(struct follower *follower, const struct sync_notice_value *notice)
{
    struct span ids = notice->ids;
    const unsigned char *uuid;

    while ((uuid = sync_next_id(&ids))) {
        if (notice->is_deleted)
            mirror_writer_delete(follower->writer, uuid);
        else
            (void)mirror_writer_see(follower->writer, uuid);
    }
}

static void follower_on_notice(void *context, const struct sync_notice_value *notice)
{
    struct follower *follower = context;

    follower_take_cookie(follower, notice->cookie);
    if (notice->notice == SYNC_NOTICE_IDS)
        follower_take_ids(follower, notice);
    if (notice->notice == SYNC_NOTICE_REFRESH_PRESENT)
        follower->has_present_phase = true;
    if ((notice->notice == SYNC_NOTICE_REFRESH_PRESENT ||
         notice->notice == SYNC_NOTICE_REFRESH_DELETE) &&
        notice->is_refresh_done && follower->state.current == FOLLOWER_REFRESHING)
        follower_finish_refresh(follower);
}

/* A persistent search ends only when something is wrong. */
static void follower_on_done(void *context, const struct ldap_answer *answer)
{
    struct follower *follower = context;

    if (answer->code == LDAP_CODE_LOST)
        return; /* `ended` follows */
    if (follower->is_resumed && follower->state.current == FOLLOWER_REFRESHING)
        follower->must_refresh_in_full = true; /* perhaps it was the cookie */
    if (answer->code == LDAP_CODE_SYNC_REFRESH_REQUIRED) {
        follower->must_refresh_in_full = true;
        LOG_EVENT(LOG_LEVEL_INFO, NULL, "refresh_required", LOG_TEXT("text", answer->text));
        if (follower_commit(follower, NULL))
            follower_search(follower);
        return;
    }
    follower_fail(follower, *answer->text ? answer->text : "the server ended the search");
}

static const struct ldap_search_events follower_search_events = {
    .entry = follower_on_entry,
    .notice = follower_on_notice,
    .done = follower_on_done,
};

static void follower_search(struct follower *follower)
{
    struct ldap_search search = {
        .base = follower->config->base,
        .scope = LDAP_SCOPE_OF_SUBTREE,
        .filter = account_filter(follower->reader),
        .attributes = account_attributes(follower->reader),
        .is_synchronised = true,
    };

    if (!follower->must_refresh_in_full)
        search.sync_cookie = mirror_writer_cookie(follower->writer);
    follower->is_resumed = search.sync_cookie.length > 0;
    follower->has_present_phase = false;
    follower->has_cookie = false;
    bytes_release(&follower->cookie);
    mirror_writer_begin_refresh(follower->writer);
    follower->committed_ms = clock_monotonic_ms();
    state_move(&follower->state, FOLLOWER_REFRESHING);
    follower->search = ldap_link_search(follower->link, &search, &follower_search_events, follower);
    follower_tell(follower);
}

/* --- whether the server is there -------------------------------------------------------------- */

static void follower_on_alive(void *context, const struct ldap_answer *answer)
{
    struct follower *follower = context;

    if (answer->code == LDAP_CODE_TIMEOUT)
        follower_fail(follower, "the server does not answer any more");
}

static void follower_ignore_entry(void *context, const struct ldap_entry *entry)
{
    (void)context;
    (void)entry;
}

/* After a silence asks for the root of the server's tree; any answer will do. */
static void follower_on_check(uv_timer_t *timer)
{
    static const char *const attributes[] = { "1.1", NULL };
    static const struct ldap_search_events events = { .entry = follower_ignore_entry,
                                                      .done = follower_on_alive };
    static const struct ldap_search root = { .base = "",
                                             .scope = LDAP_SCOPE_OF_BASE,
                                             .filter = "(objectClass=*)",
                                             .attributes = attributes,
                                             .timeout_ms = FOLLOWER_ANSWER_MS };
    struct follower *follower = timer->data;

    if (!follower->was_heard)
        (void)ldap_link_search(follower->link, &root, &events, follower);
    follower->was_heard = false;
}

/* --- the link --------------------------------------------------------------------------------- */

static void follower_on_ready(void *context)
{
    struct follower *follower = context;

    uv_timer_start(&follower->timer, follower_on_check, FOLLOWER_ALIVE_MS, FOLLOWER_ALIVE_MS);
    follower->was_heard = true;
    follower_search(follower);
}

static void follower_on_ended(void *context, const char *reason)
{
    follower_fail(context, reason);
}

static const struct ldap_link_events follower_link_events = {
    .ready = follower_on_ready,
    .ended = follower_on_ended,
    .turn = follower_on_turn,
};

static void follower_connect(struct follower *follower)
{
    const struct directory_config *config = follower->config;
    struct ldap_settings settings = {
        .uri = config->uri.items[follower->uri],
        .starttls = config->starttls,
        .ca = config->ca,
        .bind_dn = config->bind_dn,
        .password = config->bind_password.file ? config->bind_password.value : NULL,
        .timeout_ms = FOLLOWER_CONNECT_MS,
    };

    state_move(&follower->state, FOLLOWER_CONNECTING);
    follower->link = ldap_link_open(follower->loop, &settings, &follower_link_events, follower);
    follower_tell(follower);
}

struct follower *follower_start(struct io_loop *loop, const struct directory_config *config,
                                struct account_reader *reader, struct mirror_writer *writer,
                                void (*changed)(void *context), void *context)
{
    struct follower *follower = memory_new(sizeof(*follower));

    follower->loop = loop;
    follower->config = config;
    follower->reader = reader;
    follower->writer = writer;
    follower->changed = changed;
    follower->context = context;
    follower->cookie = bytes_empty(SYNC_COOKIE_MAX);
    state_init(&follower->state, follower_states, FOLLOWER_WAITING);
    uv_timer_init(&loop->uv, &follower->timer);
    follower->timer.data = follower;
    uv_timer_start(&follower->timer, follower_on_retry, 0, 0);
    return follower;
}

static void follower_on_closed(uv_handle_t *handle)
{
    struct follower *follower = handle->data;

    bytes_release(&follower->cookie);
    free(follower);
}

void follower_stop(struct follower *follower)
{
    follower_drop_link(follower);
    uv_close((uv_handle_t *)&follower->timer, follower_on_closed);
}

void follower_rebuild(struct follower *follower)
{
    mirror_writer_discard(follower->writer);
    if (follower->state.current != FOLLOWER_WAITING)
        follower_fail(follower, "the mirror was damaged");
}

struct follower_status follower_status(const struct follower *follower)
{
    return (struct follower_status){
        .is_connected = follower->state.current >= FOLLOWER_REFRESHING,
        .is_synchronised = follower->is_synchronised,
        .state = state_name(&follower->state),
        .uri = follower->config->uri.items[follower->uri],
        .trouble = follower->trouble,
    };
}
