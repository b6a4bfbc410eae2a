/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions to the queue process, and its answers as tables or as lines of JSON.  A long list is
 * asked for in pages: neither side ever holds more than one.
 */
#include "admin/queue.h"

#include <inttypes.h>
#include <string.h>

#include "admin/daemon.h"
#include "admin/output.h"
#include "common/base/clock.h"

enum { PAGE_MESSAGES = 500, LIST_MESSAGES = 1000 /* unless --limit says another */ };

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

static void print_page(const json_t *messages, bool is_first)
{
    static const char *const head[] = { "id", "age", "size", "from", "to", "backend", "next try" };
    struct table table;
    json_t *message;
    size_t i;

    table_init(&table, 7, 1U << 2);
    for (i = 0; is_first && i < 7; i++)
        table_add(&table, head[i]);
    json_array_foreach (messages, i, message)
        add_message(&table, message);
    table_print(&table, stdout, 0);
    table_fini(&table);
}

static void print_lines(const json_t *lines)
{
    json_t *line;
    size_t i;

    json_array_foreach (lines, i, line)
        print_json_line(line);
}

json_t *queue_request(const char *command, const struct arguments *arguments)
{
    json_t *request =
        json_pack("{s:s,s:s*,s:s*,s:s*,s:s*,s:s*}", "command", command, "backend",
                  arguments->backend, "sender", arguments->sender, "recipient",
                  arguments->recipient, "domain", arguments->domain, "state", arguments->state);

    if (arguments->older_than_s > 0)
        json_object_set_new(request, "older_than_s", json_integer(arguments->older_than_s));
    if (arguments->word_count > 0)
        json_object_set_new(request, "ids", json_array());
    for (int i = 0; i < arguments->word_count; i++)
        json_array_append_new(json_object_get(request, "ids"), json_string(arguments->words[i]));
    return request;
}

/* The next messages after the last of `previous` (NULL: from the start), at most `limit`. */
static json_t *ask_page(const struct daemon_one *one, const struct arguments *arguments,
                        const json_t *previous, unsigned limit)
{
    json_t *request = queue_request("queue-list", arguments);
    const json_t *last = json_array_get(previous, json_array_size(previous) - 1);

    json_object_set_new(request, "limit", json_integer(limit));
    if (last)
        json_object_set(request, "after", json_object_get(last, "id"));
    return daemon_lines(one, request);
}

static enum command_status list_pages(const struct daemon_one *one,
                                      const struct arguments *arguments)
{
    unsigned limit = arguments->limit ? arguments->limit : LIST_MESSAGES;
    unsigned left = limit, asked = 0;
    json_t *page = NULL;
    size_t count = 0;

    do {
        json_t *previous = page;

        asked = left < PAGE_MESSAGES ? left : PAGE_MESSAGES;
        page = ask_page(one, arguments, previous, asked);
        json_decref(previous);
        if (!page)
            return COMMAND_FAILED;
        if (arguments->is_json)
            print_lines(page);
        else if (json_array_size(page) > 0)
            print_page(page, count == 0);
        count += json_array_size(page);
        left -= asked;
    } while (left > 0 && json_array_size(page) == asked);
    if (!arguments->is_json && count == 0)
        printf("nothing of that kind waits\n");
    else if (!arguments->is_json && count == limit)
        printf("(the first %u; --limit shows more)\n", limit);
    json_decref(page);
    return COMMAND_OK;
}

enum command_status queue_list_run(const struct arguments *arguments)
{
    struct daemon_one one;
    enum command_status status;

    if (!daemon_open(&one, arguments))
        return COMMAND_FAILED;
    status = list_pages(&one, arguments);
    daemon_close(&one);
    return status;
}

/* --- show --------------------------------------------------------------------------- */

static void print_line(const char *label, const char *text)
{
    printf("%-12s", label);
    print_harmless(stdout, text ? text : "-");
    fputc('\n', stdout);
}

/* What a sender gave, if he did. */
static void print_given(const char *label, const char *text)
{
    if (text && *text)
        print_line(label, text);
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
    print_given("envid", json_text(message, "envid"));
    print_given("ret", json_text(message, "ret"));
    print_given("smtputf8", json_flag(message, "is_utf8") == 1 ? "yes" : NULL);
}

static void print_recipient(const json_t *recipient)
{
    char next[OUTPUT_TEXT_SIZE];

    fputc('\n', stdout);
    print_line("to", json_text(recipient, "address"));
    print_line("  backend", destination_text(recipient));
    printf("  %-10s%" PRId64 ", next try %s\n", "attempts", json_number(recipient, "attempts", 0),
           next_text(recipient, next));
    print_given("  reply", json_text(recipient, "reply"));
    print_given("  notify", json_text(recipient, "notify"));
    print_given("  orcpt", json_text(recipient, "orcpt"));
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

/* --- stat --------------------------------------------------------------------------- */

static void print_stat(const json_t *answer)
{
    static const char *const head[] = { "backend", "recipients", "in hand", "next try" };
    char text[OUTPUT_TEXT_SIZE];
    struct table table;
    json_t *line;
    size_t i;

    printf("%s, ", format_count(json_number(answer, "messages", 0), "message", text));
    printf("%s, ", format_count(json_number(answer, "recipients", 0), "recipient", text));
    printf("%" PRId64 " held, %" PRId64 " set aside\n", json_number(answer, "held", 0),
           json_number(answer, "set_aside", 0));
    table_init(&table, 4, 1U << 1 | 1U << 2);
    for (i = 0; i < 4; i++)
        table_add(&table, head[i]);
    json_array_foreach (json_object_get(answer, "destinations"), i, line) {
        table_add(&table, destination_text(line));
        table_add_format(&table, "%" PRId64, json_number(line, "recipients", 0));
        table_add_format(&table, "%" PRId64, json_number(line, "in_hand", 0));
        table_add(&table, json_flag(line, "is_waiting") == 1        ? "when it is up"
                          : json_number(line, "recipients", 0) == 0 ? "-"
                                                                    : next_text(line, text));
    }
    table_print(&table, stdout, 0);
    table_fini(&table);
}

enum command_status queue_stat_run(const struct arguments *arguments)
{
    json_t *lines =
        daemon_answer(arguments, json_pack("{s:s,s:b}", "command", "queue-stat", "waiting", 1));

    if (!lines)
        return COMMAND_FAILED;
    if (arguments->is_json)
        print_json(json_array_get(lines, 0));
    else
        print_stat(json_array_get(lines, 0));
    json_decref(lines);
    return COMMAND_OK;
}
