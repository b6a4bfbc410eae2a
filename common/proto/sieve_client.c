/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ManageSieve client machine.  A backend tells its capabilities by itself, as a greeting and
 * again inside TLS; what stands behind the reply to the credentials is left in the input.
 * Literals are passed over: the words of a refusal that come as one are not known.
 *
 * It never sends a credential before TLS when TLS is asked for, and none that is empty or holds CR
 * or LF.  A reply that is none, or a refused greeting or STARTTLS, is FAILED.
 */
#include "common/proto/sieve_client.h"

#include <assert.h>

#include "common/base/memory.h"
#include "common/proto/imap_parse.h"

enum { SIEVE_LINE_MAX = 8192, SIEVE_QUOTED_MAX = 1024 /* RFC 5804 section 4 */ };

enum {
    SIEVE_GREETING, /* its capabilities come, outside TLS */
    SIEVE_STARTTLS, /* sent STARTTLS */
    SIEVE_TLS,      /* the session does the handshake */
    SIEVE_SECURED,  /* its capabilities come again */
    SIEVE_XCLIENT,  /* sent XCLIENT, and AUTHENTICATE behind it */
    SIEVE_LAST,     /* sent all of the credentials */
    SIEVE_DONE
};

static const struct state_row sieve_states[] = {
    [SIEVE_GREETING] = { "greeting", STATE_BIT(SIEVE_STARTTLS) | STATE_BIT(SIEVE_XCLIENT) |
                                         STATE_BIT(SIEVE_LAST) | STATE_BIT(SIEVE_DONE) },
    [SIEVE_STARTTLS] = { "starttls", STATE_BIT(SIEVE_TLS) | STATE_BIT(SIEVE_DONE) },
    [SIEVE_TLS] = { "tls", STATE_BIT(SIEVE_SECURED) },
    [SIEVE_SECURED] = { "secured",
                        STATE_BIT(SIEVE_XCLIENT) | STATE_BIT(SIEVE_LAST) | STATE_BIT(SIEVE_DONE) },
    [SIEVE_XCLIENT] = { "xclient", STATE_BIT(SIEVE_LAST) | STATE_BIT(SIEVE_DONE) },
    [SIEVE_LAST] = { "last", STATE_BIT(SIEVE_DONE) },
    [SIEVE_DONE] = { "done", 0 },
};

enum { REPLY_NONE, REPLY_OK, REPLY_NO, REPLY_BYE };

static enum login_client_event sieve_finish(struct sieve_client *client,
                                            enum login_client_event event, const char *text)
{
    if (text)
        login_copy_text(span_from_string(text), client->head.text);
    state_move(&client->head.state, SIEVE_DONE);
    return event;
}

/* --- what is sent ----------------------------------------------------------------- */

static void sieve_send_xclient(const struct forwarded *forwarded, struct buffer *out)
{
    buffer_append_format(out, "XCLIENT ADDR=%s", forwarded->address);
    if (forwarded->port != 0)
        buffer_append_format(out, " PORT=%u", (unsigned)forwarded->port);
    if (forwarded->session_id[0] != '\0')
        buffer_append_format(out, " SESSION=%s", forwarded->session_id);
    buffer_append_format(out, " TTL=%u\r\n", forwarded->ttl);
}

static void sieve_send_authenticate(const struct sieve_client *client, struct buffer *out)
{
    const struct login_client_options *options = &client->head.options;
    size_t length = sasl_response_length(options->credentials, options->name);

    buffer_append_format(out, "AUTHENTICATE \"%s\" ", sasl_mechanism_name(client->head.mechanism));
    if (length <= SIEVE_QUOTED_MAX)
        buffer_append_byte(out, '"');
    else
        buffer_append_format(out, "{%zu+}\r\n", length);
    sasl_append_response(options->credentials, options->name, out);
    buffer_append_string(out, length <= SIEVE_QUOTED_MAX ? "\"\r\n" : "\r\n");
}

/* Begins the login, once the connection is as safe as was asked. */
static enum login_client_event sieve_begin_login(struct sieve_client *client, struct buffer *out)
{
    const struct login_client_options *options = &client->head.options;
    bool forwards =
        client->takes_xclient && options->forwarded && options->forwarded->address[0] != '\0';

    if (!credentials_are_sendable(options->credentials, options->name))
        return sieve_finish(client, LOGIN_CLIENT_FAILED, "the credentials cannot be sent");
    if (forwards)
        sieve_send_xclient(options->forwarded, out);
    sieve_send_authenticate(client, out);
    state_move(&client->head.state, forwards ? SIEVE_XCLIENT : SIEVE_LAST);
    return LOGIN_CLIENT_NEED_INPUT;
}

/* --- what comes ----------------------------------------------------------------------- */

/* The status that a line begins with; `*rest` is what follows it. */
static unsigned sieve_read_status(struct span line, struct span *rest)
{
    static const struct {
        const char *word;
        unsigned status;
    } rows[] = { { "OK", REPLY_OK }, { "NO", REPLY_NO }, { "BYE", REPLY_BYE } };
    struct span word;

    *rest = line;
    word = span_split(rest, ' ');
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (span_equals_ignore_case(word, span_from_string(rows[i].word)))
            return rows[i].status;
    return REPLY_NONE;
}

static enum login_denial sieve_read_denial(struct span code)
{
    if (span_equals_ignore_case(code, SPAN_LITERAL(LOGIN_ELSEWHERE_SIEVE)))
        return LOGIN_DENIED_ELSEWHERE;
    return span_starts_with_ignore_case(code, SPAN_LITERAL("TRYLATER")) ? LOGIN_DENIED_FOR_NOW
                                                                        : LOGIN_DENIED;
}

/* Keeps "(CODE) "words"" as "[CODE] words", and sees what the code means. */
static void sieve_keep_text(struct sieve_client *client, struct span rest)
{
    struct buffer text = buffer_over(client->head.text, sizeof(client->head.text) - 1);
    char words[512];
    size_t end = span_find(rest, ')');

    memset(client->head.text, 0, sizeof(client->head.text));
    if (rest.length > 0 && rest.data[0] == '(' && end < rest.length && end < 128) {
        struct span code = span_of(rest.data + 1, end - 1);

        client->head.denial = sieve_read_denial(code);
        if (span_find(code, '"') == code.length && span_find(code, ']') == code.length) {
            buffer_append_byte(&text, '[');
            buffer_append(&text, code);
            buffer_append_string(&text, "] ");
        }
        rest = span_trim(span_drop(rest, end + 1));
    }
    if (rest.length > 0 && rest.data[0] == '"' && imap_take_string(&rest, words, sizeof(words)))
        buffer_append_string(&text, words);
}

static enum login_client_event sieve_take_capability(struct sieve_client *client, struct span line)
{
    if (line.length > 0 && line.data[0] != '"')
        return sieve_finish(client, LOGIN_CLIENT_FAILED, "not a ManageSieve reply");
    if (span_starts_with_ignore_case(line, SPAN_LITERAL("\"XCLIENT\"")))
        client->takes_xclient = true;
    return LOGIN_CLIENT_NEED_INPUT;
}

static enum login_client_event sieve_take_ok(struct sieve_client *client, struct buffer *out)
{
    switch (client->head.state.current) {
    case SIEVE_GREETING:
        if (!client->head.options.starttls)
            return sieve_begin_login(client, out);
        buffer_append_string(out, "STARTTLS\r\n");
        client->takes_xclient = false;
        state_move(&client->head.state, SIEVE_STARTTLS);
        return LOGIN_CLIENT_NEED_INPUT;
    case SIEVE_STARTTLS:
        state_move(&client->head.state, SIEVE_TLS);
        return LOGIN_CLIENT_STARTTLS;
    case SIEVE_SECURED:
        return sieve_begin_login(client, out);
    case SIEVE_XCLIENT:
        state_move(&client->head.state, SIEVE_LAST);
        return LOGIN_CLIENT_NEED_INPUT;
    default: /* LAST */
        return sieve_finish(
            client, client->head.has_challenge ? LOGIN_CLIENT_FAILED : LOGIN_CLIENT_ACCEPTED, NULL);
    }
}

/* The reply whose status is client->status is whole. */
static enum login_client_event sieve_take_reply(struct sieve_client *client, struct buffer *out)
{
    bool is_no = client->status == REPLY_NO;

    if (client->status == REPLY_OK)
        return sieve_take_ok(client, out);
    if (is_no && client->head.state.current == SIEVE_XCLIENT) {
        /* Then it does not learn whom we speak for; the login is another matter. */
        client->head.denial = LOGIN_DENIED;
        state_move(&client->head.state, SIEVE_LAST);
        return LOGIN_CLIENT_NEED_INPUT;
    }
    return sieve_finish(client,
                        is_no && client->head.state.current == SIEVE_LAST ? LOGIN_CLIENT_REFUSED
                                                                          : LOGIN_CLIENT_FAILED,
                        NULL);
}

/* A line that begins no reply: a capability, or how a token is refused. */
static enum login_client_event sieve_take_other(struct sieve_client *client, struct span line,
                                                struct buffer *out)
{
    bool is_string = line.length > 0 && (line.data[0] == '"' || line.data[0] == '{');
    char challenge[SASL_CHALLENGE_SIZE];

    if (client->head.state.current == SIEVE_GREETING || client->head.state.current == SIEVE_SECURED)
        return sieve_take_capability(client, line);
    if (!imap_take_string(&line, challenge, sizeof(challenge)))
        challenge[0] = '\0'; /* a literal is passed over */
    if (client->head.state.current != SIEVE_LAST || !is_string ||
        !login_client_keep_challenge(&client->head, span_from_string(challenge)))
        return sieve_finish(client, LOGIN_CLIENT_FAILED, "not a ManageSieve reply");
    buffer_append_string(out, "\"" SASL_FAILURE_ANSWER "\"\r\n");
    return LOGIN_CLIENT_NEED_INPUT;
}

static enum login_client_event sieve_take_line(struct sieve_client *client, struct span line,
                                               struct buffer *out)
{
    struct imap_literal literal;
    bool has_literal = imap_find_literal(line, &literal);
    bool is_rest = client->in_literal_line;
    struct span rest;

    if (has_literal && literal.size > SIEVE_LINE_MAX)
        return sieve_finish(client, LOGIN_CLIENT_FAILED, "a malformed reply");
    if (!is_rest) {
        client->status = sieve_read_status(line, &rest);
        if (client->status != REPLY_NONE)
            sieve_keep_text(client, rest);
    }
    client->in_literal_line = has_literal;
    client->literal_left = has_literal ? literal.size : 0;
    if (client->status != REPLY_NONE)
        return has_literal ? LOGIN_CLIENT_NEED_INPUT : sieve_take_reply(client, out);
    return is_rest ? LOGIN_CLIENT_NEED_INPUT : sieve_take_other(client, line, out);
}

/* Drops what has come of the literal that is passed over. */
static void sieve_drop_literal(struct sieve_client *client, struct span *in)
{
    size_t count = span_take(*in, client->literal_left).length;

    *in = span_drop(*in, count);
    client->literal_left -= count;
}

static void sieve_client_init(void *machine, const struct login_client_options *options)
{
    struct sieve_client *client = machine;

    *client = (struct sieve_client){ .head.options = *options };
    login_client_start(&client->head, sieve_states, SIEVE_GREETING);
}

static enum login_client_event sieve_client_next(void *machine, struct span *in, struct buffer *out)
{
    struct sieve_client *client = machine;
    enum login_client_event event = LOGIN_CLIENT_NEED_INPUT;

    assert(client->head.state.current != SIEVE_TLS && client->head.state.current != SIEVE_DONE);
    while (event == LOGIN_CLIENT_NEED_INPUT) {
        struct span line;

        if (buffer_room(out) < LOGIN_CLIENT_ROOM)
            return LOGIN_CLIENT_FLUSH;
        sieve_drop_literal(client, in);
        switch (login_take_line(in, SIEVE_LINE_MAX, &line)) {
        case LOGIN_LINE_NONE:
            return LOGIN_CLIENT_NEED_INPUT;
        case LOGIN_LINE_WHOLE:
            event = sieve_take_line(client, line, out);
            break;
        case LOGIN_LINE_BROKEN:
        case LOGIN_LINE_TOO_LONG:
            return sieve_finish(client, LOGIN_CLIENT_FAILED, "a malformed reply");
        }
    }
    return event;
}

static void sieve_client_tls_started(void *machine)
{
    struct sieve_client *client = machine;

    state_move(&client->head.state, SIEVE_SECURED);
}

const struct login_client_ops sieve_client_ops = {
    .protocol = "sieve",
    .size = sizeof(struct sieve_client),
    .init = sieve_client_init,
    .next = sieve_client_next,
    .tls_started = sieve_client_tls_started,
};
