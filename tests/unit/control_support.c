/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/control_support.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "common/base/clock.h"
#include "common/service/control_ask.h"

/* False, and the answer is broken, when nothing can be done before `deadline_ms`. */
static bool wait_for(struct control_asking *asking, uint64_t deadline_ms)
{
    for (;;) {
        uint64_t now_ms = clock_monotonic_ms();
        struct pollfd descriptor = { .fd = asking->fd, .events = control_asking_events(asking) };
        int count = now_ms < deadline_ms ? poll(&descriptor, 1, (int)(deadline_ms - now_ms)) : 0;

        if (count > 0)
            return true;
        if (count == 0)
            control_answer_break(asking->answer, "no answer in time");
        else if (errno != EINTR)
            control_answer_break(asking->answer, strerror(errno));
        else
            continue;
        return false;
    }
}

bool control_ask(const char *path, json_t *request, unsigned timeout_ms,
                 void (*line)(json_t *object, void *context), void *context, char *error,
                 size_t error_size)
{
    uint64_t deadline_ms = clock_monotonic_ms() + timeout_ms;
    struct control_asking asking;
    struct control_answer answer;
    bool is_good;

    control_answer_init(&answer, line, context);
    control_asking_start(&asking, path, request, &answer);
    while (answer.state == CONTROL_ANSWER_OPEN && wait_for(&asking, deadline_ms)) {
        size_t before = answer.line_count;

        control_asking_go_on(&asking);
        if (answer.line_count > before)
            deadline_ms = clock_monotonic_ms() + timeout_ms;
    }
    is_good = answer.state == CONTROL_ANSWER_DONE;
    if (!is_good)
        snprintf(error, error_size, "%s", answer.error);
    control_asking_end(&asking);
    control_answer_fini(&answer);
    return is_good;
}
