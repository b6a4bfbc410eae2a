/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IMAP client machine.  Untagged data is passed over, literals included,
 * without being held; what stands behind the answer to the credentials is left in the
 * input.
 *
 * It never sends a credential before TLS when TLS is asked for, never one that is
 * empty or holds CR or LF, and trusts no capability that was announced outside TLS.
 * An answer that is none, BYE, or a refused greeting or STARTTLS is FAILED; a
 * refusal of the credentials is REFUSED.
 */
#include "common/proto/imap_client.h"

#include <assert.h>
#include <stdio.h>

#include "common/base/memory.h"
#include "common/proto/imap_id.h"
#include "common/proto/imap_parse.h"

enum { IMAP_LINE_MAX = 8192, IMAP_LITERAL_MAX = 1 << 20 };

enum {
    IMAP_GREETING,
    IMAP_STARTTLS, /* sent STARTTLS */
    IMAP_TLS,      /* the session does the handshake */
    IMAP_SECURED,  /* it is done */
    IMAP_ID,       /* sent ID, and the login behind it */
    IMAP_AUTH,     /* sent AUTHENTICATE without its response */
    IMAP_LAST,     /* sent all of the credentials */
    IMAP_DONE
};

static const struct state_row imap_states[] = {
    [IMAP_GREETING] = { "greeting", STATE_BIT(IMAP_STARTTLS) | STATE_BIT(IMAP_ID) |
                                        STATE_BIT(IMAP_AUTH) | STATE_BIT(IMAP_LAST) |
                                        STATE_BIT(IMAP_DONE) },
    [IMAP_STARTTLS] = { "starttls", STATE_BIT(IMAP_TLS) | STATE_BIT(IMAP_DONE) },
    [IMAP_TLS] = { "tls", STATE_BIT(IMAP_SECURED) },
    [IMAP_SECURED] = { "secured", STATE_BIT(IMAP_ID) | STATE_BIT(IMAP_AUTH) | STATE_BIT(IMAP_LAST) |
                                      STATE_BIT(IMAP_DONE) },
    [IMAP_ID] = { "id", STATE_BIT(IMAP_AUTH) | STATE_BIT(IMAP_LAST) | STATE_BIT(IMAP_DONE) },
    [IMAP_AUTH] = { "auth", STATE_BIT(IMAP_LAST) | STATE_BIT(IMAP_DONE) },
    [IMAP_LAST] = { "last", STATE_BIT(IMAP_DONE) },
    [IMAP_DONE] = { "done", 0 },
};

/* The tags of our three commands; only one of a kind is ever sent. */
#define TAG_STARTTLS "s"
#define TAG_ID "i"
#define TAG_LOGIN "a"

/* Ends with `event`, keeping `text` as far as it fits. */
static enum login_client_event imap_finish(struct imap_client *client,
                                           enum login_client_event event, struct span text)
{
    login_copy_text(text, client->head.text);
    state_move(&client->head.state, IMAP_DONE);
    return event;
}

/*
 * The words of the success.  Capabilities that came in a line of their own are
 * folded in, so that the client learns them as it would from the backend; a code
 * that would have to be cut is left out, and the client will ask.
 */
static enum login_client_event imap_accepted(struct imap_client *client, struct span text)
{
    struct span code = span_from_string(client->head.text);
    size_t end = span_find(text, ']');

    if (text.length >= sizeof(client->head.text) && end < text.length)
        text = span_trim(span_drop(text, end + 1));
    if (code.length > 0 && (text.length == 0 || text.data[0] != '[')) {
        struct buffer folded = { client->head.text, code.length, sizeof(client->head.text) - 1,
                                 false };

        buffer_append_byte(&folded, ' ');
        if (buffer_append(&folded, text)) {
            client->head.text[folded.length] = '\0';
            state_move(&client->head.state, IMAP_DONE);
            return LOGIN_CLIENT_ACCEPTED;
        }
    }
    return imap_finish(client, LOGIN_CLIENT_ACCEPTED, text);
}

static enum login_client_event imap_refused(struct imap_client *client, struct span text)
{
    /* RFC 5530. */
    static const char *const codes[] = { "[UNAVAILABLE]", "[INUSE]", "[LIMIT]", "[SERVERBUG]" };

    for (size_t i = 0; i < ARRAY_LENGTH(codes); i++)
        if (span_starts_with_ignore_case(text, span_from_string(codes[i])))
            client->head.denial = LOGIN_DENIED_FOR_NOW;
    if (span_starts_with_ignore_case(text, SPAN_LITERAL(LOGIN_ELSEWHERE_IMAP)))
        client->head.denial = LOGIN_DENIED_ELSEWHERE;
    return imap_finish(client, LOGIN_CLIENT_REFUSED, text);
}

static void imap_send_id(const struct forwarded *forwarded, struct buffer *out)
{
    buffer_append_string(out, TAG_ID " ID ");
    imap_id_append(out, forwarded);
    buffer_append_string(out, "\r\n");
}

static void imap_send_response(const struct login_client_options *options, struct buffer *out)
{
    sasl_append_response(options->credentials, options->name, out);
    buffer_append_string(out, "\r\n");
}

/* Sends LOGIN or AUTHENTICATE; the state in which its answer is awaited. */
static unsigned imap_send_login(const struct imap_client *client, struct buffer *out)
{
    const struct login_client_options *options = &client->head.options;
    const char *password = options->credentials->password;
    const char *mechanism = sasl_mechanism_name(client->head.mechanism);

    if (client->has_sasl_ir && client->has_mechanism) {
        buffer_append_format(out, TAG_LOGIN " AUTHENTICATE %s ", mechanism);
        imap_send_response(options, out);
        return IMAP_LAST;
    }
    if (client->head.mechanism == SASL_PLAIN && imap_is_quotable(options->name) &&
        imap_is_quotable(password)) {
        buffer_append_string(out, TAG_LOGIN " LOGIN ");
        imap_append_quoted(out, options->name);
        buffer_append_byte(out, ' ');
        imap_append_quoted(out, password);
        buffer_append_string(out, "\r\n");
        return IMAP_LAST;
    }
    buffer_append_format(out, TAG_LOGIN " AUTHENTICATE %s\r\n", mechanism);
    return IMAP_AUTH;
}

/* Begins the login, once the connection is as safe as was asked. */
static enum login_client_event imap_begin_login(struct imap_client *client, struct buffer *out)
{
    const struct login_client_options *options = &client->head.options;
    bool forwards = options->forwarded && options->forwarded->address[0] != '\0' &&
                    (client->has_id || !client->knows_capabilities);

    if (!credentials_are_sendable(options->credentials, options->name))
        return imap_finish(client, LOGIN_CLIENT_FAILED,
                           SPAN_LITERAL("the credentials cannot be sent"));
    if (forwards) {
        imap_send_id(options->forwarded, out);
        state_move(&client->head.state, IMAP_ID);
    }
    client->after_id = imap_send_login(client, out);
    if (!forwards)
        state_move(&client->head.state, client->after_id);
    return LOGIN_CLIENT_NEED_INPUT;
}

static bool imap_has_mechanism(struct span capabilities, enum sasl_mechanism mechanism)
{
    char word[32];

    snprintf(word, sizeof(word), "AUTH=%s", sasl_mechanism_name(mechanism));
    return imap_has_capability(capabilities, word);
}

static enum login_client_event imap_take_greeting(struct imap_client *client, struct span line,
                                                  struct buffer *out)
{
    struct span prefix = SPAN_LITERAL("* OK ");
    struct span capabilities;

    if (!span_starts_with_ignore_case(line, prefix))
        return imap_finish(client, LOGIN_CLIENT_FAILED, line);
    if (client->head.options.starttls) {
        buffer_append_string(out, TAG_STARTTLS " STARTTLS\r\n");
        state_move(&client->head.state, IMAP_STARTTLS);
        return LOGIN_CLIENT_NEED_INPUT;
    }
    capabilities = imap_capability_code(span_drop(line, prefix.length));
    client->knows_capabilities = capabilities.length > 0;
    client->has_id = imap_has_capability(capabilities, "ID");
    client->has_sasl_ir = imap_has_capability(capabilities, "SASL-IR");
    client->has_mechanism = imap_has_mechanism(capabilities, client->head.mechanism);
    return imap_begin_login(client, out);
}

/* Keeps the capabilities that follow the credentials as [CAPABILITY ...], if they fit. */
static void imap_keep_capabilities(struct imap_client *client, struct span response)
{
    struct buffer text = buffer_over(client->head.text, sizeof(client->head.text));

    if (client->head.state.current != IMAP_LAST ||
        !span_starts_with_ignore_case(response, SPAN_LITERAL("CAPABILITY ")) ||
        span_find(response, ']') < response.length)
        return;
    buffer_append_byte(&text, '[');
    buffer_append(&text, response);
    buffer_append_byte(&text, ']');
    if (!buffer_append_byte(&text, '\0'))
        client->head.text[0] = '\0';
}

/* Looks for a literal at the end of a line of untagged data. */
static enum login_client_event imap_pass_over(struct imap_client *client, struct span line)
{
    struct imap_literal literal = { .size = 0 };

    client->in_untagged = imap_find_literal(line, &literal);
    if (literal.size > IMAP_LITERAL_MAX)
        return imap_finish(client, LOGIN_CLIENT_FAILED, SPAN_LITERAL("a literal too large"));
    client->literal_left = literal.size;
    return LOGIN_CLIENT_NEED_INPUT;
}

/* True when `response` is a status and words for a human, in which braces announce nothing. */
static bool imap_is_status(struct span response)
{
    struct span word = span_split(&response, ' ');

    return span_equals_ignore_case(word, SPAN_LITERAL("OK")) ||
           span_equals_ignore_case(word, SPAN_LITERAL("NO")) ||
           span_equals_ignore_case(word, SPAN_LITERAL("BAD"));
}

static enum login_client_event imap_take_untagged(struct imap_client *client, struct span response)
{
    struct span text = response;

    if (span_equals_ignore_case(span_split(&text, ' '), SPAN_LITERAL("BYE")))
        return imap_finish(client, LOGIN_CLIENT_FAILED, text);
    if (imap_is_status(response))
        return LOGIN_CLIENT_NEED_INPUT;
    imap_keep_capabilities(client, response);
    return imap_pass_over(client, response);
}

static enum login_client_event imap_take_tagged(struct imap_client *client, struct span text)
{
    bool ok = span_equals_ignore_case(span_split(&text, ' '), SPAN_LITERAL("OK"));

    switch (client->head.state.current) {
    case IMAP_ID: /* whatever it says: the login is another matter */
        state_move(&client->head.state, client->after_id);
        return LOGIN_CLIENT_NEED_INPUT;
    case IMAP_STARTTLS:
        if (!ok)
            return imap_finish(client, LOGIN_CLIENT_FAILED, text);
        state_move(&client->head.state, IMAP_TLS);
        return LOGIN_CLIENT_STARTTLS;
    case IMAP_LAST:
        if (ok && client->head.has_challenge) /* what refuses cannot accept */
            return imap_finish(client, LOGIN_CLIENT_FAILED, text);
        return ok ? imap_accepted(client, text) : imap_refused(client, text);
    default: /* IMAP_AUTH: a success without our response is none */
        return ok ? imap_finish(client, LOGIN_CLIENT_FAILED, text) : imap_refused(client, text);
    }
}

/* The tag whose answer is awaited. */
static struct span imap_awaited_tag(const struct imap_client *client)
{
    if (client->head.state.current == IMAP_ID)
        return SPAN_LITERAL(TAG_ID);
    if (client->head.state.current == IMAP_STARTTLS)
        return SPAN_LITERAL(TAG_STARTTLS);
    return SPAN_LITERAL(TAG_LOGIN);
}

/* Answers a challenge, if one can come now. */
static bool imap_take_challenge(struct imap_client *client, struct span text, struct buffer *out)
{
    if (client->head.state.current == IMAP_AUTH) {
        imap_send_response(&client->head.options, out);
        state_move(&client->head.state, IMAP_LAST);
        return true;
    }
    if (client->head.state.current != IMAP_LAST ||
        !login_client_keep_challenge(&client->head, text))
        return false;
    buffer_append_string(out, SASL_FAILURE_ANSWER "\r\n");
    return true;
}

static enum login_client_event imap_take_line(struct imap_client *client, struct span line,
                                              struct buffer *out)
{
    struct span text = line;
    struct span tag;

    if (client->in_untagged)
        return imap_pass_over(client, line);
    if (client->head.state.current == IMAP_GREETING)
        return imap_take_greeting(client, line, out);
    tag = span_split(&text, ' ');
    if (span_equals(tag, SPAN_LITERAL("*")))
        return imap_take_untagged(client, text);
    if (span_equals(tag, imap_awaited_tag(client)) && imap_is_status(text))
        return imap_take_tagged(client, text);
    if (span_equals(tag, SPAN_LITERAL("+")) && imap_take_challenge(client, text, out))
        return LOGIN_CLIENT_NEED_INPUT;
    return imap_finish(client, LOGIN_CLIENT_FAILED, SPAN_LITERAL("not an IMAP response"));
}

static void imap_client_init(void *machine, const struct login_client_options *options)
{
    struct imap_client *client = machine;

    *client = (struct imap_client){ .head.options = *options };
    login_client_start(&client->head, imap_states, IMAP_GREETING);
}

/* Drops what has come of the literal that is passed over. */
static void imap_drop_literal(struct imap_client *client, struct span *in)
{
    size_t count = span_take(*in, client->literal_left).length;

    *in = span_drop(*in, count);
    client->literal_left -= count;
}

static enum login_client_event imap_client_next(void *machine, struct span *in, struct buffer *out)
{
    struct imap_client *client = machine;
    enum login_client_event event = LOGIN_CLIENT_NEED_INPUT;

    assert(client->head.state.current != IMAP_TLS && client->head.state.current != IMAP_DONE);
    if (client->head.state.current == IMAP_SECURED)
        event = imap_begin_login(client, out);
    while (event == LOGIN_CLIENT_NEED_INPUT) {
        struct span line;

        if (buffer_room(out) < LOGIN_CLIENT_ROOM)
            return LOGIN_CLIENT_FLUSH;
        imap_drop_literal(client, in);
        switch (login_take_line(in, IMAP_LINE_MAX, &line)) {
        case LOGIN_LINE_NONE:
            return LOGIN_CLIENT_NEED_INPUT;
        case LOGIN_LINE_WHOLE:
            event = imap_take_line(client, line, out);
            break;
        case LOGIN_LINE_BROKEN:
        case LOGIN_LINE_TOO_LONG:
            return imap_finish(client, LOGIN_CLIENT_FAILED, SPAN_LITERAL("a malformed response"));
        }
    }
    return event;
}

static void imap_client_tls_started(void *machine)
{
    struct imap_client *client = machine;

    state_move(&client->head.state, IMAP_SECURED);
}

const struct login_client_ops imap_client_ops = {
    .protocol = "imap",
    .size = sizeof(struct imap_client),
    .init = imap_client_init,
    .next = imap_client_next,
    .tls_started = imap_client_tls_started,
};
