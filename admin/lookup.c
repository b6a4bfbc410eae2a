/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The daemon looks up as a session does and answers with a line for each step and one for the
 * outcome; here they become one object, or words.
 * A lookup that is answered is a success, whatever the answer.
 */
#include "admin/lookup.h"

#include <string.h>

#include "admin/daemon.h"
#include "admin/output.h"
#include "common/base/memory.h"

/* What each outcome means for who asked: a sender, or somebody who logs in. */
struct meaning {
    const char *outcome;
    const char *text;
    const char *mail, *login; /* what they are told */
};

static const struct meaning meanings[] = {
    { "found", "found", "accepted, and delivered to the backend", "logged in at the backend" },
    { "relay", "goes to the relay host", "accepted, and sent to the relay host",
      "refused like a wrong password" },
    { "unknown", "unknown", "550 5.1.1", "refused like a wrong password" },
    { "not-ours", "not ours: its domain is none of the cluster's", "550 5.7.1",
      "refused like a wrong password" },
    { "misconfigured", "its entry in the directory is wrong", "451: try again later",
      "refused temporarily" },
    { "unavailable", "cannot be answered now", "451: try again later", "refused temporarily" },
};

static const struct meaning *find_meaning(const char *outcome)
{
    for (size_t i = 0; outcome && i < ARRAY_LENGTH(meanings); i++)
        if (strcmp(meanings[i].outcome, outcome) == 0)
            return &meanings[i];
    return NULL;
}

/* The mirror does not have it, and the directory did not agree that it does not exist. */
static bool is_unconfirmed(const json_t *answer)
{
    const char *confirmed = json_text(answer, "confirmed");

    return confirmed && strcmp(confirmed, "absent") != 0;
}

/* What the asker is told: that something is unknown only after the directory agreed. */
static const char *told_text(const json_t *answer, bool is_login)
{
    const struct meaning *meaning =
        find_meaning(is_unconfirmed(answer) ? "unavailable" : json_text(answer, "outcome"));

    return !meaning ? NULL : is_login ? meaning->login : meaning->mail;
}

static bool is_set(const char *text)
{
    return text && *text;
}

static void print_found(const json_t *answer, FILE *stream)
{
    const char *old_host = json_text(answer, "old_host");

    fputs("account ", stream);
    print_harmless(stream, json_text(answer, "account") ? json_text(answer, "account") : "?");
    fputs(" on backend ", stream);
    print_harmless(stream, json_text(answer, "host") ? json_text(answer, "host") : "?");
    if (is_set(old_host)) {
        fputs(", moved from ", stream);
        print_harmless(stream, old_host);
    }
}

static void print_summary(const json_t *answer, const char *address, FILE *stream)
{
    const char *outcome = json_text(answer, "outcome");
    const struct meaning *meaning = find_meaning(outcome);

    print_harmless(stream, address);
    fputs(": ", stream);
    if (outcome && strcmp(outcome, "found") == 0)
        print_found(answer, stream);
    else if (is_unconfirmed(answer))
        fputs("unknown to the mirror, but perhaps not to the directory", stream);
    else
        print_harmless(stream, meaning ? meaning->text : outcome ? outcome : "?");
    if (is_set(json_text(answer, "reason"))) {
        fputs(": ", stream);
        print_harmless(stream, json_text(answer, "reason"));
    }
    fputc('\n', stream);
}

static const char *rule_text(const char *rule)
{
    static const struct {
        const char *rule, *text;
    } rules[] = { { "exact", "as it is" },
                  { "detail", "without its detail" },
                  { "domain-alias", "under the domain that this one is an alias of" },
                  { "catch-all", "the domain's catch-all" } };

    for (size_t i = 0; rule && i < ARRAY_LENGTH(rules); i++)
        if (strcmp(rules[i].rule, rule) == 0)
            return rules[i].text;
    return rule;
}

static const char *found_text(const char *found)
{
    static const struct {
        const char *found, *text;
    } texts[] = { { "none", "no account" },
                  { "one", "one account" },
                  { "several", "several accounts" },
                  { "failed", "the mirror cannot be read" } };

    for (size_t i = 0; found && i < ARRAY_LENGTH(texts); i++)
        if (strcmp(texts[i].found, found) == 0)
            return texts[i].text;
    return found;
}

static const char *confirmed_text(const char *confirmed)
{
    static const struct {
        const char *confirmed, *text;
    } texts[] = { { "absent", "the directory has no such account either" },
                  { "present", "the directory has it, but the mirror does not yet" },
                  { "unsure", "could not be made; so nobody is told that it is unknown" } };

    for (size_t i = 0; confirmed && i < ARRAY_LENGTH(texts); i++)
        if (strcmp(texts[i].confirmed, confirmed) == 0)
            return texts[i].text;
    return confirmed;
}

static void add_steps(struct table *table, const json_t *answer)
{
    json_t *step;
    size_t i;

    json_array_foreach (json_object_get(answer, "steps"), i, step) {
        table_add(table, i == 0 ? "looked up" : " ");
        table_add_format(table, "%s (%s): %s", json_text(step, "key"),
                         rule_text(json_text(step, "rule")), found_text(json_text(step, "found")));
    }
}

static void add_line(struct table *table, const char *label, const char *text)
{
    if (!is_set(text))
        return;
    table_add(table, label);
    table_add(table, text);
}

static void print_why(const json_t *answer, bool is_login, FILE *stream)
{
    struct table table;

    table_init(&table, 2, 0);
    add_line(&table, "asked as", is_login ? "login name" : "mail address");
    add_steps(&table, answer);
    add_line(&table, "live search", confirmed_text(json_text(answer, "confirmed")));
    add_line(&table, "account", json_text(answer, "account"));
    add_line(&table, "backend", json_text(answer, "host"));
    add_line(&table, "moved from", json_text(answer, "old_host"));
    add_line(&table, is_login ? "logs in as" : "delivered to",
             is_login ? json_text(answer, "account") : json_text(answer, "recipient"));
    add_line(&table, is_login ? "the client is" : "the sender is told",
             told_text(answer, is_login));
    table_print(&table, stream, 2);
    table_fini(&table);
}

static void print_answer(const json_t *answer, const char *address, bool is_login, bool wants_why,
                         FILE *stream)
{
    print_summary(answer, address, stream);
    if (wants_why)
        print_why(answer, is_login, stream);
}

/* The outcome with the steps before it in a list; NULL when there is none. */
static json_t *join_lines(const json_t *lines)
{
    json_t *steps = json_array(), *answer = NULL, *line;
    size_t i;

    json_array_foreach (lines, i, line) {
        if (json_text(line, "outcome"))
            answer = line;
        else
            json_array_append_new(
                steps, json_pack("{s:s*,s:s*,s:s*}", "key", json_text(line, "step"), "rule",
                                 json_text(line, "rule"), "found", json_text(line, "found")));
    }
    if (answer)
        json_object_set(answer, "steps", steps);
    json_decref(steps);
    return answer;
}

enum command_status lookup_run(const struct arguments *arguments)
{
    const char *address = arguments->words[0];
    json_t *request = json_pack("{s:s,s:s,s:b}", "command", "lookup", "address", address, "login",
                                arguments->is_login);
    json_t *lines = daemon_answer(arguments, request), *answer;

    if (!lines)
        return COMMAND_FAILED;
    answer = join_lines(lines);
    if (!answer)
        fprintf(stderr, "mailstead: the daemon's answer is empty\n");
    else if (arguments->is_json)
        print_json_line(answer);
    else
        print_answer(answer, address, arguments->is_login, arguments->wants_why, stdout);
    json_decref(lines);
    return answer ? COMMAND_OK : COMMAND_FAILED;
}
