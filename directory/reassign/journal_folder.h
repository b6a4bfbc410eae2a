/* SPDX-License-Identifier: Apache-2.0 */
/* Where journals are kept: a folder that nobody else can write to. */
#ifndef MAILSTEAD_DIRECTORY_REASSIGN_JOURNAL_FOLDER_H
#define MAILSTEAD_DIRECTORY_REASSIGN_JOURNAL_FOLDER_H

#include "directory/reassign/reassign.h"

/*
 * Opens the folder, and makes it if only it is missing (0700); never through a symbolic link.  -1,
 * and one line for a person in `error`, when that is not possible or when it is not to be trusted.
 */
int journal_folder_open(const char *directory, char error[REASSIGN_ERROR_SIZE]);

/* What stands against `directory`, a text for a person; or NULL, also when it is not there yet. */
const char *journal_folder_trouble(const char *directory);

/* Writes the line that says `why` no journal can be kept there. */
void journal_folder_refuse(const char *directory, const char *why, char error[REASSIGN_ERROR_SIZE]);

#endif
