/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/smtp_chunk.h"

size_t smtp_chunk_whole_lines(struct span content)
{
    const char *at = content.data, *end = content.data + content.length;

    while (at < end) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = lf ? lf : end;
        const char *cr = memchr(at, '\r', (size_t)(line_end - at));

        if (!lf || cr != lf - 1)
            return (size_t)((cr ? cr : line_end) - content.data);
        at = lf + 1;
    }
    return content.length;
}
