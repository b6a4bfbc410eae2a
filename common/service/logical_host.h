/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which logical host a process is of.  A machine can carry several: each has a name, and by
 * that name a configuration, run, state and spool directories of its own.  A machine with one has
 * no name for it.  Chosen once, at the start, before the configuration is read.
 */
#ifndef MAILSTEAD_SERVICE_LOGICAL_HOST_H
#define MAILSTEAD_SERVICE_LOGICAL_HOST_H

#include <stdbool.h>
#include <stddef.h>

/* A socket's path has the name in it, and so has the beginning of each line of the log. */
enum { LOGICAL_HOST_NAME_MAX = 32, LOGICAL_HOST_ERROR_SIZE = 256 };

/*
 * Takes `option`, the value of --logical-host (NULL: not given), or else
 * MAILSTEAD_LOGICAL_HOST of the environment; empty counts as unset in both.  False and `error`
 * when that is no name, and nothing has changed.
 */
bool logical_host_choose(const char *option, char error[LOGICAL_HOST_ERROR_SIZE])
    __attribute__((warn_unused_result));

/* Whether `text` can be one: 1 to 32 letters, digits, hyphens and underscores, no such first. */
bool logical_host_is_name(const char *text);

/* NULL: this machine has one, without a name. */
const char *logical_host_name(void);

/* The configuration that is read when none is named; borrowed. */
const char *logical_host_config_file(void);

/*
 * The default of a directory: `path`, or the folder of the logical host's name in it.  False when
 * it is longer than `size` allows.
 */
bool logical_host_directory(const char *path, char *text, size_t size)
    __attribute__((warn_unused_result));

/* "mailstead-backend", or "mailstead-backend@sv1". */
void logical_host_title(const char *program, char *text, size_t size);

#endif
