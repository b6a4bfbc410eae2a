/* SPDX-License-Identifier: Apache-2.0 */
/* mailstead probe: what it finds of the control socket and of each kind of listener. */
#include "tests/unit/unit.h"

#include "tests/unit/listening.h"

#include <sys/wait.h>
#include <unistd.h>

#include "admin/command.h"
#include "tests/unit/admin_support.h"

#define assert_contains(text, part) assert_non_null(strstr((text), (part)))

static const char proxy_signature[] = "\r\n\r\n\0\r\nQUIT\n\x20";

/* A process that serves one connection: reads as many bytes as `wants` has, which must be it,
 * says `greeting` and hangs up. */
static pid_t serve_once(int fd, const char *wants, size_t length, const char *greeting)
{
    pid_t pid = fork();
    char heard[64];
    int peer;

    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    peer = accept(fd, NULL, NULL);
    if (length > 0 && (recv(peer, heard, length, MSG_WAITALL) != (ssize_t)length ||
                       memcmp(heard, wants, length) != 0))
        _exit(1);
    _exit(send(peer, greeting, strlen(greeting), 0) == (ssize_t)strlen(greeting) ? 0 : 2);
}

static void assert_served(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* Adds the listener "pop" at `port`, with `more` in its section. */
static void configure(uint16_t port, const char *more)
{
    char text[512];

    snprintf(text, sizeof(text),
             "listen \"pop\" { protocol = \"pop3\" address = \"127.0.0.1:%u\" tls = \"off\" "
             "plaintext_allowed = true %s }\n",
             port, more);
    admin_write_config(text);
}

static void a_greeting_is_an_answer_a_refusal_too(void **state)
{
    static const char *const greetings[] = { "+OK ready\r\n", "-ERR [SYS/TEMP] full\r\n" };
    uint16_t port;
    int fd = listen_somewhere(&port);

    (void)state;
    admin_daemon_answers("status", "{}", NULL);
    configure(port, "");
    for (size_t i = 0; i < 2; i++) {
        pid_t server = serve_once(fd, "", 0, greetings[i]);

        assert_null(strstr(admin_run("probe").out, "pop: "));
        assert_served(server);
    }
    close(fd);
}

static void who_hangs_up_or_refuses_does_not_serve(void **state)
{
    struct admin_result result;
    uint16_t port;
    int fd = listen_somewhere(&port);
    pid_t server = serve_once(fd, "", 0, "");

    (void)state;
    admin_daemon_answers("status", "{}", NULL);
    configure(port, "");
    result = admin_run("probe");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.out, "pop: hangs up without a word\n");
    assert_served(server);
    close(fd);
    assert_contains(admin_run("probe").out, "pop: does not accept connections: ");
    assert_contains(admin_run("probe --json").out, "\"part\": \"pop\"");
}

static void a_daemon_that_does_not_run_is_told(void **state)
{
    struct admin_result result;

    (void)state;
    result = admin_run("probe");
    assert_int_equal(result.status, COMMAND_FAILED);
    assert_contains(result.out, "control.sock: the daemon at ");
}

static void a_machine_that_is_its_own_balancer_introduces_itself(void **state)
{
    uint16_t port;
    int fd = listen_somewhere(&port);
    /* The address family and the length behind the command are zeros. */
    char header[sizeof(proxy_signature) + 2] = { 0 };
    pid_t server;

    (void)state;
    memcpy(header, proxy_signature, sizeof(proxy_signature) - 1);
    server = serve_once(fd, header, sizeof(header), "+OK ready\r\n");
    admin_daemon_answers("status", "{}", NULL);
    configure(port, "proxy_protocol_from = { \"192.0.2.1\", \"127.0.0.0/8\" }");
    assert_null(strstr(admin_run("probe").out, "pop: "));
    assert_served(server);
    close(fd);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, admin_setup, admin_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_greeting_is_an_answer_a_refusal_too),
        TEST(who_hangs_up_or_refuses_does_not_serve),
        TEST(a_daemon_that_does_not_run_is_told),
        TEST(a_machine_that_is_its_own_balancer_introduces_itself),
    };

    return cmocka_run_group_tests_name("admin serving", tests, NULL, NULL);
}
