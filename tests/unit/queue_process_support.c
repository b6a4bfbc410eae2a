/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/queue_process_support.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/io/channel.h"
#include "common/service/control.h"
#include "common/service/supervisor.h"
#include "directory/mirror_writer.h"
#include "frontend/queue/process.h"

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

static void run_process(struct queue_rig *rig, int ready_fd)
{
    struct child child = { .program = &program,
                           .config = &rig->config,
                           .board = rig->board,
                           .slot = &rig->board->slots[0],
                           .service_fd = rig->listening,
                           .control_fd = -1,
                           .ready_fd = ready_fd };
    bool is_good;

    io_loop_init(&child.loop);
    is_good = queue_run(&child);
    io_loop_fini(&child.loop);
    exit(is_good ? 0 : 1);
}

/* Waits until it is ready, or has ended. */
void queue_rig_start(struct queue_rig *rig)
{
    uint64_t one;
    int ready[2];

    assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
    rig->process = fork();
    assert_true(rig->process >= 0);
    if (rig->process == 0) {
        close(ready[0]);
        run_process(rig, ready[1]);
    }
    close(ready[1]);
    assert_true(read(ready[0], &one, sizeof(one)) >= 0);
    close(ready[0]);
}

/* The control child, whose hub the queue process finds by itself. */
void queue_rig_start_control(struct queue_rig *rig)
{
    char hub[100], control[100];
    struct child child = { .program = &program,
                           .config = &rig->config,
                           .board = rig->board,
                           .slot = &rig->board->slots[1],
                           .ready_fd = -1 };

    child_run_path(&rig->config, "hub.sock", hub, sizeof(hub));
    child_run_path(&rig->config, "control.sock", control, sizeof(control));
    child.service_fd = channel_listen(hub, 0600);
    child.control_fd = listen_stream(control);
    rig->control = fork();
    assert_true(rig->control >= 0);
    if (rig->control == 0) {
        io_loop_init(&child.loop);
        control_run(&child);
        io_loop_fini(&child.loop);
        exit(0);
    }
    close(child.service_fd);
    close(child.control_fd);
}

int queue_rig_end(struct queue_rig *rig, int signal_number)
{
    int status;

    if (rig->process <= 0)
        return -1;
    kill(rig->process, signal_number);
    assert_int_equal(waitpid(rig->process, &status, 0), rig->process);
    rig->process = 0;
    return status;
}

/* --- the worker -------------------------------------------------------------------------- */

static void read_body(struct queue_rig *rig, const struct queue_delivery *delivery)
{
    struct stat status;

    memset(rig->last_body, 0, sizeof(rig->last_body));
    if (delivery->fd >= 0) {
        assert_int_equal(fstat(delivery->fd, &status), 0);
        rig->last_body_length = (uint64_t)status.st_size;
        assert_true(pread(delivery->fd, rig->last_body, sizeof(rig->last_body) - 1, 0) > 0);
        return;
    }
    rig->last_body_length = delivery->body.length;
    snprintf(rig->last_body, sizeof(rig->last_body), "%.*s",
             (int)(delivery->body.length < 60 ? delivery->body.length : 60), delivery->body.data);
}

void queue_rig_finish(struct queue_delivery *delivery)
{
    queue_delivery_set_all(delivery, QUEUE_DELIVERED, 0, SPAN_LITERAL("250 ok"));
    queue_delivery_finish(delivery);
}

static void deliver(void *context, struct queue_delivery *delivery)
{
    struct queue_rig *rig = context;
    char number[8] = "";

    assert_true(rig->held < DELIVERIES_MAX);
    read_body(rig, delivery);
    assert_true(rig->last_body_length == delivery->parameters.size);
    rig->delivered++;
    rig->delivered_to_first += strcmp(delivery->backend, "sv1") == 0;
    rig->recipients += delivery->recipient_count;
    snprintf(rig->last_recipient, sizeof(rig->last_recipient), "%.*s@%s",
             SPAN_PRINTF(delivery->recipients[0].recipient), delivery->backend);
    if (span_copy_string(delivery->session_id, number, sizeof(number)))
        rig->seen[atoi(number)]++;
    if (rig->holds_deliveries)
        rig->deliveries[rig->held++] = delivery;
    else
        queue_rig_finish(delivery);
}

void queue_rig_finish_held(struct queue_rig *rig)
{
    for (size_t i = 0; i < rig->held; i++)
        queue_rig_finish(rig->deliveries[i]);
    rig->held = 0;
}

static void client_stopped(void *context)
{
    ((struct queue_rig *)context)->has_stopped = true;
}

static const struct queue_client_events client_events = { deliver, client_stopped };

struct sending {
    struct queue_rig *rig;
    unsigned number;
};

static void store_done(void *context, bool stored, struct span message_id)
{
    struct sending *sending = context;
    struct queue_rig *rig = sending->rig;

    assert_true(stored == (message_id.length > 0));
    rig->stored += stored;
    rig->refused += !stored;
    rig->accepted[sending->number] = stored;
    free(sending);
}

void queue_rig_send(struct queue_rig *rig, unsigned number, const struct queue_store *message)
{
    struct sending *sending = memory_new(sizeof(*sending));

    *sending = (struct sending){ rig, number };
    queue_client_store(rig->client, message, store_done, sending);
}

void queue_rig_store(struct queue_rig *rig, unsigned number, const char *recipient, size_t count,
                     struct span body)
{
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
    queue_rig_send(rig, number, &message);
    free(recipients);
}

/* --- time ---------------------------------------------------------------------------------- */

void queue_rig_bark(uv_timer_t *timer)
{
    CONTAINER_OF(timer, struct queue_rig, watchdog)->has_timed_out = true;
}

/* Runs the worker's loop until `condition`. */
int64_t queue_rig_messages(struct queue_rig *rig)
{
    return atomic_load(&rig->board->slots[0].counters[BOARD_QUEUE_MESSAGES]);
}

bool queue_rig_is_empty(const struct queue_rig *rig, const char *name)
{
    char path[128];
    DIR *entries;
    bool is_empty = true;

    snprintf(path, sizeof(path), "%s/%s", rig->queue_folder, name);
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

static void fill_config(struct queue_rig *rig)
{
    static char names[3][4] = { "sv1", "sv2", "sv3" }, domain[] = "x", address[] = "127.0.0.1";
    static char hostname[] = "mx.example.org", delimiter[] = "+";
    struct config *config = &rig->config;

    rig->domain = domain;
    config->cluster.hostname = hostname;
    config->cluster.domains = (struct string_list){ &rig->domain, 1 };
    config->cluster.backends = rig->backends;
    config->cluster.backend_count = 3;
    for (int i = 0; i < 3; i++)
        rig->backends[i] = (struct backend_config){ .name = names[i], .address = address };
    config->directory.recipient_delimiter = delimiter;
    config->queue = (struct queue_config){ .directory = rig->queue_folder,
                                           .retry_min_s = 1,
                                           .retry_max_s = 2,
                                           .expiry_s = 1000,
                                           .inline_max_bytes = 32768 };
    config->state_directory = rig->folder;
    config->run_directory = rig->folder;
}

int queue_rig_set_up(void **state)
{
    struct queue_rig *rig = memory_new(sizeof(*rig));
    char path[128];

    folder_make(rig->folder);
    snprintf(rig->queue_folder, sizeof(rig->queue_folder), "%s/queue", rig->folder);
    snprintf(path, sizeof(path), "%s/queue.sock", rig->folder);
    fill_config(rig);
    fill_mirror(rig->folder);
    rig->timeout_ms = TIMEOUT_MS;
    rig->board = board_new();
    rig->listening = channel_listen(path, 0600);
    assert_true(rig->listening >= 0);
    queue_rig_start(rig);
    io_loop_init(&rig->loop);
    uv_timer_init(&rig->loop.uv, &rig->watchdog);
    rig->client = queue_client_start(&rig->loop, &rig->config, 10, &client_events, rig);
    WAIT_FOR(rig, queue_client_is_connected(rig->client));
    *state = rig;
    return 0;
}

int queue_rig_tear_down(void **state)
{
    struct queue_rig *rig = *state;

    queue_rig_end(rig, SIGKILL);
    if (rig->control > 0) {
        kill(rig->control, SIGKILL);
        waitpid(rig->control, NULL, 0);
    }
    if (!rig->has_stopped)
        queue_client_stop(rig->client);
    WAIT_FOR(rig, rig->has_stopped);
    uv_close((uv_handle_t *)&rig->watchdog, NULL);
    io_loop_run(&rig->loop);
    io_loop_fini(&rig->loop);
    close(rig->listening);
    folder_remove(rig->folder);
    free(rig);
    return 0;
}
