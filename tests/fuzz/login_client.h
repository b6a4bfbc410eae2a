/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzing of the login client machines. */
#ifndef MAILSTEAD_TESTS_FUZZ_LOGIN_CLIENT_H
#define MAILSTEAD_TESTS_FUZZ_LOGIN_CLIENT_H

#include "common/proto/login.h"

/*
 * `input` is a byte of options, two bytes of a position, the name up to a NUL, the
 * password or token up to a NUL, and what the backend sends.  Checks that the machine says the
 * same whether that comes whole, cut at the position or (when it is short) byte by
 * byte; that nothing but `starttls` is said before TLS when it is asked for; and,
 * by `line_is_allowed`, that each line said is a command that may be, with exactly
 * the name and the secret as its arguments.
 */
typedef bool fuzz_line_check(struct span line, const char *name,
                             const struct credentials *credentials);
void fuzz_login_client(const struct login_client_ops *ops, const char *starttls,
                       fuzz_line_check *line_is_allowed, struct span input);

/* True when `name` is the mechanism that replays the credentials. */
bool fuzz_is_mechanism(struct span name, const struct credentials *credentials);

/* True when `line` is a response of that mechanism for them, for line_is_allowed. */
bool fuzz_is_response(struct span line, const char *name, const struct credentials *credentials);

#endif
