/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The POP3 server machine.  Each command is one line, answered at once but for
 * STLS and a complete set of credentials, which are questions.
 *
 * It never hands out a name or password that is empty or holds CR, LF or NUL, and
 * announces of what only the backend can know what the session has learned there.  A malformed
 * command gets -ERR; the tenth of them, and a line that is too long, ends the session.
 */
#include "common/proto/pop3_server.h"

#include <assert.h>

#include "common/base/memory.h"

/* One line: `status`, a space and `text`. */
static void pop3_reply(struct buffer *out, const char *status, struct span text)
{
    buffer_append_string(out, status);
    buffer_append_byte(out, ' ');
    buffer_append(out, text);
    buffer_append_string(out, "\r\n");
}

static enum login_event pop3_ok(struct buffer *out, const char *text)
{
    pop3_reply(out, "+OK", span_from_string(text));
    return LOGIN_NEED_INPUT;
}

static enum login_event pop3_end(struct pop3_server *server, struct buffer *out, const char *status,
                                 const char *text)
{
    pop3_reply(out, status, span_from_string(text));
    state_move(&server->head.state, LOGIN_SERVER_DONE);
    return LOGIN_END;
}

/* Answers a command that is wrong in itself; too many of them end the session. */
static enum login_event pop3_error(struct pop3_server *server, struct buffer *out, const char *text)
{
    if (++server->head.errors >= POP3_SERVER_ERRORS_MAX)
        return pop3_end(server, out, "-ERR", "Too many invalid commands.");
    pop3_reply(out, "-ERR", span_from_string(text));
    return LOGIN_NEED_INPUT;
}

static enum login_event pop3_require_tls(struct pop3_server *server, struct buffer *out)
{
    return pop3_error(server, out, "[AUTH] Plaintext authentication is not allowed without TLS.");
}

static enum login_event pop3_unknown(struct pop3_server *server, struct buffer *out)
{
    return pop3_error(server, out, "Unknown command.");
}

static void pop3_append_mechanisms(const struct pop3_server *server, const char *before,
                                   const char *behind, struct buffer *out)
{
    for (enum sasl_mechanism mechanism = 0; mechanism < SASL_MECHANISMS; mechanism++)
        if (sasl_is_offered(&server->head.options.sasl, mechanism))
            buffer_append_format(out, "%s%s%s", before, sasl_mechanism_name(mechanism), behind);
}

static enum login_event pop3_capa(struct pop3_server *server, struct span arguments,
                                  struct buffer *out)
{
    (void)arguments;
    buffer_append_string(out, "+OK\r\nCAPA\r\n");
    if (login_server_offers_tls(&server->head))
        buffer_append_string(out, "STLS\r\n");
    if (login_server_takes_credentials(&server->head)) {
        buffer_append_string(out, "USER\r\nSASL");
        pop3_append_mechanisms(server, " ", "", out);
        buffer_append_string(out, "\r\n");
    }
    for (unsigned i = 0; pop3_offer_words[i]; i++)
        if (server->head.options.offers & OFFER_BIT(i))
            buffer_append_format(out, "%s\r\n", pop3_offer_words[i]);
    buffer_append_string(out, "RESP-CODES\r\nAUTH-RESP-CODE\r\nIMPLEMENTATION Mailstead\r\n.\r\n");
    return LOGIN_NEED_INPUT;
}

static enum login_event pop3_stls(struct pop3_server *server, struct span arguments,
                                  struct buffer *out)
{
    if (server->head.options.tls_active)
        return pop3_error(server, out, "TLS is already active.");
    if (!login_server_offers_tls(&server->head))
        return pop3_unknown(server, out);
    if (arguments.length > 0)
        return pop3_error(server, out, "STLS has no arguments.");
    pop3_ok(out, "Begin TLS negotiation now.");
    state_move(&server->head.state, LOGIN_SERVER_TLS);
    return LOGIN_STARTTLS;
}

static enum login_event pop3_user(struct pop3_server *server, struct span arguments,
                                  struct buffer *out)
{
    if (!login_server_takes_credentials(&server->head))
        return pop3_require_tls(server, out);
    if (arguments.length == 0 || !span_copy_string(arguments, server->head.credentials.authcid,
                                                   sizeof(server->head.credentials.authcid)))
        return pop3_error(server, out, "USER needs a name of at most 319 bytes.");
    return pop3_ok(out, "Send PASS.");
}

static enum login_event pop3_pass(struct pop3_server *server, struct span arguments,
                                  struct buffer *out)
{
    if (!login_server_takes_credentials(&server->head))
        return pop3_require_tls(server, out);
    if (server->head.credentials.authcid[0] == '\0')
        return pop3_error(server, out, "Send USER first.");
    if (arguments.length == 0 || !span_copy_string(arguments, server->head.credentials.password,
                                                   sizeof(server->head.credentials.password)))
        return pop3_error(server, out, "PASS needs a password of at most 1024 bytes.");
    return login_server_try_password(&server->head);
}

/* The kept refusal of a token. */
static enum login_event pop3_tell_refusal(struct pop3_server *server, struct buffer *out)
{
    pop3_reply(out, "-ERR", span_from_string(server->head.refusal));
    server->head.refusal[0] = '\0';
    return LOGIN_NEED_INPUT;
}

/* Goes where the exchange of AUTH leads. */
static enum login_event pop3_go_on(struct pop3_server *server, enum sasl_result result,
                                   struct buffer *out)
{
    switch (result) {
    case SASL_OK:
        return LOGIN_CREDENTIALS;
    case SASL_CHALLENGE:
        pop3_reply(out, "+", span_from_string(sasl_challenge(&server->head.exchange)));
        return LOGIN_NEED_INPUT;
    case SASL_REFUSED:
        return pop3_tell_refusal(server, out);
    case SASL_AUTHZID_REFUSED:
        return pop3_error(server, out, "[AUTH] Acting for another user is not allowed.");
    case SASL_UNKNOWN:
        return pop3_error(server, out, "Unknown authentication mechanism.");
    case SASL_CANCELLED:
        return pop3_error(server, out, "Authentication cancelled.");
    case SASL_MALFORMED:
        break;
    }
    return pop3_error(server, out, "Malformed authentication response.");
}

static enum login_event pop3_list_mechanisms(struct pop3_server *server, struct buffer *out)
{
    buffer_append_string(out, "+OK\r\n");
    if (login_server_takes_credentials(&server->head))
        pop3_append_mechanisms(server, "", "\r\n", out);
    buffer_append_string(out, ".\r\n");
    return LOGIN_NEED_INPUT;
}

static enum login_event pop3_auth(struct pop3_server *server, struct span arguments,
                                  struct buffer *out)
{
    struct span response = arguments;
    struct span mechanism = span_split(&response, ' ');

    if (arguments.length == 0)
        return pop3_list_mechanisms(server, out);
    if (!login_server_takes_credentials(&server->head))
        return pop3_require_tls(server, out);
    return pop3_go_on(
        server,
        login_server_start_exchange(&server->head, mechanism,
                                    mechanism.length < arguments.length ? &response : NULL),
        out);
}

static enum login_event pop3_xclient(struct pop3_server *server, struct span arguments,
                                     struct buffer *out)
{
    struct forwarded forwarded = { .port = 0 };

    if (!server->head.options.peer_is_trusted)
        return pop3_unknown(server, out);
    while (arguments.length > 0)
        if (!forwarded_set_parameter(&forwarded, span_split(&arguments, ' ')))
            return pop3_error(server, out, "Malformed XCLIENT parameter.");
    server->head.forwarded = forwarded;
    return pop3_ok(out, "Updated.");
}

static enum login_event pop3_quit(struct pop3_server *server, struct span arguments,
                                  struct buffer *out)
{
    (void)arguments;
    return pop3_end(server, out, "+OK", "Logging out.");
}

static enum login_event pop3_run_command(struct pop3_server *server, struct span line,
                                         struct buffer *out)
{
    static const struct {
        const char *verb;
        enum login_event (*run)(struct pop3_server *server, struct span arguments,
                                struct buffer *out);
    } rows[] = { { "USER", pop3_user },      { "PASS", pop3_pass }, { "AUTH", pop3_auth },
                 { "CAPA", pop3_capa },      { "STLS", pop3_stls }, { "QUIT", pop3_quit },
                 { "XCLIENT", pop3_xclient } };
    struct span arguments = line;
    struct span verb = span_split(&arguments, ' ');

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (span_equals_ignore_case(verb, span_from_string(rows[i].verb)))
            return rows[i].run(server, arguments, out);
    return pop3_unknown(server, out);
}

static enum login_event pop3_take_response(struct pop3_server *server, struct span line,
                                           struct buffer *out)
{
    return pop3_go_on(server, login_server_respond(&server->head, line), out);
}

static enum login_event pop3_refuse_broken_line(struct pop3_server *server, struct buffer *out)
{
    login_server_drop_exchange(&server->head);
    return pop3_error(server, out, "A line ends with CRLF and holds no CR or NUL.");
}

static void pop3_server_init(void *machine, const struct login_server_options *options,
                             struct buffer *out)
{
    struct pop3_server *server = machine;

    login_server_init(&server->head, options);
    buffer_append_format(out, "+OK %s%s ready.\r\n", options->peer_is_trusted ? "[XCLIENT] " : "",
                         options->hostname);
}

static enum login_event pop3_server_next(void *machine, struct span *in, struct buffer *out)
{
    struct pop3_server *server = machine;
    enum login_event event = LOGIN_NEED_INPUT;

    while (event == LOGIN_NEED_INPUT) {
        struct span line;

        assert(login_server_is_listening(&server->head));
        if (buffer_room(out) < MACHINE_REPLY_ROOM)
            return LOGIN_FLUSH;
        switch (login_take_line(in, POP3_SERVER_LINE_MAX, &line)) {
        case LOGIN_LINE_NONE:
            return LOGIN_NEED_INPUT;
        case LOGIN_LINE_TOO_LONG:
            return pop3_end(server, out, "-ERR", "Line too long.");
        case LOGIN_LINE_BROKEN:
            event = pop3_refuse_broken_line(server, out);
            break;
        case LOGIN_LINE_WHOLE:
            event = server->head.state.current == LOGIN_SERVER_COMMAND
                        ? pop3_run_command(server, line, out)
                        : pop3_take_response(server, line, out);
            break;
        }
    }
    return event;
}

static void pop3_server_tls_started(void *machine)
{
    struct pop3_server *server = machine;

    login_server_tls_started(&server->head);
}

static void pop3_server_refuse(void *machine, const struct login_refusal *refusal,
                               struct buffer *out)
{
    struct pop3_server *server = machine;
    struct span text = refusal->text, challenge;

    if (refusal->reason == LOGIN_REFUSED_CREDENTIALS)
        text = SPAN_LITERAL("[AUTH] Authentication failed.");
    else if (refusal->reason == LOGIN_REFUSED_TEMPORARY)
        text = SPAN_LITERAL("[SYS/TEMP] The account cannot be reached now, try again later.");
    else if (refusal->reason == LOGIN_REFUSED_ELSEWHERE)
        text = SPAN_LITERAL(LOGIN_ELSEWHERE_POP3 LOGIN_ELSEWHERE_WORDS);
    challenge = login_server_refused(&server->head, refusal, text);
    if (challenge.length > 0)
        pop3_reply(out, "+", challenge);
    else
        pop3_reply(out, "-ERR", text);
}

static void pop3_server_accept(void *machine, struct span text, struct buffer *out)
{
    struct pop3_server *server = machine;

    assert(!span_has_line_break_or_nul(text));
    login_server_accepted(&server->head);
    pop3_reply(out, "+OK", text);
}

static void pop3_server_goodbye(void *machine, const char *text, struct buffer *out)
{
    struct pop3_server *server = machine;

    credentials_wipe(&server->head.credentials);
    if (server->head.refusal[0])
        pop3_tell_refusal(server, out);
    buffer_append_format(out, "-ERR [SYS/TEMP] %s\r\n", text);
    state_move(&server->head.state, LOGIN_SERVER_DONE);
}

const struct login_server_ops pop3_server_ops = {
    .protocol = "pop3",
    .size = sizeof(struct pop3_server),
    .init = pop3_server_init,
    .next = pop3_server_next,
    .tls_started = pop3_server_tls_started,
    .refuse = pop3_server_refuse,
    .accept = pop3_server_accept,
    .goodbye = pop3_server_goodbye,
};
