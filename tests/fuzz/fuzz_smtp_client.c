/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `input` is a byte of options, two bytes of a position, and what the server sends.
 * A small session drives the machine through transactions, says whose each is, and gives content
 * in chunks, where that is an option and the server takes it.  Checks that all is the same whether
 * the input comes whole, cut at that position or (when it is short) byte by byte; and that each
 * command gets one reply, in order, as LMTP counts them.
 */
#include "common/proto/smtp_client.h"
#include "tests/fuzz/fuzz.h"

enum {
    OPTION_LMTP = 1,
    OPTION_STARTTLS = 2,
    OPTION_AUTH = 4,
    OPTION_FORWARD = 8,
    OPTION_CHUNK = 16,
    OPTION_AHEAD = 32 /* the envelope is said together with whose it is */
};

enum { RECIPIENTS = 3, TRANSACTIONS_MAX = 5 };

/* One run of the machine over the input. */
struct run {
    struct smtp_client client;
    struct buffer trace; /* all that it said and told */
    size_t consumed;
    enum smtp_client_command expected; /* what the next reply must answer */
    unsigned expected_index;
    unsigned recipients_sent, recipients_accepted, transactions;
    bool forwards, is_forwarded;                /* an option; the next transaction's */
    bool goes_ahead, is_ahead;                  /* an option; READY has not come yet */
    bool may_chunk, is_chunk, is_chunk_refused; /* an option; the transaction's */
    bool is_over;
};

static void expect(struct run *run, enum smtp_client_command command)
{
    run->expected = command;
    run->expected_index = 0;
}

/* Sends as many recipients as may be under way. */
static void send_recipients(struct run *run, struct buffer *out)
{
    while (run->recipients_sent < RECIPIENTS) {
        FUZZ_CHECK(smtp_client_rcpt(&run->client, "joe@example.org", NULL, out));
        run->recipients_sent++;
        if (!run->client.offers_pipelining)
            break;
    }
}

/* False: it need not or cannot be said whose the next transaction is. */
static bool forward(struct run *run, struct buffer *out)
{
    static const struct forwarded forwarded = {
        .address = "192.0.2.1", .port = 1025, .session_id = "ab+c", .ttl = 5
    };

    if (!run->forwards || run->is_forwarded || !run->client.offers_xclient ||
        !run->client.offers_pipelining)
        return false;
    run->is_forwarded = true;
    smtp_client_forward(&run->client, &forwarded, out);
    return true;
}

static void begin(struct run *run, struct buffer *out)
{
    struct mail_parameters parameters = { .size = 100, .body_8bit = true };

    if (forward(run, out)) {
        run->is_ahead = run->goes_ahead;
        if (!run->is_ahead)
            return;
    }
    run->is_forwarded = false;
    if (run->transactions++ == TRANSACTIONS_MAX) {
        smtp_client_quit(&run->client, out);
        run->is_over = true;
        return;
    }
    run->recipients_sent = run->recipients_accepted = 0;
    run->is_chunk = run->is_chunk_refused = false;
    FUZZ_CHECK(!smtp_client_mail(&run->client, "a>\r\nb", &parameters, out));
    FUZZ_CHECK(smtp_client_mail(&run->client, "", &parameters, out));
    expect(run, SMTP_CLIENT_MAIL);
    if (run->client.offers_pipelining)
        send_recipients(run, out);
}

static void send_content(struct run *run, struct buffer *out)
{
    run->is_chunk = run->may_chunk && run->client.offers_chunking;
    if (run->is_chunk) {
        smtp_client_chunk(&run->client, 3, run->recipients_accepted, out);
        buffer_append_string(out, ".\r\n");
        expect(run, SMTP_CLIENT_FINAL);
    } else {
        smtp_client_data(&run->client, out);
        expect(run, SMTP_CLIENT_DATA);
    }
}

static void reset(struct run *run, struct buffer *out)
{
    FUZZ_CHECK(smtp_client_may_reset(&run->client));
    smtp_client_reset(&run->client, out);
    expect(run, SMTP_CLIENT_RSET);
}

static void after_recipient(struct run *run, struct buffer *out)
{
    run->recipients_accepted += mail_reply_is_positive(&run->client.reply);
    if (++run->expected_index < RECIPIENTS) {
        send_recipients(run, out);
    } else if (run->recipients_accepted > 0) {
        send_content(run, out);
    } else {
        reset(run, out);
    }
}

static void after_data(struct run *run, struct buffer *out)
{
    if (run->client.reply.code != 354) {
        reset(run, out);
        return;
    }
    buffer_append_string(out, ".\r\n");
    smtp_client_content_end(&run->client, run->recipients_accepted);
    expect(run, SMTP_CLIENT_FINAL);
}

static void after_final(struct run *run, struct buffer *out)
{
    bool is_lmtp = run->client.options.flavor == MAIL_LMTP;

    run->is_chunk_refused |= run->is_chunk && !mail_reply_is_positive(&run->client.reply);
    if (++run->expected_index < (is_lmtp ? run->recipients_accepted : 1))
        return;
    if (run->is_chunk_refused)
        reset(run, out);
    else
        begin(run, out);
}

static void after_reply(struct run *run, struct buffer *out)
{
    FUZZ_CHECK(run->client.replied == run->expected);
    FUZZ_CHECK(run->client.index == run->expected_index);
    switch (run->client.replied) {
    case SMTP_CLIENT_MAIL:
        expect(run, SMTP_CLIENT_RCPT);
        send_recipients(run, out);
        break;
    case SMTP_CLIENT_RCPT:
        after_recipient(run, out);
        break;
    case SMTP_CLIENT_DATA:
        after_data(run, out);
        break;
    case SMTP_CLIENT_FINAL:
        after_final(run, out);
        break;
    case SMTP_CLIENT_RSET:
        begin(run, out);
        break;
    }
}

static void check_reply(const struct mail_reply *reply)
{
    FUZZ_CHECK(memchr(reply->text, '\0', sizeof(reply->text)));
    FUZZ_CHECK(memchr(reply->enhanced, '\0', sizeof(reply->enhanced)));
    FUZZ_CHECK(reply->code == 0 || (reply->code >= 200 && reply->code < 600));
    for (const char *at = reply->text; *at; at++)
        FUZZ_CHECK(*at >= ' ' && *at <= '~');
}

static void act(struct run *run, enum smtp_client_event event, struct buffer *out)
{
    switch (event) {
    case SMTP_CLIENT_STARTTLS:
        smtp_client_tls_started(&run->client);
        break;
    case SMTP_CLIENT_READY:
        FUZZ_CHECK(run->client.tls_active || !run->client.options.starttls);
        if (run->is_ahead)
            run->is_ahead = false;
        else
            begin(run, out);
        break;
    case SMTP_CLIENT_REPLY:
        after_reply(run, out);
        break;
    case SMTP_CLIENT_REFUSED:
        FUZZ_CHECK(run->client.reply.code >= 400);
        run->is_over = true;
        break;
    case SMTP_CLIENT_FAILED:
        FUZZ_CHECK(run->client.reply.code == 0 || run->client.reply.code == 421);
        FUZZ_CHECK(!run->client.offers_less || run->is_ahead);
        run->is_over = true;
        break;
    default:
        break;
    }
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
    enum smtp_client_event event = SMTP_CLIENT_FLUSH;

    while (!run->is_over && event != SMTP_CLIENT_NEED_INPUT) {
        struct span in = span_drop(span_take(input, fed), run->consumed);
        size_t before = in.length;

        event = smtp_client_next(&run->client, &in, out);
        FUZZ_CHECK(in.length <= before);
        FUZZ_CHECK(event != SMTP_CLIENT_NEED_INPUT || in.length < MACHINE_INPUT_MAX);
        run->consumed = fed - in.length;
        take_out(run, out);
        check_reply(&run->client.reply);
        if (event != SMTP_CLIENT_NEED_INPUT && event != SMTP_CLIENT_FLUSH)
            buffer_append_format(&run->trace, "<%d at %zu: %d %s>", (int)event, run->consumed,
                                 run->client.reply.code, run->client.reply.text);
        act(run, event, out);
        take_out(run, out);
    }
}

/* Runs with the input given in pieces that end at `cut`, `cut` + `step`, ... and its end. */
static struct span run_pieces(unsigned bits, struct span input, size_t cut, size_t step,
                              char *trace)
{
    char out_memory[MACHINE_OUT_ROOM];
    struct smtp_client_options options = { .flavor = bits & OPTION_LMTP ? MAIL_LMTP : MAIL_SMTP,
                                           .hostname = "fe1.example.org",
                                           .starttls = bits & OPTION_STARTTLS,
                                           .user = bits & OPTION_AUTH ? "relay" : NULL,
                                           .password = "secret" };
    struct buffer out = buffer_over(out_memory, sizeof(out_memory));
    struct run run = { .trace = buffer_over(trace, FUZZ_TRACE_MAX),
                       .forwards = bits & OPTION_FORWARD,
                       .goes_ahead = bits & OPTION_AHEAD,
                       .may_chunk = bits & OPTION_CHUNK };

    smtp_client_init(&run.client, &options);
    for (; cut < input.length; cut += step)
        feed(&run, input, cut, &out);
    feed(&run, input, input.length, &out);
    FUZZ_CHECK(!run.trace.overflowed);
    return buffer_span(&run.trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_compare_cuts(bytes, size, run_pieces);
    return 0;
}
