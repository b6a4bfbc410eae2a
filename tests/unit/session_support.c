/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/session_support.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/session/login_session.h"
#include "common/session/mail_session.h"
#include "frontend/choose.h"

/* A configuration owns its strings; these are never changed or freed. */
#define TEXT(literal) ((char *)(uintptr_t)(literal))

/* --- the directory ------------------------------------------------------------------ */

static void directory_message(struct channel *channel, struct span message, int fd)
{
    struct rig *rig = CONTAINER_OF(channel, struct rig, directory_channel);
    struct wire_reader reader = wire_reader_over(message);
    char memory[16];
    struct buffer answer = buffer_over(memory, sizeof(memory));

    assert_int_equal(fd, -1);
    assert_int_equal(wire_get_u8(&reader), DIRECTORY_CONFIRM);
    rig->questions++;
    if (rig->is_directory_silent)
        return;
    wire_put_u8(&answer, DIRECTORY_CONFIRMED);
    wire_put_u32(&answer, wire_get_u32(&reader));
    wire_put_u8(&answer, (uint8_t)rig->confirmation);
    assert_true(channel_send(channel, buffer_span(&answer), -1));
}

static void directory_ended(struct channel *channel)
{
    channel_close(channel);
}

static void directory_closed(struct channel *channel)
{
    CONTAINER_OF(channel, struct rig, directory_channel)->is_directory_closed = true;
}

static void directory_accepted(struct listener *listener, int fd,
                               const struct sockaddr_storage *peer)
{
    static const struct channel_events events = { directory_message, directory_ended,
                                                  directory_closed };
    struct rig *rig = listener->context;

    (void)peer;
    channel_init(&rig->directory_channel, &rig->loop, fd, &events);
    rig->is_directory_connected = true;
}

static void directory_stopped(struct listener *listener)
{
    struct rig *rig = listener->context;

    rig->is_directory_stopped = true;
}

static void rig_start_directory(struct rig *rig)
{
    char path[FOLDER_SIZE + 32];

    snprintf(path, sizeof(path), "%s/directory.sock", rig->folder);
    rig->directory_fd = channel_listen(path, 0600);
    assert_true(rig->directory_fd >= 0);
    listener_start(&rig->directory_listener, &rig->loop, rig->directory_fd, directory_accepted,
                   rig);
}

void rig_move(struct rig *rig, const char *name, const char *host)
{
    char address[64];
    unsigned char uuid[MIRROR_UUID_SIZE] = { 0 };
    struct mirror_key keys[2];
    const struct mirror_account account = {
        .uuid = uuid, .keys = keys, .key_count = 2, .host = span_from_string(host)
    };

    memcpy(uuid, name, strlen(name));
    snprintf(address, sizeof(address), "%s@example.org", name);
    keys[0] =
        (struct mirror_key){ span_from_string(address), MIRROR_KIND_ADDRESS | MIRROR_KIND_LOGIN };
    keys[1] = (struct mirror_key){ span_from_string(name), MIRROR_KIND_LOGIN };
    mirror_writer_put(rig->writer, &account);
    assert_true(mirror_writer_commit(rig->writer, NULL));
}

void rig_remove(struct rig *rig, const char *name)
{
    unsigned char uuid[MIRROR_UUID_SIZE] = { 0 };

    memcpy(uuid, name, strlen(name));
    mirror_writer_delete(rig->writer, uuid);
    assert_true(mirror_writer_commit(rig->writer, NULL));
}

static void ignore_changed(void *context, uint64_t revision, struct span account, struct span host)
{
    (void)context, (void)revision, (void)account, (void)host;
}

static void ignore_changed_many(void *context, uint64_t revision)
{
    (void)context, (void)revision;
}

static void rig_fill_mirror(struct rig *rig)
{
    static const struct mirror_writer_events events = { ignore_changed, ignore_changed_many };

    rig->writer = mirror_writer_open(rig->folder, "test", &events, NULL);
    assert_non_null(rig->writer);
    mirror_writer_begin_refresh(rig->writer);
    rig_move(rig, "anna", "sv0");
    rig_move(rig, "bert", "sv1");
    mirror_writer_end_refresh(rig->writer);
    assert_true(mirror_writer_commit(rig->writer, NULL));
}

/* --- backends ------------------------------------------------------------------------ */

static struct peer *rig_new_peer(struct rig *rig, int fd)
{
    struct peer *peer = calloc(1, sizeof(*peer));

    assert_in_range(rig->peer_count, 0, RIG_PEERS - 1);
    rig->peers[rig->peer_count++] = peer;
    peer_init(peer, &rig->loop, fd);
    return peer;
}

static void backend_accepted(struct listener *listener, int fd, const struct sockaddr_storage *from)
{
    struct rig *rig = listener->context;
    size_t index = (size_t)(listener - rig->backends);

    (void)from;
    assert_null(rig->accepted[index]);
    rig->accepted[index] = rig_new_peer(rig, fd);
    if (rig->backend_tls)
        assert_true(transport_start_tls_server(&rig->accepted[index]->transport, rig->backend_tls));
}

static void backend_stopped(struct listener *listener)
{
    struct rig *rig = listener->context;

    rig->backends_stopped++;
}

void rig_kill_backend(struct rig *rig, unsigned index)
{
    if (rig->backend_fds[index] < 0)
        return;
    listener_stop(&rig->backends[index], backend_stopped);
    close(rig->backend_fds[index]);
    rig->backend_fds[index] = -1;
    io_run_turns(&rig->loop, 2);
}

static void rig_start_backend(struct rig *rig, unsigned index, char *name)
{
    struct backend_config *config = &rig->backend_configs[index];
    uint16_t port;

    rig->backend_fds[index] = io_listen_tcp(&port);
    *config = (struct backend_config){ .name = name,
                                       .address = TEXT("127.0.0.1"),
                                       .lmtp_port = port,
                                       .imap_port = port,
                                       .pop3_port = port };
    listener_start(&rig->backends[index], &rig->loop, rig->backend_fds[index], backend_accepted,
                   rig);
}

/* --- the fallback ---------------------------------------------------------------------- */

struct mail_copy {
    struct rig *rig;
    struct bytes content;
};

static struct mail_copy *rig_copy_new(void *context)
{
    struct mail_copy *copy = calloc(1, sizeof(*copy));

    copy->rig = context;
    copy->content = bytes_empty(64 << 20);
    return copy;
}

static bool rig_copy_append(struct mail_copy *copy, struct span content)
{
    return !copy->rig->is_copy_broken && bytes_append(&copy->content, content);
}

static void rig_copy_free(struct mail_copy *copy)
{
    bytes_release(&copy->content);
    free(copy);
}

static void rig_store(void *context, struct mail_copy *copy,
                      const struct mail_stored_envelope *envelope, mail_stored *done,
                      void *done_context)
{
    static const char *const fates[] = { "none", "pending", "failed", "unknown", "delivered" };
    struct rig *rig = context;
    struct rig_stored *stored = &rig->stored;

    assert_null(stored->done);
    bytes_release(&stored->content);
    *stored =
        (struct rig_stored){ .content = copy->content, .done = done, .context = done_context };
    copy->content = bytes_empty(0);
    rig_copy_free(copy);
    snprintf(stored->reverse_path, sizeof(stored->reverse_path), "%s", envelope->reverse_path);
    for (unsigned i = 0; i < envelope->count; i++) {
        size_t length = strlen(stored->recipients);

        snprintf(stored->recipients + length, sizeof(stored->recipients) - length, "%s=%s ",
                 envelope->recipients[i].recipient, fates[envelope->recipients[i].fate]);
    }
    rig->stored_count++;
}

static enum mail_fallback_state rig_fallback_state(void *context)
{
    return ((struct rig *)context)->fallback_state;
}

static const struct mail_fallback rig_fallback = {
    .state = rig_fallback_state,
    .copy_new = rig_copy_new,
    .copy_append = rig_copy_append,
    .copy_free = rig_copy_free,
    .store = rig_store,
};

static bool store_waits(void *context)
{
    return ((struct rig *)context)->stored.done != NULL;
}

void rig_expect_store(struct rig *rig)
{
    io_run_until(&rig->loop, store_waits, rig);
}

bool rig_has_stored(const struct rig *rig, const char *text)
{
    const struct bytes *content = &rig->stored.content;

    return content->length > 0 && memmem(content->data, content->length, text, strlen(text));
}

void rig_answer_store(struct rig *rig, bool is_stored)
{
    mail_stored *done;

    rig_expect_store(rig);
    done = rig->stored.done;
    rig->stored.done = NULL;
    done(rig->stored.context, is_stored);
}

/* --- talking ------------------------------------------------------------------------------ */

struct peer *rig_connect(struct rig *rig, const struct listener_config *listener)
{
    struct sockaddr_storage from = { .ss_family = AF_INET };
    int fds[2];

    ((struct sockaddr_in *)&from)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    io_make_tcp_pair(fds, 32768);
    if (protocol_is_mail(listener->protocol))
        mail_session_start(&rig->service, listener, fds[1], &from);
    else
        login_session_start(&rig->service, listener, fds[1], &from);
    return rig_new_peer(rig, fds[0]);
}

struct peer *rig_greet(struct rig *rig, const struct listener_config *listener)
{
    struct peer *client = rig_connect(rig, listener);

    rig_expect(client, "220 ");
    rig_say(client, listener->protocol == PROTOCOL_LMTP ? "LHLO me\r\n" : "EHLO me\r\n");
    rig_expect(client, "250 ENHANCEDSTATUSCODES\r\n");
    return client;
}

struct wait {
    struct rig *rig;
    struct peer *peer;
    const char *text;
    unsigned index;
};

static bool is_accepted(void *context)
{
    const struct wait *wait = context;

    return wait->rig->accepted[wait->index] != NULL;
}

struct peer *rig_accept(struct rig *rig, unsigned index)
{
    struct wait wait = { .rig = rig, .index = index };
    struct peer *peer;

    io_run_until(&rig->loop, is_accepted, &wait);
    peer = rig->accepted[index];
    rig->accepted[index] = NULL;
    return peer;
}

struct peer *rig_accept_lmtp(struct rig *rig, unsigned index, const char *offers)
{
    struct peer *backend = rig_accept(rig, index);

    rig_say(backend, "220 store LMTP\r\n");
    rig_expect(backend, "LHLO mx.example.org\r\n");
    rig_say(backend, offers);
    return backend;
}

void rig_say(struct peer *peer, const char *text)
{
    assert_true(transport_send(&peer->transport, span_from_string(text)));
}

static const char *find_text(const struct wait *wait)
{
    const struct bytes *received = &wait->peer->received;

    return received->length == 0
               ? NULL
               : memmem(received->data, received->length, wait->text, strlen(wait->text));
}

static bool has_text_or_end(void *context)
{
    const struct wait *wait = context;

    return find_text(wait) || wait->peer->has_ended || wait->peer->has_failed;
}

void rig_expect(struct peer *peer, const char *text)
{
    struct wait wait = { .peer = peer, .text = text };
    const char *found;

    io_run_until(peer->transport.loop, has_text_or_end, &wait);
    found = find_text(&wait);
    if (!found)
        fail_msg("expected \"%s\", got \"%.*s\" and the end", text,
                 SPAN_PRINTF(bytes_span(&peer->received)));
    bytes_consume(&peer->received, (size_t)(found - peer->received.data) + strlen(text));
}

static bool has_end(void *context)
{
    const struct peer *peer = context;

    return peer->has_ended || peer->has_failed;
}

void rig_expect_end(struct peer *peer)
{
    io_run_until(peer->transport.loop, has_end, peer);
}

void rig_close(struct peer *peer)
{
    transport_close(&peer->transport);
}

static void wait_expired(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

void rig_wait(struct rig *rig, unsigned ms)
{
    bool has_expired = false;
    uv_timer_t timer;

    uv_timer_init(&rig->loop.uv, &timer);
    timer.data = &has_expired;
    uv_timer_start(&timer, wait_expired, ms, 0);
    io_run_until_set(&rig->loop, &has_expired);
    uv_close((uv_handle_t *)&timer, NULL);
    io_run_turns(&rig->loop, 1);
}

static bool has_no_session(void *context)
{
    return ((struct rig *)context)->service.session_count == 0;
}

void rig_expect_no_session(struct rig *rig)
{
    io_run_until(&rig->loop, has_no_session, rig);
}

bool rig_is_up(const struct rig *rig, unsigned index, enum protocol protocol)
{
    const struct backends *backends = &rig->service.backends;

    return backends_is_up(backends, backend_set_at(&backends->set, index), protocol);
}

int64_t rig_count(const struct rig *rig, enum board_counter counter)
{
    return atomic_load(&rig->service.slot->counters[counter]);
}

/* --- life ------------------------------------------------------------------------------------ */

static void rig_configure(struct rig *rig)
{
    rig->domain = TEXT("example.org");
    rig->config = (struct config){
        .cluster = { .hostname = TEXT("mx.example.org"),
                     .domains = { &rig->domain, 1 },
                     .backends = rig->backend_configs,
                     .backend_count = RIG_BACKENDS },
        .directory = { .recipient_delimiter = TEXT("+"), .confirm_rate = 100 },
        .backend_tls = { .name = TEXT("%b") },
        .queue = { .unknown_delay_s = 600 },
        .smtp = { .message_size_max = 16 << 20,
                  .recipients_max = 5,
                  .errors_max = 10,
                  .hops_max = 30,
                  .header_size_max = 65536,
                  .refused_recipients_max = 100,
                  .verified_at_a_time = 100 },
        .timeout = { .login_s = 10,
                     .idle_s = 10,
                     .command_s = 10,
                     .connect_s = 2,
                     .backend_s = 2,
                     .content_s = 10,
                     .envelope_s = 10,
                     .data_end_s = 2,
                     .login_hold_s = 2 },
        .health = { .probe_interval_ms = 100, .failures = 3, .successes = 2 },
        .state_directory = rig->folder,
        .run_directory = rig->folder,
    };
    rig->imap = (struct listener_config){ .name = TEXT("imap"),
                                          .protocol = PROTOCOL_IMAP,
                                          .plaintext_allowed = true,
                                          .mechanisms = SASL_BIT(SASL_EXTERNAL) - 1 };
    rig->pop3 = (struct listener_config){ .name = TEXT("pop3"),
                                          .protocol = PROTOCOL_POP3,
                                          .plaintext_allowed = true,
                                          .mechanisms = SASL_BIT(SASL_EXTERNAL) - 1 };
    rig->smtp = (struct listener_config){ .name = TEXT("mx"), .protocol = PROTOCOL_SMTP };
    rig->lmtp = (struct listener_config){ .name = TEXT("lmtp"), .protocol = PROTOCOL_LMTP };
}

static void rig_changed(struct resolver *resolver, struct span account, struct span host)
{
    struct rig *rig = CONTAINER_OF(resolver, struct rig, resolver);

    if (account.data)
        session_service_account_changed(&rig->service, account, host);
    else
        session_service_many_changed(&rig->service);
}

static void rig_emptied(struct session_service *service)
{
    (void)service;
}

int rig_set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    *state = rig;
    if (!getenv("MAILSTEAD_TEST_LOG"))
        log_set_descriptor(null);
    folder_make(rig->folder);
    io_loop_init(&rig->loop);
    rig_configure(rig);
    rig_start_backend(rig, 0, TEXT("sv0"));
    rig_start_backend(rig, 1, TEXT("sv1"));
    rig_fill_mirror(rig);
    rig_start_directory(rig);
    rig->board = board_new();
    rig->service = (struct session_service){
        .loop = &rig->loop,
        .config = &rig->config,
        .slot = board_take_slot(rig->board),
        .resolver = &rig->resolver,
        .choose = frontend_choose,
        .fallback = &rig_fallback,
        .fallback_context = rig,
        .holds_logins = true,
        .emptied = rig_emptied,
    };
    session_service_init(&rig->service);
    backends_init(&rig->service.backends, &rig->config, rig->board);
    resolver_start(&rig->resolver, &rig->loop, &rig->config, rig_changed);
    io_run_until_set(&rig->loop, &rig->is_directory_connected);
    return 0;
}

static void rig_resolver_stopped(struct resolver *resolver)
{
    CONTAINER_OF(resolver, struct rig, resolver)->is_resolver_stopped = true;
}

static void rig_service_stopped(struct session_service *service)
{
    CONTAINER_OF(service, struct rig, service)->is_service_stopped = true;
}

static void rig_free_peers(struct rig *rig)
{
    for (size_t i = 0; i < rig->peer_count; i++) {
        peer_fini(rig->peers[i]);
        free(rig->peers[i]);
    }
}

struct peer *rig_log_in(struct rig *rig, const char *name, unsigned index, struct peer **backend)
{
    struct peer *client = rig_connect(rig, &rig->imap);
    char command[64];

    snprintf(command, sizeof(command), "1 LOGIN %s secret\r\n", name);
    rig_say(client, command);
    *backend = rig_accept(rig, index);
    rig_say(*backend, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] hello\r\n");
    rig_expect(*backend, "AUTHENTICATE PLAIN ");
    rig_expect(*backend, "\r\n");
    rig_say(*backend, "a OK in\r\n");
    rig_expect(client, "1 OK in\r\n");
    return client;
}

int rig_tear_down(void **state)
{
    struct rig *rig = *state;

    session_service_end_all(&rig->service, "the test is over");
    if (rig->stored.done)
        rig_answer_store(rig, false);
    rig_expect_no_session(rig);
    assert_int_equal(rig_count(rig, BOARD_SESSIONS), 0);
    session_service_stop(&rig->service, rig_service_stopped);
    io_run_until_set(&rig->loop, &rig->is_service_stopped);
    resolver_stop(&rig->resolver, rig_resolver_stopped);
    io_run_until_set(&rig->loop, &rig->is_resolver_stopped);
    io_run_until_set(&rig->loop, &rig->is_directory_closed);
    listener_stop(&rig->directory_listener, directory_stopped);
    io_run_until_set(&rig->loop, &rig->is_directory_stopped);
    close(rig->directory_fd);
    rig_kill_backend(rig, 0);
    rig_kill_backend(rig, 1);
    rig_free_peers(rig);
    io_loop_fini(&rig->loop);
    session_service_fini(&rig->service);
    backends_fini(&rig->service.backends);
    mirror_writer_close(rig->writer);
    bytes_release(&rig->stored.content);
    board_free(rig->board);
    folder_remove(rig->folder);
    free(rig);
    return 0;
}

int rig_set_up_with_pool(void **state)
{
    struct rig *rig;

    if (rig_set_up(state) != 0)
        return -1;
    rig = *state;
    mail_pool_init(&rig->pool, 2, 60);
    rig->service.mail_pool = &rig->pool;
    return 0;
}

int rig_tear_down_with_pool(void **state)
{
    struct rig *rig = *state;

    session_service_end_all(&rig->service, "the test is over");
    mail_pool_close(&rig->pool);
    return rig_tear_down(state);
}
