/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What people read: aligned tables, times and sizes in plain words.  Text that came from
 * the network is made harmless for terminals here.
 */
#ifndef MAILSTEAD_ADMIN_OUTPUT_H
#define MAILSTEAD_ADMIN_OUTPUT_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/service/any_text.h"

enum { OUTPUT_TEXT_SIZE = 64, TABLE_COLUMNS_MAX = 8 };

/* Rows of cells that are printed in aligned columns. */
struct table {
    size_t columns;
    unsigned right; /* set of columns, 1 << n, that are aligned right */
    char **cells;   /* owned; column by column, row by row */
    size_t cell_count, cell_capacity;
};

/* An empty table; `columns` is at most TABLE_COLUMNS_MAX. */
void table_init(struct table *table, size_t columns, unsigned right);
void table_fini(struct table *table);

/* Adds the next cell, row by row; NULL is shown as "-".  The text is copied, made harmless. */
void table_add(struct table *table, const char *text);
void table_add_format(struct table *table, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes the rows, each behind `indent` spaces; columns are two spaces apart. */
void table_print(const struct table *table, FILE *stream, int indent);

/* "0.4 s", "3 s", "119 s", "5 min", "3 h 20 min", "2 d 4 h"; `ms` below 0 counts as 0. */
const char *format_duration(int64_t ms, char text[OUTPUT_TEXT_SIZE]);

/* "812 B", "52 kB", "3.4 MB" */
const char *format_size(int64_t bytes, char text[OUTPUT_TEXT_SIZE]);

/* Milliseconds since 1970 as local time: "2024-05-01 17:03:12". */
const char *format_time(int64_t wall_ms, char text[OUTPUT_TEXT_SIZE]);

/* "1 account", "12 accounts" */
const char *format_count(int64_t count, const char *noun, char text[OUTPUT_TEXT_SIZE]);

/* Writes `text` with its control characters as "?". */
void print_harmless(FILE *stream, const char *text);

/* Writes `object` as one line of JSON, or indented over several. */
void print_json_line(const json_t *object);
void print_json(const json_t *object);

/*
 * Writes what needs attention, an array of texts, behind what was shown before; as the answer to
 * --check, alone, with "ok" when there is nothing.
 */
void print_problems(const json_t *problems, bool is_alone);

/* Members of an object: those of another type count as absent. */
const char *json_text(const json_t *object, const char *key);                 /* or NULL */
int64_t json_number(const json_t *object, const char *key, int64_t fallback); /* integer or real */
int json_flag(const json_t *object, const char *key); /* 1, 0, or -1: absent */

#endif
