/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `input` is a byte of options, two bytes of a position, and what the client sends.
 * Checks that the machine does the same whether it comes whole, cut at that position or
 * (when it is short) byte by byte; that only a whole and clean CRLF line is executed; and that
 * a message that ends well is what a plain reading of RFC 5321 section 4.5.2 gives, or has
 * whole lines when it comes in chunks.
 */
#include "common/proto/smtp_reply.h"
#include "common/proto/smtp_server.h"
#include "tests/fuzz/fuzz.h"

enum {
    OPTION_LMTP = 1,
    OPTION_TLS = 2,
    OPTION_SECURE = 4,
    OPTION_SMALL = 8,
    OPTION_FEW_RECIPIENTS = 16,
    OPTION_FEW_ERRORS = 32,
    OPTION_TRUSTED = 64,
    OPTION_EXTENDED = 128,
    OPTION_SUBMISSION = OPTION_TRUSTED | OPTION_FEW_RECIPIENTS /* both: users, without XCLIENT */
};

/* One run of the machine over the input. */
struct run {
    struct smtp_server server;
    struct smtp_server_auth auth;
    struct span input;
    struct buffer trace;   /* all that it said, asked and gave out */
    struct buffer content; /* of the message at hand */
    size_t consumed;
    size_t content_at; /* where in the input the message began */
    bool is_chunked;   /* it comes by BDAT */
    bool is_over;
};

/* True when every CR in `text` is followed by LF, and every LF preceded by CR. */
static bool has_whole_line_ends(struct span text)
{
    for (size_t i = 0; i < text.length; i++) {
        if (text.data[i] == '\r' && (i + 1 == text.length || text.data[i + 1] != '\n'))
            return false;
        if (text.data[i] == '\n' && (i == 0 || text.data[i - 1] != '\r'))
            return false;
    }
    return true;
}

/* The line just executed, which is whole, clean and not behind a bare LF. */
static struct span executed_line(const struct run *run)
{
    struct span before = span_take(run->input, run->consumed);
    struct span line;
    size_t lf;

    FUZZ_CHECK(before.length >= 2 && memcmp(before.data + before.length - 2, "\r\n", 2) == 0);
    before.length -= 2;
    lf = span_find_last(before, '\n');
    line = lf < before.length ? span_drop(before, lf + 1) : before;
    FUZZ_CHECK(lf == before.length || (lf > 0 && before.data[lf - 1] == '\r'));
    FUZZ_CHECK(!span_has_line_break_or_nul(line));
    return span_trim(line);
}

/* What stands in chunks is no line; an input that may have some is not read for lines here. */
static bool may_have_chunks(struct span input)
{
    for (; input.length > 0; input = span_drop(input, 1))
        if (span_starts_with_ignore_case(input, SPAN_LITERAL("BDAT")))
            return true;
    return false;
}

static void check_line(const struct run *run, const char *verb)
{
    if (may_have_chunks(run->input))
        return;
    FUZZ_CHECK(span_starts_with_ignore_case(executed_line(run), span_from_string(verb)));
}

static void check_lines(const struct run *run)
{
    struct span given = buffer_span(&run->content);

    FUZZ_CHECK(has_whole_line_ends(given));
    FUZZ_CHECK(run->server.content_bytes == given.length);
    FUZZ_CHECK(given.length <= run->server.options.size_max);
}

/* The next byte of what was given out. */
static void check_given(const struct run *run, size_t *at, char byte)
{
    FUZZ_CHECK(*at < run->content.length && run->content.data[(*at)++] == byte);
}

/* RFC 5321 section 4.5.2, byte by byte; what stands alone of a line's end is a whole one. */
static void check_content(const struct run *run)
{
    struct span wire = span_drop(span_take(run->input, run->consumed), run->content_at);
    bool at_line_start = true;
    size_t at = 0;

    FUZZ_CHECK(wire.length >= 3 && memcmp(wire.data + wire.length - 3, ".\r\n", 3) == 0);
    for (size_t i = 0; i < wire.length - 3; i++) {
        char byte = wire.data[i];
        bool is_end = byte == '\r' && wire.data[i + 1] == '\n';

        if (byte == '\r' || byte == '\n') {
            check_given(run, &at, '\r');
            check_given(run, &at, '\n');
            i += is_end;
        } else if (!at_line_start || byte != '.') {
            check_given(run, &at, byte);
        }
        at_line_start = is_end;
    }
    FUZZ_CHECK(at_line_start && at == run->content.length);
}

/* Nothing above ASCII without SMTPUTF8, and nothing that could end a parameter. */
static void check_words(const struct run *run, const char *path, const char *parameter)
{
    struct span address = span_from_string(path);

    FUZZ_CHECK(run->server.parameters.is_utf8 ? span_is_utf8(address) : span_is_ascii(address));
    for (; *parameter; parameter++)
        FUZZ_CHECK((unsigned char)*parameter > ' ' && *parameter != 0x7f);
}

/* The answer depends on the path, so that it is the same in each run. */
static struct mail_reply answer_to_path(const char *path)
{
    switch (path[0]) {
    case 'r':
        return mail_reply_of(550, "5.1.1", "No");
    case 't':
        return mail_reply_of(451, "4.3.0", "Later");
    case 'x':
        return mail_reply_of(421, "4.3.0", "Away");
    default:
        return mail_reply_of(250, "2.1.0", "Ok");
    }
}

static void take_out(struct run *run, struct buffer *out)
{
    FUZZ_CHECK(!out->overflowed);
    FUZZ_CHECK(has_whole_line_ends(buffer_span(out)));
    buffer_append(&run->trace, buffer_span(out));
    buffer_clear(out);
}

static void answer(struct run *run, struct mail_reply reply, struct buffer *out)
{
    smtp_server_reply(&run->server, &reply, out);
    take_out(run, out);
}

/* What a backend will be told is a name and a secret in one line each. */
static void answer_credentials(struct run *run, struct buffer *out)
{
    const struct credentials *credentials = &run->auth.credentials;
    bool is_refused = credentials->authcid[0] == 'r';
    const struct mail_reply reply = mail_reply_of(is_refused ? 535 : 235, NULL, "Judged");

    FUZZ_CHECK(!span_has_line_break_or_nul(span_from_string(credentials->authcid)));
    FUZZ_CHECK(!span_has_line_break_or_nul(credentials_secret(credentials)));
    buffer_append_string(&run->trace, credentials->authcid);
    smtp_server_judged(&run->server, &reply, out);
    take_out(run, out);
}

static void answer_data(struct run *run, struct buffer *out)
{
    FUZZ_CHECK(run->server.recipients_accepted > 0);
    check_line(run, "DATA");
    if (run->server.reverse_path[0] == 'd') {
        answer(run, mail_reply_of(451, "4.3.0", "Later"), out);
        return;
    }
    run->content_at = run->consumed;
    buffer_clear(&run->content);
    answer(run, mail_reply_of(354, NULL, "Go"), out);
    run->is_chunked = !run->server.content_is_scanned;
}

static void answer_content_end(struct run *run, struct buffer *out)
{
    unsigned count = run->server.options.flavor == MAIL_LMTP ? run->server.recipients_accepted : 1;

    FUZZ_CHECK(count > 0);
    check_lines(run);
    if (!run->is_chunked)
        check_content(run);
    while (count-- > 0)
        answer(run, mail_reply_of(250, "2.0.0", "Taken"), out);
}

static void act(struct run *run, enum smtp_server_event event, struct buffer *out)
{
    switch (event) {
    case SMTP_SERVER_STARTTLS:
        check_line(run, "STARTTLS");
        smtp_server_tls_started(&run->server);
        break;
    case SMTP_SERVER_CREDENTIALS:
        answer_credentials(run, out);
        break;
    case SMTP_SERVER_MAIL:
        FUZZ_CHECK(run->auth.sasl.mechanisms == 0 || run->server.is_authenticated);
        check_line(run, "MAIL ");
        check_words(run, run->server.reverse_path, run->server.parameters.envid);
        buffer_append_string(&run->trace, run->server.reverse_path);
        answer(run, answer_to_path(run->server.reverse_path), out);
        break;
    case SMTP_SERVER_RCPT:
        check_line(run, "RCPT ");
        check_words(run, run->server.recipient, run->server.recipient_parameters.orcpt);
        FUZZ_CHECK(run->server.recipients_accepted < run->server.options.recipients_max);
        buffer_append_string(&run->trace, run->server.recipient);
        answer(run, answer_to_path(run->server.recipient), out);
        break;
    case SMTP_SERVER_DATA:
        answer_data(run, out);
        break;
    case SMTP_SERVER_CONTENT:
        FUZZ_CHECK(run->server.content.length > 0);
        buffer_append(&run->content, run->server.content);
        buffer_append(&run->trace, run->server.content);
        break;
    case SMTP_SERVER_CONTENT_END:
        answer_content_end(run, out);
        break;
    case SMTP_SERVER_FORWARDED:
        check_line(run, "XCLIENT ");
        buffer_append_string(&run->trace, run->server.xclient.client.address);
        break;
    case SMTP_SERVER_RESET:
        check_line(run, "");
        break;
    default:
        break;
    }
}

/* Calls the machine until it needs more than the input's first `fed` bytes. */
static void feed(struct run *run, size_t fed, struct buffer *out)
{
    enum smtp_server_event event = SMTP_SERVER_FLUSH;

    while (!run->is_over && event != SMTP_SERVER_NEED_INPUT) {
        struct span in = span_drop(span_take(run->input, fed), run->consumed);
        size_t before = in.length;

        event = smtp_server_next(&run->server, &in, out);
        FUZZ_CHECK(in.length <= before);
        FUZZ_CHECK(event != SMTP_SERVER_FLUSH || out->length > 0);
        FUZZ_CHECK(event != SMTP_SERVER_NEED_INPUT || in.length < MACHINE_INPUT_MAX);
        run->consumed = fed - in.length;
        take_out(run, out);
        if (event != SMTP_SERVER_NEED_INPUT && event != SMTP_SERVER_FLUSH &&
            event != SMTP_SERVER_CONTENT && event != SMTP_SERVER_CONTENT_BROKEN)
            buffer_append_format(&run->trace, "<%d at %zu>", (int)event, run->consumed);
        else if (event == SMTP_SERVER_CONTENT_BROKEN)
            buffer_append_string(&run->trace, "<broken>");
        run->is_over = event == SMTP_SERVER_END;
        act(run, event, out);
    }
}

/* Runs with the input given in pieces that end at `cut`, `cut` + `step`, ... and its end. */
static struct span run_pieces(unsigned bits, struct span input, size_t cut, size_t step,
                              char *trace)
{
    static char content_memory[FUZZ_INPUT_MAX];
    char out_memory[MACHINE_OUT_ROOM];
    struct smtp_server_options options = {
        .flavor = bits & OPTION_LMTP ? MAIL_LMTP : MAIL_SMTP,
        .hostname = "mx.example.org",
        .size_max = bits & OPTION_SMALL ? 20 : FUZZ_INPUT_MAX,
        .recipients_max = bits & OPTION_FEW_RECIPIENTS ? 1 : 1000,
        .errors_max = bits & OPTION_FEW_ERRORS ? 2 : 1000,
        .tls_available = bits & OPTION_TLS,
        .tls_active = bits & OPTION_SECURE,
        .peer_is_trusted = bits & OPTION_TRUSTED,
        .offers_dsn = bits & OPTION_EXTENDED,
        .offers_utf8 = bits & OPTION_EXTENDED,
        .converts_line_ends = bits & OPTION_EXTENDED,
    };
    struct buffer out = buffer_over(out_memory, sizeof(out_memory));
    struct run run = { .input = input,
                       .trace = buffer_over(trace, FUZZ_TRACE_MAX),
                       .content = buffer_over(content_memory, sizeof(content_memory)) };

    if ((bits & OPTION_SUBMISSION) == OPTION_SUBMISSION && options.flavor == MAIL_SMTP) {
        run.auth.sasl.mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) |
                                   SASL_BIT(SASL_XOAUTH2) | SASL_BIT(SASL_OAUTHBEARER);
        options.auth = &run.auth;
        options.peer_is_trusted = false;
    }
    smtp_server_init(&run.server, &options, &out);
    take_out(&run, &out);
    for (; cut < input.length; cut += step)
        feed(&run, cut, &out);
    feed(&run, input.length, &out);
    FUZZ_CHECK(!run.trace.overflowed && !run.content.overflowed);
    return buffer_span(&run.trace);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_compare_cuts(bytes, size, run_pieces);
    return 0;
}
