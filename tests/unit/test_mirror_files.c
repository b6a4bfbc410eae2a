/* SPDX-License-Identifier: Apache-2.0 */
/* The mirror's files: damaged ones and those of other schemas are replaced, readers find the new
 * one. */
#include "tests/unit/mirror_support.h"

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

static void remove_file(struct fixture *fixture, const char *suffix)
{
    char path[256];

    mirror_path(fixture->directory, path, sizeof(path));
    strcat(path, suffix);
    unlink(path);
}

/* Overwrites a part of the file, and drops the log that may hold it too. */
static void corrupt(struct fixture *fixture, off_t offset, size_t size)
{
    char path[256], junk[65536];
    int fd;

    remove_file(fixture, "-wal");
    remove_file(fixture, "-shm");
    mirror_path(fixture->directory, path, sizeof(path));
    memset(junk, 0x5a, sizeof(junk));
    fd = open(path, O_WRONLY);
    assert_true(fd >= 0);
    while (size > 0) {
        size_t part = size < sizeof(junk) ? size : sizeof(junk);

        assert_int_equal(pwrite(fd, junk, part, offset), part);
        offset += (off_t)part;
        size -= part;
    }
    close(fd);
}

static bool has_file(struct fixture *fixture, const char *suffix)
{
    char path[256];

    mirror_path(fixture->directory, path, sizeof(path));
    strcat(path, suffix);
    return access(path, F_OK) == 0;
}

static void a_file_that_is_no_database_is_set_aside_and_rebuilt(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    fixture_fill(fixture, 1);
    fixture_close(fixture);
    corrupt(fixture, 0, 4096);
    fixture_open_writer(fixture, "source");
    assert_true(has_file(fixture, ".damaged-1"));
    assert_false(mirror_writer_is_filled(fixture->writer));
    assert_span(mirror_writer_cookie(fixture->writer), "");
    fixture->reader = mirror_open(fixture->directory);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry),
                     ROUTE_FIND_FAILED);
    fixture_fill(fixture, 2);
    fixture_assert_host(fixture, 2, "sv1");
}

static void damage_found_while_writing_fails_the_commit_and_rebuilds(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    char path[256];

    fixture_fill(fixture, 2000);
    fixture_close(fixture);
    mirror_path(fixture->directory, path, sizeof(path));
    assert_int_equal(stat(path, &status), 0);
    assert_true(status.st_size > 65536);
    corrupt(fixture, 32768, (size_t)status.st_size - 32768);
    fixture_open_writer(fixture, "source");
    for (unsigned i = 1; i <= 2000; i++)
        fixture_put_account(fixture, i, "sv2", "");
    assert_false(mirror_writer_commit(fixture->writer, NULL));
    assert_true(has_file(fixture, ".damaged-1"));
    assert_span(mirror_writer_cookie(fixture->writer), "");
    assert_false(mirror_writer_is_filled(fixture->writer));
    fixture_fill(fixture, 2000);
    fixture->reader = mirror_open(fixture->directory);
    fixture_assert_host(fixture, 2000, "sv1");
}

static void an_open_reader_turns_to_the_file_that_replaced_its_own(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;
    enum route_found found;

    fixture_fill(fixture, 1);
    fixture_assert_host(fixture, 1, "sv1");
    fixture_close_writer(fixture);
    corrupt(fixture, 0, 4096);
    fixture_open_writer(fixture, "source");
    fixture_fill(fixture, 2);
    do /* it looks for a new file every 100 ms */
        found = fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000002", &entry);
    while (found != ROUTE_FIND_ONE);
    fixture_assert_host(fixture, 2, "sv1");
}

static void a_file_of_another_schema_is_set_aside(void **state)
{
    struct fixture *fixture = *state;
    char path[256];
    sqlite3 *database;

    fixture_close(fixture);
    mirror_path(fixture->directory, path, sizeof(path));
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    fixture_open_writer(fixture, "source");
    assert_true(has_file(fixture, ".damaged-1"));
    fixture_fill(fixture, 1);
}

static void a_file_without_its_tables_is_set_aside(void **state)
{
    struct fixture *fixture = *state;
    char path[256];
    sqlite3 *database;

    fixture_close(fixture);
    mirror_path(fixture->directory, path, sizeof(path));
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "DROP TABLE lookup", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    fixture_open_writer(fixture, "source");
    assert_true(has_file(fixture, ".damaged-1"));
}

static void a_reader_waits_for_a_file_that_is_not_there_yet(void **state)
{
    struct fixture *fixture = *state;
    struct mirror *reader = mirror_open("/nonexistent/folder");
    struct route_source source = mirror_source(reader);
    struct route_entry entry;

    (void)fixture;
    assert_int_equal(source.find(source.context, ROUTE_KEY_LOGIN, SPAN_LITERAL("a"), &entry),
                     ROUTE_FIND_FAILED);
    assert_int_equal(mirror_revision(reader), 0);
    mirror_close(reader);
}

static void a_view_ends_with_its_file(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    fixture_fill(fixture, 1);
    mirror_view(fixture->reader, 1);
    fixture_assert_host(fixture, 1, "sv1");
    fixture_close_writer(fixture);
    corrupt(fixture, 0, 4096);
    fixture_open_writer(fixture, "source");
    mirror_writer_begin_refresh(fixture->writer);
    fixture_put_account(fixture, 1, "sv2", "sv1"); /* the ids of hosts begin anew */
    fixture_sweep(fixture);
    mirror_writer_end_refresh(fixture->writer);
    fixture_commit(fixture, "cookie-1");
    while (fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry) != ROUTE_FIND_ONE ||
           strcmp(entry.host, "sv2") != 0)
        mirror_view(fixture->reader, 1); /* a replaced file is seen within a tenth of a second */
    assert_string_equal(entry.old_host, "sv1");
}

static void mirrors_of_older_schemas_are_removed(void **state)
{
    struct fixture *fixture = *state;
    char path[256];

    mirror_writer_close(fixture->writer);
    for (int version = 0; version < MIRROR_SCHEMA_VERSION; version++) {
        snprintf(path, sizeof(path), "%s/mirror-%d.db-wal", fixture->directory, version);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    fixture_open_writer(fixture, "source");
    for (int version = 0; version < MIRROR_SCHEMA_VERSION; version++) {
        snprintf(path, sizeof(path), "%s/mirror-%d.db-wal", fixture->directory, version);
        assert_int_not_equal(access(path, F_OK), 0);
    }
}

static void who_awaits_a_mirror_reads_it_at_once_when_it_is_there(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;
    char path[256], aside[256 + 8];

    fixture_fill(fixture, 1);
    fixture_close(fixture);
    mirror_path(fixture->directory, path, sizeof(path));
    snprintf(aside, sizeof(aside), "%s.aside", path);
    assert_int_equal(rename(path, aside), 0);
    fixture->reader = mirror_open(fixture->directory);
    mirror_await(fixture->reader, 20);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry),
                     ROUTE_FIND_FAILED);
    assert_int_equal(rename(aside, path), 0);
    fixture_open_writer(fixture, "source");
    mirror_await(fixture->reader, 5000);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry), ROUTE_FIND_ONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        mirror_test(a_file_that_is_no_database_is_set_aside_and_rebuilt),
        mirror_test(damage_found_while_writing_fails_the_commit_and_rebuilds),
        mirror_test(an_open_reader_turns_to_the_file_that_replaced_its_own),
        mirror_test(a_file_of_another_schema_is_set_aside),
        mirror_test(a_file_without_its_tables_is_set_aside),
        mirror_test(a_view_ends_with_its_file),
        mirror_test(who_awaits_a_mirror_reads_it_at_once_when_it_is_there),
        mirror_test(mirrors_of_older_schemas_are_removed),
        mirror_test(a_reader_waits_for_a_file_that_is_not_there_yet),
    };

    return cmocka_run_group_tests_name("mirror files", tests, NULL, NULL);
}
