/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/memory.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void memory_exhausted(void)
{
    fputs("mailstead: out of memory\n", stderr);
    abort();
}

void *memory_new(size_t size)
{
    void *memory = calloc(1, size > 0 ? size : 1);

    if (!memory)
        memory_exhausted();
    return memory;
}

void *memory_resize(void *memory, size_t size)
{
    void *resized = realloc(memory, size);

    if (!resized)
        memory_exhausted();
    return resized;
}

char *memory_copy_string(const char *string)
{
    char *copy = strdup(string);

    if (!copy)
        memory_exhausted();
    return copy;
}
