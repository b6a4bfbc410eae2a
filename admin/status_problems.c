/* SPDX-License-Identifier: Apache-2.0 */
/* What a monitoring system should be told, read off the daemon's answer. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "admin/output.h"
#include "admin/status.h"

enum { HEARTBEAT_LATE_MS = 5000, PROBLEM_SIZE = 256 };

const char *const status_protocols[] = { "lmtp", "imap", "pop3", "sieve", NULL };

static void note(json_t *problems, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(json_t *problems, const char *format, ...)
{
    char text[PROBLEM_SIZE];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    json_array_append_new(problems, json_any_text(text));
}

static void look_at_mirror(const json_t *status, json_t *problems)
{
    const json_t *mirror = json_object_get(status, "mirror");
    const char *trouble = json_text(json_object_get(status, "directory"), "backends_trouble");

    if (json_flag(mirror, "is_connected") == 0)
        note(problems, "the directory is not connected: accounts are routed as they last were, "
                       "unknown addresses are refused temporarily");
    if (json_flag(mirror, "is_synchronised") == 0)
        note(problems, "the mirror has not been synchronised since the daemon started");
    if (trouble && *trouble)
        note(problems, "backends from the directory: %s", trouble);
}

static void look_at_held(const json_t *status, json_t *problems)
{
    const json_t *directory = json_object_get(status, "directory");
    int64_t held = json_number(directory, "held", 0);

    if (held > 0 && json_flag(directory, "held_kept") != 1)
        note(problems,
             "the directory seems to have lost %" PRId64 " accounts: they are held and routed as "
             "they were; see mailstead mirror status",
             held);
}

static void look_at_process(const json_t *process, json_t *problems)
{
    int64_t age_ms = json_number(process, "heartbeat_age_ms", 0);
    const char *role = json_text(process, "role");
    int64_t number = json_number(process, "number", 0), pid = json_number(process, "pid", 0);

    if (age_ms >= HEARTBEAT_LATE_MS)
        note(problems, "%s %" PRId64 " (process %" PRId64 ") hangs: no heartbeat for %" PRId64 " s",
             role ? role : "?", number, pid, age_ms / 1000);
    else if (json_flag(process, "is_ready") == 0)
        note(problems, "%s %" PRId64 " (process %" PRId64 ") is not ready yet", role ? role : "?",
             number, pid);
}

static void look_at_processes(const json_t *status, json_t *problems)
{
    const json_t *processes = json_object_get(status, "processes");
    json_t *process;
    size_t i;
    bool has_worker = false;

    json_array_foreach (processes, i, process) {
        const char *role = json_text(process, "role");

        has_worker |= role && strcmp(role, "worker") == 0 && json_flag(process, "is_draining") != 1;
        look_at_process(process, problems);
    }
    if (!has_worker)
        note(problems, "no worker runs: nobody is served");
}

void status_note_order(const json_t *backend, json_t *problems)
{
    const char *state = json_text(backend, "state"), *name = json_text(backend, "backend");

    if (state && strcmp(state, "leaving") == 0)
        note(problems, "backend %s is leaving: its accounts are to be moved", name ? name : "?");
    else if (state && strcmp(state, "down") == 0)
        note(problems, "backend %s is set down: its mail is queued, its logins are refused",
             name ? name : "?");
}

static void look_at_backends(const json_t *status, json_t *problems)
{
    json_t *backend;
    size_t i;

    json_array_foreach (json_object_get(status, "backends"), i, backend) {
        status_note_order(backend, problems);
        for (const char *const *protocol = status_protocols; *protocol; protocol++) {
            const json_t *health = json_object_get(backend, *protocol);
            const char *state = json_text(health, "state"), *name = json_text(backend, "backend");
            char age[OUTPUT_TEXT_SIZE];

            if (state && strcmp(state, "down") == 0)
                note(problems, "backend %s: %s is down for %s", name ? name : "?", *protocol,
                     format_duration(1000 * json_number(health, "since_s", 0), age));
        }
    }
}

static void look_at_certificates(const json_t *status, json_t *problems)
{
    json_t *certificate;
    size_t i;

    json_array_foreach (json_object_get(status, "certificates"), i, certificate) {
        const char *file = json_text(certificate, "file");
        int64_t left_s = json_number(certificate, "left_s", 0);
        char left[OUTPUT_TEXT_SIZE];

        if (left_s < 0)
            note(problems, "certificate %s has expired", file ? file : "?");
        else if (json_flag(certificate, "is_ending") == 1)
            note(problems, "certificate %s expires in %s", file ? file : "?",
                 format_duration(1000 * left_s, left));
    }
}

static void look_at_queue(const json_t *status, json_t *problems)
{
    const json_t *queue = json_object_get(status, "queue");
    int64_t set_aside = json_number(queue, "set_aside", 0), held = json_number(queue, "held", 0);

    if (set_aside > 0)
        note(problems,
             "%" PRId64 " recipients in the queue are set aside: their message cannot be "
             "read",
             set_aside);
    if (held > 0)
        note(problems, "%" PRId64 " recipients in the queue are held", held);
}

static void look_at_stores(const json_t *node, json_t *problems)
{
    json_t *store;
    size_t i;

    json_array_foreach (json_object_get(node, "stores"), i, store) {
        const char *protocol = json_text(store, "protocol");

        if (json_flag(store, "is_reachable") == 0)
            note(problems, "its mail store does not take %s", protocol ? protocol : "?");
    }
}

static void look_at_storage(const json_t *node, const json_t *storage, json_t *problems)
{
    bool has_copies = json_flag(node, "has_storages") == 0;
    const char *state = json_text(storage, "state"), *server = json_text(storage, "server");
    const char *why = json_text(storage, "why");

    if (json_flag(storage, "is_held") == 1)
        note(problems,
             has_copies ? "the accounts of %s are held: %s" : "the storage of %s is held: %s",
             server ? server : "?", why ? why : "");
    else if (state && strcmp(state, "failed") == 0)
        note(problems, "the storage of %s has failed%s%s", server ? server : "?",
             why && *why ? ": " : "", why ? why : "");
    else if (json_flag(storage, "is_missed") == 1)
        note(problems, "the storage of %s is not attached, and accounts of the node need it",
             server ? server : "?");
}

static void look_at_node(const json_t *status, json_t *problems)
{
    const json_t *node = json_object_get(status, "storage_node");
    const char *state = json_text(node, "state"), *why = json_text(node, "why");
    json_t *storage;
    size_t i;

    if (state && strcmp(state, "serving") != 0)
        note(problems, "the node does not serve: %s%s%s", state, why && *why ? ": " : "",
             why ? why : "");
    else
        look_at_stores(node, problems);
    if (json_flag(node, "is_overridden") == 1)
        note(problems, "the node serves by an override, whatever the directory says");
    json_array_foreach (json_object_get(node, "storages"), i, storage)
        look_at_storage(node, storage, problems);
}

json_t *status_own_problems(const json_t *status)
{
    json_t *problems = json_array();

    look_at_processes(status, problems);
    look_at_mirror(status, problems);
    look_at_held(status, problems);
    look_at_node(status, problems);
    look_at_queue(status, problems);
    look_at_certificates(status, problems);
    return problems;
}

json_t *status_problems(const json_t *status)
{
    json_t *problems = status_own_problems(status);

    look_at_backends(status, problems);
    return problems;
}
