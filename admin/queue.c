/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to the queue process, and its answers as tables or as lines of JSON. */
#include "admin/queue.h"

#include <inttypes.h>
#include <string.h>

#include "admin/daemon.h"
#include "admin/output.h"
#include "common/base/clock.h"

enum { QUEUE_LIST_MAX = 1000 }; /* unless --limit says another */

static const char *destination_text(const json_t *recipient)
{
    const char *destination = json_text(recipient, "backend");

    if (!destination)
        return "not known yet";
    return *destination ? destination : "relay host";
}

static const char *sender_text(const json_t *message)
{
    const char *sender = json_text(message, "reverse_path");

    return sender && *sender ? sender : "<>";
}

/* "in 12 s", "now", or what keeps it from being tried. */
static const char *next_text(const json_t *recipient, char text[OUTPUT_TEXT_SIZE])
{
    const char *state = json_text(recipient, "state");
    int64_t wait_ms = json_number(recipient, "next_attempt_ms", 0) - clock_wall_ms();
    char duration[OUTPUT_TEXT_SIZE];

    if (state && strcmp(state, "held") == 0)
        return "held";
    if (state && strcmp(state, "set-aside") == 0)
        return "set aside";
    if (wait_ms <= 0)
        return "now";
    snprintf(text, OUTPUT_TEXT_SIZE, "in %s", format_duration(wait_ms, duration));
    return text;
}

/* --- list --------------------------------------------------------------------------- */

/* The row that stands for recipients that the daemon leaves out. */
static void add_cut(struct table *table)
{
    static const char *const cells[] = { " ", " ", " ", " ", "(and more)", " ", " " };

    for (size_t i = 0; i < 7; i++)
        table_add(table, cells[i]);
}

static void add_message(struct table *table, const json_t *message)
{
    char size[OUTPUT_TEXT_SIZE], age[OUTPUT_TEXT_SIZE], next[OUTPUT_TEXT_SIZE];
    json_t *recipient;
    size_t i;

    json_array_foreach (json_object_get(message, "recipients"), i, recipient) {
        bool is_first = i == 0;

        table_add(table, is_first ? json_text(message, "id") : " ");
        table_add(
            table,
            is_first ? format_duration(clock_wall_ms() - json_number(message, "arrival_ms", 0), age)
                     : " ");
        table_add(table, is_first ? format_size(json_number(message, "size", 0), size) : " ");
        table_add(table, is_first ? sender_text(message) : " ");
        table_add(table, json_text(recipient, "address"));
        table_add(table, destination_text(recipient));
        table_add(table, next_text(recipient, next));
    }
    if (json_flag(message, "is_cut") == 1)
        add_cut(table);
}

static void print_list(const json_t *messages, unsigned limit)
{
    static const char *const head[] = { "id", "age", "size", "from", "to", "backend", "next try" };
    struct table table;
    json_t *message;
    size_t i;

    if (json_array_size(messages) == 0) {
        printf("the queue is empty\n");
        return;
    }
    table_init(&table, 7, 1U << 2);
    for (i = 0; i < 7; i++)
        table_add(&table, head[i]);
    json_array_foreach (messages, i, message)
        add_message(&table, message);
    table_print(&table, stdout, 0);
    table_fini(&table);
    if (json_array_size(messages) == limit)
        printf("(the first %u; --limit shows more)\n", limit);
}

static void print_lines(const json_t *lines)
{
    json_t *line;
    size_t i;

    json_array_foreach (lines, i, line)
        print_json_line(line);
}

enum command_status queue_list_run(const struct arguments *arguments)
{
    unsigned limit = arguments->limit ? arguments->limit : QUEUE_LIST_MAX;
    json_t *request = json_pack("{s:s,s:i,s:s*}", "command", "queue-list", "limit", (int)limit,
                                "backend", arguments->backend);
    json_t *messages = daemon_answer(arguments, request);

    if (!messages)
        return COMMAND_FAILED;
    if (arguments->is_json)
        print_lines(messages);
    else
        print_list(messages, limit);
    json_decref(messages);
    return COMMAND_OK;
}

/* --- show --------------------------------------------------------------------------- */

static void print_line(const char *label, const char *text)
{
    printf("%-12s", label);
    print_harmless(stdout, text ? text : "-");
    fputc('\n', stdout);
}

static void print_message(const json_t *message)
{
    char arrival[OUTPUT_TEXT_SIZE], size[OUTPUT_TEXT_SIZE], age[OUTPUT_TEXT_SIZE];
    int64_t arrival_ms = json_number(message, "arrival_ms", 0);

    print_line("message", json_text(message, "id"));
    print_line("session", json_text(message, "session_id"));
    printf("%-12s%s, %s ago\n", "arrived", format_time(arrival_ms, arrival),
           format_duration(clock_wall_ms() - arrival_ms, age));
    print_line("size", format_size(json_number(message, "size", 0), size));
    print_line("from", sender_text(message));
}

static void print_recipient(const json_t *recipient)
{
    char next[OUTPUT_TEXT_SIZE];
    const char *reply = json_text(recipient, "reply");

    fputc('\n', stdout);
    print_line("to", json_text(recipient, "address"));
    print_line("  backend", destination_text(recipient));
    printf("  %-10s%" PRId64 ", next try %s\n", "attempts", json_number(recipient, "attempts", 0),
           next_text(recipient, next));
    if (reply && *reply)
        print_line("  reply", reply);
}

static void print_cut(const json_t *message)
{
    if (json_flag(message, "is_cut") == 1)
        printf("\n(there are more recipients than are shown)\n");
}

enum command_status queue_show_run(const struct arguments *arguments)
{
    json_t *request = json_pack("{s:s,s:s}", "command", "queue-show", "id", arguments->words[0]);
    json_t *lines = request ? daemon_answer(arguments, request) : NULL;
    const json_t *message = json_array_get(lines, 0);
    json_t *recipient;
    size_t i;

    if (!message) {
        if (lines)
            fprintf(stderr, "mailstead: there is no message %s in the queue\n",
                    arguments->words[0]);
        json_decref(lines);
        return COMMAND_FAILED;
    }
    if (arguments->is_json) {
        print_json(message);
    } else {
        print_message(message);
        json_array_foreach (json_object_get(message, "recipients"), i, recipient)
            print_recipient(recipient);
        print_cut(message);
    }
    json_decref(lines);
    return COMMAND_OK;
}

/* --- flush -------------------------------------------------------------------------- */

enum command_status queue_flush_run(const struct arguments *arguments)
{
    int choices = arguments->word_count + (arguments->backend != NULL) + arguments->is_all;
    char count[OUTPUT_TEXT_SIZE];
    json_t *lines, *answer;

    if (choices > 1) {
        fprintf(stderr, "mailstead queue flush: one of ID, --backend and --all, not several\n");
        return COMMAND_USAGE;
    }
    lines = daemon_answer(arguments, json_pack("{s:s,s:s*,s:s*}", "command", "queue-flush", "id",
                                               arguments->word_count ? arguments->words[0] : NULL,
                                               "backend", arguments->backend));
    if (!lines)
        return COMMAND_FAILED;
    answer = json_array_get(lines, 0);
    if (arguments->is_json)
        print_json_line(answer);
    else
        printf("%s made due\n",
               format_count(json_number(answer, "flushed", 0), "recipient", count));
    json_decref(lines);
    return COMMAND_OK;
}
