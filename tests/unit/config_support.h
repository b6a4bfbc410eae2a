/* SPDX-License-Identifier: Apache-2.0 */
/* Configurations from texts, in a folder of their own: what the tests of the configuration share.
 */
#ifndef MAILSTEAD_TESTS_CONFIG_SUPPORT_H
#define MAILSTEAD_TESTS_CONFIG_SUPPORT_H

#include "tests/unit/unit.h"

#include "common/service/config.h"

extern char config_folder[64];       /* the group's */
extern char config_complaints[8192]; /* of the last load: "LINE: TEXT\n" each */

/* cmocka's set-up and tear-down of a group: an empty folder; no folder. */
int config_folder_make(void **unused);
int config_folder_remove(void **unused);

/* The path of the file `name` of the folder. */
void config_path(const char *name, char path[128]);

/* Makes the file `name` anew; one that config_folder_remove does not know stays. */
void config_write_file(const char *name, const char *content, size_t length, mode_t mode);

/* A config_complaint that adds to config_complaints. */
void config_gather(void *context, const char *file, int line, const char *text);

/* Loads `text` as `program` does; the result is the caller's, NULL with config_complaints. */
struct config *config_load_text(const char *text, enum config_program program, bool read_secrets);

/* Asserts that `text` is refused with exactly these complaints; by a frontend, or by `program`. */
void assert_config_refused_as(const char *text, enum config_program program, const char *expected);
void assert_config_refused(const char *text, const char *expected);

#define CLUSTER                                                                                    \
    "cluster { hostname = \"mx1.example.org\" domains = { \"Example.org\", \"example.net\" } "     \
    "backend \"sv1\" { address = \"10.0.1.11\" } }\n"
#define DIRECTORY "directory { uri = { \"ldap://10.0.0.5\" } base = \"dc=example\" }\n"
#define LISTEN "listen \"imap\" { protocol = \"imap\" address = \"*:143\" tls = off }\n"
#define GOOD CLUSTER DIRECTORY LISTEN

#endif
