/* SPDX-License-Identifier: Apache-2.0 */
/* One question each; what would touch everything must be asked for by --all. */
#include "admin/queue_orders.h"

#include <stdlib.h>
#include <string.h>

#include "admin/daemon.h"
#include "admin/output.h"
#include "admin/queue.h"

struct order {
    const char *command;      /* of the daemon: "queue-hold" for `mailstead queue hold` */
    const char *done, *would; /* "held", "would be held" */
    bool needs_choice;        /* it does not take "everything" for granted */
};

static bool has_choice(const struct arguments *arguments)
{
    return arguments->word_count > 0 || arguments->backend || arguments->sender ||
           arguments->recipient || arguments->domain || arguments->state ||
           arguments->older_than_s > 0;
}

/* The line that is the answer: those before it only tell that the daemon goes on. */
static const json_t *last_line(const json_t *lines)
{
    return json_array_get(lines, json_array_size(lines) - 1);
}

static void print_left_alone(const json_t *answer)
{
    int64_t in_delivery = json_number(answer, "in_delivery", 0);
    int64_t unknown = json_number(answer, "unknown", 0);
    char count[OUTPUT_TEXT_SIZE];

    if (in_delivery > 0)
        printf("%s left alone: being delivered at this moment\n",
               format_count(in_delivery, "recipient", count));
    if (unknown > 0)
        printf("%s left alone: the last reply was lost, and the message may be there; "
               "--unknown tries all the same\n",
               format_count(unknown, "recipient", count));
}

static void print_answer(const struct order *order, const json_t *answer)
{
    char recipients[OUTPUT_TEXT_SIZE], messages[OUTPUT_TEXT_SIZE];

    printf("%s of %s %s\n",
           format_count(json_number(answer, "changed", 0), "recipient", recipients),
           format_count(json_number(answer, "messages", 0), "message", messages),
           json_flag(answer, "is_dry_run") == 1 ? order->would : order->done);
    print_left_alone(answer);
}

static json_t *order_request(const struct order *order, const struct arguments *arguments)
{
    json_t *request = queue_request(order->command, arguments);

    if (arguments->is_dry_run)
        json_object_set_new(request, "dry_run", json_true());
    if (arguments->wants_unknown)
        json_object_set_new(request, "unknown", json_true());
    return request;
}

/* The subcommand of `mailstead queue`. */
static const char *order_word(const struct order *order)
{
    return order->command + strlen("queue-");
}

static enum command_status run_order(const struct order *order, const struct arguments *arguments)
{
    const json_t *answer;
    enum command_status status;
    json_t *lines;

    if (arguments->is_all && has_choice(arguments)) {
        fprintf(stderr, "mailstead queue %s: --all, or a choice, not both\n", order_word(order));
        return COMMAND_USAGE;
    }
    if (order->needs_choice && !arguments->is_all && !has_choice(arguments)) {
        fprintf(stderr, "mailstead queue %s: say which messages; --all is every one\n",
                order_word(order));
        return COMMAND_USAGE;
    }
    lines = daemon_answer(arguments, order_request(order, arguments));
    if (!lines)
        return COMMAND_FAILED;
    answer = last_line(lines);
    if (arguments->is_json)
        print_json_line(answer);
    else
        print_answer(order, answer);
    status = arguments->word_count > 0 && json_number(answer, "matched", 0) == 0 ? COMMAND_FAILED
                                                                                 : COMMAND_OK;
    json_decref(lines);
    return status;
}

enum command_status queue_hold_run(const struct arguments *arguments)
{
    static const struct order order = { "queue-hold", "held", "would be held", true };

    return run_order(&order, arguments);
}

enum command_status queue_release_run(const struct arguments *arguments)
{
    static const struct order order = { "queue-release", "released", "would be released", true };

    return run_order(&order, arguments);
}

enum command_status queue_flush_run(const struct arguments *arguments)
{
    static const struct order order = { "queue-flush", "made due", "would be made due", false };

    return run_order(&order, arguments);
}

enum command_status queue_delete_run(const struct arguments *arguments)
{
    static const struct order order = { "queue-delete", "deleted", "would be deleted", true };

    return run_order(&order, arguments);
}

enum command_status queue_bounce_run(const struct arguments *arguments)
{
    static const struct order order = { "queue-bounce", "given up", "would be given up", true };

    return run_order(&order, arguments);
}

/* --- adopt ---------------------------------------------------------------------------- */

static void print_adopted(const json_t *answer)
{
    char messages[OUTPUT_TEXT_SIZE], recipients[OUTPUT_TEXT_SIZE];
    int64_t unreadable = json_number(answer, "unreadable", 0);

    printf("%s for %s adopted\n",
           format_count(json_number(answer, "messages", 0), "message", messages),
           format_count(json_number(answer, "recipients", 0), "recipient", recipients));
    if (unreadable > 0)
        printf("%s could not be read, and stay there\n",
               format_count(unreadable, "message", messages));
    if (json_flag(answer, "is_kept") == 1)
        printf("the other queue could not be written, so that all of it is there, too: it must "
               "never be used again\n");
}

enum command_status queue_adopt_run(const struct arguments *arguments)
{
    /* The daemon has another working directory; another machine, other folders. */
    char *directory = arguments->nodes.count > 0 ? NULL : realpath(arguments->words[0], NULL);
    json_t *lines =
        daemon_answer(arguments, json_pack("{s:s,s:s}", "command", "queue-adopt", "directory",
                                           directory ? directory : arguments->words[0]));
    const json_t *answer = lines ? last_line(lines) : NULL;
    enum command_status status = COMMAND_FAILED;

    free(directory);
    if (answer) {
        if (arguments->is_json)
            print_json_line(answer);
        else
            print_adopted(answer);
        status = json_number(answer, "unreadable", 0) > 0 ? COMMAND_PARTLY : COMMAND_OK;
    }
    json_decref(lines);
    return status;
}
