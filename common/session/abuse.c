/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules over the tally.  It never waits; when the tally has no place for somebody, he is
 * let in.
 */
#include "common/session/abuse.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/session/service.h"

enum {
    ABUSE_FAILURE = 1000,   /* what a guess costs */
    ABUSE_REPETITION = 100, /* what the same wrong password costs again */
    ABUSE_PATIENCE = 3,     /* failures that make no refusal later */
    ABUSE_DELAY_STEP_MS = 1000,
    ABUSE_DELAY_MAX_MS = 10000,
    ABUSE_TELL_MS = 60000 /* between two lines about limits */
};

/* What a row of the tally is about. */
enum {
    KIND_ADDRESS = 'a',
    KIND_NETWORK = 'n',
    KIND_ACCOUNT = 'u',
    KIND_PAIR = 'p',
    KIND_HELD = 'h'
};

/* Where a session comes from. */
struct place {
    struct network address;
    struct network network; /* the address without the bits behind the configured prefix */
};

void abuse_init(struct abuse *abuse, struct board *board, const struct limits_config *limits)
{
    const struct string_list *trusted = &limits->trusted_networks;

    *abuse = (struct abuse){ .board = board,
                             .limits = limits,
                             .trusted = memory_new((trusted->count + 1) * sizeof(*abuse->trusted)),
                             .epoch = atomic_load(&board->tally.epoch) };
    for (size_t i = 0; i < trusted->count; i++)
        if (network_parse(trusted->items[i], &abuse->trusted[abuse->trusted_count]))
            abuse->trusted_count++;
}

void abuse_fini(struct abuse *abuse)
{
    free(abuse->trusted);
}

/* False for one who is exempt. */
static bool abuse_find_place(const struct abuse *abuse, const struct session *session,
                             struct place *place)
{
    if (!abuse || !network_parse(session->peer_address, &place->address) ||
        network_list_has_address(abuse->trusted, abuse->trusted_count, place->address.address))
        return false;
    place->network = place->address;
    network_widen(&place->network, abuse->limits->network_prefix_ipv4,
                  abuse->limits->network_prefix_ipv6);
    return true;
}

static struct span place_bytes(const struct network *network)
{
    return span_of((const char *)network->address, sizeof(network->address));
}

static uint64_t abuse_now_ms(const struct session *session)
{
    return io_loop_now_ms(session->service->loop);
}

/* --- sessions ---------------------------------------------------------------------------- */

static void abuse_tell_limit(struct abuse *abuse, const struct session *session, const char *limit,
                             const char *account)
{
    uint64_t now_ms = abuse_now_ms(session);

    if (abuse->told_ms != 0 && now_ms - abuse->told_ms < ABUSE_TELL_MS)
        return;
    abuse->told_ms = now_ms;
    LOG_EVENT(LOG_LEVEL_WARNING, session->id, "limit_reached", LOG_TEXT("limit", limit),
              LOG_TEXT("peer", session->peer_address), LOG_TEXT("account", account));
}

/* A process was killed, and nobody's sessions are counted any more: ours are counted again. */
static void abuse_follow_epoch(struct abuse *abuse, const struct session_service *service)
{
    struct tally *tally = &abuse->board->tally;
    uint64_t now_ms = io_loop_now_ms(service->loop);

    if (abuse->epoch == atomic_load(&tally->epoch))
        return;
    abuse->epoch = atomic_load(&tally->epoch);
    LIST_EACH (node, &service->sessions) {
        struct abuse_session *counted = &LIST_ELEMENT(node, struct session, node)->abuse;
        struct tally_open *all[] = { &counted->address, &counted->network, &counted->account,
                                     &counted->held };

        for (size_t i = 0; i < ARRAY_LENGTH(all); i++)
            if (all[i]->key)
                (void)tally_open(tally, all[i], all[i]->key, now_ms);
    }
}

/* Counts it under `key`; false, and it is not counted, when there are `max` (0: any number). */
static bool abuse_count(struct abuse *abuse, struct tally_open *open, uint64_t key, unsigned max,
                        uint64_t now_ms)
{
    if (max == 0 || tally_open(&abuse->board->tally, open, key, now_ms) <= max)
        return true;
    tally_close(&abuse->board->tally, open);
    return false;
}

static void abuse_release_place(struct session *session)
{
    struct tally *tally = &session->service->abuse->board->tally;

    tally_close(tally, &session->abuse.address);
    tally_close(tally, &session->abuse.network);
}

const char *abuse_session_admit(struct session *session)
{
    struct abuse *abuse = session->service->abuse;
    uint64_t now_ms = abuse_now_ms(session);
    const struct limits_config *limits;
    const char *limit = NULL;
    struct place place;

    if (!abuse)
        return NULL;
    abuse_follow_epoch(abuse, session->service);
    abuse_release_place(session);
    if (!abuse_find_place(abuse, session, &place))
        return NULL;
    limits = abuse->limits;
    if (!abuse_count(
            abuse, &session->abuse.address,
            tally_key(&abuse->board->tally, KIND_ADDRESS, SPAN_EMPTY, place_bytes(&place.address)),
            limits->sessions_per_address, now_ms))
        limit = "sessions_per_address";
    else if (!abuse_count(abuse, &session->abuse.network,
                          tally_key(&abuse->board->tally, KIND_NETWORK, SPAN_EMPTY,
                                    place_bytes(&place.network)),
                          limits->sessions_per_network, now_ms))
        limit = "sessions_per_network";
    if (!limit)
        return NULL;
    abuse_tell_limit(abuse, session, limit, NULL);
    abuse_release_place(session);
    return "too many connections from your address, try again later";
}

const char *abuse_account_admit(struct session *session, const char *account)
{
    struct abuse *abuse = session->service->abuse;

    if (!abuse)
        return NULL;
    abuse_follow_epoch(abuse, session->service);
    if (abuse_count(
            abuse, &session->abuse.account,
            tally_key(&abuse->board->tally, KIND_ACCOUNT, span_from_string(account), SPAN_EMPTY),
            abuse->limits->sessions_per_account, abuse_now_ms(session)))
        return NULL;
    abuse_tell_limit(abuse, session, "sessions_per_account", account);
    return "too many sessions of the account";
}

bool abuse_hold_admit(struct session *session, const char *account, const char *backend)
{
    struct abuse *abuse = session->service->abuse;
    uint64_t key;

    if (!abuse)
        return true;
    abuse_follow_epoch(abuse, session->service);
    key = tally_key(&abuse->board->tally, KIND_HELD, span_from_string(backend), SPAN_EMPTY);
    if (session->abuse.held.key == key)
        return true;
    abuse_hold_release(session);
    if (abuse_count(abuse, &session->abuse.held, key, abuse->limits->held_logins_per_backend,
                    abuse_now_ms(session)))
        return true;
    abuse_tell_limit(abuse, session, "held_logins_per_backend", account);
    return false;
}

void abuse_hold_release(struct session *session)
{
    if (session->service->abuse)
        tally_close(&session->service->abuse->board->tally, &session->abuse.held);
}

void abuse_session_release(struct session *session)
{
    if (!session->service->abuse)
        return;
    abuse_release_place(session);
    abuse_hold_release(session);
    tally_close(&session->service->abuse->board->tally, &session->abuse.account);
}

/* --- passwords ------------------------------------------------------------------------------ */

static uint64_t abuse_pair_key(const struct abuse *abuse, const char *account,
                               const struct place *place)
{
    return tally_key(&abuse->board->tally, KIND_PAIR, span_from_string(account),
                     place_bytes(&place->network));
}

static bool abuse_row_is_blocked(const struct tally_row *row, uint64_t now_ms)
{
    return row && atomic_load(&row->blocked_until_ms) > now_ms;
}

static bool abuse_network_is_blocked(const struct abuse *abuse, const struct place *place,
                                     uint64_t now_ms)
{
    struct tally *tally = &abuse->board->tally;

    return abuse_row_is_blocked(
        tally_find(tally, tally_key(tally, KIND_NETWORK, SPAN_EMPTY, place_bytes(&place->network))),
        now_ms);
}

static bool abuse_was_wrong(const struct tally_row *pair, uint16_t mark)
{
    uint64_t wrong = atomic_load(&pair->wrong);

    for (; wrong != 0; wrong >>= 16)
        if ((uint16_t)wrong == mark)
            return true;
    return false;
}

/* The blocked one in the list, and one line in the log. */
static void abuse_block(const struct abuse *abuse, const struct session *session,
                        struct tally_row *row, uint64_t key, const char *account,
                        const struct place *place, uint32_t failures)
{
    uint64_t now_ms = abuse_now_ms(session);
    uint64_t former_ms = atomic_load(&row->blocked_until_ms);
    struct block block = { .key = key,
                           .until_ms = now_ms + abuse->limits->login_block_s * UINT64_C(1000),
                           .failures = failures / 1000 };

    if (former_ms > now_ms ||
        !atomic_compare_exchange_strong(&row->blocked_until_ms, &former_ms, block.until_ms))
        return;
    tally_halve(row);
    snprintf(block.account, sizeof(block.account), "%s", account);
    network_format(&place->network, block.network);
    block_list_add(&abuse->board->blocks, &block);
    LOG_EVENT(LOG_LEVEL_WARNING, session->id, "login_blocked",
              LOG_TEXT("account", *account ? account : NULL), LOG_TEXT("network", block.network),
              LOG_TEXT("peer", session->peer_address), LOG_INTEGER("failures", block.failures),
              LOG_INTEGER("s", abuse->limits->login_block_s));
}

bool abuse_login_allowed(struct session *session, const char *account, struct span secret)
{
    const struct abuse *abuse = session->service->abuse;
    uint64_t now_ms = abuse_now_ms(session);
    unsigned max;
    uint64_t good;
    struct tally_row *pair;
    struct place place;
    uint16_t mark, charge;

    session->abuse.charge = 0;
    if (!abuse_find_place(abuse, session, &place))
        return true;
    pair = tally_take(&abuse->board->tally, abuse_pair_key(abuse, account, &place), now_ms);
    good = pair ? atomic_load(&pair->good) : 0;
    mark = tally_mark(&abuse->board->tally, secret);
    if (good && (uint16_t)good == mark)
        return true;
    if (abuse_row_is_blocked(pair, now_ms) ||
        (!good && abuse_network_is_blocked(abuse, &place, now_ms)))
        return false;
    max = abuse->limits->login_failures;
    if (max == 0 || !pair)
        return true;
    charge = abuse_was_wrong(pair, mark) ? ABUSE_REPETITION : ABUSE_FAILURE;
    if (!tally_charge(pair, charge, max, abuse->limits->login_failure_window_s * UINT64_C(1000),
                      now_ms))
        return false;
    session->abuse.charge = charge;
    return true;
}

/* Guesses of one network with many accounts. */
static void abuse_network_failed(const struct abuse *abuse, const struct session *session,
                                 const struct place *place)
{
    struct tally *tally = &abuse->board->tally;
    uint64_t window_ms = abuse->limits->login_failure_window_s * UINT64_C(1000);
    uint64_t key = tally_key(tally, KIND_NETWORK, SPAN_EMPTY, place_bytes(&place->network));
    unsigned max = abuse->limits->login_failures_per_network;
    uint64_t now_ms = abuse_now_ms(session);
    struct tally_row *row = max > 0 ? tally_take(tally, key, now_ms) : NULL;

    if (!row)
        return;
    (void)tally_charge(row, ABUSE_FAILURE, max, window_ms, now_ms);
    if (!tally_has_room(row, ABUSE_FAILURE, max, window_ms, now_ms))
        abuse_block(abuse, session, row, key, "", place,
                    tally_failures(row, max, window_ms, now_ms));
}

void abuse_login_failed(struct session *session, const char *account, struct span secret)
{
    const struct abuse *abuse = session->service->abuse;
    uint64_t now_ms = abuse_now_ms(session), window_ms, key;
    unsigned max;
    struct tally_row *pair;
    struct place place;
    uint16_t mark;

    if (!abuse_find_place(abuse, session, &place))
        return;
    key = abuse_pair_key(abuse, account, &place);
    pair = tally_take(&abuse->board->tally, key, now_ms);
    mark = tally_mark(&abuse->board->tally, secret);
    if (!pair || !abuse_was_wrong(pair, mark))
        abuse_network_failed(abuse, session, &place);
    session->abuse.charge = 0;
    if (!pair)
        return;
    if (!abuse_was_wrong(pair, mark))
        atomic_store(&pair->wrong, atomic_load(&pair->wrong) << 16 | mark);
    max = abuse->limits->login_failures;
    window_ms = abuse->limits->login_failure_window_s * UINT64_C(1000);
    if (max > 0 && !tally_has_room(pair, ABUSE_FAILURE, max, window_ms, now_ms))
        abuse_block(abuse, session, pair, key, account, &place,
                    tally_failures(pair, max, window_ms, now_ms));
}

/* Takes the charge back; the pair's row. */
static struct tally_row *abuse_refund(struct session *session, const char *account)
{
    const struct abuse *abuse = session->service->abuse;
    struct tally_row *pair;
    struct place place;

    if (!abuse_find_place(abuse, session, &place))
        return NULL;
    pair = tally_take(&abuse->board->tally, abuse_pair_key(abuse, account, &place),
                      abuse_now_ms(session));
    if (pair)
        tally_refund(pair, session->abuse.charge);
    session->abuse.charge = 0;
    return pair;
}

void abuse_login_succeeded(struct session *session, const char *account, struct span secret)
{
    struct tally_row *pair = abuse_refund(session, account);

    if (!pair)
        return;
    tally_halve(pair);
    atomic_store(&pair->good,
                 UINT64_C(1) << 16 | tally_mark(&session->service->abuse->board->tally, secret));
}

void abuse_login_undecided(struct session *session, const char *account)
{
    if (session->abuse.charge > 0)
        (void)abuse_refund(session, account);
}

unsigned abuse_delay_ms(const struct session *session, const char *account)
{
    const struct abuse *abuse = session->service->abuse;
    const struct tally_row *pair;
    unsigned failures, delay_ms;
    struct place place;

    if (!abuse_find_place(abuse, session, &place) || abuse->limits->login_failures == 0)
        return 0;
    pair = tally_find(&abuse->board->tally, abuse_pair_key(abuse, account, &place));
    if (!pair)
        return 0;
    failures = tally_failures(pair, abuse->limits->login_failures,
                              abuse->limits->login_failure_window_s * UINT64_C(1000),
                              abuse_now_ms(session)) /
               1000;
    delay_ms = failures > ABUSE_PATIENCE ? (failures - ABUSE_PATIENCE) * ABUSE_DELAY_STEP_MS : 0;
    return delay_ms < ABUSE_DELAY_MAX_MS ? delay_ms : ABUSE_DELAY_MAX_MS;
}
