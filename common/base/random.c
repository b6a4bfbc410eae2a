/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

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

uint64_t random_u64(void)
{
    uint64_t value;

    random_bytes(&value, sizeof(value));
    return value;
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
