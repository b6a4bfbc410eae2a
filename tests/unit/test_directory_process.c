/* SPDX-License-Identifier: Apache-2.0 */
/* The directory process with a real slapd, as workers see it: its socket and the board. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/io/channel.h"
#include "directory/messages.h"
#include "directory/mirror.h"
#include "directory/process.h"
#include "tests/unit/slapd.h"

enum { PATIENCE_MS = 20000 };

struct fixture {
    struct slapd slapd;
    char folder[64];
    char *uris[1], *address_attributes[1], *login_attributes[1], *domains[1];
    struct listener_config listener;
    struct config config;
    struct board *board;
    char socket_path[128];
    int service_fd;
    pid_t pid; /* of the process */
    int fd;    /* our connection to it */
    uint32_t asked;
};

static char *text(const char *string)
{
    return (char *)(uintptr_t)string;
}

static void fill_config(struct fixture *fixture)
{
    struct directory_config *directory = &fixture->config.directory;

    fixture->uris[0] = fixture->slapd.uri;
    fixture->address_attributes[0] = text("mail");
    fixture->login_attributes[0] = text("uid");
    fixture->domains[0] = text("example.org");
    fixture->listener.default_domain = text("example.org");
    fixture->config.listeners = &fixture->listener;
    fixture->config.listener_count = 1;
    fixture->config.cluster.domains = (struct string_list){ fixture->domains, 1 };
    fixture->config.state_directory = fixture->folder;
    fixture->config.run_directory = fixture->folder;
    directory->uri = (struct string_list){ fixture->uris, 1 };
    directory->base = text(SLAPD_PEOPLE);
    directory->bind_dn = text(SLAPD_ROOT);
    directory->bind_password.file = text("given");
    strcpy(directory->bind_password.value, SLAPD_SECRET);
    directory->filter = text("(objectClass=mailsteadAccount)");
    directory->address_attributes = (struct string_list){ fixture->address_attributes, 1 };
    directory->login_attributes = (struct string_list){ fixture->login_attributes, 1 };
    directory->host_attribute = text("hostServer");
    directory->old_host_attribute = text("oldHostServer");
    directory->store_name_attribute = text("mail");
    directory->recipient_delimiter = text("+");
    directory->confirm_rate = 1000;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    slapd_init(&fixture->slapd, "");
    strcpy(fixture->folder, "/tmp/mailstead-directory-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    fill_config(fixture);
    fixture->board = board_new();
    assert_non_null(fixture->board);
    snprintf(fixture->socket_path, sizeof(fixture->socket_path), "%s/directory.sock",
             fixture->folder);
    fixture->service_fd = channel_listen(fixture->socket_path, 0600);
    assert_true(fixture->service_fd >= 0);
    fixture->fd = -1;
    *state = fixture;
    return 0;
}

/* The process's side; leaves by exit(), so that leaks are reported. */
static void be_the_process(struct fixture *fixture)
{
    struct child *child = calloc(1, sizeof(*child));
    bool ended_well;

    child->config = &fixture->config;
    child->board = fixture->board;
    child->slot = &fixture->board->slots[0];
    child->service_fd = fixture->service_fd;
    child->control_fd = -1;
    child->ready_fd = -1;
    io_loop_init(&child->loop);
    ended_well = directory_run(child);
    io_loop_fini(&child->loop);
    free(child);
    free(fixture);
    exit(ended_well ? 0 : 1);
}

static void start_process(struct fixture *fixture)
{
    fixture->pid = fork();
    assert_true(fixture->pid >= 0);
    if (fixture->pid == 0)
        be_the_process(fixture);
}

static void stop_process(struct fixture *fixture)
{
    int status;

    kill(fixture->pid, SIGTERM);
    assert_int_equal(waitpid(fixture->pid, &status, 0), fixture->pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    fixture->pid = 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;
    char command[128];

    if (fixture->fd >= 0)
        close(fixture->fd);
    if (fixture->pid)
        stop_process(fixture);
    close(fixture->service_fd);
    slapd_fini(&fixture->slapd);
    snprintf(command, sizeof(command), "rm -rf %s", fixture->folder);
    assert_int_equal(system(command), 0);
    free(fixture);
    return 0;
}

/* --- talking to it ---------------------------------------------------------------- */

static char received[8192];

/* The next message; its length is 0 when the process has hung up. */
static struct wire_reader receive(struct fixture *fixture)
{
    struct pollfd poll_fd = { .fd = fixture->fd, .events = POLLIN };
    ssize_t length;

    assert_int_equal(poll(&poll_fd, 1, PATIENCE_MS), 1);
    length = recv(fixture->fd, received, sizeof(received), 0);
    assert_true(length >= 0);
    return wire_reader_over(span_of(received, (size_t)length));
}

static void connect_to_it(struct fixture *fixture)
{
    struct wire_reader reader;

    fixture->fd = channel_connect(fixture->socket_path);
    assert_true(fixture->fd >= 0);
    reader = receive(fixture);
    assert_int_equal(wire_get_u8(&reader), DIRECTORY_CHANGED_MANY);
}

static void send_question(struct fixture *fixture, enum route_key key, const char *value)
{
    char memory[1024];
    struct buffer message = buffer_over(memory, sizeof(memory));

    wire_put_u8(&message, DIRECTORY_CONFIRM);
    wire_put_u32(&message, ++fixture->asked);
    wire_put_u8(&message, (uint8_t)key);
    wire_put_span(&message, span_from_string(value));
    assert_int_equal(send(fixture->fd, memory, message.length, 0), message.length);
}

/* The next answer, whatever else is told before it. */
static enum directory_confirmation receive_answer(struct fixture *fixture, uint32_t *number)
{
    struct wire_reader reader = receive(fixture);

    while (wire_get_u8(&reader) != DIRECTORY_CONFIRMED)
        reader = receive(fixture);
    *number = wire_get_u32(&reader);
    return (enum directory_confirmation)wire_get_u8(&reader);
}

static enum directory_confirmation ask(struct fixture *fixture, enum route_key key,
                                       const char *value)
{
    enum directory_confirmation answer;
    uint32_t number;

    send_question(fixture, key, value);
    answer = receive_answer(fixture, &number);
    assert_int_equal(number, fixture->asked);
    return answer;
}

/* The board and the mirror have no events: they are looked at until they are so. */
static void await_board(struct fixture *fixture, bool (*is_so)(const struct board *board))
{
    uint64_t deadline_ms = clock_monotonic_ms() + PATIENCE_MS;

    while (!is_so(fixture->board)) {
        assert_true(clock_monotonic_ms() < deadline_ms);
        poll(NULL, 0, 2);
    }
}

static bool is_synchronised(const struct board *board)
{
    return atomic_load(&board->mirror_is_synchronised);
}

static bool is_disconnected(const struct board *board)
{
    return !atomic_load(&board->directory_is_connected);
}

static bool has_two_accounts(const struct board *board)
{
    return atomic_load(&board->mirror_entries) == 2;
}

static void start_all(struct fixture *fixture, unsigned count)
{
    slapd_add_accounts(&fixture->slapd, 1, count, "sv1");
    slapd_start(&fixture->slapd);
    start_process(fixture);
    await_board(fixture, is_synchronised);
    connect_to_it(fixture);
}

/* --- tests --------------------------------------------------------------------------- */

static void the_board_shows_how_far_the_mirror_is(void **state)
{
    struct fixture *fixture = *state;

    start_all(fixture, 20);
    assert_int_equal(atomic_load(&fixture->board->mirror_entries), 20);
    assert_true(atomic_load(&fixture->board->mirror_revision) > 0);
    assert_true(atomic_load(&fixture->board->directory_is_connected));
    slapd_stop(&fixture->slapd, SIGTERM);
    await_board(fixture, is_disconnected);
    assert_true(is_synchronised(fixture->board));
}

static void a_change_of_owner_is_told_after_it_can_be_read(void **state)
{
    struct fixture *fixture = *state;
    struct mirror *mirror;
    struct route_source source;
    struct route_entry entry;
    struct wire_reader reader;
    uint64_t revision;

    start_all(fixture, 3);
    slapd_modify(&fixture->slapd, "dn: uid=user2," SLAPD_PEOPLE "\nchangetype: modify\n"
                                  "replace: hostServer\nhostServer: sv2\n");
    reader = receive(fixture);
    assert_int_equal(wire_get_u8(&reader), DIRECTORY_CHANGED);
    revision = wire_get_u64(&reader);
    assert_in_range(revision, 1, atomic_load(&fixture->board->mirror_revision));
    assert_span(wire_get_span(&reader), "user2@example.org");
    assert_span(wire_get_span(&reader), "sv2");
    assert_true(wire_reader_is_complete(&reader));
    mirror = mirror_open(fixture->folder);
    source = mirror_source(mirror);
    assert_int_equal(source.find(source.context, ROUTE_KEY_LOGIN, SPAN_LITERAL("user2"), &entry),
                     ROUTE_FIND_ONE);
    assert_string_equal(entry.host, "sv2");
    mirror_close(mirror);
}

/* Moves the accounts 1 to `count` to sv2, while the process is stopped. */
static void move_unseen(struct fixture *fixture, unsigned count)
{
    struct bytes ldif = bytes_empty(1 << 20);

    for (unsigned i = 1; i <= count; i++)
        assert_true(bytes_append_format(&ldif,
                                        "dn: uid=user%u," SLAPD_PEOPLE "\nchangetype: modify\n"
                                        "replace: hostServer\nhostServer: sv2\n\n",
                                        i));
    assert_true(bytes_append(&ldif, span_of("", 1)));
    kill(fixture->pid, SIGSTOP);
    slapd_modify(&fixture->slapd, ldif.data);
    kill(fixture->pid, SIGCONT);
    bytes_release(&ldif);
}

static void changes_that_come_together_are_told_together(void **state)
{
    enum { COUNT = 200 };
    struct fixture *fixture = *state;
    bool is_told[COUNT + 1] = { false };
    unsigned messages = 0, changes = 0;

    start_all(fixture, COUNT);
    move_unseen(fixture, COUNT);
    for (; changes < COUNT; messages++) {
        struct wire_reader reader = receive(fixture);

        assert_int_equal(wire_get_u8(&reader), DIRECTORY_CHANGED);
        (void)wire_get_u64(&reader);
        for (; reader.rest.length > 0; changes++) {
            unsigned number = (unsigned)atoi(wire_get_span(&reader).data + strlen("user"));

            assert_in_range(number, 1, COUNT);
            assert_false(is_told[number]);
            is_told[number] = true;
            assert_span(wire_get_span(&reader), "sv2");
        }
        assert_true(wire_reader_is_complete(&reader));
    }
    assert_int_equal(changes, COUNT);
    assert_in_range(messages, 2, COUNT / 4); /* they are more than one message can hold */
}

static void what_is_not_there_is_absent_and_what_is_there_present(void **state)
{
    struct fixture *fixture = *state;

    start_all(fixture, 3);
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "nobody@example.org"), DIRECTORY_ABSENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "user1@example.org"), DIRECTORY_PRESENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "user1+x@example.org"), DIRECTORY_PRESENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "user1"), DIRECTORY_ABSENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user1"), DIRECTORY_PRESENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user1@example.org"), DIRECTORY_ABSENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user9"), DIRECTORY_ABSENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, ""), DIRECTORY_ABSENT);
}

static void what_is_special_in_filters_matches_only_itself(void **state)
{
    struct fixture *fixture = *state;

    start_all(fixture, 3);
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "user*@example.org"), DIRECTORY_ABSENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "*"), DIRECTORY_ABSENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "a)(uid=user1"), DIRECTORY_ABSENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "\\75ser1"), DIRECTORY_ABSENT);
}

static void an_answer_is_kept_for_a_moment(void **state)
{
    struct fixture *fixture = *state;

    start_all(fixture, 1);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user2"), DIRECTORY_ABSENT);
    slapd_add_accounts(&fixture->slapd, 2, 2, "sv1");
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user2"), DIRECTORY_ABSENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "user2@example.org"), DIRECTORY_PRESENT);
}

static void a_kept_answer_is_void_as_soon_as_the_mirror_has_the_name(void **state)
{
    struct fixture *fixture = *state;
    struct mirror *mirror;
    struct route_source source;
    struct route_entry entry;

    start_all(fixture, 1);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user2"), DIRECTORY_ABSENT);
    slapd_add_accounts(&fixture->slapd, 2, 2, "sv1");
    await_board(fixture, has_two_accounts);
    mirror = mirror_open(fixture->folder); /* which is looked at before anybody asks */
    source = mirror_source(mirror);
    assert_int_equal(source.find(source.context, ROUTE_KEY_LOGIN, SPAN_LITERAL("user2"), &entry),
                     ROUTE_FIND_ONE);
    mirror_close(mirror);
}

static void without_a_server_nothing_is_sure(void **state)
{
    struct fixture *fixture = *state;

    start_all(fixture, 1);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user1"), DIRECTORY_PRESENT);
    slapd_stop(&fixture->slapd, SIGTERM);
    await_board(fixture, is_disconnected);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user5"), DIRECTORY_UNSURE);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user6"), DIRECTORY_UNSURE);
}

static void when_a_server_does_not_answer_the_next_one_is_asked(void **state)
{
    struct fixture *fixture = *state;
    static struct slapd hanging;
    char closed[64];
    char *uris[3] = { closed, NULL, NULL };

    slapd_init(&hanging, "");
    slapd_start(&hanging);
    slapd_freeze(&hanging);
    snprintf(closed, sizeof(closed), "ldap://127.0.0.1:1");
    uris[1] = hanging.uri;
    uris[2] = fixture->slapd.uri;
    fixture->config.directory.confirm_uri = (struct string_list){ uris, 3 };
    start_all(fixture, 1);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user1"), DIRECTORY_PRESENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user5"), DIRECTORY_ABSENT);
    kill(hanging.pid, SIGCONT);
    slapd_fini(&hanging);
}

static void a_server_that_is_lost_is_followed_by_the_next_one(void **state)
{
    struct fixture *fixture = *state;
    static struct slapd first;
    char *uris[2] = { NULL, fixture->slapd.uri };

    slapd_init(&first, "");
    slapd_start(&first);
    uris[0] = first.uri;
    fixture->config.directory.confirm_uri = (struct string_list){ uris, 2 };
    start_all(fixture, 1);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user1"), DIRECTORY_ABSENT); /* it is empty */
    slapd_freeze(&first);
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "user1@example.org"), DIRECTORY_PRESENT);
    kill(first.pid, SIGCONT);
    slapd_fini(&first);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user9"), DIRECTORY_ABSENT);
}

static void the_names_under_the_alias_of_a_domain_are_confirmed_too(void **state)
{
    struct fixture *fixture = *state;
    struct domain_alias_config aliases[2] = { { text("alias.example"), text("example.org") },
                                              { text("xn--bcher-kva.example"),
                                                text("example.org") } };

    fixture->config.cluster.domain_aliases = aliases;
    fixture->config.cluster.domain_alias_count = 2;
    start_all(fixture, 1);
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "user1@alias.example"), DIRECTORY_PRESENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "user1+x@xn--bcher-kva.example"),
                     DIRECTORY_PRESENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "user2@alias.example"), DIRECTORY_ABSENT);
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "user1@other.example"), DIRECTORY_ABSENT);
    slapd_modify(&fixture->slapd, "dn: uid=user1," SLAPD_PEOPLE "\nchangetype: modify\n"
                                  "add: mail\nmail: @example.org\n");
    assert_int_equal(ask(fixture, ROUTE_KEY_ADDRESS, "user3@alias.example"), DIRECTORY_PRESENT);
}

static void a_server_that_hangs_makes_unsure_within_the_timeout(void **state)
{
    struct fixture *fixture = *state;
    uint64_t start_ms;

    start_all(fixture, 1);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user1"), DIRECTORY_PRESENT);
    slapd_freeze(&fixture->slapd);
    start_ms = clock_monotonic_ms();
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user5"), DIRECTORY_UNSURE);
    assert_in_range(clock_monotonic_ms() - start_ms, 1500, 10000);
    kill(fixture->slapd.pid, SIGCONT);
}

static void above_the_rate_nothing_is_sure(void **state)
{
    struct fixture *fixture = *state;
    unsigned counts[3] = { 0 };
    uint32_t number;

    fixture->config.directory.confirm_rate = 3;
    start_all(fixture, 1);
    for (unsigned i = 0; i < 30; i++) {
        char name[16];

        snprintf(name, sizeof(name), "nobody%u", i);
        send_question(fixture, ROUTE_KEY_LOGIN, name);
    }
    for (unsigned i = 0; i < 30; i++)
        counts[receive_answer(fixture, &number)]++;
    assert_true(counts[DIRECTORY_ABSENT] >= 3);
    assert_true(counts[DIRECTORY_UNSURE] >= 20);
    assert_int_equal(counts[DIRECTORY_PRESENT], 0);
}

static void the_same_question_asked_at_once_is_one_search(void **state)
{
    struct fixture *fixture = *state;
    uint32_t number;

    fixture->config.directory.confirm_rate = 1;
    start_all(fixture, 1);
    for (unsigned i = 0; i < 10; i++)
        send_question(fixture, ROUTE_KEY_LOGIN, "nobody");
    for (unsigned i = 1; i <= 10; i++) {
        assert_int_equal(receive_answer(fixture, &number), DIRECTORY_ABSENT);
        assert_int_equal(number, i);
    }
}

static void who_breaks_the_contract_is_disconnected(void **state)
{
    struct fixture *fixture = *state;

    start_all(fixture, 1);
    assert_int_equal(send(fixture->fd, "\1\2", 2, 0), 2);
    assert_int_equal(receive(fixture).rest.length, 0);
    close(fixture->fd);
    connect_to_it(fixture);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user1"), DIRECTORY_PRESENT);
}

static void the_process_may_be_started_again_and_again(void **state)
{
    struct fixture *fixture = *state;

    start_all(fixture, 5);
    for (unsigned i = 0; i < 3; i++) {
        kill(fixture->pid, SIGKILL);
        waitpid(fixture->pid, NULL, 0);
        atomic_store(&fixture->board->mirror_is_synchronised, 0);
        start_process(fixture);
        await_board(fixture, is_synchronised);
    }
    stop_process(fixture);
    assert_true(is_disconnected(fixture->board));
}

/* Damages the last pages of the file, which no change touches. */
static void damage_end(struct fixture *fixture)
{
    char path[128], junk[8192];
    struct stat status;
    int fd;

    mirror_path(fixture->folder, path, sizeof(path));
    memset(junk, 0x5a, sizeof(junk));
    fd = open(path, O_WRONLY);
    assert_int_equal(fstat(fd, &status), 0);
    assert_true(status.st_size > 65536);
    assert_int_equal(pwrite(fd, junk, sizeof(junk), status.st_size - (off_t)sizeof(junk)),
                     sizeof(junk));
    close(fd);
}

static bool is_emptied(const struct board *board)
{
    return atomic_load(&board->mirror_entries) == 0;
}

static bool is_refilled(const struct board *board)
{
    return atomic_load(&board->mirror_entries) == 2000;
}

static void damage_in_the_middle_is_found_and_repaired(void **state)
{
    struct fixture *fixture = *state;
    char path[160];

    start_all(fixture, 2000);
    stop_process(fixture);
    close(fixture->fd);
    damage_end(fixture);
    start_process(fixture);
    await_board(fixture, is_emptied);
    await_board(fixture, is_refilled);
    mirror_path(fixture->folder, path, sizeof(path));
    strcat(path, ".damaged-1");
    assert_int_equal(access(path, F_OK), 0);
    connect_to_it(fixture);
    assert_int_equal(ask(fixture, ROUTE_KEY_LOGIN, "user1"), DIRECTORY_PRESENT);
}

#define process_test(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        process_test(the_board_shows_how_far_the_mirror_is),
        process_test(a_change_of_owner_is_told_after_it_can_be_read),
        process_test(changes_that_come_together_are_told_together),
        process_test(what_is_not_there_is_absent_and_what_is_there_present),
        process_test(what_is_special_in_filters_matches_only_itself),
        process_test(an_answer_is_kept_for_a_moment),
        process_test(a_kept_answer_is_void_as_soon_as_the_mirror_has_the_name),
        process_test(when_a_server_does_not_answer_the_next_one_is_asked),
        process_test(a_server_that_is_lost_is_followed_by_the_next_one),
        process_test(the_names_under_the_alias_of_a_domain_are_confirmed_too),
        process_test(without_a_server_nothing_is_sure),
        process_test(a_server_that_hangs_makes_unsure_within_the_timeout),
        process_test(above_the_rate_nothing_is_sure),
        process_test(the_same_question_asked_at_once_is_one_search),
        process_test(who_breaks_the_contract_is_disconnected),
        process_test(damage_in_the_middle_is_found_and_repaired),
        process_test(the_process_may_be_started_again_and_again),
    };

    if (!slapd_is_installed())
        return 77;
    return cmocka_run_group_tests_name("directory process", tests, NULL, NULL);
}
