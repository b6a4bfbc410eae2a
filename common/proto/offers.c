/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The question and the goodbye are sent together, but for LMTP, which need not know PIPELINING.  A
 * server that does not know the question offers nothing; one that gives no answer is a failure, and
 * nothing is known.
 */
#include "common/proto/offers.h"

#include <assert.h>

#include "common/base/memory.h"
#include "common/proto/login.h"

enum { OFFERS_LINE_MAX = 8192 };

const char *const imap_offer_words[] = {
    [IMAP_OFFER_LITERAL_PLUS] = "LITERAL+",
    [IMAP_OFFER_LITERAL_MINUS] = "LITERAL-",
    "IMAP4rev2",
    "ENABLE",
    "IDLE",
    "NAMESPACE",
    "UIDPLUS",
    "CHILDREN",
    "MOVE",
    "CONDSTORE",
    "QRESYNC",
    "UNSELECT",
    "SORT",
    "SORT=DISPLAY",
    "THREAD=REFERENCES",
    "THREAD=REFS",
    "THREAD=ORDEREDSUBJECT",
    "MULTIAPPEND",
    "BINARY",
    "CATENATE",
    "COMPRESS=DEFLATE",
    "NOTIFY",
    "SPECIAL-USE",
    "CREATE-SPECIAL-USE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LIST-MYRIGHTS",
    "LIST-METADATA",
    "METADATA",
    "METADATA-SERVER",
    "QUOTA",
    "ACL",
    "ESEARCH",
    "ESORT",
    "SEARCHRES",
    "SEARCH=FUZZY",
    "WITHIN",
    "CONTEXT=SEARCH",
    "CONTEXT=SORT",
    "MULTISEARCH",
    "I18NLEVEL=1",
    "UTF8=ACCEPT",
    "URL-PARTIAL",
    "PREVIEW",
    "SNIPPET=FUZZY",
    "PREVIEW=FUZZY",
    "STATUS=SIZE",
    "SAVEDATE",
    "OBJECTID",
    "REPLACE",
    "PARTIAL",
    "UIDONLY",
    "INPROGRESS",
    "XLIST",
    NULL,
};
const char *const pop3_offer_words[] = {
    [POP3_OFFER_TOP] = "TOP",
    [POP3_OFFER_UIDL] = "UIDL",
    [POP3_OFFER_PIPELINING] = "PIPELINING",
    NULL,
};
const char *const sieve_offer_words[] = {
    "fileinto",
    "reject",
    "ereject",
    "envelope",
    "encoded-character",
    "vacation",
    "vacation-seconds",
    "subaddress",
    "comparator-i;ascii-numeric",
    "comparator-i;unicode-casemap",
    "relational",
    "regex",
    "imap4flags",
    "copy",
    "include",
    "variables",
    "body",
    "enotify",
    "notify",
    "environment",
    "mailbox",
    "mailboxid",
    "mboxmetadata",
    "servermetadata",
    "date",
    "index",
    "ihave",
    "duplicate",
    "mime",
    "foreverypart",
    "extracttext",
    "editheader",
    "replace",
    "enclose",
    "extlists",
    "fcc",
    "special-use",
    "imapsieve",
    "spamtest",
    "spamtestplus",
    "virustest",
    "vnd.dovecot.environment",
    "vnd.dovecot.pipe",
    "vnd.dovecot.filter",
    "vnd.dovecot.execute",
    "vnd.dovecot.debug",
    "vnd.dovecot.imapsieve",
    NULL,
};
const char *const sieve_notify_words[] = { "mailto", "xmpp", NULL };
static_assert(ARRAY_LENGTH(sieve_offer_words) - 1 <= SIEVE_NOTIFY_FIRST &&
                  ARRAY_LENGTH(sieve_notify_words) - 1 <=
                      SIEVE_REDIRECTS_FIRST - SIEVE_NOTIFY_FIRST &&
                  SIEVE_REDIRECTS_FIRST + 2 * SIEVE_REDIRECTS_BITS <= 61,
              "each has its own bits");
const char *const lmtp_offer_words[] = {
    [LMTP_OFFER_SMTPUTF8] = "SMTPUTF8",
    NULL,
};
static_assert(ARRAY_LENGTH(imap_offer_words) <= 62, "a bit for each word but NULL, and three more");

enum {
    OFFERS_GREETING,
    OFFERS_TLS_ASKED, /* sent STARTTLS */
    OFFERS_TLS,       /* the session does the handshake */
    OFFERS_SECURED,   /* it is done */
    OFFERS_ASKED,     /* sent the question */
    OFFERS_LISTED,    /* POP3: inside the answer */
    OFFERS_ENDED
};

static const struct state_row offers_states[] = {
    [OFFERS_GREETING] = { "greeting", STATE_BIT(OFFERS_TLS_ASKED) | STATE_BIT(OFFERS_ASKED) |
                                          STATE_BIT(OFFERS_ENDED) },
    [OFFERS_TLS_ASKED] = { "tls-asked", STATE_BIT(OFFERS_TLS) | STATE_BIT(OFFERS_ENDED) },
    [OFFERS_TLS] = { "tls", STATE_BIT(OFFERS_SECURED) },
    [OFFERS_SECURED] = { "secured", STATE_BIT(OFFERS_ASKED) },
    [OFFERS_ASKED] = { "asked", STATE_BIT(OFFERS_LISTED) | STATE_BIT(OFFERS_ENDED) },
    [OFFERS_LISTED] = { "listed", STATE_BIT(OFFERS_ENDED) },
    [OFFERS_ENDED] = { "ended", 0 },
};

/* What differs between the protocols. */
struct offers_dialogue {
    const char *greeting; /* how a good one begins */
    /* The command, and how its success begins; NULL: what it asks is the same outside TLS. */
    const char *starttls, *secured;
    const char *question;
    /* Takes a line of the answer. */
    enum offers_event (*take)(struct offers_client *client, struct span line);
};

static uint64_t offers_bit(const char *const *words, struct span word)
{
    for (unsigned i = 0; words[i]; i++)
        if (span_equals_ignore_case(word, span_from_string(words[i])))
            return OFFER_BIT(i);
    return 0;
}

uint64_t imap_offers_read(struct span capabilities)
{
    uint64_t offers = 0;

    while (capabilities.length > 0)
        offers |= offers_bit(imap_offer_words, span_split(&capabilities, ' '));
    if (offers & OFFER_BIT(IMAP_OFFER_LITERAL_PLUS)) /* RFC 7888 section 5: which is more */
        offers |= OFFER_BIT(IMAP_OFFER_LITERAL_MINUS);
    return offers;
}

uint64_t pop3_offers_read(struct span line)
{
    struct span word = span_split(&line, ' ');

    if (span_equals_ignore_case(word, SPAN_LITERAL("AUTH-RESP-CODE")))
        return POP3_OFFERS_AUTH_RESP_CODE;
    if (!span_equals_ignore_case(word, SPAN_LITERAL("SASL")))
        return offers_bit(pop3_offer_words, word);
    while (line.length > 0)
        if (span_equals_ignore_case(span_split(&line, ' '), SPAN_LITERAL("PLAIN")))
            return POP3_OFFERS_PLAIN;
    return 0;
}

uint64_t sieve_offers_read(struct span extensions)
{
    uint64_t offers = 0;

    while (extensions.length > 0)
        offers |= offers_bit(sieve_offer_words, span_split(&extensions, ' '));
    return offers;
}

uint64_t sieve_notify_read(struct span methods)
{
    uint64_t offers = 0;

    while (methods.length > 0)
        offers |= offers_bit(sieve_notify_words, span_split(&methods, ' ')) << SIEVE_NOTIFY_FIRST;
    return offers;
}

/* The number and its inverse: what is common to two that differ has a bit in neither. */
uint64_t sieve_redirects_read(struct span number)
{
    const uint64_t most = OFFER_BIT(SIEVE_REDIRECTS_BITS) - 1;
    uint64_t value;

    if (!span_parse_u64(number, &value) || value > most)
        return 0;
    return (value | (value ^ most) << SIEVE_REDIRECTS_BITS) << SIEVE_REDIRECTS_FIRST;
}

int sieve_redirects(uint64_t offers)
{
    const uint64_t most = OFFER_BIT(SIEVE_REDIRECTS_BITS) - 1;
    uint64_t value = offers >> SIEVE_REDIRECTS_FIRST & most;
    uint64_t inverse = offers >> (SIEVE_REDIRECTS_FIRST + SIEVE_REDIRECTS_BITS) & most;

    return (value ^ inverse) == most ? (int)value : -1;
}

static enum offers_event offers_end(struct offers_client *client, enum offers_event event)
{
    client->offers |= OFFERS_KNOWN;
    state_move(&client->state, OFFERS_ENDED);
    return event;
}

static enum offers_event imap_take_answer(struct offers_client *client, struct span line)
{
    struct span tag = span_split(&line, ' ');
    struct span word = span_split(&line, ' ');

    if (span_equals(tag, SPAN_LITERAL("c")))
        return offers_end(client, OFFERS_DONE);
    if (!span_equals(tag, SPAN_LITERAL("*")))
        return offers_end(client, OFFERS_FAILED);
    if (span_equals_ignore_case(word, SPAN_LITERAL("CAPABILITY")))
        client->offers |= imap_offers_read(line);
    return OFFERS_NEED_INPUT;
}

static enum offers_event pop3_take_answer(struct offers_client *client, struct span line)
{
    if (client->state.current == OFFERS_ASKED) {
        if (!span_starts_with_ignore_case(line, SPAN_LITERAL("+OK")))
            return offers_end(client, OFFERS_DONE);
        state_move(&client->state, OFFERS_LISTED);
        return OFFERS_NEED_INPUT;
    }
    if (span_equals(line, SPAN_LITERAL(".")))
        return offers_end(client, OFFERS_DONE);
    client->offers |= pop3_offers_read(line);
    return OFFERS_NEED_INPUT;
}

/* The first line of the answer to LHLO names the server. */
static enum offers_event lmtp_take_answer(struct offers_client *client, struct span line)
{
    bool is_last = span_starts_with_ignore_case(line, SPAN_LITERAL("250 "));

    if (!is_last && !span_starts_with_ignore_case(line, SPAN_LITERAL("250-")))
        return offers_end(client, OFFERS_FAILED);
    line = span_drop(line, strlen("250 "));
    if (client->state.current == OFFERS_LISTED)
        client->offers |= offers_bit(lmtp_offer_words, span_split(&line, ' '));
    if (is_last)
        return offers_end(client, OFFERS_DONE);
    if (client->state.current == OFFERS_ASKED)
        state_move(&client->state, OFFERS_LISTED);
    return OFFERS_NEED_INPUT;
}

/* The quoted value of the capability `name`; data NULL: the line is about another. */
static struct span sieve_value_of(struct span line, struct span name)
{
    if (!span_starts_with_ignore_case(line, name))
        return SPAN_EMPTY;
    return span_drop(span_take(line, line.length - 1), name.length);
}

/* Its greeting is the list, which goes on behind its first line. */
static enum offers_event sieve_take_answer(struct offers_client *client, struct span line)
{
    if (span_starts_with_ignore_case(line, SPAN_LITERAL("OK")))
        return offers_end(client, OFFERS_DONE);
    if (line.length == 0 || line.data[0] != '"')
        return offers_end(client, OFFERS_FAILED);
    client->offers |=
        sieve_offers_read(sieve_value_of(line, SPAN_LITERAL("\"SIEVE\" \""))) |
        sieve_notify_read(sieve_value_of(line, SPAN_LITERAL("\"NOTIFY\" \""))) |
        sieve_redirects_read(sieve_value_of(line, SPAN_LITERAL("\"MAXREDIRECTS\" \"")));
    return OFFERS_NEED_INPUT;
}

const struct offers_dialogue sieve_offers_dialogue = {
    .greeting = "\"",
    .question = "LOGOUT\r\n",
    .take = sieve_take_answer,
};
const struct offers_dialogue imap_offers_dialogue = {
    .greeting = "* OK",
    .starttls = "s STARTTLS\r\n",
    .secured = "s OK",
    .question = "c CAPABILITY\r\n1 LOGOUT\r\n",
    .take = imap_take_answer,
};
const struct offers_dialogue pop3_offers_dialogue = {
    .greeting = "+OK",
    .starttls = "STLS\r\n",
    .secured = "+OK",
    .question = "CAPA\r\nQUIT\r\n",
    .take = pop3_take_answer,
};

const struct offers_dialogue lmtp_offers_dialogue = {
    .greeting = "220",
    .question = "LHLO probe.invalid\r\n",
    .take = lmtp_take_answer,
};

static enum offers_event offers_ask(struct offers_client *client, struct buffer *out)
{
    buffer_append_string(out, client->dialogue->question);
    state_move(&client->state, OFFERS_ASKED);
    return OFFERS_NEED_INPUT;
}

static enum offers_event offers_take_greeting(struct offers_client *client, struct span line,
                                              struct buffer *out)
{
    const struct offers_dialogue *dialogue = client->dialogue;

    if (!span_starts_with_ignore_case(line, span_from_string(dialogue->greeting)))
        return offers_end(client, OFFERS_FAILED);
    client->is_greeted = true;
    if (dialogue == &sieve_offers_dialogue)
        (void)sieve_take_answer(client, line); /* it is the first of the list */
    if (!client->starttls || !dialogue->starttls)
        return offers_ask(client, out);
    buffer_append_string(out, dialogue->starttls);
    state_move(&client->state, OFFERS_TLS_ASKED);
    return OFFERS_NEED_INPUT;
}

static enum offers_event offers_take_line(struct offers_client *client, struct span line,
                                          struct buffer *out)
{
    switch (client->state.current) {
    case OFFERS_GREETING:
        return offers_take_greeting(client, line, out);
    case OFFERS_TLS_ASKED:
        if (!span_starts_with_ignore_case(line, span_from_string(client->dialogue->secured)))
            return offers_end(client, OFFERS_FAILED);
        state_move(&client->state, OFFERS_TLS);
        return OFFERS_STARTTLS;
    default:
        return client->dialogue->take(client, line);
    }
}

void offers_init(struct offers_client *client, const struct offers_dialogue *dialogue,
                 bool starttls)
{
    *client = (struct offers_client){ .dialogue = dialogue, .starttls = starttls };
    state_init(&client->state, offers_states, OFFERS_GREETING);
}

enum offers_event offers_next(struct offers_client *client, struct span *in, struct buffer *out)
{
    enum offers_event event = OFFERS_NEED_INPUT;

    assert(client->state.current != OFFERS_TLS && client->state.current != OFFERS_ENDED);
    if (client->state.current == OFFERS_SECURED)
        event = offers_ask(client, out);
    while (event == OFFERS_NEED_INPUT) {
        struct span line;

        if (buffer_room(out) < MACHINE_REPLY_ROOM)
            return OFFERS_FLUSH;
        switch (login_take_line(in, OFFERS_LINE_MAX, &line)) {
        case LOGIN_LINE_NONE:
            return OFFERS_NEED_INPUT;
        case LOGIN_LINE_WHOLE:
            event = offers_take_line(client, line, out);
            break;
        case LOGIN_LINE_BROKEN:
        case LOGIN_LINE_TOO_LONG:
            return offers_end(client, OFFERS_FAILED);
        }
    }
    return event;
}

void offers_tls_started(struct offers_client *client)
{
    state_move(&client->state, OFFERS_SECURED);
}
