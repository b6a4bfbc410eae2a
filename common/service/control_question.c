/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The orders that come over hub.sock, from the process of the admin port: an exchange each, as for
 * a client of control.sock.  Every process of the daemon can reach hub.sock; only the one that
 * the board has in the role "admin" may ask anything, and others what the table has, so that a
 * worker that was taken over gives no orders.
 */
#include <stdlib.h>
#include <sys/socket.h>

#include "common/service/control_hub.h"
#include "common/service/supervisor.h"

struct control_question {
    struct control_exchange exchange;
    struct list node; /* of its process */
    struct channel *channel;
    uint32_t number;
};

static bool role_may_ask(const char *role, const char *command)
{
    static const struct {
        const char *role, *command;
    } rights[] = { { "storage", "mirror-hosts" } };

    for (size_t i = 0; i < ARRAY_LENGTH(rights); i++)
        if (strcmp(rights[i].role, role) == 0 && strcmp(rights[i].command, command) == 0)
            return true;
    return strcmp(role, "admin") == 0;
}

/* By the process id that the kernel knows of the connection. */
static bool peer_may_ask(const struct child *child, const struct channel *channel,
                         const char *command)
{
    struct ucred peer = { .pid = 0 };
    socklen_t size = sizeof(peer);

    if (getsockopt(channel->fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0 || peer.pid <= 0)
        return false;
    for (size_t i = 0; i < BOARD_SLOTS; i++) {
        const struct board_slot *slot = &child->board->slots[i];

        if (atomic_load(&slot->pid) == peer.pid)
            return role_may_ask(child->program->roles[atomic_load(&slot->role)].name, command);
    }
    return false;
}

static void question_free(struct control_question *question)
{
    list_remove(&question->node);
    free(question);
}

static void answer(struct channel *channel, uint32_t number, struct span json)
{
    control_send(channel, CONTROL_ANSWER, number, json, SPAN_EMPTY);
}

static void answered(struct channel *channel, uint32_t number, const char *error)
{
    control_send(channel, CONTROL_ANSWERED, number,
                 span_take(span_from_string(error), CONFIG_ERROR_SIZE), SPAN_EMPTY);
}

static void question_line(struct control_exchange *exchange, struct span json)
{
    const struct control_question *question =
        CONTAINER_OF(exchange, struct control_question, exchange);

    answer(question->channel, question->number, json);
}

static void question_ended(struct control_exchange *exchange, const char *error)
{
    struct control_question *question = CONTAINER_OF(exchange, struct control_question, exchange);

    answered(question->channel, question->number, error);
    question_free(question);
}

static void answer_object(struct channel *channel, uint32_t number, const json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    if (!text)
        memory_exhausted();
    answer(channel, number, span_from_string(text));
    free(text);
}

/* What the control child knows by itself. */
static void answer_own(struct channel *channel, uint32_t number, json_t *own)
{
    size_t index;
    json_t *line;

    if (json_is_array(own)) {
        json_array_foreach (own, index, line)
            answer_object(channel, number, line);
    } else {
        answer_object(channel, number, own);
    }
    json_decref(own);
    answered(channel, number, NULL);
}

static void question_begin(struct control_hub *hub, struct channel *channel, struct list *questions,
                           uint32_t number, const char *command, struct span json)
{
    static const struct control_exchange_events events = { question_line, question_ended };
    struct control_question *question = memory_new(sizeof(*question));

    question->channel = channel;
    question->number = number;
    list_append(questions, &question->node);
    if (!control_hub_run(hub, &question->exchange, command, json, &events))
        question_ended(&question->exchange, question->exchange.error);
}

static bool take_ask(struct control_hub *hub, struct channel *channel, struct list *questions,
                     struct wire_reader *reader)
{
    uint32_t number = wire_get_u32(reader);
    char command[CONTROL_NAME_SIZE];
    json_t *request, *own;
    struct span json;

    wire_get_string(reader, command, sizeof(command));
    json = wire_get_span(reader);
    if (!wire_reader_is_complete(reader) || json.length > CONTROL_REQUEST_MAX ||
        !peer_may_ask(hub->child, channel, command))
        return false;
    request = json_loadb(json.data, json.length, JSON_REJECT_DUPLICATES, NULL);
    if (!request)
        return false;
    own = control_own_answer(hub->child, command, request);
    json_decref(request);
    if (own)
        answer_own(channel, number, own);
    else
        question_begin(hub, channel, questions, number, command, json);
    return true;
}

/* One that is not there was answered in the meantime. */
static bool take_withdrawal(struct list *questions, struct wire_reader *reader)
{
    uint32_t number = wire_get_u32(reader);

    if (!wire_reader_is_complete(reader))
        return false;
    LIST_EACH (node, questions) {
        struct control_question *question = LIST_ELEMENT(node, struct control_question, node);

        if (question->number != number)
            continue;
        control_exchange_cancel(&question->exchange);
        question_free(question);
    }
    return true;
}

bool control_question_take(struct control_hub *hub, struct channel *channel, struct list *questions,
                           enum control_message type, struct wire_reader *reader)
{
    return type == CONTROL_ASK ? take_ask(hub, channel, questions, reader)
                               : take_withdrawal(questions, reader);
}

void control_questions_drop(struct list *questions)
{
    while (!list_is_empty(questions)) {
        struct control_question *question =
            LIST_ELEMENT(questions->next, struct control_question, node);

        control_exchange_cancel(&question->exchange);
        question_free(question);
    }
}
