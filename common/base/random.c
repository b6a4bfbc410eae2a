/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/random.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

enum { RANDOM_STORE = 64 };

void random_bytes(void *target, size_t size)
{
    char *cursor = target;

    while (size > 0) {
        ssize_t got = getrandom(cursor, size, 0);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            abort();
        cursor += got;
        size -= (size_t)got;
    }
}

/*
 * Numbers are taken from a store, a system call for many; of each thread its own.  A child that is
 * forked must not give out what its parent has: it begins with an empty one.
 */
static _Thread_local struct {
    uint64_t numbers[RANDOM_STORE];
    size_t left;
} random_store;

static void random_forked(void)
{
    random_store.left = 0;
}

static void random_watch_forks(void)
{
    if (pthread_atfork(NULL, NULL, random_forked) != 0)
        abort();
}

uint64_t random_u64(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (random_store.left == 0) {
        pthread_once(&once, random_watch_forks);
        random_bytes(random_store.numbers, sizeof(random_store.numbers));
        random_store.left = RANDOM_STORE;
    }
    return random_store.numbers[--random_store.left];
}

uint64_t random_below(uint64_t limit)
{
    return random_u64() % limit;
}

void random_id(char id[RANDOM_ID_SIZE])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    uint64_t value = random_u64();

    for (int i = 0; i < RANDOM_ID_SIZE - 1; i++, value >>= 5)
        id[i] = digits[value & 31];
    id[RANDOM_ID_SIZE - 1] = '\0';
}
