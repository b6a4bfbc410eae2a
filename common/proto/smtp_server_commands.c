/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of SMTP and LMTP are rows of a table: who knows them, in which states they
 * are allowed, what arguments they take.
 */
#include "common/base/memory.h"
#include "common/proto/smtp_parameters.h"
#include "common/proto/smtp_path.h"
#include "common/proto/smtp_server_private.h"

enum arguments { ARGUMENTS_NONE, ARGUMENTS_NEEDED, ARGUMENTS_IGNORED };

struct command {
    const char *verb;
    uint32_t states; /* bit set of those in which it is allowed */
    enum arguments arguments;
    bool in_smtp, in_lmtp;
    /* Answers the command, or asks the session; NEED_INPUT stands for "answered". */
    enum smtp_server_event (*execute)(struct smtp_server *server, struct span arguments,
                                      struct buffer *out);
};

/* Leaves the transaction, if there is one. */
static enum smtp_server_event reset(struct smtp_server *server)
{
    bool was_open = server->state.current != GREETED && server->state.current != READY;

    server->recipients_accepted = 0;
    if (!was_open)
        return SMTP_SERVER_NEED_INPUT;
    state_move(&server->state, READY);
    return SMTP_SERVER_RESET;
}

static bool keep_helo(struct smtp_server *server, struct span name)
{
    for (size_t i = 0; i < name.length; i++)
        if (name.data[i] <= ' ' || name.data[i] > '~')
            return false;
    return span_copy_string(name, server->helo, sizeof(server->helo));
}

static enum smtp_server_event hello(struct smtp_server *server, struct span arguments,
                                    bool is_extended, struct buffer *out)
{
    enum smtp_server_event event;

    if (!keep_helo(server, arguments))
        return smtp_server_refuse(server, 501, "5.5.4", "A name or address is needed", out);
    server->is_extended = is_extended;
    event = reset(server);
    state_move(&server->state, READY);
    if (!is_extended) {
        smtp_server_say(250, "", server->options.hostname, out);
        return event;
    }
    buffer_append_format(
        out, "250-%s\r\n250-PIPELINING\r\n250-SIZE %llu\r\n250-8BITMIME\r\n250-CHUNKING\r\n",
        server->options.hostname, (unsigned long long)server->options.size_max);
    if (server->options.tls_available && !server->options.tls_active)
        buffer_append_string(out, "250-STARTTLS\r\n");
    if (server->options.offers_dsn)
        buffer_append_string(out, "250-DSN\r\n");
    if (server->options.offers_utf8)
        buffer_append_string(out, "250-SMTPUTF8\r\n");
    smtp_server_offer_auth(server, out);
    if (server->options.peer_is_trusted)
        buffer_append_string(out, "250-XCLIENT " SMTP_XCLIENT_ATTRIBUTES "\r\n");
    buffer_append_string(out, "250 ENHANCEDSTATUSCODES\r\n");
    return event;
}

static enum smtp_server_event execute_helo(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    return hello(server, arguments, false, out);
}

static enum smtp_server_event execute_ehlo(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    return hello(server, arguments, true, out);
}

static enum smtp_server_event refuse_parameters(struct smtp_server *server, int code,
                                                struct buffer *out)
{
    switch (code) {
    case 552:
        smtp_server_say(code, "5.3.4", "The message is larger than this server takes", out);
        return SMTP_SERVER_NEED_INPUT;
    case 555:
        return smtp_server_refuse(server, code, "5.5.4", "Unknown parameter", out);
    default:
        return smtp_server_refuse(server, code, "5.5.4", "A parameter is not well-formed", out);
    }
}

/* Takes "FROM:" or "TO:" and the path behind it. */
static bool take_path(struct span *arguments, struct span prefix, enum smtp_path_kind kind,
                      char path[MAIL_PATH_SIZE])
{
    struct span rest = span_drop(*arguments, prefix.length);

    if (!span_starts_with_ignore_case(*arguments, prefix) || !smtp_path_take(&rest, kind, path))
        return false;
    *arguments = rest;
    return true;
}

static struct smtp_parameter_rules parameter_rules(const struct smtp_server *server)
{
    return (struct smtp_parameter_rules){
        .is_extended = server->is_extended,
        .is_authenticated = server->is_authenticated,
        .may_dsn = server->options.offers_dsn,
        .may_utf8 = server->options.offers_utf8,
        .is_utf8 = server->parameters.is_utf8,
        .size_max = server->options.size_max,
    };
}

/* RFC 6531 section 3.4: an address in UTF-8 needs the parameter of MAIL. */
static bool is_allowed(const struct smtp_server *server, const char *path)
{
    return server->parameters.is_utf8 || span_is_ascii(span_from_string(path));
}

static enum smtp_server_event execute_mail(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    const struct smtp_parameter_rules rules = parameter_rules(server);
    int code;

    if (server->options.auth)
        return smtp_server_refuse(server, 530, "5.7.0",
                                  smtp_server_may_authenticate(server)
                                      ? "Authentication required"
                                      : "Must issue a STARTTLS command first",
                                  out);

    if (!take_path(&arguments, SPAN_LITERAL("FROM:"), SMTP_PATH_REVERSE, server->reverse_path))
        return smtp_server_refuse(server, 501, "5.1.7", "MAIL FROM:<address> is needed", out);
    code = smtp_parameters_read_mail(arguments, &rules, &server->parameters);
    if (code != 0)
        return refuse_parameters(server, code, out);
    if (!is_allowed(server, server->reverse_path))
        return smtp_server_refuse(server, 553, "5.6.7", "An address in UTF-8 needs SMTPUTF8", out);
    state_move(&server->state, ASKED_MAIL);
    return SMTP_SERVER_MAIL;
}

static enum smtp_server_event execute_rcpt(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    const struct smtp_parameter_rules rules = parameter_rules(server);
    int code;

    if (!take_path(&arguments, SPAN_LITERAL("TO:"), SMTP_PATH_FORWARD, server->recipient))
        return smtp_server_refuse(server, 501, "5.1.3", "RCPT TO:<address> is needed", out);
    code = smtp_parameters_read_rcpt(arguments, &rules, &server->recipient_parameters);
    if (code != 0)
        return refuse_parameters(server, code, out);
    if (!is_allowed(server, server->recipient))
        return smtp_server_refuse(server, 553, "5.6.7", "An address in UTF-8 needs SMTPUTF8", out);
    if (server->recipients_accepted >= server->options.recipients_max) {
        smtp_server_say(452, "4.5.3", "Too many recipients", out);
        return SMTP_SERVER_NEED_INPUT;
    }
    state_move(&server->state, ASKED_RCPT);
    return SMTP_SERVER_RCPT;
}

static enum smtp_server_event execute_data(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)arguments;
    /* Not counted as an error: a client that pipelines could not know. */
    if (server->recipients_accepted == 0) {
        smtp_server_say(server->options.flavor == MAIL_LMTP ? 503 : 554, "5.5.1",
                        "No valid recipients", out);
        return SMTP_SERVER_NEED_INPUT;
    }
    state_move(&server->state, ASKED_DATA);
    return SMTP_SERVER_DATA;
}

static enum smtp_server_event execute_rset(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)arguments;
    smtp_server_say(250, "2.0.0", "Ok", out);
    return reset(server);
}

static enum smtp_server_event execute_noop(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)server;
    (void)arguments;
    smtp_server_say(250, "2.0.0", "Ok", out);
    return SMTP_SERVER_NEED_INPUT;
}

static enum smtp_server_event execute_vrfy(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)server;
    (void)arguments;
    smtp_server_say(252, "2.5.2", "Send some mail, it will be tried", out);
    return SMTP_SERVER_NEED_INPUT;
}

static enum smtp_server_event execute_expn(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)arguments;
    return smtp_server_refuse(server, 502, "5.5.1", "Not implemented", out);
}

static enum smtp_server_event execute_help(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)server;
    (void)arguments;
    smtp_server_say(214, "2.0.0", "See RFC 5321", out);
    return SMTP_SERVER_NEED_INPUT;
}

static enum smtp_server_event execute_starttls(struct smtp_server *server, struct span arguments,
                                               struct buffer *out)
{
    (void)arguments;
    if (server->options.tls_active)
        return smtp_server_refuse(server, 503, "5.5.1", "TLS is active", out);
    /* What was learned before TLS would have to be forgotten, RFC 3207 section 4.2. */
    if (server->is_authenticated)
        return smtp_server_refuse(server, 503, "5.5.1", "You have logged in", out);
    if (!server->options.tls_available)
        return smtp_server_refuse(server, 502, "5.5.1", "Not implemented", out);
    smtp_server_say(220, "2.0.0", "Ready to start TLS", out);
    state_move(&server->state, ASKED_STARTTLS);
    return SMTP_SERVER_STARTTLS;
}

static enum smtp_server_event execute_quit(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)arguments;
    smtp_server_say(221, "2.0.0", "Goodbye", out);
    state_move(&server->state, DONE);
    return SMTP_SERVER_END;
}

/* The session begins anew, as that client's; who gives its HELO need not repeat that. */
static enum smtp_server_event execute_xclient(struct smtp_server *server, struct span arguments,
                                              struct buffer *out)
{
    if (!server->options.peer_is_trusted)
        return smtp_server_refuse(server, 550, "5.7.0", "XCLIENT is not for you", out);
    if (!smtp_xclient_read(arguments, &server->xclient))
        return smtp_server_refuse(server, 501, "5.5.4", "An attribute is not well-formed", out);
    memcpy(server->helo, server->xclient.helo, sizeof(server->helo));
    server->is_extended = server->helo[0] && server->xclient.is_extended;
    state_move(&server->state, server->helo[0] ? READY : GREETED);
    smtp_server_greet(server, out);
    return SMTP_SERVER_FORWARDED;
}

/* A browser that was made to speak to a mail port: what follows is not SMTP. */
static enum smtp_server_event execute_foreign(struct smtp_server *server, struct span arguments,
                                              struct buffer *out)
{
    (void)arguments;
    smtp_server_goodbye(server, "This is not a web server", out);
    return SMTP_SERVER_END;
}

static const struct command commands[] = {
    { "AUTH", STATE_BIT(READY), ARGUMENTS_NEEDED, true, false, smtp_server_execute_auth },
    { "BDAT", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_IGNORED, true, true, smtp_server_execute_bdat },
    { "CONNECT", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_IGNORED, true, true, execute_foreign },
    { "DATA", STATE_BIT(ENVELOPE), ARGUMENTS_NONE, true, true, execute_data },
    { "EHLO", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_NEEDED, true, false, execute_ehlo },
    { "EXPN", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_IGNORED, true, true, execute_expn },
    { "GET", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_IGNORED, true, true, execute_foreign },
    { "HELO", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_NEEDED, true, false, execute_helo },
    { "HELP", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_IGNORED, true, true, execute_help },
    { "LHLO", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_NEEDED, false, true, execute_ehlo },
    { "MAIL", STATE_BIT(READY), ARGUMENTS_NEEDED, true, true, execute_mail },
    { "NOOP", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_IGNORED, true, true, execute_noop },
    { "POST", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_IGNORED, true, true, execute_foreign },
    { "QUIT", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_NONE, true, true, execute_quit },
    { "RCPT", STATE_BIT(ENVELOPE), ARGUMENTS_NEEDED, true, true, execute_rcpt },
    { "RSET", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_NONE, true, true, execute_rset },
    { "STARTTLS", STATE_BIT(GREETED) | STATE_BIT(READY), ARGUMENTS_NONE, true, true,
      execute_starttls },
    { "XCLIENT", STATE_BIT(GREETED) | STATE_BIT(READY), ARGUMENTS_NEEDED, true, true,
      execute_xclient },
    { "VRFY", SMTP_SERVER_COMMAND_STATES, ARGUMENTS_NEEDED, true, true, execute_vrfy },
};

static const struct command *find_command(enum mail_flavor flavor, struct span verb)
{
    for (size_t i = 0; i < ARRAY_LENGTH(commands); i++) {
        const struct command *command = &commands[i];

        if (span_equals_ignore_case(verb, span_from_string(command->verb)))
            return (flavor == MAIL_SMTP ? command->in_smtp : command->in_lmtp) ? command : NULL;
    }
    return NULL;
}

enum smtp_server_event smtp_server_execute(struct smtp_server *server, struct span line,
                                           struct buffer *out)
{
    struct span arguments = span_trim(line);
    struct span verb = span_split(&arguments, ' ');
    const struct command *command = find_command(server->options.flavor, verb);

    arguments = span_trim(arguments);
    if (!command)
        return smtp_server_refuse(server, 500, "5.5.1", "Unknown command", out);
    if (!(command->states & STATE_BIT(server->state.current)))
        return smtp_server_refuse(server, 503, "5.5.1", "Not now: the order of commands is wrong",
                                  out);
    if (command->arguments == ARGUMENTS_NONE && arguments.length > 0)
        return smtp_server_refuse(server, 501, "5.5.4", "No argument is allowed", out);
    if (command->arguments == ARGUMENTS_NEEDED && arguments.length == 0)
        return smtp_server_refuse(server, 501, "5.5.4", "An argument is needed", out);
    return command->execute(server, arguments, out);
}
