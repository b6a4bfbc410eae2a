/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/mirror_support.h"

#include <fcntl.h>

#include "common/base/log.h"

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

void fixture_close_writer(struct fixture *fixture)
{
    if (fixture->writer)
        mirror_writer_close(fixture->writer);
    fixture->writer = NULL;
}

/* The writer is the last one, so that the log is copied into the file. */
void fixture_close(struct fixture *fixture)
{
    if (fixture->reader)
        mirror_close(fixture->reader);
    fixture->reader = NULL;
    fixture_close_writer(fixture);
}

void fixture_open_writer(struct fixture *fixture, const char *source)
{
    fixture->writer = mirror_writer_open(fixture->directory, source, &events, fixture);
    assert_non_null(fixture->writer);
}

int fixture_set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    int null = open("/dev/null", O_WRONLY);

    log_set_descriptor(null);
    folder_make(fixture->directory);
    fixture_open_writer(fixture, "source");
    fixture->reader = mirror_open(fixture->directory);
    *state = fixture;
    return 0;
}

int fixture_tear_down(void **state)
{
    struct fixture *fixture = *state;

    fixture_close(fixture);
    folder_remove(fixture->directory);
    free(fixture);
    return 0;
}

void fixture_make_uuid(unsigned char uuid[MIRROR_UUID_SIZE], unsigned number)
{
    memset(uuid, 0, MIRROR_UUID_SIZE);
    memcpy(uuid, &number, sizeof(number));
}

/* The account "userN@example.org" with the login name "userN". */
void fixture_put_account(struct fixture *fixture, unsigned number, const char *host,
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
    fixture_make_uuid(uuid, number);
    keys[0] =
        (struct mirror_key){ span_from_string(address), MIRROR_KIND_ADDRESS | MIRROR_KIND_LOGIN };
    keys[1] = (struct mirror_key){ span_from_string(login), MIRROR_KIND_LOGIN };
    mirror_writer_put(fixture->writer, &account);
}

void fixture_delete_account(struct fixture *fixture, unsigned number)
{
    unsigned char uuid[MIRROR_UUID_SIZE];

    fixture_make_uuid(uuid, number);
    mirror_writer_delete(fixture->writer, uuid);
}

bool fixture_see_account(struct fixture *fixture, unsigned number)
{
    unsigned char uuid[MIRROR_UUID_SIZE];

    fixture_make_uuid(uuid, number);
    return mirror_writer_see(fixture->writer, uuid);
}

void fixture_commit(struct fixture *fixture, const char *cookie)
{
    struct span span = span_from_string(cookie);

    fixture->told[0] = '\0';
    assert_true(mirror_writer_commit(fixture->writer, cookie ? &span : NULL));
}

void fixture_sweep(struct fixture *fixture)
{
    int64_t after = 0;

    do
        after = mirror_writer_sweep(fixture->writer, after, 10, mirror_writer_seen(fixture->writer),
                                    NULL, NULL);
    while (after > 0);
}

/* Accounts 1 to `count` on sv1, and the end of the first refresh. */
void fixture_fill(struct fixture *fixture, unsigned count)
{
    mirror_writer_begin_refresh(fixture->writer);
    for (unsigned i = 1; i <= count; i++)
        fixture_put_account(fixture, i, "sv1", "");
    fixture_sweep(fixture);
    mirror_writer_end_refresh(fixture->writer);
    fixture_commit(fixture, "cookie-1");
}

enum route_found fixture_find(struct fixture *fixture, enum route_key key, const char *value,
                              struct route_entry *entry)
{
    struct route_source source = mirror_source(fixture->reader);

    return source.find(source.context, key, span_from_string(value), entry);
}

void fixture_assert_host(struct fixture *fixture, unsigned number, const char *host)
{
    struct route_entry entry;
    char address[64];

    snprintf(address, sizeof(address), "user%07u@example.org", number);
    assert_int_equal(fixture_find(fixture, ROUTE_KEY_ADDRESS, address, &entry), ROUTE_FIND_ONE);
    assert_string_equal(entry.account, address);
    assert_string_equal(entry.host, host);
}
