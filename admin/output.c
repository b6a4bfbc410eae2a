/* SPDX-License-Identifier: Apache-2.0 */
/* Columns are as wide as their widest cell, counted in characters of UTF-8. */
#include "admin/output.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/buffer.h"
#include "common/base/memory.h"

enum { CELL_MAX = 1024 };

void table_init(struct table *table, size_t columns, unsigned right)
{
    *table = (struct table){ .columns = columns, .right = right };
}

void table_fini(struct table *table)
{
    for (size_t i = 0; i < table->cell_count; i++)
        free(table->cells[i]);
    free(table->cells);
}

static void make_harmless(char *text)
{
    for (; *text; text++)
        if (iscntrl((unsigned char)*text))
            *text = '?';
}

void table_add(struct table *table, const char *text)
{
    if (table->cell_count == table->cell_capacity) {
        table->cell_capacity = table->cell_capacity ? 2 * table->cell_capacity : 64;
        table->cells = memory_resize(table->cells, table->cell_capacity * sizeof(*table->cells));
    }
    text = text && *text ? text : "-";
    table->cells[table->cell_count] = memory_copy_string(text);
    make_harmless(table->cells[table->cell_count++]);
}

void table_add_format(struct table *table, const char *format, ...)
{
    char text[CELL_MAX];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    table_add(table, text);
}

/* Characters, not bytes: what continues a character in UTF-8 has no width. */
static size_t width_of(const char *text)
{
    size_t width = 0;

    for (; *text; text++)
        width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

static void measure(const struct table *table, size_t widths[TABLE_COLUMNS_MAX])
{
    memset(widths, 0, TABLE_COLUMNS_MAX * sizeof(*widths));
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t width = width_of(table->cells[i]);

        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
}

static void print_spaces(FILE *stream, size_t count)
{
    fprintf(stream, "%*s", (int)count, "");
}

void table_print(const struct table *table, FILE *stream, int indent)
{
    size_t widths[TABLE_COLUMNS_MAX];

    measure(table, widths);
    for (size_t i = 0; i < table->cell_count; i++) {
        size_t column = i % table->columns;
        size_t padding = widths[column] - width_of(table->cells[i]);
        bool is_right = table->right & 1U << column, is_last = column + 1 == table->columns;

        print_spaces(stream, column == 0 ? (size_t)indent : 2);
        if (is_right)
            print_spaces(stream, padding);
        fputs(table->cells[i], stream);
        if (is_last)
            fputc('\n', stream);
        else if (!is_right)
            print_spaces(stream, padding);
    }
}

const char *format_duration(int64_t ms, char text[OUTPUT_TEXT_SIZE])
{
    int64_t seconds = ms < 0 ? 0 : ms / 1000;

    if (seconds < 10 && ms > 0 && ms % 1000 != 0)
        snprintf(text, OUTPUT_TEXT_SIZE, "%.1f s", (double)ms / 1000);
    else if (seconds < 120)
        snprintf(text, OUTPUT_TEXT_SIZE, "%d s", (int)seconds);
    else if (seconds < 7200)
        snprintf(text, OUTPUT_TEXT_SIZE, "%d min", (int)(seconds / 60));
    else if (seconds < 2 * 86400)
        snprintf(text, OUTPUT_TEXT_SIZE, "%d h %d min", (int)(seconds / 3600),
                 (int)(seconds / 60 % 60));
    else
        snprintf(text, OUTPUT_TEXT_SIZE, "%lld d %d h", (long long)seconds / 86400,
                 (int)(seconds / 3600 % 24));
    return text;
}

const char *format_size(int64_t bytes, char text[OUTPUT_TEXT_SIZE])
{
    if (bytes < 1000)
        snprintf(text, OUTPUT_TEXT_SIZE, "%d B", (int)bytes);
    else if (bytes < 1000000)
        snprintf(text, OUTPUT_TEXT_SIZE, "%d kB", (int)((bytes + 500) / 1000));
    else
        snprintf(text, OUTPUT_TEXT_SIZE, "%.1f MB", (double)bytes / 1e6);
    return text;
}

const char *format_time(int64_t wall_ms, char text[OUTPUT_TEXT_SIZE])
{
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm local;

    if (!localtime_r(&seconds, &local) ||
        strftime(text, OUTPUT_TEXT_SIZE, "%Y-%m-%d %H:%M:%S", &local) == 0)
        snprintf(text, OUTPUT_TEXT_SIZE, "?");
    return text;
}

const char *format_count(int64_t count, const char *noun, char text[OUTPUT_TEXT_SIZE])
{
    snprintf(text, OUTPUT_TEXT_SIZE, "%lld %s%s", (long long)count, noun, count == 1 ? "" : "s");
    return text;
}

void print_harmless(FILE *stream, const char *text)
{
    for (; *text; text++)
        fputc(iscntrl((unsigned char)*text) ? '?' : *text, stream);
}

static void print_json_with(const json_t *object, size_t flags)
{
    json_dumpf(object, stdout, flags | JSON_ENSURE_ASCII);
    fputc('\n', stdout);
}

void print_json_line(const json_t *object)
{
    print_json_with(object, JSON_COMPACT);
}

void print_json(const json_t *object)
{
    print_json_with(object, JSON_INDENT(2));
}

void print_problems(const json_t *problems, bool is_alone)
{
    json_t *problem;
    size_t i;

    if (is_alone && json_array_size(problems) == 0)
        printf("ok\n");
    else if (!is_alone && json_array_size(problems) > 0)
        printf("\nNeeds attention:\n");
    json_array_foreach (problems, i, problem) {
        fputs(is_alone ? "" : "  ", stdout);
        print_harmless(stdout, json_string_value(problem));
        fputc('\n', stdout);
    }
}

const char *json_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

int64_t json_number(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);

    return json_is_number(value) ? (int64_t)json_number_value(value) : fallback;
}

int json_flag(const json_t *object, const char *key)
{
    const json_t *value = json_object_get(object, key);

    return json_is_boolean(value) ? json_is_true(value) : -1;
}
