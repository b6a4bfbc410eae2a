/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The supervisor's own life: start, wait, end.  It waits in poll(2) for signals and for
 * children that are ready, a second at most.  It cannot start: one line on standard
 * error for each reason and status 1, with nothing left behind.  Once started, no failure
 * of a child or of a reload ends it.
 */
#include "common/service/supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/confine.h"
#include "common/service/logical_host.h"
#include "common/service/notify.h"
#include "common/service/supervisor_state.h"

enum { TICK_MS = 1000, DESCRIPTORS_MAX = 1048576 };

void supervisor_set_log_level(const struct config *config)
{
    static const char *const levels[] = { "debug", "info", "warning", "error" };

    for (size_t i = 0; i < ARRAY_LENGTH(levels); i++)
        if (strcmp(config->log_level, levels[i]) == 0)
            log_set_level((enum log_level)i);
}

static bool cannot_start(const struct supervisor *supervisor, const char *error)
{
    fprintf(stderr, "%s: %s: %s\n", supervisor->program->name, supervisor->config_file, error);
    return false;
}

/* Sessions are descriptors: as many as we are allowed. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max < DESCRIPTORS_MAX ? limit.rlim_max : DESCRIPTORS_MAX;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/*
 * Whoever started us may have closed these; a socket in their place would be sent the log.  Or he
 * left others open, and waits for their end.
 */
static void open_standard_descriptors(void)
{
    int fd;

    close_range(STDERR_FILENO + 1, ~0U, 0);
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
}

/*
 * The signals come as reads of signal_fd; nothing interrupts anything.  SIGUSR1 is for children: a
 * new one must not get it before it can answer.
 */
static bool open_wakers(struct supervisor *supervisor)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGUSR1);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    signal(SIGPIPE, SIG_IGN);
    supervisor->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    supervisor->ready_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return supervisor->signal_fd >= 0 && supervisor->ready_fd >= 0;
}

static void close_all(struct supervisor *supervisor)
{
    int *fds[] = { &supervisor->signal_fd, &supervisor->ready_fd, &supervisor->lock_fd };

    supervisor_sockets_close(&supervisor->sockets);
    for (size_t i = 0; i < ARRAY_LENGTH(fds); i++)
        if (*fds[i] >= 0)
            close(*fds[i]);
    event_counts_follow_log(NULL);
    if (supervisor->board)
        board_free(supervisor->board);
    config_free(supervisor->config);
    if (supervisor->tickets)
        tls_tickets_wipe(supervisor->tickets);
    tls_tickets_free(supervisor->tickets);
}

/*
 * The addresses.  The kernel closes what a killed process had alone after it has let go of what it
 * shared, so the last child of a killed supervisor may release the lock before another's listening
 * sockets are closed.
 */
static bool bind_all(struct supervisor *supervisor, unsigned workers, char error[CONFIG_ERROR_SIZE])
{
    uint64_t deadline_ms = clock_monotonic_ms() + (supervisor->follows_killed ? LOCK_WAIT_MS : 0);

    while (!supervisor_bind(&supervisor->sockets, supervisor->config, workers,
                            supervisor->generation, error)) {
        if (clock_monotonic_ms() >= deadline_ms)
            return false;
        poll(NULL, 0, LOCK_RETRY_MS);
    }
    return true;
}

/* In this order: what is only looked at, the lock, then what others would notice. */
static bool prepare(struct supervisor *supervisor)
{
    const struct supervisor_program *program = supervisor->program;
    const struct config *config = supervisor->config;
    unsigned workers = supervisor_worker_count(config);
    char error[CONFIG_ERROR_SIZE] = "";

    if (!supervisor_find_account(config, &supervisor->account, error) ||
        !supervisor_make_directories(supervisor, config, error) ||
        !supervisor_lock(supervisor, error) ||
        (program->prepare && !program->prepare(config, error)) ||
        !bind_all(supervisor, workers, error) || !supervisor_open_services(supervisor, error))
        return cannot_start(supervisor, error);
    supervisor->board = board_new();
    supervisor->tickets = tls_tickets_new();
    if (!supervisor->board || !supervisor->tickets || !open_wakers(supervisor))
        return cannot_start(supervisor, strerror(errno));
    atomic_store(&supervisor->board->started_ms, clock_monotonic_ms());
    event_counts_follow_log(&supervisor->board->events);
    return true;
}

static void read_signals(struct supervisor *supervisor, uint64_t now_ms)
{
    struct signalfd_siginfo signal;

    while (read(supervisor->signal_fd, &signal, sizeof(signal)) == sizeof(signal)) {
        if (signal.ssi_signo == SIGHUP && !supervisor->is_stopping) {
            supervisor->reload_is_wanted = true;
        } else if ((signal.ssi_signo == SIGTERM || signal.ssi_signo == SIGINT) &&
                   !supervisor->is_stopping) {
            LOG_EVENT(LOG_LEVEL_INFO, NULL, "stopping",
                      LOG_TEXT("signal", sigabbrev_np((int)signal.ssi_signo)));
            notify_stopping();
            supervisor->is_stopping = true;
            supervisor->reload_is_wanted = false;
            supervisor_end_all(supervisor, now_ms);
        }
    }
}

static void wait_for_news(struct supervisor *supervisor)
{
    struct pollfd wakers[] = { { .fd = supervisor->signal_fd, .events = POLLIN },
                               { .fd = supervisor->ready_fd, .events = POLLIN } };
    uint64_t count;

    poll(wakers, ARRAY_LENGTH(wakers),
         supervisor_next_due_ms(supervisor, clock_monotonic_ms(), TICK_MS));
    (void)!read(supervisor->ready_fd, &count, sizeof(count)); /* only a reason to look */
}

/*
 * Once in a generation: all its workers run, the old ones may drain now.  The other roles do not
 * count: workers serve without them, as well as they can.
 */
static void announce_if_ready(struct supervisor *supervisor, uint64_t now_ms)
{
    if (supervisor->is_ready || supervisor->is_stopping || !supervisor_is_complete(supervisor))
        return;
    supervisor->is_ready = true;
    atomic_store(&supervisor->board->generation, supervisor->generation);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "ready", LOG_INTEGER("generation", supervisor->generation));
    supervisor_drain_old(supervisor, now_ms);
    notify_ready();
}

static void supervise(struct supervisor *supervisor)
{
    supervisor_plan(supervisor, false);
    while (!list_is_empty(&supervisor->processes)) {
        uint64_t now_ms = clock_monotonic_ms();

        supervisor_reap(supervisor);
        read_signals(supervisor, now_ms);
        supervisor_tend(supervisor, now_ms);
        announce_if_ready(supervisor, now_ms);
        tls_tickets_renew(supervisor->tickets, now_ms,
                          supervisor->config->tls.ticket_key_s * 1000ULL);
        if (supervisor->reload_is_wanted)
            supervisor_reload(supervisor, now_ms);
        if (!list_is_empty(&supervisor->processes))
            wait_for_news(supervisor);
    }
}

static void print_complaint(void *context, const char *file, int line, const char *text)
{
    const struct supervisor *supervisor = context;

    fprintf(stderr, "%s: ", supervisor->program->name);
    config_print_complaint(stderr, file, line, text);
}

static int run(struct supervisor *supervisor)
{
    if (!confine_memory()) {
        fprintf(stderr, "%s: core files cannot be forbidden: %s\n", supervisor->program->name,
                strerror(errno));
        return 1;
    }
    supervisor->config = config_load(supervisor->config_file, supervisor->program->program, true,
                                     print_complaint, supervisor);
    if (!supervisor->config || !prepare(supervisor)) {
        if (supervisor->lock_fd >= 0) {
            supervisor_unlink_services(supervisor);
            supervisor_unlock(supervisor);
        }
        close_all(supervisor);
        return 1;
    }
    supervisor_set_log_level(supervisor->config);
    raise_descriptor_limit();
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "started", LOG_TEXT("version", PACKAGE_VERSION),
              LOG_INTEGER("pid", getpid()), LOG_TEXT("configuration", supervisor->config_file),
              LOG_TEXT("logical_host", logical_host_name()),
              LOG_INTEGER("workers", supervisor_worker_count(supervisor->config)));
    supervise(supervisor);
    supervisor_unlink_services(supervisor);
    supervisor_unlock(supervisor);
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "ended");
    close_all(supervisor);
    return 0;
}

static int check(const struct supervisor *supervisor)
{
    struct config *config = config_load(supervisor->config_file, supervisor->program->program, true,
                                        config_print_complaint, stderr);

    if (!config)
        return 1;
    config_free(config);
    printf("%s: no error found\n", supervisor->config_file);
    return 0;
}

static int print_usage(const struct supervisor_program *program, FILE *stream, int status)
{
    fprintf(stream, "usage: %s [-c FILE] [--logical-host NAME] [--check | --help | --version]\n",
            program->name);
    return status;
}

/* Whose configuration it is, and how its lines in the log begin. */
static bool settle_host(struct supervisor *supervisor, const char *option)
{
    char error[LOGICAL_HOST_ERROR_SIZE], title[64];

    if (!logical_host_choose(option, error)) {
        fprintf(stderr, "%s: %s\n", supervisor->program->name, error);
        return false;
    }
    if (!supervisor->config_file)
        supervisor->config_file = logical_host_config_file();
    logical_host_title(supervisor->program->name, title, sizeof(title));
    log_set_process(title);
    return true;
}

int supervisor_main(const struct supervisor_program *program, int argc, char **argv)
{
    static const struct option options[] = { { "config", required_argument, NULL, 'c' },
                                             { "check", no_argument, NULL, 'k' },
                                             { "help", no_argument, NULL, 'h' },
                                             { "logical-host", required_argument, NULL, 'l' },
                                             { "version", no_argument, NULL, 'v' },
                                             { NULL, 0, NULL, 0 } };
    struct supervisor supervisor = { .program = program,
                                     .pid = getpid(),
                                     .generation = 1,
                                     .signal_fd = -1,
                                     .ready_fd = -1,
                                     .lock_fd = -1 };
    const char *host = NULL;
    bool is_check = false;
    int option;

    open_standard_descriptors();
    log_set_process(program->name);
    list_init(&supervisor.processes);
    supervisor_sockets_init(&supervisor.sockets);
    optind = 0;
    while ((option = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
        if (option == 'c') {
            supervisor.config_file = optarg;
        } else if (option == 'k') {
            is_check = true;
        } else if (option == 'l') {
            host = optarg;
        } else if (option == 'v') {
            printf("%s %s\n", program->name, PACKAGE_VERSION);
            return 0;
        } else {
            return print_usage(program, option == 'h' ? stdout : stderr, option == 'h' ? 0 : 2);
        }
    }
    if (optind < argc) {
        fprintf(stderr, "%s: what is \"%.100s\" for?\n", program->name, argv[optind]);
        return print_usage(program, stderr, 2);
    }
    if (!settle_host(&supervisor, host))
        return 2;
    return is_check ? check(&supervisor) : run(&supervisor);
}
