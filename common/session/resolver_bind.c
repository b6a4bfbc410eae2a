/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A password is in the message that carries it and nowhere else: that is wiped once it is sent, and
 * not sent at all while others wait, which would keep a copy of it.
 */
#include "common/session/resolver_bind.h"

#include <assert.h>

#include "common/proto/login.h"

enum { BIND_MESSAGE_SIZE = ROUTE_ADDRESS_SIZE + LOGIN_PASSWORD_SIZE + 32 };

static void resolver_finish_bind(struct resolver_bind *bind, enum directory_bind_answer answer)
{
    list_remove(&bind->node);
    bind->answer = answer;
    bind->done(bind);
}

void resolver_bound(struct resolver *resolver, struct wire_reader *reader)
{
    uint32_t number = wire_get_u32(reader);
    uint8_t answer = wire_get_u8(reader);

    if (!wire_reader_is_complete(reader) || answer > DIRECTORY_BIND_UNSURE)
        return;
    LIST_EACH (node, &resolver->binding) {
        struct resolver_bind *bind = LIST_ELEMENT(node, struct resolver_bind, node);

        if (bind->number == number) {
            resolver_finish_bind(bind, (enum directory_bind_answer)answer);
            return;
        }
    }
}

void resolver_fail_binding(struct resolver *resolver, uint64_t asked_before_ms)
{
    /* `done` may ask again, which appends behind what is walked here. */
    LIST_EACH (node, &resolver->binding) {
        struct resolver_bind *bind = LIST_ELEMENT(node, struct resolver_bind, node);

        if (bind->asked_ms > asked_before_ms)
            break;
        resolver_finish_bind(bind, DIRECTORY_BIND_UNSURE);
    }
}

static bool resolver_send_bind(struct resolver *resolver, uint32_t number, const char *account,
                               const char *password)
{
    char memory[BIND_MESSAGE_SIZE];
    struct buffer message = buffer_over(memory, sizeof(memory));
    bool is_sent;

    wire_put_u8(&message, DIRECTORY_BIND);
    wire_put_u32(&message, number);
    wire_put_span(&message, span_from_string(account));
    wire_put_span(&message, span_from_string(password));
    is_sent = !message.overflowed && channel_waiting(&resolver->channel) == 0 &&
              channel_send(&resolver->channel, buffer_span(&message), -1);
    explicit_bzero(memory, sizeof(memory));
    return is_sent;
}

bool resolver_bind(struct resolver *resolver, struct resolver_bind *bind, const char *account,
                   const char *password)
{
    assert(list_is_empty(&bind->node) && *password);
    bind->number = ++resolver->last_number;
    if (!resolver->is_connected || !resolver_send_bind(resolver, bind->number, account, password))
        return false;
    bind->asked_ms = io_loop_now_ms(resolver->loop);
    list_append(&resolver->binding, &bind->node);
    return true;
}

void resolver_cancel_bind(struct resolver_bind *bind)
{
    list_remove(&bind->node);
}

void resolver_bind_init(struct resolver_bind *bind, void (*done)(struct resolver_bind *bind))
{
    list_init(&bind->node);
    bind->done = done;
}
