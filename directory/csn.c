/* SPDX-License-Identifier: Apache-2.0 */
/* Pure.  What does not look like a CSN is left out: then nothing is known, and nobody waits for it.
 */
#include "directory/csn.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

/* "20260131235959.123456Z#000000#SID#000000" */
enum { CSN_LENGTH = 40, CSN_SERVER_AT = 30, CSN_SERVER_LENGTH = 3 };

static bool csn_is_well_formed(struct span csn)
{
    static const char pattern[] = "dddddddddddddd.ddddddZ#xxxxxx#xxx#xxxxxx";

    if (csn.length != CSN_LENGTH)
        return false;
    for (size_t i = 0; i < CSN_LENGTH; i++) {
        bool is_digit = csn.data[i] >= '0' && csn.data[i] <= '9';
        bool is_hex = is_digit || (csn.data[i] >= 'a' && csn.data[i] <= 'f');

        if (pattern[i] == 'd' ? !is_digit : pattern[i] == 'x' ? !is_hex : csn.data[i] != pattern[i])
            return false;
    }
    return true;
}

static bool csn_has_same_server(const char *first, const char *second)
{
    return memcmp(first + CSN_SERVER_AT, second + CSN_SERVER_AT, CSN_SERVER_LENGTH) == 0;
}

const char *csn_set_find(const struct csn_set *set, const char *csn)
{
    for (size_t i = 0; i < set->count; i++)
        if (csn_has_same_server(set->items[i], csn))
            return set->items[i];
    return NULL;
}

bool csn_set_add(struct csn_set *set, struct span csn)
{
    char *slot;

    if (!csn_is_well_formed(csn))
        return false;
    slot = (char *)(uintptr_t)csn_set_find(set, csn.data);
    if (!slot && set->count == CSN_SERVERS_MAX)
        return false;
    if (!slot)
        slot = set->items[set->count++];
    else if (memcmp(slot, csn.data, CSN_LENGTH) >= 0)
        return true;
    return span_copy_string(csn, slot, CSN_SIZE);
}

static void csn_add_list(struct csn_set *set, struct span list)
{
    while (list.length > 0)
        (void)csn_set_add(set, span_split(&list, ';'));
}

struct csn_set csn_set_from_cookie(struct span cookie)
{
    static const char name[] = "csn=";
    struct csn_set set = { .count = 0 };

    while (cookie.length > 0) {
        struct span part = span_split(&cookie, ',');

        if (part.length > strlen(name) && memcmp(part.data, name, strlen(name)) == 0)
            csn_add_list(&set, span_drop(part, strlen(name)));
    }
    return set;
}

bool csn_set_has_reached(const struct csn_set *set, const struct csn_set *goal)
{
    for (size_t i = 0; i < goal->count; i++) {
        const char *csn = csn_set_find(set, goal->items[i]);

        if (!csn || memcmp(csn, goal->items[i], CSN_LENGTH) < 0)
            return false;
    }
    return true;
}

static int csn_number(const char *csn, size_t at, size_t length)
{
    int number = 0;

    for (size_t i = at; i < at + length; i++)
        number = number * 10 + (csn[i] - '0');
    return number;
}

/* Milliseconds since 1970. */
static int64_t csn_time_ms(const char *csn)
{
    struct tm time = { .tm_year = csn_number(csn, 0, 4) - 1900,
                       .tm_mon = csn_number(csn, 4, 2) - 1,
                       .tm_mday = csn_number(csn, 6, 2),
                       .tm_hour = csn_number(csn, 8, 2),
                       .tm_min = csn_number(csn, 10, 2),
                       .tm_sec = csn_number(csn, 12, 2) };

    return (int64_t)timegm(&time) * 1000 + csn_number(csn, 15, 6) / 1000;
}

int64_t csn_set_lag_ms(const struct csn_set *set, const struct csn_set *goal)
{
    int64_t lag_ms = 0;

    for (size_t i = 0; i < goal->count; i++) {
        const char *csn = csn_set_find(set, goal->items[i]);
        int64_t behind_ms = csn ? csn_time_ms(goal->items[i]) - csn_time_ms(csn) : -1;

        if (!csn)
            return -1;
        if (behind_ms > lag_ms)
            lag_ms = behind_ms;
    }
    return lag_ms;
}
