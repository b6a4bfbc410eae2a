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
int options_read(int argc, char **argv, unsigned allowed, bool stop_at_word,
                 struct arguments *arguments, char error[OPTIONS_ERROR_SIZE]);

/* Writes the options of the set `options`, one line each. */
void options_print(FILE *stream, unsigned options);

/* Writes them as they stand in a usage line: "[--from BACKEND] [--yes]". */
void options_print_usage(FILE *stream, unsigned options);

#endif
