/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load generator: clients that log in and out, or send messages, as fast as they are served.
 *
 *     load imap|pop3 ENDPOINT CLIENTS OPERATIONS ACCOUNTS [tls|resumed]
 *     load noop|fetch ENDPOINT CLIENTS OPERATIONS ACCOUNTS [tls]
 *     load idle ENDPOINT SESSIONS 1 ACCOUNTS [tls]
 *     load smtp ENDPOINT CLIENTS OPERATIONS ACCOUNTS SIZE PER_SESSION
 *
 * An operation of "noop" is a NOOP, one of "fetch" a literal of 1 MiB, each in the client's one
 * session.  "resumed": TLS, and each client goes on with the session that it was given before.
 * "idle" logs its sessions in, says so, and holds them until its input ends.
 *
 * Accounts are userN@example.org with the password secretN, N from 1 to ACCOUNTS.  One line of JSON
 * at the end: operations, failures, TLS sessions that were resumed, seconds, and latencies in
 * milliseconds.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "tests/bench/stream.h"

enum { FETCH_SIZE = 1024 * 1024 };

struct plan {
    const char *protocol, *endpoint;
    long clients, operations, accounts, size, per_session;
    SSL_CTX *tls;
    bool resumes;
    char *message; /* dot-stuffed, with its end */
    size_t message_size;
};

static struct plan plan;
static _Atomic long next_operation, failures, resumed;
static double *latencies_ms; /* one an operation */

static double now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static bool expect(struct stream *stream, const char *start)
{
    const char *line = stream_line(stream);

    return line && strncmp(line, start, strlen(start)) == 0;
}

/* Lines up to the one that begins with `tag`, which must go on with `start`. */
static bool expect_tagged(struct stream *stream, const char *tag, const char *start)
{
    const char *line;

    while ((line = stream_line(stream)))
        if (strncmp(line, tag, strlen(tag)) == 0)
            return strncmp(line + strlen(tag), start, strlen(start)) == 0;
    return false;
}

static bool enter_imap(struct stream *stream, long account)
{
    return expect(stream, "* OK") &&
           stream_print(stream, "a LOGIN user%ld@example.org secret%ld\r\n", account, account) &&
           expect_tagged(stream, "a ", "OK");
}

static bool log_in_imap(struct stream *stream, long account)
{
    return enter_imap(stream, account) && stream_print(stream, "b LOGOUT\r\n") &&
           expect_tagged(stream, "b ", "OK");
}

static bool say_noop(struct stream *stream)
{
    return stream_print(stream, "c NOOP\r\n") && expect_tagged(stream, "c ", "OK");
}

static bool fetch(struct stream *stream)
{
    return stream_print(stream, "d FETCH %d\r\n", FETCH_SIZE) && expect(stream, "* 1 FETCH") &&
           stream_skip(stream, FETCH_SIZE) && expect(stream, ")") &&
           expect_tagged(stream, "d ", "OK");
}

static bool log_in_pop3(struct stream *stream, long account)
{
    return expect(stream, "+OK") && stream_print(stream, "USER user%ld@example.org\r\n", account) &&
           expect(stream, "+OK") && stream_print(stream, "PASS secret%ld\r\n", account) &&
           expect(stream, "+OK") && stream_print(stream, "QUIT\r\n") && expect(stream, "+OK");
}

/* The last line of an SMTP reply must begin with `start`. */
static bool expect_reply(struct stream *stream, const char *start)
{
    const char *line;

    do
        line = stream_line(stream);
    while (line && strlen(line) > 3 && line[3] == '-');
    return line && strncmp(line, start, strlen(start)) == 0;
}

/* Pipelined, as mail servers do it. */
static bool send_message(struct stream *stream, long account)
{
    return stream_print(stream,
                        "MAIL FROM:<load@example.com>\r\nRCPT TO:<user%ld@example.org>\r\nDATA\r\n",
                        account) &&
           expect_reply(stream, "250") && expect_reply(stream, "250") &&
           expect_reply(stream, "354") && stream_write(stream, plan.message, plan.message_size) &&
           expect_reply(stream, "250");
}

/* The next operation's number, or -1 when all are done. */
static long take_operation(void)
{
    long operation = atomic_fetch_add(&next_operation, 1);

    return operation < plan.operations ? operation : -1;
}

static void record(long operation, double began, bool is_good)
{
    latencies_ms[operation] = (now_s() - began) * 1e3;
    if (!is_good)
        atomic_fetch_add(&failures, 1);
}

static void run_logins(struct stream *stream)
{
    bool (*log_in)(struct stream *, long) =
        strcmp(plan.protocol, "imap") == 0 ? log_in_imap : log_in_pop3;
    long operation;

    while ((operation = take_operation()) >= 0) {
        double began = now_s();
        bool is_good = stream_connect(stream, plan.endpoint, plan.tls);

        if (is_good) {
            is_good = log_in(stream, 1 + operation % plan.accounts);
            stream_close(stream);
        }
        record(operation, began, is_good);
    }
}

/* Operations within one session. */
static void run_session(struct stream *stream)
{
    bool (*operate)(struct stream *) = strcmp(plan.protocol, "noop") == 0 ? say_noop : fetch;
    bool is_good = stream_connect(stream, plan.endpoint, plan.tls);
    bool is_connected = is_good;
    long operation;

    is_good = is_good && enter_imap(stream, 1);
    while ((operation = take_operation()) >= 0) {
        double began = now_s();

        is_good = is_good && operate(stream);
        record(operation, began, is_good);
    }
    if (is_connected)
        stream_close(stream);
}

/* One session of up to plan.per_session messages, the first being `operation`; the last one's
 * number. */
static void run_smtp_session(struct stream *stream, long operation)
{
    double began = now_s();
    bool is_good = stream_connect(stream, plan.endpoint, NULL);
    bool is_connected = is_good;

    is_good = is_good && expect_reply(stream, "220") &&
              stream_print(stream, "EHLO client.example.com\r\n") && expect_reply(stream, "250");
    for (long sent = 1;; sent++) {
        is_good = is_good && send_message(stream, 1 + operation % plan.accounts);
        record(operation, began, is_good);
        if (!is_good || sent == plan.per_session || (operation = take_operation()) < 0)
            break;
        began = now_s();
    }
    if (is_good)
        (void)(stream_print(stream, "QUIT\r\n") && expect_reply(stream, "221"));
    if (is_connected)
        stream_close(stream);
}

static void *run_client(void *unused)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    long operation;

    (void)unused;
    if (!stream)
        bench_die("calloc");
    stream->resumes = plan.resumes;
    if (strcmp(plan.protocol, "noop") == 0 || strcmp(plan.protocol, "fetch") == 0)
        run_session(stream);
    else if (strcmp(plan.protocol, "smtp") != 0)
        run_logins(stream);
    else
        while ((operation = take_operation()) >= 0)
            run_smtp_session(stream, operation);
    atomic_fetch_add(&resumed, stream->resumed);
    SSL_SESSION_free(stream->session);
    free(stream);
    return NULL;
}

/* Logs in plan.clients sessions, one after another, and holds them; the program's exit code. */
static int hold_sessions(void)
{
    long good = 0;
    bool is_good = true;

    for (long i = 0; i < plan.clients && is_good; i++) {
        struct stream *stream = calloc(1, sizeof(*stream)); /* for as long as the program runs */

        if (!stream)
            bench_die("calloc");
        is_good = stream_connect(stream, plan.endpoint, plan.tls) &&
                  enter_imap(stream, 1 + i % plan.accounts);
        good += is_good;
    }
    printf("{\"sessions\":%ld}\n", good);
    fflush(stdout);
    while (getchar() != EOF)
        ;
    return !is_good;
}

static void make_message(void)
{
    static const char head[] = "From: load@example.com\r\nSubject: load\r\n\r\n";
    static const char line[] =
        "A line of text as mail has many, seventy-two octets with its end.......\r\n";
    static const char end[] = ".\r\n";
    size_t lines = (size_t)plan.size / (sizeof(line) - 1);
    char *next;

    plan.message_size = sizeof(head) - 1 + lines * (sizeof(line) - 1) + sizeof(end) - 1;
    plan.message = next = malloc(plan.message_size);
    if (!next)
        bench_die("malloc");
    next = mempcpy(next, head, sizeof(head) - 1);
    for (size_t i = 0; i < lines; i++)
        next = mempcpy(next, line, sizeof(line) - 1);
    memcpy(next, end, sizeof(end) - 1);
}

static int compare(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;

    return (a > b) - (a < b);
}

static double percentile(double share)
{
    return latencies_ms[(long)(share * (double)(plan.operations - 1))];
}

static void parse_plan(int argc, char **argv)
{
    bool is_smtp = argc > 1 && strcmp(argv[1], "smtp") == 0;

    if (argc < (is_smtp ? 8 : 6)) {
        fprintf(stderr,
                "usage: load imap|pop3|noop|fetch|idle ENDPOINT CLIENTS OPERATIONS ACCOUNTS "
                "[tls|resumed]\n"
                "       load smtp ENDPOINT CLIENTS OPERATIONS ACCOUNTS SIZE PER_SESSION\n");
        exit(2);
    }
    plan = (struct plan){ .protocol = argv[1],
                          .endpoint = argv[2],
                          .clients = atol(argv[3]),
                          .operations = atol(argv[4]),
                          .accounts = atol(argv[5]),
                          .size = is_smtp ? atol(argv[6]) : 0,
                          .per_session = is_smtp ? atol(argv[7]) : 0 };
    plan.resumes = !is_smtp && argc > 6 && strcmp(argv[6], "resumed") == 0;
    if (plan.resumes || (!is_smtp && argc > 6 && strcmp(argv[6], "tls") == 0))
        plan.tls = SSL_CTX_new(TLS_client_method());
    if (plan.clients < 1 || plan.operations < 1 || plan.accounts < 1) {
        fprintf(stderr, "load: numbers begin at 1\n");
        exit(2);
    }
    make_message();
}

int main(int argc, char **argv)
{
    pthread_t *threads;
    double began;

    parse_plan(argc, argv);
    if (strcmp(plan.protocol, "idle") == 0)
        return hold_sessions();
    latencies_ms = calloc((size_t)plan.operations, sizeof(*latencies_ms));
    threads = calloc((size_t)plan.clients, sizeof(*threads));
    if (!latencies_ms || !threads)
        bench_die("calloc");
    began = now_s();
    for (long i = 0; i < plan.clients; i++)
        if (pthread_create(&threads[i], NULL, run_client, NULL))
            bench_die("thread");
    for (long i = 0; i < plan.clients; i++)
        pthread_join(threads[i], NULL);
    began = now_s() - began;
    qsort(latencies_ms, (size_t)plan.operations, sizeof(*latencies_ms), compare);
    printf("{\"operations\":%ld,\"failures\":%ld,\"resumed\":%ld,\"seconds\":%.3f,\"p50_ms\":%.2f,"
           "\"p99_ms\":%.2f}\n",
           plan.operations, atomic_load(&failures), atomic_load(&resumed), began, percentile(0.5),
           percentile(0.99));
    return atomic_load(&failures) > 0;
}
