/* SPDX-License-Identifier: Apache-2.0 */
/* The options of `mailstead`, one row each, and reading them off a command line. */
#ifndef MAILSTEAD_ADMIN_OPTIONS_H
#define MAILSTEAD_ADMIN_OPTIONS_H

#include "admin/command.h"

enum { OPTIONS_ERROR_SIZE = 256 };

/*
 * Reads the options of `allowed` (a set of enum command_option) from argv[1] on into
 * `arguments`.  With `stop_at_word` the first word that is no option ends it; otherwise options
 * and words may be mixed, and the words are moved behind the options.  The index of the first
 * word, or -1 and `error`.  Not reentrant.
 */
int options_read(int argc, char **argv, uint64_t allowed, bool stop_at_word,
                 struct arguments *arguments, char error[OPTIONS_ERROR_SIZE]);

/* Writes the options of the set `options`, one line each. */
void options_print(FILE *stream, uint64_t options);

/*
 * Writes them as they stand in a usage line, "--from BACKEND [--yes]": those of the set `required`
 * without brackets.  `column` characters stand on the line already; it goes on in the next one
 * when it is full.
 */
void options_print_usage(FILE *stream, size_t column, uint64_t options, uint64_t required);

/* Whether all options of the set `required`, which take texts, were given; else `error`. */
bool options_are_there(const struct arguments *arguments, uint64_t required,
                       char error[OPTIONS_ERROR_SIZE]);

#endif
