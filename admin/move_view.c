/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rate is that of the last seconds, since it is what the time that is left follows from; it
 * starts anew when listing ends.
 */
#include "admin/move_view.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "admin/output.h"

enum {
    PROGRESS_TERMINAL_MS = 200,
    PROGRESS_LINES_MS = 1000,
    RATE_SAMPLE_MS = 200, /* MOVE_VIEW_SAMPLES of them: some six seconds */
    COMPLAINTS_MAX = 20
};

void move_view_init(struct move_view *view, const struct reassign_plan *plan, bool is_json)
{
    *view = (struct move_view){
        .plan = plan, .is_json = is_json, .is_terminal = isatty(STDERR_FILENO), .sample_count = 1
    };
}

/* --- counts --------------------------------------------------------------------------- */

static uint64_t done_of(const struct reassign_progress *progress)
{
    return progress->moved + progress->skipped + progress->failed;
}

static uint64_t left_of(const struct reassign_progress *progress)
{
    uint64_t done = done_of(progress);

    return progress->found > done ? progress->found - done : 0;
}

/* What this run still has to do: not what --limit leaves to another. */
static uint64_t due_of(const struct move_view *view, const struct reassign_progress *progress)
{
    uint64_t left = left_of(progress), limit = view->plan->limit;
    uint64_t room = limit > progress->moved ? limit - progress->moved : 0;

    return limit && room < left ? room : left;
}

/* Nothing is changed yet. */
static bool is_listing(const struct reassign_progress *progress)
{
    return !progress->is_listed && progress->moved == 0;
}

static const char *phase_of(const struct reassign_progress *progress)
{
    if (!progress->is_connected)
        return "connecting";
    return is_listing(progress) ? "listing" : "changing";
}

/* --- the rate ------------------------------------------------------------------------- */

static struct move_sample *sample_at(struct move_view *view, size_t index)
{
    return &view->samples[index % MOVE_VIEW_SAMPLES];
}

static void note_sample(struct move_view *view, const struct reassign_progress *progress)
{
    struct move_sample sample = { progress->elapsed_ms, done_of(progress) };

    if (!view->is_changing && !is_listing(progress)) {
        view->is_changing = true;
        view->samples[0] = view->last;
        view->sample_count = 1;
    }
    view->last = sample;
    if (sample.elapsed_ms >= sample_at(view, view->sample_count - 1)->elapsed_ms + RATE_SAMPLE_MS)
        *sample_at(view, view->sample_count++) = sample;
}

static uint64_t rate_of(struct move_view *view, const struct reassign_progress *progress)
{
    size_t first =
        view->sample_count > MOVE_VIEW_SAMPLES ? view->sample_count - MOVE_VIEW_SAMPLES : 0;
    const struct move_sample *oldest = sample_at(view, first);
    uint64_t span_ms = progress->elapsed_ms - oldest->elapsed_ms;

    return span_ms ? (done_of(progress) - oldest->done) * 1000 / span_ms : 0;
}

/* --- progress ------------------------------------------------------------------------- */

static json_t *progress_to_json(const struct reassign_progress *progress, const char *event)
{
    return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I}", "event", event, "found",
                     (json_int_t)progress->found, "moved", (json_int_t)progress->moved, "skipped",
                     (json_int_t)progress->skipped, "failed", (json_int_t)progress->failed,
                     "elapsed_ms", (json_int_t)progress->elapsed_ms);
}

static void print_progress_json(struct move_view *view, const struct reassign_progress *progress)
{
    json_t *line = progress_to_json(progress, "progress");

    json_object_set_new(line, "phase", json_string(phase_of(progress)));
    json_object_set_new(line, "rate", json_integer((json_int_t)rate_of(view, progress)));
    print_json_line(line);
    fflush(stdout);
    json_decref(line);
}

/* "3 of 9 done, 1 a second, 6 s left" */
static void print_changing(struct move_view *view, const struct reassign_progress *progress)
{
    uint64_t rate = rate_of(view, progress), due = due_of(view, progress);
    char left[OUTPUT_TEXT_SIZE] = "";

    if (progress->is_listed && rate > 0 && due > 0)
        format_duration((int64_t)(due * 1000 / rate), left);
    fprintf(stderr, "changing: %" PRIu64 " of %" PRIu64 "%s done, %" PRIu64 " a second%s%s%s",
            done_of(progress), done_of(progress) + due, progress->is_listed ? "" : " or more", rate,
            *left ? ", " : "", left, *left ? " left" : "");
}

static void print_progress(struct move_view *view, const struct reassign_progress *progress)
{
    fputs(view->is_terminal ? "\r" : "", stderr);
    if (!progress->is_connected)
        fputs("connecting", stderr);
    else if (is_listing(progress))
        fprintf(stderr, "listing: %" PRIu64 " found", progress->found);
    else
        print_changing(view, progress);
    fputs(view->is_terminal ? "\033[K" : "\n", stderr);
    fflush(stderr);
}

void move_view_progress(struct move_view *view, const struct reassign_progress *progress)
{
    unsigned interval_ms = view->is_terminal ? PROGRESS_TERMINAL_MS : PROGRESS_LINES_MS;

    note_sample(view, progress);
    if (progress->elapsed_ms < view->shown_ms + interval_ms)
        return;
    view->shown_ms = progress->elapsed_ms;
    if (view->is_json)
        print_progress_json(view, progress);
    else
        print_progress(view, progress);
}

static void end_progress_line(const struct move_view *view)
{
    if (view->is_terminal && view->shown_ms > 0 && !view->is_json)
        fputs("\r\033[K", stderr);
}

void move_view_complaint(struct move_view *view, const char *dn, const char *why)
{
    if (view->is_json) {
        json_t *line = json_pack("{s:s,s:o,s:o}", "event", "complaint", "dn", json_any_text(dn),
                                 "why", json_any_text(why));

        print_json_line(line);
        json_decref(line);
        return;
    }
    if (++view->complaints > COMPLAINTS_MAX)
        return;
    end_progress_line(view);
    print_harmless(stderr, dn);
    fputs(": ", stderr);
    print_harmless(stderr, why);
    fputs(view->complaints == COMPLAINTS_MAX ? "\n(more are not shown; --json shows all)\n" : "\n",
          stderr);
}

void move_view_stopping(struct move_view *view)
{
    end_progress_line(view);
    fputs("mailstead: stopping when the changes in flight are done; Control-C again kills\n",
          stderr);
}

/* --- the result ----------------------------------------------------------------------- */

/* "120 accounts from sv1 to sv2", "120 accounts back to sv1" */
static void print_what(const struct reassign_plan *plan, uint64_t count)
{
    char accounts[OUTPUT_TEXT_SIZE];

    printf("%s", format_count((int64_t)count, "account", accounts));
    if (plan->kind == REASSIGN_MOVE)
        printf(" from %s to %s%s", plan->from, plan->to, plan->is_permanent ? " for good" : "");
    else
        printf(" back to %s", plan->from);
}

static void print_skipped(const struct reassign_progress *progress)
{
    if (progress->skipped > 0)
        printf("left alone, since they are not what they should be: %" PRIu64 "\n",
               progress->skipped);
}

static void print_counts(const struct reassign_plan *plan, const struct reassign_result *result)
{
    const struct reassign_progress *progress = &result->progress;
    bool is_limited = plan->limit && result->end == REASSIGN_DONE;
    char elapsed[OUTPUT_TEXT_SIZE];

    printf("changed ");
    print_what(plan, progress->moved);
    printf(" in %s\n", format_duration((int64_t)progress->elapsed_ms, elapsed));
    print_skipped(progress);
    if (progress->failed > 0)
        printf("failed: %" PRIu64 "\n", progress->failed);
    if (left_of(progress) > 0)
        printf("not done yet: %s%" PRIu64 "%s\n", progress->is_listed ? "" : "at least ",
               left_of(progress), is_limited ? ", as --limit asks" : "");
    else if (!progress->is_listed)
        printf("not done yet: those that the server has not shown\n");
}

static void print_dry_run(const struct reassign_plan *plan,
                          const struct reassign_progress *progress)
{
    uint64_t count = progress->found - progress->skipped;
    uint64_t left = plan->limit && plan->limit < count ? count - plan->limit : 0;
    char duration[OUTPUT_TEXT_SIZE];

    printf("would change ");
    print_what(plan, count - left);
    if (plan->rate)
        printf(" in %s or more",
               format_duration((int64_t)((count - left) * 1000 / plan->rate), duration));
    printf("\n");
    print_skipped(progress);
    if (left > 0)
        printf("would be left: %" PRIu64 ", as --limit asks\n", left);
}

static void print_nothing(const struct reassign_plan *plan)
{
    printf("nothing to do: no account %s %s%s\n",
           plan->kind == REASSIGN_MOVE ? "is on" : "was reassigned from", plan->from,
           plan->domain_count || plan->filter ? " and matches --domain and --filter" : "");
}

/* What is to be done about how it ended. */
static void print_advice(const struct reassign_result *result)
{
    if (result->end == REASSIGN_INCOMPLETE || result->end == REASSIGN_INTERRUPTED)
        fprintf(stderr, "mailstead: run the same command again to do the rest\n");
    else if (result->end == REASSIGN_CONTENDED)
        fprintf(stderr, "mailstead: find out who else moves accounts, and run it again when they "
                        "are done\n");
}

static void print_result(const struct reassign_plan *plan, const struct reassign_result *result)
{
    if (result->end == REASSIGN_DONE && result->progress.found == 0)
        print_nothing(plan);
    else if (plan->is_dry_run && result->end == REASSIGN_DONE)
        print_dry_run(plan, &result->progress);
    else if (result->end == REASSIGN_DONE || result->progress.moved > 0 || *result->journal)
        print_counts(plan, result);
    if (*result->journal)
        printf("journal: %s\n", result->journal);
    fflush(stdout);
    if (*result->error) {
        fputs("mailstead: ", stderr);
        print_harmless(stderr, result->error);
        fputc('\n', stderr);
    }
    print_advice(result);
}

static void print_result_json(const struct reassign_plan *plan,
                              const struct reassign_result *result)
{
    json_t *line = progress_to_json(&result->progress, "result");

    json_object_set_new(line, "end", json_string(reassign_end_name(result->end)));
    json_object_set_new(line, "from", json_string(plan->from));
    if (plan->to)
        json_object_set_new(line, "to", json_string(plan->to));
    json_object_set_new(line, "left", json_integer((json_int_t)left_of(&result->progress)));
    json_object_set_new(line, "is_listed", json_boolean(result->progress.is_listed));
    json_object_set_new(line, "dry_run", json_boolean(plan->is_dry_run));
    json_object_set_new(line, "permanent", json_boolean(plan->is_permanent));
    json_object_set_new(line, "transactions", json_boolean(result->used_transactions));
    if (*result->journal)
        json_object_set_new(line, "journal", json_string(result->journal));
    if (*result->error)
        json_object_set_new(line, "error", json_any_text(result->error));
    print_json_line(line);
    json_decref(line);
}

void move_view_result(struct move_view *view, const struct reassign_result *result)
{
    end_progress_line(view);
    if (view->is_json)
        print_result_json(view->plan, result);
    else
        print_result(view->plan, result);
}
