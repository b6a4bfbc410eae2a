/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of its own for a test. */
#ifndef MAILSTEAD_TESTS_FOLDER_H
#define MAILSTEAD_TESTS_FOLDER_H

enum { FOLDER_SIZE = 64 };

/* Makes an empty folder under /tmp and gives its path. */
void folder_make(char path[FOLDER_SIZE]);

/* Removes it with all that is in it. */
void folder_remove(const char *path);

#endif
