/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The POP3 client machine.  Each reply is one line; what stands behind the reply
 * to the credentials is left in the input.
 *
 * It never sends a credential before TLS when TLS is asked for, and none that is
 * empty or holds CR or LF.  A reply that is none, or a refused greeting or STLS,
 * is FAILED; a refusal of the credentials is REFUSED.
 */
#include "common/proto/pop3_client.h"

#include <assert.h>

#include "common/base/memory.h"

enum {
    POP3_LINE_MAX = 1024,   /* of a reply; RFC 2449 section 4 allows 512 */
    POP3_COMMAND_MAX = 255, /* of a command with its CRLF, RFC 2449 section 4 */
};

enum {
    POP3_GREETING,
    POP3_STLS,    /* sent STLS */
    POP3_TLS,     /* the session does the handshake */
    POP3_SECURED, /* it is done */
    POP3_XCLIENT, /* sent XCLIENT, and AUTH behind it */
    POP3_USER,    /* sent USER */
    POP3_AUTH,    /* sent AUTH PLAIN without its response */
    POP3_LAST,    /* sent all of the credentials */
    POP3_DONE
};

static const struct state_row pop3_states[] = {
    [POP3_GREETING] = { "greeting", STATE_BIT(POP3_STLS) | STATE_BIT(POP3_XCLIENT) |
                                        STATE_BIT(POP3_USER) | STATE_BIT(POP3_AUTH) |
                                        STATE_BIT(POP3_LAST) | STATE_BIT(POP3_DONE) },
    [POP3_STLS] = { "stls", STATE_BIT(POP3_TLS) | STATE_BIT(POP3_DONE) },
    [POP3_TLS] = { "tls", STATE_BIT(POP3_SECURED) },
    [POP3_SECURED] = { "secured", STATE_BIT(POP3_XCLIENT) | STATE_BIT(POP3_USER) |
                                      STATE_BIT(POP3_AUTH) | STATE_BIT(POP3_LAST) |
                                      STATE_BIT(POP3_DONE) },
    [POP3_XCLIENT] = { "xclient",
                       STATE_BIT(POP3_AUTH) | STATE_BIT(POP3_LAST) | STATE_BIT(POP3_DONE) },
    [POP3_USER] = { "user", STATE_BIT(POP3_LAST) | STATE_BIT(POP3_DONE) },
    [POP3_AUTH] = { "auth", STATE_BIT(POP3_USER) | STATE_BIT(POP3_LAST) | STATE_BIT(POP3_DONE) },
    [POP3_LAST] = { "last", STATE_BIT(POP3_USER) | STATE_BIT(POP3_DONE) },
    [POP3_DONE] = { "done", 0 },
};

/* What a reply's line says; `text` is what follows its status. */
enum pop3_status { POP3_OK, POP3_ERR, POP3_CONTINUE, POP3_NO_STATUS };

static enum pop3_status pop3_read_status(struct span line, struct span *text)
{
    struct span rest = line;
    struct span status = span_split(&rest, ' ');

    *text = rest;
    if (span_equals_ignore_case(status, SPAN_LITERAL("+OK")))
        return POP3_OK;
    if (span_equals_ignore_case(status, SPAN_LITERAL("-ERR")))
        return POP3_ERR;
    if (span_equals(status, SPAN_LITERAL("+")))
        return POP3_CONTINUE;
    *text = line;
    return POP3_NO_STATUS;
}

/* Ends with `event`, keeping `text` as far as it fits. */
static enum login_client_event pop3_finish(struct pop3_client *client,
                                           enum login_client_event event, struct span text)
{
    login_copy_text(text, client->head.text);
    state_move(&client->head.state, POP3_DONE);
    return event;
}

static enum login_client_event pop3_refused(struct pop3_client *client, struct span text)
{
    /* RFC 2449 section 8.1, RFC 3206. */
    static const char *const codes[] = { "[SYS/TEMP]", "[IN-USE]", "[LOGIN-DELAY]" };

    for (size_t i = 0; i < ARRAY_LENGTH(codes); i++)
        if (span_starts_with_ignore_case(text, span_from_string(codes[i])))
            client->head.denial = LOGIN_DENIED_FOR_NOW;
    if (span_starts_with_ignore_case(text, SPAN_LITERAL(LOGIN_ELSEWHERE_POP3)))
        client->head.denial = LOGIN_DENIED_ELSEWHERE;
    return pop3_finish(client, LOGIN_CLIENT_REFUSED, text);
}

/* True when USER and PASS can carry the credentials. */
static bool pop3_fits_user_pass(const struct login_client_options *options)
{
    size_t room = POP3_COMMAND_MAX - strlen("USER \r\n");
    struct span name = span_from_string(options->name);

    return options->credentials->kind == CREDENTIALS_PASSWORD &&
           span_find(name, ' ') == name.length && name.length <= room &&
           strlen(options->credentials->password) <= room;
}

/* True when it takes AUTH PLAIN with its response, and says so when that was not why it refused. */
static bool pop3_takes_plain(const struct login_client_options *options)
{
    const uint64_t both = POP3_OFFERS_PLAIN | POP3_OFFERS_AUTH_RESP_CODE;

    return (options->offers & both) == both;
}

static void pop3_send_user(struct pop3_client *client, struct buffer *out)
{
    buffer_append_format(out, "USER %s\r\n", client->head.options.name);
    state_move(&client->head.state, POP3_USER);
}

static void pop3_send_response(const struct login_client_options *options, struct buffer *out)
{
    sasl_append_response(options->credentials, options->name, out);
    buffer_append_string(out, "\r\n");
}

/* Sends AUTH; the state in which its reply is awaited. */
static unsigned pop3_send_auth(const struct pop3_client *client, struct buffer *out)
{
    const struct login_client_options *options = &client->head.options;
    const char *mechanism = sasl_mechanism_name(client->head.mechanism);
    size_t length = sasl_response_length(options->credentials, options->name);

    buffer_append_format(out, "AUTH %s", mechanism);
    if (length + strlen("AUTH  \r\n") + strlen(mechanism) > POP3_COMMAND_MAX) {
        buffer_append_string(out, "\r\n");
        return POP3_AUTH;
    }
    buffer_append_byte(out, ' ');
    pop3_send_response(options, out);
    return POP3_LAST;
}

static void pop3_send_xclient(const struct forwarded *forwarded, struct buffer *out)
{
    buffer_append_format(out, "XCLIENT ADDR=%s", forwarded->address);
    if (forwarded->port != 0)
        buffer_append_format(out, " PORT=%u", (unsigned)forwarded->port);
    if (forwarded->session_id[0] != '\0')
        buffer_append_format(out, " SESSION=%s", forwarded->session_id);
    buffer_append_format(out, " TTL=%u\r\n", forwarded->ttl);
}

/* Begins the login, once the connection is as safe as was asked. */
static enum login_client_event pop3_begin_login(struct pop3_client *client, struct buffer *out)
{
    const struct login_client_options *options = &client->head.options;

    if (!credentials_are_sendable(options->credentials, options->name))
        return pop3_finish(client, LOGIN_CLIENT_FAILED,
                           SPAN_LITERAL("the credentials cannot be sent"));
    if (client->is_trusted) {
        bool forwards = options->forwarded && options->forwarded->address[0] != '\0';

        if (forwards) {
            pop3_send_xclient(options->forwarded, out);
            state_move(&client->head.state, POP3_XCLIENT);
        }
        client->after_xclient = pop3_send_auth(client, out);
        if (!forwards)
            state_move(&client->head.state, client->after_xclient);
    } else if (pop3_fits_user_pass(options) && !pop3_takes_plain(options)) {
        pop3_send_user(client, out);
    } else {
        client->may_say_user = pop3_fits_user_pass(options);
        state_move(&client->head.state, pop3_send_auth(client, out));
    }
    return LOGIN_CLIENT_NEED_INPUT;
}

static enum login_client_event pop3_take_greeting(struct pop3_client *client, struct span text,
                                                  struct buffer *out)
{
    client->is_trusted = memmem(text.data, text.length, "[XCLIENT]", strlen("[XCLIENT]")) != NULL;
    if (!client->head.options.starttls)
        return pop3_begin_login(client, out);
    buffer_append_string(out, "STLS\r\n");
    state_move(&client->head.state, POP3_STLS);
    return LOGIN_CLIENT_NEED_INPUT;
}

static enum login_client_event pop3_take_ok(struct pop3_client *client, struct span text,
                                            struct buffer *out)
{
    switch (client->head.state.current) {
    case POP3_GREETING:
        return pop3_take_greeting(client, text, out);
    case POP3_STLS:
        state_move(&client->head.state, POP3_TLS);
        return LOGIN_CLIENT_STARTTLS;
    case POP3_USER:
        buffer_append_format(out, "PASS %s\r\n", client->head.options.credentials->password);
        state_move(&client->head.state, POP3_LAST);
        return LOGIN_CLIENT_NEED_INPUT;
    case POP3_XCLIENT:
        state_move(&client->head.state, client->after_xclient);
        return LOGIN_CLIENT_NEED_INPUT;
    case POP3_LAST:
        return pop3_finish(
            client, client->head.has_challenge ? LOGIN_CLIENT_FAILED : LOGIN_CLIENT_ACCEPTED, text);
    default: /* +OK where only "+ " may be */
        return pop3_finish(client, LOGIN_CLIENT_FAILED, text);
    }
}

static enum login_client_event pop3_take_error(struct pop3_client *client, struct span text,
                                               struct buffer *out)
{
    switch (client->head.state.current) {
    case POP3_GREETING:
    case POP3_STLS:
        return pop3_finish(client, LOGIN_CLIENT_FAILED, text);
    case POP3_XCLIENT: /* then it does not learn whom we speak for; the login is another matter */
        state_move(&client->head.state, client->after_xclient);
        return LOGIN_CLIENT_NEED_INPUT;
    default:
        if (!client->may_say_user || span_starts_with_ignore_case(text, SPAN_LITERAL("[")))
            return pop3_refused(client, text);
        client->may_say_user = false;
        pop3_send_user(client, out);
        return LOGIN_CLIENT_NEED_INPUT;
    }
}

/* Answers a challenge, if one can come now. */
static bool pop3_take_challenge(struct pop3_client *client, struct span text, struct buffer *out)
{
    if (client->head.state.current == POP3_AUTH) {
        pop3_send_response(&client->head.options, out);
        state_move(&client->head.state, POP3_LAST);
        return true;
    }
    if (client->head.state.current != POP3_LAST ||
        !login_client_keep_challenge(&client->head, text))
        return false;
    buffer_append_string(out, SASL_FAILURE_ANSWER "\r\n");
    return true;
}

static enum login_client_event pop3_take_reply(struct pop3_client *client, struct span line,
                                               struct buffer *out)
{
    struct span text;

    switch (pop3_read_status(line, &text)) {
    case POP3_OK:
        return pop3_take_ok(client, text, out);
    case POP3_ERR:
        return pop3_take_error(client, text, out);
    case POP3_CONTINUE:
        if (!pop3_take_challenge(client, text, out))
            break;
        return LOGIN_CLIENT_NEED_INPUT;
    case POP3_NO_STATUS:
        break;
    }
    return pop3_finish(client, LOGIN_CLIENT_FAILED, SPAN_LITERAL("not a POP3 reply"));
}

static void pop3_client_init(void *machine, const struct login_client_options *options)
{
    struct pop3_client *client = machine;

    *client = (struct pop3_client){ .head.options = *options };
    login_client_start(&client->head, pop3_states, POP3_GREETING);
}

static enum login_client_event pop3_client_next(void *machine, struct span *in, struct buffer *out)
{
    struct pop3_client *client = machine;
    enum login_client_event event = LOGIN_CLIENT_NEED_INPUT;

    assert(client->head.state.current != POP3_TLS && client->head.state.current != POP3_DONE);
    if (client->head.state.current == POP3_SECURED)
        event = pop3_begin_login(client, out);
    while (event == LOGIN_CLIENT_NEED_INPUT) {
        struct span line;

        if (buffer_room(out) < LOGIN_CLIENT_ROOM)
            return LOGIN_CLIENT_FLUSH;
        switch (login_take_line(in, POP3_LINE_MAX, &line)) {
        case LOGIN_LINE_NONE:
            return LOGIN_CLIENT_NEED_INPUT;
        case LOGIN_LINE_WHOLE:
            event = pop3_take_reply(client, line, out);
            break;
        case LOGIN_LINE_BROKEN:
        case LOGIN_LINE_TOO_LONG:
            return pop3_finish(client, LOGIN_CLIENT_FAILED, SPAN_LITERAL("a malformed reply"));
        }
    }
    return event;
}

static void pop3_client_tls_started(void *machine)
{
    struct pop3_client *client = machine;

    state_move(&client->head.state, POP3_SECURED);
}

const struct login_client_ops pop3_client_ops = {
    .protocol = "pop3",
    .size = sizeof(struct pop3_client),
    .init = pop3_client_init,
    .next = pop3_client_next,
    .tls_started = pop3_client_tls_started,
};
