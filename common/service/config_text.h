/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The text of a configuration file before it is parsed: read whole, its comments
 * blanked out.  libconfuse counts lines wrongly after a C comment and takes a
 * section that is never closed, so both are dealt with here.
 */
#ifndef MAILSTEAD_SERVICE_CONFIG_TEXT_H
#define MAILSTEAD_SERVICE_CONFIG_TEXT_H

#include <stdbool.h>
#include <stddef.h>

enum { CONFIG_FILE_MAX = 1048576 };

/*
 * Reads the regular file `path` of at most `limit` bytes: its content and a NUL, the
 * caller's to free, and its length.  NULL and `error` otherwise.
 */
char *config_text_read(const char *path, size_t limit, size_t *length, char *error,
                       size_t error_size);

struct config_text_fault {
    int line;
    const char *text;
};

/*
 * Blanks the comments of `text` (#, //, and C comments; line breaks stay).  False
 * and `*fault` when a string, a comment or a brace is never closed; the line is
 * where it was opened.
 */
bool config_text_strip(char *text, size_t length, struct config_text_fault *fault)
    __attribute__((warn_unused_result));

#endif
