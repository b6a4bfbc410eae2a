/* SPDX-License-Identifier: Apache-2.0 */
/* Asking a daemon's control socket, and waiting for the answer. */
#ifndef MAILSTEAD_TESTS_CONTROL_SUPPORT_H
#define MAILSTEAD_TESTS_CONTROL_SUPPORT_H

#include <jansson.h>
#include <stdbool.h>

/*
 * Asks the daemon whose socket is `path`, up to `timeout_ms` between lines; `request` stays the
 * caller's.  `line` gets each line, borrowed.  False and `error` when it cannot be reached or
 * answered with an error.
 */
bool control_ask(const char *path, json_t *request, unsigned timeout_ms,
                 void (*line)(json_t *object, void *context), void *context, char *error,
                 size_t error_size);

#endif
