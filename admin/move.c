/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done to the directory is directory/reassign/; here are the questions before it, its
 * progress for a terminal, a log or a program, and how a run is stopped: the first Ctrl-C lets
 * the changes in flight end, a second one kills.
 */
#include "admin/move.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "admin/daemon.h"
#include "admin/follow.h"
#include "admin/output.h"
#include "admin/probe.h"

enum { PROGRESS_TERMINAL_MS = 200, PROGRESS_LINES_MS = 1000, COMPLAINTS_MAX = 20 };

struct move {
    const struct arguments *arguments;
    const struct config *config;
    struct reassign_plan plan;
    struct reassign_result result;
    bool is_terminal; /* where progress goes */
    uint64_t shown_ms;
    unsigned complaints;
};

static volatile sig_atomic_t was_interrupted;

static void on_interrupt(int number)
{
    (void)number;
    was_interrupted = 1;
}

static void catch_interrupts(void)
{
    struct sigaction action = { .sa_handler = on_interrupt, .sa_flags = (int)SA_RESETHAND };

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

static bool should_stop(void *context)
{
    (void)context;
    return was_interrupted != 0;
}

/* --- progress ----------------------------------------------------------------------- */

static json_t *progress_to_json(const struct reassign_progress *progress, const char *event)
{
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "event", event, "found",
                     (json_int_t)progress->found, "moved", (json_int_t)progress->moved, "skipped",
                     (json_int_t)progress->skipped, "failed", (json_int_t)progress->failed,
                     "elapsed_ms", (json_int_t)progress->elapsed_ms);
}

static void print_progress(const struct move *move, const struct reassign_progress *progress)
{
    uint64_t done = progress->moved + progress->skipped + progress->failed;
    uint64_t rate = progress->elapsed_ms ? done * 1000 / progress->elapsed_ms : 0;
    char left[OUTPUT_TEXT_SIZE] = "", total[OUTPUT_TEXT_SIZE] = "";

    if (progress->is_listed)
        snprintf(total, sizeof(total), " of %" PRIu64, progress->found);
    if (progress->is_listed && rate > 0 && progress->found > done)
        format_duration((int64_t)((progress->found - done) * 1000 / rate), left);
    fprintf(stderr, "%s%" PRIu64 "%s done, %" PRIu64 " a second%s%s%s%s",
            move->is_terminal ? "\r" : "", done, total, rate, *left ? ", " : "", left,
            *left ? " left" : "", move->is_terminal ? "\033[K" : "\n");
    fflush(stderr);
}

static void show_progress(void *context, const struct reassign_progress *progress)
{
    struct move *move = context;
    unsigned interval_ms = move->is_terminal ? PROGRESS_TERMINAL_MS : PROGRESS_LINES_MS;
    json_t *line;

    if (move->plan.is_dry_run || progress->elapsed_ms < move->shown_ms + interval_ms)
        return;
    move->shown_ms = progress->elapsed_ms;
    if (!move->arguments->is_json) {
        print_progress(move, progress);
        return;
    }
    line = progress_to_json(progress, "progress");
    print_json_line(line);
    fflush(stdout);
    json_decref(line);
}

static void end_progress_line(struct move *move)
{
    if (move->is_terminal && move->shown_ms > 0 && !move->arguments->is_json)
        fputs("\r\033[K", stderr);
}

static void show_complaint(void *context, const char *dn, const char *why)
{
    struct move *move = context;

    if (move->arguments->is_json) {
        json_t *line = json_pack("{s:s,s:s,s:s}", "event", "complaint", "dn", dn, "why", why);

        print_json_line(line);
        json_decref(line);
        return;
    }
    if (++move->complaints > COMPLAINTS_MAX)
        return;
    end_progress_line(move);
    print_harmless(stderr, dn);
    fputs(": ", stderr);
    print_harmless(stderr, why);
    fputs(move->complaints == COMPLAINTS_MAX ? "\n(more are not shown; --json shows all)\n" : "\n",
          stderr);
}

/* --- before ------------------------------------------------------------------------- */

bool move_is_safe(const struct backend_config *from, const struct backend_config *to)
{
    char text[PROBE_TEXT_SIZE];
    bool is_safe = true;

    if (from && probe_backend(from, PROBE_TIMEOUT_MS, text)) {
        fprintf(
            stderr,
            "mailstead: %s still answers: %s\n"
            "  Two servers must never serve the same mail: see that %s is off, and stays off.\n",
            from->name, text, from->name);
        is_safe = false;
    }
    if (!probe_backend(to, PROBE_TIMEOUT_MS, text)) {
        fprintf(stderr,
                "mailstead: %s does not answer here: %s\n"
                "  Its new accounts would wait until it does; or this machine cannot reach the\n"
                "  backends, and then it does not know whether others are off either.\n",
                to->name, text);
        is_safe = false;
    }
    return is_safe;
}

static const struct backend_config *find_backend(const struct config *config, const char *name)
{
    const struct backend_config *backend = config_find_backend(config, name);

    if (backend)
        return backend;
    fprintf(stderr, "mailstead: \"%s\" is no backend of %s; there are:", name, config->file);
    for (size_t i = 0; i < config->cluster.backend_count; i++)
        fprintf(stderr, " %s", config->cluster.backends[i].name);
    fputc('\n', stderr);
    return NULL;
}

/* COMMAND_OK: go on.  A dry run is told of danger, and goes on. */
static enum command_status look_before(const struct move *move)
{
    const struct reassign_plan *plan = &move->plan;
    bool is_move = plan->kind == REASSIGN_MOVE;
    const struct backend_config *from = find_backend(move->config, plan->from);
    const struct backend_config *to = is_move ? find_backend(move->config, plan->to) : from;

    if (!from || !to)
        return COMMAND_FAILED;
    if (is_move && from == to) {
        fprintf(stderr, "mailstead: --from and --to are the same backend\n");
        return COMMAND_FAILED;
    }
    if (!move->config->admin.write_uri) {
        fprintf(stderr,
                "mailstead: %s has no admin.write_uri; expected the LDAP server to write to\n",
                move->config->file);
        return COMMAND_FAILED;
    }
    if (move->arguments->is_yes || move_is_safe(is_move ? from : NULL, to))
        return COMMAND_OK;
    fprintf(stderr, plan->is_dry_run
                        ? "mailstead: without --dry-run this would be refused\n"
                        : "mailstead: nothing was changed; --yes does it all the same\n");
    return plan->is_dry_run ? COMMAND_OK : COMMAND_REFUSED;
}

/* --- after -------------------------------------------------------------------------- */

enum command_status move_status(enum reassign_end end)
{
    switch (end) {
    case REASSIGN_DONE:
        return COMMAND_OK;
    case REASSIGN_FAILED:
        return COMMAND_FAILED;
    case REASSIGN_REFUSED:
        return COMMAND_REFUSED;
    case REASSIGN_INCOMPLETE:
    case REASSIGN_INTERRUPTED:
        return COMMAND_PARTLY;
    case REASSIGN_CONTENDED:
        return COMMAND_CONTENDED;
    }
    return COMMAND_FAILED;
}

static uint64_t left_of(const struct reassign_progress *progress)
{
    uint64_t done = progress->moved + progress->skipped + progress->failed;

    return progress->found > done ? progress->found - done : 0;
}

/* "120 accounts from sv1 to sv2", "120 accounts back to sv1" */
static void print_what(const struct move *move, uint64_t count)
{
    char accounts[OUTPUT_TEXT_SIZE];

    printf("%s", format_count((int64_t)count, "account", accounts));
    if (move->plan.kind == REASSIGN_MOVE)
        printf(" from %s to %s", move->plan.from, move->plan.to);
    else
        printf(" back to %s", move->plan.from);
}

static void print_counts(const struct move *move)
{
    const struct reassign_progress *progress = &move->result.progress;
    char elapsed[OUTPUT_TEXT_SIZE];

    printf("changed ");
    print_what(move, progress->moved);
    printf(" in %s\n", format_duration((int64_t)progress->elapsed_ms, elapsed));
    if (progress->skipped > 0)
        printf("left alone, since they are not what they should be: %" PRIu64 "\n",
               progress->skipped);
    if (progress->failed > 0)
        printf("failed: %" PRIu64 "\n", progress->failed);
    if (left_of(progress) > 0)
        printf("not done yet: %s%" PRIu64 "\n", progress->is_listed ? "" : "at least ",
               left_of(progress));
}

static void print_result(const struct move *move)
{
    const struct reassign_result *result = &move->result;

    if (move->plan.is_dry_run && result->end == REASSIGN_DONE) {
        printf("would change ");
        print_what(move, result->progress.found - result->progress.skipped);
        printf("\n");
    } else if (result->end == REASSIGN_DONE && result->progress.found == 0) {
        printf("nothing to do: no account %s %s\n",
               move->plan.kind == REASSIGN_MOVE ? "is on" : "was reassigned from", move->plan.from);
    } else if (result->end == REASSIGN_DONE || result->progress.found > 0) {
        print_counts(move);
    }
    fflush(stdout);
    if (*result->error)
        fprintf(stderr, "mailstead: %s\n", result->error);
    if (result->end == REASSIGN_INCOMPLETE || result->end == REASSIGN_INTERRUPTED)
        fprintf(stderr, "mailstead: run the same command again to do the rest\n");
}

static void print_json_result(const struct move *move)
{
    const struct reassign_result *result = &move->result;
    json_t *line = progress_to_json(&result->progress, "result");

    json_object_set_new(line, "end", json_string(reassign_end_name(result->end)));
    json_object_set_new(line, "from", json_string(move->plan.from));
    if (move->plan.to)
        json_object_set_new(line, "to", json_string(move->plan.to));
    json_object_set_new(line, "left", json_integer((json_int_t)left_of(&result->progress)));
    json_object_set_new(line, "dry_run", json_boolean(move->plan.is_dry_run));
    json_object_set_new(line, "transactions", json_boolean(result->used_transactions));
    if (*result->error)
        json_object_set_new(line, "error", json_string(result->error));
    print_json_line(line);
    json_decref(line);
}

/* --- all of it ---------------------------------------------------------------------- */

static enum command_status run(struct move *move)
{
    enum command_status status = look_before(move);
    struct follow follow;

    if (status != COMMAND_OK)
        return status;
    follow_begin(&follow, move->config);
    catch_interrupts();
    reassign_run(move->config, &move->plan, &move->result);
    end_progress_line(move);
    if (move->arguments->is_json)
        print_json_result(move);
    else
        print_result(move);
    if (move->result.progress.moved > 0 && !move->plan.is_dry_run)
        follow_report(&follow, move->arguments->is_json);
    return move_status(move->result.end);
}

static enum command_status move_accounts(const struct arguments *arguments, enum reassign_kind kind,
                                         const char *from, const char *to)
{
    struct config *config = daemon_config(arguments, true);
    struct move move = {
        .arguments = arguments,
        .config = config,
        .plan = { .kind = kind,
                  .from = from,
                  .to = to,
                  .is_dry_run = arguments->is_dry_run,
                  .progress = show_progress,
                  .complain = show_complaint,
                  .should_stop = should_stop,
                  .context = &move },
        .is_terminal = isatty(STDERR_FILENO),
    };
    enum command_status status;

    if (!config)
        return COMMAND_FAILED;
    status = run(&move);
    config_free(config);
    return status;
}

enum command_status reassign_run_command(const struct arguments *arguments)
{
    if (!arguments->from || !arguments->to) {
        fprintf(stderr, "mailstead reassign: --from and --to are both needed\n"
                        "usage: mailstead reassign --from BACKEND --to BACKEND\n");
        return COMMAND_USAGE;
    }
    return move_accounts(arguments, REASSIGN_MOVE, arguments->from, arguments->to);
}

enum command_status restore_run_command(const struct arguments *arguments)
{
    return move_accounts(arguments, REASSIGN_RESTORE, arguments->words[0], NULL);
}
