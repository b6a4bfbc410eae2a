/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/login_client.h"

#include "common/proto/login_head.h"
#include "tests/fuzz/fuzz.h"

enum {
    OPTION_STARTTLS = 1,
    OPTION_FORWARDED = 2,
    OPTION_SESSION = 4,
    OPTION_XOAUTH2 = 8,
    OPTION_OAUTHBEARER = 16,
    OPTION_PLAIN_OFFERED = 32
};

enum { MACHINE_SIZE_MAX = 8192, SAID_MAX = 1 << 15 };

/* What is the same in all runs over one input. */
struct subject {
    const struct login_client_ops *ops;
    struct login_client_options options;
    char name[2 * LOGIN_NAME_SIZE]; /* may be too long to be sent, unlike the password */
    struct credentials credentials;
    struct forwarded forwarded;
};

/* One run of a machine over the input. */
struct run {
    const struct subject *subject;
    _Alignas(max_align_t) char machine[MACHINE_SIZE_MAX];
    struct buffer said;  /* to the backend */
    struct buffer trace; /* the events */
    size_t said_before_tls;
    size_t consumed;
    bool is_over;
};

static void note_event(struct run *run, enum login_client_event event)
{
    const struct login_client_ops *ops = run->subject->ops;
    const struct login_client *client = (const void *)run->machine;

    buffer_append_format(&run->trace, "<%d at %zu>", (int)event, run->consumed);
    if (event == LOGIN_CLIENT_STARTTLS) {
        run->said_before_tls = run->said.length;
        ops->tls_started(run->machine);
        return;
    }
    run->is_over = true;
    FUZZ_CHECK(login_client_text(client).length < LOGIN_TEXT_SIZE);
    FUZZ_CHECK(!span_has_line_break_or_nul(login_client_text(client)));
    FUZZ_CHECK(login_client_challenge(client).length < SASL_CHALLENGE_SIZE);
    FUZZ_CHECK(!span_has_line_break_or_nul(login_client_challenge(client)));
    buffer_append(&run->trace, login_client_text(client));
    buffer_append(&run->trace, login_client_challenge(client));
    buffer_append_format(&run->trace, "<%d>",
                         event == LOGIN_CLIENT_REFUSED && client->denial == LOGIN_DENIED_FOR_NOW);
}

/* Calls the machine until it needs more than the input's first `fed` bytes. */
static void feed(struct run *run, struct span input, size_t fed, struct buffer *out)
{
    enum login_client_event event = LOGIN_CLIENT_FLUSH;

    while (!run->is_over && event != LOGIN_CLIENT_NEED_INPUT) {
        struct span in = span_of(input.data + run->consumed, fed - run->consumed);

        event = run->subject->ops->next(run->machine, &in, out);
        FUZZ_CHECK(event != LOGIN_CLIENT_NEED_INPUT || in.length < MACHINE_INPUT_MAX);
        FUZZ_CHECK(!out->overflowed);
        run->consumed = fed - in.length;
        buffer_append(&run->said, buffer_span(out));
        buffer_clear(out);
        if (event != LOGIN_CLIENT_NEED_INPUT && event != LOGIN_CLIENT_FLUSH)
            note_event(run, event);
    }
}

/* Runs with the input given in pieces that end at `cut`, `cut` + `step`, ... and its end. */
static void run_pieces(struct run *run, struct span input, size_t cut, size_t step)
{
    const struct login_client_ops *ops = run->subject->ops;
    char out_memory[MACHINE_OUT_ROOM];
    struct buffer out = buffer_over(out_memory, sizeof(out_memory));

    FUZZ_CHECK(ops->size <= sizeof(run->machine));
    ops->init(run->machine, &run->subject->options);
    for (; cut < input.length; cut += step)
        feed(run, input, cut, &out);
    feed(run, input, input.length, &out);
    FUZZ_CHECK(!run->said.overflowed && !run->trace.overflowed);
}

static void check_same(const struct run *whole, const struct subject *subject, struct span input,
                       size_t cut, size_t step)
{
    static char said[SAID_MAX], trace[FUZZ_TRACE_MAX];
    struct run pieces = { .subject = subject,
                          .said = buffer_over(said, sizeof(said)),
                          .trace = buffer_over(trace, sizeof(trace)) };

    run_pieces(&pieces, input, cut, step);
    FUZZ_CHECK(span_equals(buffer_span(&whole->said), buffer_span(&pieces.said)));
    FUZZ_CHECK(span_equals(buffer_span(&whole->trace), buffer_span(&pieces.trace)));
}

/* Reads the options and the credentials off the front of `*input`. */
static void read_subject(struct subject *subject, const struct login_client_ops *ops,
                         struct span *input, size_t *position)
{
    unsigned bits = fuzz_take_byte(input);
    struct span name, secret;

    *position = fuzz_take_byte(input) * 256 + fuzz_take_byte(input);
    name = span_take(span_split(input, '\0'), sizeof(subject->name) - 1);
    secret = span_take(span_split(input, '\0'), LOGIN_PASSWORD_SIZE - 1);
    *input = span_take(*input, FUZZ_INPUT_MAX);
    *subject =
        (struct subject){ .ops = ops,
                          .options = { .starttls = bits & OPTION_STARTTLS },
                          .forwarded = { .address = "2001:db8::1", .port = 4711, .ttl = 4 } };
    FUZZ_CHECK(span_copy_string(name, subject->name, sizeof(subject->name)));
    FUZZ_CHECK(span_copy_string(secret, subject->credentials.token, LOGIN_TOKEN_SIZE));
    if (bits & OPTION_XOAUTH2)
        subject->credentials.kind = CREDENTIALS_XOAUTH2;
    else if (bits & OPTION_OAUTHBEARER)
        subject->credentials.kind = CREDENTIALS_OAUTHBEARER;
    if (bits & OPTION_SESSION)
        strcpy(subject->forwarded.session_id, "8fk\"2\\");
    if (bits & OPTION_PLAIN_OFFERED)
        subject->options.offers = OFFERS_KNOWN | POP3_OFFERS_PLAIN | POP3_OFFERS_AUTH_RESP_CODE;
    subject->options.name = subject->name;
    subject->options.credentials = &subject->credentials;
    subject->options.forwarded = bits & OPTION_FORWARDED ? &subject->forwarded : NULL;
}

/* Looks at each line that was said. */
static void check_said(const struct run *run, const char *starttls,
                       fuzz_line_check *line_is_allowed)
{
    const struct subject *subject = run->subject;
    struct span said = buffer_span(&run->said), line;

    if (subject->options.starttls && run->said_before_tls == 0)
        FUZZ_CHECK(said.length == 0 || span_equals(said, span_from_string(starttls)));
    if (run->said_before_tls > 0) {
        FUZZ_CHECK(span_equals(span_take(said, run->said_before_tls), span_from_string(starttls)));
        said = span_drop(said, run->said_before_tls);
    }
    while (said.length > 0) {
        FUZZ_CHECK(login_take_line(&said, SAID_MAX, &line) == LOGIN_LINE_WHOLE);
        FUZZ_CHECK((subject->options.starttls && run->said_before_tls == 0) ||
                   line_is_allowed(line, subject->name, &subject->credentials));
    }
}

bool fuzz_is_mechanism(struct span name, const struct credentials *credentials)
{
    return span_equals(name,
                       span_from_string(sasl_mechanism_name(sasl_replay_mechanism(credentials))));
}

bool fuzz_is_response(struct span line, const char *name, const struct credentials *credentials)
{
    enum sasl_mechanism mechanism = sasl_replay_mechanism(credentials);
    const struct sasl_options options = { .mechanisms = SASL_BIT(mechanism) };
    struct sasl_exchange exchange;
    struct credentials said;

    if (mechanism != SASL_PLAIN && span_equals(line, SPAN_LITERAL(SASL_FAILURE_ANSWER)))
        return true;
    return sasl_start(&exchange, &options, span_from_string(sasl_mechanism_name(mechanism)), &line,
                      &said) == SASL_OK &&
           strcmp(said.authcid, name) == 0 && strcmp(said.token, credentials->token) == 0;
}

void fuzz_login_client(const struct login_client_ops *ops, const char *starttls,
                       fuzz_line_check *line_is_allowed, struct span input)
{
    static char said[SAID_MAX], trace[FUZZ_TRACE_MAX];
    struct subject subject;
    struct run whole = { .subject = &subject,
                         .said = buffer_over(said, sizeof(said)),
                         .trace = buffer_over(trace, sizeof(trace)) };
    size_t position;

    read_subject(&subject, ops, &input, &position);
    run_pieces(&whole, input, input.length, 1);
    check_said(&whole, starttls, line_is_allowed);
    check_same(&whole, &subject, input, position, FUZZ_INPUT_MAX);
    if (input.length <= FUZZ_BYTEWISE_MAX)
        check_same(&whole, &subject, input, 1, 1);
}
