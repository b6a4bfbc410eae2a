/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon's answer in plain words.  What is not in it is left out. */
#include <inttypes.h>
#include <string.h>

#include "admin/node.h"
#include "admin/output.h"
#include "admin/status.h"

static int64_t counter(const json_t *status, const char *name)
{
    return json_number(json_object_get(status, "counters"), name, 0);
}

static void print_head(const json_t *status, FILE *stream)
{
    char uptime[OUTPUT_TEXT_SIZE];

    fprintf(stream, "%s %s runs for %s, process %" PRId64 ", generation %" PRId64 "\n",
            json_text(status, "program"), json_text(status, "version"),
            format_duration(1000 * json_number(status, "uptime_s", 0), uptime),
            json_number(status, "pid", 0), json_number(status, "generation", 0));
}

/* "control, directory, queue, 2 workers, 1 worker of before a reload" */
static void print_drained(const json_t *status, FILE *stream)
{
    const json_t *drain = json_object_get(status, "drain");
    char left[OUTPUT_TEXT_SIZE];

    if (json_flag(drain, "is_drained") == 1)
        fprintf(stream,
                "drained: no connection is taken, %" PRId64 " sessions are open, "
                "the rest is closed in %s (mailstead drain --undo)\n",
                json_number(drain, "sessions", 0),
                format_duration(json_number(drain, "left_ms", 0), left));
}

static void add_processes(struct table *table, const json_t *status)
{
    char text[512] = "";
    size_t length = 0, i;
    int workers = 0, draining = 0;
    json_t *process;

    json_array_foreach (json_object_get(status, "processes"), i, process) {
        const char *role = json_text(process, "role");

        if (!role)
            continue;
        if (strcmp(role, "worker") == 0 && json_flag(process, "is_draining") == 1)
            draining++;
        else if (strcmp(role, "worker") == 0)
            workers++;
        else if (length < sizeof(text))
            length += (size_t)snprintf(text + length, sizeof(text) - length, "%s, ", role);
    }
    table_add(table, "processes");
    if (draining > 0)
        table_add_format(table, "%s%d worker%s, and %d that end after a reload", text, workers,
                         workers == 1 ? "" : "s", draining);
    else
        table_add_format(table, "%s%d worker%s", text, workers, workers == 1 ? "" : "s");
}

static void add_counters(struct table *table, const json_t *status)
{
    table_add(table, "sessions");
    table_add_format(table, "%" PRId64 " open now, %" PRId64 " in all", counter(status, "sessions"),
                     counter(status, "connections"));
    table_add(table, "logins");
    table_add_format(table,
                     "%" PRId64 " accepted, %" PRId64 " refused, %" PRId64 " refused temporarily",
                     counter(status, "logins"), counter(status, "logins_refused"),
                     counter(status, "logins_temporary"));
    table_add(table, "messages");
    table_add_format(table,
                     "%" PRId64 " passed straight on, %" PRId64 " queued, %" PRId64 " refused",
                     counter(status, "messages_cut_through"), counter(status, "messages_queued"),
                     counter(status, "messages_refused"));
    table_add(table, "recipients");
    table_add_format(table, "%" PRId64 " delivered, %" PRId64 " deferred, %" PRId64 " failed",
                     counter(status, "recipients_delivered"),
                     counter(status, "recipients_deferred"), counter(status, "recipients_failed"));
}

static void add_directory(struct table *table, const json_t *status)
{
    const json_t *directory = json_object_get(status, "directory");
    const char *uri = json_text(directory, "uri"), *trouble = json_text(directory, "trouble");

    table_add(table, "directory");
    if (json_flag(json_object_get(status, "mirror"), "is_connected") == 1)
        table_add_format(table, "connected%s%s", uri ? " to " : "", uri ? uri : "");
    else
        table_add_format(table, "not connected%s%s", trouble && *trouble ? ": " : "",
                         trouble ? trouble : "");
}

static void add_mirror(struct table *table, const json_t *status)
{
    const json_t *mirror = json_object_get(status, "mirror");
    char accounts[OUTPUT_TEXT_SIZE];

    table_add(table, "mirror");
    table_add_format(table, "%s, revision %" PRId64 ", %s",
                     format_count(json_number(mirror, "entries", 0), "account", accounts),
                     json_number(mirror, "revision", 0),
                     json_flag(mirror, "is_synchronised") == 1
                         ? "synchronised"
                         : "not synchronised since the start");
}

static bool has_queue(const json_t *status)
{
    const char *program = json_text(status, "program");

    return program && strcmp(program, "mailstead-frontend") == 0;
}

static void add_queue(struct table *table, const json_t *status)
{
    char messages[OUTPUT_TEXT_SIZE], recipients[OUTPUT_TEXT_SIZE];

    if (!has_queue(status))
        return;
    table_add(table, "queue");
    if (counter(status, "queue_messages") == 0)
        table_add(table, "empty");
    else
        table_add_format(
            table, "%s, %s", format_count(counter(status, "queue_messages"), "message", messages),
            format_count(counter(status, "queue_recipients"), "recipient", recipients));
}

static bool is_known(const json_t *backend)
{
    for (const char *const *protocol = status_protocols; *protocol; protocol++) {
        const char *state = json_text(json_object_get(backend, *protocol), "state");

        if (state && strcmp(state, "unknown") != 0)
            return true;
    }
    return false;
}

const char *status_order_text(const json_t *backend, char text[OUTPUT_TEXT_SIZE])
{
    const char *state = json_text(backend, "state"), *source = json_text(backend, "source");
    int64_t weight = json_number(backend, "weight", 1);
    bool is_listed = source && strcmp(source, "directory") == 0;
    char share[OUTPUT_TEXT_SIZE / 2] = "";

    if (weight != 1)
        snprintf(share, sizeof(share), ", weight %" PRId64, weight);
    snprintf(text, OUTPUT_TEXT_SIZE, "%s%s%s", state ? state : "up", share,
             is_listed ? ", from the directory" : "");
    return text;
}

static void add_backend(struct table *table, const json_t *backend)
{
    char order[OUTPUT_TEXT_SIZE];

    table_add(table, json_text(backend, "backend"));
    for (const char *const *protocol = status_protocols; *protocol; protocol++) {
        const json_t *health = json_object_get(backend, *protocol);
        const char *state = json_text(health, "state");
        char age[OUTPUT_TEXT_SIZE];

        if (!state || strcmp(state, "unknown") == 0)
            table_add(table, "not tried");
        else
            table_add_format(table, "%s %s%s", state,
                             format_duration(1000 * json_number(health, "since_s", 0), age),
                             json_flag(health, "is_ramped") == 1 ? ", let in slowly" : "");
    }
    table_add(table, status_order_text(backend, order));
}

/* A backend node tries no backends: nothing is known of any, and nothing is shown. */
static void print_backends(const json_t *status, FILE *stream)
{
    const json_t *backends = json_object_get(status, "backends");
    struct table table;
    json_t *backend;
    size_t i;
    bool is_any_known = false;

    json_array_foreach (backends, i, backend)
        is_any_known |= is_known(backend);
    if (!is_any_known)
        return;
    table_init(&table, 6, 0);
    table_add(&table, "backend");
    for (const char *const *protocol = status_protocols; *protocol; protocol++)
        table_add(&table, *protocol);
    table_add(&table, "order");
    json_array_foreach (backends, i, backend)
        add_backend(&table, backend);
    fputc('\n', stream);
    table_print(&table, stream, 2);
    table_fini(&table);
}

static void add_node(struct table *table, const json_t *status)
{
    const json_t *node = json_object_get(status, "storage_node");
    const char *state = json_text(node, "state");
    json_t *storage;
    size_t i;

    if (!node)
        return;
    table_add(table, "node");
    table_add_format(table, "%s, %s", json_text(node, "node"), state ? state : "?");
    json_array_foreach (json_object_get(node, "storages"), i, storage) {
        const char *why = json_text(storage, "why");

        table_add(table, "storage");
        table_add_format(table, "of %s %s%s%s", json_text(storage, "server"),
                         node_storage_state(storage), why && *why ? ": " : "", why ? why : "");
    }
}

void status_print(const json_t *status, FILE *stream)
{
    struct table table;

    print_head(status, stream);
    print_drained(status, stream);
    table_init(&table, 2, 0);
    add_processes(&table, status);
    add_node(&table, status);
    add_counters(&table, status);
    add_directory(&table, status);
    add_mirror(&table, status);
    add_queue(&table, status);
    table_print(&table, stream, 2);
    table_fini(&table);
    print_backends(status, stream);
}
