/* SPDX-License-Identifier: Apache-2.0 */
/* The doveadm client, over whatever Dovecot says; it runs the same command again and again. */
#include "common/proto/doveadm_client.h"
#include "tests/fuzz/fuzz.h"

struct run {
    struct doveadm_client client;
    struct doveadm_command command;
    struct buffer out, trace;
    size_t consumed;
    bool is_over;
};

static void note(struct run *run, enum doveadm_event event)
{
    if (event == DOVEADM_OUTPUT)
        buffer_append(&run->trace, run->client.output);
    else
        buffer_append_format(&run->trace, "<%d at %zu: %s>", (int)event, run->consumed,
                             event == DOVEADM_FAILED ? run->client.why : run->client.code);
}

static void feed(struct run *run, struct span input, size_t fed)
{
    enum doveadm_event event = DOVEADM_FLUSH;

    while (!run->is_over && event != DOVEADM_NEED_INPUT) {
        struct span in = span_of(input.data + run->consumed, fed - run->consumed);

        event = doveadm_client_next(&run->client, &in, &run->out);
        FUZZ_CHECK(event != DOVEADM_FLUSH || run->out.length > 0);
        FUZZ_CHECK(event != DOVEADM_NEED_INPUT || in.length < MACHINE_INPUT_MAX);
        FUZZ_CHECK(!run->out.overflowed);
        run->consumed = fed - in.length;
        buffer_append(&run->trace, buffer_span(&run->out));
        buffer_clear(&run->out);
        if (event == DOVEADM_FLUSH || event == DOVEADM_NEED_INPUT)
            continue;
        note(run, event);
        if (event == DOVEADM_READY || event == DOVEADM_RESULT)
            FUZZ_CHECK(doveadm_client_run(&run->client, &run->command));
        run->is_over = event == DOVEADM_FAILED;
    }
}

static struct span run_pieces(unsigned options, struct span input, size_t cut, size_t step,
                              char *trace)
{
    static char word[200];
    char out[MACHINE_OUT_ROOM];
    struct run run = { .out = buffer_over(out, sizeof(out)),
                       .trace = buffer_over(trace, FUZZ_TRACE_MAX) };

    memset(word, 'w', sizeof(word));
    run.command =
        (struct doveadm_command){ .words = { SPAN_EMPTY, SPAN_LITERAL("u"), SPAN_LITERAL("sync"),
                                             span_of(word, options % sizeof(word)) },
                                  .count = 4 };
    doveadm_client_init(&run.client, "secret");
    for (; cut < input.length; cut += step)
        feed(&run, input, cut);
    feed(&run, input, input.length);
    run.trace.overflowed = false; /* many results: what fits is compared */
    doveadm_client_fini(&run.client);
    return buffer_span(&run.trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_compare_cuts(bytes, size, run_pieces);
    return 0;
}
