/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real queue process, in a process of its own, and the workers' real client; the
 * test is the worker.  The directory is a mirror without a directory process.
 */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sqlite3.h>

#include "common/base/log.h"
#include "common/io/channel.h"
#include "common/service/control.h"
#include "common/service/supervisor.h"
#include "directory/mirror_writer.h"
#include "frontend/queue/process.h"
#include "frontend/queue_client.h"
#include "tests/unit/folder.h"

enum { DELIVERIES_MAX = 2000, TIMEOUT_MS = 30000 };

struct fixture {
    char folder[FOLDER_SIZE], queue_folder[FOLDER_SIZE + 16];
    struct config config;
    struct backend_config backends[3];
    char *domain;
    struct board *board;
    int listening;
    pid_t process, control;
    struct io_loop loop;
    uv_timer_t watchdog;
    struct queue_client *client;
    bool has_stopped, holds_deliveries, has_timed_out;
    size_t stored, refused;
    struct queue_delivery *deliveries[DELIVERIES_MAX]; /* held */
    size_t delivered;                                  /* deliveries that came */
    size_t recipients;                                 /* of them all */
    size_t held;
    char last_body[64];
    char last_recipient[64];
    uint64_t last_body_length;
    unsigned char seen[DELIVERIES_MAX];     /* by the number in the reverse path */
    unsigned char accepted[DELIVERIES_MAX]; /* stored, by the same number */
};

/* --- the process ------------------------------------------------------------------------ */

static const struct supervisor_role roles[] = { { .name = "queue" }, { .name = "control" } };
static const struct supervisor_program program = { .name = "test",
                                                   .roles = roles,
                                                   .role_count = 2 };

static int listen_stream(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 16), 0);
    return fd;
}

static void run_process(struct fixture *fixture)
{
    struct child child = { .program = &program,
                           .config = &fixture->config,
                           .board = fixture->board,
                           .slot = &fixture->board->slots[0],
                           .service_fd = fixture->listening,
                           .control_fd = -1,
                           .ready_fd = -1 };
    bool is_good;

    io_loop_init(&child.loop);
    is_good = queue_run(&child);
    io_loop_fini(&child.loop);
    exit(is_good ? 0 : 1);
}

static void start_process(struct fixture *fixture)
{
    fixture->process = fork();
    assert_true(fixture->process >= 0);
    if (fixture->process == 0)
        run_process(fixture);
}

/* The control child, whose hub the queue process finds by itself. */
static void start_control(struct fixture *fixture)
{
    char hub[100], control[100];
    struct child child = { .program = &program,
                           .config = &fixture->config,
                           .board = fixture->board,
                           .slot = &fixture->board->slots[1],
                           .ready_fd = -1 };

    child_run_path(&fixture->config, "hub.sock", hub, sizeof(hub));
    child_run_path(&fixture->config, "control.sock", control, sizeof(control));
    child.service_fd = channel_listen(hub, 0600);
    child.control_fd = listen_stream(control);
    fixture->control = fork();
    assert_true(fixture->control >= 0);
    if (fixture->control == 0) {
        io_loop_init(&child.loop);
        control_run(&child);
        io_loop_fini(&child.loop);
        exit(0);
    }
    close(child.service_fd);
    close(child.control_fd);
}

static int end_process(struct fixture *fixture, int signal_number)
{
    int status;

    if (fixture->process <= 0)
        return -1;
    kill(fixture->process, signal_number);
    assert_int_equal(waitpid(fixture->process, &status, 0), fixture->process);
    fixture->process = 0;
    return status;
}

/* --- the worker -------------------------------------------------------------------------- */

static void read_body(struct fixture *fixture, const struct queue_delivery *delivery)
{
    struct stat status;

    memset(fixture->last_body, 0, sizeof(fixture->last_body));
    if (delivery->fd >= 0) {
        assert_int_equal(fstat(delivery->fd, &status), 0);
        fixture->last_body_length = (uint64_t)status.st_size;
        assert_true(pread(delivery->fd, fixture->last_body, sizeof(fixture->last_body) - 1, 0) > 0);
        return;
    }
    fixture->last_body_length = delivery->body.length;
    snprintf(fixture->last_body, sizeof(fixture->last_body), "%.*s",
             (int)(delivery->body.length < 60 ? delivery->body.length : 60), delivery->body.data);
}

static void finish(struct queue_delivery *delivery)
{
    queue_delivery_set_all(delivery, QUEUE_DELIVERED, 0, SPAN_LITERAL("250 ok"));
    queue_delivery_finish(delivery);
}

static void deliver(void *context, struct queue_delivery *delivery)
{
    struct fixture *fixture = context;
    char number[8] = "";

    assert_true(fixture->delivered < DELIVERIES_MAX);
    read_body(fixture, delivery);
    assert_true(fixture->last_body_length == delivery->size);
    fixture->delivered++;
    fixture->recipients += delivery->recipient_count;
    snprintf(fixture->last_recipient, sizeof(fixture->last_recipient), "%.*s@%s",
             SPAN_PRINTF(delivery->recipients[0].recipient), delivery->backend);
    if (span_copy_string(delivery->session_id, number, sizeof(number)))
        fixture->seen[atoi(number)]++;
    if (fixture->holds_deliveries)
        fixture->deliveries[fixture->held++] = delivery;
    else
        finish(delivery);
}

static void finish_held(struct fixture *fixture)
{
    for (size_t i = 0; i < fixture->held; i++)
        finish(fixture->deliveries[i]);
    fixture->held = 0;
}

static void client_stopped(void *context)
{
    ((struct fixture *)context)->has_stopped = true;
}

static const struct queue_client_events client_events = { deliver, client_stopped };

struct sending {
    struct fixture *fixture;
    unsigned number;
};

static void store_done(void *context, bool stored, struct span message_id)
{
    struct sending *sending = context;
    struct fixture *fixture = sending->fixture;

    assert_true(stored == (message_id.length > 0));
    fixture->stored += stored;
    fixture->refused += !stored;
    fixture->accepted[sending->number] = stored;
    free(sending);
}

/* Stores message `number` for `count` recipients called `recipient`. */
static void store(struct fixture *fixture, unsigned number, const char *recipient, size_t count,
                  struct span body)
{
    struct sending *sending = memory_new(sizeof(*sending));
    struct queue_recipient *recipients = memory_new(count * sizeof(*recipients));
    char session_id[8];
    struct queue_store message = { .session_id = SPAN_EMPTY,
                                   .reverse_path = SPAN_LITERAL("sender@x"),
                                   .recipients = recipients,
                                   .recipient_count = count,
                                   .body = body,
                                   .fd = -1 };
    static char text[QUEUE_TEXT_MAX];

    memset(text, 'y', sizeof(text));
    snprintf(session_id, sizeof(session_id), "%u", number);
    message.session_id = span_from_string(session_id);
    for (size_t i = 0; i < count; i++)
        recipients[i] = (struct queue_recipient){ .address = span_from_string(recipient),
                                                  .text = span_of(text, sizeof(text)) };
    sending->fixture = fixture;
    sending->number = number;
    queue_client_store(fixture->client, &message, store_done, sending);
    free(recipients);
}

/* --- time ---------------------------------------------------------------------------------- */

static void bark(uv_timer_t *timer)
{
    CONTAINER_OF(timer, struct fixture, watchdog)->has_timed_out = true;
}

/* Runs the worker's loop until `condition`. */
#define WAIT_FOR(fixture, condition)                                                               \
    do {                                                                                           \
        uv_timer_start(&(fixture)->watchdog, bark, TIMEOUT_MS, 0);                                 \
        while (!(condition) && !(fixture)->has_timed_out)                                          \
            uv_run(&(fixture)->loop.uv, UV_RUN_ONCE);                                              \
        uv_timer_stop(&(fixture)->watchdog);                                                       \
        assert_true(condition);                                                                    \
    } while (0)

static int64_t messages(struct fixture *fixture)
{
    return atomic_load(&fixture->board->slots[0].counters[BOARD_QUEUE_MESSAGES]);
}

static bool is_empty_folder(const struct fixture *fixture, const char *name)
{
    char path[128];
    DIR *entries;
    bool is_empty = true;

    snprintf(path, sizeof(path), "%s/%s", fixture->queue_folder, name);
    entries = opendir(path);
    assert_non_null(entries);
    for (struct dirent *entry; (entry = readdir(entries));)
        is_empty &= entry->d_name[0] == '.';
    closedir(entries);
    return is_empty;
}

/* --- set up ----------------------------------------------------------------------------------- */

static void changed(void *context, uint64_t revision, struct span account, struct span host)
{
    (void)context, (void)revision, (void)account, (void)host;
}

static void changed_many(void *context, uint64_t revision)
{
    (void)context, (void)revision;
}

static void fill_mirror(const char *folder)
{
    static const struct mirror_writer_events events = { changed, changed_many };
    static const char *const accounts[][2] = { { "a@x", "sv1" },
                                               { "b@x", "sv2" },
                                               { "sender@x", "sv3" } };
    struct mirror_writer *writer = mirror_writer_open(folder, "test", &events, NULL);

    assert_non_null(writer);
    mirror_writer_begin_refresh(writer);
    for (size_t i = 0; i < ARRAY_LENGTH(accounts); i++) {
        unsigned char uuid[MIRROR_UUID_SIZE] = { (unsigned char)(i + 1) };
        struct mirror_key key = { span_from_string(accounts[i][0]), MIRROR_KIND_ADDRESS };
        struct mirror_account account = {
            .uuid = uuid, .keys = &key, .key_count = 1, .host = span_from_string(accounts[i][1])
        };

        mirror_writer_put(writer, &account);
    }
    mirror_writer_end_refresh(writer);
    assert_true(mirror_writer_commit(writer, NULL));
    mirror_writer_close(writer);
}

static void fill_config(struct fixture *fixture)
{
    static char names[3][4] = { "sv1", "sv2", "sv3" }, domain[] = "x", address[] = "127.0.0.1";
    static char hostname[] = "mx.example.org", delimiter[] = "+";
    struct config *config = &fixture->config;

    fixture->domain = domain;
    config->cluster.hostname = hostname;
    config->cluster.domains = (struct string_list){ &fixture->domain, 1 };
    config->cluster.backends = fixture->backends;
    config->cluster.backend_count = 3;
    for (int i = 0; i < 3; i++)
        fixture->backends[i] = (struct backend_config){ .name = names[i], .address = address };
    config->directory.recipient_delimiter = delimiter;
    config->queue = (struct queue_config){ .directory = fixture->queue_folder,
                                           .retry_min_s = 1,
                                           .retry_max_s = 2,
                                           .expiry_s = 1000,
                                           .inline_max_bytes = 32768 };
    config->state_directory = fixture->folder;
    config->run_directory = fixture->folder;
}

static int setup(void **state)
{
    struct fixture *fixture = memory_new(sizeof(*fixture));
    char path[128];

    folder_make(fixture->folder);
    snprintf(fixture->queue_folder, sizeof(fixture->queue_folder), "%s/queue", fixture->folder);
    snprintf(path, sizeof(path), "%s/queue.sock", fixture->folder);
    fill_config(fixture);
    fill_mirror(fixture->folder);
    fixture->board = board_new();
    fixture->listening = channel_listen(path, 0600);
    assert_true(fixture->listening >= 0);
    start_process(fixture);
    io_loop_init(&fixture->loop);
    uv_timer_init(&fixture->loop.uv, &fixture->watchdog);
    fixture->client =
        queue_client_start(&fixture->loop, &fixture->config, 10, &client_events, fixture);
    WAIT_FOR(fixture, queue_client_is_connected(fixture->client));
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    end_process(fixture, SIGKILL);
    if (fixture->control > 0) {
        kill(fixture->control, SIGKILL);
        waitpid(fixture->control, NULL, 0);
    }
    if (!fixture->has_stopped)
        queue_client_stop(fixture->client);
    WAIT_FOR(fixture, fixture->has_stopped);
    uv_close((uv_handle_t *)&fixture->watchdog, NULL);
    io_loop_run(&fixture->loop);
    io_loop_fini(&fixture->loop);
    close(fixture->listening);
    folder_remove(fixture->folder);
    free(fixture);
    return 0;
}

/* --- tests --------------------------------------------------------------------------------------
 */

static void test_a_stored_message_is_delivered_and_gone(void **state)
{
    struct fixture *fixture = *state;

    store(fixture, 1, "a@x", 1, SPAN_LITERAL("Subject: x\r\n\r\nbody\r\n"));
    WAIT_FOR(fixture, fixture->stored == 1);
    WAIT_FOR(fixture, fixture->delivered == 1 && queue_client_unfinished(fixture->client) == 0);
    assert_int_equal(messages(fixture), 0);
    assert_string_equal(fixture->last_recipient, "a@x@sv1");
    assert_string_equal(fixture->last_body, "Subject: x\r\n\r\nbody\r\n");
}

static void test_a_large_body_travels_as_a_file(void **state)
{
    struct fixture *fixture = *state;
    char *body = memory_new(200000);

    memset(body, 'z', 200000);
    fixture->holds_deliveries = true;
    store(fixture, 1, "a@x", 1, span_of(body, 200000));
    WAIT_FOR(fixture, fixture->delivered == 1);
    assert_int_equal(fixture->last_body_length, 200000);
    assert_int_equal(fixture->last_body[10], 'z');
    assert_false(is_empty_folder(fixture, "bodies"));
    finish_held(fixture);
    WAIT_FOR(fixture, queue_client_unfinished(fixture->client) == 0);
    assert_true(is_empty_folder(fixture, "bodies"));
    assert_true(is_empty_folder(fixture, "incoming"));
    free(body);
}

static void test_a_file_of_the_worker_is_taken_over(void **state)
{
    struct fixture *fixture = *state;
    struct sending *sending = memory_new(sizeof(*sending));
    struct queue_recipient recipient = { .address = SPAN_LITERAL("b@x") };
    char name[QUEUE_FILE_NAME_SIZE];
    int fd = queue_incoming_create(&fixture->config, name);
    struct queue_store message = { .session_id = SPAN_LITERAL("1"),
                                   .reverse_path = SPAN_LITERAL("sender@x"),
                                   .recipients = &recipient,
                                   .recipient_count = 1,
                                   .fd = fd,
                                   .file_name = name };

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "small", 5), 5);
    *sending = (struct sending){ fixture, 1 };
    queue_client_store(fixture->client, &message, store_done, sending);
    WAIT_FOR(fixture, fixture->delivered == 1 && queue_client_unfinished(fixture->client) == 0);
    assert_string_equal(fixture->last_body, "small");
    assert_true(is_empty_folder(fixture, "bodies"));
    fd = queue_incoming_create(&fixture->config, name);
    queue_incoming_discard(&fixture->config, name, fd);
    assert_true(is_empty_folder(fixture, "incoming"));
}

static void test_many_recipients_come_in_several_messages_and_deliveries(void **state)
{
    struct fixture *fixture = *state;
    char *body = memory_new(30000);

    memset(body, 'z', 30000);
    store(fixture, 1, "a@x", 1000, span_of(body, 30000));
    WAIT_FOR(fixture, fixture->recipients == 1000);
    WAIT_FOR(fixture, queue_client_unfinished(fixture->client) == 0);
    assert_int_equal(fixture->delivered, 1000 / QUEUE_DELIVERY_RECIPIENTS_MAX);
    assert_int_equal(fixture->stored, 1);
    assert_int_equal(messages(fixture), 0);
    free(body);
}

static void test_a_killed_queue_process_delivers_nothing_twice(void **state)
{
    struct fixture *fixture = *state;

    fixture->holds_deliveries = true;
    for (unsigned i = 1; i <= 3; i++)
        store(fixture, i, "a@x", 1, SPAN_LITERAL("body"));
    WAIT_FOR(fixture, fixture->held == 3);
    end_process(fixture, SIGKILL);
    WAIT_FOR(fixture, !queue_client_is_connected(fixture->client));
    finish(fixture->deliveries[0]); /* its result is sent later; the other two are claimed */
    start_process(fixture);
    WAIT_FOR(fixture, queue_client_unfinished(fixture->client) == 2);
    fixture->holds_deliveries = false;
    store(fixture, 4, "b@x", 1, SPAN_LITERAL("body")); /* delivered when the waiting is over */
    WAIT_FOR(fixture, fixture->delivered == 4);
    finish(fixture->deliveries[1]);
    finish(fixture->deliveries[2]);
    WAIT_FOR(fixture, queue_client_unfinished(fixture->client) == 0);
    assert_int_equal(messages(fixture), 0);
    assert_int_equal(fixture->delivered, 4);
}

static void test_what_was_acknowledged_survives_kills_at_random(void **state)
{
    struct fixture *fixture = *state;
    unsigned number = 0, lost = 0;

    log_set_level(LOG_LEVEL_ERROR);
    for (int round = 0; round < 8; round++) {
        size_t answers = fixture->stored + fixture->refused;
        unsigned until = 10 + (unsigned)round * 7;

        for (int i = 0; i < 100; i++)
            store(fixture, ++number, i % 2 ? "a@x" : "b@x", 1, SPAN_LITERAL("body"));
        WAIT_FOR(fixture, fixture->stored + fixture->refused >= answers + until);
        end_process(fixture, SIGKILL);
        WAIT_FOR(fixture, !queue_client_is_connected(fixture->client));
        assert_int_equal(fixture->stored + fixture->refused, answers + 100);
        start_process(fixture);
        WAIT_FOR(fixture, queue_client_is_connected(fixture->client));
    }
    store(fixture, ++number, "a@x", 1, SPAN_LITERAL("the last"));
    WAIT_FOR(fixture, fixture->seen[number] > 0);
    WAIT_FOR(fixture, messages(fixture) == 0 && queue_client_unfinished(fixture->client) == 0);
    log_set_level(LOG_LEVEL_WARNING);
    for (unsigned i = 1; i <= number; i++) {
        lost += fixture->accepted[i] && fixture->seen[i] == 0;
        assert_true(fixture->seen[i] <= 1); /* the worker answered every delivery */
    }
    assert_int_equal(lost, 0);
    assert_true(fixture->stored > 80);
}

/* Overwrites the root of the index by which due recipients are found; the process does not run. */
static void damage_index(const struct fixture *fixture)
{
    char path[128], garbage[4096];
    sqlite3 *db;
    sqlite3_stmt *statement;
    int64_t page;
    int fd;

    memset(garbage, 0xee, sizeof(garbage));
    snprintf(path, sizeof(path), "%s/queue.db", fixture->queue_folder);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db,
                                        "SELECT rootpage FROM sqlite_schema"
                                        " WHERE name = 'recipient_due'",
                                        -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    page = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(db);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_int_equal(pwrite(fd, garbage, sizeof(garbage), (page - 1) * 4096), sizeof(garbage));
    close(fd);
}

static void test_what_can_be_read_of_a_damaged_database_comes_back(void **state)
{
    enum { MESSAGES = 250 };
    struct fixture *fixture = *state;
    char *body = memory_new(50000);

    log_set_level(LOG_LEVEL_ERROR + 1);
    queue_client_set_slots(fixture->client, 0);
    for (unsigned i = 1; i <= MESSAGES; i++)
        store(fixture, i, "a@x", 1, i == 7 ? span_of(body, 50000) : SPAN_LITERAL("body"));
    WAIT_FOR(fixture, fixture->stored == MESSAGES);
    end_process(fixture, SIGTERM);
    WAIT_FOR(fixture, !queue_client_is_connected(fixture->client));
    damage_index(fixture);
    queue_client_set_slots(fixture->client, 10);
    start_process(fixture);
    WAIT_FOR(fixture, fixture->delivered == MESSAGES);
    WAIT_FOR(fixture, messages(fixture) == 0 && queue_client_unfinished(fixture->client) == 0);
    for (unsigned i = 1; i <= MESSAGES; i++)
        assert_int_equal(fixture->seen[i], 1);
    log_set_level(LOG_LEVEL_WARNING);
    free(body);
}

static void test_it_ends_cleanly_and_then_nothing_is_stored(void **state)
{
    struct fixture *fixture = *state;
    int status;

    store(fixture, 1, "a@x", 1, SPAN_LITERAL("body"));
    WAIT_FOR(fixture, fixture->stored == 1 && queue_client_unfinished(fixture->client) == 0);
    status = end_process(fixture, SIGTERM);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    WAIT_FOR(fixture, !queue_client_is_connected(fixture->client));
    store(fixture, 2, "a@x", 1, SPAN_LITERAL("body"));
    assert_int_equal(fixture->refused, 0); /* never from inside the call */
    WAIT_FOR(fixture, fixture->refused == 1);
}

/* --- commands ------------------------------------------------------------------------------------
 */

static void collect(json_t *object, void *context)
{
    json_array_append(context, object);
}

/* The lines of the answer to a command, or NULL; the first questions find nobody there yet. */
static json_t *ask(struct fixture *fixture, json_t *request)
{
    char path[128], error[CONFIG_ERROR_SIZE] = "";
    json_t *lines = json_array();
    bool is_answered;

    child_run_path(&fixture->config, "control.sock", path, sizeof(path));
    is_answered = control_ask(path, request, 10000, collect, lines, error, sizeof(error));
    json_decref(request);
    if (is_answered)
        return lines;
    json_decref(lines);
    return NULL;
}

static json_t *ask_until_answered(struct fixture *fixture, const char *command)
{
    json_t *lines = NULL;

    WAIT_FOR(fixture,
             lines || (lines = ask(fixture, json_pack("{s:s}", "command", command))) != NULL);
    return lines;
}

static json_int_t number_in(const json_t *lines, size_t line, const char *key)
{
    return json_integer_value(json_object_get(json_array_get(lines, line), key));
}

static const char *text_in(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text ? text : "";
}

static void test_commands_list_show_flush_and_count(void **state)
{
    struct fixture *fixture = *state;
    json_t *lines, *line, *recipient;
    char id[QUEUE_ID_SIZE];

    start_control(fixture);
    fixture->holds_deliveries = true;
    for (unsigned i = 1; i <= 3; i++)
        store(fixture, i, i == 2 ? "b@x" : "a@x", 2, SPAN_LITERAL("body"));
    WAIT_FOR(fixture, fixture->held == 3);

    lines = ask_until_answered(fixture, "queue-stat");
    assert_int_equal(number_in(lines, 0, "messages"), 3);
    assert_int_equal(number_in(lines, 0, "recipients"), 6);
    json_decref(lines);

    lines = ask(fixture, json_pack("{s:s,s:s}", "command", "queue-list", "backend", "sv2"));
    assert_int_equal(json_array_size(lines), 1);
    line = json_array_get(lines, 0);
    assert_string_equal(text_in(line, "session_id"), "2");
    assert_string_equal(text_in(line, "reverse_path"), "sender@x");
    assert_int_equal(json_array_size(json_object_get(line, "recipients")), 2);
    recipient = json_array_get(json_object_get(line, "recipients"), 1);
    assert_string_equal(text_in(recipient, "address"), "b@x");
    assert_string_equal(text_in(recipient, "backend"), "sv2");
    assert_string_equal(text_in(recipient, "state"), "pending");
    snprintf(id, sizeof(id), "%s", text_in(line, "id"));
    json_decref(lines);

    lines = ask(fixture, json_pack("{s:s,s:i}", "command", "queue-list", "limit", 2));
    assert_int_equal(json_array_size(lines), 2);
    json_decref(lines);
    lines = ask(fixture, json_pack("{s:s,s:s}", "command", "queue-show", "id", id));
    assert_int_equal(json_array_size(lines), 1);
    json_decref(lines);
    assert_null(ask(fixture, json_pack("{s:s,s:s}", "command", "queue-show", "id", "17")));
    assert_null(ask(fixture, json_pack("{s:s,s:s}", "command", "queue-show", "id", "x")));
    assert_null(ask(fixture, json_pack("{s:s,s:s}", "command", "queue-list", "state", "x")));
    assert_null(ask(fixture, json_pack("{s:s,s:[s]}", "command", "queue-delete", "ids", "-1")));

    /* What waits after a refusal is due at once. */
    for (size_t i = 0; i < 3; i++) {
        queue_delivery_set_all(fixture->deliveries[i], QUEUE_UNKNOWN, 0, SPAN_LITERAL("lost"));
        queue_delivery_finish(fixture->deliveries[i]);
    }
    fixture->held = 0;
    WAIT_FOR(fixture, queue_client_unfinished(fixture->client) == 0);
    lines = ask(fixture, json_pack("{s:s}", "command", "queue-flush"));
    assert_int_equal(number_in(lines, 0, "flushed"), 0);
    assert_int_equal(number_in(lines, 0, "unknown"), 6);
    json_decref(lines);
    lines = ask(fixture,
                json_pack("{s:s,s:[s],s:b}", "command", "queue-flush", "ids", id, "unknown", 1));
    assert_int_equal(number_in(lines, 0, "flushed"), 2);
    json_decref(lines);
    WAIT_FOR(fixture, fixture->delivered == 4);
    lines = ask(fixture, json_pack("{s:s,s:b}", "command", "queue-flush", "unknown", 1));
    assert_int_equal(number_in(lines, 0, "flushed"), 4);
    assert_int_equal(number_in(lines, 0, "in_delivery"), 2);
    json_decref(lines);
    WAIT_FOR(fixture, fixture->delivered == 6);
    finish_held(fixture);
    WAIT_FOR(fixture, messages(fixture) == 0);
}

/* What an order with these members of the request did. */
static void order(struct fixture *fixture, const char *command, const char *key, const char *value,
                  json_int_t changed, json_int_t in_delivery)
{
    json_t *lines = ask(fixture, json_pack("{s:s,s:s}", "command", command, key, value));

    assert_non_null(lines);
    assert_int_equal(number_in(lines, 0, "changed"), changed);
    assert_int_equal(number_in(lines, 0, "in_delivery"), in_delivery);
    json_decref(lines);
}

static void test_what_is_held_is_not_delivered_until_it_is_released(void **state)
{
    struct fixture *fixture = *state;

    start_control(fixture);
    json_decref(ask_until_answered(fixture, "queue-stat"));
    fixture->holds_deliveries = true;
    store(fixture, 1, "a@x", 1, SPAN_LITERAL("body"));
    store(fixture, 2, "b@x", 2, SPAN_LITERAL("body"));
    WAIT_FOR(fixture, fixture->held == 2);
    order(fixture, "queue-hold", "recipient", "B@X", 0, 2); /* not what is being delivered */
    for (size_t i = 0; i < 2; i++) {
        queue_delivery_set_all(fixture->deliveries[i], QUEUE_PENDING, 0, SPAN_LITERAL("451 x"));
        queue_delivery_finish(fixture->deliveries[i]);
    }
    fixture->held = 0;
    WAIT_FOR(fixture, queue_client_unfinished(fixture->client) == 0);
    order(fixture, "queue-hold", "backend", "sv2", 2, 0);
    order(fixture, "queue-hold", "backend", "sv2", 0, 0);
    order(fixture, "queue-flush", "domain", "x", 1, 0);
    WAIT_FOR(fixture, fixture->held == 1);
    assert_string_equal(fixture->last_recipient, "a@x@sv1");
    finish_held(fixture);
    WAIT_FOR(fixture, messages(fixture) == 1);
    order(fixture, "queue-release", "state", "held", 2, 0);
    WAIT_FOR(fixture, fixture->held == 1 && fixture->delivered == 4);
    finish_held(fixture);
    WAIT_FOR(fixture, messages(fixture) == 0);
}

static void test_what_is_deleted_is_gone_and_what_is_bounced_is_reported(void **state)
{
    struct fixture *fixture = *state;
    json_t *lines;

    start_control(fixture);
    json_decref(ask_until_answered(fixture, "queue-stat"));
    fixture->holds_deliveries = true;
    store(fixture, 1, "a@x", 3, SPAN_LITERAL("Subject: one\r\n\r\nbody\r\n"));
    store(fixture, 2, "b@x", 1, SPAN_LITERAL("Subject: two\r\n\r\nbody\r\n"));
    WAIT_FOR(fixture, fixture->held == 2);
    order(fixture, "queue-delete", "sender", "sender@x", 0, 4);
    for (size_t i = 0; i < 2; i++) {
        queue_delivery_set_all(fixture->deliveries[i], QUEUE_UNKNOWN, 60, SPAN_LITERAL("lost"));
        queue_delivery_finish(fixture->deliveries[i]);
    }
    fixture->held = 0;
    WAIT_FOR(fixture, queue_client_unfinished(fixture->client) == 0);
    lines = ask(fixture, json_pack("{s:s,s:s,s:b}", "command", "queue-delete", "backend", "sv1",
                                   "dry_run", 1));
    assert_int_equal(number_in(lines, 0, "changed"), 3);
    json_decref(lines);
    assert_int_equal(messages(fixture), 2);
    order(fixture, "queue-delete", "backend", "sv1", 3, 0);
    assert_int_equal(messages(fixture), 1);
    order(fixture, "queue-bounce", "recipient", "b@x", 1, 0);
    WAIT_FOR(fixture, fixture->held == 1);
    assert_string_equal(fixture->last_recipient, "sender@x@sv3");
    assert_int_equal(fixture->deliveries[0]->reverse_path.length, 0);
    finish_held(fixture);
    WAIT_FOR(fixture, messages(fixture) == 0);
    assert_int_equal(fixture->delivered, 3);
}

static void test_a_list_goes_on_after_the_message_that_was_last(void **state)
{
    struct fixture *fixture = *state;
    char last[QUEUE_ID_SIZE] = "";
    json_int_t seen = 0;
    json_t *lines;

    start_control(fixture);
    json_decref(ask_until_answered(fixture, "queue-stat"));
    fixture->holds_deliveries = true;
    for (unsigned i = 1; i <= 25; i++)
        store(fixture, i, i % 2 ? "a@x" : "b@x", 1, SPAN_LITERAL("body"));
    WAIT_FOR(fixture, fixture->stored == 25);
    do {
        size_t count;

        lines = ask(fixture, json_pack("{s:s,s:i,s:s,s:s}", "command", "queue-list", "limit", 4,
                                       "after", last, "recipient", "a@x"));
        count = json_array_size(lines);
        assert_true(count <= 4);
        for (size_t i = 0; i < count; i++) {
            const char *id = text_in(json_array_get(lines, i), "id");

            assert_true(strtoull(id, NULL, 10) > strtoull(last, NULL, 10));
            snprintf(last, sizeof(last), "%s", id);
            seen++;
        }
        json_decref(lines);
        if (count < 4)
            break;
    } while (true);
    assert_int_equal(seen, 13);
    WAIT_FOR(fixture, fixture->held > 0);
    fixture->holds_deliveries = false;
    finish_held(fixture);
    WAIT_FOR(fixture, messages(fixture) == 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_stored_message_is_delivered_and_gone),
        TEST(test_a_large_body_travels_as_a_file),
        TEST(test_a_file_of_the_worker_is_taken_over),
        TEST(test_many_recipients_come_in_several_messages_and_deliveries),
        TEST(test_a_killed_queue_process_delivers_nothing_twice),
        TEST(test_what_was_acknowledged_survives_kills_at_random),
        TEST(test_what_can_be_read_of_a_damaged_database_comes_back),
        TEST(test_commands_list_show_flush_and_count),
        TEST(test_what_is_held_is_not_delivered_until_it_is_released),
        TEST(test_what_is_deleted_is_gone_and_what_is_bounced_is_reported),
        TEST(test_a_list_goes_on_after_the_message_that_was_last),
        TEST(test_it_ends_cleanly_and_then_nothing_is_stored),
    };

    log_set_level(LOG_LEVEL_WARNING);
    return cmocka_run_group_tests_name("queue process", tests, NULL, NULL);
}
