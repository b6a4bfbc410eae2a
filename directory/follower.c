/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One link at a time.  While refreshing, what differs is committed about once a second (less
 * often while the mirror does not serve), without a cookie; the end of the refresh commits the
 * removals and the cookie together.  While following, each turn's changes and their cookie are one
 * commit.
 *
 * Changes that come after a resumption may be told again as additions: everything is an
 * upsert by entryUUID.  OpenLDAP tells changes before it commits them, so that a
 * transaction that is aborted, or a server that dies, leaves phantoms here: each change that was
 * told is read again (recheck.h), and the whole is compared now and then (compare.h).
 *
 * A server that is behind us (it lost what it had told, or is a replica that lags) refuses our
 * cookie.  Each of the others is tried before one of them is read in full.
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
#include "directory/alive.h"
#include "directory/link_settings.h"
#include "directory/preferred.h"
#include "directory/sweep.h"

enum {
    FOLLOWER_CONNECT_MS = 4000,
    FOLLOWER_RETRY_MIN_MS = 250,
    FOLLOWER_RETRY_MAX_MS = 8000,
    FOLLOWER_COMMIT_MS = 1000,     /* while refreshing */
    FOLLOWER_BUSY_MS = 15,         /* between commits while following: they follow closely */
    FOLLOWER_GATHER_MS = 10,       /* then a commit gathers so long */
    FOLLOWER_FILL_MS = 5000,       /* the same, of a mirror that does not serve yet */
    FOLLOWER_ACCEPT_ROWS = 1000,   /* removed in a turn */
    FOLLOWER_SPREAD_ACCOUNTS = 100 /* a millisecond of the spread of full refreshes */
};

enum follower_state {
    FOLLOWER_WAITING,
    FOLLOWER_CONNECTING,
    FOLLOWER_REFRESHING,
    FOLLOWER_SWEEPING, /* the refresh is over, and what it did not show is being removed */
    FOLLOWER_FOLLOWING
};

static const struct state_row follower_states[] = {
    [FOLLOWER_WAITING] = { "waiting", STATE_BIT(FOLLOWER_CONNECTING) },
    [FOLLOWER_CONNECTING] = { "connecting",
                              STATE_BIT(FOLLOWER_REFRESHING) | STATE_BIT(FOLLOWER_WAITING) },
    [FOLLOWER_REFRESHING] = { "refreshing", STATE_BIT(FOLLOWER_REFRESHING) |
                                                STATE_BIT(FOLLOWER_SWEEPING) |
                                                STATE_BIT(FOLLOWER_WAITING) },
    [FOLLOWER_SWEEPING] = { "sweeping", STATE_BIT(FOLLOWER_FOLLOWING) |
                                            STATE_BIT(FOLLOWER_REFRESHING) |
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
    void (*use)(void *context, struct ldap_link *link); /* NULL: lent to nobody */
    void *context;
    struct state state;
    struct ldap_link *link; /* NULL while WAITING */
    struct sweep sweep;
    struct recheck *recheck;
    struct compare *compare;
    struct io_resumption accepting; /* while held accounts are being removed */
    struct preferred *preferred;
    struct alive *alive;
    size_t uri;        /* index of the one that is used or next */
    unsigned failures; /* in a row, without a complete refresh */
    bool is_synchronised;
    bool is_credible; /* the refresh that ends did not seem to have lost most accounts */
    char trouble[256];
    uv_timer_t timer; /* WAITING: the next attempt */
    /* Of the search under way: */
    int search;
    bool is_resumed;           /* it was given a cookie */
    bool has_present_phase;    /* what was not named is gone */
    bool must_refresh_in_full; /* the next search gets no cookie */
    uint64_t full_at_ms;       /* and starts then; 0: not yet decided */
    struct bytes cookie;       /* the newest, not yet committed */
    bool has_cookie;
    uint64_t committed_ms;
};

static void follower_connect(struct follower *follower);
static void follower_search(struct follower *follower);
static void follower_on_accepting(struct io_resumption *accepting);

static void follower_tell(struct follower *follower)
{
    follower->changed(follower->context);
}

/* --- ending and waiting ---------------------------------------------------------- */

/* What reads on the follower's link may do so, or may no more. */
static void follower_lend_link(struct follower *follower, struct ldap_link *link)
{
    recheck_use(follower->recheck, link);
    compare_use(follower->compare, link);
}

/* The same for others, who may use it while a refresh runs, too. */
static void follower_offer_link(struct follower *follower, struct ldap_link *link)
{
    if (follower->use)
        follower->use(follower->context, link);
}

static void follower_drop_link(struct follower *follower)
{
    preferred_rest(follower->preferred);
    alive_watch(follower->alive, NULL);
    follower_lend_link(follower, NULL);
    sweep_cancel(&follower->sweep);
    if (follower->link)
        follower_offer_link(follower, NULL);
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
    if ((follower->state.current == FOLLOWER_REFRESHING ||
         follower->state.current == FOLLOWER_SWEEPING) &&
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

/*
 * What was told is committed at once.  When commits follow each other closely, as in the rewrite of
 * a failed backend's accounts, each gathers some milliseconds: a fraction of the work, here, in all
 * that hear of it, and at the server.
 */
static void follower_commit_told(struct follower *follower)
{
    uint64_t pause_ms = clock_monotonic_ms() - follower->committed_ms;

    if (!follower->has_cookie && !mirror_writer_has_changes(follower->writer))
        return;
    follower_commit_changes(follower);
    if (follower->link && pause_ms < FOLLOWER_BUSY_MS)
        ldap_link_rest(follower->link, FOLLOWER_GATHER_MS);
}

/* Whether a refresh has gathered enough for a commit. */
static bool follower_is_commit_due(const struct follower *follower)
{
    uint64_t interval_ms =
        mirror_writer_is_filled(follower->writer) ? FOLLOWER_COMMIT_MS : FOLLOWER_FILL_MS;

    return clock_monotonic_ms() - follower->committed_ms >= interval_ms;
}

static void follower_on_turn(void *context)
{
    struct follower *follower = context;

    alive_heard(follower->alive);
    if (follower->state.current == FOLLOWER_FOLLOWING)
        follower_commit_told(follower);
    else if (follower->state.current >= FOLLOWER_REFRESHING && follower_is_commit_due(follower) &&
             follower_commit(follower, NULL))
        follower_tell(follower);
}

/* --- the end of a refresh ---------------------------------------------------------------- */

/* The list of who is present may have been partial: ask for everything. */
static bool follower_on_doubted(void *context, struct domain_counts *doubts)
{
    struct follower *follower = context;

    if (!follower->is_resumed)
        return true;
    domain_counts_log(doubts, "refresh in full");
    follower->must_refresh_in_full = true;
    ldap_link_abandon(follower->link, follower->search);
    follower_search(follower);
    return false;
}

static void follower_complete_refresh(struct follower *follower);

static void follower_on_swept(void *context, struct domain_counts *doubts)
{
    struct follower *follower = context;

    if (doubts && !mirror_writer_is_held_kept(follower->writer))
        domain_counts_log(doubts, "held");
    follower->is_credible = !doubts || !domain_counts_is_all_doubtful(doubts);
    follower_complete_refresh(follower);
}

static const struct sweep_events follower_sweep_events = { follower_on_doubted, follower_on_swept };

static void follower_begin_following(struct follower *follower)
{
    follower->is_synchronised |= follower->is_credible;
    follower->has_cookie = false;
    follower->must_refresh_in_full = false;
    follower->full_at_ms = 0;
    follower->failures = 0;
    follower->trouble[0] = '\0';
    state_move(&follower->state, FOLLOWER_FOLLOWING);
    follower_lend_link(follower, follower->link);
    if (follower->uri > 0)
        preferred_seek(follower->preferred);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "directory_followed",
              LOG_TEXT("uri", follower->config->uri.items[follower->uri]),
              LOG_TEXT("refresh", follower->is_resumed ? "resumed" : "full"),
              LOG_INTEGER("accounts", mirror_writer_entries(follower->writer)),
              LOG_INTEGER("revision", mirror_writer_revision(follower->writer)));
    follower_tell(follower);
}

/*
 * A full refresh without a cookie leaves none, and the next one is full, too.  A server that has
 * nothing new since our cookie tells none: that one is as good as before.
 */
static void follower_complete_refresh(struct follower *follower)
{
    struct span cookie = bytes_span(&follower->cookie);
    bool is_kept = follower->is_resumed && !follower->has_cookie;

    mirror_writer_end_refresh(follower->writer);
    if (follower_commit(follower, is_kept ? NULL : &cookie))
        follower_begin_following(follower);
}

/* The refresh is over; what comes from now on are changes, told before they are committed. */
static void follower_finish_refresh(struct follower *follower)
{
    state_move(&follower->state, FOLLOWER_SWEEPING);
    if (!follower->is_resumed || follower->has_present_phase) {
        sweep_start(&follower->sweep);
        return;
    }
    follower->is_credible = true;
    follower_complete_refresh(follower);
}

/* --- what the search shows ------------------------------------------------------------------ */

/* A change was told, which may yet be undone; `is_new` says whether the mirror differed. */
static void follower_note(struct follower *follower, const unsigned char *uuid, bool is_new)
{
    if (is_new && follower->state.current >= FOLLOWER_SWEEPING) /* a refresh reads what is there */
        recheck_note(follower->recheck, uuid);
}

static void follower_on_entry(void *context, const struct ldap_entry *entry)
{
    struct follower *follower = context;
    struct mirror_account account;

    switch (entry->sync->state) {
    case SYNC_STATE_PRESENT:
        (void)mirror_writer_see(follower->writer, entry->sync->uuid);
        break;
    case SYNC_STATE_DELETE:
        follower_note(follower, entry->sync->uuid,
                      mirror_writer_delete(follower->writer, entry->sync->uuid));
        break;
    default:
        follower_note(follower, entry->sync->uuid,
                      account_read(follower->reader, entry, &account)
                          ? mirror_writer_put(follower->writer, &account)
                          : mirror_writer_delete(follower->writer, entry->sync->uuid));
    }
    follower_take_cookie(follower, entry->sync->cookie);
}

static void follower_take_ids(struct follower *follower, const struct sync_notice_value *notice)
{
    struct span ids = notice->ids;
    const unsigned char *uuid;

    while ((uuid = sync_next_id(&ids))) {
        if (notice->is_deleted)
            follower_note(follower, uuid, mirror_writer_delete(follower->writer, uuid));
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

/* What a server says that is busy or stops, whatever it was asked. */
static bool follower_is_passing(int code)
{
    return code == LDAP_CODE_BUSY || code == LDAP_CODE_UNAVAILABLE;
}

/* Whether a search that failed so will fail again with this cookie. */
static bool follower_is_cookie_bad(const struct follower *follower, int code)
{
    if (!follower->is_resumed || follower->state.current != FOLLOWER_REFRESHING ||
        follower_is_passing(code))
        return false;
    return code != LDAP_CODE_UNWILLING || follower->failures + 1 >= follower->config->uri.count;
}

/* Starts again without the cookie, on the same link. */
static void follower_start_anew(struct follower *follower, const char *why)
{
    follower->must_refresh_in_full = true;
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "refresh_required",
              LOG_TEXT("uri", follower->config->uri.items[follower->uri]), LOG_TEXT("text", why));
    if (follower_commit(follower, NULL))
        follower_search(follower);
}

/* A persistent search ends only when something is wrong. */
static void follower_on_done(void *context, const struct ldap_answer *answer)
{
    struct follower *follower = context;
    const char *why = *answer->text ? answer->text : "the server ended the search";

    if (answer->code == LDAP_CODE_LOST)
        return; /* `ended` follows */
    if (answer->code == LDAP_CODE_SYNC_REFRESH_REQUIRED ||
        follower_is_cookie_bad(follower, answer->code))
        follower_start_anew(follower, why);
    else
        follower_fail(follower, why);
}

static const struct ldap_search_events follower_search_events = {
    .entry = follower_on_entry,
    .notice = follower_on_notice,
    .done = follower_on_done,
};

/*
 * How long a full refresh has to wait: many machines may need one at the same moment, and the
 * mirror serves meanwhile.
 */
static uint64_t follower_spread_ms(struct follower *follower)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t most_ms = 1000 * (uint64_t)follower->config->refresh_spread_s;
    uint64_t spread_ms = mirror_writer_entries(follower->writer) / FOLLOWER_SPREAD_ACCOUNTS;

    if (!mirror_writer_is_filled(follower->writer))
        return 0;
    if (follower->full_at_ms == 0)
        follower->full_at_ms =
            now_ms + random_below((spread_ms < most_ms ? spread_ms : most_ms) + 1);
    return follower->full_at_ms > now_ms ? follower->full_at_ms - now_ms : 0;
}

static void follower_start_search(struct follower *follower, struct span cookie)
{
    struct ldap_search search = {
        .base = follower->config->base,
        .scope = LDAP_SCOPE_OF_SUBTREE,
        .filter = account_filter(follower->reader),
        .attributes = account_attributes(follower->reader),
        .is_synchronised = true,
        .sync_cookie = cookie,
    };

    follower->is_resumed = cookie.length > 0;
    follower->has_present_phase = false;
    follower->has_cookie = false;
    bytes_release(&follower->cookie);
    mirror_writer_begin_refresh(follower->writer);
    follower->committed_ms = clock_monotonic_ms();
    follower_lend_link(follower, NULL);
    sweep_cancel(&follower->sweep);
    state_move(&follower->state, FOLLOWER_REFRESHING);
    follower->search = ldap_link_search(follower->link, &search, &follower_search_events, follower);
    follower_tell(follower);
}

static void follower_search(struct follower *follower)
{
    struct span cookie =
        follower->must_refresh_in_full ? SPAN_EMPTY : mirror_writer_cookie(follower->writer);
    uint64_t delay_ms = cookie.length == 0 ? follower_spread_ms(follower) : 0;

    if (delay_ms > 0)
        follower_wait(follower, delay_ms);
    else
        follower_start_search(follower, cookie);
}

/* --- the link --------------------------------------------------------------------------------- */

static void follower_on_ready(void *context)
{
    struct follower *follower = context;

    alive_watch(follower->alive, follower->link);
    follower_offer_link(follower, follower->link);
    follower_search(follower);
}

static void follower_on_silent(void *context)
{
    follower_fail(context, "the server does not answer any more");
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
    struct ldap_settings settings = link_settings(
        follower->config, follower->config->uri.items[follower->uri], FOLLOWER_CONNECT_MS);

    state_move(&follower->state, FOLLOWER_CONNECTING);
    follower->link = ldap_link_open(follower->loop, &settings, &follower_link_events, follower);
    follower_tell(follower);
}

/* The first server is there again. */
static void follower_on_preferred(void *context)
{
    struct follower *follower = context;

    LOG_EVENT(LOG_LEVEL_INFO, NULL, "directory_returned",
              LOG_TEXT("uri", follower->config->uri.items[0]));
    follower->uri = 0;
    follower_wait(follower, 0);
}

static void follower_on_overflow(void *context)
{
    struct follower *follower = context;

    compare_soon(follower->compare);
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
    follower->recheck = recheck_start(loop, config, reader, writer, follower_on_overflow, follower);
    follower->compare = compare_start(loop, config, reader, writer, follower->recheck);
    follower->preferred = preferred_start(loop, config, follower_on_preferred, follower);
    follower->alive = alive_start(loop, follower_on_silent, follower);
    sweep_init(&follower->sweep, loop, writer, config, &follower_sweep_events, follower);
    io_resumption_init(&follower->accepting, follower_on_accepting);
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
    io_resumption_cancel(&follower->accepting);
    alive_stop(follower->alive);
    preferred_stop(follower->preferred);
    compare_stop(follower->compare);
    recheck_stop(follower->recheck);
    uv_close((uv_handle_t *)&follower->timer, follower_on_closed);
}

void follower_lend(struct follower *follower, void (*use)(void *context, struct ldap_link *link))
{
    follower->use = use;
}

void follower_mirror_failed(struct follower *follower)
{
    if (follower->state.current != FOLLOWER_WAITING)
        follower_fail(follower, "the mirror could not be written");
}

void follower_rebuild(struct follower *follower)
{
    mirror_writer_discard(follower->writer);
    if (follower->state.current != FOLLOWER_WAITING)
        follower_fail(follower, "the mirror was damaged");
}

bool follower_compare(struct follower *follower, const struct compare_events *events, void *context)
{
    return compare_now(follower->compare, events, context);
}

/* Commits what was decided about held accounts; while following with what else there is. */
static void follower_commit_decision(struct follower *follower)
{
    if (follower->state.current == FOLLOWER_FOLLOWING)
        follower_commit_changes(follower);
    else if (!mirror_writer_commit(follower->writer, NULL))
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "mirror_lost_changes");
    follower->committed_ms = clock_monotonic_ms();
    follower_tell(follower);
}

/* Removes some; a commit that fails leaves the rest held. */
static void follower_on_accepting(struct io_resumption *accepting)
{
    struct follower *follower = CONTAINER_OF(accepting, struct follower, accepting);
    uint64_t held = mirror_writer_held(follower->writer);

    mirror_writer_accept_held(follower->writer, FOLLOWER_ACCEPT_ROWS);
    if (mirror_writer_held(follower->writer) == 0 ||
        clock_monotonic_ms() - follower->committed_ms >= FOLLOWER_COMMIT_MS)
        follower_commit_decision(follower);
    if (mirror_writer_held(follower->writer) > 0 && mirror_writer_held(follower->writer) < held)
        io_loop_resume(follower->loop, &follower->accepting);
}

uint64_t follower_accept_held(struct follower *follower)
{
    uint64_t held = mirror_writer_held(follower->writer);

    if (held == 0)
        return 0;
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "held_accepted", LOG_INTEGER("removed", held));
    if (follower->state.current == FOLLOWER_FOLLOWING)
        follower->is_synchronised = true;
    follower_on_accepting(&follower->accepting);
    return held;
}

uint64_t follower_keep_held(struct follower *follower)
{
    uint64_t held = mirror_writer_held(follower->writer);

    if (held == 0)
        return 0;
    mirror_writer_keep_held(follower->writer);
    follower_commit_decision(follower);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "held_kept", LOG_INTEGER("kept", held));
    return held;
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
