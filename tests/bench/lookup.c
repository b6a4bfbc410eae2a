/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lookups as a worker does them, in the mirror of a daemon that runs.
 *
 *     lookup STATE_DIRECTORY ACCOUNTS COUNT exact|detail
 *
 * Routes COUNT addresses and login names of user1 to userACCOUNTS at random, in either case, with
 * a detail or without, and prints microseconds and lookups a second as JSON.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/random.h"
#include "directory/mirror.h"

static bool has_domain(const void *context, const char *domain)
{
    (void)context;
    return strcmp(domain, "example.org") == 0;
}

static double now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
    double difference = *(const double *)a - *(const double *)b;

    return difference < 0 ? -1 : difference > 0;
}

/* One lookup; its microseconds. */
static double look_up(const struct route_source *source, unsigned long accounts, bool has_detail)
{
    static const struct route_rules rules = { .has_domain = has_domain,
                                              .recipient_delimiter = "+" };
    uint64_t choice = random_u64();
    unsigned long number = 1 + (unsigned long)(choice >> 8) % accounts;
    char name[64];
    struct route route;
    double began;

    snprintf(name, sizeof(name), "%s%lu%s@example.org", choice & 1 ? "user" : "USER", number,
             has_detail ? "+detail" : "");
    began = now_us();
    if (choice & 4)
        route_login(&rules, source, span_from_string(name), "example.org", &route);
    else
        route_address(&rules, source, span_from_string(name), &route);
    if (route.outcome != ROUTE_FOUND) {
        fprintf(stderr, "lookup: %s: %s\n", name, route_outcome_name(route.outcome));
        exit(1);
    }
    return now_us() - began;
}

int main(int argc, char **argv)
{
    unsigned long accounts = argc == 5 ? strtoul(argv[2], NULL, 10) : 0;
    size_t count = argc == 5 ? strtoul(argv[3], NULL, 10) : 0;
    bool has_detail = argc == 5 && strcmp(argv[4], "detail") == 0;
    double *took = calloc(count + 1, sizeof(*took)), sum = 0;
    struct mirror *mirror;
    struct route_source source;

    if (accounts == 0 || count == 0 || !took) {
        fprintf(stderr, "usage: lookup STATE_DIRECTORY ACCOUNTS COUNT exact|detail\n");
        return 2;
    }
    mirror = mirror_open(argv[1]);
    source = mirror_source(mirror);
    for (size_t i = 0; i < count / 10; i++) /* as in a worker that has been at it for a while */
        (void)look_up(&source, accounts, has_detail);
    for (size_t i = 0; i < count; i++)
        sum += took[i] = look_up(&source, accounts, has_detail);
    qsort(took, count, sizeof(*took), compare);
    printf("{\"p50_us\": %.2f, \"p99_us\": %.2f, \"per_second\": %.0f}\n", took[count / 2],
           took[count * 99 / 100], (double)count * 1e6 / sum);
    mirror_close(mirror);
    free(took);
    return 0;
}
