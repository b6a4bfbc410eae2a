/* SPDX-License-Identifier: Apache-2.0 */
/* The backends' entries against a real slapd: which join, which leave, and which are held. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "directory/backend_follower.h"
#include "directory/follower.h"
#include "directory/mirror.h"
#include "tests/unit/backend_names.h"
#include "tests/unit/slapd.h"

enum { PATIENCE_MS = 20000 };

#define BACKENDS "ou=backends," SLAPD_SUFFIX

struct fixture {
    struct slapd slapd;
    struct io_loop loop;
    char state_directory[64];
    char *uris[1], *attributes[1];
    struct config config;
    struct account_reader *reader;
    struct mirror_writer *writer; /* NULL: nothing runs */
    struct follower *follower;
    struct backend_follower *backends;
    uv_timer_t tick; /* so that a wait for what never comes ends */
    unsigned changes;
};

static void ignore_changed(void *context, uint64_t revision, struct span account, struct span host)
{
    (void)context;
    (void)revision;
    (void)account;
    (void)host;
}

static void ignore_many(void *context, uint64_t revision)
{
    (void)context;
    (void)revision;
}

static void on_status(void *context)
{
    (void)context;
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void on_link(void *context, struct ldap_link *link)
{
    backend_follower_use(((struct fixture *)context)->backends, link);
}

static void on_changed(void *context)
{
    ((struct fixture *)context)->changes++;
}

static void on_failed(void *context)
{
    follower_mirror_failed(((struct fixture *)context)->follower);
}

static const struct mirror_writer_events writer_events = { ignore_changed, ignore_many };
static const struct backend_follower_events backend_events = { on_changed, on_failed };

static void start(struct fixture *fixture)
{
    fixture->writer = mirror_writer_open(fixture->state_directory, account_source(fixture->reader),
                                         &writer_events, fixture);
    assert_non_null(fixture->writer);
    fixture->follower = follower_start(&fixture->loop, &fixture->config.directory, fixture->reader,
                                       fixture->writer, on_status, fixture);
    fixture->backends = backend_follower_start(&fixture->loop, &fixture->config, fixture->writer,
                                               &backend_events, fixture);
    follower_lend(fixture->follower, on_link);
}

static void stop(struct fixture *fixture)
{
    follower_stop(fixture->follower);
    backend_follower_stop(fixture->backends);
    io_loop_turn(&fixture->loop, false);
    mirror_writer_close(fixture->writer);
    fixture->writer = NULL;
}

static char *text(const char *string)
{
    return (char *)(uintptr_t)string;
}

static void fill_config(struct fixture *fixture)
{
    struct directory_config *config = &fixture->config.directory;

    fixture->uris[0] = fixture->slapd.uri;
    fixture->attributes[0] = text("mail");
    fixture->config.backend_tls.name = text("%b.mail.example.org");
    config->uri = (struct string_list){ fixture->uris, 1 };
    config->base = text(SLAPD_PEOPLE);
    config->bind_dn = text(SLAPD_ROOT);
    config->bind_password.file = text("given");
    strcpy(config->bind_password.value, SLAPD_SECRET);
    config->filter = text("(objectClass=mailsteadAccount)");
    config->address_attributes = (struct string_list){ fixture->attributes, 1 };
    config->login_attributes = (struct string_list){ fixture->attributes, 1 };
    config->host_attribute = text("hostServer");
    config->old_host_attribute = text("oldHostServer");
    config->store_name_attribute = text("mail");
    config->backend_base = text(BACKENDS);
    backend_names_fill(config);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    slapd_init(&fixture->slapd, "");
    strcpy(fixture->state_directory, "/tmp/mailstead-mirror-XXXXXX");
    assert_non_null(mkdtemp(fixture->state_directory));
    fill_config(fixture);
    io_loop_init(&fixture->loop);
    uv_timer_init(&fixture->loop.uv, &fixture->tick);
    uv_timer_start(&fixture->tick, on_tick, 20, 20);
    fixture->reader = account_reader_new(&fixture->config.directory);
    slapd_start(&fixture->slapd);
    slapd_modify(&fixture->slapd, "dn: " BACKENDS "\nchangetype: add\n"
                                  "objectClass: organizationalUnit\nou: backends\n\n");
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char command[128];

    if (fixture->writer)
        stop(fixture);
    uv_close((uv_handle_t *)&fixture->tick, NULL);
    io_loop_fini(&fixture->loop);
    account_reader_free(fixture->reader);
    slapd_fini(&fixture->slapd);
    snprintf(command, sizeof(command), "rm -rf %s", fixture->state_directory);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

/* --- the directory --------------------------------------------------------------------- */

/* Adds the entry of backend `name`; `more` are lines with a line break each. */
static void add_backend(struct fixture *fixture, const char *name, const char *more)
{
    char ldif[1024];

    snprintf(ldif, sizeof(ldif),
             "dn: cn=%s," BACKENDS "\nchangetype: add\nobjectClass: mailsteadBackend\ncn: %s\n"
             "backendAddress: %s.example.org\n%s\n",
             name, name, name, more);
    slapd_modify(&fixture->slapd, ldif);
}

static void delete_backend(struct fixture *fixture, const char *name)
{
    char ldif[256];

    snprintf(ldif, sizeof(ldif), "dn: cn=%s," BACKENDS "\nchangetype: delete\n\n", name);
    slapd_modify(&fixture->slapd, ldif);
}

static void change_backend(struct fixture *fixture, const char *name, const char *attribute,
                           const char *value)
{
    char ldif[512];

    snprintf(ldif, sizeof(ldif),
             "dn: cn=%s," BACKENDS "\nchangetype: modify\nreplace: %s\n%s: %s\n\n", name, attribute,
             attribute, value);
    slapd_modify(&fixture->slapd, ldif);
}

/* --- waiting ----------------------------------------------------------------------------- */

/* The backends of the mirror as a worker reads them: "NAME:STATE " each, in their order. */
static void list(struct fixture *fixture, char names[256])
{
    struct mirror *mirror = mirror_open(fixture->state_directory);
    struct bytes packed = bytes_empty(BACKENDS_LIST_MAX);
    struct wire_reader reader;
    struct backend backend;
    bool is_known;

    names[0] = '\0';
    assert_true(mirror_read_backends(mirror, &packed, &is_known));
    reader = wire_reader_over(bytes_span(&packed));
    while (reader.rest.length > 0) {
        backend_get(&reader, &backend);
        assert_false(reader.failed);
        snprintf(names + strlen(names), 256 - strlen(names), "%s:%s ", backend.name,
                 backend_state_names[backend.state]);
    }
    bytes_release(&packed);
    mirror_close(mirror);
}

static void await(struct fixture *fixture, const char *expected)
{
    uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;
    char names[256];

    for (;;) {
        list(fixture, names);
        if (strcmp(names, expected) == 0)
            return;
        if (clock_monotonic_ms() > deadline_ms)
            fail_msg("the list is \"%s\", not \"%s\"", names, expected);
        slapd_revive(&fixture->slapd);
        io_loop_turn(&fixture->loop, true);
    }
}

static void run_for(struct fixture *fixture, unsigned ms)
{
    uint64_t until_ms = clock_monotonic_ms() + ms;

    while (clock_monotonic_ms() < until_ms)
        io_loop_turn(&fixture->loop, true);
}

static void await_synchronised(struct fixture *fixture)
{
    uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

    while (!backend_follower_status(fixture->backends).is_synchronised) {
        assert_true(clock_monotonic_ms() < deadline_ms);
        io_loop_turn(&fixture->loop, true);
    }
}

static void await_trouble(struct fixture *fixture, const char *trouble)
{
    uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

    while (!strstr(backend_follower_status(fixture->backends).trouble, trouble)) {
        assert_true(clock_monotonic_ms() < deadline_ms);
        io_loop_turn(&fixture->loop, true);
    }
}

/* --- tests --------------------------------------------------------------------------------- */

static void entries_join_and_change_and_leave(void **state)
{
    struct fixture *fixture = *state;

    add_backend(fixture, "sv1", "");
    start(fixture);
    await(fixture, "sv1:up ");
    add_backend(fixture, "sv2", "backendState: leaving\n");
    await(fixture, "sv1:up sv2:leaving ");
    assert_string_equal(backend_set_find(backend_follower_set(fixture->backends), "sv2")->tls_name,
                        "sv2.mail.example.org");
    change_backend(fixture, "sv2", "backendState", "down");
    await(fixture, "sv1:up sv2:down ");
    delete_backend(fixture, "sv2");
    run_for(fixture, BACKEND_GRACE_MS / 3);
    await(fixture, "sv1:up sv2:down "); /* not yet */
    await(fixture, "sv1:up ");
    delete_backend(fixture, "sv1"); /* nobody is on it: even the last one may go */
    await(fixture, "");
    assert_int_equal(fixture->changes, 5);
}

static void what_is_wrong_leaves_the_last_good_values(void **state)
{
    struct fixture *fixture = *state;

    start(fixture);
    add_backend(fixture, "sv1", "");
    await(fixture, "sv1:up ");
    change_backend(fixture, "sv1", "backendAddress", "not an address");
    add_backend(fixture, "sv2", "backendLmtpPort: 0\n");
    add_backend(fixture, "sv3", "");
    await(fixture, "sv1:up sv3:up ");
    assert_string_equal(
        backend_set_find(backend_follower_set(fixture->backends), "sv1")->addresses[0],
        "sv1.example.org");
    change_backend(fixture, "sv2", "backendLmtpPort", "24");
    await(fixture, "sv1:up sv3:up sv2:up ");
}

/* Told before the commit, which then fails: slapd says nothing when it takes the change back. */
static void a_change_that_was_undone_is_undone_here_too(void **state)
{
    struct fixture *fixture = *state;
    uint64_t told_ms;

    slapd_add_accounts(&fixture->slapd, 1, 1, "sv1");
    add_backend(fixture, "sv1", "");
    start(fixture);
    await(fixture, "sv1:up ");
    run_for(fixture, 1000); /* what was told at the start is confirmed */
    for (unsigned round = 0; round < 3; round++) {
        assert_int_not_equal(
            pclose(slapd_begin_transaction(&fixture->slapd,
                                           "dn: cn=sv1," BACKENDS "\nchangetype: modify\n"
                                           "replace: backendState\nbackendState: down\n\n"
                                           "dn: uid=user1," SLAPD_PEOPLE "\nchangetype: modify\n"
                                           "delete: description\n")),
            0);
        run_for(fixture, 100); /* it is told, most times */
        told_ms = clock_monotonic_ms();
        await(fixture, "sv1:up ");
        slapd_revive(&fixture->slapd);
        if (fixture->slapd.deaths == 0)
            assert_in_range(clock_monotonic_ms() - told_ms, 0, 5000);
    }
}

static void they_outlive_a_restart_and_the_directory(void **state)
{
    struct fixture *fixture = *state;

    add_backend(fixture, "sv1", "");
    start(fixture);
    await(fixture, "sv1:up ");
    stop(fixture);
    slapd_stop(&fixture->slapd, SIGTERM);
    start(fixture);
    run_for(fixture, 300);
    await(fixture, "sv1:up ");
    slapd_start(&fixture->slapd);
    add_backend(fixture, "sv2", "");
    await(fixture, "sv1:up sv2:up ");
}

static void one_whose_entry_goes_and_comes_is_not_missed_for_a_moment(void **state)
{
    struct fixture *fixture = *state;

    add_backend(fixture, "sv1", "");
    start(fixture);
    await(fixture, "sv1:up ");
    delete_backend(fixture, "sv1");
    add_backend(fixture, "sv1", "backendState: leaving\n"); /* another entry of the same name */
    await(fixture, "sv1:leaving ");
    run_for(fixture, BACKEND_GRACE_MS + 200);
    await(fixture, "sv1:leaving ");
    assert_int_equal(fixture->changes, 2);
}

static void of_two_entries_with_one_name_the_older_counts(void **state)
{
    struct fixture *fixture = *state;

    slapd_modify(&fixture->slapd, "dn: ou=more," BACKENDS "\nchangetype: add\n"
                                  "objectClass: organizationalUnit\nou: more\n\n");
    add_backend(fixture, "sv1", "");
    start(fixture);
    await(fixture, "sv1:up ");
    slapd_modify(&fixture->slapd,
                 "dn: cn=sv1,ou=more," BACKENDS "\nchangetype: add\nobjectClass: mailsteadBackend\n"
                 "cn: sv1\nbackendAddress: 192.0.2.1\nbackendState: down\n\n");
    run_for(fixture, 300);
    await(fixture, "sv1:up ");
    delete_backend(fixture, "sv1");
    await(fixture, "sv1:down "); /* at once: the name is there */
}

static void an_emptied_base_is_held_while_accounts_are_there(void **state)
{
    struct fixture *fixture = *state;

    slapd_add_accounts(&fixture->slapd, 1, 3, "sv2");
    add_backend(fixture, "sv1", "");
    add_backend(fixture, "sv2", "");
    start(fixture);
    await(fixture, "sv1:up sv2:up ");
    delete_backend(fixture, "sv1");
    delete_backend(fixture, "sv2");
    await_trouble(fixture, "held");
    await(fixture, "sv1:up sv2:up ");
    stop(fixture); /* and a restart changes nothing about that */
    start(fixture);
    await_trouble(fixture, "held");
    await(fixture, "sv1:up sv2:up ");
    add_backend(fixture, "sv2", "backendState: leaving\n");
    await(fixture, "sv2:leaving "); /* sv1 alone is gone now, and may be */
    assert_string_equal(backend_follower_status(fixture->backends).trouble, "");
}

static void a_base_that_is_not_there_changes_nothing(void **state)
{
    struct fixture *fixture = *state;

    add_backend(fixture, "sv1", "");
    start(fixture);
    await(fixture, "sv1:up ");
    stop(fixture);
    fixture->config.directory.backend_base = text("ou=nowhere," SLAPD_SUFFIX);
    start(fixture);
    await_trouble(fixture, "No such object");
    await(fixture, "sv1:up ");
    stop(fixture);
    fixture->config.directory.backend_base = NULL; /* that is an order */
    start(fixture);
    await(fixture, "");
}

static void a_damaged_mirror_gets_them_again_without_the_directory(void **state)
{
    struct fixture *fixture = *state;

    add_backend(fixture, "sv1", "");
    start(fixture);
    await(fixture, "sv1:up ");
    await_synchronised(fixture);
    slapd_stop(&fixture->slapd, SIGTERM);
    follower_rebuild(fixture->follower);
    await(fixture, "sv1:up ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(entries_join_and_change_and_leave),
        TEST(what_is_wrong_leaves_the_last_good_values),
        TEST(a_change_that_was_undone_is_undone_here_too),
        TEST(they_outlive_a_restart_and_the_directory),
        TEST(one_whose_entry_goes_and_comes_is_not_missed_for_a_moment),
        TEST(of_two_entries_with_one_name_the_older_counts),
        TEST(an_emptied_base_is_held_while_accounts_are_there),
        TEST(a_base_that_is_not_there_changes_nothing),
        TEST(a_damaged_mirror_gets_them_again_without_the_directory),
    };

    if (!slapd_is_installed())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
