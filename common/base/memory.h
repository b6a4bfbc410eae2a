/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that cannot fail: a process without memory aborts with one clear
 * line, and its supervisor starts another.  Everything that a peer can size is
 * bounded before it comes here.
 */
#ifndef MAILSTEAD_BASE_MEMORY_H
#define MAILSTEAD_BASE_MEMORY_H

#include <stddef.h>

/* Zeroed memory of `size` bytes; the caller owns it and frees it with free(). */
void *memory_new(size_t size) __attribute__((malloc, returns_nonnull, warn_unused_result));

/* As realloc; `size` is above 0. */
void *memory_resize(void *memory, size_t size) __attribute__((returns_nonnull, warn_unused_result));

/* A NUL-terminated copy; the caller frees it. */
char *memory_copy_string(const char *string)
    __attribute__((malloc, returns_nonnull, warn_unused_result));

/* Says so and aborts. */
void memory_exhausted(void) __attribute__((noreturn));

/* The struct of type `type` whose member `member` is at `pointer`. */
#define CONTAINER_OF(pointer, type, member) \
    ((type *)(void *)((char *)(pointer) - offsetof(type, member)))

#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))

#endif
