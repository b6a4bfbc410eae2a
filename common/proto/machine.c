/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/machine.h"

bool machine_take_line(struct span *in, struct span *line)
{
    size_t end = span_find(*in, '\n');

    if (end == in->length)
        return false;
    *line = span_take(*in, end > 0 && in->data[end - 1] == '\r' ? end - 1 : end);
    *in = span_drop(*in, end + 1);
    return true;
}
