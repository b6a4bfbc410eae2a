/* SPDX-License-Identifier: Apache-2.0 */
/* Reassign and restore: runs against a real slapd that a read of it proves. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/log.h"
#include "directory/follower.h"
#include "directory/mirror.h"
#include "directory/reassign/reassign.h"
#include "tests/unit/slapd.h"

static char *text(const char *string)
{
    return (char *)(uintptr_t)string;
}

static struct config make_config(const struct slapd *slapd)
{
    struct config config = { .file = text("test") };

    config.directory.base = text(SLAPD_PEOPLE);
    config.directory.filter = text("(objectClass=mailsteadAccount)");
    config.directory.host_attribute = text("hostServer");
    config.directory.old_host_attribute = text("oldHostServer");
    config.admin.write_uri = slapd ? text(slapd->uri) : NULL;
    config.admin.bind_dn = text(SLAPD_ROOT);
    config.admin.bind_password.file = text("given");
    strcpy(config.admin.bind_password.value, SLAPD_SECRET);
    return config;
}

static const struct reassign_plan to_sv2 = { .kind = REASSIGN_MOVE, .from = "sv1", .to = "sv2" };
static const struct reassign_plan back_to_sv1 = { .kind = REASSIGN_RESTORE, .from = "sv1" };

/* --- runs ------------------------------------------------------------------------------- */

static int set_up_with(void **state, const char *more)
{
    struct slapd *slapd = calloc(1, sizeof(*slapd));

    log_set_descriptor(open("/dev/null", O_WRONLY));
    slapd_init(slapd, more);
    *state = slapd;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, "");
}

static int tear_down(void **state)
{
    slapd_fini(*state);
    free(*state);
    return 0;
}

static char complaints[4096];

static void note_complaint(void *context, const char *dn, const char *why)
{
    (void)context;
    snprintf(complaints + strlen(complaints), sizeof(complaints) - strlen(complaints), "%s: %s\n",
             dn, why);
}

static struct reassign_result run(const struct slapd *slapd, const struct reassign_plan *plan)
{
    struct config config = make_config(slapd);
    struct reassign_plan complete = *plan;
    struct reassign_result result;

    complaints[0] = '\0';
    complete.complain = note_complaint;
    reassign_run(&config, &complete, &result);
    return result;
}

static void all_accounts_of_a_backend_move_and_come_back(void **state)
{
    struct slapd *slapd = *state;
    struct reassign_result result;

    slapd_add_accounts(slapd, 1, 2300, "sv1");
    slapd_add_accounts(slapd, 2301, 2400, "sv2");
    slapd_start(slapd);
    result = run(slapd, &to_sv2);
    assert_string_equal(result.error, "");
    assert_int_equal(result.end, REASSIGN_DONE);
    assert_true(result.used_transactions);
    assert_int_equal(result.progress.found, 2300);
    assert_int_equal(result.progress.moved, 2300);
    assert_int_equal(slapd_count(slapd, "(hostServer=sv1)"), 0);
    assert_int_equal(slapd_count(slapd, "(&(hostServer=sv2)(oldHostServer=sv1))"), 2300);
    assert_int_equal(slapd_count(slapd, "(&(hostServer=sv2)(!(oldHostServer=*)))"), 100);
    slapd_add_accounts(slapd, 2401, 2401, "sv2");
    result = run(slapd, &back_to_sv1);
    assert_int_equal(result.end, REASSIGN_DONE);
    assert_int_equal(result.progress.moved, 2300);
    assert_int_equal(slapd_count(slapd, "(hostServer=sv1)"), 2300);
    assert_int_equal(slapd_count(slapd, "(hostServer=sv2)"), 101);
    assert_int_equal(slapd_count(slapd, "(oldHostServer=*)"), 0);
    result = run(slapd, &back_to_sv1);
    assert_int_equal(result.end, REASSIGN_DONE);
    assert_int_equal(result.progress.found, 0);
}

static void a_dry_run_counts_and_changes_nothing(void **state)
{
    struct slapd *slapd = *state;
    struct reassign_plan dry = to_sv2;
    struct reassign_result result;

    slapd_add_accounts(slapd, 1, 30, "sv1");
    slapd_start(slapd);
    dry.is_dry_run = true;
    result = run(slapd, &dry);
    assert_int_equal(result.end, REASSIGN_DONE);
    assert_int_equal(result.progress.found, 30);
    assert_int_equal(result.progress.moved, 0);
    assert_int_equal(slapd_count(slapd, "(hostServer=sv1)"), 30);
}

static void odd_entries_are_named_and_left_alone(void **state)
{
    struct slapd *slapd = *state;
    struct reassign_result result;

    slapd_add_accounts(slapd, 1, 10, "sv1");
    slapd_start(slapd);
    slapd_modify(slapd, "dn: uid=user3," SLAPD_PEOPLE "\nchangetype: modify\nadd: hostServer\n"
                        "hostServer: sv7\n\n"
                        "dn: uid=user4," SLAPD_PEOPLE "\nchangetype: modify\nadd: oldHostServer\n"
                        "oldHostServer: sv9\n\n"
                        "dn: uid=user5," SLAPD_PEOPLE "\nchangetype: modify\nadd: oldHostServer\n"
                        "oldHostServer: sv2\n");
    result = run(slapd, &to_sv2);
    assert_int_equal(result.end, REASSIGN_INCOMPLETE);
    assert_int_equal(result.progress.moved, 9);
    assert_int_equal(result.progress.skipped, 1);
    assert_non_null(strstr(complaints, "uid=user3," SLAPD_PEOPLE ": its entry names several"));
    assert_int_equal(slapd_count(slapd, "(&(hostServer=sv1)(hostServer=sv7))"), 1);
    assert_int_equal(slapd_count(slapd, "(&(uid=user4)(oldHostServer=sv9)(hostServer=sv2))"), 1);
    assert_int_equal(slapd_count(slapd, "(&(uid=user5)(hostServer=sv2)(!(oldHostServer=*)))"), 1);
}

static void a_server_that_is_away_is_a_failure_with_its_name(void **state)
{
    struct slapd *slapd = *state;
    struct reassign_result result = run(slapd, &to_sv2);

    assert_int_equal(result.end, REASSIGN_FAILED);
    assert_non_null(strstr(result.error, slapd->uri));
}

static void a_bind_that_may_not_write_is_refused(void **state)
{
    struct slapd *slapd = *state;
    struct config config = make_config(slapd);
    struct reassign_result result;

    slapd_add_accounts(slapd, 1, 700, "sv1");
    slapd_start(slapd);
    config.admin.bind_dn = NULL; /* on a unix socket: SASL EXTERNAL, which slapd lets read */
    reassign_run(&config, &to_sv2, &result);
    assert_int_equal(result.end, REASSIGN_REFUSED);
    assert_int_equal(result.progress.moved, 0);
    assert_int_equal(slapd_count(slapd, "(hostServer=sv1)"), 700);
}

static int set_up_read_only(void **state)
{
    return set_up_with(state, "readonly on\n");
}

static void a_read_only_server_is_refused(void **state)
{
    struct slapd *slapd = *state;
    struct reassign_result result;

    slapd_add_accounts(slapd, 1, 30, "sv1");
    slapd_start(slapd);
    result = run(slapd, &to_sv2);
    assert_int_equal(result.end, REASSIGN_REFUSED);
    assert_non_null(strstr(result.error, slapd->uri));
}

static int set_up_replica(void **state)
{
    return set_up_with(state, "syncrepl rid=1 provider=ldapi://%2Fnonexistent searchbase="
                              "\"" SLAPD_SUFFIX "\" bindmethod=simple retry=\"60 +\"\n"
                              "updateref ldap://provider.example\n");
}

static void a_replica_is_refused_with_the_name_of_its_provider(void **state)
{
    struct slapd *slapd = *state;
    struct reassign_result result;

    slapd_add_accounts(slapd, 1, 30, "sv1");
    slapd_start(slapd);
    result = run(slapd, &to_sv2);
    assert_int_equal(result.end, REASSIGN_REFUSED);
    assert_non_null(strstr(result.error, "ldap://provider.example"));
}

/* --- interruptions ------------------------------------------------------------------------- */

struct interruption {
    struct slapd *slapd;
    unsigned batches; /* taken before it strikes */
    void (*strike)(struct slapd *slapd);
    bool stops;
    bool is_tick; /* the next question is not before a batch: its time has come */
};

/* What is told again and again is told just before the question that is asked again and again. */
static void expect_tick(void *context, const struct reassign_progress *progress)
{
    struct interruption *interruption = context;

    (void)progress;
    interruption->is_tick = true;
}

static bool strike_or_stop(void *context)
{
    struct interruption *interruption = context;
    bool is_tick = interruption->is_tick;

    interruption->is_tick = false;
    if (is_tick || interruption->batches-- > 0)
        return false;
    if (interruption->strike)
        interruption->strike(interruption->slapd);
    interruption->strike = NULL;
    interruption->batches = 1000;
    return interruption->stops;
}

static struct reassign_result run_interrupted(struct interruption *interruption)
{
    struct config config = make_config(interruption->slapd);
    struct reassign_plan plan = to_sv2;
    struct reassign_result result;

    plan.should_stop = strike_or_stop;
    plan.progress = expect_tick;
    plan.context = interruption;
    reassign_run(&config, &plan, &result);
    return result;
}

/* Each account is on one of both hosts, and has the old host exactly when it has moved. */
static void assert_consistent(const struct slapd *slapd, unsigned count)
{
    /* In one search: the last transaction of a killed run may still come to its end. */
    assert_int_equal(slapd_count(slapd, "(|(&(hostServer=sv2)(oldHostServer=sv1))"
                                        "(&(hostServer=sv1)(!(oldHostServer=*))))"),
                     count);
}

static void a_run_that_is_stopped_is_completed_by_the_next(void **state)
{
    struct slapd *slapd = *state;
    struct interruption interruption = { .slapd = slapd, .batches = 3, .stops = true };
    struct reassign_result result;

    slapd_add_accounts(slapd, 1, 8000, "sv1");
    slapd_start(slapd);
    result = run_interrupted(&interruption);
    assert_int_equal(result.end, REASSIGN_INTERRUPTED);
    assert_true(result.progress.moved > 0 && result.progress.moved < 8000);
    assert_int_equal(slapd_count(slapd, "(hostServer=sv2)"), result.progress.moved);
    result = run(slapd, &to_sv2);
    assert_int_equal(result.end, REASSIGN_DONE);
    assert_int_equal(slapd_count(slapd, "(&(hostServer=sv2)(oldHostServer=sv1))"), 8000);
}

static void strike_down(struct slapd *slapd)
{
    slapd_stop(slapd, SIGKILL);
}

static void a_server_that_dies_in_the_middle_leaves_nothing_wrong(void **state)
{
    struct slapd *slapd = *state;
    struct interruption interruption = { .slapd = slapd, .batches = 3, .strike = strike_down };
    struct reassign_result result;

    slapd_add_accounts(slapd, 1, 4000, "sv1");
    slapd_start(slapd);
    result = run_interrupted(&interruption);
    assert_int_equal(result.end, REASSIGN_INTERRUPTED);
    slapd_start(slapd);
    assert_consistent(slapd, 4000);
    result = run(slapd, &to_sv2);
    assert_int_equal(result.end, REASSIGN_DONE);
    assert_int_equal(slapd_count(slapd, "(&(hostServer=sv2)(oldHostServer=sv1))"), 4000);
}

static bool kill_self(void *context)
{
    unsigned *batches = context;

    if ((*batches)-- == 0)
        kill(getpid(), SIGKILL);
    return false;
}

static void a_run_that_is_killed_is_completed_by_the_next(void **state)
{
    struct slapd *slapd = *state;
    struct reassign_result result;

    slapd_add_accounts(slapd, 1, 4000, "sv1");
    slapd_start(slapd);
    for (unsigned batches = 1; batches < 5; batches++) {
        pid_t child = fork();
        int status;

        if (child == 0) {
            struct config config = make_config(slapd);
            struct reassign_plan plan = to_sv2;

            plan.should_stop = kill_self;
            plan.context = &batches;
            reassign_run(&config, &plan, &result);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_consistent(slapd, 4000);
    }
    result = run(slapd, &to_sv2);
    assert_int_equal(result.end, REASSIGN_DONE);
    assert_int_equal(slapd_count(slapd, "(&(hostServer=sv2)(oldHostServer=sv1))"), 4000);
}

/* --- somebody else, and phantoms ----------------------------------------------------------------
 */

static void move_one_elsewhere(struct slapd *slapd)
{
    slapd_modify(slapd, "dn: uid=user990," SLAPD_PEOPLE "\nchangetype: modify\n"
                        "replace: hostServer\nhostServer: sv5\n\n"
                        "dn: uid=user991," SLAPD_PEOPLE "\nchangetype: delete\n");
}

struct watcher {
    struct io_loop loop;
    struct directory_config config;
    char *lists[3];
    char folder[64];
    struct account_reader *reader;
    struct mirror_writer *writer;
    struct follower *follower;
    uv_timer_t tick;
};

static void ignore_change(void *context, uint64_t revision, struct span account, struct span host)
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

static void ignore_status(void *context)
{
    (void)context;
}

static void ignore_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void watch_until(struct watcher *watcher, bool (*is_so)(struct watcher *watcher))
{
    for (unsigned turns = 0; !is_so(watcher); turns++) {
        assert_true(turns < 2000);
        io_loop_turn(&watcher->loop, true);
    }
}

static bool watcher_follows(struct watcher *watcher)
{
    return follower_status(watcher->follower).is_synchronised;
}

static void watcher_start(struct watcher *watcher, const struct slapd *slapd)
{
    static const struct mirror_writer_events events = { ignore_change, ignore_many };
    struct config config = make_config(slapd);

    watcher->config = config.directory;
    watcher->lists[0] = text(slapd->uri);
    watcher->lists[1] = text("mail");
    watcher->config.uri = (struct string_list){ &watcher->lists[0], 1 };
    watcher->config.address_attributes = (struct string_list){ &watcher->lists[1], 1 };
    watcher->config.bind_dn = text(SLAPD_ROOT);
    watcher->config.bind_password = config.admin.bind_password;
    strcpy(watcher->folder, "/tmp/mailstead-mirror-XXXXXX");
    assert_non_null(mkdtemp(watcher->folder));
    io_loop_init(&watcher->loop);
    uv_timer_init(&watcher->loop.uv, &watcher->tick);
    uv_timer_start(&watcher->tick, ignore_tick, 10, 10);
    watcher->reader = account_reader_new(&watcher->config);
    watcher->writer = mirror_writer_open(watcher->folder, "test", &events, NULL);
    watcher->follower = follower_start(&watcher->loop, &watcher->config, watcher->reader,
                                       watcher->writer, ignore_status, NULL);
    watch_until(watcher, watcher_follows);
}

static void watcher_stop(struct watcher *watcher)
{
    char command[128];

    follower_stop(watcher->follower);
    uv_close((uv_handle_t *)&watcher->tick, NULL);
    io_loop_fini(&watcher->loop);
    mirror_writer_close(watcher->writer);
    account_reader_free(watcher->reader);
    snprintf(command, sizeof(command), "rm -rf %s", watcher->folder);
    assert_int_equal(system(command), 0);
}

/* Follows until the mirror has exactly `count` accounts on `host`. */
static const char *watched_host;
static unsigned watched_count;

static bool watcher_has_count(struct watcher *watcher)
{
    struct mirror *mirror = mirror_open(watcher->folder);
    struct route_source source = mirror_source(mirror);
    unsigned count = 0;

    for (unsigned i = 1; i <= 1200; i++) {
        struct route_entry entry;
        char address[64];

        snprintf(address, sizeof(address), "user%u@example.org", i);
        if (source.find(source.context, ROUTE_KEY_ADDRESS, span_from_string(address), &entry) ==
                ROUTE_FIND_ONE &&
            strcmp(entry.host, watched_host) == 0)
            count++;
    }
    mirror_close(mirror);
    return count == watched_count;
}

static void another_administrator_is_noticed_and_no_phantom_remains(void **state)
{
    struct slapd *slapd = *state;
    struct interruption interruption = { .slapd = slapd, .strike = move_one_elsewhere };
    struct watcher watcher;
    struct reassign_result result;

    slapd_add_accounts(slapd, 1, 1200, "sv1");
    slapd_start(slapd);
    watcher_start(&watcher, slapd);
    result = run_interrupted(&interruption);
    assert_int_equal(result.end, REASSIGN_CONTENDED);
    assert_non_null(strstr(result.error, "uid=user990"));
    assert_int_equal(result.progress.skipped, 2);
    assert_int_equal(slapd_count(slapd, "(hostServer=sv5)"), 1);
    /* Followers were told of the whole batch, and must see how it really is. */
    watched_host = "sv5";
    watched_count = 1;
    watch_until(&watcher, watcher_has_count);
    watched_host = "sv2";
    watched_count = slapd_count(slapd, "(hostServer=sv2)");
    watch_until(&watcher, watcher_has_count);
    watched_host = "sv1";
    watched_count = slapd_count(slapd, "(hostServer=sv1)");
    watch_until(&watcher, watcher_has_count);
    watcher_stop(&watcher);
    result = run(slapd, &to_sv2);
    assert_int_equal(result.end, REASSIGN_DONE);
    assert_int_equal(slapd_count(slapd, "(hostServer=sv1)"), 0);
}

/* Entry 990 is in the second transaction; what is left of it is committed all the same. */
static void a_transaction_is_tried_again_without_the_entry_that_changed(void **state)
{
    struct slapd *slapd = *state;
    struct interruption interruption = { .slapd = slapd,
                                         .batches = 1,
                                         .strike = move_one_elsewhere };
    struct reassign_result result;

    slapd_add_accounts(slapd, 980, 1200, "sv1");
    slapd_start(slapd);
    result = run_interrupted(&interruption);
    assert_int_equal(result.end, REASSIGN_CONTENDED);
    assert_true(result.used_transactions);
    assert_int_equal(result.progress.moved, 219);
    assert_int_equal(result.progress.skipped, 2);
    assert_int_equal(slapd_count(slapd, "(&(hostServer=sv2)(oldHostServer=sv1))"), 219);
}

static void remove_the_first_and_move_the_third(struct slapd *slapd)
{
    slapd_modify(slapd, "dn: uid=user1," SLAPD_PEOPLE "\nchangetype: delete\n\n"
                        "dn: uid=user3," SLAPD_PEOPLE "\nchangetype: modify\n"
                        "replace: hostServer\nhostServer: sv5\n");
}

/* In this database nobody has had oldHostServer before. */
static void no_transaction_is_the_first_to_use_an_attribute(void **state)
{
    struct slapd *slapd = *state;
    struct interruption interruption = { .slapd = slapd,
                                         .strike = remove_the_first_and_move_the_third };

    slapd_add_accounts(slapd, 1, 300, "sv1");
    slapd_start(slapd);
    assert_int_equal(run_interrupted(&interruption).end, REASSIGN_CONTENDED);
    assert_int_equal(slapd_count(slapd, "(&(hostServer=sv2)(oldHostServer=sv1))"), 298);
    assert_int_equal(slapd_count(slapd, "(objectClass=mailsteadAccount)"), 299);
}

#define slapd_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest runs[] = {
        slapd_test(all_accounts_of_a_backend_move_and_come_back),
        slapd_test(a_dry_run_counts_and_changes_nothing),
        slapd_test(odd_entries_are_named_and_left_alone),
        slapd_test(a_server_that_is_away_is_a_failure_with_its_name),
        slapd_test(a_bind_that_may_not_write_is_refused),
        cmocka_unit_test_setup_teardown(a_read_only_server_is_refused, set_up_read_only, tear_down),
        cmocka_unit_test_setup_teardown(a_replica_is_refused_with_the_name_of_its_provider,
                                        set_up_replica, tear_down),
        slapd_test(a_run_that_is_stopped_is_completed_by_the_next),
        slapd_test(a_server_that_dies_in_the_middle_leaves_nothing_wrong),
        slapd_test(a_run_that_is_killed_is_completed_by_the_next),
        slapd_test(another_administrator_is_noticed_and_no_phantom_remains),
        slapd_test(a_transaction_is_tried_again_without_the_entry_that_changed),
        slapd_test(no_transaction_is_the_first_to_use_an_attribute),
    };

    if (!slapd_is_installed())
        return 77;
    return cmocka_run_group_tests_name("reassign", runs, NULL, NULL);
}
