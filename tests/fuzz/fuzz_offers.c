/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that asks a backend what it offers, over whatever the backend says. */
#include "common/proto/offers.h"
#include "tests/fuzz/fuzz.h"

enum { OPTION_POP3 = 1, OPTION_STARTTLS = 2, OPTION_LMTP = 4 };

struct run {
    struct offers_client client;
    struct buffer out, trace;
    size_t consumed;
    bool is_over;
};

static void feed(struct run *run, struct span input, size_t fed)
{
    enum offers_event event = OFFERS_FLUSH;

    while (!run->is_over && event != OFFERS_NEED_INPUT) {
        struct span in = span_of(input.data + run->consumed, fed - run->consumed);

        event = offers_next(&run->client, &in, &run->out);
        FUZZ_CHECK(event != OFFERS_FLUSH || run->out.length > 0);
        FUZZ_CHECK(event != OFFERS_NEED_INPUT || in.length < MACHINE_INPUT_MAX);
        FUZZ_CHECK(!run->out.overflowed);
        run->consumed = fed - in.length;
        buffer_append(&run->trace, buffer_span(&run->out));
        buffer_clear(&run->out);
        if (event == OFFERS_STARTTLS)
            offers_tls_started(&run->client);
        run->is_over = event == OFFERS_DONE || event == OFFERS_FAILED;
        if (run->is_over)
            buffer_append_format(&run->trace, "<%d at %zu: %d %jx>", (int)event, run->consumed,
                                 run->client.is_greeted, (uintmax_t)run->client.offers);
    }
}

static struct span run_pieces(unsigned options, struct span input, size_t cut, size_t step,
                              char *trace)
{
    char out[MACHINE_OUT_ROOM];
    struct run run = { .out = buffer_over(out, sizeof(out)),
                       .trace = buffer_over(trace, FUZZ_TRACE_MAX) };

    offers_init(&run.client,
                options & OPTION_LMTP   ? &lmtp_offers_dialogue
                : options & OPTION_POP3 ? &pop3_offers_dialogue
                                        : &imap_offers_dialogue,
                options & OPTION_STARTTLS);
    for (; cut < input.length; cut += step)
        feed(&run, input, cut);
    feed(&run, input, input.length);
    FUZZ_CHECK(!run.trace.overflowed);
    return buffer_span(&run.trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_compare_cuts(bytes, size, run_pieces);
    return 0;
}
