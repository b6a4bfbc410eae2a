/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each line is one write(2), so that lines of several processes do not mix.
 * A line that is too long is cut and ends in "...".  A failed write is ignored:
 * there is nowhere to report it.
 */
#include "common/base/log.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buffer.h"

enum { LOG_LINE_MAX = 4096, LOG_VALUE_MAX = 1024 };

static enum log_level log_least = LOG_LEVEL_INFO;
static int log_descriptor = STDERR_FILENO;
static char log_process[64] = "mailstead";
static void (*log_observer)(enum log_level level, const char *event);

void log_set_level(enum log_level level)
{
    log_least = level;
}

bool log_is_enabled(enum log_level level)
{
    return level >= log_least;
}

void log_set_process(const char *process)
{
    snprintf(log_process, sizeof(log_process), "%s", process);
}

void log_set_observer(void (*observer)(enum log_level level, const char *event))
{
    log_observer = observer;
}

void log_set_descriptor(int fd)
{
    log_descriptor = fd;
}

static bool log_byte_is_plain(unsigned char byte)
{
    return byte > ' ' && byte < 0x7f && byte != '"' && byte != '\\' && byte != '=';
}

static bool log_value_is_plain(struct span value)
{
    for (size_t i = 0; i < value.length; i++)
        if (!log_byte_is_plain((unsigned char)value.data[i]))
            return false;
    return value.length > 0;
}

static void log_append_quoted(struct buffer *line, struct span value)
{
    buffer_append_byte(line, '"');
    for (size_t i = 0; i < value.length; i++) {
        unsigned char byte = (unsigned char)value.data[i];

        if (log_byte_is_plain(byte) || byte == ' ' || byte == '=')
            buffer_append_byte(line, (char)byte);
        else if (byte == '"' || byte == '\\')
            buffer_append_format(line, "\\%c", byte);
        else
            buffer_append_format(line, "\\x%02x", byte);
    }
    buffer_append_byte(line, '"');
}

static void log_append_field(struct buffer *line, const struct log_field *field)
{
    struct span value = span_take(field->text, LOG_VALUE_MAX);

    if (field->type == LOG_FIELD_SPAN && !field->text.data)
        return;
    buffer_append_byte(line, ' ');
    buffer_append_string(line, field->key);
    buffer_append_byte(line, '=');
    if (field->type == LOG_FIELD_INTEGER)
        buffer_append_integer(line, field->integer);
    else if (log_value_is_plain(value))
        buffer_append(line, value);
    else
        log_append_quoted(line, value);
}

/* The second of `now` as text, up to the dot before its fraction; made once a second. */
static struct span log_second(const struct timespec *now)
{
    static _Thread_local char text[64];
    static _Thread_local size_t length;
    static _Thread_local time_t second;
    struct buffer buffer = buffer_over(text, sizeof(text));
    struct tm date;

    if (length > 0 && now->tv_sec == second)
        return span_of(text, length);
    gmtime_r(&now->tv_sec, &date);
    buffer_append_format(&buffer, "%04d-%02d-%02dT%02d:%02d:%02d.", date.tm_year + 1900,
                         date.tm_mon + 1, date.tm_mday, date.tm_hour, date.tm_min, date.tm_sec);
    second = now->tv_sec;
    length = buffer.length;
    return span_of(text, length);
}

static void log_append_head(struct buffer *line, enum log_level level)
{
    static const char *const names[] = { "debug", "info", "warning", "error" };
    struct timespec now;
    int milliseconds;

    clock_gettime(CLOCK_REALTIME, &now);
    milliseconds = (int)(now.tv_nsec / 1000000);
    buffer_append(line, log_second(&now));
    buffer_append_byte(line, (char)('0' + milliseconds / 100));
    buffer_append_byte(line, (char)('0' + milliseconds / 10 % 10));
    buffer_append_byte(line, (char)('0' + milliseconds % 10));
    buffer_append_string(line, "Z ");
    buffer_append_string(line, log_process);
    buffer_append_byte(line, ' ');
    buffer_append_string(line, names[level]);
}

static void log_write(struct buffer *line)
{
    ssize_t written;

    if (line->overflowed) {
        line->overflowed = false;
        buffer_append_string(line, "...");
    }
    line->data[line->length++] = '\n';
    written = write(log_descriptor, line->data, line->length);
    (void)written;
}

void log_event(enum log_level level, const char *id, const struct log_field *fields)
{
    char memory[LOG_LINE_MAX + 8];
    struct buffer line = buffer_over(memory, LOG_LINE_MAX);

    /* LOG_EVENT's first field: the name, a literal. */
    if (log_observer)
        log_observer(level, fields->text.data);
    log_append_head(&line, level);
    if (id && *id) {
        buffer_append_string(&line, " id=");
        buffer_append_string(&line, id);
    }
    for (; fields->type != LOG_FIELD_END; fields++)
        log_append_field(&line, fields);
    line.capacity += 4; /* room for the mark of a cut line */
    log_write(&line);
}
