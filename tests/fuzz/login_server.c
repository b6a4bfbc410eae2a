/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/login_server.h"

#include "common/proto/login_head.h"
#include "tests/fuzz/fuzz.h"

enum {
    OPTION_TLS = 1,
    OPTION_SECURE = 2,
    OPTION_PLAINTEXT = 4,
    OPTION_TRUSTED = 8,
    OPTION_MECHANISMS = 16, /* all, else PLAIN */
    OPTION_ACTS = 32
};

enum { MACHINE_SIZE_MAX = 16384 };

/* One run of a machine over the input. */
struct run {
    const struct login_server_ops *ops;
    _Alignas(max_align_t) char machine[MACHINE_SIZE_MAX];
    struct buffer trace; /* all that it said and asked */
    unsigned logins;     /* credentials so far */
    size_t consumed;
    bool is_over;
};

static void check_credentials(const struct credentials *credentials)
{
    FUZZ_CHECK(memchr(credentials->authcid, '\0', sizeof(credentials->authcid)));
    if (credentials->kind == CREDENTIALS_PASSWORD)
        FUZZ_CHECK(memchr(credentials->password, '\0', sizeof(credentials->password)));
    else
        FUZZ_CHECK(memchr(credentials->token, '\0', sizeof(credentials->token)));
    if (credentials->kind == CREDENTIALS_EXTERNAL)
        FUZZ_CHECK(credentials_name_is_sendable(credentials->authcid));
    else
        FUZZ_CHECK(credentials_are_sendable(credentials, credentials->authcid));
}

static void check_forwarded(const struct forwarded *forwarded)
{
    FUZZ_CHECK(strspn(forwarded->address, "0123456789abcdefABCDEF.:") ==
               strlen(forwarded->address));
    for (const char *at = forwarded->session_id; *at; at++)
        FUZZ_CHECK(*at > ' ' && *at <= '~');
}

/* Answers in turn with each refusal, and in the end with success. */
static void answer_credentials(struct run *run, struct buffer *out)
{
    static const struct login_refusal refusals[] = {
        { LOGIN_REFUSED_CREDENTIALS, { NULL, 0 }, { NULL, 0 } },
        { LOGIN_REFUSED_TEMPORARY, { NULL, 0 }, { NULL, 0 } },
        { LOGIN_REFUSED_BY_BACKEND, { "[IN-USE] no", 11 }, { "AQ==", 4 } },
    };
    struct credentials *credentials = login_server_credentials((void *)run->machine);
    const struct forwarded *forwarded =
        &((const struct login_server *)(const void *)run->machine)->forwarded;

    check_credentials(credentials);
    check_forwarded(forwarded);
    buffer_append_format(&run->trace, "<%d|%s|%s|%s:%u:%s:%u>", (int)credentials->kind,
                         credentials->authcid, credentials->token, forwarded->address,
                         (unsigned)forwarded->port, forwarded->session_id, forwarded->ttl);
    credentials_wipe(credentials);
    if (run->logins < sizeof(refusals) / sizeof(refusals[0])) {
        run->ops->refuse(run->machine, &refusals[run->logins++], out);
        return;
    }
    run->ops->accept(run->machine, SPAN_LITERAL("welcome"), out);
    run->is_over = true;
}

static void take_out(struct run *run, struct buffer *out)
{
    FUZZ_CHECK(!out->overflowed);
    buffer_append(&run->trace, buffer_span(out));
    buffer_clear(out);
}

/* Calls the machine until it needs more than the input's first `fed` bytes. */
static void feed(struct run *run, struct span input, size_t fed, struct buffer *out)
{
    enum login_event event = LOGIN_FLUSH;

    while (!run->is_over && event != LOGIN_NEED_INPUT) {
        struct span in = span_of(input.data + run->consumed, fed - run->consumed);
        size_t before = in.length;

        event = run->ops->next(run->machine, &in, out);
        FUZZ_CHECK(in.length <= before);
        FUZZ_CHECK(event != LOGIN_FLUSH || out->length > 0);
        FUZZ_CHECK(event != LOGIN_NEED_INPUT || in.length < MACHINE_INPUT_MAX);
        run->consumed = fed - in.length;
        take_out(run, out);
        if (event != LOGIN_NEED_INPUT && event != LOGIN_FLUSH)
            buffer_append_format(&run->trace, "<%d at %zu>", (int)event, run->consumed);
        if (event == LOGIN_STARTTLS)
            run->ops->tls_started(run->machine);
        else if (event == LOGIN_CREDENTIALS)
            answer_credentials(run, out);
        else if (event == LOGIN_END)
            run->is_over = true;
        take_out(run, out);
    }
}

static struct sasl_options fuzz_sasl(unsigned bits)
{
    static char alice[] = "alice@example.org";
    static char *const masters[] = { alice };
    unsigned all = SASL_BIT(SASL_MECHANISMS) - 1;

    return (struct sasl_options){ .mechanisms =
                                      bits & OPTION_MECHANISMS ? all : SASL_BIT(SASL_PLAIN),
                                  .external_identity = "alice@example.org",
                                  .external_masters = masters,
                                  .external_master_count = bits & OPTION_ACTS ? 1 : 0 };
}

/* Runs with the input given in pieces that end at `cut`, `cut` + `step`, ... and its end. */
static struct span run_pieces(const struct login_server_ops *ops, unsigned bits, struct span input,
                              size_t cut, size_t step, char *trace)
{
    struct login_server_options options = { .hostname = "mx.example.org",
                                            .tls_available = bits & OPTION_TLS,
                                            .tls_active = bits & OPTION_SECURE,
                                            .plaintext_allowed = bits & OPTION_PLAINTEXT,
                                            .peer_is_trusted = bits & OPTION_TRUSTED,
                                            .sasl = fuzz_sasl(bits) };
    char out_memory[MACHINE_OUT_ROOM];
    struct buffer out = buffer_over(out_memory, sizeof(out_memory));
    struct run run = { .ops = ops, .trace = buffer_over(trace, FUZZ_TRACE_MAX) };

    FUZZ_CHECK(ops->size <= sizeof(run.machine));
    ops->init(run.machine, &options, &out);
    for (; cut < input.length; cut += step)
        feed(&run, input, cut, &out);
    feed(&run, input, input.length, &out);
    FUZZ_CHECK(!run.trace.overflowed);
    login_server_fini((void *)run.machine);
    return buffer_span(&run.trace);
}

void fuzz_login_server(const struct login_server_ops *ops, struct span input)
{
    static char whole_memory[FUZZ_TRACE_MAX], pieces_memory[FUZZ_TRACE_MAX];
    unsigned bits = fuzz_take_byte(&input);
    size_t position = fuzz_take_byte(&input) * 256 + fuzz_take_byte(&input);
    struct span whole, pieces;

    input = span_take(input, FUZZ_INPUT_MAX / 4);
    whole = run_pieces(ops, bits, input, input.length, 1, whole_memory);
    pieces = run_pieces(ops, bits, input, position, FUZZ_INPUT_MAX, pieces_memory);
    FUZZ_CHECK(span_equals(whole, pieces));
    if (input.length <= FUZZ_BYTEWISE_MAX) {
        pieces = run_pieces(ops, bits, input, 1, 1, pieces_memory);
        FUZZ_CHECK(span_equals(whole, pieces));
    }
}
