/* SPDX-License-Identifier: Apache-2.0 */
#include "common/service/control_answer.h"

#include <stdio.h>

#include "common/service/control.h"

enum { PIECE = 65536 };

void control_answer_init(struct control_answer *answer, void (*line)(json_t *object, void *context),
                         void *context)
{
    *answer = (struct control_answer){ .line = line,
                                       .context = context,
                                       .input = bytes_empty(2 * CONTROL_LINE_MAX + PIECE) };
}

void control_answer_fini(struct control_answer *answer)
{
    bytes_release(&answer->input);
}

static void answer_end(struct control_answer *answer, enum control_answer_state state,
                       const char *error)
{
    answer->state = state;
    snprintf(answer->error, sizeof(answer->error), "%s", error);
}

void control_answer_break(struct control_answer *answer, const char *error)
{
    if (answer->state == CONTROL_ANSWER_OPEN)
        answer_end(answer, CONTROL_ANSWER_BROKEN, error);
}

static void take_object(struct control_answer *answer, json_t *object)
{
    const char *error = json_string_value(json_object_get(object, "error"));

    if (!json_is_object(object)) {
        control_answer_break(answer, "the answer is no JSON object");
    } else if (json_is_true(json_object_get(object, "end"))) {
        answer_end(answer, error ? CONTROL_ANSWER_REFUSED : CONTROL_ANSWER_DONE,
                   error ? error : "");
    } else {
        answer->line_count++;
        if (answer->line)
            answer->line(object, answer->context);
    }
}

static void take_lines(struct control_answer *answer)
{
    while (answer->state == CONTROL_ANSWER_OPEN) {
        struct span all = bytes_span(&answer->input);
        size_t end = span_find(all, '\n');
        json_t *object;

        if (end == all.length)
            return;
        object = json_loadb(all.data, end, 0, NULL);
        bytes_consume(&answer->input, end + 1);
        take_object(answer, object);
        json_decref(object);
    }
}

void control_answer_take(struct control_answer *answer, struct span bytes)
{
    while (bytes.length > 0 && answer->state == CONTROL_ANSWER_OPEN) {
        struct span piece = span_take(bytes, PIECE);

        bytes = span_drop(bytes, piece.length);
        if (bytes_append(&answer->input, piece))
            take_lines(answer);
        else
            control_answer_break(answer, "a line of the answer is too long");
    }
}

bool control_answer_is_lost(const struct control_answer *answer)
{
    const size_t length = sizeof(CONTROL_ASK_AGAIN) - 1;
    struct span error = span_from_string(answer->error);

    return (answer->state == CONTROL_ANSWER_REFUSED || answer->state == CONTROL_ANSWER_BROKEN) &&
           error.length >= length &&
           span_equals(span_drop(error, error.length - length), SPAN_LITERAL(CONTROL_ASK_AGAIN));
}
