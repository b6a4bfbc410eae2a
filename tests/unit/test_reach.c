/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking nodes over control sockets and admin ports: who is asked and how, what goes wrong, and
 * that nobody waits for somebody else's silence.
 */
#include "tests/unit/unit.h"

#include "tests/unit/listening.h"

#include <openssl/ssl.h>
#include <signal.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin/output.h"
#include "admin/reach.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "tests/unit/certificates.h"
#include "tests/unit/folder.h"

enum { SERVERS_MAX = 4, TIMEOUT_MS = 500, PATH_SIZE = 128 };

static char folder[FOLDER_SIZE], ca_file[PATH_SIZE], other_ca_file[PATH_SIZE];
static char client_file[PATH_SIZE], client_key[PATH_SIZE], stranger_file[PATH_SIZE],
    stranger_key[PATH_SIZE];
static struct test_certificate authority, other_authority, server, client, stranger;
static pid_t servers[SERVERS_MAX];
static size_t server_count;
static struct frontend_config frontends[3];
static struct backend_config backends[1];
static struct config config;
static struct reach reach;

/* --- servers ----------------------------------------------------------------------------- */

/* What a server answers to a request, with the number of the connection. */
static void answer_to(const char *request, int connection, char *answer, size_t size)
{
    const char *status = "200 OK";
    char body[256];

    if (strstr(request, "forbidden")) {
        status = "403 Forbidden";
        snprintf(body, sizeof(body), "{\"end\":true,\"error\":\"only those who may operate\"}\n");
    } else if (strstr(request, "bare")) {
        status = "403 Forbidden";
        snprintf(body, sizeof(body), "no\n");
    } else if (strstr(request, "lost")) {
        status = "404 Not Found";
        snprintf(body, sizeof(body), "no\n");
    } else if (strstr(request, "half")) {
        snprintf(body, sizeof(body), "{\"connection\":%d}\n", connection);
    } else {
        snprintf(body, sizeof(body), "{\"connection\":%d}\n{\"more\":1}\n{\"end\":true}\n",
                 connection);
    }
    snprintf(answer, size, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body),
             body);
}

/* Reads and answers requests until the peer leaves. */
static void serve_connection(SSL *ssl, int connection)
{
    char request[4096], answer[1024];
    size_t length = 0;
    int count;

    while (SSL_accept(ssl) == 1 &&
           (count = SSL_read(ssl, request + length, (int)(sizeof(request) - 1 - length))) > 0) {
        length += (size_t)count;
        request[length] = '\0';
        if (request[length - 1] != '}')
            continue; /* the body is still to come */
        if (!strstr(request, "POST /v1/order HTTP/1.1\r\n") || strstr(request, "silent"))
            pause();
        answer_to(request, connection, answer, sizeof(answer));
        SSL_write(ssl, answer, (int)strlen(answer));
        length = 0;
    }
    SSL_shutdown(ssl);
}

/* Several connections at a time: a process each. */
static void serve_https(int listening)
{
    char error[TLS_ERROR_SIZE];
    SSL_CTX *context = test_server_context(&server, error);
    int connection = 0;

    SSL_CTX_load_verify_locations(context, ca_file, NULL);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(listening, NULL, NULL);

        connection++;
        if (fork() == 0) {
            SSL *ssl = SSL_new(context);

            SSL_set_fd(ssl, fd);
            serve_connection(ssl, connection);
            _exit(0);
        }
        close(fd);
    }
}

static void serve_socket(int listening)
{
    static const char lines[] = "{\"by\":\"socket\"}\n{\"end\":true}\n";
    char request[4096];
    int lost_count = 0;

    for (;;) {
        int fd = accept(listening, NULL, NULL);
        ssize_t count = read(fd, request, sizeof(request) - 1);

        request[count > 0 ? count : 0] = '\0';
        /* The first is lost, of questions and of orders. */
        if (count > 0 &&
            !((strstr(request, "lookup") || strstr(request, "drain")) && lost_count++ == 0))
            (void)!write(fd, lines, sizeof(lines) - 1);
        close(fd);
    }
}

static void run_server(void (*serve)(int listening), int listening)
{
    pid_t pid = fork();

    assert_true(pid >= 0 && server_count < SERVERS_MAX);
    if (pid == 0) {
        setpgid(0, 0);
        alarm(60);
        serve(listening);
        _exit(0);
    }
    setpgid(pid, pid);
    servers[server_count++] = pid;
    close(listening);
}

static uint16_t start_https(void)
{
    uint16_t port;
    int listening = listen_somewhere(&port);

    run_server(serve_https, listening);
    return port;
}

static void start_socket(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listening, 8), 0);
    run_server(serve_socket, listening);
}

/* --- before and after ---------------------------------------------------------------------- */

static void keep_file(const char *pem, char path[PATH_SIZE])
{
    snprintf(path, PATH_SIZE, "%s/XXXXXX", folder);
    test_pem_write(pem, path);
}

static int make_certificates(void **state)
{
    (void)state;
    folder_make(folder);
    test_authority_make(&authority);
    test_authority_make(&other_authority);
    test_certificate_issue(&server, &authority, "DNS:node.example.org,IP:127.0.0.1");
    test_certificate_issue(&client, &authority, "DNS:admin.example.org");
    test_certificate_issue(&stranger, &other_authority, "DNS:admin.example.org");
    keep_file(authority.certificate, ca_file);
    keep_file(other_authority.certificate, other_ca_file);
    keep_file(client.certificate, client_file);
    keep_file(client.key, client_key);
    keep_file(stranger.certificate, stranger_file);
    keep_file(stranger.key, stranger_key);
    return 0;
}

static int remove_certificates(void **state)
{
    (void)state;
    test_certificate_free(&authority);
    test_certificate_free(&other_authority);
    test_certificate_free(&server);
    test_certificate_free(&client);
    test_certificate_free(&stranger);
    folder_remove(folder);
    return 0;
}

/* Text that the configuration's rows would own. */
#define TEXT(literal) ((char *)(uintptr_t)(literal))

/* Three frontends, none of which can be asked, and a backend; the tests say how. */
static int setup(void **state)
{
    static char names[3][4] = { "fe1", "fe2", "fe3" };

    (void)state;
    for (size_t i = 0; i < 3; i++)
        frontends[i] = (struct frontend_config){ .name = names[i],
                                                 .address = TEXT("127.0.0.1"),
                                                 .tls_name = TEXT("node.example.org") };
    backends[0] = (struct backend_config){ .name = TEXT("sv1"),
                                           .address = TEXT("192.0.2.1"),
                                           .tls_name = TEXT("sv1.example.org") };
    config = (struct config){
        .cluster = { .hostname = TEXT("somewhere.example.org"),
                     .frontends = frontends,
                     .frontend_count = 3,
                     .backends = backends,
                     .backend_count = 1 },
        .admin = { .client_certificate = client_file,
                   .client_key = client_key,
                   .node_ca = ca_file },
        .run_directory = folder,
    };
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    while (server_count > 0) {
        pid_t pid = servers[--server_count];

        kill(-pid, SIGKILL);
        waitpid(pid, NULL, 0);
    }
    return 0;
}

static const struct reach_node *open_reach(const char *name)
{
    reach_init(&reach, &config);
    return name ? reach_find(&reach, name) : reach_own(&reach);
}

/* Asks fe1 at its admin port; the lines, the caller's, or NULL and `error`. */
static json_t *ask(const char *command, char error[CONFIG_ERROR_SIZE])
{
    const struct reach_node *node = open_reach("fe1");
    json_t *lines =
        reach_ask_lines(node, json_pack("{s:s}", "command", command), TIMEOUT_MS, error);

    reach_fini(&reach);
    return lines;
}

static void assert_fails(const char *command, const char *part)
{
    char error[CONFIG_ERROR_SIZE] = "";
    json_t *lines = ask(command, error);

    assert_null(lines);
    if (!strstr(error, part))
        fail_msg("expected \"%s\" in \"%s\"", part, error);
    assert_null(strchr(error, '\n'));
}

/* --- who is asked, and how -------------------------------------------------------------------- */

static void all_nodes_are_listed_and_this_machine_s_daemon_once(void **state)
{
    (void)state;
    backends[0].admin_port = 8443;
    open_reach(NULL);
    assert_int_equal(reach.count, 5);
    assert_int_equal(reach_find(&reach, "sv1")->role, REACH_BACKEND);
    assert_true(reach_is_askable(reach_find(&reach, "sv1")));
    assert_false(reach_is_askable(reach_find(&reach, "fe1")));
    assert_null(reach_find(&reach, "this machine's daemon"));
    assert_int_equal(reach_own(&reach)->role, REACH_UNLISTED);
    reach_fini(&reach);
}

static void this_machine_s_daemon_is_known_by_its_name_its_address_or_its_socket(void **state)
{
    char path[PATH_SIZE];

    (void)state;
    snprintf(path, sizeof(path), "%s/control.sock", folder);
    frontends[1].control_socket = path;
    assert_string_equal(open_reach(NULL)->name, "fe2");
    assert_int_equal(reach.count, 4);
    reach_fini(&reach);
    frontends[1].control_socket = NULL;
    config.cluster.hostname = TEXT("FE3");
    assert_string_equal(open_reach(NULL)->name, "fe3");
    assert_string_equal(reach_own(&reach)->path, path);
    reach_fini(&reach);
    config.cluster.hostname = TEXT("x.example.org");
    frontends[1].address = frontends[2].address = TEXT("192.0.2.7");
    assert_string_equal(open_reach(NULL)->name, "fe1"); /* 127.0.0.1 */
    reach_fini(&reach);
    config.node.name = TEXT("sv1");
    assert_string_equal(open_reach(NULL)->name, "sv1");
    reach_fini(&reach);
}

static void a_control_socket_goes_before_an_admin_port(void **state)
{
    char path[PATH_SIZE], error[CONFIG_ERROR_SIZE];
    json_t *lines;

    (void)state;
    snprintf(path, sizeof(path), "%s/fe1.sock", folder);
    start_socket(path);
    frontends[0].control_socket = path;
    frontends[0].admin_port = 1;
    lines = ask("ping", error);
    assert_string_equal(json_text(json_array_get(lines, 0), "by"), "socket");
    json_decref(lines);
}

static void an_admin_port_answers_the_same_lines(void **state)
{
    char error[CONFIG_ERROR_SIZE];
    json_t *lines;

    (void)state;
    frontends[0].admin_port = start_https();
    lines = ask("ping", error);
    assert_int_equal(json_array_size(lines), 2);
    json_decref(lines);
}

static void a_connection_is_used_again(void **state)
{
    const struct reach_node *node;
    char error[CONFIG_ERROR_SIZE];

    (void)state;
    frontends[0].admin_port = start_https();
    node = open_reach("fe1");
    for (int i = 0; i < 3; i++) {
        json_t *lines =
            reach_ask_lines(node, json_pack("{s:s}", "command", "ping"), TIMEOUT_MS, error);

        assert_int_equal(json_number(json_array_get(lines, 0), "connection", 0), 1);
        json_decref(lines);
    }
    reach_fini(&reach);
}

/* --- what goes wrong -----------------------------------------------------------------------------
 */

static void a_node_of_another_authority_is_not_believed(void **state)
{
    (void)state;
    frontends[0].admin_port = start_https();
    config.admin.node_ca = other_ca_file; /* which has the same name */
    assert_fails("ping", "127.0.0.1 port ");
    assert_fails("ping", "its certificate is not of admin.node_ca: ");
    config.admin.node_ca = client_file;
    assert_fails("ping", "it does not prove who it is: SSL certificate problem");
}

static void a_node_with_another_name_is_not_believed(void **state)
{
    (void)state;
    frontends[0].admin_port = start_https();
    frontends[0].tls_name = TEXT("other.example.org");
    assert_fails("ping", "it does not prove who it is: ");
    assert_fails("ping", "other.example.org");
    frontends[0].tls_name = TEXT("127.0.0.1");
    json_decref(ask("ping", (char[CONFIG_ERROR_SIZE]){ "" }));
}

static void a_certificate_of_ours_that_is_refused_is_told(void **state)
{
    (void)state;
    frontends[0].admin_port = start_https();
    config.admin.client_certificate = stranger_file;
    config.admin.client_key = stranger_key;
    assert_fails("ping", "our certificate is refused: ");
    config.admin.client_key = client_key;
    assert_fails("ping", "admin.client_certificate or client_key: ");
    config.admin.client_key = TEXT("/nowhere");
    assert_fails("ping", "/nowhere cannot be read");
    config.admin.client_certificate = config.admin.client_key = NULL;
    assert_fails("ping", "the configuration has no admin.client_certificate");
}

static void what_the_port_refuses_is_told_in_its_words_or_by_its_status(void **state)
{
    (void)state;
    frontends[0].admin_port = start_https();
    assert_fails("forbidden", "only those who may operate");
    assert_fails("bare", "our certificate may not do that (HTTP status 403)");
    assert_fails("lost", "it answers with HTTP status 404");
    assert_fails("half", "the answer has no end");
}

static void who_is_not_there_or_says_nothing_is_told(void **state)
{
    uint16_t port;
    int silent = listen_somewhere(&port);

    (void)state;
    assert_fails("ping", "it has neither admin_port nor control_socket");
    frontends[0].admin_port = port;
    assert_fails("ping", "no answer in time"); /* nobody speaks TLS */
    close(silent);
    assert_fails("ping", "Connection refused; does the daemon run?");
    frontends[0].admin_port = start_https();
    assert_fails("silent", "no answer in time");
    frontends[0].control_socket = TEXT("/nowhere/control.sock");
    assert_fails("ping", "the daemon at /nowhere/control.sock: No such file");
}

/* --- many
 * ------------------------------------------------------------------------------------------ */

static void dead_nodes_cost_their_time_once_and_delay_nobody(void **state)
{
    char path[PATH_SIZE];
    uint16_t ports[2];
    int silent[2] = { listen_somewhere(&ports[0]), listen_somewhere(&ports[1]) };
    json_t *request = json_pack("{s:s}", "command", "ping");
    struct reach_question questions[4];
    uint64_t started_ms = clock_monotonic_ms();

    (void)state;
    snprintf(path, sizeof(path), "%s/fe3.sock", folder);
    start_socket(path);
    frontends[0].admin_port = ports[0];
    frontends[1].admin_port = start_https();
    frontends[2].control_socket = path;
    backends[0].address = TEXT("127.0.0.1");
    backends[0].admin_port = ports[1];
    open_reach(NULL);
    for (size_t i = 0; i < 4; i++)
        questions[i] = (struct reach_question){ .node = &reach.nodes[i],
                                                .request = request,
                                                .timeout_ms = 2 * TIMEOUT_MS };
    reach_ask_all(questions, 4);
    assert_false(questions[0].is_answered);
    assert_true(questions[1].is_answered);
    assert_true(questions[2].is_answered);
    assert_false(questions[3].is_answered);
    assert_in_range(clock_monotonic_ms() - started_ms, 2 * TIMEOUT_MS, 4 * TIMEOUT_MS - 1);
    json_decref(request);
    reach_fini(&reach);
    close(silent[0]);
    close(silent[1]);
}

/* The same is asked five times. */
static void ask_again(struct reach_question *question)
{
    int *count = question->context;

    assert_true(question->is_answered);
    if (++*count < 5)
        question->again_ms = 1;
}

static void a_question_may_be_asked_again(void **state)
{
    json_t *request = json_pack("{s:s}", "command", "ping");
    struct reach_question question = { .request = request, .ended = ask_again };
    int count = 0;

    (void)state;
    frontends[0].admin_port = start_https();
    question.node = open_reach("fe1");
    question.context = &count;
    reach_ask_all(&question, 1);
    assert_int_equal(count, 5);
    json_decref(request);
    reach_fini(&reach);
}

static void what_a_reload_took_is_asked_again_when_it_changes_nothing(void **state)
{
    char path[PATH_SIZE], error[CONFIG_ERROR_SIZE];
    json_t *lines;

    (void)state;
    snprintf(path, sizeof(path), "%s/again.sock", folder);
    start_socket(path);
    frontends[0].control_socket = path;
    assert_fails("drain", "the daemon ended before it answered; ask again");
    unlink(path);
    start_socket(path);
    lines = ask("lookup", error);
    assert_non_null(lines);
    json_decref(lines);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_nodes_are_listed_and_this_machine_s_daemon_once),
        TEST(this_machine_s_daemon_is_known_by_its_name_its_address_or_its_socket),
        TEST(a_control_socket_goes_before_an_admin_port),
        TEST(an_admin_port_answers_the_same_lines),
        TEST(a_connection_is_used_again),
        TEST(a_node_of_another_authority_is_not_believed),
        TEST(a_node_with_another_name_is_not_believed),
        TEST(a_certificate_of_ours_that_is_refused_is_told),
        TEST(what_the_port_refuses_is_told_in_its_words_or_by_its_status),
        TEST(who_is_not_there_or_says_nothing_is_told),
        TEST(dead_nodes_cost_their_time_once_and_delay_nobody),
        TEST(a_question_may_be_asked_again),
        TEST(what_a_reload_took_is_asked_again_when_it_changes_nothing),
    };

    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("reach", tests, make_certificates, remove_certificates);
}
