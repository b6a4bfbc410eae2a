/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/follower_support.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"

enum { PATIENCE_MS = 20000 };

/* What does not fit is left out. */
static void note(struct rig *rig, struct span account, const char *sign, struct span host)
{
    size_t length = strlen(rig->told);

    snprintf(rig->told + length, sizeof(rig->told) - length, "%.*s%s%.*s ", SPAN_PRINTF(account),
             sign, SPAN_PRINTF(host));
}

static void note_changed(void *context, uint64_t revision, struct span account, struct span host)
{
    (void)revision;
    note(context, account, "=", host);
}

static void note_changed_many(void *context, uint64_t revision)
{
    (void)revision;
    note(context, SPAN_EMPTY, "many", SPAN_EMPTY);
}

static const struct mirror_writer_events writer_events = { note_changed, note_changed_many };

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void on_status(void *context)
{
    (void)context;
}

/* --- the rig --------------------------------------------------------------------- */

void rig_start(struct rig *rig)
{
    rig->writer =
        mirror_writer_open(rig->state_directory, account_source(rig->reader), &writer_events, rig);
    assert_non_null(rig->writer);
    rig->follower =
        follower_start(&rig->loop, &rig->config, rig->reader, rig->writer, on_status, rig);
}

void rig_stop(struct rig *rig)
{
    follower_stop(rig->follower);
    rig->follower = NULL;
    io_loop_turn(&rig->loop, false);
    mirror_writer_close(rig->writer);
    rig->writer = NULL;
}

static void fill_config(struct rig *rig)
{
    struct directory_config *config = &rig->config;

    rig->uris[0] = rig->slapd.uri;
    rig->address_attributes[0] = (char *)(uintptr_t) "mail";
    rig->login_attributes[0] = (char *)(uintptr_t) "uid";
    rig->login_attributes[1] = (char *)(uintptr_t) "mail";
    config->uri = (struct string_list){ rig->uris, 1 };
    config->base = (char *)(uintptr_t)SLAPD_PEOPLE;
    config->bind_dn = (char *)(uintptr_t)SLAPD_ROOT;
    config->bind_password.file = (char *)(uintptr_t) "given";
    strcpy(config->bind_password.value, SLAPD_SECRET);
    config->filter = (char *)(uintptr_t) "(objectClass=mailsteadAccount)";
    config->address_attributes = (struct string_list){ rig->address_attributes, 1 };
    config->login_attributes = (struct string_list){ rig->login_attributes, 2 };
    config->host_attribute = (char *)(uintptr_t) "hostServer";
    config->old_host_attribute = (char *)(uintptr_t) "oldHostServer";
    config->store_name_attribute = (char *)(uintptr_t) "mail";
    config->recheck_rate = 2000;
    config->compare_rate = 2000;
    config->hold_accounts = 20;
    config->hold_percent = 25;
    config->relay_filter = (char *)(uintptr_t) "(description=relayed*)";
}

struct rig *rig_new(const char *more)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    log_set_descriptor(open(getenv("TEST_LOG") ? getenv("TEST_LOG") : "/dev/null",
                            O_WRONLY | O_CREAT | O_APPEND, 0600));
    slapd_init(&rig->slapd, more);
    strcpy(rig->state_directory, "/tmp/mailstead-mirror-XXXXXX");
    assert_non_null(mkdtemp(rig->state_directory));
    fill_config(rig);
    io_loop_init(&rig->loop);
    uv_timer_init(&rig->loop.uv, &rig->tick);
    uv_timer_start(&rig->tick, on_tick, 20, 20);
    rig->reader = account_reader_new(&rig->config);
    rig->mirror = mirror_open(rig->state_directory);
    return rig;
}

int rig_set_up(void **state)
{
    *state = rig_new("syncprov-sessionlog 1000\n");
    return 0;
}

int rig_set_up_without_session_log(void **state)
{
    *state = rig_new("");
    return 0;
}

int rig_tear_down(void **state)
{
    struct rig *rig = *state;
    char command[128];

    if (rig->follower)
        rig_stop(rig);
    uv_close((uv_handle_t *)&rig->tick, NULL);
    io_loop_fini(&rig->loop);
    account_reader_free(rig->reader);
    mirror_close(rig->mirror);
    slapd_fini(&rig->slapd);
    snprintf(command, sizeof(command), "rm -rf %s", rig->state_directory);
    assert_int_equal(system(command), 0);
    free(rig);
    return 0;
}

/* --- waiting -------------------------------------------------------------------------- */

bool rig_run_until(struct rig *rig, bool (*is_so)(struct rig *rig))
{
    uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

    while (!is_so(rig)) {
        if (clock_monotonic_ms() > deadline_ms)
            return false;
        slapd_revive(&rig->slapd);
        io_loop_turn(&rig->loop, true);
    }
    return true;
}

bool rig_is_following(struct rig *rig)
{
    return strcmp(follower_status(rig->follower).state, "following") == 0;
}

bool rig_is_waiting(struct rig *rig)
{
    return strcmp(follower_status(rig->follower).state, "waiting") == 0;
}

enum route_found rig_find(struct rig *rig, enum route_key key, const char *value,
                          struct route_entry *entry)
{
    struct route_source source = mirror_source(rig->mirror);

    return source.find(source.context, key, span_from_string(value), entry);
}

static const char *awaited_address, *awaited_host; /* host NULL: no such address */

static bool is_routed(struct rig *rig)
{
    struct route_entry entry;
    enum route_found found = rig_find(rig, ROUTE_KEY_ADDRESS, awaited_address, &entry);

    if (!awaited_host)
        return found == ROUTE_FIND_NONE;
    return found == ROUTE_FIND_ONE && strcmp(entry.host, awaited_host) == 0;
}

void rig_await_host(struct rig *rig, const char *address, const char *host)
{
    awaited_address = address;
    awaited_host = host;
    assert_true(rig_run_until(rig, is_routed));
}

void rig_follow(struct rig *rig, unsigned count)
{
    slapd_add_accounts(&rig->slapd, 1, count, "sv1");
    slapd_start(&rig->slapd);
    rig_start(rig);
    assert_true(rig_run_until(rig, rig_is_following));
    rig_await_host(rig, "user1@example.org", "sv1"); /* the reader has found the file too */
}

void rig_move(struct rig *rig, unsigned number, const char *host)
{
    char ldif[512];

    snprintf(ldif, sizeof(ldif),
             "dn: uid=user%u," SLAPD_PEOPLE "\nchangetype: modify\nreplace: hostServer\n"
             "hostServer: %s\n-\nreplace: oldHostServer\noldHostServer: sv1\n",
             number, host);
    slapd_modify(&rig->slapd, ldif);
}

void rig_erase(struct rig *rig, unsigned first, unsigned last)
{
    static char ldif[65536];
    size_t length = 0;

    for (unsigned i = first; i <= last; i++)
        length += (size_t)snprintf(ldif + length, sizeof(ldif) - length,
                                   "dn: uid=user%u," SLAPD_PEOPLE "\nchangetype: delete\n\n", i);
    slapd_modify(&rig->slapd, ldif);
}

/* --- comparing ------------------------------------------------------------------------- */

static void note_progress(void *context, const struct compare_report *report)
{
    (void)context;
    (void)report;
}

static void note_compared(void *context, const struct compare_report *report, const char *error)
{
    struct rig *rig = context;

    assert_null(error);
    rig->report = *report;
    rig->is_compared = true;
}

static bool is_compared(struct rig *rig)
{
    return rig->is_compared;
}

struct compare_report rig_compare(struct rig *rig)
{
    static const struct compare_events events = { note_progress, note_compared };

    rig->is_compared = false;
    assert_true(rig_run_until(rig, rig_is_following));
    assert_true(follower_compare(rig->follower, &events, rig));
    assert_true(rig_run_until(rig, is_compared));
    return rig->report;
}
