/* SPDX-License-Identifier: Apache-2.0 */
/* Files that are made together: composed in memory, then printed or put into a folder. */
#ifndef MAILSTEAD_ADMIN_DOVECOT_FILES_H
#define MAILSTEAD_ADMIN_DOVECOT_FILES_H

#include "admin/command.h"
#include "common/base/bytes.h"

enum { DOVECOT_FILES_MAX = 8, DOVECOT_ERROR_SIZE = 512 };

struct dovecot_file {
    const char *name;
    bool is_secret;    /* mode 0600, and not shown on a terminal without being asked for */
    bool is_overfull;  /* a text did not fit: it must not be used */
    struct bytes text; /* wiped at the end: it may have a password */
};

struct dovecot_files {
    struct dovecot_file files[DOVECOT_FILES_MAX];
    size_t count;
};

void dovecot_files_init(struct dovecot_files *files);
void dovecot_files_fini(struct dovecot_files *files);

/* One more, empty; `name` is borrowed. */
struct dovecot_file *dovecot_files_add(struct dovecot_files *files, const char *name,
                                       bool is_secret);

/* Appends formatted text. */
void dovecot_file_put(struct dovecot_file *file, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Appends `text` in double quotes, escaped as Dovecot reads it. */
void dovecot_file_put_quoted(struct dovecot_file *file, const char *text);

/* Writes all, each behind a line with its name, to `stream`. */
void dovecot_files_print(const struct dovecot_files *files, FILE *stream);

/*
 * Makes them in `folder`, each whole or not at all: under another name, synced, renamed.  Secret
 * ones are for their owner alone from the beginning.  False and `error`.
 */
bool dovecot_files_write(const struct dovecot_files *files, const char *folder,
                         char error[DOVECOT_ERROR_SIZE]) __attribute__((warn_unused_result));

#endif
