/* SPDX-License-Identifier: Apache-2.0 */
/* The messages that both ends of hub.sock send once a leg exists. */
#include <assert.h>
#include <stdlib.h>

#include "common/service/control_hub.h"

enum { HEAD_SIZE = 32 }; /* type, leg and the spans' lengths */

void control_send(struct channel *channel, enum control_message type, uint32_t leg,
                  struct span first, struct span second)
{
    size_t size = HEAD_SIZE + first.length + second.length;
    char *memory = memory_new(size);
    struct buffer message = buffer_over(memory, size);

    wire_put_u8(&message, (uint8_t)type);
    wire_put_u32(&message, leg);
    if (type != CONTROL_CANCEL && type != CONTROL_WITHDRAW)
        wire_put_span(&message, first);
    if (type == CONTROL_RUN || type == CONTROL_ASK)
        wire_put_span(&message, second);
    assert(!message.overflowed);
    (void)channel_send(channel, buffer_span(&message), -1);
    free(memory);
}
