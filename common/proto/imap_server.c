/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IMAP server machine.  Each command is framed whole, with its literals, before
 * it is read, and answered at once but for STARTTLS and a complete set of
 * credentials, which are questions.
 *
 * It never hands out a name or password that is empty or holds CR, LF or NUL, asks
 * for no literal that it could not hold, and announces of what only the backend can know
 * what the session has learned there.  A malformed command gets BAD; the tenth of them, a command
 * that is too long, and a refused literal whose bytes come unasked end the session.
 */
#include "common/proto/imap_server.h"

#include <assert.h>

#include "common/base/memory.h"

/* The line that answers the command: its tag, then `text`. */
static enum login_event imap_reply(const struct imap_server *server, struct buffer *out,
                                   const char *text)
{
    buffer_append_format(out, "%s %s\r\n", server->tag, text);
    return LOGIN_NEED_INPUT;
}

static enum login_event imap_bye(struct imap_server *server, struct buffer *out, const char *text)
{
    buffer_append_format(out, "* BYE %s\r\n", text);
    state_move(&server->head.state, LOGIN_SERVER_DONE);
    return LOGIN_END;
}

/* Answers a command that is wrong in itself; too many of them end the session. */
static enum login_event imap_error(struct imap_server *server, struct buffer *out, const char *text)
{
    imap_reply(server, out, text);
    if (++server->head.errors >= IMAP_SERVER_ERRORS_MAX)
        return imap_bye(server, out, "Too many invalid commands.");
    return LOGIN_NEED_INPUT;
}

static enum login_event imap_require_tls(struct imap_server *server, struct buffer *out)
{
    return imap_error(server, out,
                      "NO [PRIVACYREQUIRED] Plaintext authentication is not allowed without TLS.");
}

static enum login_event imap_malformed(struct imap_server *server, struct buffer *out)
{
    return imap_error(server, out, "BAD Malformed arguments.");
}

static void imap_append_mechanisms(const struct imap_server *server, struct buffer *out)
{
    for (enum sasl_mechanism mechanism = 0; mechanism < SASL_MECHANISMS; mechanism++)
        if (sasl_is_offered(&server->head.options.sasl, mechanism))
            buffer_append_format(out, " AUTH=%s", sasl_mechanism_name(mechanism));
}

/* Only one of LITERAL+ and LITERAL- is announced, RFC 7888 section 5. */
static void imap_append_offers(const struct imap_server *server, struct buffer *out)
{
    uint64_t offers = server->head.options.offers;

    if (offers & OFFER_BIT(IMAP_OFFER_LITERAL_PLUS))
        offers &= ~OFFER_BIT(IMAP_OFFER_LITERAL_MINUS);
    for (unsigned i = 0; imap_offer_words[i]; i++)
        if (offers & OFFER_BIT(i))
            buffer_append_format(out, " %s", imap_offer_words[i]);
}

static void imap_append_capabilities(const struct imap_server *server, struct buffer *out)
{
    buffer_append_string(out, "CAPABILITY IMAP4rev1 SASL-IR ID");
    imap_append_offers(server, out);
    if (login_server_offers_tls(&server->head))
        buffer_append_string(out, " STARTTLS");
    if (login_server_takes_credentials(&server->head))
        imap_append_mechanisms(server, out);
    else
        buffer_append_string(out, " LOGINDISABLED");
}

static enum login_event imap_capability(struct imap_server *server, struct span arguments,
                                        struct buffer *out)
{
    if (arguments.length > 0)
        return imap_malformed(server, out);
    buffer_append_string(out, "* ");
    imap_append_capabilities(server, out);
    buffer_append_string(out, "\r\n");
    return imap_reply(server, out, "OK Capability completed.");
}

static enum login_event imap_noop(struct imap_server *server, struct span arguments,
                                  struct buffer *out)
{
    if (arguments.length > 0)
        return imap_malformed(server, out);
    return imap_reply(server, out, "OK NOOP completed.");
}

static enum login_event imap_logout(struct imap_server *server, struct span arguments,
                                    struct buffer *out)
{
    enum login_event event;

    if (arguments.length > 0)
        return imap_malformed(server, out);
    event = imap_bye(server, out, "Logging out.");
    imap_reply(server, out, "OK Logout completed.");
    return event;
}

static enum login_event imap_starttls(struct imap_server *server, struct span arguments,
                                      struct buffer *out)
{
    if (arguments.length > 0)
        return imap_malformed(server, out);
    if (!login_server_offers_tls(&server->head))
        return imap_error(server, out, "BAD TLS is not available.");
    imap_reply(server, out, "OK Begin TLS negotiation now.");
    state_move(&server->head.state, LOGIN_SERVER_TLS);
    return LOGIN_STARTTLS;
}

static enum login_event imap_login(struct imap_server *server, struct span arguments,
                                   struct buffer *out)
{
    struct credentials *credentials = &server->head.credentials;

    if (!login_server_takes_credentials(&server->head))
        return imap_require_tls(server, out);
    if (!imap_take_byte(&arguments, ' ') ||
        !imap_take_astring(&arguments, credentials->authcid, sizeof(credentials->authcid)) ||
        !imap_take_byte(&arguments, ' ') ||
        !imap_take_astring(&arguments, credentials->password, sizeof(credentials->password)) ||
        arguments.length > 0 || credentials->authcid[0] == '\0' ||
        credentials->password[0] == '\0') {
        credentials_wipe(credentials);
        return imap_malformed(server, out);
    }
    return login_server_try_password(&server->head);
}

/* The kept refusal of a token. */
static enum login_event imap_tell_refusal(struct imap_server *server, struct buffer *out)
{
    buffer_append_format(out, "%s NO %s\r\n", server->tag, server->head.refusal);
    server->head.refusal[0] = '\0';
    return LOGIN_NEED_INPUT;
}

/* Goes where the exchange of AUTHENTICATE leads. */
static enum login_event imap_go_on(struct imap_server *server, enum sasl_result result,
                                   struct buffer *out)
{
    switch (result) {
    case SASL_OK:
        return LOGIN_CREDENTIALS;
    case SASL_CHALLENGE:
        buffer_append_format(out, "+ %s\r\n", sasl_challenge(&server->head.exchange));
        return LOGIN_NEED_INPUT;
    case SASL_REFUSED:
        return imap_tell_refusal(server, out);
    case SASL_AUTHZID_REFUSED:
        return imap_error(server, out,
                          "NO [AUTHORIZATIONFAILED] Acting for another user is not allowed.");
    case SASL_UNKNOWN:
        return imap_error(server, out, "NO Unknown authentication mechanism.");
    case SASL_CANCELLED:
        return imap_error(server, out, "BAD Authentication cancelled.");
    case SASL_MALFORMED:
        break;
    }
    return imap_error(server, out, "BAD Malformed authentication response.");
}

static enum login_event imap_authenticate(struct imap_server *server, struct span arguments,
                                          struct buffer *out)
{
    const struct span *initial = NULL;
    struct span mechanism;

    if (!imap_take_byte(&arguments, ' ') || !imap_take_atom(&arguments, &mechanism))
        return imap_malformed(server, out);
    if (!login_server_takes_credentials(&server->head))
        return imap_require_tls(server, out);
    if (imap_take_byte(&arguments, ' ')) /* RFC 4959 section 3 */
        initial = &arguments;
    else if (arguments.length > 0)
        return imap_malformed(server, out);
    return imap_go_on(server, login_server_start_exchange(&server->head, mechanism, initial), out);
}

/* What only frontends may say is believed of nobody else. */
static void imap_keep_id(struct imap_server *server, const struct imap_id *id)
{
    server->id = *id;
    server->head.forwarded =
        server->head.options.peer_is_trusted ? id->forwarded : (struct forwarded){ .port = 0 };
    if (server->id.fields[0])
        server->head.forwarded.fields = server->id.fields;
}

static enum login_event imap_id(struct imap_server *server, struct span arguments,
                                struct buffer *out)
{
    struct imap_id id;

    if (!imap_take_byte(&arguments, ' ') || !imap_id_read(&arguments, &id) || arguments.length > 0)
        return imap_malformed(server, out);
    if (!server->has_id)
        imap_keep_id(server, &id);
    server->has_id = true;
    buffer_append_string(out, "* ID (\"name\" \"Mailstead\")\r\n");
    return imap_reply(server, out, "OK ID completed.");
}

/* Reads the tag off `*command`, or makes the answer an untagged one. */
static bool imap_read_tag(struct imap_server *server, struct span *command)
{
    if (imap_take_tag(command, server->tag))
        return true;
    server->tag[0] = '*';
    server->tag[1] = '\0';
    return false;
}

static enum login_event imap_run_command(struct imap_server *server, struct span command,
                                         struct buffer *out)
{
    static const struct {
        const char *verb;
        /* `arguments` starts with the space behind the verb, or is empty. */
        enum login_event (*run)(struct imap_server *server, struct span arguments,
                                struct buffer *out);
    } rows[] = { { "CAPABILITY", imap_capability }, { "ID", imap_id },
                 { "LOGIN", imap_login },           { "AUTHENTICATE", imap_authenticate },
                 { "STARTTLS", imap_starttls },     { "NOOP", imap_noop },
                 { "LOGOUT", imap_logout } };
    struct span verb;

    if (!imap_read_tag(server, &command))
        return imap_error(server, out, "BAD Malformed tag.");
    if (!imap_take_byte(&command, ' ') || !imap_take_atom(&command, &verb))
        return imap_error(server, out, "BAD Malformed command.");
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (span_equals_ignore_case(verb, span_from_string(rows[i].verb)))
            return rows[i].run(server, command, out);
    return imap_error(server, out, "BAD Unknown command.");
}

/* Takes one command off `*in` and runs it; `*incomplete` when there is none. */
static enum login_event imap_take_and_run(struct imap_server *server, struct span *in,
                                          struct buffer *out, bool *incomplete)
{
    struct span command;

    switch (imap_take_command(in, &server->continued, &command)) {
    case IMAP_FRAME_NONE:
        break;
    case IMAP_FRAME_CONTINUE:
        buffer_append_string(out, "+ OK\r\n");
        return LOGIN_NEED_INPUT;
    case IMAP_FRAME_WHOLE:
        return imap_run_command(server, command, out);
    case IMAP_FRAME_BROKEN:
        imap_read_tag(server, &command);
        return imap_error(server, out, "BAD A line ends with CRLF and holds no CR or NUL.");
    case IMAP_FRAME_REFUSED:
        imap_read_tag(server, &command);
        return imap_error(server, out, "BAD Literal too large.");
    case IMAP_FRAME_FATAL:
        return imap_bye(server, out, "Command too long.");
    }
    *incomplete = true;
    return LOGIN_NEED_INPUT;
}

/* Takes the line that follows AUTHENTICATE off `*in`; `*incomplete` when there is none. */
static enum login_event imap_take_response(struct imap_server *server, struct span *in,
                                           struct buffer *out, bool *incomplete)
{
    struct span line;

    switch (login_take_line(in, IMAP_COMMAND_MAX, &line)) {
    case LOGIN_LINE_NONE:
        break;
    case LOGIN_LINE_TOO_LONG:
        return imap_bye(server, out, "Line too long.");
    case LOGIN_LINE_BROKEN:
        login_server_drop_exchange(&server->head);
        return imap_error(server, out, "BAD A line ends with CRLF and holds no CR or NUL.");
    case LOGIN_LINE_WHOLE:
        return imap_go_on(server, login_server_respond(&server->head, line), out);
    }
    *incomplete = true;
    return LOGIN_NEED_INPUT;
}

static void imap_server_init(void *machine, const struct login_server_options *options,
                             struct buffer *out)
{
    struct imap_server *server = machine;

    login_server_init(&server->head, options);
    server->has_id = false;
    server->continued = 0;
    buffer_append_string(out, "* OK [");
    imap_append_capabilities(server, out);
    buffer_append_format(out, "] %s ready.\r\n", options->hostname);
}

static enum login_event imap_server_next(void *machine, struct span *in, struct buffer *out)
{
    struct imap_server *server = machine;
    enum login_event event = LOGIN_NEED_INPUT;
    bool incomplete = false;

    while (event == LOGIN_NEED_INPUT && !incomplete) {
        assert(login_server_is_listening(&server->head));
        if (buffer_room(out) < MACHINE_REPLY_ROOM)
            return LOGIN_FLUSH;
        event = server->head.state.current == LOGIN_SERVER_COMMAND
                    ? imap_take_and_run(server, in, out, &incomplete)
                    : imap_take_response(server, in, out, &incomplete);
    }
    return event;
}

static void imap_server_tls_started(void *machine)
{
    struct imap_server *server = machine;

    login_server_tls_started(&server->head);
    server->has_id = false;
}

static void imap_answer(const struct imap_server *server, const char *status, struct span text,
                        struct buffer *out)
{
    buffer_append_format(out, "%s %s ", server->tag, status);
    buffer_append(out, text);
    buffer_append_string(out, "\r\n");
}

static void imap_server_refuse(void *machine, const struct login_refusal *refusal,
                               struct buffer *out)
{
    struct imap_server *server = machine;
    struct span text = refusal->text, challenge;

    if (refusal->reason == LOGIN_REFUSED_CREDENTIALS)
        text = SPAN_LITERAL("[AUTHENTICATIONFAILED] Authentication failed.");
    else if (refusal->reason == LOGIN_REFUSED_TEMPORARY)
        text = SPAN_LITERAL("[UNAVAILABLE] The account cannot be reached now, try again later.");
    else if (refusal->reason == LOGIN_REFUSED_ELSEWHERE)
        text = SPAN_LITERAL(LOGIN_ELSEWHERE_IMAP LOGIN_ELSEWHERE_WORDS);
    challenge = login_server_refused(&server->head, refusal, text);
    if (challenge.length == 0) {
        imap_answer(server, "NO", text, out);
        return;
    }
    buffer_append_string(out, "+ ");
    buffer_append(out, challenge);
    buffer_append_string(out, "\r\n");
}

static void imap_server_accept(void *machine, struct span text, struct buffer *out)
{
    struct imap_server *server = machine;

    login_server_accepted(&server->head);
    imap_answer(server, "OK", text, out);
}

static void imap_server_goodbye(void *machine, const char *text, struct buffer *out)
{
    struct imap_server *server = machine;

    credentials_wipe(&server->head.credentials);
    if (server->head.refusal[0])
        imap_tell_refusal(server, out);
    imap_bye(server, out, text);
}

const struct login_server_ops imap_server_ops = {
    .protocol = "imap",
    .size = sizeof(struct imap_server),
    .init = imap_server_init,
    .next = imap_server_next,
    .tls_started = imap_server_tls_started,
    .refuse = imap_server_refuse,
    .accept = imap_server_accept,
    .goodbye = imap_server_goodbye,
};
