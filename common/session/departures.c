/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One timer does both: it looks at some sessions while any are unchecked, and lets some of those
 * that wait go.  No turn of the loop takes longer than a slice of either.
 *
 * Whose turn it is, the board says (common/base/turns.h), so that all workers go at one pace.
 */
#include "common/session/departures.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/session/storage_use.h"

enum {
    DEPARTURES_SLICE = 64,     /* sessions in one turn */
    DEPARTURES_TICK_MS = 10,   /* and up to twice as much, so that no worker is always the first */
    DEPARTURES_BLIND_MS = 250, /* while the mirror cannot be read */
    DEPARTURES_LAG_US = 50000
};

enum home {
    HOME_HERE,
    HOME_ELSEWHERE,
    HOME_NOWHERE,   /* the account is gone */
    HOME_IN_DOUBT,  /* the account's entry cannot be used */
    HOME_UNREADABLE /* the mirror cannot be read: later */
};

static void departures_schedule(struct departures *departures, uint64_t delay_ms);

/* --- where an account is ---------------------------------------------------------------- */

/* By one name; NOWHERE also when that is another account's by now. */
static enum home departures_look_up(const struct session *session, enum route_key key,
                                    const char *name)
{
    struct route route;

    resolver_look_up(session->service->resolver, key, name, &route);
    switch (route.outcome) {
    case ROUTE_FOUND:
        if (strcmp(route.account, session->account) != 0)
            return HOME_NOWHERE;
        return strcmp(route.host, session->backend) == 0 ? HOME_HERE : HOME_ELSEWHERE;
    case ROUTE_MISCONFIGURED:
        return HOME_IN_DOUBT;
    case ROUTE_UNAVAILABLE:
        return HOME_UNREADABLE;
    case ROUTE_RELAY:
    case ROUTE_UNKNOWN:
    case ROUTE_NOT_OURS:
        break;
    }
    return HOME_NOWHERE;
}

/*
 * By the name that it logged in with; and since an account may lose one of its names, by
 * the canonical one, which may be a key for logins, for mail, or for neither.
 */
static enum home departures_find_home(const struct session *session)
{
    enum home home = departures_look_up(session, ROUTE_KEY_LOGIN, session->login_key);

    if (home == HOME_NOWHERE)
        home = departures_look_up(session, ROUTE_KEY_LOGIN, session->account);
    if (home == HOME_NOWHERE)
        home = departures_look_up(session, ROUTE_KEY_ADDRESS, session->account);
    return home;
}

bool departures_has_moved(const struct session *session)
{
    enum home home;

    if (!resolver_is_behind(session->service->resolver, session->revision))
        return false;
    home = departures_find_home(session);
    return home == HOME_ELSEWHERE || home == HOME_NOWHERE;
}

/* --- who waits ----------------------------------------------------------------------------- */

bool departures_has(const struct session *session)
{
    return !list_is_empty(&session->departure_node);
}

void departures_remove(struct session *session)
{
    list_remove(&session->departure_node);
}

static void departures_append(struct departures *departures, struct session *session)
{
    if (departures_has(session))
        return;
    if (list_is_empty(&departures->waiting)) {
        departures->ended = departures->kept = 0;
        departures->began_ms = io_loop_now_ms(departures->service->loop);
    }
    list_append(&departures->waiting, &session->departure_node);
    departures_schedule(departures, 1);
}

void departures_add(struct departures *departures, struct session *session)
{
    departures_append(departures, session);
}

void departures_add_abandoned(struct departures *departures, struct session *session,
                              const char *reason)
{
    session->abandoned = reason;
    departures_append(departures, session);
}

static const char departures_drained[] = "the server is drained";

void departures_drain(struct departures *departures, uint64_t deadline_ms)
{
    departures->drain_deadline_ms = deadline_ms;
    LIST_EACH (node, &departures->service->sessions) {
        struct session *session = LIST_ELEMENT(node, struct session, node);

        if (!session->abandoned)
            departures_add_abandoned(departures, session, departures_drained);
    }
}

void departures_undrain(struct departures *departures)
{
    departures->drain_deadline_ms = 0;
    LIST_EACH (node, &departures->waiting) {
        struct session *session = LIST_ELEMENT(node, struct session, departure_node);

        if (session->abandoned != departures_drained)
            continue;
        session->abandoned = NULL;
        departures_remove(session);
    }
    departures_check_all(departures); /* who waited because of his account, too */
}

/* Whether a session that is drained has something to finish, and the time for it. */
static bool departures_is_excused(const struct departures *departures,
                                  const struct session *session)
{
    struct session_view view = { .is_busy = false };

    if (session->abandoned != departures_drained ||
        io_loop_now_ms(departures->service->loop) >= departures->drain_deadline_ms)
        return false;
    if (session->view)
        session->view(session, &view);
    return view.is_busy;
}

void departures_hurry(struct departures *departures, struct session *session)
{
    list_remove(&session->departure_node);
    list_append(departures->waiting.next, &session->departure_node); /* before the first */
}

/* --- going ----------------------------------------------------------------------------------- */

static unsigned departures_rate(const struct departures *departures)
{
    const struct session_service *service = departures->service;

    bool is_over = departures->drain_deadline_ms > 0 &&
                   io_loop_now_ms(service->loop) >= departures->drain_deadline_ms;

    return service->peers_are_trusted || is_over ? 0
                                                 : service->config->limits.disconnects_per_second;
}

/* Whether one session of the daemon may go now; then the next one's moment is later. */
static bool departures_take_turn(const struct departures *departures)
{
    struct board *board = departures->service->backends.board;
    unsigned rate = departures_rate(departures);

    return rate == 0 ||
           turns_take(&board->departure, 1000000 / rate, DEPARTURES_LAG_US, clock_monotonic_us());
}

/* Why it must go, or NULL: it stays. */
static const char *departures_reason(const struct session *session, enum home home)
{
    if (session->abandoned)
        return session->abandoned;
    switch (home) {
    case HOME_ELSEWHERE:
        return "the account moved";
    case HOME_NOWHERE:
        return "the account is gone";
    case HOME_HERE:
    case HOME_IN_DOUBT:
    case HOME_UNREADABLE:
        break;
    }
    return NULL;
}

/* It cannot be said whether it must go: it waits behind the others. */
static void departures_put_back(struct departures *departures, struct session *session)
{
    list_remove(&session->departure_node);
    list_append(&departures->waiting, &session->departure_node);
}

static void departures_end_some(struct departures *departures)
{
    for (unsigned i = 0; i < DEPARTURES_SLICE && !list_is_empty(&departures->waiting); i++) {
        struct session *session =
            LIST_ELEMENT(departures->waiting.next, struct session, departure_node);
        enum home home = session->abandoned ? HOME_NOWHERE : departures_find_home(session);
        const char *reason = departures_reason(session, home);

        if (home == HOME_UNREADABLE || departures_is_excused(departures, session)) {
            departures_put_back(departures, session);
            departures->is_blind |= home == HOME_UNREADABLE;
            continue;
        }
        if (reason && !departures_take_turn(departures))
            return;
        departures_remove(session);
        *(reason ? &departures->ended : &departures->kept) += 1;
        if (reason)
            session_part(session, reason);
    }
}

static void departures_check_some(struct departures *departures)
{
    struct list *sessions = &departures->service->sessions;

    if (departures->unchecked > departures->service->session_count)
        departures->unchecked = departures->service->session_count;
    for (unsigned i = 0; i < DEPARTURES_SLICE && departures->unchecked > 0; i++) {
        struct session *session = LIST_ELEMENT(sessions->next, struct session, node);
        enum home home = session->account_node.key.data ? departures_find_home(session) : HOME_HERE;

        if (home == HOME_UNREADABLE) {
            departures->is_blind = true;
            return;
        }
        departures->unchecked--;
        list_remove(&session->node);
        list_append(sessions, &session->node);
        if (home == HOME_ELSEWHERE || home == HOME_NOWHERE)
            departures_append(departures, session);
    }
}

static void departures_log(const struct departures *departures)
{
    if (departures->ended + departures->kept > 0)
        LOG_EVENT(
            LOG_LEVEL_INFO, NULL, "sessions_followed", LOG_INTEGER("ended", departures->ended),
            LOG_INTEGER("kept", departures->kept),
            LOG_INTEGER("ms", io_loop_now_ms(departures->service->loop) - departures->began_ms));
}

static void departures_on_tick(uv_timer_t *timer)
{
    struct departures *departures = timer->data;
    bool had_some = !list_is_empty(&departures->waiting);

    departures->is_blind = false;
    departures_check_some(departures);
    departures_end_some(departures);
    if (had_some && list_is_empty(&departures->waiting))
        departures_log(departures);
    if (departures->is_blind)
        departures_schedule(departures, DEPARTURES_BLIND_MS);
    else if (departures->unchecked > 0 || departures_rate(departures) == 0)
        departures_schedule(departures, 1);
    else
        departures_schedule(departures, DEPARTURES_TICK_MS + random_below(DEPARTURES_TICK_MS));
}

/* A delay of 0 would be over in this very turn of the loop. */
static void departures_schedule(struct departures *departures, uint64_t delay_ms)
{
    bool is_idle = list_is_empty(&departures->waiting) && departures->unchecked == 0;

    if (!is_idle && !departures->is_stopped && !uv_is_active((uv_handle_t *)&departures->timer))
        uv_timer_start(&departures->timer, departures_on_tick, delay_ms, 0);
}

void departures_check_all(struct departures *departures)
{
    departures->unchecked = departures->service->session_count;
    departures_schedule(departures, 1);
}

/* --- life --------------------------------------------------------------------------------------
 */

void departures_init(struct departures *departures, struct session_service *service)
{
    *departures = (struct departures){ .service = service };
    list_init(&departures->waiting);
    uv_timer_init(&service->loop->uv, &departures->timer);
    departures->timer.data = departures;
}

static void departures_on_closed(uv_handle_t *handle)
{
    struct departures *departures = handle->data;

    departures->stopped(departures->service);
}

void departures_stop(struct departures *departures,
                     void (*stopped)(struct session_service *service))
{
    departures->is_stopped = true;
    departures->stopped = stopped;
    uv_close((uv_handle_t *)&departures->timer, departures_on_closed);
}
