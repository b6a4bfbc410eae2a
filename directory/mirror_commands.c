/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/mirror_commands.h"

#include <stdlib.h>

#include "common/base/memory.h"
#include "directory/csn.h"
#include "directory/domain_counts.h"
#include "directory/host_census.h"

enum { COMMANDS_DOMAINS_MAX = 1000, COMMANDS_STEPS = 20 };

void mirror_commands_add_status(const struct mirror_commands *commands, json_t *status)
{
    struct mirror_writer *writer = commands->writer;
    struct csn_set csns = csn_set_from_cookie(mirror_writer_cookie(writer));
    json_t *list = json_array();

    for (size_t i = 0; i < csns.count; i++)
        json_array_append_new(list, json_string(csns.items[i]));
    json_object_set_new(status, "csn", list);
    json_object_set_new(status, "held", json_integer((json_int_t)mirror_writer_held(writer)));
    if (mirror_writer_held(writer) == 0)
        return;
    json_object_set_new(status, "held_since_s",
                        json_integer((json_int_t)mirror_writer_held_since_s(writer)));
    json_object_set_new(status, "held_kept", json_boolean(mirror_writer_is_held_kept(writer)));
}

/* --- what is held --------------------------------------------------------------------- */

struct held_listing {
    struct mirror_commands *commands;
    struct control_request *request;
    struct domain_counts *counts;
    struct io_resumption more;
};

static void show_domain(void *context, const char *domain, uint64_t missing, uint64_t accounts)
{
    control_reply(context, json_pack("{s:s, s:I, s:I}", "domain", domain, "held",
                                     (json_int_t)missing, "accounts", (json_int_t)accounts));
}

static void listing_end(struct held_listing *listing, const char *error)
{
    control_finish(listing->request, error);
    listing->commands->listing = NULL;
    io_resumption_cancel(&listing->more);
    domain_counts_free(listing->counts);
    free(listing);
}

/* Counts for a while; a large mirror takes many turns. */
static void listing_on_more(struct io_resumption *more)
{
    struct held_listing *listing = CONTAINER_OF(more, struct held_listing, more);

    for (unsigned i = 0; i < COMMANDS_STEPS; i++)
        if (domain_counts_step(listing->counts)) {
            domain_counts_each(listing->counts, true, COMMANDS_DOMAINS_MAX, show_domain,
                               listing->request);
            listing_end(listing, NULL);
            return;
        }
    io_loop_resume(listing->commands->loop, &listing->more);
}

void mirror_commands_held(struct mirror_commands *commands, struct control_request *request)
{
    struct held_listing *listing;

    if (commands->listing || mirror_writer_held(commands->writer) == 0) {
        control_finish(request, commands->listing ? "somebody else asks just now" : NULL);
        return;
    }
    listing = memory_new(sizeof(*listing));
    listing->commands = commands;
    listing->request = request;
    listing->counts = domain_counts_new(commands->writer, NULL);
    io_resumption_init(&listing->more, listing_on_more);
    commands->listing = listing;
    listing_on_more(&listing->more);
}

/* --- who has how many accounts ------------------------------------------------------------ */

struct host_listing {
    struct mirror_commands *commands;
    struct control_request *request;
    struct host_census census;
};

static void host_listing_end(struct host_listing *listing, const char *error)
{
    control_finish(listing->request, error);
    listing->commands->hosts = NULL;
    host_census_fini(&listing->census);
    free(listing);
}

static void host_listing_on_counted(void *context)
{
    struct host_listing *listing = context;
    struct host_counts counts = { .items = NULL };
    bool is_counted = host_census_give(&listing->census, &counts);

    for (size_t i = 0; is_counted && i < counts.count; i++)
        control_reply(listing->request,
                      json_pack("{s:o, s:o, s:I}", "host", json_string(counts.items[i].host),
                                "old_host", json_string(counts.items[i].old_host), "accounts",
                                (json_int_t)counts.items[i].accounts));
    host_counts_fini(&counts);
    host_listing_end(listing, is_counted ? NULL : "the mirror's accounts cannot be counted");
}

void mirror_commands_hosts(struct mirror_commands *commands, struct control_request *request)
{
    struct host_listing *listing;

    if (commands->hosts || !mirror_writer_is_filled(commands->writer)) {
        control_finish(request, commands->hosts ? "somebody else asks just now"
                                                : "the mirror was never complete");
        return;
    }
    listing = memory_new(sizeof(*listing));
    listing->commands = commands;
    listing->request = request;
    commands->hosts = listing;
    host_census_init(&listing->census, commands->loop, commands->writer, host_listing_on_counted,
                     listing);
    host_census_start(&listing->census);
}

void mirror_commands_stop(struct mirror_commands *commands)
{
    if (commands->hosts)
        host_listing_end(commands->hosts, "the daemon ends");
    if (commands->listing)
        listing_end(commands->listing, "the daemon ends");
}

void mirror_commands_accept(struct mirror_commands *commands, struct control_request *request)
{
    uint64_t removed = follower_accept_held(commands->follower);

    control_reply(request, json_pack("{s:I}", "removed", (json_int_t)removed));
    control_finish(request, NULL);
}

/* --- comparing -------------------------------------------------------------------------- */

struct verification {
    struct mirror_commands *commands;
    struct control_request *request;
};

static json_t *report_to_json(const struct verification *verification,
                              const struct compare_report *report, const char *event)
{
    struct mirror_writer *writer = verification->commands->writer;

    return json_pack(
        "{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "event", event, "entries",
        (json_int_t)report->entries, "accounts", (json_int_t)mirror_writer_entries(writer),
        "differing", (json_int_t)report->differing, "missing", (json_int_t)report->missing,
        "corrected", (json_int_t)report->tally.corrected, "removed",
        (json_int_t)report->tally.removed, "unsettled", (json_int_t)report->tally.open, "held",
        (json_int_t)mirror_writer_held(writer), "elapsed_ms", (json_int_t)report->elapsed_ms);
}

static void verification_on_progress(void *context, const struct compare_report *report)
{
    struct verification *verification = context;

    control_reply(verification->request, report_to_json(verification, report, "progress"));
}

static void verification_on_done(void *context, const struct compare_report *report,
                                 const char *error)
{
    struct verification *verification = context;

    control_reply(verification->request,
                  report_to_json(verification, report, error ? "stopped" : "result"));
    control_finish(verification->request, error);
    free(verification);
}

void mirror_commands_verify(struct mirror_commands *commands, struct control_request *request)
{
    static const struct compare_events events = { verification_on_progress, verification_on_done };
    struct verification *verification = memory_new(sizeof(*verification));

    *verification = (struct verification){ commands, request };
    if (follower_compare(commands->follower, &events, verification))
        return;
    control_finish(request, follower_status(commands->follower).is_connected
                                ? "a comparison is under way, or the first refresh is"
                                : "the directory is not connected: there is nothing to compare "
                                  "the mirror with");
    free(verification);
}

void mirror_commands_discard(struct mirror_commands *commands, struct control_request *request)
{
    uint64_t kept = follower_keep_held(commands->follower);

    control_reply(request, json_pack("{s:I}", "kept", (json_int_t)kept));
    if (kept > 0)
        mirror_commands_verify(commands, request);
    else
        control_finish(request, NULL);
}
