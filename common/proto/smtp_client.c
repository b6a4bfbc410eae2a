/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The machine's states are the steps up to READY, which it takes alone, and the
 * parts of a transaction, in which the session sends and only replies are read here.  A
 * reply that no command asked for, or of a class that the command cannot have, fails the
 * connection: from then on nobody could say which reply answers which recipient.
 */
#include "common/proto/smtp_client.h"

#include <assert.h>

#include "common/base/base64.h"
#include "common/base/memory.h"
#include "common/proto/smtp_path.h"
#include "common/proto/xtext.h"

enum {
    AWAITING_GREETING,
    SENDING_HELLO,
    AWAITING_HELLO,
    AWAITING_STARTTLS,
    ASKED_STARTTLS,
    SENDING_AUTH,
    AWAITING_USER_PROMPT, /* AUTH LOGIN */
    AWAITING_PASSWORD_PROMPT,
    AWAITING_AUTH,
    AWAITING_XCLIENT,
    READY,
    ENVELOPE, /* MAIL was sent */
    CONTENT,  /* DATA was accepted; the session writes */
    FINAL,    /* the content's end was sent, or its length was said */
    QUITTING,
    REFUSED,
    FAILED
};

/* A user name, a password of 1024 bytes, and two NULs. */
enum { AUTH_MESSAGE_MAX = 1281 };

#define ENDS (STATE_BIT(QUITTING) | STATE_BIT(REFUSED) | STATE_BIT(FAILED))

static const struct state_row states[] = {
    [AWAITING_GREETING] = { "awaiting-greeting", STATE_BIT(SENDING_HELLO) | ENDS },
    [SENDING_HELLO] = { "sending-hello", STATE_BIT(AWAITING_HELLO) | ENDS },
    [AWAITING_HELLO] = { "awaiting-hello", STATE_BIT(AWAITING_STARTTLS) | STATE_BIT(SENDING_AUTH) |
                                               STATE_BIT(READY) | ENDS },
    [AWAITING_STARTTLS] = { "awaiting-starttls", STATE_BIT(ASKED_STARTTLS) | ENDS },
    [ASKED_STARTTLS] = { "asked-starttls", STATE_BIT(SENDING_HELLO) | ENDS },
    [SENDING_AUTH] = { "sending-auth",
                       STATE_BIT(AWAITING_AUTH) | STATE_BIT(AWAITING_USER_PROMPT) | ENDS },
    [AWAITING_USER_PROMPT] = { "awaiting-user-prompt", STATE_BIT(AWAITING_PASSWORD_PROMPT) | ENDS },
    [AWAITING_PASSWORD_PROMPT] = { "awaiting-password-prompt", STATE_BIT(AWAITING_AUTH) | ENDS },
    [AWAITING_AUTH] = { "awaiting-auth", STATE_BIT(READY) | ENDS },
    [AWAITING_XCLIENT] = { "awaiting-xclient", STATE_BIT(AWAITING_HELLO) | ENDS },
    [READY] = { "ready", STATE_BIT(ENVELOPE) | STATE_BIT(AWAITING_XCLIENT) | ENDS },
    [ENVELOPE] = { "envelope", STATE_BIT(READY) | STATE_BIT(CONTENT) | STATE_BIT(FINAL) | ENDS },
    [CONTENT] = { "content", STATE_BIT(FINAL) | ENDS },
    [FINAL] = { "final", STATE_BIT(READY) | STATE_BIT(ENVELOPE) | ENDS },
    [QUITTING] = { "quitting", ENDS },
    [REFUSED] = { "refused", ENDS },
    [FAILED] = { "failed", ENDS },
};

static enum smtp_client_event fail(struct smtp_client *client, const char *problem)
{
    client->problem = problem;
    client->reply = (struct mail_reply){ .code = 0 };
    state_move(&client->state, FAILED);
    return SMTP_CLIENT_FAILED;
}

static bool is_reply_awaited(const struct smtp_client *client)
{
    return client->awaiting_mail || client->awaiting_data || client->awaiting_rset ||
           client->recipients_answered < client->recipients_sent ||
           client->finals_answered < client->finals_expected;
}

static void write_hello(const struct smtp_client *client, struct buffer *out)
{
    buffer_append_format(out, "%s %s\r\n", client->options.flavor == MAIL_LMTP ? "LHLO" : "EHLO",
                         client->options.hostname);
}

static void forget_extensions(struct smtp_client *client)
{
    client->offers_pipelining = client->offers_8bitmime = client->offers_size = false;
    client->offers_starttls = client->offers_auth_plain = client->offers_auth_login = false;
    client->offers_smtputf8 = client->offers_enhanced = client->offers_dsn = false;
    client->offers_chunking = client->offers_xclient = false;
    client->size_limit = 0;
}

static void send_hello(struct smtp_client *client, struct buffer *out)
{
    write_hello(client, out);
    forget_extensions(client);
    state_move(&client->state, AWAITING_HELLO);
}

/* RFC 4616, with an initial response; false when name or password are longer than is sensible. */
static bool send_auth_plain(struct smtp_client *client, struct buffer *out)
{
    char memory[AUTH_MESSAGE_MAX];
    struct buffer message = buffer_over(memory, sizeof(memory));
    bool fits;

    buffer_append_byte(&message, '\0');
    buffer_append_string(&message, client->options.user);
    buffer_append_byte(&message, '\0');
    fits = buffer_append_string(&message, client->options.password);
    if (fits) {
        buffer_append_string(out, "AUTH PLAIN ");
        base64_encode(buffer_span(&message), out);
        buffer_append_string(out, "\r\n");
        state_move(&client->state, AWAITING_AUTH);
    }
    explicit_bzero(memory, sizeof(memory));
    return fits;
}

static bool send_auth(struct smtp_client *client, struct buffer *out)
{
    if (client->offers_auth_plain)
        return send_auth_plain(client, out);
    buffer_append_string(out, "AUTH LOGIN\r\n");
    state_move(&client->state, AWAITING_USER_PROMPT);
    return true;
}

/* One of the two answers of AUTH LOGIN. */
static enum smtp_client_event answer_prompt(struct smtp_client *client, const char *answer,
                                            unsigned next, struct buffer *out)
{
    if (strlen(answer) >= AUTH_MESSAGE_MAX)
        return fail(client, "its credentials are too long");
    base64_encode(span_from_string(answer), out);
    buffer_append_string(out, "\r\n");
    state_move(&client->state, next);
    return SMTP_CLIENT_NEED_INPUT;
}

static bool has_word(struct span words, struct span word)
{
    while (words.length > 0)
        if (span_equals_ignore_case(span_split(&words, ' '), word))
            return true;
    return false;
}

static bool has_all_attributes(struct span words)
{
    return has_word(words, SPAN_LITERAL("ADDR")) && has_word(words, SPAN_LITERAL("SESSION")) &&
           has_word(words, SPAN_LITERAL("TTL"));
}

/* One line of the answer to EHLO, RFC 5321 section 4.1.1.1. */
static void note_extension(struct smtp_client *client, struct span line)
{
    const struct {
        struct span keyword;
        bool *offered;
    } extensions[] = {
        { SPAN_LITERAL("8BITMIME"), &client->offers_8bitmime },
        { SPAN_LITERAL("CHUNKING"), &client->offers_chunking },
        { SPAN_LITERAL("DSN"), &client->offers_dsn },
        { SPAN_LITERAL("ENHANCEDSTATUSCODES"), &client->offers_enhanced },
        { SPAN_LITERAL("PIPELINING"), &client->offers_pipelining },
        { SPAN_LITERAL("SIZE"), &client->offers_size },
        { SPAN_LITERAL("SMTPUTF8"), &client->offers_smtputf8 },
        { SPAN_LITERAL("STARTTLS"), &client->offers_starttls },
    };
    struct span arguments = span_trim(line);
    struct span keyword = span_split(&arguments, ' ');

    for (size_t i = 0; i < ARRAY_LENGTH(extensions); i++)
        if (span_equals_ignore_case(keyword, extensions[i].keyword))
            *extensions[i].offered = true;
    client->offers_chunking &= !client->is_chunking_refused;
    if (span_equals_ignore_case(keyword, SPAN_LITERAL("SIZE")) &&
        !span_parse_u64(span_trim(arguments), &client->size_limit))
        client->size_limit = 0;
    if (span_equals_ignore_case(keyword, SPAN_LITERAL("XCLIENT")))
        client->offers_xclient = !client->is_xclient_refused && has_all_attributes(arguments);
    if (span_equals_ignore_case(keyword, SPAN_LITERAL("AUTH")) &&
        has_word(arguments, SPAN_LITERAL("PLAIN")))
        client->offers_auth_plain = true;
    if (span_equals_ignore_case(keyword, SPAN_LITERAL("AUTH")) &&
        has_word(arguments, SPAN_LITERAL("LOGIN")))
        client->offers_auth_login = true;
}

/* What MAIL and RCPT are written by. */
static unsigned offered(const struct smtp_client *client)
{
    const bool offers[] = { client->offers_pipelining, client->offers_8bitmime, client->offers_size,
                            client->offers_smtputf8, client->offers_dsn };
    unsigned set = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(offers); i++)
        set |= (unsigned)offers[i] << i;
    return set;
}

static enum smtp_client_event become_ready(struct smtp_client *client)
{
    client->was_ready = true;
    state_move(&client->state, READY);
    if (client->awaiting_mail && (client->offered_before & ~offered(client))) {
        client->offers_less = true;
        return fail(client, "offers less behind XCLIENT than before");
    }
    if (client->awaiting_mail)
        state_move(&client->state, ENVELOPE);
    return SMTP_CLIENT_READY;
}

/* The hello was accepted: what is the next step? */
static enum smtp_client_event use_extensions(struct smtp_client *client, struct buffer *out)
{
    if (client->options.starttls && !client->tls_active) {
        if (!client->offers_starttls)
            return fail(client, "offers no STARTTLS");
        buffer_append_string(out, "STARTTLS\r\n");
        state_move(&client->state, AWAITING_STARTTLS);
        return SMTP_CLIENT_NEED_INPUT;
    }
    if (!client->options.user || client->was_ready)
        return become_ready(client);
    if (!client->offers_auth_plain && !client->offers_auth_login)
        return fail(client, "offers neither AUTH PLAIN nor AUTH LOGIN");
    state_move(&client->state, SENDING_AUTH);
    return SMTP_CLIENT_NEED_INPUT;
}

/* A whole reply in one of the steps up to READY. */
static enum smtp_client_event take_step(struct smtp_client *client, struct buffer *out)
{
    int class = client->reply.code / 100;

    if (client->state.current == AWAITING_XCLIENT && class != 3 && client->reply.code != 421) {
        client->is_xclient_refused = class != 2;
        forget_extensions(client);
        state_move(&client->state, AWAITING_HELLO);
        return SMTP_CLIENT_NEED_INPUT;
    }
    if (class == 4 || class == 5) {
        state_move(&client->state, REFUSED);
        return SMTP_CLIENT_REFUSED;
    }
    if (class == 3 && client->state.current == AWAITING_USER_PROMPT)
        return answer_prompt(client, client->options.user, AWAITING_PASSWORD_PROMPT, out);
    if (class == 3 && client->state.current == AWAITING_PASSWORD_PROMPT)
        return answer_prompt(client, client->options.password, AWAITING_AUTH, out);
    if (class != 2 || client->state.current == AWAITING_USER_PROMPT ||
        client->state.current == AWAITING_PASSWORD_PROMPT)
        return fail(client, NULL);
    switch (client->state.current) {
    case AWAITING_GREETING:
        state_move(&client->state, SENDING_HELLO);
        return SMTP_CLIENT_NEED_INPUT;
    case AWAITING_HELLO:
        return use_extensions(client, out);
    case AWAITING_STARTTLS:
        state_move(&client->state, ASKED_STARTTLS);
        return SMTP_CLIENT_STARTTLS;
    default:
        assert(client->state.current == AWAITING_AUTH);
        return become_ready(client);
    }
}

/* Finds the oldest command that is not yet answered; false when there is none. */
static bool take_oldest(struct smtp_client *client)
{
    client->index = 0;
    if (client->awaiting_mail) {
        client->awaiting_mail = false;
        client->replied = SMTP_CLIENT_MAIL;
    } else if (client->recipients_answered < client->recipients_sent) {
        client->replied = SMTP_CLIENT_RCPT;
        client->index = client->recipients_answered++;
    } else if (client->awaiting_data) {
        client->awaiting_data = false;
        client->replied = SMTP_CLIENT_DATA;
    } else if (client->finals_answered < client->finals_expected) {
        client->replied = SMTP_CLIENT_FINAL;
        client->index = client->finals_answered++;
    } else if (client->awaiting_rset) {
        client->awaiting_rset = false;
        client->replied = SMTP_CLIENT_RSET;
    } else {
        return false;
    }
    return true;
}

/* True when `replied` may have a reply of this code. */
static bool is_possible(const struct smtp_client *client)
{
    int class = client->reply.code / 100;

    if (client->replied == SMTP_CLIENT_RSET)
        return class == 2;
    if (client->replied == SMTP_CLIENT_DATA && class < 4)
        return client->reply.code == 354;
    return class != 3;
}

/* RFC 5321 section 4.2.3: it is about a command, not about what came with it. */
static bool is_about_command(const struct mail_reply *reply)
{
    return reply->code >= 500 && reply->code <= 504;
}

/* RFC 3030 section 2: a chunk that is refused leaves the transaction in a state that RSET ends. */
static void take_refused_chunk(struct smtp_client *client)
{
    client->is_chunk_refused = true;
    if (!is_about_command(&client->reply))
        return;
    client->is_chunking_refused = true;
    client->offers_chunking = false;
    client->reply.code = 451;
    if (client->reply.enhanced[0])
        client->reply.enhanced[0] = '4';
}

static void take_final(struct smtp_client *client)
{
    if (client->is_chunk && !mail_reply_is_positive(&client->reply))
        take_refused_chunk(client);
    if (!is_reply_awaited(client))
        state_move(&client->state, client->is_chunk_refused ? ENVELOPE : READY);
}

/* A whole reply within a transaction, or outside of one. */
static enum smtp_client_event take_reply(struct smtp_client *client)
{
    if (client->reply.code == 421) {
        state_move(&client->state, FAILED);
        return SMTP_CLIENT_FAILED;
    }
    if (!take_oldest(client) || !is_possible(client))
        return fail(client, NULL);
    if (client->replied == SMTP_CLIENT_DATA && client->reply.code == 354)
        state_move(&client->state, CONTENT);
    else if (client->replied == SMTP_CLIENT_RSET)
        state_move(&client->state, READY);
    else if (client->replied == SMTP_CLIENT_FINAL)
        take_final(client);
    return SMTP_CLIENT_REPLY;
}

/* Writes what is to be written without a reply to wait for. */
static bool send_step(struct smtp_client *client, struct buffer *out)
{
    if (client->state.current == SENDING_HELLO)
        send_hello(client, out);
    return client->state.current != SENDING_AUTH || send_auth(client, out);
}

static enum smtp_client_event read_reply(struct smtp_client *client, struct span *in,
                                         struct buffer *out)
{
    switch (smtp_reply_read(&client->reader, in)) {
    case SMTP_REPLY_NEED_INPUT:
        return SMTP_CLIENT_NEED_INPUT;
    case SMTP_REPLY_BROKEN:
        return fail(client, NULL);
    case SMTP_REPLY_LINE:
    case SMTP_REPLY_LAST:
        break;
    }
    if (client->state.current == AWAITING_HELLO && client->reader.lines > 1 &&
        client->reader.reply.code == 250)
        note_extension(client, client->reader.line);
    if (!client->reader.is_whole)
        return SMTP_CLIENT_NEED_INPUT;
    client->reply = client->reader.reply;
    return client->state.current < READY ? take_step(client, out) : take_reply(client);
}

enum smtp_client_event smtp_client_next(struct smtp_client *client, struct span *in,
                                        struct buffer *out)
{
    enum smtp_client_event event = SMTP_CLIENT_NEED_INPUT;
    size_t before;

    assert(client->state.current != ASKED_STARTTLS);
    do {
        switch (client->state.current) {
        case QUITTING:
            *in = span_drop(*in, in->length);
            return SMTP_CLIENT_NEED_INPUT;
        case REFUSED:
            return SMTP_CLIENT_REFUSED;
        case FAILED:
            return SMTP_CLIENT_FAILED;
        default:
            break;
        }
        if (buffer_room(out) < MACHINE_REPLY_ROOM)
            return SMTP_CLIENT_FLUSH;
        if (!send_step(client, out))
            return fail(client, "its credentials are too long");
        before = in->length;
        event = read_reply(client, in, out);
    } while (event == SMTP_CLIENT_NEED_INPUT && in->length < before);
    return event;
}

void smtp_client_init(struct smtp_client *client, const struct smtp_client_options *options)
{
    assert(!options->user || options->password);
    *client = (struct smtp_client){ .options = *options };
    state_init(&client->state, states, AWAITING_GREETING);
}

void smtp_client_tls_started(struct smtp_client *client)
{
    client->tls_active = true;
    state_move(&client->state, SENDING_HELLO);
}

void smtp_client_forward(struct smtp_client *client, const struct forwarded *forwarded,
                         struct buffer *out)
{
    assert(client->state.current == READY && client->offers_xclient && client->offers_pipelining);
    buffer_append_string(out, "XCLIENT");
    if (forwarded->address[0])
        buffer_append_format(out, strchr(forwarded->address, ':') ? " ADDR=IPV6:%s" : " ADDR=%s",
                             forwarded->address);
    if (forwarded->port > 0)
        buffer_append_format(out, " PORT=%u", (unsigned)forwarded->port);
    if (forwarded->session_id[0]) {
        buffer_append_string(out, " SESSION=");
        xtext_encode(span_from_string(forwarded->session_id), out);
    }
    buffer_append_format(out, " TTL=%u\r\n", forwarded->ttl);
    write_hello(client, out);
    client->offered_before = offered(client);
    state_move(&client->state, AWAITING_XCLIENT);
}

/* MAIL was sent, and no content is due yet. */
static bool is_in_envelope(const struct smtp_client *client)
{
    return client->state.current == ENVELOPE ||
           (client->state.current == AWAITING_XCLIENT && client->awaiting_mail);
}

/* Whether it may stand in the transaction at hand. */
static bool is_sendable(const struct smtp_client *client, const char *path)
{
    return smtp_path_is_safe(path) && (client->is_utf8 || span_is_ascii(span_from_string(path)));
}

/* What came as a parameter, maybe from a file since, cannot end it now. */
static bool is_word(const char *text)
{
    for (; *text; text++)
        if (*text == 0x7f || (unsigned char)*text <= ' ')
            return false;
    return true;
}

static void append_mail_parameters(const struct smtp_client *client,
                                   const struct mail_parameters *parameters, struct buffer *out)
{
    if (client->offers_size && parameters->size > 0)
        buffer_append_format(out, " SIZE=%llu", (unsigned long long)parameters->size);
    if (client->offers_8bitmime && parameters->body_8bit)
        buffer_append_string(out, " BODY=8BITMIME");
    if (parameters->is_utf8)
        buffer_append_string(out, " SMTPUTF8");
    if (client->offers_dsn && parameters->ret != MAIL_RETURN_UNSAID)
        buffer_append_string(out, parameters->ret == MAIL_RETURN_FULL ? " RET=FULL" : " RET=HDRS");
    if (client->offers_dsn && parameters->envid[0] && is_word(parameters->envid))
        buffer_append_format(out, " ENVID=%s", parameters->envid);
}

bool smtp_client_mail(struct smtp_client *client, const char *reverse_path,
                      const struct mail_parameters *parameters, struct buffer *out)
{
    assert(client->state.current == READY ||
           (client->state.current == AWAITING_XCLIENT && !client->awaiting_mail));
    client->is_utf8 = parameters->is_utf8;
    client->is_chunk = client->is_chunk_refused = false;
    if (!is_sendable(client, reverse_path))
        return false;
    buffer_append_format(out, "MAIL FROM:<%s>", reverse_path);
    append_mail_parameters(client, parameters, out);
    buffer_append_string(out, "\r\n");
    client->recipients_sent = client->recipients_answered = 0;
    client->finals_expected = client->finals_answered = 0;
    client->awaiting_mail = true;
    if (client->state.current == READY)
        state_move(&client->state, ENVELOPE);
    return true;
}

static void append_recipient_parameters(const struct mail_recipient_parameters *parameters,
                                        struct buffer *out)
{
    if (parameters->notify != 0) {
        buffer_append_string(out, " NOTIFY=");
        mail_notify_write(parameters->notify, out);
    }
    if (parameters->orcpt[0] && is_word(parameters->orcpt))
        buffer_append_format(out, " ORCPT=%s", parameters->orcpt);
}

bool smtp_client_rcpt(struct smtp_client *client, const char *recipient,
                      const struct mail_recipient_parameters *parameters, struct buffer *out)
{
    assert(is_in_envelope(client) && !client->awaiting_data && !client->awaiting_rset);
    assert(client->offers_pipelining || !is_reply_awaited(client));
    if (recipient[0] == '\0' || !is_sendable(client, recipient))
        return false;
    buffer_append_format(out, "RCPT TO:<%s>", recipient);
    if (parameters && client->offers_dsn)
        append_recipient_parameters(parameters, out);
    buffer_append_string(out, "\r\n");
    client->recipients_sent++;
    return true;
}

void smtp_client_data(struct smtp_client *client, struct buffer *out)
{
    assert(is_in_envelope(client) && client->recipients_sent > 0);
    assert(!client->awaiting_data && !client->awaiting_rset);
    assert(client->offers_pipelining || !is_reply_awaited(client));
    buffer_append_string(out, "DATA\r\n");
    client->awaiting_data = true;
}

/* From here on the peer may have all of the message. */
static void expect_finals(struct smtp_client *client, unsigned accepted)
{
    assert(accepted > 0);
    client->finals_expected = client->options.flavor == MAIL_LMTP ? accepted : 1;
    client->finals_answered = 0;
    state_move(&client->state, FINAL);
}

void smtp_client_content_end(struct smtp_client *client, unsigned accepted)
{
    assert(client->state.current == CONTENT);
    expect_finals(client, accepted);
}

void smtp_client_chunk(struct smtp_client *client, size_t size, unsigned accepted,
                       struct buffer *out)
{
    assert(client->state.current == ENVELOPE && client->recipients_sent > 0);
    assert(client->offers_chunking && !is_reply_awaited(client));
    buffer_append_format(out, "BDAT %zu LAST\r\n", size);
    client->is_chunk = true;
    expect_finals(client, accepted);
}

bool smtp_client_may_reset(const struct smtp_client *client)
{
    return client->state.current == ENVELOPE && !is_reply_awaited(client);
}

bool smtp_client_is_ready(const struct smtp_client *client)
{
    return client->state.current == READY;
}

bool smtp_client_may_go_on(const struct smtp_client *client)
{
    return smtp_client_is_ready(client) ||
           (client->state.current == ENVELOPE && client->awaiting_rset);
}

bool smtp_client_may_quit(const struct smtp_client *client)
{
    return smtp_client_is_ready(client) ||
           (client->state.current == ENVELOPE && !client->awaiting_data);
}

void smtp_client_reset(struct smtp_client *client, struct buffer *out)
{
    assert(smtp_client_may_reset(client));
    buffer_append_string(out, "RSET\r\n");
    client->awaiting_rset = true;
}

void smtp_client_quit(struct smtp_client *client, struct buffer *out)
{
    assert(client->state.current != CONTENT);
    buffer_append_string(out, "QUIT\r\n");
    state_move(&client->state, QUITTING);
}
