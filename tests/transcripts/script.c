/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transcripts/script.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"

enum { SCRIPT_ITEM_MAX = 1 << 20 };

/* Where reading stands. */
struct script_reader {
    struct script *script;
    const char *path;
    unsigned line;
    bool input_is_server;
};

static bool reader_fail(const struct script_reader *reader, const char *reason)
{
    fprintf(stderr, "%s:%u: %s\n", reader->path, reader->line, reason);
    return false;
}

static int hex_value(char digit)
{
    const char digits[] = "0123456789abcdef";
    const char *at = digit ? strchr(digits, digit) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* Takes one escape, whose backslash is gone, off `*text`. */
static bool take_escape(struct span *text, char *byte)
{
    static const char letters[] = "rnt0\\", bytes[] = "\r\n\t\0\\";
    const char *at;

    if (text->length >= 3 && text->data[0] == 'x') {
        int high = hex_value(text->data[1]), low = hex_value(text->data[2]);

        *byte = (char)(high * 16 + low);
        *text = span_drop(*text, 3);
        return high >= 0 && low >= 0;
    }
    at = text->length > 0 ? strchr(letters, text->data[0]) : NULL;
    if (!at)
        return false;
    *byte = bytes[at - letters];
    *text = span_drop(*text, 1);
    return true;
}

bool script_unescape(struct bytes *target, struct span text)
{
    while (text.length > 0) {
        char byte = text.data[0];

        text = span_drop(text, 1);
        if ((byte == '\\' && !take_escape(&text, &byte)) ||
            !bytes_append(target, span_of(&byte, 1)))
            return false;
    }
    return true;
}

static struct script_item *add_item(struct script_reader *reader, enum script_kind kind)
{
    struct script *script = reader->script;

    script->items = memory_resize(script->items, (script->count + 1) * sizeof(*script->items));
    script->items[script->count] =
        (struct script_item){ kind, reader->line, bytes_empty(SCRIPT_ITEM_MAX) };
    return &script->items[script->count++];
}

static bool kind_of(const struct script_reader *reader, char letter, enum script_kind *kind)
{
    switch (letter) {
    case 'C':
    case 'c':
        *kind = reader->input_is_server ? SCRIPT_OUTPUT : SCRIPT_INPUT;
        return true;
    case 'S':
    case 's':
        *kind = reader->input_is_server ? SCRIPT_INPUT : SCRIPT_OUTPUT;
        return true;
    case 'D':
    case 'd':
        *kind = SCRIPT_CONTENT;
        return true;
    case 'L':
    case 'l':
        *kind = SCRIPT_LEFT;
        return true;
    case 'E':
        *kind = SCRIPT_EVENT;
        return true;
    case 'A':
        *kind = SCRIPT_ANSWER;
        return true;
    default:
        return false;
    }
}

static bool read_item(struct script_reader *reader, char letter, uint64_t times, struct span text)
{
    bool ends_line = strchr("CSDL", letter) != NULL;
    enum script_kind kind;
    struct script_item *item;

    if (!kind_of(reader, letter, &kind))
        return reader_fail(reader, "unknown letter");
    item = add_item(reader, kind);
    for (uint64_t i = 0; i < times; i++)
        if (!script_unescape(&item->bytes, text) ||
            (ends_line && !bytes_append(&item->bytes, SPAN_LITERAL("\r\n"))))
            return reader_fail(reader, "bad escape, or too much text");
    return true;
}

static bool read_line(struct script_reader *reader, struct span text)
{
    struct span rest = text;
    struct span head = span_split(&rest, ':');
    uint64_t times = 1;

    if (text.length == 0 || text.data[0] == '#')
        return true;
    if (rest.length > 0 && rest.data[0] == ' ')
        rest = span_drop(rest, 1);
    if (head.length > 2 && head.data[1] == '*') {
        if (!span_parse_u64(span_drop(head, 2), &times))
            return reader_fail(reader, "not a count");
    } else if (head.length != 1 || head.length == text.length) {
        return reader_fail(reader, "not LETTER: text");
    }
    if (head.data[0] == 'O')
        return span_copy_string(rest, reader->script->options, sizeof(reader->script->options));
    return read_item(reader, head.data[0], times, rest);
}

bool script_read(struct script *script, const char *path, bool input_is_server)
{
    struct script_reader reader = { script, path, 0, input_is_server };
    char text[8192];
    bool good = true;
    FILE *file = fopen(path, "re");

    *script = (struct script){ .items = NULL };
    if (!file) {
        perror(path);
        return false;
    }
    while (good && fgets(text, sizeof(text), file)) {
        text[strcspn(text, "\n")] = '\0';
        reader.line++;
        good = read_line(&reader, span_from_string(text));
    }
    fclose(file);
    return good;
}

void script_fini(struct script *script)
{
    for (size_t i = 0; i < script->count; i++)
        bytes_release(&script->items[i].bytes);
    free(script->items);
}
