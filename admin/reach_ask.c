/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All questions wait in one poll, each with a deadline of its own that its lines move.  Nothing of
 * a peer is waited for elsewhere; what a question cannot do is told in its error.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/output.h"
#include "admin/reach.h"
#include "admin/reach_https.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "common/service/admin_roles.h"
#include "common/service/control_ask.h"

enum { AGAIN_MS = 200 };

struct asking {
    struct reach_question *question;
    struct control_answer answer;
    struct control_asking socket;     /* over the control socket, or */
    struct reach_https_asking *https; /* over the admin port; NULL: not that, or not even begun */
    bool is_by_socket, is_ended;
    bool is_resting;      /* until its deadline, and is asked again then */
    bool is_second;       /* it was lost once already */
    uint64_t deadline_ms; /* monotonic */
    size_t lines_seen;
};

struct asking_set {
    struct asking *items;
    size_t count, open;
    struct reach_https *https;
};

static unsigned timeout_of(const struct reach_question *question)
{
    return question->timeout_ms ? question->timeout_ms : REACH_TIMEOUT_MS;
}

static void asking_start(struct asking *asking, struct reach_question *question)
{
    const struct reach_node *node = question->node;

    *asking = (struct asking){ .question = question, .is_by_socket = *node->path != '\0' };
    asking->deadline_ms = clock_monotonic_ms() + timeout_of(question);
    control_answer_init(&asking->answer, question->line, question->context);
    if (asking->is_by_socket)
        control_asking_start(&asking->socket, node->path, question->request, &asking->answer);
    else if (node->admin_port > 0)
        asking->https = reach_https_start(node->https, node, question->request, &asking->answer);
    else
        control_answer_break(&asking->answer,
                             "it has neither admin_port nor control_socket in the configuration");
}

/* --- how it ended ---------------------------------------------------------------------------- */

/* Whether `error` is that of connect(2): then the daemon does not run, or we are not root. */
static const char *hint_for(const char *error)
{
    static const int errors[] = { ENOENT, ECONNREFUSED };

    for (size_t i = 0; i < ARRAY_LENGTH(errors); i++)
        if (strcmp(error, strerror(errors[i])) == 0)
            return "; does the daemon run?";
    return strcmp(error, strerror(EACCES)) == 0 ? "; this is for root" : "";
}

static void describe(const struct reach_node *node, const char *reason,
                     char error[CONFIG_ERROR_SIZE])
{
    if (*node->path)
        snprintf(error, CONFIG_ERROR_SIZE, "the daemon at %.150s: %.300s%s", node->path, reason,
                 hint_for(reason));
    else if (node->admin_port > 0)
        snprintf(error, CONFIG_ERROR_SIZE, "%.100s port %u: %.330s%s", node->address,
                 node->admin_port, reason, hint_for(reason));
    else
        snprintf(error, CONFIG_ERROR_SIZE, "%s", reason);
}

static void tell_end(struct asking *asking, uint64_t now_ms)
{
    struct reach_question *question = asking->question;

    question->again_ms = 0;
    asking->is_second = false;
    if (question->ended)
        question->ended(question);
    asking->is_resting = question->again_ms > 0;
    asking->is_ended = !asking->is_resting;
    asking->deadline_ms = now_ms + question->again_ms;
}

static void asking_close(struct asking *asking)
{
    if (asking->is_by_socket)
        control_asking_end(&asking->socket);
    reach_https_end(asking->https);
    control_answer_fini(&asking->answer);
}

static void asking_end(struct asking *asking, uint64_t now_ms)
{
    struct reach_question *question = asking->question;

    question->is_answered = asking->answer.state == CONTROL_ANSWER_DONE;
    question->is_refused = asking->answer.state == CONTROL_ANSWER_REFUSED;
    *question->error = '\0';
    if (!question->is_answered)
        describe(question->node, asking->answer.error, question->error);
    asking_close(asking);
    tell_end(asking, now_ms);
}

static bool is_over(const struct asking *asking)
{
    switch (asking->answer.state) {
    case CONTROL_ANSWER_OPEN:
        return false;
    case CONTROL_ANSWER_BROKEN:
        return true;
    default:
        return reach_https_is_over(asking->https);
    }
}

/*
 * A question that changes nothing, and of whose answer nothing has come, is asked once more when a
 * process of the daemon took it with it: a reload makes new ones.
 */
static bool may_ask_again(const struct asking *asking)
{
    const char *command = json_text(asking->question->request, "command");

    return !asking->is_second && asking->answer.line_count == 0 &&
           control_answer_is_lost(&asking->answer) && command &&
           admin_role_for(command) == ADMIN_ROLE_READ;
}

static void asking_rest(struct asking *asking, uint64_t now_ms)
{
    asking_close(asking);
    asking->is_resting = asking->is_second = true;
    asking->deadline_ms = now_ms + AGAIN_MS;
}

/* Begins again after a rest. */
static void asking_restart(struct asking *asking)
{
    bool is_second = asking->is_second;

    asking_start(asking, asking->question);
    asking->is_second = is_second;
}

/* Ends it when it is over or late; begins again when it has rested. */
static void asking_look(struct asking *asking, uint64_t now_ms)
{
    if (asking->is_resting && now_ms < asking->deadline_ms)
        return;
    if (asking->is_resting)
        asking_restart(asking);
    if (asking->answer.line_count > asking->lines_seen)
        asking->deadline_ms = now_ms + timeout_of(asking->question);
    asking->lines_seen = asking->answer.line_count;
    if (!is_over(asking) && now_ms < asking->deadline_ms)
        return;
    control_answer_break(&asking->answer, "no answer in time");
    if (may_ask_again(asking))
        asking_rest(asking, now_ms);
    else
        asking_end(asking, now_ms);
}

/* --- all of them ----------------------------------------------------------------------------- */

static void look_at_all(struct asking_set *set)
{
    uint64_t now_ms = clock_monotonic_ms();

    for (size_t i = 0; i < set->count; i++)
        if (!set->items[i].is_ended) {
            asking_look(&set->items[i], now_ms);
            set->open -= set->items[i].is_ended;
        }
}

static unsigned time_left(const struct asking_set *set)
{
    uint64_t now_ms = clock_monotonic_ms(), first_ms = UINT64_MAX;

    for (size_t i = 0; i < set->count; i++)
        if (!set->items[i].is_ended && set->items[i].deadline_ms < first_ms)
            first_ms = set->items[i].deadline_ms;
    return first_ms > now_ms ? (unsigned)(first_ms - now_ms) : 0;
}

static bool waits_at_socket(const struct asking *asking)
{
    return !asking->is_ended && !asking->is_resting && asking->is_by_socket;
}

static void wait_for_any(struct asking_set *set, struct pollfd *descriptors)
{
    size_t count = 0;

    for (size_t i = 0; i < set->count; i++) {
        const struct asking *asking = &set->items[i];

        if (waits_at_socket(asking))
            descriptors[count++] =
                (struct pollfd){ .fd = asking->socket.fd,
                                 .events = control_asking_events(&asking->socket) };
    }
    reach_https_wait(set->https, descriptors, count, time_left(set));
    count = 0;
    for (size_t i = 0; i < set->count; i++)
        if (waits_at_socket(&set->items[i]) && descriptors[count++].revents != 0)
            control_asking_go_on(&set->items[i].socket);
}

void reach_ask_all(struct reach_question *questions, size_t count)
{
    struct asking_set set = { .count = count, .open = count };
    struct pollfd *descriptors;

    set.items = memory_new(count * sizeof(*set.items));
    descriptors = memory_new(count * sizeof(*descriptors));
    for (size_t i = 0; i < count; i++)
        asking_start(&set.items[i], &questions[i]);
    for (size_t i = 0; i < count && !set.https; i++)
        set.https = questions[i].node->https;
    look_at_all(&set);
    while (set.open > 0) {
        wait_for_any(&set, descriptors);
        look_at_all(&set);
    }
    free(descriptors);
    free(set.items);
}

/* --- one ---------------------------------------------------------------------------------------
 */

bool reach_ask(const struct reach_node *node, json_t *request, unsigned timeout_ms,
               void (*line)(json_t *object, void *context), void *context,
               char error[CONFIG_ERROR_SIZE])
{
    struct reach_question question = {
        .node = node, .request = request, .timeout_ms = timeout_ms, .line = line, .context = context
    };

    reach_ask_all(&question, 1);
    json_decref(request);
    if (!question.is_answered)
        memcpy(error, question.error, CONFIG_ERROR_SIZE);
    return question.is_answered;
}

static void collect(json_t *object, void *context)
{
    json_array_append(context, object);
}

json_t *reach_ask_lines(const struct reach_node *node, json_t *request, unsigned timeout_ms,
                        char error[CONFIG_ERROR_SIZE])
{
    json_t *lines = json_array();

    if (reach_ask(node, request, timeout_ms, collect, lines, error))
        return lines;
    json_decref(lines);
    return NULL;
}
