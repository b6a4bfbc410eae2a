/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ManageSieve server machine.  Strings and literals are framed as in IMAP, but no literal is
 * ever asked for: "{5+}" and "{5}" are both followed by their bytes (RFC 5804 section 1.2).
 *
 * It never hands out a name or password that is empty or holds CR, LF or NUL.  A malformed command
 * gets NO; the tenth of them, and one that is too long, ends the session.
 */
#include "common/proto/sieve_server.h"

#include <assert.h>

#include "common/base/memory.h"
#include "common/proto/offers.h"

/* A quoted string of what is fit for one: other bytes become question marks. */
static void sieve_append_quoted(struct buffer *out, struct span text)
{
    buffer_append_byte(out, '"');
    for (size_t i = 0; i < text.length; i++) {
        char byte = text.data[i];

        if (byte == '"' || byte == '\\')
            buffer_append_byte(out, '\\');
        buffer_append_byte(out, (unsigned char)byte < ' ' ? '?' : byte);
    }
    buffer_append_byte(out, '"');
}

/* One line: `status`, and "[CODE] words" as the response code and the words. */
static void sieve_reply(struct buffer *out, const char *status, struct span text)
{
    size_t end = span_find(text, ']');

    buffer_append_string(out, status);
    buffer_append_byte(out, ' ');
    if (text.length > 0 && text.data[0] == '[' && end < text.length) {
        buffer_append_byte(out, '(');
        buffer_append(out, span_of(text.data + 1, end - 1));
        buffer_append_string(out, ") ");
        text = span_trim(span_drop(text, end + 1));
    }
    sieve_append_quoted(out, text);
    buffer_append_string(out, "\r\n");
}

static enum login_event sieve_ok(struct buffer *out, const char *text)
{
    sieve_reply(out, "OK", span_from_string(text));
    return LOGIN_NEED_INPUT;
}

static enum login_event sieve_bye(struct sieve_server *server, struct buffer *out, const char *text)
{
    sieve_reply(out, "BYE", span_from_string(text));
    state_move(&server->head.state, LOGIN_SERVER_DONE);
    return LOGIN_END;
}

/* Answers a command that is wrong in itself; too many of them end the session. */
static enum login_event sieve_error(struct sieve_server *server, struct buffer *out,
                                    const char *text)
{
    if (++server->head.errors >= SIEVE_SERVER_ERRORS_MAX)
        return sieve_bye(server, out, "Too many invalid commands.");
    sieve_reply(out, "NO", span_from_string(text));
    return LOGIN_NEED_INPUT;
}

static enum login_event sieve_malformed(struct sieve_server *server, struct buffer *out)
{
    return sieve_error(server, out, "Malformed arguments.");
}

static void sieve_append_mechanisms(const struct sieve_server *server, struct buffer *out)
{
    const char *joint = "";

    for (enum sasl_mechanism i = 0; i < SASL_MECHANISMS; i++)
        if (sasl_is_offered(&server->head.options.sasl, i)) {
            buffer_append_format(out, "%s%s", joint, sasl_mechanism_name(i));
            joint = " ";
        }
}

/* A capability: those of the words whose bits are there, the first word's being the lowest. */
static void sieve_append_words(struct buffer *out, const char *name, const char *const *words,
                               uint64_t bits)
{
    const char *joint = "";

    buffer_append_format(out, "\"%s\" \"", name);
    for (unsigned i = 0; words[i]; i++)
        if (bits & OFFER_BIT(i)) {
            buffer_append_format(out, "%s%s", joint, words[i]);
            joint = " ";
        }
    buffer_append_string(out, "\"\r\n");
}

/* RFC 5804 section 1.7: what every backend has, so that it is the same behind the login. */
static void sieve_append_offers(uint64_t offers, struct buffer *out)
{
    const uint64_t notify = (offers & (OFFER_BIT(SIEVE_REDIRECTS_FIRST) - 1)) >> SIEVE_NOTIFY_FIRST;
    int redirects = sieve_redirects(offers);

    sieve_append_words(out, "SIEVE", sieve_offer_words, offers);
    if (notify)
        sieve_append_words(out, "NOTIFY", sieve_notify_words, notify);
    if (redirects >= 0)
        buffer_append_format(out, "\"MAXREDIRECTS\" \"%d\"\r\n", redirects);
}

static void sieve_append_capabilities(const struct sieve_server *server, struct buffer *out)
{
    buffer_append_string(out, "\"IMPLEMENTATION\" \"Mailstead\"\r\n");
    sieve_append_offers(server->head.options.offers, out);
    buffer_append_string(out, "\"SASL\" \"");
    if (login_server_takes_credentials(&server->head))
        sieve_append_mechanisms(server, out);
    buffer_append_string(out, "\"\r\n");
    if (login_server_offers_tls(&server->head))
        buffer_append_string(out, "\"STARTTLS\"\r\n");
    if (server->head.options.peer_is_trusted)
        buffer_append_string(out, "\"XCLIENT\" \"ADDR PORT SESSION TTL\"\r\n");
    buffer_append_string(out, "\"VERSION\" \"1.0\"\r\n");
}

static enum login_event sieve_capability(struct sieve_server *server, struct span arguments,
                                         struct buffer *out)
{
    if (arguments.length > 0)
        return sieve_malformed(server, out);
    sieve_append_capabilities(server, out);
    return sieve_ok(out, "Capability completed.");
}

/* RFC 5804 section 2.13. */
static enum login_event sieve_noop(struct sieve_server *server, struct span arguments,
                                   struct buffer *out)
{
    char tag[256];

    if (arguments.length == 0)
        return sieve_ok(out, "NOOP completed.");
    if (!imap_take_byte(&arguments, ' ') || !imap_take_string(&arguments, tag, sizeof(tag)) ||
        arguments.length > 0)
        return sieve_malformed(server, out);
    buffer_append_string(out, "OK (TAG ");
    sieve_append_quoted(out, span_from_string(tag));
    buffer_append_string(out, ") \"Done.\"\r\n");
    return LOGIN_NEED_INPUT;
}

static enum login_event sieve_logout(struct sieve_server *server, struct span arguments,
                                     struct buffer *out)
{
    if (arguments.length > 0)
        return sieve_malformed(server, out);
    sieve_ok(out, "Logging out.");
    state_move(&server->head.state, LOGIN_SERVER_DONE);
    return LOGIN_END;
}

static enum login_event sieve_starttls(struct sieve_server *server, struct span arguments,
                                       struct buffer *out)
{
    if (arguments.length > 0)
        return sieve_malformed(server, out);
    if (!login_server_offers_tls(&server->head))
        return sieve_error(server, out, "TLS is not available.");
    sieve_ok(out, "Begin TLS negotiation now.");
    state_move(&server->head.state, LOGIN_SERVER_TLS);
    return LOGIN_STARTTLS;
}

/* The kept refusal of a token. */
static enum login_event sieve_tell_refusal(struct sieve_server *server, struct buffer *out)
{
    sieve_reply(out, "NO", span_from_string(server->head.refusal));
    server->head.refusal[0] = '\0';
    return LOGIN_NEED_INPUT;
}

/* Goes where the exchange of AUTHENTICATE leads. */
static enum login_event sieve_go_on(struct sieve_server *server, enum sasl_result result,
                                    struct buffer *out)
{
    switch (result) {
    case SASL_OK:
        return LOGIN_CREDENTIALS;
    case SASL_CHALLENGE:
        sieve_append_quoted(out, span_from_string(sasl_challenge(&server->head.exchange)));
        buffer_append_string(out, "\r\n");
        return LOGIN_NEED_INPUT;
    case SASL_REFUSED:
        return sieve_tell_refusal(server, out);
    case SASL_AUTHZID_REFUSED:
        return sieve_error(server, out, "Acting for another user is not allowed.");
    case SASL_UNKNOWN:
        return sieve_error(server, out, "Unknown authentication mechanism.");
    case SASL_CANCELLED:
        return sieve_error(server, out, "Authentication cancelled.");
    case SASL_MALFORMED:
        break;
    }
    return sieve_error(server, out, "Malformed authentication response.");
}

static enum login_event sieve_authenticate(struct sieve_server *server, struct span arguments,
                                           struct buffer *out)
{
    char mechanism[32], initial[SASL_LINE_MAX];
    bool has_initial = false;
    struct span response;
    enum login_event event;

    if (!imap_take_byte(&arguments, ' ') ||
        !imap_take_string(&arguments, mechanism, sizeof(mechanism)))
        return sieve_malformed(server, out);
    if (arguments.length > 0) {
        has_initial = imap_take_byte(&arguments, ' ') &&
                      imap_take_string(&arguments, initial, sizeof(initial)) &&
                      arguments.length == 0;
        if (!has_initial)
            return sieve_malformed(server, out);
    }
    if (!login_server_takes_credentials(&server->head))
        event = sieve_error(server, out, "[ENCRYPT-NEEDED] Begin TLS first.");
    else {
        response = has_initial && initial[0] ? span_from_string(initial) : SPAN_LITERAL("=");
        event = sieve_go_on(server,
                            login_server_start_exchange(&server->head, span_from_string(mechanism),
                                                        has_initial ? &response : NULL),
                            out);
    }
    if (has_initial)
        explicit_bzero(initial, sizeof(initial));
    return event;
}

static enum login_event sieve_xclient(struct sieve_server *server, struct span arguments,
                                      struct buffer *out)
{
    struct forwarded forwarded = { .port = 0 };

    if (!server->head.options.peer_is_trusted)
        return sieve_error(server, out, "Unknown command.");
    while (imap_take_byte(&arguments, ' '))
        if (!forwarded_set_parameter(&forwarded, span_split(&arguments, ' ')))
            return sieve_malformed(server, out);
        else if (arguments.length > 0)
            arguments = span_of(arguments.data - 1, arguments.length + 1);
    server->head.forwarded = forwarded;
    return sieve_ok(out, "Updated.");
}

static enum login_event sieve_run_command(struct sieve_server *server, struct span command,
                                          struct buffer *out)
{
    static const struct {
        const char *verb;
        /* `arguments` starts with the space behind the verb, or is empty. */
        enum login_event (*run)(struct sieve_server *server, struct span arguments,
                                struct buffer *out);
    } rows[] = { { "CAPABILITY", sieve_capability },
                 { "STARTTLS", sieve_starttls },
                 { "NOOP", sieve_noop },
                 { "AUTHENTICATE", sieve_authenticate },
                 { "LOGOUT", sieve_logout },
                 { "XCLIENT", sieve_xclient } };
    static const char *const later[] = {
        "HAVESPACE", "PUTSCRIPT",    "LISTSCRIPTS",  "SETACTIVE",
        "GETSCRIPT", "DELETESCRIPT", "RENAMESCRIPT", "CHECKSCRIPT"
    };
    struct span verb;

    if (!imap_take_atom(&command, &verb))
        return sieve_error(server, out, "Malformed command.");
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (span_equals_ignore_case(verb, span_from_string(rows[i].verb)))
            return rows[i].run(server, command, out);
    for (size_t i = 0; i < ARRAY_LENGTH(later); i++)
        if (span_equals_ignore_case(verb, span_from_string(later[i])))
            return sieve_error(server, out, "Authenticate first.");
    return sieve_error(server, out, "Unknown command.");
}

/* A string of its own, RFC 5804 section 2.1. */
static enum login_event sieve_take_response(struct sieve_server *server, struct span command,
                                            struct buffer *out)
{
    char response[SASL_LINE_MAX];
    enum login_event event;

    if (!imap_take_string(&command, response, sizeof(response)) || command.length > 0) {
        login_server_drop_exchange(&server->head);
        event = sieve_error(server, out, "Malformed authentication response.");
    } else {
        event = sieve_go_on(server, login_server_respond(&server->head, span_from_string(response)),
                            out);
    }
    explicit_bzero(response, sizeof(response));
    return event;
}

static void sieve_server_init(void *machine, const struct login_server_options *options,
                              struct buffer *out)
{
    struct sieve_server *server = machine;

    login_server_init(&server->head, options);
    server->continued = 0;
    server->is_owed_capabilities = false;
    sieve_append_capabilities(server, out);
    buffer_append_format(out, "OK \"%s ready.\"\r\n", options->hostname);
}

/* Takes one command or response off `*in`; `*incomplete` when there is none. */
static enum login_event sieve_take(struct sieve_server *server, struct span *in, struct buffer *out,
                                   bool *incomplete)
{
    struct span command;

    switch (imap_take_command(in, &server->continued, &command)) {
    case IMAP_FRAME_NONE:
        *incomplete = true;
        return LOGIN_NEED_INPUT;
    case IMAP_FRAME_CONTINUE: /* its bytes come all the same */
        return LOGIN_NEED_INPUT;
    case IMAP_FRAME_WHOLE:
        return server->head.state.current == LOGIN_SERVER_COMMAND
                   ? sieve_run_command(server, command, out)
                   : sieve_take_response(server, command, out);
    case IMAP_FRAME_BROKEN:
        login_server_drop_exchange(&server->head);
        return sieve_error(server, out, "A line ends with CRLF and holds no CR or NUL.");
    case IMAP_FRAME_REFUSED:
    case IMAP_FRAME_FATAL:
        break;
    }
    return sieve_bye(server, out, "Command too long.");
}

static enum login_event sieve_server_next(void *machine, struct span *in, struct buffer *out)
{
    struct sieve_server *server = machine;
    enum login_event event = LOGIN_NEED_INPUT;
    bool incomplete = false;

    while (event == LOGIN_NEED_INPUT && !incomplete) {
        assert(login_server_is_listening(&server->head));
        if (buffer_room(out) < MACHINE_REPLY_ROOM)
            return LOGIN_FLUSH;
        if (server->is_owed_capabilities) {
            sieve_append_capabilities(server, out);
            sieve_ok(out, "TLS negotiation successful.");
            server->is_owed_capabilities = false;
        }
        event = sieve_take(server, in, out, &incomplete);
    }
    return event;
}

/* RFC 5804 section 2.2: what there is is told anew. */
static void sieve_server_tls_started(void *machine)
{
    struct sieve_server *server = machine;

    login_server_tls_started(&server->head);
    server->is_owed_capabilities = true;
}

static void sieve_server_refuse(void *machine, const struct login_refusal *refusal,
                                struct buffer *out)
{
    struct sieve_server *server = machine;
    struct span text = refusal->text, challenge;

    if (refusal->reason == LOGIN_REFUSED_CREDENTIALS)
        text = SPAN_LITERAL("Authentication failed.");
    else if (refusal->reason == LOGIN_REFUSED_TEMPORARY)
        text = SPAN_LITERAL("[TRYLATER] The account cannot be reached now, try again later.");
    else if (refusal->reason == LOGIN_REFUSED_ELSEWHERE)
        text = SPAN_LITERAL("[" LOGIN_ELSEWHERE_SIEVE "]" LOGIN_ELSEWHERE_WORDS);
    challenge = login_server_refused(&server->head, refusal, text);
    if (challenge.length == 0) {
        sieve_reply(out, "NO", text);
        return;
    }
    sieve_append_quoted(out, challenge);
    buffer_append_string(out, "\r\n");
}

static void sieve_server_accept(void *machine, struct span text, struct buffer *out)
{
    struct sieve_server *server = machine;

    login_server_accepted(&server->head);
    sieve_reply(out, "OK", text);
}

static void sieve_server_goodbye(void *machine, const char *text, struct buffer *out)
{
    struct sieve_server *server = machine;

    credentials_wipe(&server->head.credentials);
    if (server->head.refusal[0])
        sieve_tell_refusal(server, out);
    buffer_append_string(out, "BYE (TRYLATER) ");
    sieve_append_quoted(out, span_from_string(text));
    buffer_append_string(out, "\r\n");
    state_move(&server->head.state, LOGIN_SERVER_DONE);
}

const struct login_server_ops sieve_server_ops = {
    .protocol = "sieve",
    .size = sizeof(struct sieve_server),
    .init = sieve_server_init,
    .next = sieve_server_next,
    .tls_started = sieve_server_tls_started,
    .refuse = sieve_server_refuse,
    .accept = sieve_server_accept,
    .goodbye = sieve_server_goodbye,
};
