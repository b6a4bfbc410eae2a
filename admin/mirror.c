/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the directory process of one daemon, this machine's or another.  The file of the
 * mirror is never touched from here.
 */
#include "admin/mirror.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "admin/daemon.h"
#include "admin/output.h"

/* --- status --------------------------------------------------------------------------- */

static void print_held_head(const json_t *status)
{
    char since[OUTPUT_TEXT_SIZE], accounts[OUTPUT_TEXT_SIZE];

    printf("\nheld since %s: %s that the directory did not show; they are routed as they were\n",
           format_time(1000 * json_number(status, "held_since_s", 0), since),
           format_count(json_number(status, "held", 0), "account", accounts));
    if (json_flag(status, "held_kept") == 1)
        printf("it was said that they stay (mailstead mirror discard)\n");
    else
        printf(
            "\"mailstead mirror accept\" removes them; \"mailstead mirror discard\" keeps them\n");
}

static void print_held(const json_t *domains)
{
    struct table table;
    json_t *domain;
    size_t i;

    table_init(&table, 3, 1u << 1 | 1u << 2);
    table_add(&table, "domain");
    table_add(&table, "held");
    table_add(&table, "of");
    json_array_foreach (domains, i, domain) {
        const char *name = json_text(domain, "domain");

        table_add(&table, name && *name ? name : "(none)");
        table_add_format(&table, "%" PRId64, json_number(domain, "held", 0));
        table_add_format(&table, "%" PRId64, json_number(domain, "accounts", 0));
    }
    fputc('\n', stdout);
    table_print(&table, stdout, 2);
    table_fini(&table);
}

static void print_status(const json_t *status, const json_t *domains)
{
    const char *trouble = json_text(status, "trouble");
    char accounts[OUTPUT_TEXT_SIZE];

    printf("%s, revision %" PRId64 "\n%s, %s, %s",
           format_count(json_number(status, "accounts", 0), "account", accounts),
           json_number(status, "revision", 0), json_text(status, "state"), json_text(status, "uri"),
           json_flag(status, "synchronised") == 1 ? "synchronised"
                                                  : "not synchronised since the start");
    if (trouble && *trouble) {
        fputs(": ", stdout);
        print_harmless(stdout, trouble);
    }
    fputc('\n', stdout);
    if (json_number(status, "held", 0) == 0)
        return;
    print_held_head(status);
    print_held(domains);
}

enum command_status mirror_status_run(const struct arguments *arguments)
{
    json_t *lines = daemon_answer(arguments, json_pack("{s:s}", "command", "directory-status"));
    json_t *status = json_array_get(lines, 0);
    json_t *domains = NULL;

    if (status && json_number(status, "held", 0) > 0)
        domains = daemon_answer(arguments, json_pack("{s:s}", "command", "mirror-held"));
    if (status && domains)
        json_object_set(status, "held_domains", domains);
    if (status && arguments->is_json)
        print_json(status);
    else if (status)
        print_status(status, domains);
    json_decref(domains);
    json_decref(lines);
    return status ? COMMAND_OK : COMMAND_FAILED;
}

/* --- verify --------------------------------------------------------------------------- */

struct watching {
    bool is_json;
    bool is_terminal;
    bool is_shown; /* a line that the next one replaces */
    bool is_whole; /* the result has come */
    int64_t left;  /* differences that could not be settled, and accounts that are held */
};

static void end_progress(struct watching *watching)
{
    if (watching->is_shown)
        fputs("\r\033[K", stderr);
    watching->is_shown = false;
}

static void print_progress(struct watching *watching, const json_t *line)
{
    fprintf(stderr, "%s%" PRId64 " of about %" PRId64 " compared%s",
            watching->is_terminal ? "\r" : "", json_number(line, "entries", 0),
            json_number(line, "accounts", 0), watching->is_terminal ? "\033[K" : "\n");
    watching->is_shown = watching->is_terminal;
}

static void print_result(const json_t *line)
{
    char entries[OUTPUT_TEXT_SIZE], elapsed[OUTPUT_TEXT_SIZE];
    int64_t differing = json_number(line, "differing", 0);
    int64_t missing = json_number(line, "missing", 0);
    int64_t corrected = json_number(line, "corrected", 0);
    int64_t removed = json_number(line, "removed", 0);

    printf("compared %s in %s\n",
           format_count(json_number(line, "entries", 0), "directory account", entries),
           format_duration(json_number(line, "elapsed_ms", 0), elapsed));
    if (differing + missing == 0)
        printf("the mirror is right\n");
    else
        printf("differing: %" PRId64 ", in the mirror only: %" PRId64 "; corrected: %" PRId64
               ", removed: %" PRId64 "%s\n",
               differing, missing, corrected, removed,
               differing + missing > corrected + removed ? "; the others had come right meanwhile"
                                                         : "");
    if (json_number(line, "held", 0) > 0)
        printf("held: %" PRId64 "; see mailstead mirror status\n", json_number(line, "held", 0));
}

static void take_line(json_t *line, void *context)
{
    struct watching *watching = context;
    const char *kind = json_text(line, "event");
    char accounts[OUTPUT_TEXT_SIZE];

    if (watching->is_json)
        print_json_line(line);
    if (kind && strcmp(kind, "result") == 0) {
        watching->is_whole = true;
        watching->left = json_number(line, "held", 0) + json_number(line, "unsettled", 0);
    }
    if (watching->is_json)
        return;
    if (kind && strcmp(kind, "progress") == 0) {
        print_progress(watching, line);
        return;
    }
    end_progress(watching);
    if (json_number(line, "kept", 0) > 0)
        printf("kept %s; looking whether the directory shows them\n",
               format_count(json_number(line, "kept", 0), "account", accounts));
    if (kind && strcmp(kind, "result") == 0)
        print_result(line);
    fflush(stdout);
}

/* Asks, and shows what comes as it comes. */
static enum command_status watch(const struct arguments *arguments, const char *command,
                                 struct watching *watching)
{
    bool is_answered;

    watching->is_json = arguments->is_json;
    watching->is_terminal = isatty(STDERR_FILENO);
    is_answered = daemon_stream(arguments, json_pack("{s:s}", "command", command),
                                DAEMON_TIMEOUT_MS, take_line, watching);
    end_progress(watching);
    return is_answered ? COMMAND_OK : COMMAND_FAILED;
}

enum command_status mirror_verify_run(const struct arguments *arguments)
{
    struct watching watching = { .is_whole = false };
    enum command_status status = watch(arguments, "mirror-verify", &watching);

    return status == COMMAND_OK && watching.left > 0 ? COMMAND_PARTLY : status;
}

/* --- what is held --------------------------------------------------------------------- */

enum command_status mirror_discard_run(const struct arguments *arguments)
{
    struct watching watching = { .is_whole = false };
    enum command_status status = watch(arguments, "mirror-discard", &watching);

    if (status == COMMAND_OK && !watching.is_whole && !arguments->is_json)
        printf("nothing is held\n");
    return status;
}

enum command_status mirror_accept_run(const struct arguments *arguments)
{
    json_t *lines = daemon_answer(arguments, json_pack("{s:s}", "command", "mirror-accept"));
    int64_t removed = json_number(json_array_get(lines, 0), "removed", 0);
    char accounts[OUTPUT_TEXT_SIZE];

    if (!lines)
        return COMMAND_FAILED;
    if (arguments->is_json)
        print_json_line(json_array_get(lines, 0));
    else if (removed > 0)
        printf("removed %s from the mirror\n", format_count(removed, "account", accounts));
    else
        printf("nothing is held\n");
    json_decref(lines);
    return COMMAND_OK;
}
