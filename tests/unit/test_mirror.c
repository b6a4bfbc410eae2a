/* SPDX-License-Identifier: Apache-2.0 */
/* The mirror: what is written is read, survives, and is replaced when it is damaged. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/log.h"
#include "directory/lookup_batch.h"
#include "directory/mirror.h"
#include "directory/mirror_writer.h"

enum { FIXTURE_TOLD_SIZE = 4096 };

struct fixture {
    char directory[64];
    struct mirror_writer *writer;
    struct mirror *reader;
    char told[FIXTURE_TOLD_SIZE]; /* "account=host " of each change, "many " */
};

static void note_changed(void *context, uint64_t revision, struct span account, struct span host)
{
    struct fixture *fixture = context;
    size_t length = strlen(fixture->told);

    assert_int_equal(revision, mirror_writer_revision(fixture->writer));
    snprintf(fixture->told + length, sizeof(fixture->told) - length, "%.*s=%.*s ",
             SPAN_PRINTF(account), SPAN_PRINTF(host));
}

static void note_changed_many(void *context, uint64_t revision)
{
    struct fixture *fixture = context;

    (void)revision;
    strcat(fixture->told, "many ");
}

static const struct mirror_writer_events events = { note_changed, note_changed_many };

static void close_writer(struct fixture *fixture)
{
    if (fixture->writer)
        mirror_writer_close(fixture->writer);
    fixture->writer = NULL;
}

/* The writer is the last one, so that the log is copied into the file. */
static void close_both(struct fixture *fixture)
{
    if (fixture->reader)
        mirror_close(fixture->reader);
    fixture->reader = NULL;
    close_writer(fixture);
}

static void open_writer(struct fixture *fixture, const char *source)
{
    fixture->writer = mirror_writer_open(fixture->directory, source, &events, fixture);
    assert_non_null(fixture->writer);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    int null = open("/dev/null", O_WRONLY);

    log_set_descriptor(null);
    strcpy(fixture->directory, "/tmp/mailstead-mirror-XXXXXX");
    assert_non_null(mkdtemp(fixture->directory));
    open_writer(fixture, "source");
    fixture->reader = mirror_open(fixture->directory);
    *state = fixture;
    return 0;
}

static void remove_directory(const char *path)
{
    DIR *directory = opendir(path);
    struct dirent *entry;

    while ((entry = readdir(directory)))
        unlinkat(dirfd(directory), entry->d_name, 0);
    closedir(directory);
    rmdir(path);
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    close_both(fixture);
    remove_directory(fixture->directory);
    free(fixture);
    return 0;
}

static void make_uuid(unsigned char uuid[MIRROR_UUID_SIZE], unsigned number)
{
    memset(uuid, 0, MIRROR_UUID_SIZE);
    memcpy(uuid, &number, sizeof(number));
}

/* The account "userN@example.org" with the login name "userN". */
static void put_account(struct fixture *fixture, unsigned number, const char *host,
                        const char *old_host)
{
    char address[64], login[32];
    unsigned char uuid[MIRROR_UUID_SIZE];
    struct mirror_key keys[2];
    struct mirror_account account = { .uuid = uuid,
                                      .keys = keys,
                                      .key_count = 2,
                                      .host = span_from_string(host),
                                      .old_host = span_from_string(old_host) };

    snprintf(login, sizeof(login), "user%07u", number);
    snprintf(address, sizeof(address), "%s@example.org", login);
    make_uuid(uuid, number);
    keys[0] =
        (struct mirror_key){ span_from_string(address), MIRROR_KIND_ADDRESS | MIRROR_KIND_LOGIN };
    keys[1] = (struct mirror_key){ span_from_string(login), MIRROR_KIND_LOGIN };
    mirror_writer_put(fixture->writer, &account);
}

static void delete_account(struct fixture *fixture, unsigned number)
{
    unsigned char uuid[MIRROR_UUID_SIZE];

    make_uuid(uuid, number);
    mirror_writer_delete(fixture->writer, uuid);
}

static bool see_account(struct fixture *fixture, unsigned number)
{
    unsigned char uuid[MIRROR_UUID_SIZE];

    make_uuid(uuid, number);
    return mirror_writer_see(fixture->writer, uuid);
}

static void commit(struct fixture *fixture, const char *cookie)
{
    struct span span = span_from_string(cookie);

    fixture->told[0] = '\0';
    assert_true(mirror_writer_commit(fixture->writer, cookie ? &span : NULL));
}

static void sweep(struct fixture *fixture)
{
    int64_t after = 0;

    do
        after = mirror_writer_sweep(fixture->writer, after, 10, mirror_writer_seen(fixture->writer),
                                    NULL, NULL);
    while (after > 0);
}

/* Accounts 1 to `count` on sv1, and the end of the first refresh. */
static void fill(struct fixture *fixture, unsigned count)
{
    mirror_writer_begin_refresh(fixture->writer);
    for (unsigned i = 1; i <= count; i++)
        put_account(fixture, i, "sv1", "");
    sweep(fixture);
    mirror_writer_end_refresh(fixture->writer);
    commit(fixture, "cookie-1");
}

static enum route_found find(struct fixture *fixture, enum route_key key, const char *value,
                             struct route_entry *entry)
{
    struct route_source source = mirror_source(fixture->reader);

    return source.find(source.context, key, span_from_string(value), entry);
}

static void assert_host(struct fixture *fixture, unsigned number, const char *host)
{
    struct route_entry entry;
    char address[64];

    snprintf(address, sizeof(address), "user%07u@example.org", number);
    assert_int_equal(find(fixture, ROUTE_KEY_ADDRESS, address, &entry), ROUTE_FIND_ONE);
    assert_string_equal(entry.account, address);
    assert_string_equal(entry.host, host);
}

static void a_mirror_that_was_never_filled_fails_and_says_no_no(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    put_account(fixture, 1, "sv1", "");
    commit(fixture, NULL);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry), ROUTE_FIND_FAILED);
    assert_false(mirror_writer_is_filled(fixture->writer));
    mirror_writer_end_refresh(fixture->writer);
    commit(fixture, "cookie");
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry), ROUTE_FIND_ONE);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000002", &entry), ROUTE_FIND_NONE);
}

static void an_account_is_found_by_each_of_its_keys_and_only_as_their_kind(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    fill(fixture, 1);
    put_account(fixture, 1, "sv2", "sv1");
    commit(fixture, NULL);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry), ROUTE_FIND_ONE);
    assert_string_equal(entry.account, "user0000001@example.org");
    assert_string_equal(entry.host, "sv2");
    assert_string_equal(entry.old_host, "sv1");
    assert_false(entry.has_several_hosts || entry.is_relayed);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000001@example.org", &entry),
                     ROUTE_FIND_ONE);
    assert_int_equal(find(fixture, ROUTE_KEY_ADDRESS, "user0000001", &entry), ROUTE_FIND_NONE);
}

static void an_address_on_two_entries_is_found_several_times(void **state)
{
    struct fixture *fixture = *state;
    struct mirror_key key = { SPAN_LITERAL("user0000001@example.org"), MIRROR_KIND_ADDRESS };
    unsigned char uuid[MIRROR_UUID_SIZE];
    struct mirror_account account = { .uuid = uuid, .keys = &key, .key_count = 1 };
    struct route_entry entry;

    fill(fixture, 1);
    make_uuid(uuid, 7);
    mirror_writer_put(fixture->writer, &account);
    commit(fixture, NULL);
    assert_int_equal(find(fixture, ROUTE_KEY_ADDRESS, "user0000001@example.org", &entry),
                     ROUTE_FIND_SEVERAL);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry), ROUTE_FIND_ONE);
}

static void names_flags_and_absent_hosts_survive_packing(void **state)
{
    struct fixture *fixture = *state;
    char longest[ROUTE_ADDRESS_SIZE], longer[ROUTE_ADDRESS_SIZE];
    unsigned char uuid[MIRROR_UUID_SIZE];
    struct mirror_key keys[] = { { SPAN_LITERAL("Store Name"), 0 },
                                 { SPAN_LITERAL("Store@example.org"), MIRROR_KIND_ADDRESS },
                                 { SPAN_EMPTY, MIRROR_KIND_ADDRESS },
                                 { SPAN_EMPTY, MIRROR_KIND_ADDRESS } };
    struct mirror_account account = {
        .uuid = uuid, .keys = keys, .key_count = 4, .has_several_hosts = true, .is_relayed = true
    };
    struct route_entry entry;

    memset(longest, 'x', sizeof(longest));
    longest[ROUTE_ADDRESS_SIZE - 1] = '\0';
    memcpy(longer, longest, sizeof(longer));
    longer[ROUTE_ADDRESS_SIZE - 2] = 'y';
    keys[2].value = span_from_string(longest);
    keys[3].value = span_from_string(longer);
    make_uuid(uuid, 1);
    fill(fixture, 0);
    mirror_writer_put(fixture->writer, &account);
    commit(fixture, NULL);
    assert_int_equal(find(fixture, ROUTE_KEY_ADDRESS, "Store Name", &entry), ROUTE_FIND_NONE);
    assert_int_equal(find(fixture, ROUTE_KEY_ADDRESS, longer, &entry), ROUTE_FIND_ONE);
    assert_int_equal(find(fixture, ROUTE_KEY_ADDRESS, longest, &entry), ROUTE_FIND_ONE);
    assert_string_equal(entry.account, "Store Name");
    assert_string_equal(entry.host, "");
    assert_true(entry.has_several_hosts && entry.is_relayed);
}

static void an_update_replaces_the_keys(void **state)
{
    struct fixture *fixture = *state;
    struct mirror_key key = { SPAN_LITERAL("renamed@example.org"), MIRROR_KIND_ADDRESS };
    unsigned char uuid[MIRROR_UUID_SIZE];
    struct mirror_account account = { .uuid = uuid, .keys = &key, .key_count = 1 };
    struct route_entry entry;

    fill(fixture, 2);
    make_uuid(uuid, 1);
    account.host = SPAN_LITERAL("sv1");
    mirror_writer_put(fixture->writer, &account);
    commit(fixture, NULL);
    assert_string_equal(fixture->told, "user0000001@example.org= ");
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry), ROUTE_FIND_NONE);
    assert_int_equal(find(fixture, ROUTE_KEY_ADDRESS, "renamed@example.org", &entry),
                     ROUTE_FIND_ONE);
    assert_int_equal(mirror_writer_entries(fixture->writer), 2);
    delete_account(fixture, 1);
    commit(fixture, NULL);
    assert_int_equal(find(fixture, ROUTE_KEY_ADDRESS, "renamed@example.org", &entry),
                     ROUTE_FIND_NONE);
}

static void a_change_of_owner_is_told_after_the_commit_and_others_are_not(void **state)
{
    struct fixture *fixture = *state;

    fill(fixture, 3);
    assert_string_equal(fixture->told, "many ");
    put_account(fixture, 1, "sv2", "sv1");
    put_account(fixture, 2, "sv1", "sv9");
    put_account(fixture, 3, "", "");
    put_account(fixture, 4, "sv1", "");
    assert_string_equal(fixture->told, "many ");
    commit(fixture, NULL);
    assert_string_equal(fixture->told, "user0000001@example.org=sv2 ");
    delete_account(fixture, 2);
    put_account(fixture, 3, "sv2", "");
    commit(fixture, NULL);
    assert_string_equal(fixture->told, "user0000002@example.org= user0000003@example.org=sv2 ");
}

static void too_many_changes_are_told_as_many(void **state)
{
    struct fixture *fixture = *state;

    fill(fixture, 1001);
    for (unsigned i = 1; i <= 1001; i++)
        put_account(fixture, i, "sv2", "sv1");
    commit(fixture, NULL);
    assert_string_equal(fixture->told, "many ");
    commit(fixture, NULL);
    assert_string_equal(fixture->told, "");
}

static void the_revision_counts_commits_that_changed_content(void **state)
{
    struct fixture *fixture = *state;
    uint64_t revision;

    fill(fixture, 2);
    revision = mirror_writer_revision(fixture->writer);
    assert_int_equal(mirror_revision(fixture->reader), revision);
    put_account(fixture, 1, "sv1", "");
    commit(fixture, "cookie-2");
    assert_int_equal(mirror_revision(fixture->reader), revision);
    put_account(fixture, 1, "sv2", "");
    assert_int_equal(mirror_revision(fixture->reader), revision);
    commit(fixture, "cookie-3");
    assert_int_equal(mirror_revision(fixture->reader), revision + 1);
}

static void content_cookie_and_counts_survive_a_restart(void **state)
{
    struct fixture *fixture = *state;
    uint64_t revision;

    fill(fixture, 3);
    revision = mirror_writer_revision(fixture->writer);
    put_account(fixture, 1, "sv2", "");
    close_writer(fixture); /* without a commit */
    assert_host(fixture, 1, "sv1");
    open_writer(fixture, "source");
    assert_span(mirror_writer_cookie(fixture->writer), "cookie-1");
    assert_int_equal(mirror_writer_revision(fixture->writer), revision);
    assert_int_equal(mirror_writer_entries(fixture->writer), 3);
    assert_true(mirror_writer_is_filled(fixture->writer));
    assert_host(fixture, 1, "sv1");
}

static void readers_work_while_no_writer_is_there(void **state)
{
    struct fixture *fixture = *state;

    fill(fixture, 1);
    close_both(fixture);
    fixture->reader = mirror_open(fixture->directory);
    assert_host(fixture, 1, "sv1");
}

static void another_source_forgets_the_cookie_and_keeps_serving(void **state)
{
    struct fixture *fixture = *state;

    fill(fixture, 1);
    close_writer(fixture);
    open_writer(fixture, "another filter");
    assert_span(mirror_writer_cookie(fixture->writer), "");
    assert_host(fixture, 1, "sv1");
}

static void a_refresh_removes_at_its_end_what_it_has_not_seen(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    fill(fixture, 200);
    mirror_writer_begin_refresh(fixture->writer);
    for (unsigned i = 1; i <= 200; i++) {
        if (i % 3 == 0)
            assert_true(see_account(fixture, i));
        else if (i % 3 == 1)
            put_account(fixture, i, "sv2", "");
    }
    assert_false(see_account(fixture, 999));
    put_account(fixture, 300, "sv3", "");
    commit(fixture, NULL);
    assert_host(fixture, 2, "sv1"); /* serves until the sweep */
    assert_host(fixture, 1, "sv2");
    assert_int_equal(mirror_writer_unseen(fixture->writer), 67);
    sweep(fixture);
    mirror_writer_end_refresh(fixture->writer);
    commit(fixture, "cookie-2");
    assert_int_equal(mirror_writer_entries(fixture->writer), 134);
    assert_int_equal(mirror_writer_unseen(fixture->writer), 0);
    assert_host(fixture, 3, "sv1");
    assert_host(fixture, 300, "sv3");
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000002", &entry), ROUTE_FIND_NONE);
}

static void a_refresh_that_changes_nothing_writes_no_revision(void **state)
{
    struct fixture *fixture = *state;
    uint64_t revision;

    fill(fixture, 50);
    revision = mirror_writer_revision(fixture->writer);
    fill(fixture, 50);
    assert_int_equal(mirror_writer_revision(fixture->writer), revision);
    assert_string_equal(fixture->told, "");
}

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

    fill(fixture, 1);
    close_both(fixture);
    corrupt(fixture, 0, 4096);
    open_writer(fixture, "source");
    assert_true(has_file(fixture, ".damaged-1"));
    assert_false(mirror_writer_is_filled(fixture->writer));
    assert_span(mirror_writer_cookie(fixture->writer), "");
    fixture->reader = mirror_open(fixture->directory);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry), ROUTE_FIND_FAILED);
    fill(fixture, 2);
    assert_host(fixture, 2, "sv1");
}

static void damage_found_while_writing_fails_the_commit_and_rebuilds(void **state)
{
    struct fixture *fixture = *state;
    struct stat status;
    char path[256];

    fill(fixture, 2000);
    close_both(fixture);
    mirror_path(fixture->directory, path, sizeof(path));
    assert_int_equal(stat(path, &status), 0);
    assert_true(status.st_size > 65536);
    corrupt(fixture, 32768, (size_t)status.st_size - 32768);
    open_writer(fixture, "source");
    for (unsigned i = 1; i <= 2000; i++)
        put_account(fixture, i, "sv2", "");
    assert_false(mirror_writer_commit(fixture->writer, NULL));
    assert_true(has_file(fixture, ".damaged-1"));
    assert_span(mirror_writer_cookie(fixture->writer), "");
    assert_false(mirror_writer_is_filled(fixture->writer));
    fill(fixture, 2000);
    fixture->reader = mirror_open(fixture->directory);
    assert_host(fixture, 2000, "sv1");
}

static void an_open_reader_turns_to_the_file_that_replaced_its_own(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;
    enum route_found found;

    fill(fixture, 1);
    assert_host(fixture, 1, "sv1");
    close_writer(fixture);
    corrupt(fixture, 0, 4096);
    open_writer(fixture, "source");
    fill(fixture, 2);
    do /* it looks for a new file every 100 ms */
        found = find(fixture, ROUTE_KEY_LOGIN, "user0000002", &entry);
    while (found != ROUTE_FIND_ONE);
    assert_host(fixture, 2, "sv1");
}

static void a_file_of_another_schema_is_set_aside(void **state)
{
    struct fixture *fixture = *state;
    char path[256];
    sqlite3 *database;

    close_both(fixture);
    mirror_path(fixture->directory, path, sizeof(path));
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "PRAGMA user_version=99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    open_writer(fixture, "source");
    assert_true(has_file(fixture, ".damaged-1"));
    fill(fixture, 1);
}

static void a_file_without_its_tables_is_set_aside(void **state)
{
    struct fixture *fixture = *state;
    char path[256];
    sqlite3 *database;

    close_both(fixture);
    mirror_path(fixture->directory, path, sizeof(path));
    assert_int_equal(sqlite3_open(path, &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "DROP TABLE lookup", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    open_writer(fixture, "source");
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

/* What is new has no lookups in the file before the commit. */
static void what_is_new_is_changed_and_removed_before_its_commit(void **state)
{
    struct fixture *fixture = *state;
    struct mirror_key key = { SPAN_LITERAL("other@example.org"), MIRROR_KIND_ADDRESS };
    unsigned char uuid[MIRROR_UUID_SIZE];
    struct mirror_account renamed = { .uuid = uuid, .keys = &key, .key_count = 1 };
    struct route_entry entry;

    for (unsigned i = 1; i <= 5; i++)
        put_account(fixture, i, "sv1", "");
    put_account(fixture, 1, "sv2", "");
    make_uuid(uuid, 2);
    mirror_writer_put(fixture->writer, &renamed);
    delete_account(fixture, 3);
    assert_false(see_account(fixture, 3));
    assert_true(see_account(fixture, 4));
    assert_int_equal(mirror_writer_entries(fixture->writer), 4);
    mirror_writer_end_refresh(fixture->writer);
    commit(fixture, NULL);
    assert_host(fixture, 1, "sv2");
    assert_int_equal(find(fixture, ROUTE_KEY_ADDRESS, "other@example.org", &entry), ROUTE_FIND_ONE);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000002", &entry), ROUTE_FIND_NONE);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000003", &entry), ROUTE_FIND_NONE);
    assert_host(fixture, 5, "sv1");
}

static void a_commit_of_more_than_memory_keeps_is_whole(void **state)
{
    enum { ACCOUNTS = LOOKUP_BATCH_MAX / 3 + 1000, STEP = 997 };
    struct fixture *fixture = *state;

    fill(fixture, ACCOUNTS);
    assert_int_equal(mirror_writer_entries(fixture->writer), ACCOUNTS);
    for (unsigned i = 1; i <= ACCOUNTS; i += STEP)
        assert_host(fixture, i, "sv1");
}

static void the_hosts_of_accounts_are_collected_in_parts(void **state)
{
    struct fixture *fixture = *state;
    struct row_set hosts = { .count = 0 };
    int64_t after = 0;
    unsigned parts = 0;

    fill(fixture, 20);
    put_account(fixture, 20, "sv2", "sv3");
    commit(fixture, NULL);
    do {
        assert_true(mirror_writer_collect_hosts(fixture->writer, &after, 7, &hosts));
        parts++;
    } while (after > 0);
    assert_int_equal(parts, 4);
    assert_true(row_set_has(&hosts, mirror_writer_find_host(fixture->writer, "sv1")));
    assert_true(row_set_has(&hosts, mirror_writer_find_host(fixture->writer, "sv2")));
    assert_int_equal(hosts.count, 2);
    assert_int_equal(mirror_writer_find_host(fixture->writer, "sv9"), 0);
    row_set_fini(&hosts);
}

static void a_view_stays_as_it_is_until_another_revision_is_asked_for(void **state)
{
    struct fixture *fixture = *state;
    uint64_t revision;

    fill(fixture, 2);
    revision = mirror_writer_revision(fixture->writer);
    mirror_view(fixture->reader, revision);
    assert_host(fixture, 1, "sv1");
    put_account(fixture, 1, "sv2", "");
    commit(fixture, "cookie-2");
    mirror_view(fixture->reader, revision);
    assert_host(fixture, 1, "sv1");
    mirror_view(fixture->reader, revision + 1);
    assert_host(fixture, 1, "sv2");
    put_account(fixture, 1, "sv3", "");
    commit(fixture, "cookie-3");
    assert_host(fixture, 1, "sv2");
    mirror_view(fixture->reader, 0);
    assert_host(fixture, 1, "sv3");
    put_account(fixture, 1, "sv1", "");
    commit(fixture, "cookie-4");
    assert_host(fixture, 1, "sv1");
}

static void the_revision_is_never_read_in_a_view(void **state)
{
    struct fixture *fixture = *state;

    fill(fixture, 1);
    mirror_view(fixture->reader, 1);
    assert_host(fixture, 1, "sv1");
    put_account(fixture, 1, "sv2", "");
    commit(fixture, "cookie-2");
    assert_int_equal(mirror_revision(fixture->reader), mirror_writer_revision(fixture->writer));
    assert_host(fixture, 1, "sv2");
}

static void a_view_ends_with_its_file(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    fill(fixture, 1);
    mirror_view(fixture->reader, 1);
    assert_host(fixture, 1, "sv1");
    close_writer(fixture);
    corrupt(fixture, 0, 4096);
    open_writer(fixture, "source");
    mirror_writer_begin_refresh(fixture->writer);
    put_account(fixture, 1, "sv2", "sv1"); /* the ids of hosts begin anew */
    sweep(fixture);
    mirror_writer_end_refresh(fixture->writer);
    commit(fixture, "cookie-1");
    while (find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry) != ROUTE_FIND_ONE ||
           strcmp(entry.host, "sv2") != 0)
        mirror_view(fixture->reader, 1); /* a replaced file is seen within a tenth of a second */
    assert_string_equal(entry.old_host, "sv1");
}

static void hosts_that_share_a_place_are_told_apart(void **state)
{
    struct fixture *fixture = *state;
    char host[16];

    fill(fixture, 150);
    for (unsigned i = 1; i <= 150; i++) {
        snprintf(host, sizeof(host), "host%u", i);
        put_account(fixture, i, host, "");
    }
    commit(fixture, "cookie-2");
    for (unsigned round = 0; round < 2; round++)
        for (unsigned i = 1; i <= 150; i++) {
            snprintf(host, sizeof(host), "host%u", i);
            assert_host(fixture, i, host);
        }
}

static void what_was_not_committed_leaves_no_lookup(void **state)
{
    struct fixture *fixture = *state;
    struct route_entry entry;

    fill(fixture, 1);
    put_account(fixture, 2, "sv9", "");
    close_writer(fixture);
    open_writer(fixture, "source");
    assert_false(see_account(fixture, 2));
    put_account(fixture, 3, "sv9", "");
    commit(fixture, NULL);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000002", &entry), ROUTE_FIND_NONE);
    assert_host(fixture, 3, "sv9");
}

#define mirror_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void mirrors_of_older_schemas_are_removed(void **state)
{
    struct fixture *fixture = *state;
    char path[256];

    mirror_writer_close(fixture->writer);
    for (int version = 0; version < MIRROR_SCHEMA_VERSION; version++) {
        snprintf(path, sizeof(path), "%s/mirror-%d.db-wal", fixture->directory, version);
        close(open(path, O_CREAT | O_WRONLY, 0600));
    }
    open_writer(fixture, "source");
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

    fill(fixture, 1);
    close_both(fixture);
    mirror_path(fixture->directory, path, sizeof(path));
    snprintf(aside, sizeof(aside), "%s.aside", path);
    assert_int_equal(rename(path, aside), 0);
    fixture->reader = mirror_open(fixture->directory);
    mirror_await(fixture->reader, 20);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry), ROUTE_FIND_FAILED);
    assert_int_equal(rename(aside, path), 0);
    open_writer(fixture, "source");
    mirror_await(fixture->reader, 5000);
    assert_int_equal(find(fixture, ROUTE_KEY_LOGIN, "user0000001", &entry), ROUTE_FIND_ONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        mirror_test(a_mirror_that_was_never_filled_fails_and_says_no_no),
        mirror_test(an_account_is_found_by_each_of_its_keys_and_only_as_their_kind),
        mirror_test(an_address_on_two_entries_is_found_several_times),
        mirror_test(names_flags_and_absent_hosts_survive_packing),
        mirror_test(an_update_replaces_the_keys),
        mirror_test(a_change_of_owner_is_told_after_the_commit_and_others_are_not),
        mirror_test(too_many_changes_are_told_as_many),
        mirror_test(the_revision_counts_commits_that_changed_content),
        mirror_test(content_cookie_and_counts_survive_a_restart),
        mirror_test(readers_work_while_no_writer_is_there),
        mirror_test(another_source_forgets_the_cookie_and_keeps_serving),
        mirror_test(a_refresh_removes_at_its_end_what_it_has_not_seen),
        mirror_test(a_refresh_that_changes_nothing_writes_no_revision),
        mirror_test(a_file_that_is_no_database_is_set_aside_and_rebuilt),
        mirror_test(damage_found_while_writing_fails_the_commit_and_rebuilds),
        mirror_test(an_open_reader_turns_to_the_file_that_replaced_its_own),
        mirror_test(a_file_of_another_schema_is_set_aside),
        mirror_test(a_file_without_its_tables_is_set_aside),
        mirror_test(what_is_new_is_changed_and_removed_before_its_commit),
        mirror_test(a_commit_of_more_than_memory_keeps_is_whole),
        mirror_test(the_hosts_of_accounts_are_collected_in_parts),
        mirror_test(a_view_stays_as_it_is_until_another_revision_is_asked_for),
        mirror_test(the_revision_is_never_read_in_a_view),
        mirror_test(a_view_ends_with_its_file),
        mirror_test(hosts_that_share_a_place_are_told_apart),
        mirror_test(what_was_not_committed_leaves_no_lookup),
        mirror_test(who_awaits_a_mirror_reads_it_at_once_when_it_is_there),
        mirror_test(mirrors_of_older_schemas_are_removed),
        mirror_test(a_reader_waits_for_a_file_that_is_not_there_yet),
    };

    return cmocka_run_group_tests_name("mirror", tests, NULL, NULL);
}
