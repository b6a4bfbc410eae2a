/* SPDX-License-Identifier: Apache-2.0 */
#include "common/service/config_text.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/memory.h"

enum { BRACES_MAX = 16 };

struct scanner {
    char *text;
    size_t length;
    size_t at;
    int line;
    int braces[BRACES_MAX]; /* the lines of those that are open */
    size_t depth;
};

static bool read_all(int fd, char *target, size_t size, size_t *length)
{
    ssize_t count;

    *length = 0;
    while (*length < size) {
        count = read(fd, target + *length, size - *length);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count == 0;
        *length += (size_t)count;
    }
    return true;
}

static char *read_open_file(int fd, size_t limit, size_t *length, char *error, size_t error_size)
{
    struct stat status;
    char *content;

    if (fstat(fd, &status) == 0 && !S_ISREG(status.st_mode)) {
        snprintf(error, error_size, "is no regular file");
        return NULL;
    }
    content = memory_new(limit + 1);
    if (!read_all(fd, content, limit + 1, length)) {
        snprintf(error, error_size, "cannot be read: %s", strerror(errno));
    } else if (*length > limit) {
        snprintf(error, error_size, "is larger than %zu bytes", limit);
    } else {
        content[*length] = '\0';
        return content;
    }
    explicit_bzero(content, limit + 1);
    free(content);
    return NULL;
}

char *config_text_read(const char *path, size_t limit, size_t *length, char *error,
                       size_t error_size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char *content;

    if (fd < 0) {
        snprintf(error, error_size, "cannot be opened: %s", strerror(errno));
        return NULL;
    }
    content = read_open_file(fd, limit, length, error, error_size);
    close(fd);
    return content;
}

static bool scanner_is_at(const struct scanner *scanner, const char *token)
{
    return scanner->length - scanner->at >= strlen(token) &&
           memcmp(scanner->text + scanner->at, token, strlen(token)) == 0;
}

/* One byte onward; `is_blanked`: it becomes a space unless it is a line break. */
static void scanner_step(struct scanner *scanner, bool is_blanked)
{
    char *byte = &scanner->text[scanner->at++];

    if (*byte == '\n')
        scanner->line++;
    else if (is_blanked)
        *byte = ' ';
}

static void skip_line_comment(struct scanner *scanner)
{
    while (scanner->at < scanner->length && scanner->text[scanner->at] != '\n')
        scanner_step(scanner, true);
}

static const char *skip_block_comment(struct scanner *scanner)
{
    scanner_step(scanner, true);
    scanner_step(scanner, true);
    while (!scanner_is_at(scanner, "*/")) {
        if (scanner->at == scanner->length)
            return "this comment is never closed; expected */";
        scanner_step(scanner, true);
    }
    scanner_step(scanner, true);
    scanner_step(scanner, true);
    return NULL;
}

static const char *skip_string(struct scanner *scanner)
{
    char quote = scanner->text[scanner->at];

    scanner_step(scanner, false);
    while (scanner->at < scanner->length && scanner->text[scanner->at] != quote) {
        if (scanner->text[scanner->at] == '\\' && scanner->at + 1 < scanner->length)
            scanner_step(scanner, false);
        scanner_step(scanner, false);
    }
    if (scanner->at == scanner->length)
        return "this string is never closed; expected a second quotation mark";
    scanner_step(scanner, false);
    return NULL;
}

static const char *skip_brace(struct scanner *scanner)
{
    if (scanner->text[scanner->at] == '{') {
        if (scanner->depth == BRACES_MAX)
            return "braces are nested too deeply";
        scanner->braces[scanner->depth++] = scanner->line;
    } else if (scanner->depth > 0) {
        scanner->depth--; /* one too many is the parser's to report */
    }
    scanner_step(scanner, false);
    return NULL;
}

/* Takes one token; NULL, or what is wrong with it. */
static const char *scan_token(struct scanner *scanner)
{
    switch (scanner->text[scanner->at]) {
    case '#':
        skip_line_comment(scanner);
        return NULL;
    case '"':
    case '\'':
        return skip_string(scanner);
    case '{':
    case '}':
        return skip_brace(scanner);
    case '\0':
        return "a NUL byte; expected text";
    default:
        break;
    }
    if (scanner_is_at(scanner, "/*"))
        return skip_block_comment(scanner);
    if (scanner_is_at(scanner, "//") &&
        (scanner->at == 0 || strchr(" \t\n{}", scanner->text[scanner->at - 1])))
        skip_line_comment(scanner);
    else
        scanner_step(scanner, false);
    return NULL;
}

bool config_text_strip(char *text, size_t length, struct config_text_fault *fault)
{
    struct scanner scanner = { .text = text, .length = length, .line = 1 };

    while (scanner.at < scanner.length) {
        int line = scanner.line;
        const char *wrong = scan_token(&scanner);

        if (wrong) {
            *fault = (struct config_text_fault){ line, wrong };
            return false;
        }
    }
    if (scanner.depth > 0) {
        *fault = (struct config_text_fault){ scanner.braces[scanner.depth - 1],
                                             "this brace is never closed; expected }" };
        return false;
    }
    return true;
}
