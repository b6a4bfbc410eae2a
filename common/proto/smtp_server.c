/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of SMTP and LMTP are rows of a table: who knows them, in which states they
 * are allowed, what arguments they take.  What is wrong with a line or a command gets its
 * 5xx here, and too many of them end the session with 421; what the session answers is its own
 * policy and is not counted.
 */
#include "common/proto/smtp_server.h"

#include <assert.h>

#include "common/base/memory.h"
#include "common/proto/smtp_path.h"
#include "common/proto/smtp_reply.h"

/* RFC 5321 section 4.5.3.1.4 asks 512, with CRLF; paths and parameters may be longer. */
enum { COMMAND_LINE_MAX = 1024, LONG_LINE_MAX = 65536 };

enum {
    GREETED,
    READY, /* after the hello, no transaction */
    ASKED_MAIL,
    ENVELOPE, /* MAIL was accepted */
    ASKED_RCPT,
    ASKED_DATA,
    CONTENT,
    SKIPPING, /* the rest of a refused message */
    REFUSING, /* its replies are being written */
    ASKED_FINAL,
    ASKED_STARTTLS,
    DONE
};

static const struct state_row states[] = {
    [GREETED] = { "greeted", STATE_BIT(GREETED) | STATE_BIT(READY) | STATE_BIT(ASKED_STARTTLS) |
                                 STATE_BIT(DONE) },
    [READY] = { "ready", STATE_BIT(READY) | STATE_BIT(ASKED_MAIL) | STATE_BIT(ASKED_STARTTLS) |
                             STATE_BIT(DONE) },
    [ASKED_MAIL] = { "asked-mail", STATE_BIT(READY) | STATE_BIT(ENVELOPE) | STATE_BIT(DONE) },
    [ENVELOPE] = { "envelope", STATE_BIT(READY) | STATE_BIT(ASKED_RCPT) | STATE_BIT(ASKED_DATA) |
                                   STATE_BIT(DONE) },
    [ASKED_RCPT] = { "asked-rcpt", STATE_BIT(ENVELOPE) | STATE_BIT(DONE) },
    [ASKED_DATA] = { "asked-data", STATE_BIT(ENVELOPE) | STATE_BIT(CONTENT) | STATE_BIT(DONE) },
    [CONTENT] = { "content", STATE_BIT(SKIPPING) | STATE_BIT(ASKED_FINAL) | STATE_BIT(DONE) },
    [SKIPPING] = { "skipping", STATE_BIT(REFUSING) | STATE_BIT(DONE) },
    [REFUSING] = { "refusing", STATE_BIT(READY) | STATE_BIT(DONE) },
    [ASKED_FINAL] = { "asked-final", STATE_BIT(READY) | STATE_BIT(DONE) },
    [ASKED_STARTTLS] = { "asked-starttls", STATE_BIT(GREETED) | STATE_BIT(DONE) },
    [DONE] = { "done", STATE_BIT(DONE) },
};

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

static void say(int code, const char *enhanced, const char *text, struct buffer *out)
{
    struct mail_reply reply = mail_reply_of(code, enhanced, text);

    smtp_reply_write(&reply, out);
}

/* Refuses a command by a 5xx, or by 421 and the end when there were too many. */
static enum smtp_server_event refuse(struct smtp_server *server, int code, const char *enhanced,
                                     const char *text, struct buffer *out)
{
    if (server->errors >= server->options.errors_max) {
        smtp_server_goodbye(server, "Too many errors", out);
        return SMTP_SERVER_END;
    }
    server->errors++;
    say(code, enhanced, text, out);
    return SMTP_SERVER_NEED_INPUT;
}

/* Leaves the transaction, if there is one. */
static enum smtp_server_event reset(struct smtp_server *server)
{
    bool was_open = server->state.current == ENVELOPE;

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
        return refuse(server, 501, "5.5.4", "A name or address is needed", out);
    server->is_extended = is_extended;
    event = reset(server);
    state_move(&server->state, READY);
    if (!is_extended) {
        say(250, "", server->options.hostname, out);
        return event;
    }
    buffer_append_format(out, "250-%s\r\n250-PIPELINING\r\n250-SIZE %llu\r\n250-8BITMIME\r\n",
                         server->options.hostname, (unsigned long long)server->options.size_max);
    if (server->options.tls_available && !server->options.tls_active)
        buffer_append_string(out, "250-STARTTLS\r\n");
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

/* RFC 1870 section 5: a number of up to 20 digits, of which the largest do not fit 64 bits. */
static bool parse_size(struct span value, uint64_t *size)
{
    for (size_t i = 0; i < value.length; i++)
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
    if (!span_parse_u64(value, size))
        *size = UINT64_MAX;
    return value.length > 0 && value.length <= 20;
}

/* Reads one parameter of MAIL: 0, or the code by which it is refused. */
static int read_mail_parameter(const struct smtp_parameter *parameter,
                               struct mail_parameters *parameters)
{
    if (span_equals_ignore_case(parameter->keyword, SPAN_LITERAL("SIZE")))
        return parse_size(parameter->value, &parameters->size) ? 0 : 501;
    if (!span_equals_ignore_case(parameter->keyword, SPAN_LITERAL("BODY")))
        return 555;
    parameters->body_8bit = span_equals_ignore_case(parameter->value, SPAN_LITERAL("8BITMIME"));
    return parameters->body_8bit || span_equals_ignore_case(parameter->value, SPAN_LITERAL("7BIT"))
               ? 0
               : 501;
}

/* Reads the parameters of MAIL: 0, or the code by which they are refused. */
static int read_mail_parameters(const struct smtp_server *server, struct span arguments,
                                struct mail_parameters *parameters)
{
    *parameters = (struct mail_parameters){ 0 };
    while (smtp_parameter_follows(arguments)) {
        struct smtp_parameter parameter;
        int code = 555;

        if (!smtp_parameter_take(&arguments, &parameter))
            return 501;
        if (server->is_extended)
            code = read_mail_parameter(&parameter, parameters);
        if (code != 0)
            return code;
    }
    return parameters->size > server->options.size_max ? 552 : 0;
}

static enum smtp_server_event refuse_parameters(struct smtp_server *server, int code,
                                                struct buffer *out)
{
    switch (code) {
    case 552:
        say(code, "5.3.4", "The message is larger than this server takes", out);
        return SMTP_SERVER_NEED_INPUT;
    case 555:
        return refuse(server, code, "5.5.4", "Unknown parameter", out);
    default:
        return refuse(server, code, "5.5.4", "A parameter is not well-formed", out);
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

static enum smtp_server_event execute_mail(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    int code;

    if (!take_path(&arguments, SPAN_LITERAL("FROM:"), SMTP_PATH_REVERSE, server->reverse_path))
        return refuse(server, 501, "5.1.7", "MAIL FROM:<address> is needed", out);
    code = read_mail_parameters(server, arguments, &server->parameters);
    if (code != 0)
        return refuse_parameters(server, code, out);
    state_move(&server->state, ASKED_MAIL);
    return SMTP_SERVER_MAIL;
}

static enum smtp_server_event execute_rcpt(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    struct smtp_parameter parameter;

    if (!take_path(&arguments, SPAN_LITERAL("TO:"), SMTP_PATH_FORWARD, server->recipient))
        return refuse(server, 501, "5.1.3", "RCPT TO:<address> is needed", out);
    if (smtp_parameter_follows(arguments))
        return refuse_parameters(server, smtp_parameter_take(&arguments, &parameter) ? 555 : 501,
                                 out);
    if (server->recipients_accepted >= server->options.recipients_max) {
        say(452, "4.5.3", "Too many recipients", out);
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
        say(server->options.flavor == MAIL_LMTP ? 503 : 554, "5.5.1", "No valid recipients", out);
        return SMTP_SERVER_NEED_INPUT;
    }
    state_move(&server->state, ASKED_DATA);
    return SMTP_SERVER_DATA;
}

static enum smtp_server_event execute_rset(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)arguments;
    say(250, "2.0.0", "Ok", out);
    return reset(server);
}

static enum smtp_server_event execute_noop(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)server;
    (void)arguments;
    say(250, "2.0.0", "Ok", out);
    return SMTP_SERVER_NEED_INPUT;
}

static enum smtp_server_event execute_vrfy(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)server;
    (void)arguments;
    say(252, "2.5.2", "Send some mail, it will be tried", out);
    return SMTP_SERVER_NEED_INPUT;
}

static enum smtp_server_event execute_expn(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)arguments;
    return refuse(server, 502, "5.5.1", "Not implemented", out);
}

static enum smtp_server_event execute_help(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)server;
    (void)arguments;
    say(214, "2.0.0", "See RFC 5321", out);
    return SMTP_SERVER_NEED_INPUT;
}

static enum smtp_server_event execute_starttls(struct smtp_server *server, struct span arguments,
                                               struct buffer *out)
{
    (void)arguments;
    if (server->options.tls_active)
        return refuse(server, 503, "5.5.1", "TLS is active", out);
    if (!server->options.tls_available)
        return refuse(server, 502, "5.5.1", "Not implemented", out);
    say(220, "2.0.0", "Ready to start TLS", out);
    state_move(&server->state, ASKED_STARTTLS);
    return SMTP_SERVER_STARTTLS;
}

static enum smtp_server_event execute_quit(struct smtp_server *server, struct span arguments,
                                           struct buffer *out)
{
    (void)arguments;
    say(221, "2.0.0", "Goodbye", out);
    state_move(&server->state, DONE);
    return SMTP_SERVER_END;
}

/* A browser that was made to speak to a mail port: what follows is not SMTP. */
static enum smtp_server_event execute_foreign(struct smtp_server *server, struct span arguments,
                                              struct buffer *out)
{
    (void)arguments;
    smtp_server_goodbye(server, "This is not a web server", out);
    return SMTP_SERVER_END;
}

#define ANY (STATE_BIT(GREETED) | STATE_BIT(READY) | STATE_BIT(ENVELOPE))

static const struct command commands[] = {
    { "CONNECT", ANY, ARGUMENTS_IGNORED, true, true, execute_foreign },
    { "DATA", STATE_BIT(ENVELOPE), ARGUMENTS_NONE, true, true, execute_data },
    { "EHLO", ANY, ARGUMENTS_NEEDED, true, false, execute_ehlo },
    { "EXPN", ANY, ARGUMENTS_IGNORED, true, true, execute_expn },
    { "GET", ANY, ARGUMENTS_IGNORED, true, true, execute_foreign },
    { "HELO", ANY, ARGUMENTS_NEEDED, true, false, execute_helo },
    { "HELP", ANY, ARGUMENTS_IGNORED, true, true, execute_help },
    { "LHLO", ANY, ARGUMENTS_NEEDED, false, true, execute_ehlo },
    { "MAIL", STATE_BIT(READY), ARGUMENTS_NEEDED, true, true, execute_mail },
    { "NOOP", ANY, ARGUMENTS_IGNORED, true, true, execute_noop },
    { "POST", ANY, ARGUMENTS_IGNORED, true, true, execute_foreign },
    { "QUIT", ANY, ARGUMENTS_NONE, true, true, execute_quit },
    { "RCPT", STATE_BIT(ENVELOPE), ARGUMENTS_NEEDED, true, true, execute_rcpt },
    { "RSET", ANY, ARGUMENTS_NONE, true, true, execute_rset },
    { "STARTTLS", STATE_BIT(GREETED) | STATE_BIT(READY), ARGUMENTS_NONE, true, true,
      execute_starttls },
    { "VRFY", ANY, ARGUMENTS_NEEDED, true, true, execute_vrfy },
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

static enum smtp_server_event execute(struct smtp_server *server, struct span line,
                                      struct buffer *out)
{
    struct span arguments = span_trim(line);
    struct span verb = span_split(&arguments, ' ');
    const struct command *command = find_command(server->options.flavor, verb);

    arguments = span_trim(arguments);
    if (!command)
        return refuse(server, 500, "5.5.1", "Unknown command", out);
    if (!(command->states & STATE_BIT(server->state.current)))
        return refuse(server, 503, "5.5.1", "Not now: the order of commands is wrong", out);
    if (command->arguments == ARGUMENTS_NONE && arguments.length > 0)
        return refuse(server, 501, "5.5.4", "No argument is allowed", out);
    if (command->arguments == ARGUMENTS_NEEDED && arguments.length == 0)
        return refuse(server, 501, "5.5.4", "An argument is needed", out);
    return command->execute(server, arguments, out);
}

/*
 * Drops what a line has beyond its limit.  NEED_INPUT: its end has not come; END: it will not be
 * waited for; FLUSH, which this cannot give otherwise: it is over, go on.
 */
static enum smtp_server_event skip_long_line(struct smtp_server *server, struct span *in,
                                             struct buffer *out)
{
    size_t left = LONG_LINE_MAX - server->line_skipped;
    size_t lf = span_find(span_take(*in, left), '\n');
    size_t skipped;

    if (lf >= left) {
        smtp_server_goodbye(server, "The line is too long", out);
        *in = span_drop(*in, in->length);
        return SMTP_SERVER_END;
    }
    if (lf == in->length) {
        /* A CR stays: whether the line ends well is told by the byte before its LF. */
        skipped = lf > 0 && in->data[lf - 1] == '\r' ? lf - 1 : lf;
        server->line_skipped += skipped;
        *in = span_drop(*in, skipped);
        return SMTP_SERVER_NEED_INPUT;
    }
    server->line_is_too_long = false;
    server->line_is_broken = lf == 0 || in->data[lf - 1] != '\r';
    *in = span_drop(*in, lf + 1);
    return SMTP_SERVER_FLUSH;
}

/* Takes the next command line and executes it. */
static enum smtp_server_event next_command(struct smtp_server *server, struct span *in,
                                           struct buffer *out)
{
    size_t lf = span_find(span_take(*in, COMMAND_LINE_MAX), '\n');
    bool was_broken = server->line_is_broken;
    struct span line;

    if (lf >= COMMAND_LINE_MAX) {
        server->line_is_too_long = true;
        server->line_skipped = 0;
        return refuse(server, 500, "5.5.2", "The line is too long", out);
    }
    line = span_take(*in, lf);
    *in = span_drop(*in, lf + 1);
    server->line_is_broken = lf == 0 || line.data[lf - 1] != '\r';
    if (!server->line_is_broken)
        line.length--;
    if (was_broken || server->line_is_broken || span_has_line_break_or_nul(line))
        return refuse(server, 500, "5.5.2", "A line ends in CRLF and has no CR, LF or NUL in it",
                      out);
    return execute(server, line, out);
}

static enum smtp_server_event read_commands(struct smtp_server *server, struct span *in,
                                            struct buffer *out)
{
    enum smtp_server_event event = SMTP_SERVER_NEED_INPUT;

    while (event == SMTP_SERVER_NEED_INPUT) {
        if (buffer_room(out) < MACHINE_REPLY_ROOM)
            return SMTP_SERVER_FLUSH;
        if (server->line_is_too_long) {
            event = skip_long_line(server, in, out);
            if (event != SMTP_SERVER_FLUSH)
                return event;
        }
        if (in->length < COMMAND_LINE_MAX && span_find(*in, '\n') == in->length)
            return SMTP_SERVER_NEED_INPUT;
        event = next_command(server, in, out);
    }
    return event;
}

/* Takes from now on nothing of this message, and tells the session. */
static enum smtp_server_event refuse_content(struct smtp_server *server)
{
    state_move(&server->state, SKIPPING);
    return SMTP_SERVER_CONTENT_BROKEN;
}

/* Hands a piece of content out, but no byte behind the limit. */
static enum smtp_server_event hand_out(struct smtp_server *server, struct span piece)
{
    uint64_t room = server->options.size_max - server->content_bytes;

    server->content_is_too_big = piece.length > room;
    server->content = server->content_is_too_big ? span_take(piece, (size_t)room) : piece;
    server->content_bytes += server->content.length;
    return server->content.length > 0 ? SMTP_SERVER_CONTENT : refuse_content(server);
}

static enum smtp_server_event read_content(struct smtp_server *server, struct span *in)
{
    struct span piece;

    if (server->content_is_too_big)
        return refuse_content(server);
    switch (smtp_content_next(&server->content_reader, in, &piece)) {
    case SMTP_CONTENT_PIECE:
        return hand_out(server, piece);
    case SMTP_CONTENT_BROKEN:
        server->content_is_broken = true;
        return refuse_content(server);
    case SMTP_CONTENT_END:
        state_move(&server->state, ASKED_FINAL);
        return SMTP_SERVER_CONTENT_END;
    default:
        return SMTP_SERVER_NEED_INPUT;
    }
}

/* One reply more after the content; the last one ends the transaction. */
static void count_final_reply(struct smtp_server *server)
{
    server->final_replies++;
    if (server->options.flavor == MAIL_LMTP && server->final_replies < server->recipients_accepted)
        return;
    server->recipients_accepted = 0;
    state_move(&server->state, READY);
}

static enum smtp_server_event write_refusals(struct smtp_server *server, struct buffer *out)
{
    while (server->state.current == REFUSING) {
        if (buffer_room(out) < MACHINE_REPLY_ROOM)
            return SMTP_SERVER_FLUSH;
        if (server->content_is_broken)
            say(554, "5.6.0", "The message has a bare CR or LF in it", out);
        else
            say(552, "5.3.4", "The message is larger than this server takes", out);
        count_final_reply(server);
    }
    return SMTP_SERVER_NEED_INPUT;
}

enum smtp_server_event smtp_server_next(struct smtp_server *server, struct span *in,
                                        struct buffer *out)
{
    enum smtp_server_event event;

    switch (server->state.current) {
    case DONE:
        return SMTP_SERVER_END;
    case CONTENT:
        return read_content(server, in);
    case SKIPPING:
        if (smtp_content_skip(&server->content_reader, in) != SMTP_CONTENT_END)
            return SMTP_SERVER_NEED_INPUT;
        state_move(&server->state, REFUSING);
        /* fall through */
    case REFUSING:
        event = write_refusals(server, out);
        return event == SMTP_SERVER_FLUSH ? event : read_commands(server, in, out);
    default:
        assert(ANY & STATE_BIT(server->state.current));
        return read_commands(server, in, out);
    }
}

void smtp_server_init(struct smtp_server *server, const struct smtp_server_options *options,
                      struct buffer *out)
{
    *server = (struct smtp_server){ .options = *options };
    state_init(&server->state, states, GREETED);
    buffer_append_format(out, "220 %s %s ready\r\n", options->hostname,
                         options->flavor == MAIL_LMTP ? "LMTP" : "ESMTP");
}

void smtp_server_tls_started(struct smtp_server *server)
{
    assert(server->state.current == ASKED_STARTTLS);
    server->options.tls_active = true;
    /* RFC 3207 section 4.2: what was said before is forgotten. */
    server->helo[0] = '\0';
    server->is_extended = false;
    state_move(&server->state, GREETED);
}

static void begin_content(struct smtp_server *server)
{
    smtp_content_begin(&server->content_reader);
    server->content_bytes = 0;
    server->content_is_broken = false;
    server->content_is_too_big = false;
    server->final_replies = 0;
    state_move(&server->state, CONTENT);
}

void smtp_server_reply(struct smtp_server *server, const struct mail_reply *reply,
                       struct buffer *out)
{
    bool is_positive = mail_reply_is_positive(reply);
    unsigned asked = server->state.current;

    assert(asked == ASKED_MAIL || asked == ASKED_RCPT || asked == ASKED_DATA ||
           asked == ASKED_FINAL);
    assert(!is_positive || (asked == ASKED_DATA) == (reply->code == 354));
    smtp_reply_write(reply, out);
    if (reply->code == 421) {
        state_move(&server->state, DONE);
    } else if (asked == ASKED_FINAL) {
        count_final_reply(server);
    } else if (asked == ASKED_MAIL) {
        state_move(&server->state, is_positive ? ENVELOPE : READY);
    } else if (asked == ASKED_DATA && is_positive) {
        begin_content(server);
    } else {
        server->recipients_accepted += asked == ASKED_RCPT && is_positive;
        state_move(&server->state, ENVELOPE);
    }
}

void smtp_server_goodbye(struct smtp_server *server, const char *text, struct buffer *out)
{
    say(421, "4.3.2", text, out);
    state_move(&server->state, DONE);
}
