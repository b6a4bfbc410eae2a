/* SPDX-License-Identifier: Apache-2.0 */
/* Links to a real slapd, to peers that are silent, and to servers that are not whom they say. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "directory/ldap_link.h"
#include "directory/link_settings.h"
#include "tests/unit/listening.h"
#include "tests/unit/slapd.h"

enum { PATIENCE_MS = 15000 };

struct fixture {
    struct slapd slapd;
    unsigned port, tls_port;
    struct io_loop loop;
    uv_timer_t tick;
    struct ldap_link *link;
    bool is_ready, has_ended;
    char reason[256];
    /* Of the last operation: */
    unsigned entries, dones;
    int code;
    char first_dn[128];
};

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static void on_ready(void *context)
{
    struct fixture *fixture = context;

    fixture->is_ready = true;
}

static void on_ended(void *context, const char *reason)
{
    struct fixture *fixture = context;

    fixture->has_ended = true;
    snprintf(fixture->reason, sizeof(fixture->reason), "%s", reason);
}

static const struct ldap_link_events link_events = { .ready = on_ready, .ended = on_ended };

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    log_set_descriptor(open("/dev/null", O_WRONLY));
    slapd_init(&fixture->slapd, "");
    io_loop_init(&fixture->loop);
    uv_timer_init(&fixture->loop.uv, &fixture->tick);
    uv_timer_start(&fixture->tick, on_tick, 20, 20);
    *state = fixture;
    return 0;
}

static int set_up_tls(void **state)
{
    struct fixture *fixture;
    uint16_t ports[2];

    set_up(state);
    fixture = *state;
    find_ports(ports, 2);
    fixture->port = ports[0];
    fixture->tls_port = ports[1];
    slapd_add_tls(&fixture->slapd, fixture->port, fixture->tls_port);
    slapd_start(&fixture->slapd);
    return 0;
}

static void close_link(struct fixture *fixture)
{
    if (fixture->link)
        ldap_link_close(fixture->link);
    fixture->link = NULL;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    close_link(fixture);
    uv_close((uv_handle_t *)&fixture->tick, NULL);
    io_loop_fini(&fixture->loop);
    slapd_fini(&fixture->slapd);
    free(fixture);
    return 0;
}

/* --- opening ------------------------------------------------------------------------ */

static void open_link(struct fixture *fixture, struct ldap_settings settings)
{
    fixture->is_ready = false;
    fixture->has_ended = false;
    settings.bind_dn = SLAPD_ROOT;
    if (!settings.password)
        settings.password = SLAPD_SECRET;
    if (!settings.timeout_ms)
        settings.timeout_ms = 5000;
    fixture->link = ldap_link_open(&fixture->loop, &settings, &link_events, fixture);
}

static void await(struct fixture *fixture, const bool *flag)
{
    uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

    while (!*flag) {
        assert_true(clock_monotonic_ms() < deadline_ms);
        io_loop_turn(&fixture->loop, true);
    }
}

static void assert_opens(struct fixture *fixture, struct ldap_settings settings)
{
    open_link(fixture, settings);
    await(fixture, &fixture->is_ready);
    assert_false(fixture->has_ended);
    close_link(fixture);
}

static void assert_fails(struct fixture *fixture, struct ldap_settings settings, const char *word)
{
    open_link(fixture, settings);
    await(fixture, &fixture->has_ended);
    assert_false(fixture->is_ready);
    assert_non_null(strstr(fixture->reason, word));
    close_link(fixture);
}

static const char *path_of(struct fixture *fixture, const char *name)
{
    static char path[128];

    snprintf(path, sizeof(path), "%s/%s", fixture->slapd.folder, name);
    return path;
}

static void starttls_and_ldaps_work_with_the_right_authority(void **state)
{
    struct fixture *fixture = *state;
    const char *ca = path_of(fixture, "ca.pem");
    char uri[64];

    snprintf(uri, sizeof(uri), "ldap://127.0.0.1:%u", fixture->port);
    assert_opens(fixture, (struct ldap_settings){ .uri = uri });
    assert_opens(fixture, (struct ldap_settings){ .uri = uri, .starttls = true, .ca = ca });
    snprintf(uri, sizeof(uri), "ldaps://127.0.0.1:%u", fixture->tls_port);
    assert_opens(fixture, (struct ldap_settings){ .uri = uri, .ca = ca });
}

static void a_wrong_authority_or_name_never_gets_the_password(void **state)
{
    struct fixture *fixture = *state;
    const char *ca = path_of(fixture, "other.pem");
    char uri[64];

    snprintf(uri, sizeof(uri), "ldap://127.0.0.1:%u", fixture->port);
    assert_fails(fixture, (struct ldap_settings){ .uri = uri, .starttls = true, .ca = ca },
                 "StartTLS");
    assert_fails(fixture, (struct ldap_settings){ .uri = uri, .starttls = true }, "StartTLS");
    snprintf(uri, sizeof(uri), "ldaps://127.0.0.1:%u", fixture->tls_port);
    assert_fails(fixture, (struct ldap_settings){ .uri = uri, .ca = ca }, "connect");
    ca = path_of(fixture, "ca.pem");
    snprintf(uri, sizeof(uri), "ldaps://127.0.0.2:%u", fixture->tls_port);
    assert_fails(fixture, (struct ldap_settings){ .uri = uri, .ca = ca }, "connect");
}

static void a_silent_peer_costs_no_more_than_the_timeout(void **state)
{
    struct fixture *fixture = *state;
    uint16_t port;
    int fd = listen_somewhere(&port);

    for (size_t i = 0; i < 3; i++) {
        uint64_t start_ms = clock_monotonic_ms();
        char uri[64];

        snprintf(uri, sizeof(uri), "%s://127.0.0.1:%u", i == 2 ? "ldaps" : "ldap", port);
        assert_fails(fixture,
                     (struct ldap_settings){ .uri = uri, .starttls = i == 1, .timeout_ms = 300 },
                     ":");
        assert_true(clock_monotonic_ms() - start_ms < 3000);
    }
    close(fd);
}

static void the_loop_turns_while_a_link_is_connecting(void **state)
{
    struct fixture *fixture = *state;
    uint16_t port;
    int fd = listen_somewhere(&port);
    char uri[64];

    snprintf(uri, sizeof(uri), "ldaps://127.0.0.1:%u", port);
    open_link(fixture, (struct ldap_settings){ .uri = uri, .timeout_ms = 5000 });
    for (unsigned turn = 0; turn < 20; turn++) /* the tick is every 20 ms */
        io_loop_turn(&fixture->loop, true);
    assert_false(fixture->has_ended);
    close(fd);
}

static void a_link_may_be_closed_at_any_time(void **state)
{
    struct fixture *fixture = *state;

    slapd_start(&fixture->slapd);
    open_link(fixture, (struct ldap_settings){ .uri = fixture->slapd.uri });
    close_link(fixture);
    open_link(fixture, (struct ldap_settings){ .uri = fixture->slapd.uri });
    io_loop_turn(&fixture->loop, false);
    fixture->is_ready = false; /* it may have been so soon */
    close_link(fixture);
    io_loop_turn(&fixture->loop, true);
    assert_false(fixture->is_ready || fixture->has_ended);
}

static void a_wrong_password_a_dead_server_and_a_wrong_uri_have_reasons(void **state)
{
    struct fixture *fixture = *state;

    assert_fails(fixture, (struct ldap_settings){ .uri = fixture->slapd.uri }, "connect");
    assert_fails(fixture, (struct ldap_settings){ .uri = "http://a" }, "http://a");
    slapd_start(&fixture->slapd);
    assert_fails(fixture,
                 (struct ldap_settings){ .uri = fixture->slapd.uri, .password = "tell-nobody" },
                 "bind");
    assert_null(strstr(fixture->reason, "tell-nobody"));
}

/* --- operations ------------------------------------------------------------------------ */

static void on_entry(void *context, const struct ldap_entry *entry)
{
    struct fixture *fixture = context;

    if (fixture->entries++ == 0)
        snprintf(fixture->first_dn, sizeof(fixture->first_dn), "%s", entry->dn);
}

static void on_done(void *context, const struct ldap_answer *answer)
{
    struct fixture *fixture = context;

    fixture->dones++;
    fixture->code = answer->code;
}

static const char *const attributes[] = { "mail", NULL };

static int start_search(struct fixture *fixture, struct ldap_search search)
{
    static const struct ldap_search_events events = { .entry = on_entry, .done = on_done };

    fixture->entries = 0;
    fixture->dones = 0;
    search.base = SLAPD_PEOPLE;
    search.scope = LDAP_SCOPE_OF_SUBTREE;
    search.attributes = attributes;
    return ldap_link_search(fixture->link, &search, &events, fixture);
}

static void await_done(struct fixture *fixture)
{
    uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

    while (fixture->dones == 0) {
        assert_true(clock_monotonic_ms() < deadline_ms);
        io_loop_turn(&fixture->loop, true);
    }
    assert_int_equal(fixture->dones, 1);
}

static void prepare(struct fixture *fixture, unsigned count)
{
    slapd_add_accounts(&fixture->slapd, 1, count, "sv1");
    slapd_start(&fixture->slapd);
    open_link(fixture, (struct ldap_settings){ .uri = fixture->slapd.uri });
    await(fixture, &fixture->is_ready);
}

static void a_search_shows_its_entries_and_its_end(void **state)
{
    struct fixture *fixture = *state;

    prepare(fixture, 3000);
    assert_true(start_search(fixture, (struct ldap_search){ .filter = "(mail=*)" }) > 0);
    await_done(fixture);
    assert_int_equal(fixture->code, LDAP_CODE_SUCCESS);
    assert_int_equal(fixture->entries, 3000);
    start_search(fixture, (struct ldap_search){ .filter = "(mail=*)", .size_limit = 2 });
    await_done(fixture);
    assert_int_equal(fixture->code, LDAP_CODE_SIZE_LIMIT);
    start_search(fixture, (struct ldap_search){ .filter = "(uid=user7)" });
    await_done(fixture);
    assert_int_equal(fixture->entries, 1);
    assert_string_equal(fixture->first_dn, "uid=user7," SLAPD_PEOPLE);
}

static int start_modify(struct fixture *fixture, const char *dn, const char *assertion)
{
    struct ldap_change change = { LDAP_CHANGE_REPLACE, "hostServer", "sv2" };
    struct ldap_modify modify = {
        .dn = dn, .changes = &change, .change_count = 1, .assertion = assertion, .timeout_ms = 5000
    };

    fixture->dones = 0;
    return ldap_link_modify(fixture->link, &modify, on_done, fixture);
}

static void what_arrives_while_a_link_rests_is_told_afterwards(void **state)
{
    struct fixture *fixture = *state;
    uint64_t began_ms;

    prepare(fixture, 3);
    began_ms = clock_monotonic_ms();
    assert_true(start_search(fixture, (struct ldap_search){ .filter = "(uid=*)" }) > 0);
    ldap_link_rest(fixture->link, 300);
    ldap_link_rest(fixture->link, 10000); /* it rests already */
    await_done(fixture);
    assert_in_range(clock_monotonic_ms() - began_ms, 250, 9000); /* the loop's clock lags */
    assert_int_equal(fixture->code, LDAP_CODE_SUCCESS);
    ldap_link_rest(fixture->link, 10000); /* and may be closed while it does */
    close_link(fixture);
}

static void a_change_is_made_only_if_its_assertion_holds(void **state)
{
    struct fixture *fixture = *state;

    prepare(fixture, 2);
    assert_true(start_modify(fixture, "uid=user1," SLAPD_PEOPLE, "(hostServer=sv9)") > 0);
    await_done(fixture);
    assert_int_equal(fixture->code, LDAP_CODE_ASSERTION_FAILED);
    assert_int_equal(slapd_count(&fixture->slapd, "(hostServer=sv1)"), 2);
    start_modify(fixture, "uid=user1," SLAPD_PEOPLE, "(hostServer=sv1)");
    await_done(fixture);
    assert_int_equal(fixture->code, LDAP_CODE_SUCCESS);
    assert_int_equal(slapd_count(&fixture->slapd, "(hostServer=sv2)"), 1);
    start_modify(fixture, "uid=user9," SLAPD_PEOPLE, NULL);
    await_done(fixture);
    assert_int_equal(fixture->code, LDAP_CODE_NO_SUCH_OBJECT);
}

static void an_operation_without_answer_times_out_and_others_go_on(void **state)
{
    struct fixture *fixture = *state;

    prepare(fixture, 2);
    slapd_freeze(&fixture->slapd);
    start_search(fixture, (struct ldap_search){ .filter = "(uid=user1)", .timeout_ms = 200 });
    await_done(fixture);
    assert_int_equal(fixture->code, LDAP_CODE_TIMEOUT);
    assert_int_equal(ldap_link_pending(fixture->link), 0);
    kill(fixture->slapd.pid, SIGCONT);
    start_search(fixture, (struct ldap_search){ .filter = "(uid=user2)", .timeout_ms = 5000 });
    await_done(fixture);
    assert_int_equal(fixture->code, LDAP_CODE_SUCCESS);
    assert_string_equal(fixture->first_dn, "uid=user2," SLAPD_PEOPLE);
}

static void a_server_that_dies_ends_operations_and_then_the_link(void **state)
{
    struct fixture *fixture = *state;

    prepare(fixture, 2);
    slapd_freeze(&fixture->slapd);
    start_search(fixture, (struct ldap_search){ .filter = "(uid=user1)", .timeout_ms = 60000 });
    slapd_stop(&fixture->slapd, SIGKILL);
    await(fixture, &fixture->has_ended);
    assert_int_equal(fixture->dones, 1);
    assert_int_equal(fixture->code, LDAP_CODE_LOST);
    assert_int_equal(start_search(fixture, (struct ldap_search){ .filter = "(uid=a)" }), 0);
}

static void an_abandoned_operation_is_not_heard_of_again(void **state)
{
    struct fixture *fixture = *state;

    prepare(fixture, 2);
    ldap_link_abandon(fixture->link,
                      start_search(fixture, (struct ldap_search){ .filter = "(mail=*)" }));
    assert_int_equal(ldap_link_pending(fixture->link), 0);
    start_modify(fixture, "uid=user1," SLAPD_PEOPLE, NULL);
    await_done(fixture);
    assert_int_equal(fixture->entries, 0);
    ldap_link_abandon(fixture->link, 12345);
}

static void a_connection_that_takes_no_more_says_so_and_goes_on_later(void **state)
{
    struct fixture *fixture = *state;
    static char assertion[8192];
    unsigned sent = 0;
    int number;

    memset(assertion, 'x', sizeof(assertion) - 1);
    memcpy(assertion, "(uid=", 5);
    assertion[sizeof(assertion) - 2] = ')';
    prepare(fixture, 2);
    slapd_freeze(&fixture->slapd);
    while ((number = start_modify(fixture, "uid=user1," SLAPD_PEOPLE, assertion)) > 0)
        assert_true(++sent < 900);
    assert_int_equal(number, LDAP_LINK_FULL);
    assert_int_equal(ldap_link_pending(fixture->link), sent);
    kill(fixture->slapd.pid, SIGCONT);
    while (ldap_link_pending(fixture->link) > 0)
        io_loop_turn(&fixture->loop, true);
    assert_false(fixture->has_ended);
    assert_int_equal(fixture->dones, sent);
    assert_int_equal(fixture->code, LDAP_CODE_ASSERTION_FAILED);
    assert_true(start_modify(fixture, "uid=user1," SLAPD_PEOPLE, NULL) > 0);
    await_done(fixture);
    assert_int_equal(fixture->code, LDAP_CODE_SUCCESS);
}

#define link_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

static void assert_identity(const struct ldap_settings *settings, const char *bind_dn,
                            const char *password)
{
    assert_string_equal(settings->bind_dn ? settings->bind_dn : "none", bind_dn);
    assert_string_equal(settings->password ? settings->password : "none", password);
}

/* Without an identity of its own a socket of this machine says who writes. */
static void who_writes_is_whom_the_configuration_names(void **state)
{
    char followed[] = "ldap://followed", provider[] = "ldap://provider", local[] = "ldapi:///";
    char *uris[] = { followed }, file[] = "/file", reader[] = "cn=reader", writer[] = "cn=writer";
    char ca[] = "/ca.pem";
    struct config config = {
        .directory = { .uri = { uris, 1 },
                       .starttls = true,
                       .ca = ca,
                       .bind_dn = reader,
                       .bind_password = { .file = file, .value = "reads" } },
    };
    struct ldap_settings settings = link_settings_for_writing(&config, 7);

    (void)state;
    assert_string_equal(settings.uri, followed);
    assert_identity(&settings, reader, "reads");
    assert_true(settings.starttls);
    config.admin.write_uri = provider;
    settings = link_settings_for_writing(&config, 7);
    assert_string_equal(settings.uri, provider);
    assert_identity(&settings, reader, "reads");
    assert_false(settings.starttls);
    assert_string_equal(settings.ca, ca);
    assert_int_equal(settings.timeout_ms, 7);
    config.admin.write_uri = local;
    settings = link_settings_for_writing(&config, 7);
    assert_identity(&settings, "none", "none");
    config.admin.bind_dn = writer;
    config.admin.bind_password = (struct secret){ .file = file, .value = "writes" };
    settings = link_settings_for_writing(&config, 7);
    assert_identity(&settings, writer, "writes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_writes_is_whom_the_configuration_names),
        cmocka_unit_test_setup_teardown(starttls_and_ldaps_work_with_the_right_authority,
                                        set_up_tls, tear_down),
        cmocka_unit_test_setup_teardown(a_wrong_authority_or_name_never_gets_the_password,
                                        set_up_tls, tear_down),
        link_test(a_silent_peer_costs_no_more_than_the_timeout),
        link_test(the_loop_turns_while_a_link_is_connecting),
        link_test(a_link_may_be_closed_at_any_time),
        link_test(a_wrong_password_a_dead_server_and_a_wrong_uri_have_reasons),
        link_test(a_search_shows_its_entries_and_its_end),
        link_test(what_arrives_while_a_link_rests_is_told_afterwards),
        link_test(a_change_is_made_only_if_its_assertion_holds),
        link_test(an_operation_without_answer_times_out_and_others_go_on),
        link_test(a_server_that_dies_ends_operations_and_then_the_link),
        link_test(an_abandoned_operation_is_not_heard_of_again),
        link_test(a_connection_that_takes_no_more_says_so_and_goes_on_later),
    };

    if (!slapd_is_installed())
        return 77;
    return cmocka_run_group_tests_name("ldap_link", tests, NULL, NULL);
}
