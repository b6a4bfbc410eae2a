/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where another process may give the row away between finding and changing it, the change would
 * land on a stranger.  For counts of sessions that is looked at afterwards, and undone; one failure
 * too many does nothing by itself.  A process that is killed in the few instructions in which a row
 * changes hands takes that row with it.
 */
#include "common/service/tally.h"

#include <string.h>

#include "common/base/random.h"

#define TALLY_CHANGING UINT64_C(1)
#define STAMP_BITS 40 /* of `failures`: milliseconds, 34 years */
#define STAMP_MASK ((UINT64_C(1) << STAMP_BITS) - 1)

void tally_init(struct tally *tally)
{
    random_bytes(tally->hash_key, sizeof(tally->hash_key));
    atomic_store(&tally->epoch, 1);
}

uint64_t tally_key(const struct tally *tally, char kind, struct span name, struct span place)
{
    unsigned char key[SIPHASH_KEY_SIZE];
    uint64_t hash = siphash(tally->hash_key, name);

    /* The hash of the name is part of the key, so that no text stands for two pairs. */
    memcpy(key, tally->hash_key, sizeof(key));
    for (size_t i = 0; i < sizeof(hash); i++)
        key[i] ^= (unsigned char)(hash >> (8 * i));
    key[sizeof(key) - 1] ^= (unsigned char)kind;
    hash = siphash(key, place);
    return hash > TALLY_CHANGING ? hash : hash + 2;
}

uint16_t tally_mark(const struct tally *tally, struct span secret)
{
    return (uint16_t)siphash(tally->hash_key, secret);
}

/* --- rows ------------------------------------------------------------------------------- */

static struct tally_row *tally_places(struct tally *tally, uint64_t key)
{
    return &tally->rows[key % (TALLY_ROWS / TALLY_WAYS) * TALLY_WAYS];
}

struct tally_row *tally_find(struct tally *tally, uint64_t key)
{
    struct tally_row *places = tally_places(tally, key);

    for (int i = 0; i < TALLY_WAYS; i++)
        if (atomic_load_explicit(&places[i].key, memory_order_acquire) == key)
            return &places[i];
    return NULL;
}

static bool tally_is_open(const struct tally *tally, const struct tally_row *row)
{
    uint64_t open = atomic_load(&row->open);

    return open >> 32 == atomic_load(&tally->epoch) && (uint32_t)open > 0;
}

/* Whether it would be the same if it were made anew: sessions have ended, and that is all. */
static bool tally_is_idle(const struct tally_row *row)
{
    return atomic_load(&row->failures) == 0 && atomic_load(&row->wrong) == 0 &&
           atomic_load(&row->good) == 0;
}

/* Whether `row` can be spared better than `other`. */
static bool tally_is_less(const struct tally_row *row, const struct tally_row *other)
{
    bool is_idle = tally_is_idle(row), is_other_idle = tally_is_idle(other);

    if (is_idle != is_other_idle)
        return is_idle;
    return atomic_load(&row->used_ms) < atomic_load(&other->used_ms);
}

/* The row that can best be spared: a free one, an idle one, one not used for the longest. */
static struct tally_row *tally_spare(const struct tally *tally, struct tally_row *places,
                                     uint64_t now_ms)
{
    struct tally_row *spare = NULL;

    for (int i = 0; i < TALLY_WAYS; i++) {
        struct tally_row *row = &places[i];
        uint64_t key = atomic_load(&row->key);

        if (key == 0)
            return row;
        if (key == TALLY_CHANGING || tally_is_open(tally, row) ||
            atomic_load(&row->blocked_until_ms) > now_ms)
            continue;
        if (!spare || tally_is_less(row, spare))
            spare = row;
    }
    return spare;
}

static void tally_clear_row(struct tally_row *row)
{
    atomic_store(&row->open, 0);
    atomic_store(&row->failures, 0);
    atomic_store(&row->blocked_until_ms, 0);
    atomic_store(&row->wrong, 0);
    atomic_store(&row->good, 0);
}

struct tally_row *tally_take(struct tally *tally, uint64_t key, uint64_t now_ms)
{
    for (int attempt = 0; attempt < TALLY_WAYS; attempt++) {
        struct tally_row *row = tally_find(tally, key);
        uint64_t former;

        if (row) {
            atomic_store_explicit(&row->used_ms, now_ms, memory_order_relaxed);
            return row;
        }
        row = tally_spare(tally, tally_places(tally, key), now_ms);
        if (!row)
            return NULL;
        former = atomic_load(&row->key);
        if (former == TALLY_CHANGING ||
            !atomic_compare_exchange_strong(&row->key, &former, TALLY_CHANGING))
            continue;
        tally_clear_row(row);
        atomic_store(&row->used_ms, now_ms);
        atomic_store_explicit(&row->key, key, memory_order_release);
        return row;
    }
    return NULL;
}

/* --- sessions that are open ----------------------------------------------------------------- */

/* Adds 1 or takes 1 away; the count behind it.  What is of another epoch is void. */
static uint32_t tally_move_open(struct tally_row *row, uint32_t epoch, int change)
{
    uint64_t open = atomic_load(&row->open), count;

    do {
        count = open >> 32 == epoch ? (uint32_t)open : 0;
        if (change > 0)
            count++;
        else if (count > 0)
            count--;
    } while (!atomic_compare_exchange_weak(&row->open, &open, (uint64_t)epoch << 32 | count));
    return (uint32_t)count;
}

uint32_t tally_open(struct tally *tally, struct tally_open *open, uint64_t key, uint64_t now_ms)
{
    struct tally_row *row = tally_take(tally, key, now_ms);
    uint32_t epoch = atomic_load(&tally->epoch), count;

    *open = (struct tally_open){ 0 };
    if (!row)
        return 0;
    count = tally_move_open(row, epoch, 1);
    if (atomic_load(&row->key) != key) {
        (void)tally_move_open(row, epoch, -1);
        return 0;
    }
    *open = (struct tally_open){ .key = key, .row = (uint32_t)(row - tally->rows), .epoch = epoch };
    return count;
}

void tally_close(struct tally *tally, struct tally_open *open)
{
    struct tally_row *row = &tally->rows[open->row];

    if (open->key && open->epoch == atomic_load(&tally->epoch) &&
        atomic_load(&row->key) == open->key)
        (void)tally_move_open(row, open->epoch, -1);
    *open = (struct tally_open){ 0 };
}

void tally_begin_epoch(struct tally *tally)
{
    atomic_fetch_add(&tally->epoch, 1);
}

/* --- failures ----------------------------------------------------------------------------------
 */

/* What is left of the word `failures` at `now_ms`, in thousandths. */
static uint64_t tally_left(uint64_t word, unsigned capacity, uint64_t window_ms, uint64_t now_ms)
{
    uint64_t level = word >> STAMP_BITS;
    uint64_t since_ms = word & STAMP_MASK;
    uint64_t elapsed_ms = now_ms > since_ms ? now_ms - since_ms : 0;
    uint64_t forgiven;

    if (elapsed_ms >= window_ms)
        return 0;
    forgiven = elapsed_ms * capacity * 1000 / window_ms;
    return level > forgiven ? level - forgiven : 0;
}

bool tally_charge(struct tally_row *row, uint32_t amount, unsigned capacity, uint64_t window_ms,
                  uint64_t now_ms)
{
    uint64_t word = atomic_load(&row->failures), level;

    do {
        level = tally_left(word, capacity, window_ms, now_ms) + amount;
        if (level > capacity * UINT64_C(1000))
            return false;
    } while (!atomic_compare_exchange_weak(&row->failures, &word,
                                           level << STAMP_BITS | (now_ms & STAMP_MASK)));
    return true;
}

bool tally_has_room(const struct tally_row *row, uint32_t amount, unsigned capacity,
                    uint64_t window_ms, uint64_t now_ms)
{
    return tally_failures(row, capacity, window_ms, now_ms) + amount <= capacity * UINT64_C(1000);
}

void tally_refund(struct tally_row *row, uint32_t amount)
{
    uint64_t word = atomic_load(&row->failures), level;

    do {
        level = word >> STAMP_BITS;
        level = level > amount ? level - amount : 0;
    } while (!atomic_compare_exchange_weak(&row->failures, &word,
                                           level << STAMP_BITS | (word & STAMP_MASK)));
}

uint32_t tally_failures(const struct tally_row *row, unsigned capacity, uint64_t window_ms,
                        uint64_t now_ms)
{
    return (uint32_t)tally_left(atomic_load(&row->failures), capacity, window_ms, now_ms);
}

void tally_halve(struct tally_row *row)
{
    uint64_t word = atomic_load(&row->failures);

    while (!atomic_compare_exchange_weak(
        &row->failures, &word, word >> STAMP_BITS >> 1 << STAMP_BITS | (word & STAMP_MASK)))
        continue;
}
