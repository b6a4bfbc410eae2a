/* SPDX-License-Identifier: Apache-2.0 */
/* The control plane of a real daemon: its control child, a role with commands, two workers. */
#include "tests/unit/daemon_support.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/service/control.h"
#include "tests/unit/control_support.h"

enum { ASK_TIMEOUT_MS = 20000, CLIENTS_MAX = 16 };

/* --- the roles, in the children --- */

static struct control_request *held;

static void run_echo(struct control_request *request, json_t *arguments, void *context)
{
    (void)context;
    control_reply(request, json_pack("{s:O}", "text", json_object_get(arguments, "text")));
    control_finish(request, NULL);
}

static void run_count(struct control_request *request, json_t *arguments, void *context)
{
    json_int_t limit = json_integer_value(json_object_get(arguments, "limit"));
    json_t *filling = json_object_get(arguments, "filling");

    (void)context;
    for (json_int_t i = 0; i < limit; i++)
        control_reply(request, json_pack("{s:I, s:O*}", "number", i, "filling", filling));
    control_finish(request, NULL);
}

static void run_fail(struct control_request *request, json_t *arguments, void *context)
{
    (void)arguments;
    (void)context;
    control_finish(request, "there is no such message");
}

/* More than is passed on, of characters of two bytes that are cut in their middle; and no UTF-8. */
static void run_complain(struct control_request *request, json_t *arguments, void *context)
{
    char text[501] = "x";

    (void)context;
    for (int i = 1; i < 499; i += 2)
        memcpy(text + i, "\xc3\xbc", 3);
    control_finish(request, json_object_get(arguments, "latin") ? "\xfc" : text);
}

/* Refuses logins of an account whose name is no UTF-8. */
static void run_block(struct control_request *request, json_t *arguments, void *context)
{
    struct child *child = context;
    const struct block block = { .key = 1,
                                 .until_ms = clock_monotonic_ms() + 60000,
                                 .account = "j\xf6rg@x",
                                 .network = "192.0.2.0/24" };

    (void)arguments;
    block_list_add(&child->board->blocks, &block);
    control_finish(request, NULL);
}

static void run_long(struct control_request *request, json_t *arguments, void *context)
{
    char *text = memory_new(CONTROL_LINE_MAX + 1);

    (void)arguments;
    (void)context;
    memset(text, 'x', CONTROL_LINE_MAX);
    control_reply(request, json_pack("{s:s}", "text", text));
    free(text);
    control_finish(request, NULL);
}

static void run_die(struct control_request *request, json_t *arguments, void *context)
{
    (void)request;
    (void)arguments;
    (void)context;
    _exit(0);
}

static void run_hold(struct control_request *request, json_t *arguments, void *context)
{
    (void)arguments;
    (void)context;
    held = request;
}

/* Whether somebody still wants what is held; when nobody does it is finished. */
static void run_is_held(struct control_request *request, json_t *arguments, void *context)
{
    bool is_wanted = held && control_is_wanted(held);

    (void)arguments;
    (void)context;
    control_reply(request, json_pack("{s:b, s:b}", "has", held != NULL, "is_wanted", is_wanted));
    if (held && !is_wanted) {
        control_finish(held, NULL);
        held = NULL;
    }
    control_finish(request, NULL);
}

static void run_who(struct control_request *request, json_t *arguments, void *context)
{
    const struct child *child = context;

    (void)arguments;
    control_reply(request, json_pack("{s:i}", "number", child->number));
    control_finish(request, NULL);
}

/* Asks the others itself, and passes on what it hears. */
struct asker {
    struct control_inquiry inquiry;
    struct control_request *request;
};

static void asker_on_line(struct control_inquiry *inquiry, struct span json)
{
    const struct asker *asker = CONTAINER_OF(inquiry, struct asker, inquiry);

    control_reply(asker->request, json_pack("{s:s%}", "heard", json.data, json.length));
}

static void asker_on_answered(struct control_inquiry *inquiry, const char *error, bool is_lost)
{
    const struct asker *asker = CONTAINER_OF(inquiry, struct asker, inquiry);

    (void)is_lost;
    control_finish(asker->request, error);
}

static void run_ask(struct control_request *request, json_t *arguments, void *context)
{
    static struct asker asker = { .inquiry = { asker_on_line, asker_on_answered } };
    const struct child *child = context;
    const char *command = json_string_value(json_object_get(arguments, "about"));

    asker.request = request;
    assert_true(control_client_ask(child->context, &asker.inquiry, command, SPAN_LITERAL("{}")));
}

static const struct control_command asker_commands[] = { { "ask", run_ask }, { NULL, NULL } };

static const struct control_command store_commands[] = {
    { "echo", run_echo },
    { "count", run_count },
    { "fail", run_fail },
    { "long", run_long },
    { "complain", run_complain },
    { "block", run_block },
    { "die", run_die },
    { "hold", run_hold },
    { "is-held", run_is_held },
    { "mirror-hosts", run_who },
    { NULL, NULL },
};
static const struct control_command worker_commands[] = { { "who", run_who }, { NULL, NULL } };

static void stop_role(struct child *child)
{
    control_client_stop(child->context);
    io_loop_stop(&child->loop);
}

static bool run_with(struct child *child, const struct control_command *commands)
{
    child->context = control_client_start(child, commands, child);
    child->stop = stop_role;
    child_run_loop(child);
    return true;
}

static void gate_path(char path[128])
{
    snprintf(path, 128, "%s/gate", daemon_folder);
}

/* Where there is a gate, a FIFO, the store starts no sooner than somebody opens it. */
static void wait_at_gate(void)
{
    char path[128];
    int fd;

    gate_path(path);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0)
        close(fd);
}

static bool store_run(struct child *child)
{
    bool is_good;

    wait_at_gate();
    is_good = run_with(child, store_commands);
    if (held)
        control_finish(held, NULL);
    return is_good;
}

static bool asker_run(struct child *child)
{
    return run_with(child, asker_commands);
}

static bool worker_run(struct child *child)
{
    child->slot->counters[BOARD_LOGINS] += child->number + 1;
    return run_with(child, worker_commands);
}

static const struct supervisor_role roles[] = {
    { .name = "control", .socket_name = "hub.sock", .run = control_run },
    { .name = "store", .run = store_run },
    { .name = "storage", .run = asker_run },
    { .name = "worker", .is_per_core = true, .run = worker_run },
};

static const struct supervisor_program program = {
    .name = "toy",
    .program = CONFIG_BACKEND,
    .roles = roles,
    .role_count = sizeof(roles) / sizeof(roles[0]),
};

/* --- the asking side --- */

static json_t *answers; /* the lines of the last answer */
static char ask_error[CONFIG_ERROR_SIZE];
static char socket_path[128];

static void keep_line(json_t *object, void *context)
{
    (void)context;
    json_array_append(answers, object);
}

static bool ask_within(const char *request, unsigned timeout_ms)
{
    json_t *object = json_loads(request, 0, NULL);
    bool is_good;

    assert_non_null(object);
    json_decref(answers);
    answers = json_array();
    ask_error[0] = '\0';
    is_good =
        control_ask(socket_path, object, timeout_ms, keep_line, NULL, ask_error, sizeof(ask_error));
    json_decref(object);
    return is_good;
}

static bool ask(const char *request)
{
    return ask_within(request, ASK_TIMEOUT_MS);
}

/* Asks until it is answered with `count` lines: processes connect to the hub in their own time. */
static void ask_until(const char *request, size_t count)
{
    uint64_t deadline_ms = clock_monotonic_ms() + DAEMON_WAIT_MS;

    while (!ask(request) || json_array_size(answers) != count)
        if (clock_monotonic_ms() > deadline_ms)
            fail_msg("%s: %zu lines, %s", request, json_array_size(answers), ask_error);
}

static json_t *answer(size_t index)
{
    return json_array_get(answers, index);
}

static int connect_raw(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%.100s", socket_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Sends `bytes` on a connection of its own, and gives the first line of the answer. */
static void ask_raw(const char *bytes, size_t length, char line[256])
{
    int fd = connect_raw();
    size_t used = 0;

    while (length > 0) {
        ssize_t count = send(fd, bytes, length, MSG_NOSIGNAL);

        if (count <= 0)
            break;
        bytes += count;
        length -= (size_t)count;
    }
    while (used < 255 && (used == 0 || line[used - 1] != '\n')) {
        struct pollfd readable = { .fd = fd, .events = POLLIN };

        assert_int_equal(poll(&readable, 1, DAEMON_WAIT_MS), 1);
        assert_int_equal(read(fd, line + used++, 1), 1);
    }
    line[used - 1] = '\0';
    close(fd);
}

static void start_daemon_at_once(void)
{
    snprintf(socket_path, sizeof(socket_path), "%s/run/control.sock", daemon_folder);
    daemon_configure(1, "a.example.org",
                     "workers = 2 cluster { backend \"sv1\" { address = \"10.0.0.1\" } }");
    daemon_start(&program);
}

static void start_daemon(void)
{
    start_daemon_at_once();
    ask_until("{\"command\":\"is-held\"}", 1);
    ask_until("{\"command\":\"who\"}", 2);
}

static void test_an_answer_has_its_lines_in_order(void **unused)
{
    (void)unused;
    start_daemon();
    assert_true(ask("{\"command\":\"echo\",\"text\":\"h\303\244 \\u0001 \\n\"}"));
    assert_int_equal(json_string_length(json_object_get(answer(0), "text")), 7);
    assert_true(ask("{\"command\":\"count\",\"limit\":20000}"));
    assert_int_equal(json_array_size(answers), 20000);
    for (size_t i = 0; i < 20000; i++)
        assert_int_equal(json_integer_value(json_object_get(answer(i), "number")), i);
    daemon_stop();
}

static void test_a_command_of_the_workers_is_answered_by_all(void **unused)
{
    json_int_t sum = 0;

    (void)unused;
    start_daemon();
    assert_true(ask("{\"command\":\"who\"}"));
    assert_int_equal(json_array_size(answers), 2);
    for (size_t i = 0; i < 2; i++)
        sum += json_integer_value(json_object_get(answer(i), "number"));
    assert_int_equal(sum, 1);
    daemon_stop();
}

static void test_a_command_behind_the_start_waits_for_who_has_it(void **unused)
{
    static const char request[] = "{\"command\":\"echo\",\"text\":1}\n";
    char path[128], line[256] = "";
    int client, gate;

    (void)unused;
    gate_path(path);
    assert_int_equal(mkfifo(path, 0644), 0);
    start_daemon_at_once();
    client = connect_raw();
    assert_int_equal(write(client, request, sizeof(request) - 1), sizeof(request) - 1);
    assert_true(ask("{\"command\":\"ping\"}")); /* so that the other was read before */
    gate = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(gate >= 0);
    assert_int_equal(unlink(path), 0);
    for (size_t used = 0; used < 255 && (used == 0 || line[used - 1] != '\n'); used++)
        assert_int_equal(read(client, line + used, 1), 1);
    assert_string_equal(line, "{\"text\":1}\n");
    close(gate);
    close(client);
    daemon_stop();
}

static void test_the_first_question_to_all_workers_is_answered_by_all(void **unused)
{
    (void)unused;
    start_daemon_at_once();
    assert_true(ask("{\"command\":\"who\"}"));
    assert_int_equal(json_array_size(answers), 2);
    daemon_stop();
}

static void test_errors_are_the_answer_s_end(void **unused)
{
    (void)unused;
    start_daemon();
    assert_false(ask("{\"command\":\"fail\"}"));
    assert_string_equal(ask_error, "store 0: there is no such message");
    assert_false(ask("{\"command\":\"nonsense\"}"));
    assert_string_equal(ask_error, "unknown command \"nonsense\": no running process of this toy has it");
    assert_false(ask("{\"text\":\"x\"}"));
    assert_string_equal(ask_error, "the request has no \"command\"");
    assert_false(ask("{\"command\":\"long\"}"));
    assert_string_equal(ask_error, "store 0: a line of the answer was too long and is left out");
    assert_false(ask_within("{\"command\":\"hold\"}", 100));
    assert_string_equal(ask_error, "no answer in time");
    daemon_stop();
    assert_false(ask("{\"command\":\"ping\"}"));
    assert_string_equal(ask_error, "No such file or directory");
}

static void test_errors_are_cut_between_characters_and_are_utf_8(void **unused)
{
    (void)unused;
    start_daemon();
    assert_false(ask("{\"command\":\"complain\"}"));
    assert_int_equal(strlen(ask_error), strlen("store 0: x") + 398);
    assert_true(span_is_utf8(span_from_string(ask_error)));
    assert_false(ask("{\"command\":\"complain\",\"latin\":1}"));
    assert_string_equal(ask_error, "store 0: \\FC");
    daemon_stop();
}

static void test_a_blocked_name_that_is_no_utf_8_is_shown_and_lifted_as_it_is_shown(void **unused)
{
    (void)unused;
    start_daemon();
    assert_true(ask("{\"command\":\"block\"}"));
    assert_true(ask("{\"command\":\"block-list\"}"));
    assert_int_equal(json_array_size(answers), 1);
    assert_string_equal(json_string_value(json_object_get(answer(0), "account")), "j\\F6rg@x");
    assert_true(ask("{\"command\":\"block-clear\",\"account\":\"jorg@x\"}"));
    assert_int_equal(json_integer_value(json_object_get(answer(0), "lifted")), 0);
    assert_true(ask("{\"command\":\"block-clear\",\"account\":\"j\\\\F6rg@x\"}"));
    assert_int_equal(json_integer_value(json_object_get(answer(0), "lifted")), 1);
    daemon_stop();
}

static void test_a_process_that_dies_ends_its_answers(void **unused)
{
    (void)unused;
    start_daemon();
    assert_false(ask("{\"command\":\"die\"}"));
    assert_string_equal(ask_error, "store 0: ended before it answered; ask again");
    ask_until("{\"command\":\"echo\",\"text\":\"back\"}", 1);
    daemon_stop();
}

static void test_a_new_control_child_is_found_again(void **unused)
{
    json_t *processes;
    pid_t pid;

    (void)unused;
    start_daemon();
    assert_true(ask("{\"command\":\"status\"}"));
    processes = json_object_get(answer(0), "processes");
    assert_string_equal(json_string_value(json_object_get(json_array_get(processes, 0), "role")),
                        "control");
    pid = (pid_t)json_integer_value(json_object_get(json_array_get(processes, 0), "pid"));
    assert_int_equal(kill(pid, SIGKILL), 0);
    DAEMON_AWAIT("event=child_died", "role=control");
    ask_until("{\"command\":\"who\"}", 2);
    daemon_stop();
}

/* The storage process asks where the accounts are; for anything else its connection ends. */
static void test_a_process_asks_what_it_may_ask(void **unused)
{
    (void)unused;
    start_daemon();
    assert_true(ask("{\"command\":\"ask\",\"about\":\"mirror-hosts\"}"));
    assert_string_equal(json_string_value(json_object_get(answer(0), "heard")), "{\"number\":0}");
    assert_false(ask("{\"command\":\"ask\",\"about\":\"who\"}"));
    assert_string_equal(ask_error, "storage 0: ended before it answered; ask again");
    DAEMON_AWAIT("event=hub_peer_wrong", "peer=\"storage 0\"");
    ask_until("{\"command\":\"ask\",\"about\":\"mirror-hosts\"}", 1);
    daemon_stop();
}

static void test_the_status_comes_from_the_board(void **unused)
{
    (void)unused;
    start_daemon();
    assert_true(ask("{\"command\":\"ping\"}"));
    assert_string_equal(json_string_value(json_object_get(answer(0), "program")), "toy");
    assert_int_equal(json_integer_value(json_object_get(answer(0), "pid")), daemon_pid);
    assert_true(ask("{\"command\":\"status\"}"));
    assert_int_equal(json_integer_value(json_object_get(answer(0), "generation")), 1);
    assert_int_equal(json_array_size(json_object_get(answer(0), "processes")), 5);
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(answer(0), "counters"), "logins")), 3);
    assert_true(
        json_is_false(json_object_get(json_object_get(answer(0), "mirror"), "is_synchronised")));
    daemon_stop();
}

static void test_who_asks_wrongly_is_told(void **unused)
{
    static char long_line[200000];
    char line[256];

    (void)unused;
    start_daemon();
    ask_raw("{\"command\":\n", 12, line);
    assert_string_equal(line, "{\"end\":true,\"error\":\"the request is no JSON\"}");
    ask_raw("[]\n", 3, line);
    assert_string_equal(line, "{\"end\":true,\"error\":\"the request has no \\\"command\\\"\"}");
    memset(long_line, 'x', sizeof(long_line));
    ask_raw(long_line, sizeof(long_line), line);
    assert_string_equal(line, "{\"end\":true,\"error\":\"the request is too long\"}");
    assert_true(ask("{\"command\":\"ping\"}"));
    daemon_stop();
}

static void test_requests_on_one_connection_are_answered_one_by_one(void **unused)
{
    static const char requests[] = "\n{\"command\":\"echo\",\"text\":1}\n{\"command\":\"fail\"}\n"
                                   "{\"command\":\"echo\",\"text\":3}\n";
    static const char expected[] =
        "{\"text\":1}\n{\"end\":true}\n"
        "{\"end\":true,\"error\":\"store 0: there is no such message\"}\n"
        "{\"text\":3}\n{\"end\":true}\n";
    char text[sizeof(expected)] = "";
    size_t used = 0;
    int fd;

    (void)unused;
    start_daemon();
    fd = connect_raw();
    for (size_t i = 0; i < sizeof(requests) - 1; i++)
        assert_int_equal(write(fd, &requests[i], 1), 1);
    while (used < sizeof(expected) - 1) {
        struct pollfd readable = { .fd = fd, .events = POLLIN };

        assert_int_equal(poll(&readable, 1, DAEMON_WAIT_MS), 1);
        assert_int_equal(read(fd, text + used++, 1), 1);
    }
    assert_string_equal(text, expected);
    close(fd);
    daemon_stop();
}

static void test_a_request_of_a_client_that_left_is_cancelled(void **unused)
{
    uint64_t deadline_ms = clock_monotonic_ms() + DAEMON_WAIT_MS;
    int fd;

    (void)unused;
    start_daemon();
    fd = connect_raw();
    assert_int_equal(write(fd, "{\"command\":\"hold\"}\n", 19), 19);
    do {
        assert_true(ask("{\"command\":\"is-held\"}"));
        assert_true(clock_monotonic_ms() < deadline_ms);
    } while (!json_is_true(json_object_get(answer(0), "has")));
    assert_true(json_is_true(json_object_get(answer(0), "is_wanted")));
    close(fd);
    do {
        assert_true(ask("{\"command\":\"is-held\"}"));
        assert_true(clock_monotonic_ms() < deadline_ms);
    } while (json_is_true(json_object_get(answer(0), "is_wanted")));
    daemon_stop();
}

static void test_who_does_not_read_is_cut_off(void **unused)
{
    char request[8192], filling[8000];
    int fd, length;

    (void)unused;
    memset(filling, 'x', sizeof(filling));
    length = snprintf(request, sizeof(request),
                      "{\"command\":\"count\",\"limit\":6000,\"filling\":\"%.*s\"}\n",
                      (int)sizeof(filling), filling);
    start_daemon();
    fd = connect_raw();
    assert_int_equal(write(fd, request, (size_t)length), length);
    DAEMON_AWAIT("event=control_client_too_slow");
    assert_true(ask("{\"command\":\"ping\"}"));
    close(fd);
    daemon_stop();
}

static void test_connections_are_bounded(void **unused)
{
    int fds[CLIENTS_MAX];

    (void)unused;
    start_daemon();
    for (int i = 0; i < CLIENTS_MAX; i++)
        fds[i] = connect_raw();
    assert_false(ask("{\"command\":\"ping\"}"));
    assert_string_equal(ask_error, "too many control connections");
    for (int i = 0; i < CLIENTS_MAX; i++)
        close(fds[i]);
    ask_until("{\"command\":\"ping\"}", 1);
    daemon_stop();
}

static int tear_down(void **unused)
{
    json_decref(answers);
    return daemon_tear_down(unused);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DAEMON_TEST(test_an_answer_has_its_lines_in_order),
        DAEMON_TEST(test_a_command_of_the_workers_is_answered_by_all),
        DAEMON_TEST(test_a_command_behind_the_start_waits_for_who_has_it),
        DAEMON_TEST(test_the_first_question_to_all_workers_is_answered_by_all),
        DAEMON_TEST(test_errors_are_the_answer_s_end),
        DAEMON_TEST(test_errors_are_cut_between_characters_and_are_utf_8),
        DAEMON_TEST(test_a_blocked_name_that_is_no_utf_8_is_shown_and_lifted_as_it_is_shown),
        DAEMON_TEST(test_a_process_that_dies_ends_its_answers),
        DAEMON_TEST(test_a_new_control_child_is_found_again),
        DAEMON_TEST(test_a_process_asks_what_it_may_ask),
        DAEMON_TEST(test_the_status_comes_from_the_board),
        DAEMON_TEST(test_who_asks_wrongly_is_told),
        DAEMON_TEST(test_requests_on_one_connection_are_answered_one_by_one),
        DAEMON_TEST(test_a_request_of_a_client_that_left_is_cancelled),
        DAEMON_TEST(test_who_does_not_read_is_cut_off),
        DAEMON_TEST(test_connections_are_bounded),
    };

    return cmocka_run_group_tests(tests, daemon_set_up, tear_down);
}
