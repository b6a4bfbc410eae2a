/* SPDX-License-Identifier: Apache-2.0 */
/* A mirror in a folder of its own, with its writer and a reader, and accounts to put into it. */
#ifndef MAILSTEAD_TESTS_MIRROR_SUPPORT_H
#define MAILSTEAD_TESTS_MIRROR_SUPPORT_H

#include "tests/unit/unit.h"

#include "directory/mirror.h"
#include "directory/mirror_writer.h"
#include "tests/unit/folder.h"

enum { FIXTURE_TOLD_SIZE = 4096 };

struct fixture {
    char directory[FOLDER_SIZE];
    struct mirror_writer *writer; /* NULL: closed */
    struct mirror *reader;        /* NULL: closed */
    char told[FIXTURE_TOLD_SIZE]; /* "account=host " of each change since a commit began, "many " */
};

/* cmocka's functions around a test whose state is a struct fixture. */
int fixture_set_up(void **state);
int fixture_tear_down(void **state);

#define mirror_test(name) cmocka_unit_test_setup_teardown(name, fixture_set_up, fixture_tear_down)

void fixture_open_writer(struct fixture *fixture, const char *source);
void fixture_close_writer(struct fixture *fixture);

/* The writer is closed last, so that the log is copied into the file. */
void fixture_close(struct fixture *fixture);

void fixture_make_uuid(unsigned char uuid[MIRROR_UUID_SIZE], unsigned number);

/* The account "userN@example.org" with the login name "userN". */
void fixture_put_account(struct fixture *fixture, unsigned number, const char *host,
                         const char *old_host);
void fixture_delete_account(struct fixture *fixture, unsigned number);
bool fixture_see_account(struct fixture *fixture, unsigned number);

/* Commits with the cookie, or with none when it is NULL; it must succeed. */
void fixture_commit(struct fixture *fixture, const char *cookie);

/* Removes all that the refresh has not seen. */
void fixture_sweep(struct fixture *fixture);

/* Accounts 1 to `count` on sv1, and the end of the first refresh. */
void fixture_fill(struct fixture *fixture, unsigned count);

/* Looks up as a router does. */
enum route_found fixture_find(struct fixture *fixture, enum route_key key, const char *value,
                              struct route_entry *entry);

/* The account is found by its address, and is on `host`. */
void fixture_assert_host(struct fixture *fixture, unsigned number, const char *host);

#endif
