/* SPDX-License-Identifier: Apache-2.0 */
/* Passwords at a real slapd: right and wrong ones, and a server that goes away in the middle. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "directory/binder.h"
#include "tests/unit/slapd.h"

enum { PATIENCE_MS = 30000, NONE = 99 };

#define ALICE "alice@example.org"

struct fixture {
    struct slapd slapd;
    struct io_loop loop;
    uv_timer_t tick;
    struct config config;
    struct binder *binder;
    unsigned answers;
    unsigned answer[BINDER_OPEN_MAX + 2]; /* by its number */
};

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

static const char *followed_uri(void *context)
{
    return ((struct fixture *)context)->slapd.uri;
}

static const char people[] =
    "dn: uid=alice," SLAPD_PEOPLE "\nchangetype: add\nobjectClass: inetOrgPerson\n"
    "objectClass: mailsteadAccount\nuid: alice\ncn: alice\nsn: alice\nmail: " ALICE "\n"
    "hostServer: sv1\nuserPassword: s3cret\n\n"
    "dn: uid=twin1," SLAPD_PEOPLE "\nchangetype: add\nobjectClass: inetOrgPerson\n"
    "objectClass: mailsteadAccount\nuid: twin1\ncn: t\nsn: t\nmail: twin@example.org\n"
    "userPassword: s3cret\n\n"
    "dn: uid=twin2," SLAPD_PEOPLE "\nchangetype: add\nobjectClass: inetOrgPerson\n"
    "objectClass: mailsteadAccount\nuid: twin2\ncn: t\nsn: t\nmail: twin@example.org\n"
    "userPassword: s3cret\n\n"
    "dn: uid=guest," SLAPD_PEOPLE "\nchangetype: add\nobjectClass: inetOrgPerson\n"
    "uid: guest\ncn: guest\nsn: guest\nmail: guest@example.org\nuserPassword: s3cret\n";

/* The configuration's texts are its own elsewhere; nobody writes them. */
static char *writable(const char *text)
{
    return (char *)(uintptr_t)text;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    struct directory_config *directory = &fixture->config.directory;

    log_set_descriptor(open("/dev/null", O_WRONLY));
    slapd_init(&fixture->slapd, "");
    slapd_start(&fixture->slapd);
    slapd_modify(&fixture->slapd, people);
    directory->base = writable(SLAPD_PEOPLE);
    directory->filter = writable("(objectClass=mailsteadAccount)");
    directory->store_name_attribute = writable("mail");
    directory->bind_dn = writable(SLAPD_ROOT);
    directory->bind_password.file = writable("file");
    strcpy(directory->bind_password.value, SLAPD_SECRET);
    io_loop_init(&fixture->loop);
    uv_timer_init(&fixture->loop.uv, &fixture->tick);
    uv_timer_start(&fixture->tick, on_tick, 20, 20);
    fixture->binder = binder_start(&fixture->loop, &fixture->config, followed_uri, fixture);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    if (fixture->binder)
        binder_stop(fixture->binder);
    uv_close((uv_handle_t *)&fixture->tick, NULL);
    io_loop_fini(&fixture->loop);
    slapd_fini(&fixture->slapd);
    free(fixture);
    return 0;
}

static void on_answered(void *asker, uint32_t number, enum directory_bind_answer answer)
{
    struct fixture *fixture = asker;

    assert_int_equal(fixture->answer[number], NONE);
    fixture->answer[number] = answer;
    fixture->answers++;
}

static void ask(struct fixture *fixture, uint32_t number, const char *account, const char *password)
{
    fixture->answer[number] = NONE;
    binder_ask(fixture->binder, span_from_string(account), span_from_string(password), on_answered,
               fixture, number);
}

static void await_answers(struct fixture *fixture, unsigned count)
{
    uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

    while (fixture->answers < count) {
        assert_true(clock_monotonic_ms() < deadline_ms);
        io_loop_turn(&fixture->loop, true);
    }
    assert_int_equal(fixture->answers, count);
    fixture->answers = 0;
}

static unsigned answer_to(struct fixture *fixture, const char *account, const char *password)
{
    ask(fixture, 0, account, password);
    await_answers(fixture, 1);
    return fixture->answer[0];
}

static void only_the_password_of_one_account_is_accepted(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(answer_to(fixture, ALICE, "s3cret"), DIRECTORY_BIND_ACCEPTED);
    assert_int_equal(answer_to(fixture, ALICE, "S3cret"), DIRECTORY_BIND_REFUSED);
    assert_int_equal(answer_to(fixture, ALICE, ""), DIRECTORY_BIND_UNSURE);
    assert_int_equal(answer_to(fixture, "", "s3cret"), DIRECTORY_BIND_UNSURE);
    assert_int_equal(answer_to(fixture, "twin@example.org", "s3cret"), DIRECTORY_BIND_UNSURE);
    assert_int_equal(answer_to(fixture, "guest@example.org", "s3cret"), DIRECTORY_BIND_UNSURE);
    assert_int_equal(answer_to(fixture, "*", "s3cret"), DIRECTORY_BIND_UNSURE);
    assert_int_equal(answer_to(fixture, "a)(uid=alice", "s3cret"), DIRECTORY_BIND_UNSURE);
    assert_int_equal(answer_to(fixture, ALICE, "s3cret"), DIRECTORY_BIND_ACCEPTED);
}

static void each_of_many_gets_its_own_answer(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 40; i++)
        ask(fixture, i, ALICE, i % 3 == 0 ? "s3cret" : "wrong");
    await_answers(fixture, 40);
    for (unsigned i = 0; i < 40; i++)
        assert_int_equal(fixture->answer[i],
                         i % 3 == 0 ? DIRECTORY_BIND_ACCEPTED : DIRECTORY_BIND_REFUSED);
}

static void more_than_are_taken_are_unsure_at_once(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < BINDER_OPEN_MAX; i++)
        ask(fixture, i, ALICE, "s3cret");
    assert_int_equal(fixture->answers, 0);
    ask(fixture, BINDER_OPEN_MAX, ALICE, "s3cret");
    assert_int_equal(fixture->answers, 1);
    assert_int_equal(fixture->answer[BINDER_OPEN_MAX], DIRECTORY_BIND_UNSURE);
    await_answers(fixture, BINDER_OPEN_MAX + 1);
    assert_int_equal(fixture->answer[BINDER_OPEN_MAX - 1], DIRECTORY_BIND_ACCEPTED);
}

static void without_a_server_nobody_is_refused(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(answer_to(fixture, ALICE, "s3cret"), DIRECTORY_BIND_ACCEPTED);
    slapd_stop(&fixture->slapd, SIGKILL);
    assert_int_equal(answer_to(fixture, ALICE, "wrong"), DIRECTORY_BIND_UNSURE);
    slapd_start(&fixture->slapd);
    while (answer_to(fixture, ALICE, "wrong") != DIRECTORY_BIND_REFUSED)
        io_loop_turn(&fixture->loop, true);
    assert_int_equal(answer_to(fixture, ALICE, "s3cret"), DIRECTORY_BIND_ACCEPTED);
}

static void a_server_that_dies_over_a_question_refuses_nobody(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(answer_to(fixture, ALICE, "s3cret"), DIRECTORY_BIND_ACCEPTED);
    slapd_freeze(&fixture->slapd);
    for (unsigned i = 0; i < 6; i++)
        ask(fixture, i, ALICE, "wrong");
    io_loop_turn(&fixture->loop, true);
    assert_int_equal(fixture->answers, 0);
    slapd_stop(&fixture->slapd, SIGKILL);
    await_answers(fixture, 6);
    for (unsigned i = 0; i < 6; i++)
        assert_int_equal(fixture->answer[i], DIRECTORY_BIND_UNSURE);
}

/* As behind a firewall that has forgotten the connection: it is not asked a second time. */
static void a_connection_that_is_silent_is_left(void **state)
{
    struct fixture *fixture = *state;
    char path[128];
    pid_t silent;

    assert_int_equal(answer_to(fixture, ALICE, "s3cret"), DIRECTORY_BIND_ACCEPTED);
    slapd_freeze(&fixture->slapd);
    silent = fixture->slapd.pid;
    snprintf(path, sizeof(path), "%s/socket", fixture->slapd.folder);
    unlink(path);
    slapd_start(&fixture->slapd);
    assert_int_equal(answer_to(fixture, ALICE, "s3cret"), DIRECTORY_BIND_UNSURE);
    assert_int_equal(answer_to(fixture, ALICE, "wrong"), DIRECTORY_BIND_UNSURE); /* the bind */
    assert_int_equal(answer_to(fixture, ALICE, "s3cret"), DIRECTORY_BIND_ACCEPTED);
    kill(silent, SIGKILL);
    assert_int_equal(waitpid(silent, NULL, 0), silent);
}

static void who_has_left_is_not_answered(void **state)
{
    struct fixture *fixture = *state;

    for (unsigned i = 0; i < 8; i++)
        ask(fixture, i, ALICE, "s3cret");
    binder_forget(fixture->binder, fixture);
    ask(fixture, 8, ALICE, "s3cret");
    await_answers(fixture, 1);
    assert_int_equal(fixture->answer[8], DIRECTORY_BIND_ACCEPTED);
    assert_int_equal(fixture->answer[0], NONE);
}

static void it_stops_with_questions_open(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(answer_to(fixture, ALICE, "s3cret"), DIRECTORY_BIND_ACCEPTED);
    for (unsigned i = 0; i < 8; i++)
        ask(fixture, i, ALICE, "wrong");
    io_loop_turn(&fixture->loop, true);
    binder_stop(fixture->binder);
    fixture->binder = NULL;
    assert_int_equal(fixture->answers, 8);
    for (unsigned i = 0; i < 8; i++)
        assert_int_not_equal(fixture->answer[i], DIRECTORY_BIND_ACCEPTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_the_password_of_one_account_is_accepted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(each_of_many_gets_its_own_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(more_than_are_taken_are_unsure_at_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(without_a_server_nobody_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_server_that_dies_over_a_question_refuses_nobody, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_connection_that_is_silent_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(who_has_left_is_not_answered, set_up, tear_down),
        cmocka_unit_test_setup_teardown(it_stops_with_questions_open, set_up, tear_down),
    };

    if (!slapd_is_installed())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
