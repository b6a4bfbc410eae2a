/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzing of the login server machines. */
#ifndef MAILSTEAD_TESTS_FUZZ_LOGIN_SERVER_H
#define MAILSTEAD_TESTS_FUZZ_LOGIN_SERVER_H

#include "common/proto/login.h"

/*
 * `input` is a byte of options, two bytes of a position, and what the client sends.
 * Checks that the machine says the same whether it comes whole, cut at that position
 * or (when it is short) byte by byte; that it never waits for more than it may; and
 * that no credential is empty or holds a line break.
 */
void fuzz_login_server(const struct login_server_ops *ops, struct span input);

#endif
