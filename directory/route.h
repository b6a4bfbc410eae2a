/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routing: from an address or a login name to the account and its hostServer.
 * Pure: it asks a source (the mirror, or a table in a test) and never waits.
 *
 * Order of an address: exact; without its +detail; both again under the domain that this one
 * is an alias of; the catch-all "@domain" of its own domain, then of the other (never for
 * logins).
 */
#ifndef MAILSTEAD_DIRECTORY_ROUTE_H
#define MAILSTEAD_DIRECTORY_ROUTE_H

#include "common/base/span.h"

enum {
    ROUTE_ADDRESS_SIZE = 320, /* an address or login name, and its NUL */
    ROUTE_HOST_SIZE = 128
};

enum route_key { ROUTE_KEY_ADDRESS, ROUTE_KEY_LOGIN };

enum route_outcome {
    ROUTE_FOUND,   /* `host` names the owner; whether that is a known backend is the caller's to see
                    */
    ROUTE_RELAY,   /* no hostServer, but relay_filter matched: to the relay host */
    ROUTE_UNKNOWN, /* the source has no such address; confirm it live before saying so */
    ROUTE_NOT_OURS,      /* the domain is none of the cluster's */
    ROUTE_MISCONFIGURED, /* `reason` says how: alarm, temporary refusal */
    ROUTE_UNAVAILABLE    /* the source cannot be read: temporary refusal */
};

enum route_rule {
    ROUTE_RULE_NONE,
    ROUTE_RULE_EXACT,
    ROUTE_RULE_DETAIL,
    ROUTE_RULE_ALIAS,
    ROUTE_RULE_CATCH_ALL
};

struct route {
    enum route_outcome outcome;
    enum route_rule rule; /* which step of the order matched */
    /* What matched, or what was asked for when nothing did, normalised; empty: it can be no key. */
    char key[ROUTE_ADDRESS_SIZE];
    char account[ROUTE_ADDRESS_SIZE];   /* the account's canonical name */
    char recipient[ROUTE_ADDRESS_SIZE]; /* mail: canonical name with the detail kept */
    char host[ROUTE_HOST_SIZE];
    char old_host[ROUTE_HOST_SIZE]; /* empty when there is none */
    const char *reason;             /* static text for MISCONFIGURED and UNAVAILABLE, else NULL */
};

/* One account as a source holds it. */
struct route_entry {
    char account[ROUTE_ADDRESS_SIZE];
    char host[ROUTE_HOST_SIZE]; /* empty: hostServer absent */
    char old_host[ROUTE_HOST_SIZE];
    bool has_several_hosts;
    bool is_relayed; /* matched relay_filter */
};

enum route_found { ROUTE_FIND_NONE, ROUTE_FIND_ONE, ROUTE_FIND_SEVERAL, ROUTE_FIND_FAILED };

struct route_source {
    /* Looks `value` (normalised) up; fills `*entry` only for FIND_ONE. */
    enum route_found (*find)(void *context, enum route_key key, struct span value,
                             struct route_entry *entry);
    void *context;
};

struct route_rules {
    bool (*has_domain)(const void *context, const char *domain); /* lower case */
    /* The domain that `domain` (lower case) is an alias of; NULL: of none.  May be NULL. */
    const char *(*alias_of)(const void *context, const char *domain);
    const void *context;
    const char *recipient_delimiter; /* one character or empty */
    const char *hostname;            /* <postmaster@hostname> is bare <postmaster>; NULL: none */
    const char *first_domain;        /* of bare <postmaster>'s account */
};

/*
 * Routes a mail address as it stood in RCPT ("Postmaster" has no domain).  Since bare
 * <postmaster> must be accepted (RFC 5321 section 4.5.1), one that has no account is
 * MISCONFIGURED and never UNKNOWN.
 */
void route_address(const struct route_rules *rules, const struct route_source *source,
                   struct span address, struct route *route);

/*
 * Routes a login name; `default_domain` (may be NULL) is appended to one without a domain
 * when the bare name is no key.
 */
void route_login(const struct route_rules *rules, const struct route_source *source,
                 struct span name, const char *default_domain, struct route *route);

/*
 * The normal form by which names compare: a quoted local part that needs no quotes without
 * them, the domain as A-labels without a dot at its end, and all of it in lower case (ASCII).
 * False when it is no name that could be a key (too long, control characters).
 */
bool route_normalise(struct span address, char normal[ROUTE_ADDRESS_SIZE])
    __attribute__((warn_unused_result));

/* The same with its letters as they are: byte for byte the normal form but for their case. */
bool route_tidy(struct span name, char tidy[ROUTE_ADDRESS_SIZE])
    __attribute__((warn_unused_result));

/* The name with its domain as U-labels; false when that is no other name. */
bool route_to_u_labels(const char *normal, char text[ROUTE_ADDRESS_SIZE])
    __attribute__((warn_unused_result));

/* One step of the order: what is looked up, and which rule it stands for. */
struct route_step {
    enum route_rule rule;
    bool without_detail;            /* the name's detail is not in `value`: it is put back later */
    char value[ROUTE_ADDRESS_SIZE]; /* normalised */
};

enum { ROUTE_STEPS_MAX = 6 };

/*
 * The steps that route_address and route_login take for a name in normal form, in their
 * order: at least the name itself, unless it can be no key.  For whoever must look them
 * all up elsewhere (a live search) or show them.
 */
size_t route_steps(const struct route_rules *rules, enum route_key key, const char *normal,
                   const char *default_domain, struct route_step steps[ROUTE_STEPS_MAX]);

const char *route_outcome_name(enum route_outcome outcome);
const char *route_rule_name(enum route_rule rule);

#endif
