/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/daemon_support.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "tests/unit/listening.h"

char daemon_folder[64];
static char config_path[128];
uint16_t daemon_ports[DAEMON_LISTENERS_MAX];
int daemon_log_fd = -1;      /* what the supervisor and its children log */
static char log_text[65536]; /* the part read that no wait has passed */
pid_t daemon_pid;

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Writes the configuration with `listeners` listeners; `more` is appended. */
void daemon_configure(int listeners, const char *hostname, const char *more)
{
    char text[4096], secret[128];
    int used;

    snprintf(secret, sizeof(secret), "%s/secret", daemon_folder);
    write_text(secret, "geheim\n");
    used = snprintf(
        text, sizeof(text),
        "cluster { hostname = \"%s\" domains = { \"example.org\" } }\n"
        "directory { uri = { \"ldap://127.0.0.1\" } base = \"dc=x\" bind_dn = \"cn=x\"\n"
        "  bind_password_file = \"%s\" }\n"
        "node { name = \"sv1\" imap_store = \"127.0.0.1:1\" }\n"
        "user = \"%s\" workers = 1\n"
        "state_directory = \"%s/state\" run_directory = \"%s/run\"\n%s\n",
        hostname, secret, geteuid() == 0 ? "nobody" : "", daemon_folder, daemon_folder, more);
    for (int i = 0; i < listeners; i++)
        used +=
            snprintf(text + used, sizeof(text) - (size_t)used,
                     "listen \"l%d\" { protocol = imap address = \"127.0.0.1:%u\" tls = off }\n", i,
                     daemon_ports[i]);
    write_text(config_path, text);
}

/* Runs the toy daemon in a process of its own, its log and errors in the pipe. */
void daemon_launch(const struct supervisor_program *program)
{
    int log[2];

    assert_int_equal(pipe2(log, O_CLOEXEC), 0);
    fflush(NULL);
    daemon_pid = fork();
    assert_true(daemon_pid >= 0);
    if (daemon_pid == 0) {
        char name[] = "toy", option[] = "-c";
        char *arguments[] = { name, option, config_path, NULL };

        dup2(log[1], STDERR_FILENO);
        close(STDIN_FILENO);
        close(log[0]);
        close(log[1]);
        _exit(supervisor_main(program, 3, arguments));
    }
    close(log[1]);
    if (daemon_log_fd >= 0)
        close(daemon_log_fd);
    daemon_log_fd = log[0];
    log_text[0] = '\0';
}

/* Reads the log until a line has all of `words` (ended by NULL); forgets what was before it. */
void daemon_await_line(const char *const *words, char line[1024])
{
    uint64_t deadline_ms = clock_monotonic_ms() + DAEMON_WAIT_MS;

    line[0] = '\0';
    for (;;) {
        struct pollfd readable = { .fd = daemon_log_fd, .events = POLLIN };
        size_t used;
        ssize_t count;
        char *end;

        while ((end = strchr(log_text, '\n'))) {
            bool has_all = true;

            *end = '\0';
            snprintf(line, 1024, "%.1000s", log_text);
            for (size_t i = 0; words[i]; i++)
                has_all = has_all && strstr(line, words[i]);
            memmove(log_text, end + 1, strlen(end + 1) + 1);
            if (has_all)
                return;
        }
        used = strlen(log_text);
        if (clock_monotonic_ms() >= deadline_ms || poll(&readable, 1, DAEMON_WAIT_MS) != 1)
            fail_msg("no line with %s; the last one: %s", words[0], line);
        count = read(daemon_log_fd, log_text + used, sizeof(log_text) - used - 1);
        if (count <= 0)
            fail_msg("the log ended without %s; the last line: %s", words[0], line);
        log_text[used + (size_t)count] = '\0';
    }
}

int daemon_await_status(void)
{
    int status;

    assert_int_equal(waitpid(daemon_pid, &status, 0), daemon_pid);
    daemon_pid = 0;
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void daemon_start(const struct supervisor_program *program)
{
    daemon_launch(program);
    DAEMON_AWAIT("event=ready generation=1");
}

void daemon_stop(void)
{
    kill(daemon_pid, SIGTERM);
    DAEMON_AWAIT("event=ended");
    assert_int_equal(daemon_await_status(), 0);
}

int daemon_set_up(void **unused)
{
    (void)unused;
    signal(SIGPIPE, SIG_IGN);
    strcpy(daemon_folder, "/tmp/mailstead-supervisor-XXXXXX");
    if (!mkdtemp(daemon_folder) || chmod(daemon_folder, 0755) != 0)
        return -1;
    snprintf(config_path, sizeof(config_path), "%s/toy.conf", daemon_folder);
    find_ports(daemon_ports, DAEMON_LISTENERS_MAX);
    return 0;
}

/* A test that failed leaves its daemon. */
int daemon_end(void **unused)
{
    (void)unused;
    if (daemon_pid > 0) {
        kill(daemon_pid, SIGKILL);
        waitpid(daemon_pid, NULL, 0);
        daemon_pid = 0;
    }
    return 0;
}

int daemon_tear_down(void **unused)
{
    static const char *const names[] = {
        "run/toy.pid", "run/single.sock", "run/hub.sock", "run/control.sock", "run",
        "state",       "secret",          "toy.conf",     "notify",           "."
    };
    char path[128];

    (void)unused;
    close(daemon_log_fd);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", daemon_folder, names[i]);
        remove(path);
    }
    return rmdir(daemon_folder);
}
