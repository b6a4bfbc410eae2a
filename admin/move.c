/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done to the directory is directory/reassign/, and what is shown of it move_view.c; here
 * are the questions before it, and how a run is stopped: the first Ctrl-C lets the changes in
 * flight end, a second one kills.
 */
#include "admin/move.h"

#include <stdlib.h>
#include <string.h>

#include "admin/backend_list.h"
#include "admin/daemon.h"
#include "admin/follow.h"
#include "admin/interrupt.h"
#include "admin/move_view.h"
#include "admin/probe.h"
#include "common/base/memory.h"
#include "directory/filter_syntax.h"

struct move {
    const struct arguments *arguments;
    const struct config *config;
    struct backend_set backends;
    struct reassign_plan plan;
    struct reassign_result result;
    char *domains[ARGUMENTS_LIST_MAX]; /* owned, in lower case */
    char *filter;                      /* owned, in parentheses; or NULL */
};

/* --- a run, shown ----------------------------------------------------------------------- */

struct showing {
    const struct reassign_plan *plan;
    struct move_view view;
    bool is_stopping;
};

static bool should_stop(void *context)
{
    struct showing *showing = context;

    if (interrupt_came() && !showing->is_stopping) {
        showing->is_stopping = true;
        move_view_stopping(&showing->view);
    }
    return interrupt_came();
}

static void show_progress(void *context, const struct reassign_progress *progress)
{
    struct showing *showing = context;

    if (!showing->plan->is_dry_run)
        move_view_progress(&showing->view, progress);
}

static void show_complaint(void *context, const char *dn, const char *why)
{
    struct showing *showing = context;

    move_view_complaint(&showing->view, dn, why);
}

void move_run(const struct config *config, struct reassign_plan *plan, bool is_json,
              struct reassign_result *result)
{
    struct showing showing = { .plan = plan };

    plan->progress = show_progress;
    plan->complain = show_complaint;
    plan->should_stop = should_stop;
    plan->context = &showing;
    move_view_init(&showing.view, plan, is_json);
    reassign_run(config, plan, result);
    plan->context = NULL;
    move_view_result(&showing.view, result);
}

/* --- before ------------------------------------------------------------------------- */

/* In doubt it is not. */
static bool is_off(const struct backend *from)
{
    char text[PROBE_TEXT_SIZE];
    enum probe_result result = probe_backend(from, PROBE_TIMEOUT_MS, text);

    if (result == PROBE_SILENT)
        return true;
    fprintf(stderr,
            result == PROBE_ANSWERS ? "mailstead: %s still answers: %s\n"
                                    : "mailstead: whether %s still answers is not known here: %s\n",
            from->name, text);
    fprintf(stderr,
            "  Two servers must never serve the same mail: see that %s is off, and stays off.\n",
            from->name);
    return false;
}

/* Whether it serves what it is given. */
static bool is_serving(const struct backend *to)
{
    char text[PROBE_TEXT_SIZE];
    bool is_up = to->state == BACKEND_UP;
    bool is_answering = probe_backend(to, PROBE_TIMEOUT_MS, text) == PROBE_ANSWERS;

    if (!is_up)
        fprintf(stderr, "mailstead: %s is to be %s, as the %s says; nobody should be moved to it\n",
                to->name, backend_state_names[to->state],
                to->is_from_directory ? "directory" : "configuration");
    if (!is_answering)
        fprintf(stderr,
                "mailstead: %s does not answer here: %s\n"
                "  Its new accounts would wait until it does; or this machine cannot reach the\n"
                "  backends, and then it does not know whether others are off either.\n",
                to->name, text);
    return is_up && is_answering;
}

bool move_is_safe(const struct backend *from, const struct backend *to)
{
    bool is_from_off = !from || is_off(from);

    return is_serving(to) && is_from_off;
}

/* COMMAND_OK: go on.  A dry run is told of danger, and goes on. */
static enum command_status look_before(const struct move *move)
{
    const struct reassign_plan *plan = &move->plan;
    bool is_move = plan->kind == REASSIGN_MOVE;
    const struct backend *from = backend_list_find(&move->backends, plan->from);
    const struct backend *to = is_move ? backend_list_find(&move->backends, plan->to) : from;

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

/* --- which accounts ----------------------------------------------------------------- */

static bool take_domain(struct move *move, const char *given)
{
    const struct cluster_config *cluster = &move->config->cluster;
    char *domain = memory_copy_string(given);

    string_to_lower(domain);
    move->domains[move->plan.domain_count++] = domain;
    if (config_has_domain(move->config, domain))
        return true;
    fprintf(stderr, "mailstead: \"%s\" is no domain of %s; there are:", given, move->config->file);
    for (size_t i = 0; i < cluster->domains.count; i++)
        fprintf(stderr, " %s", cluster->domains.items[i]);
    fputc('\n', stderr);
    return false;
}

/* Takes a filter without its parentheses too, as ldapsearch does. */
static bool take_filter(struct move *move, const char *given)
{
    size_t size = strlen(given) + 3;
    const char *trouble;

    move->filter = memory_new(size);
    snprintf(move->filter, size, *given == '(' ? "%s" : "(%s)", given);
    move->plan.filter = move->filter;
    trouble = filter_syntax_trouble(span_from_string(move->filter));
    if (trouble)
        fprintf(stderr, "mailstead: --filter: \"%s\" is no search filter: %s\n", given, trouble);
    return !trouble;
}

static bool take_selection(struct move *move)
{
    const struct arguments *arguments = move->arguments;

    for (size_t i = 0; i < arguments->domains.count; i++)
        if (!take_domain(move, arguments->domains.items[i]))
            return false;
    move->plan.domains = (const char *const *)move->domains;
    return !arguments->filter || take_filter(move, arguments->filter);
}

static void drop_selection(struct move *move)
{
    for (size_t i = 0; i < move->plan.domain_count; i++)
        free(move->domains[i]);
    free(move->filter);
}

/* --- all of it ---------------------------------------------------------------------- */

enum command_status move_status(const struct reassign_result *result)
{
    switch (result->end) {
    case REASSIGN_DONE:
        return COMMAND_OK;
    case REASSIGN_FAILED:
        return result->progress.moved > 0 ? COMMAND_PARTLY : COMMAND_FAILED;
    case REASSIGN_REFUSED:
        return result->progress.moved > 0 ? COMMAND_PARTLY : COMMAND_REFUSED;
    case REASSIGN_INCOMPLETE:
    case REASSIGN_INTERRUPTED:
        return COMMAND_PARTLY;
    case REASSIGN_CONTENDED:
        return COMMAND_CONTENDED;
    }
    return COMMAND_FAILED;
}

static enum command_status run(struct move *move)
{
    enum command_status status = take_selection(move) ? look_before(move) : COMMAND_FAILED;

    if (status != COMMAND_OK)
        return status;
    interrupt_catch();
    move_run(move->config, &move->plan, move->arguments->is_json, &move->result);
    interrupt_release();
    if (move->result.progress.moved > 0 && !move->plan.is_dry_run)
        follow_report(move->config, move->arguments->is_json);
    return move_status(&move->result);
}

static enum command_status move_accounts(const struct arguments *arguments, enum reassign_kind kind,
                                         const char *from, const char *to)
{
    struct config *config = daemon_config(arguments, true);
    struct move move = { .arguments = arguments, .config = config };
    enum command_status status;

    if (!config)
        return COMMAND_FAILED;
    move.plan = (struct reassign_plan){
        .kind = kind,
        .from = from,
        .to = to,
        .is_permanent = arguments->is_permanent,
        .limit = arguments->limit,
        .rate = arguments->rate,
        .is_dry_run = arguments->is_dry_run,
        .journal_directory =
            arguments->journal ? arguments->journal : config->admin.journal_directory,
    };
    backend_list_load(config, &move.backends);
    status = run(&move);
    backend_set_fini(&move.backends);
    drop_selection(&move);
    config_free(config);
    return status;
}

enum command_status reassign_run_command(const struct arguments *arguments)
{
    return move_accounts(arguments, REASSIGN_MOVE, arguments->from, arguments->to);
}

enum command_status restore_run_command(const struct arguments *arguments)
{
    return move_accounts(arguments, REASSIGN_RESTORE, arguments->words[0], NULL);
}
