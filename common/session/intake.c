/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/intake.h"

#include "common/proto/machine.h"

void intake_init(struct intake *intake, bool is_secret)
{
    *intake = (struct intake){ .held = bytes_empty(MACHINE_INPUT_MAX + IO_SCRATCH_SIZE),
                               .is_secret = is_secret };
}

ssize_t intake_read(struct intake *intake, struct transport *transport)
{
    char *scratch = transport->loop->scratch;
    ssize_t count = transport_read(transport, scratch, IO_SCRATCH_SIZE);

    if (count <= 0)
        return count;
    intake->fresh = scratch;
    intake->fresh_length = (size_t)count;
    if (intake->held.length == 0) {
        intake->input = span_of(scratch, (size_t)count);
        return count;
    }
    if (!bytes_append(&intake->held, span_of(scratch, (size_t)count)))
        return TRANSPORT_ERROR;
    intake->input = bytes_span(&intake->held);
    return count;
}

void intake_settle(struct intake *intake)
{
    struct span left = intake->input;

    if (intake->held.length > 0 && left.length == 0) {
        if (intake->is_secret)
            bytes_wipe(&intake->held);
        else
            bytes_release(&intake->held);
    } else if (intake->held.length > 0) {
        bytes_consume(&intake->held, intake->held.length - left.length);
        if (intake->is_secret)
            explicit_bzero(intake->held.data + intake->held.length,
                           intake->held.capacity - intake->held.length);
    } else if (left.length > 0) {
        bool fits = bytes_append(&intake->held, left);

        (void)fits; /* one read is always within the limit */
    }
    if (intake->fresh && intake->is_secret)
        explicit_bzero(intake->fresh, intake->fresh_length);
    intake->fresh = NULL;
    intake->input = bytes_span(&intake->held);
}

void intake_fini(struct intake *intake)
{
    bytes_wipe(&intake->held);
    intake->input = SPAN_EMPTY;
}
