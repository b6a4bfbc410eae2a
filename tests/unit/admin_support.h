/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For the tests of `mailstead`: whole command lines with their output caught, a configuration in
 * a folder of its own, and stand-ins for the daemon (control_ask.h) and the directory
 * (reassign_run).
 */
#ifndef MAILSTEAD_TESTS_ADMIN_SUPPORT_H
#define MAILSTEAD_TESTS_ADMIN_SUPPORT_H

#include <stdint.h>

#include "directory/provider_csn.h"
#include "directory/reassign/reassign.h"

/* What a command line gave; `out` and `err` are valid until the next admin_run. */
struct admin_result {
    int status;
    const char *out, *err;
};

/* Makes the folder and a good configuration for a frontend in it; -1 and errno on failure. */
int admin_setup(void **state);
int admin_teardown(void **state);

/* The ports of backend "sv1"; sv2 always has ports that nothing listens on. */
void admin_set_ports(uint16_t lmtp, uint16_t imap, uint16_t pop3);

/* Adds options, borrowed until the end of the test, to the sections of sv1 and sv2. */
void admin_set_backends(const char *sv1, const char *sv2);

/* Writes the configuration anew with `more` at its end. */
void admin_write_config(const char *more);

/* Adds a frontend to it: on this machine, with its control socket at NAME/control.sock, or not. */
void admin_add_frontend(const char *name, bool is_here);

/* The path of that configuration. */
const char *admin_config_file(void);

/* Runs "mailstead -c CONFIG WORDS...", the words being separated by single spaces. */
struct admin_result admin_run(const char *words);

/*
 * The daemon's answer to `command` ("COMMAND@NAME" of the one at NAME/control.sock beside the
 * configuration): lines of JSON (copied), or `error`.  Without one for a
 * command, the daemon cannot be reached.
 */
void admin_daemon_answers(const char *command, const char *lines, const char *error);

/* The last request for `command` as JSON text, or NULL. */
const char *admin_daemon_was_asked(const char *command);

/* What the next reassign_run gives, and what it was asked. */
extern struct reassign_result admin_reassign_result;
extern struct reassign_plan admin_reassign_plan; /* kind and is_dry_run are copies */
extern unsigned admin_reassign_runs;
/* The contextCSN of the server; NULL: it shows none. */
extern const char *admin_provider_csn;
/* Called inside reassign_run; may be NULL. */
extern void (*admin_reassign_during)(const struct reassign_plan *plan);

#endif
