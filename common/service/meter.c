/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A row says when its name will owe nothing: each charge moves that by its share of an hour, and
 * time does the rest.  So nothing must be reset, and a row that is in the past is free.
 */
#include "common/service/meter.h"

#include "common/base/hash.h"

enum { METER_PROBES = 8 };

#define METER_HOUR_US (METER_HOUR_S * UINT64_C(1000000))

static uint64_t meter_key(struct span name)
{
    uint64_t key = hash_add(HASH_START, name);

    return key ? key : 1;
}

/* Row number `probe` of those where `key` may be. */
static struct meter_row *meter_row(struct meter *meter, uint64_t key, unsigned probe)
{
    return &meter->rows[((key ^ key >> 32) + probe) % METER_ROWS];
}

static struct meter_row *meter_find(struct meter *meter, uint64_t key)
{
    for (unsigned i = 0; i < METER_PROBES; i++) {
        struct meter_row *row = meter_row(meter, key, i);

        if (atomic_load(&row->key) == key)
            return row;
    }
    return NULL;
}

/* The row for a new name: that which owes least. */
static struct meter_row *meter_take(struct meter *meter, uint64_t key)
{
    struct meter_row *taken = meter_row(meter, key, 0);

    for (unsigned i = 1; i < METER_PROBES; i++) {
        struct meter_row *row = meter_row(meter, key, i);

        if (atomic_load(&row->even_us) < atomic_load(&taken->even_us))
            taken = row;
    }
    atomic_store(&taken->even_us, 0);
    atomic_store(&taken->key, key);
    return taken;
}

bool meter_charge(struct meter *meter, struct span name, unsigned per_hour, uint64_t now_us)
{
    uint64_t key = meter_key(name);
    uint64_t price_us = METER_HOUR_US / per_hour;
    struct meter_row *row = meter_find(meter, key);
    uint64_t even_us, from_us;

    if (!row)
        row = meter_take(meter, key);
    even_us = atomic_load(&row->even_us);
    do {
        from_us = even_us > now_us ? even_us : now_us;
        if (from_us + price_us > now_us + METER_HOUR_US)
            return false;
    } while (!atomic_compare_exchange_weak(&row->even_us, &even_us, from_us + price_us));
    return true;
}

void meter_refund(struct meter *meter, struct span name, unsigned per_hour)
{
    struct meter_row *row = meter_find(meter, meter_key(name));
    uint64_t price_us = METER_HOUR_US / per_hour;
    uint64_t even_us = row ? atomic_load(&row->even_us) : 0;

    /* Below that it was forgiven in the meantime. */
    while (even_us >= price_us &&
           !atomic_compare_exchange_weak(&row->even_us, &even_us, even_us - price_us))
        ;
}
