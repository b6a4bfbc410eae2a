/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `input` is two bytes of a position and content.  Checks that stuffing gives the same for any
 * cut; that reading gives the content back, or says that it is broken when and only
 * when it has a bare CR or LF; and that fields are counted the same for any cut.
 */
#include "common/proto/dot_stuffing.h"
#include "common/proto/smtp_content.h"
#include "common/proto/trace.h"
#include "tests/fuzz/fuzz.h"

enum { WIRE_MAX = 2 * FUZZ_INPUT_MAX + 8 };

static void stuff_part(struct dot_stuffer *stuffer, struct span content, struct buffer *wire)
{
    while (content.length > 0) {
        struct span piece = dot_stuffer_next(stuffer, &content);

        FUZZ_CHECK(piece.length > 0);
        buffer_append(wire, piece);
    }
}

static struct span stuff(struct span content, size_t step, char *memory)
{
    struct buffer wire = buffer_over(memory, WIRE_MAX);
    struct dot_stuffer stuffer;

    dot_stuffer_init(&stuffer);
    for (; content.length > 0; content = span_drop(content, step))
        stuff_part(&stuffer, span_take(content, step), &wire);
    buffer_append(&wire, dot_stuffer_end(&stuffer));
    FUZZ_CHECK(!wire.overflowed);
    return buffer_span(&wire);
}

static bool has_bare_cr_or_lf(struct span text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '\r' && (i + 1 == text.length || text.data[i + 1] != '\n'))
            return true;
        if (text.data[i] == '\n' && (i == 0 || text.data[i - 1] != '\r'))
            return true;
    }
    return false;
}

/* Reads all of `wire` in steps; what it gave is in `given`, how much it took in `taken`. */
static enum smtp_content_progress read_wire(struct span wire, size_t step, struct buffer *given,
                                            size_t *taken)
{
    enum smtp_content_progress progress = SMTP_CONTENT_NEED_INPUT;
    struct smtp_content reader;
    size_t fed = 0;

    smtp_content_begin(&reader, false);
    *taken = 0;
    while (progress == SMTP_CONTENT_NEED_INPUT && fed < wire.length) {
        struct span in, piece;

        fed = wire.length - fed < step ? wire.length : fed + step;
        in = span_drop(span_take(wire, fed), *taken);
        while ((progress = smtp_content_next(&reader, &in, &piece)) == SMTP_CONTENT_PIECE)
            buffer_append(given, piece);
        FUZZ_CHECK(progress != SMTP_CONTENT_NEED_INPUT || in.length <= 2);
        *taken = fed - in.length;
    }
    FUZZ_CHECK(!given->overflowed);
    return progress;
}

static void check_round_trip(struct span content, struct span wire, size_t step)
{
    static char memory[WIRE_MAX];
    struct buffer given = buffer_over(memory, sizeof(memory));
    size_t taken;

    if (has_bare_cr_or_lf(content)) {
        FUZZ_CHECK(read_wire(wire, step, &given, &taken) == SMTP_CONTENT_BROKEN);
        return;
    }
    FUZZ_CHECK(read_wire(wire, step, &given, &taken) == SMTP_CONTENT_END);
    FUZZ_CHECK(taken == wire.length);
    if (given.length == content.length + 2) /* it got the end that its last line lacked */
        given.length -= 2;
    FUZZ_CHECK(span_equals(buffer_span(&given), content));
}

/* Anything at all as a wire: whatever the steps, the same comes out. */
static void check_reading(struct span wire, size_t step)
{
    static char whole_memory[WIRE_MAX], pieces_memory[WIRE_MAX];
    struct buffer whole = buffer_over(whole_memory, sizeof(whole_memory));
    struct buffer pieces = buffer_over(pieces_memory, sizeof(pieces_memory));
    size_t whole_taken, pieces_taken;
    enum smtp_content_progress progress = read_wire(wire, WIRE_MAX, &whole, &whole_taken);

    FUZZ_CHECK(read_wire(wire, step, &pieces, &pieces_taken) == progress);
    FUZZ_CHECK(whole_taken == pieces_taken);
    FUZZ_CHECK(span_equals(buffer_span(&whole), buffer_span(&pieces)));
    FUZZ_CHECK(!has_bare_cr_or_lf(buffer_span(&whole)));
}

static unsigned count_fields(struct span content, size_t step)
{
    struct header_scan scan;

    header_scan_init(&scan);
    for (; content.length > 0; content = span_drop(content, step))
        header_scan_feed(&scan, span_take(content, step));
    return scan.received_count;
}

static void check_step(struct span content, struct span wire, size_t step)
{
    static char memory[WIRE_MAX];

    FUZZ_CHECK(span_equals(stuff(content, step, memory), wire));
    check_round_trip(content, wire, step);
    check_reading(content, step);
    FUZZ_CHECK(count_fields(content, step) == count_fields(content, FUZZ_INPUT_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static char memory[WIRE_MAX];
    struct span content = span_of((const char *)bytes, size);
    size_t position = fuzz_take_byte(&content) * 256 + fuzz_take_byte(&content);
    struct span wire;

    content = span_take(content, FUZZ_INPUT_MAX);
    wire = stuff(content, FUZZ_INPUT_MAX, memory);
    check_step(content, wire, FUZZ_INPUT_MAX);
    check_step(content, wire, position > 0 ? position : 1);
    if (content.length <= FUZZ_BYTEWISE_MAX)
        check_step(content, wire, 1);
    return 0;
}
