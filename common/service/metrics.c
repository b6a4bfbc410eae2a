/* SPDX-License-Identifier: Apache-2.0 */
/* The text format: OpenMetrics 1.0.  It judges samples, which come from several processes. */
#include "common/service/metrics.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/map.h"

enum { LABELS_MAX = 4096, VALUE_SIZE = 40 };

/* --- a sample ------------------------------------------------------------------------------- */

static json_t *label_value(const char *value)
{
    json_t *text = json_string(value);
    char *shown;

    if (text)
        return text;
    shown = memory_copy_string(value);
    for (char *byte = shown; *byte; byte++)
        if ((unsigned char)*byte >= 0x80)
            *byte = '?';
    text = json_string(shown);
    free(shown);
    return text;
}

json_t *metrics_sample(const char *name, double value, const char *const *labels)
{
    json_t *object = json_object();

    for (; labels[0]; labels += 2)
        json_object_set_new(object, labels[0], label_value(labels[1]));
    return json_pack("{s:s, s:f, s:o}", "metric", name, "value", value, "labels", object);
}

/* --- one line --------------------------------------------------------------------------------- */

/* A sample as it will stand in the text. */
struct line {
    struct map_node node; /* by its name and labels */
    struct line *next;    /* of its family */
    char value[VALUE_SIZE];
    size_t head_length;
    char head[]; /* name{label="value"} */
};

static void escape(struct buffer *out, const char *value)
{
    for (; *value; value++) {
        if (*value == '\n')
            buffer_append_string(out, "\\n");
        else if (*value == '"' || *value == '\\')
            buffer_append_format(out, "\\%c", *value);
        else
            buffer_append_byte(out, *value);
    }
}

static bool label_is_good(const char *name)
{
    if (!(*name >= 'a' && *name <= 'z'))
        return false;
    for (; *name; name++)
        if (!(*name >= 'a' && *name <= 'z') && !(*name >= '0' && *name <= '9') && *name != '_')
            return false;
    return true;
}

static const char *suffix_of(enum metric_type type)
{
    static const char *const suffixes[] = {
        [METRIC_GAUGE] = "", [METRIC_COUNTER] = "_total", [METRIC_INFO] = "_info"
    };

    return suffixes[type];
}

/* name{label="value",...}; false when a label is none, or it is too long. */
static bool format_head(struct buffer *out, const struct metric_family *family, json_t *labels)
{
    const char *name, *separator = "{";
    json_t *value;

    buffer_append_format(out, "%s%s", family->name, suffix_of(family->type));
    json_object_foreach(labels, name, value)
    {
        if (!label_is_good(name) || !json_is_string(value))
            return false;
        buffer_append_format(out, "%s%s=\"", separator, name);
        escape(out, json_string_value(value));
        buffer_append_byte(out, '"');
        separator = ",";
    }
    if (*separator == ',')
        buffer_append_byte(out, '}');
    return !out->overflowed;
}

/* Whole numbers as such: a count of 16777217 is not 1.67772e+07. */
static void format_value(char text[VALUE_SIZE], double value)
{
    if (fabs(value) < 1e15 && value == (double)(int64_t)value)
        snprintf(text, VALUE_SIZE, "%.0f", value);
    else
        snprintf(text, VALUE_SIZE, "%.9g", value);
}

static struct line *line_new(const struct metric_family *family, const json_t *sample)
{
    const json_t *value = json_object_get(sample, "value");
    char memory[LABELS_MAX];
    struct buffer head = buffer_over(memory, sizeof(memory));
    struct line *line;

    if (!json_is_number(value) || !isfinite(json_number_value(value)) ||
        (family->type != METRIC_GAUGE && json_number_value(value) < 0) ||
        !format_head(&head, family, json_object_get(sample, "labels")))
        return NULL;
    line = memory_new(sizeof(*line) + head.length);
    memcpy(line->head, memory, head.length);
    line->head_length = head.length;
    format_value(line->value, json_number_value(value));
    return line;
}

/* --- all of them ------------------------------------------------------------------------------ */

struct page {
    struct line **first, **last; /* by family */
    struct map lines;
};

static size_t family_count(void)
{
    size_t count = 0;

    while (metric_families[count].name)
        count++;
    return count;
}

static size_t find_family(const char *name)
{
    size_t i = 0;

    while (metric_families[i].name && strcmp(metric_families[i].name, name) != 0)
        i++;
    return i;
}

static void page_add(struct page *page, const json_t *sample)
{
    const char *name = json_string_value(json_object_get(sample, "metric"));
    size_t family = find_family(name ? name : "");
    struct line *line;

    if (!metric_families[family].name)
        return;
    line = line_new(&metric_families[family], sample);
    if (!line)
        return;
    if (map_find(&page->lines, span_of(line->head, line->head_length))) {
        free(line);
        return;
    }
    map_insert(&page->lines, &line->node, span_of(line->head, line->head_length));
    if (page->last[family])
        page->last[family]->next = line;
    else
        page->first[family] = line;
    page->last[family] = line;
}

static bool write_family(const struct metric_family *family, const struct line *line,
                         struct bytes *text)
{
    static const char *const types[] = {
        [METRIC_GAUGE] = "gauge", [METRIC_COUNTER] = "counter", [METRIC_INFO] = "info"
    };
    bool has_room = bytes_append_format(text, "# TYPE %s %s\n", family->name, types[family->type]);

    if (family->unit)
        has_room =
            has_room && bytes_append_format(text, "# UNIT %s %s\n", family->name, family->unit);
    has_room = has_room && bytes_append_format(text, "# HELP %s %s\n", family->name, family->help);
    for (; line; line = line->next)
        has_room = has_room && bytes_append(text, span_of(line->head, line->head_length)) &&
                   bytes_append_format(text, " %s\n", line->value);
    return has_room;
}

static void free_line(struct map_node *node, void *context)
{
    (void)context;
    free(CONTAINER_OF(node, struct line, node));
}

bool metrics_write(const json_t *samples, struct bytes *text)
{
    size_t families = family_count(), index;
    struct page page = { .first = memory_new(families * sizeof(*page.first)),
                         .last = memory_new(families * sizeof(*page.last)) };
    bool has_room = true;
    json_t *sample;

    map_init(&page.lines);
    json_array_foreach (samples, index, sample)
        page_add(&page, sample);
    for (size_t i = 0; i < families; i++)
        if (page.first[i])
            has_room = has_room && write_family(&metric_families[i], page.first[i], text);
    map_each(&page.lines, free_line, NULL);
    map_fini(&page.lines);
    free(page.first);
    free(page.last);
    return has_room && bytes_append(text, SPAN_LITERAL("# EOF\n"));
}
