/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays the transcripts of the mail machines.
 *
 * Options of a server: submission first (AUTH by all mechanisms but EXTERNAL), and words of tls
 * (STARTTLS is available), secure (TLS is active), trusted, plaintext, dsn, utf8,
 * convert (bare line ends), and size=N, recipients=N, errors=N.  Answers: tls, CODE ENHANCED TEXT
 * (ENHANCED may be "-"), judged CODE ENHANCED TEXT, goodbye TEXT.
 *
 * Options of a client: starttls alone, user=NAME, password=WORD.  Answers: tls,
 * mail PATH [size=N] [8bit] [utf8] [full] [hdrs] [envid=TEXT], rcpt PATH, rcpt-dsn PATH NOTIFY
 * ORCPT (the bits of the one, and the other or "-"), unsafe PATH (which must be refused), data,
 * content TEXT (written as it is), end ACCEPTED, chunk SIZE ACCEPTED, reset, quit,
 * forward ADDRESS PORT SESSION TTL.
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/proto/smtp_client.h"
#include "common/proto/smtp_server.h"
#include "tests/transcripts/runner.h"
#include "tests/transcripts/secret.h"

/* Reads "KEY=NUMBER" when `word` begins with "KEY=". */
static bool number_option(struct span word, const char *key, uint64_t *value)
{
    struct span name = span_split(&word, '=');

    return span_equals(name, span_from_string(key)) && span_parse_u64(word, value);
}

/* A server machine, and what its options point to. */
struct mail_server {
    struct smtp_server machine;
    struct smtp_server_auth auth;
};

static bool server_option(struct smtp_server_options *options, struct span word)
{
    uint64_t number;

    if (span_equals(word, SPAN_LITERAL("tls")))
        options->tls_available = true;
    else if (span_equals(word, SPAN_LITERAL("secure")))
        options->tls_active = true;
    else if (span_equals(word, SPAN_LITERAL("trusted")))
        options->peer_is_trusted = true;
    else if (span_equals(word, SPAN_LITERAL("dsn")))
        options->offers_dsn = true;
    else if (span_equals(word, SPAN_LITERAL("utf8")))
        options->offers_utf8 = true;
    else if (span_equals(word, SPAN_LITERAL("convert")))
        options->converts_line_ends = true;
    else if (span_equals(word, SPAN_LITERAL("plaintext")) && options->auth)
        options->auth->plaintext_allowed = true;
    else if (number_option(word, "size", &number))
        options->size_max = number;
    else if (number_option(word, "recipients", &number))
        options->recipients_max = (unsigned)number;
    else if (number_option(word, "errors", &number))
        options->errors_max = (unsigned)number;
    else
        return false;
    return true;
}

static bool server_init(struct mail_server *server, enum mail_flavor flavor, struct span words,
                        struct buffer *out)
{
    const struct span submission = SPAN_LITERAL("submission");
    struct smtp_server_options options = { .flavor = flavor,
                                           .hostname = "mx.example.org",
                                           .size_max = 100000,
                                           .recipients_max = 10,
                                           .errors_max = 10 };

    server->auth = (struct smtp_server_auth){
        .sasl.mechanisms = SASL_BIT(SASL_PLAIN) | SASL_BIT(SASL_LOGIN) | SASL_BIT(SASL_XOAUTH2) |
                           SASL_BIT(SASL_OAUTHBEARER),
    };
    if (span_equals(span_take(words, submission.length), submission)) {
        options.auth = &server->auth;
        (void)transcript_take_word(&words);
    }
    while (words.length > 0)
        if (!server_option(&options, transcript_take_word(&words)))
            return false;
    smtp_server_init(&server->machine, &options, out);
    return true;
}

static bool smtp_server_start(void *subject, struct span options, struct buffer *out)
{
    return server_init(subject, MAIL_SMTP, options, out);
}

static bool lmtp_server_start(void *subject, struct span options, struct buffer *out)
{
    return server_init(subject, MAIL_LMTP, options, out);
}

static enum transcript_step note_mail(const struct smtp_server *server, struct buffer *note)
{
    buffer_append_format(note, "MAIL <%s>", server->reverse_path);
    if (server->parameters.size > 0)
        buffer_append_format(note, " size=%llu", (unsigned long long)server->parameters.size);
    if (server->parameters.body_8bit)
        buffer_append_string(note, " 8bit");
    if (server->parameters.is_utf8)
        buffer_append_string(note, " utf8");
    if (server->parameters.ret != MAIL_RETURN_UNSAID)
        buffer_append_string(note, server->parameters.ret == MAIL_RETURN_FULL ? " full" : " hdrs");
    if (server->parameters.envid[0])
        buffer_append_format(note, " envid=%s", server->parameters.envid);
    return TRANSCRIPT_QUESTION;
}

static enum transcript_step note_rcpt(const struct smtp_server *server, struct buffer *note)
{
    buffer_append_format(note, "RCPT <%s>", server->recipient);
    if (server->recipient_parameters.notify != 0) {
        buffer_append_string(note, " notify=");
        mail_notify_write(server->recipient_parameters.notify, note);
    }
    if (server->recipient_parameters.orcpt[0])
        buffer_append_format(note, " orcpt=%s", server->recipient_parameters.orcpt);
    return TRANSCRIPT_QUESTION;
}

static enum transcript_step server_next(void *subject, struct span *in, struct buffer *out,
                                        struct buffer *note)
{
    struct smtp_server *server = &((struct mail_server *)subject)->machine;

    switch (smtp_server_next(server, in, out)) {
    case SMTP_SERVER_NEED_INPUT:
        return TRANSCRIPT_NEED_INPUT;
    case SMTP_SERVER_FLUSH:
        return TRANSCRIPT_FLUSH;
    case SMTP_SERVER_STARTTLS:
        buffer_append_string(note, "STARTTLS");
        return TRANSCRIPT_QUESTION;
    case SMTP_SERVER_CREDENTIALS:
        transcript_note_credentials(&server->options.auth->credentials, note);
        return TRANSCRIPT_QUESTION;
    case SMTP_SERVER_MAIL:
        return note_mail(server, note);
    case SMTP_SERVER_RCPT:
        return note_rcpt(server, note);
    case SMTP_SERVER_DATA:
        buffer_append_format(note, "DATA for %u from %s", server->recipients_accepted,
                             server->helo);
        return TRANSCRIPT_QUESTION;
    case SMTP_SERVER_CONTENT:
        buffer_append(note, server->content);
        return TRANSCRIPT_CONTENT;
    case SMTP_SERVER_CONTENT_END:
        buffer_append_format(note, "CONTENT_END %llu", (unsigned long long)server->content_bytes);
        return TRANSCRIPT_QUESTION;
    case SMTP_SERVER_CONTENT_BROKEN:
        buffer_append_string(note, "CONTENT_BROKEN");
        return TRANSCRIPT_EVENT;
    case SMTP_SERVER_FORWARDED:
        buffer_append_format(note, "FORWARDED %s:%u", server->xclient.client.address,
                             server->xclient.client.port);
        if (server->xclient.name[0])
            buffer_append_format(note, " %s", server->xclient.name);
        return TRANSCRIPT_EVENT;
    case SMTP_SERVER_RESET:
        buffer_append_string(note, "RESET");
        return TRANSCRIPT_EVENT;
    case SMTP_SERVER_END:
        buffer_append_string(note, "END");
        return TRANSCRIPT_END;
    }
    abort();
}

/* "CODE ENHANCED TEXT" as a reply. */
static bool read_reply(struct span words, struct mail_reply *reply)
{
    struct span code_word = transcript_take_word(&words);
    struct span enhanced_word = transcript_take_word(&words);
    char enhanced[12], text[MAIL_REPLY_TEXT_SIZE];
    uint64_t code;

    if (!span_parse_u64(code_word, &code) || code < 200 || code > 599 ||
        !span_copy_string(enhanced_word, enhanced, sizeof(enhanced)) ||
        !span_copy_string(words, text, sizeof(text)))
        return false;
    *reply = mail_reply_of((int)code, strcmp(enhanced, "-") == 0 ? NULL : enhanced, text);
    return true;
}

static enum transcript_answered server_answer(void *subject, struct span answer, struct buffer *out)
{
    struct smtp_server *server = &((struct mail_server *)subject)->machine;
    struct mail_reply reply;
    struct span rest = answer;
    struct span verb = transcript_take_word(&rest);
    char text[256];

    if (span_equals(verb, SPAN_LITERAL("tls"))) {
        smtp_server_tls_started(server);
    } else if (span_equals(verb, SPAN_LITERAL("goodbye"))) {
        if (!span_copy_string(rest, text, sizeof(text)))
            return TRANSCRIPT_UNKNOWN_ANSWER;
        smtp_server_goodbye(server, text, out);
    } else if (span_equals(verb, SPAN_LITERAL("judged"))) {
        if (!read_reply(rest, &reply))
            return TRANSCRIPT_UNKNOWN_ANSWER;
        smtp_server_judged(server, &reply, out);
    } else if (read_reply(answer, &reply)) {
        smtp_server_reply(server, &reply, out);
    } else {
        return TRANSCRIPT_UNKNOWN_ANSWER;
    }
    return TRANSCRIPT_GO_ON;
}

/* A client machine, and the strings that it points to. */
struct mail_client {
    struct smtp_client machine;
    char user[64], password[4096];
};

static bool client_option(struct mail_client *client, struct smtp_client_options *options,
                          struct span word)
{
    struct span key = span_split(&word, '=');

    if (span_equals(key, SPAN_LITERAL("starttls"))) {
        options->starttls = true;
        return true;
    }
    if (span_equals(key, SPAN_LITERAL("user"))) {
        options->user = client->user;
        options->password = client->password;
        return transcript_copy_word(word, client->user, sizeof(client->user));
    }
    return span_equals(key, SPAN_LITERAL("password")) &&
           transcript_copy_word(word, client->password, sizeof(client->password));
}

static bool client_init(struct mail_client *client, enum mail_flavor flavor, struct span words)
{
    struct smtp_client_options options = { .flavor = flavor, .hostname = "fe1.example.org" };
    bool known = true;

    while (words.length > 0)
        known = client_option(client, &options, transcript_take_word(&words)) && known;
    smtp_client_init(&client->machine, &options);
    return known;
}

static bool smtp_client_start(void *subject, struct span options, struct buffer *out)
{
    (void)out;
    return client_init(subject, MAIL_SMTP, options);
}

static bool lmtp_client_start(void *subject, struct span options, struct buffer *out)
{
    (void)out;
    return client_init(subject, MAIL_LMTP, options);
}

/* "READY" and what is offered. */
static enum transcript_step note_ready(const struct smtp_client *client, struct buffer *note)
{
    buffer_append_string(note, "READY");
    if (client->offers_pipelining)
        buffer_append_string(note, " pipelining");
    if (client->offers_8bitmime)
        buffer_append_string(note, " 8bitmime");
    if (client->offers_smtputf8)
        buffer_append_string(note, " smtputf8");
    if (client->offers_dsn)
        buffer_append_string(note, " dsn");
    if (client->offers_enhanced)
        buffer_append_string(note, " enhanced");
    if (client->offers_chunking)
        buffer_append_string(note, " chunking");
    if (client->offers_xclient)
        buffer_append_string(note, " xclient");
    if (client->offers_size)
        buffer_append_format(note, " size=%llu", (unsigned long long)client->size_limit);
    return TRANSCRIPT_EVENT;
}

static void note_reply(const char *event, const struct mail_reply *reply, struct buffer *note)
{
    buffer_append_string(note, event);
    if (reply->code != 0)
        buffer_append_format(note, " %d %s%s%s", reply->code, reply->enhanced,
                             reply->enhanced[0] ? " " : "", reply->text);
}

/* "MAIL 250 ...", "RCPT 0 250 ..." */
static enum transcript_step note_replied(const struct smtp_client *client, struct buffer *note)
{
    static const char *const names[] = { [SMTP_CLIENT_MAIL] = "MAIL",
                                         [SMTP_CLIENT_RCPT] = "RCPT",
                                         [SMTP_CLIENT_DATA] = "DATA",
                                         [SMTP_CLIENT_FINAL] = "FINAL",
                                         [SMTP_CLIENT_RSET] = "RSET" };

    buffer_append_string(note, names[client->replied]);
    if (client->replied == SMTP_CLIENT_RCPT || client->replied == SMTP_CLIENT_FINAL)
        buffer_append_format(note, " %u", client->index);
    note_reply("", &client->reply, note);
    return TRANSCRIPT_EVENT;
}

static enum transcript_step client_next(void *subject, struct span *in, struct buffer *out,
                                        struct buffer *note)
{
    struct mail_client *client = subject;

    switch (smtp_client_next(&client->machine, in, out)) {
    case SMTP_CLIENT_NEED_INPUT:
        return TRANSCRIPT_NEED_INPUT;
    case SMTP_CLIENT_FLUSH:
        return TRANSCRIPT_FLUSH;
    case SMTP_CLIENT_STARTTLS:
        buffer_append_string(note, "STARTTLS");
        return TRANSCRIPT_QUESTION;
    case SMTP_CLIENT_READY:
        return note_ready(&client->machine, note);
    case SMTP_CLIENT_REPLY:
        return note_replied(&client->machine, note);
    case SMTP_CLIENT_REFUSED:
        note_reply("REFUSED", &client->machine.reply, note);
        return TRANSCRIPT_END;
    case SMTP_CLIENT_FAILED:
        note_reply("FAILED", &client->machine.reply, note);
        return TRANSCRIPT_END;
    }
    abort();
}

static bool client_mail(struct smtp_client *client, const char *path, struct span rest,
                        struct buffer *out)
{
    struct mail_parameters parameters = { 0 };

    while (rest.length > 0) {
        struct span word = transcript_take_word(&rest);

        struct span value = word;

        if (span_equals(word, SPAN_LITERAL("8bit")))
            parameters.body_8bit = true;
        else if (span_equals(word, SPAN_LITERAL("utf8")))
            parameters.is_utf8 = true;
        else if (span_equals(word, SPAN_LITERAL("full")))
            parameters.ret = MAIL_RETURN_FULL;
        else if (span_equals(word, SPAN_LITERAL("hdrs")))
            parameters.ret = MAIL_RETURN_HEADERS;
        else if (span_equals(span_split(&value, '='), SPAN_LITERAL("envid")) &&
                 span_copy_string(value, parameters.envid, sizeof(parameters.envid)))
            continue;
        else if (!number_option(word, "size", &parameters.size))
            return false;
    }
    return smtp_client_mail(client, path, &parameters, out);
}

static bool client_rcpt_dsn(struct smtp_client *client, struct span rest, struct buffer *out)
{
    struct mail_recipient_parameters parameters = { .notify = 0 };
    struct span path_word = transcript_take_word(&rest);
    struct span notify_word = transcript_take_word(&rest);
    char path[MAIL_PATH_SIZE];
    uint64_t notify;

    if (!span_copy_string(path_word, path, sizeof(path)) || !span_parse_u64(notify_word, &notify) ||
        !span_copy_string(rest, parameters.orcpt, sizeof(parameters.orcpt)))
        return false;
    parameters.notify = (unsigned)notify;
    if (strcmp(parameters.orcpt, "-") == 0)
        parameters.orcpt[0] = '\0';
    return smtp_client_rcpt(client, path, &parameters, out);
}

static bool client_forward(struct smtp_client *client, struct span rest, struct buffer *out)
{
    static const enum forwarded_field fields[] = { FORWARDED_ADDRESS, FORWARDED_PORT,
                                                   FORWARDED_SESSION, FORWARDED_TTL };
    struct forwarded forwarded = { .port = 0 };

    for (size_t i = 0; i < ARRAY_LENGTH(fields); i++)
        if (!forwarded_set(&forwarded, fields[i], transcript_take_word(&rest)))
            return false;
    smtp_client_forward(client, &forwarded, out);
    return true;
}

static bool client_chunk(struct smtp_client *client, struct span rest, struct buffer *out)
{
    uint64_t size, accepted;

    if (!span_parse_u64(transcript_take_word(&rest), &size) || !span_parse_u64(rest, &accepted))
        return false;
    smtp_client_chunk(client, (size_t)size, (unsigned)accepted, out);
    return true;
}

static bool client_path_command(struct smtp_client *client, struct span verb, struct span rest,
                                struct buffer *out)
{
    char path[2 * MAIL_PATH_SIZE];
    bool is_mail = span_equals(verb, SPAN_LITERAL("mail"));

    if (span_equals(verb, SPAN_LITERAL("forward")))
        return client_forward(client, rest, out);
    if (span_equals(verb, SPAN_LITERAL("chunk")))
        return client_chunk(client, rest, out);
    if (span_equals(verb, SPAN_LITERAL("rcpt-dsn")))
        return client_rcpt_dsn(client, rest, out);
    if (!span_copy_string(is_mail ? transcript_take_word(&rest) : rest, path, sizeof(path)))
        return false;
    if (is_mail)
        return client_mail(client, path, rest, out);
    if (span_equals(verb, SPAN_LITERAL("rcpt")))
        return smtp_client_rcpt(client, path, NULL, out);
    return span_equals(verb, SPAN_LITERAL("unsafe")) && !smtp_client_rcpt(client, path, NULL, out);
}

static enum transcript_answered client_answer(void *subject, struct span answer, struct buffer *out)
{
    struct smtp_client *client = &((struct mail_client *)subject)->machine;
    struct span rest = answer;
    struct span verb = transcript_take_word(&rest);
    uint64_t accepted;

    if (span_equals(verb, SPAN_LITERAL("tls")))
        smtp_client_tls_started(client);
    else if (span_equals(verb, SPAN_LITERAL("data")))
        smtp_client_data(client, out);
    else if (span_equals(verb, SPAN_LITERAL("content")))
        buffer_append(out, rest);
    else if (span_equals(verb, SPAN_LITERAL("end")) && span_parse_u64(rest, &accepted))
        smtp_client_content_end(client, (unsigned)accepted);
    else if (span_equals(verb, SPAN_LITERAL("reset")))
        smtp_client_reset(client, out);
    else if (span_equals(verb, SPAN_LITERAL("quit")))
        smtp_client_quit(client, out);
    else if (!client_path_command(client, verb, rest, out))
        return TRANSCRIPT_UNKNOWN_ANSWER;
    return TRANSCRIPT_GO_ON;
}

static void nothing_to_end(void *subject)
{
    (void)subject;
}

#define SERVER_ADAPTER(folder, start)                                                              \
    {                                                                                              \
        folder, false, sizeof(struct mail_server), start, server_next, server_answer,              \
            nothing_to_end                                                                         \
    }

#define CLIENT_ADAPTER(folder, start)                                                              \
    {                                                                                              \
        folder, true, sizeof(struct mail_client), start, client_next, client_answer,               \
            nothing_to_end                                                                         \
    }

int main(void)
{
    static const struct transcript_adapter adapters[] = {
        CLIENT_ADAPTER("tests/transcripts/lmtp-client", lmtp_client_start),
        CLIENT_ADAPTER("tests/transcripts/smtp-client", smtp_client_start),
        SERVER_ADAPTER("tests/transcripts/lmtp-server", lmtp_server_start),
        SERVER_ADAPTER("tests/transcripts/smtp-server", smtp_server_start),
    };
    int failures = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(adapters); i++)
        failures += transcript_run_folder(&adapters[i]);
    return failures > 0;
}
