/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays the transcripts of the login machines.
 *
 * Options of a server: words of tls (STARTTLS is available), secure (TLS is
 * active), plaintext (allowed), trusted (the peer), mechanisms=A,B (else PLAIN),
 * offers=A,B (of the backends; else LITERAL+ or PIPELINING), identity=NAME (of the client's
 * certificate) and acts (it may act for anybody).  Options of a client, each KEY=VALUE: name,
 * password, xoauth2 or oauthbearer (the token), from (address,port,session,ttl), id (name,value:
 * one of its client's fields), offers (A,B: lines that the backend is known to have), and starttls
 * alone.
 *
 * Answers: tls, accept TEXT, denied, temporary, elsewhere, backend TEXT, challenge BASE64 TEXT (the
 * backend refuses a token), goodbye TEXT.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/proto/imap_client.h"
#include "common/proto/imap_server.h"
#include "common/proto/offers.h"
#include "common/proto/pop3_client.h"
#include "common/proto/pop3_server.h"
#include "common/proto/sieve_client.h"
#include "common/proto/sieve_server.h"
#include "tests/transcripts/runner.h"
#include "tests/transcripts/secret.h"

/* A server machine and what drives it. */
struct server_run {
    const struct login_server_ops *ops;
    union {
        struct login_server head;
        struct imap_server imap;
        struct pop3_server pop3;
        struct sieve_server sieve;
    } machine;
    char identity[LOGIN_NAME_SIZE];
    char *master; /* the identity, when it may act for anybody */
};

static void server_set_master(struct server_run *server, struct login_server_options *options)
{
    server->master = server->identity;
    options->sasl.external_masters = &server->master;
    options->sasl.external_master_count = 1;
}

/* Unless the transcript says what there is. */
static uint64_t default_offers(const struct login_server_ops *ops)
{
    return ops == &imap_server_ops ? OFFER_BIT(IMAP_OFFER_LITERAL_PLUS)
                                   : OFFER_BIT(POP3_OFFER_PIPELINING);
}

/* An extension, a method of notification, or a number of redirections. */
static uint64_t read_sieve_offers(struct span word)
{
    return sieve_offers_read(word) | sieve_notify_read(word) | sieve_redirects_read(word);
}

static uint64_t read_offers(const struct login_server_ops *ops, struct span words)
{
    uint64_t offers = 0;

    while (words.length > 0) {
        struct span word = span_split(&words, ',');

        offers |= ops == &imap_server_ops    ? imap_offers_read(word)
                  : ops == &sieve_server_ops ? read_sieve_offers(word)
                                             : pop3_offers_read(word);
    }
    return offers;
}

static bool server_set_mechanisms(struct login_server_options *options, struct span names)
{
    options->sasl.mechanisms = 0;
    while (names.length > 0) {
        enum sasl_mechanism mechanism;

        if (!sasl_mechanism_find(span_split(&names, ','), &mechanism))
            return false;
        options->sasl.mechanisms |= SASL_BIT(mechanism);
    }
    return true;
}

static bool server_option(struct server_run *server, struct login_server_options *options,
                          struct span word)
{
    struct span value = word;
    struct span key = span_split(&value, '=');

    if (span_equals(key, SPAN_LITERAL("mechanisms")))
        return server_set_mechanisms(options, value);
    if (span_equals(key, SPAN_LITERAL("offers"))) {
        options->offers = read_offers(server->ops, value);
        return true;
    }
    if (span_equals(key, SPAN_LITERAL("identity"))) {
        options->sasl.external_identity = server->identity;
        return transcript_copy_word(value, server->identity, sizeof(server->identity));
    }
    if (span_equals(word, SPAN_LITERAL("tls")))
        options->tls_available = true;
    else if (span_equals(word, SPAN_LITERAL("secure")))
        options->tls_active = true;
    else if (span_equals(word, SPAN_LITERAL("plaintext")))
        options->plaintext_allowed = true;
    else if (span_equals(word, SPAN_LITERAL("trusted")))
        options->peer_is_trusted = true;
    else if (span_equals(word, SPAN_LITERAL("acts")))
        server_set_master(server, options);
    else
        return false;
    return true;
}

static bool server_init(struct server_run *server, const struct login_server_ops *ops,
                        struct span words, struct buffer *out)
{
    struct login_server_options options = { .hostname = "mx.example.org",
                                            .offers = default_offers(ops),
                                            .sasl.mechanisms = SASL_BIT(SASL_PLAIN) };

    server->ops = ops;
    while (words.length > 0)
        if (!server_option(server, &options, transcript_take_word(&words)))
            return false;
    ops->init(&server->machine, &options, out);
    return true;
}

static bool imap_server_start(void *subject, struct span options, struct buffer *out)
{
    return server_init(subject, &imap_server_ops, options, out);
}

static bool sieve_server_start(void *subject, struct span options, struct buffer *out)
{
    return server_init(subject, &sieve_server_ops, options, out);
}

static bool pop3_server_start(void *subject, struct span options, struct buffer *out)
{
    return server_init(subject, &pop3_server_ops, options, out);
}

/* "CREDENTIALS name|secret", and what was forwarded when it was. */
static void note_credentials(struct server_run *server, struct buffer *note)
{
    const struct credentials *credentials = login_server_credentials(&server->machine.head);
    const struct forwarded *forwarded = &server->machine.head.forwarded;

    transcript_note_credentials(credentials, note);
    if (forwarded->address[0] != '\0')
        buffer_append_format(note, " from %s:%u:%s:%u", forwarded->address, forwarded->port,
                             forwarded->session_id, forwarded->ttl);
    if (forwarded->fields)
        buffer_append_format(note, " id%s", forwarded->fields);
}

static enum transcript_step server_next(void *subject, struct span *in, struct buffer *out,
                                        struct buffer *note)
{
    struct server_run *server = subject;

    switch (server->ops->next(&server->machine, in, out)) {
    case LOGIN_NEED_INPUT:
        return TRANSCRIPT_NEED_INPUT;
    case LOGIN_FLUSH:
        return TRANSCRIPT_FLUSH;
    case LOGIN_STARTTLS:
        buffer_append_string(note, "STARTTLS");
        return TRANSCRIPT_QUESTION;
    case LOGIN_CREDENTIALS:
        note_credentials(server, note);
        return TRANSCRIPT_QUESTION;
    case LOGIN_END:
        buffer_append_string(note, "END");
        return TRANSCRIPT_END;
    }
    abort();
}

static void server_refuse(struct server_run *server, enum login_refusal_reason reason,
                          struct span text, struct span challenge, struct buffer *out)
{
    struct login_refusal refusal = { reason, text, challenge };

    server->ops->refuse(&server->machine, &refusal, out);
}

static enum transcript_answered server_answer(void *subject, struct span answer, struct buffer *out)
{
    struct server_run *server = subject;
    struct span verb = transcript_take_word(&answer);
    char text[LOGIN_TEXT_SIZE];

    login_copy_text(answer, text);
    if (span_equals(verb, SPAN_LITERAL("tls"))) {
        server->ops->tls_started(&server->machine);
    } else if (span_equals(verb, SPAN_LITERAL("denied"))) {
        server_refuse(server, LOGIN_REFUSED_CREDENTIALS, SPAN_EMPTY, SPAN_EMPTY, out);
    } else if (span_equals(verb, SPAN_LITERAL("temporary"))) {
        server_refuse(server, LOGIN_REFUSED_TEMPORARY, SPAN_EMPTY, SPAN_EMPTY, out);
    } else if (span_equals(verb, SPAN_LITERAL("elsewhere"))) {
        server_refuse(server, LOGIN_REFUSED_ELSEWHERE, SPAN_EMPTY, SPAN_EMPTY, out);
    } else if (span_equals(verb, SPAN_LITERAL("backend"))) {
        server_refuse(server, LOGIN_REFUSED_BY_BACKEND, answer, SPAN_EMPTY, out);
    } else if (span_equals(verb, SPAN_LITERAL("challenge"))) {
        struct span challenge = transcript_take_word(&answer);

        server_refuse(server, LOGIN_REFUSED_BY_BACKEND, answer, challenge, out);
    } else if (span_equals(verb, SPAN_LITERAL("accept"))) {
        server->ops->accept(&server->machine, answer, out);
        return TRANSCRIPT_DONE;
    } else if (span_equals(verb, SPAN_LITERAL("goodbye"))) {
        server->ops->goodbye(&server->machine, text, out);
        return TRANSCRIPT_DONE;
    } else {
        return TRANSCRIPT_UNKNOWN_ANSWER;
    }
    return TRANSCRIPT_GO_ON;
}

static void server_fini(void *subject)
{
    struct server_run *server = subject;

    login_server_fini(&server->machine.head);
}

/* A client machine, what drives it, and what it speaks for. */
struct client_run {
    const struct login_client_ops *ops;
    char name[LOGIN_NAME_SIZE];
    struct credentials credentials;
    struct forwarded forwarded;
    char fields[FORWARDED_FIELDS_SIZE];
    union {
        struct login_client head;
        struct imap_client imap;
        struct pop3_client pop3;
        struct sieve_client sieve;
    } machine;
};

static bool client_set_forwarded(struct forwarded *forwarded, struct span value)
{
    return forwarded_set(forwarded, FORWARDED_ADDRESS, span_split(&value, ',')) &&
           forwarded_set(forwarded, FORWARDED_PORT, span_split(&value, ',')) &&
           forwarded_set(forwarded, FORWARDED_SESSION, span_split(&value, ',')) &&
           forwarded_set(forwarded, FORWARDED_TTL, value);
}

/* What the backend of a POP3 client has said before. */
static bool client_set_offers(struct login_client_options *options, struct span value)
{
    char lines[256];
    struct span rest;

    if (!transcript_copy_word(value, lines, sizeof(lines)))
        return false;
    for (rest = span_from_string(lines); rest.length > 0;)
        options->offers |= pop3_offers_read(span_split(&rest, ','));
    return true;
}

/* "name,value": one more field of the client's own ID. */
static void client_add_field(struct client_run *client, struct span value)
{
    struct span name = span_split(&value, ',');
    size_t length = strlen(client->fields);

    snprintf(client->fields + length, sizeof(client->fields) - length, " \"%.*s\" \"%.*s\"",
             SPAN_PRINTF(name), SPAN_PRINTF(value));
    client->forwarded.fields = client->fields;
}

static bool client_option(struct client_run *client, struct login_client_options *options,
                          struct span value)
{
    struct span key = span_split(&value, '=');

    if (span_equals(key, SPAN_LITERAL("starttls"))) {
        options->starttls = true;
        return true;
    }
    if (span_equals(key, SPAN_LITERAL("offers")))
        return client_set_offers(options, value);
    if (span_equals(key, SPAN_LITERAL("name")))
        return transcript_copy_word(value, client->name, sizeof(client->name));
    if (span_equals(key, SPAN_LITERAL("password")))
        return transcript_copy_word(value, client->credentials.password,
                                    sizeof(client->credentials.password));
    if (span_equals(key, SPAN_LITERAL("xoauth2")) ||
        span_equals(key, SPAN_LITERAL("oauthbearer"))) {
        client->credentials.kind = key.length == 7 ? CREDENTIALS_XOAUTH2 : CREDENTIALS_OAUTHBEARER;
        return transcript_copy_word(value, client->credentials.token,
                                    sizeof(client->credentials.token));
    }
    if (span_equals(key, SPAN_LITERAL("from"))) {
        options->forwarded = &client->forwarded;
        return client_set_forwarded(&client->forwarded, value);
    }
    if (span_equals(key, SPAN_LITERAL("id"))) {
        client_add_field(client, value);
        return true;
    }
    return false;
}

static bool client_init(struct client_run *client, const struct login_client_ops *ops,
                        struct span words)
{
    struct login_client_options options = { .name = client->name,
                                            .credentials = &client->credentials };
    bool known = true;

    while (words.length > 0)
        known = client_option(client, &options, transcript_take_word(&words)) && known;
    client->ops = ops;
    ops->init(&client->machine, &options);
    return known;
}

static bool imap_client_start(void *subject, struct span options, struct buffer *out)
{
    (void)out;
    return client_init(subject, &imap_client_ops, options);
}

static bool sieve_client_start(void *subject, struct span options, struct buffer *out)
{
    (void)out;
    return client_init(subject, &sieve_client_ops, options);
}

static bool pop3_client_start(void *subject, struct span options, struct buffer *out)
{
    (void)out;
    return client_init(subject, &pop3_client_ops, options);
}

static enum transcript_step note_text(const struct client_run *client, const char *event,
                                      struct buffer *note)
{
    buffer_append_format(note, "%s ", event);
    buffer_append(note, login_client_text(&client->machine.head));
    return TRANSCRIPT_END;
}

static const char *const login_denials[] = { "REFUSED", "TEMPORARY", "ELSEWHERE" };

/* A refusal, and the challenge by which it was told. */
static enum transcript_step note_refusal(const struct client_run *client, struct buffer *note)
{
    struct span challenge = login_client_challenge(&client->machine.head);

    if (challenge.length > 0) {
        buffer_append_string(note, "CHALLENGE ");
        buffer_append(note, challenge);
        buffer_append_byte(note, ' ');
    }
    return note_text(client, login_denials[client->machine.head.denial], note);
}

static enum transcript_step client_next(void *subject, struct span *in, struct buffer *out,
                                        struct buffer *note)
{
    struct client_run *client = subject;

    switch (client->ops->next(&client->machine, in, out)) {
    case LOGIN_CLIENT_NEED_INPUT:
        return TRANSCRIPT_NEED_INPUT;
    case LOGIN_CLIENT_FLUSH:
        return TRANSCRIPT_FLUSH;
    case LOGIN_CLIENT_STARTTLS:
        buffer_append_string(note, "STARTTLS");
        return TRANSCRIPT_QUESTION;
    case LOGIN_CLIENT_ACCEPTED:
        return note_text(client, "ACCEPTED", note);
    case LOGIN_CLIENT_REFUSED:
        return note_refusal(client, note);
    case LOGIN_CLIENT_FAILED:
        return note_text(client, "FAILED", note);
    }
    abort();
}

static enum transcript_answered client_answer(void *subject, struct span answer, struct buffer *out)
{
    struct client_run *client = subject;

    (void)out;
    if (!span_equals(answer, SPAN_LITERAL("tls")))
        return TRANSCRIPT_UNKNOWN_ANSWER;
    client->ops->tls_started(&client->machine);
    return TRANSCRIPT_GO_ON;
}

static void client_fini(void *subject)
{
    (void)subject; /* nothing of it is secret, or its own */
}

/* The machine that asks a backend what it offers: option starttls, answer tls. */
static bool offers_start(void *subject, struct span options, const struct offers_dialogue *dialogue)
{
    offers_init(subject, dialogue, span_equals(options, SPAN_LITERAL("starttls")));
    return true;
}

static bool imap_offers_start(void *subject, struct span options, struct buffer *out)
{
    (void)out;
    return offers_start(subject, options, &imap_offers_dialogue);
}

static bool lmtp_offers_start(void *subject, struct span options, struct buffer *out)
{
    (void)out;
    return offers_start(subject, options, &lmtp_offers_dialogue);
}

static bool pop3_offers_start(void *subject, struct span options, struct buffer *out)
{
    (void)out;
    return offers_start(subject, options, &pop3_offers_dialogue);
}

/* "OFFERS" and the words. */
static void note_offers(const struct offers_client *client, struct buffer *note)
{
    const char *const *words = client->dialogue == &imap_offers_dialogue   ? imap_offer_words
                               : client->dialogue == &lmtp_offers_dialogue ? lmtp_offer_words
                                                                           : pop3_offer_words;

    buffer_append_string(note, "OFFERS");
    for (unsigned i = 0; words[i]; i++)
        if (client->offers & OFFER_BIT(i))
            buffer_append_format(note, " %s", words[i]);
    if (client->offers & POP3_OFFERS_PLAIN)
        buffer_append_string(note, ", SASL PLAIN");
    if (client->offers & POP3_OFFERS_AUTH_RESP_CODE)
        buffer_append_string(note, ", AUTH-RESP-CODE");
}

static enum transcript_step offers_step(void *subject, struct span *in, struct buffer *out,
                                        struct buffer *note)
{
    struct offers_client *client = subject;

    switch (offers_next(client, in, out)) {
    case OFFERS_NEED_INPUT:
        return TRANSCRIPT_NEED_INPUT;
    case OFFERS_FLUSH:
        return TRANSCRIPT_FLUSH;
    case OFFERS_STARTTLS:
        buffer_append_string(note, "STARTTLS");
        return TRANSCRIPT_QUESTION;
    case OFFERS_DONE:
        note_offers(client, note);
        return TRANSCRIPT_END;
    case OFFERS_FAILED:
        buffer_append_string(note, client->is_greeted ? "FAILED greeted" : "FAILED");
        return TRANSCRIPT_END;
    }
    abort();
}

static enum transcript_answered offers_answer(void *subject, struct span answer, struct buffer *out)
{
    (void)out;
    if (!span_equals(answer, SPAN_LITERAL("tls")))
        return TRANSCRIPT_UNKNOWN_ANSWER;
    offers_tls_started(subject);
    return TRANSCRIPT_GO_ON;
}

static void offers_end(void *subject)
{
    (void)subject; /* nothing in it is secret */
}

#define OFFERS_ADAPTER(folder, start)                                                              \
    {                                                                                              \
        folder, true, sizeof(struct offers_client), start, offers_step, offers_answer, offers_end  \
    }
#define SERVER_ADAPTER(folder, start)                                                              \
    {                                                                                              \
        folder, false, sizeof(struct server_run), start, server_next, server_answer, server_fini   \
    }
#define CLIENT_ADAPTER(folder, start)                                                              \
    {                                                                                              \
        folder, true, sizeof(struct client_run), start, client_next, client_answer, client_fini    \
    }

int main(void)
{
    static const struct transcript_adapter adapters[] = {
        SERVER_ADAPTER("tests/transcripts/imap-server", imap_server_start),
        CLIENT_ADAPTER("tests/transcripts/imap-client", imap_client_start),
        SERVER_ADAPTER("tests/transcripts/pop3-server", pop3_server_start),
        SERVER_ADAPTER("tests/transcripts/sieve-server", sieve_server_start),
        CLIENT_ADAPTER("tests/transcripts/sieve-client", sieve_client_start),
        CLIENT_ADAPTER("tests/transcripts/pop3-client", pop3_client_start),
        OFFERS_ADAPTER("tests/transcripts/imap-offers", imap_offers_start),
        OFFERS_ADAPTER("tests/transcripts/lmtp-offers", lmtp_offers_start),
        OFFERS_ADAPTER("tests/transcripts/pop3-offers", pop3_offers_start),
    };
    int failures = 0;

    for (size_t i = 0; i < ARRAY_LENGTH(adapters); i++)
        failures += transcript_run_folder(&adapters[i]);
    return failures > 0;
}
