/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The configuration, read once and immutable in a process.  Every option is a
 * row of the table in config_table.c: section, name, type, default, range and
 * one line of help; the parser, `mailstead check` and the manual page come from it.
 */
#ifndef MAILSTEAD_SERVICE_CONFIG_H
#define MAILSTEAD_SERVICE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/io/endpoint.h"
#include "common/io/tls.h"
#include "common/io/tls_certificate.h"

enum { CONFIG_SECRET_SIZE = 256, CONFIG_ERROR_SIZE = 512 };

enum tls_mode { TLS_MODE_OFF, TLS_MODE_STARTTLS, TLS_MODE_IMPLICIT };
enum backend_state {
    BACKEND_UP,
    BACKEND_LEAVING, /* serves what it has; nothing new is planned for it */
    BACKEND_DOWN     /* by order, whatever it answers */
};
extern const char *const backend_state_names[]; /* "up", "leaving", "down", NULL */
enum protocol {
    PROTOCOL_SMTP,
    PROTOCOL_LMTP,
    PROTOCOL_IMAP,
    PROTOCOL_POP3,
    PROTOCOL_SIEVE,      /* ManageSieve, RFC 5804 */
    PROTOCOL_SUBMISSION, /* SMTP from users, RFC 6409 */
    PROTOCOL_COUNT
};
enum submission_verify { SUBMISSION_VERIFY_BACKEND, SUBMISSION_VERIFY_LDAP };

/* A list of strings; owned by the configuration. */
struct string_list {
    char **items;
    size_t count;
};

/* A secret read from its file at load; wiped in each process that has no use for it. */
struct secret {
    char *file;                     /* as configured; NULL: none */
    char value[CONFIG_SECRET_SIZE]; /* without the line break at its end */
};

/* How a backend or a store learns whose login it is. */
enum pass_client {
    PASS_CLIENT_COMMAND, /* in the protocol: IMAP ID, POP3 and ManageSieve XCLIENT */
    PASS_CLIENT_PROXY    /* before it: the PROXY protocol, version 2 */
};

struct backend_config {
    char *name;    /* a value of hostServer */
    char *address; /* IP address or name */
    uint16_t lmtp_port, imap_port, pop3_port, sieve_port;
    uint16_t doveadm_port;       /* of its Dovecot, for copies (section replica) */
    char *tls_name;              /* what its certificate must have; default: address */
    unsigned weight;             /* its share when accounts are planned */
    struct string_list siblings; /* backends that take its accounts over, the first choice first */
    enum backend_state state;
    uint16_t admin_port;  /* of its mailstead-backend; 0: the command cannot ask it by that */
    char *control_socket; /* when it runs on this machine; NULL: not known */
};

struct frontend_config {
    char *name;
    char *address;
    uint16_t admin_port;  /* 0: the command cannot ask it by that */
    char *tls_name;       /* what its certificate must have there; default: address */
    char *control_socket; /* when it runs on this machine; NULL: not known */
};

struct domain_alias_config {
    char *name; /* the domain, lower case */
    char *of;   /* the domain that has its accounts; one of the cluster's, and no alias */
};

struct cluster_config {
    char *hostname;
    enum pass_client pass_client;               /* of logins, to backends */
    struct string_list domains;                 /* lower case; sorted behind the first */
    struct domain_alias_config *domain_aliases; /* sorted by name */
    size_t domain_alias_count;
    struct backend_config *backends;
    size_t backend_count;
    struct frontend_config *frontends;
    size_t frontend_count;
};

struct directory_config {
    struct string_list uri;
    struct string_list confirm_uri; /* empty: the followed server */
    char *base;
    char *bind_dn;
    struct secret bind_password;
    bool starttls;
    char *ca;     /* PEM file; NULL: the system's store */
    char *filter; /* which entries are accounts */
    struct string_list address_attributes, login_attributes;
    char *host_attribute, *old_host_attribute, *store_name_attribute;
    char *relay_filter;                        /* NULL: none */
    char *recipient_delimiter;                 /* "+"; empty: no detail */
    unsigned confirm_rate;                     /* live searches a second */
    unsigned return_s;                         /* to the first URI; 0: never */
    unsigned recheck_rate;                     /* changes that were told, read again a second */
    unsigned compare_interval_s, compare_rate; /* 0: never; entries a second */
    unsigned hold_accounts, hold_percent; /* a refresh may remove so many of a domain's accounts */
    unsigned refresh_spread_s;            /* a full refresh waits up to so long */
    char *backend_base;                   /* NULL: backends come from the configuration alone */
    char *backend_filter;
    char *backend_name_attribute, *backend_address_attribute;
    char *backend_lmtp_port_attribute, *backend_imap_port_attribute, *backend_pop3_port_attribute;
    char *backend_sieve_port_attribute;
    char *backend_weight_attribute, *backend_state_attribute;
    bool unverified_backends; /* even without TLS, or without verifying it */
};

struct listener_config {
    char *name;
    enum protocol protocol;
    struct endpoint endpoint;
    enum tls_mode tls;
    char *default_domain;                   /* for login names without one; NULL: none */
    bool plaintext_allowed;                 /* credentials outside TLS */
    unsigned mechanisms;                    /* SASL: a bit for each, as in enum sasl_mechanism */
    struct string_list proxy_protocol_from; /* networks of balancers */
    bool proxy_protocol_tls;                /* they are believed that they ended a client's TLS */
    struct string_list xclient_from;        /* networks of filters and relays that are believed */
};

/* PEM texts, read at load; NULL when not configured.  The key is wiped where not needed. */
struct pem_config {
    char *certificate, *key;
};

struct certificate_config {
    char *title; /* only for people */
    char *certificate_file, *key_file;
    struct pem_config pem;
};

struct tls_config {
    char *certificate_file, *key_file;
    struct pem_config pem;
    struct certificate_config *others; /* for other names than `pem`, or with another key for its */
    size_t other_count;
    enum tls_version min_version;
    char *ciphers;
    char *client_ca; /* PEM file; NULL: clients are not asked for certificates */
    enum tls_identity client_identity;
    unsigned ticket_key_s;
    unsigned expiry_warning_days; /* 0: never */
};

struct backend_tls_config {
    char *certificate_file, *key_file; /* by which backends know us; NULL: none is shown */
    struct pem_config pem;
    enum tls_mode transport;
    bool verify;
    char *ca;
    char *name; /* what the certificate of a backend from the directory must have; %b: its name */
};

struct relay_host_config {
    char *address; /* NULL: none */
    uint16_t port;
    enum tls_mode tls;
    char *ca;
    char *user;
    struct secret password;
};

struct master_config { /* for EXTERNAL: how to log in at a backend without the account's password */
    char *user;        /* NULL: none, and EXTERNAL is not offered */
    struct secret password;
    char *separator;               /* between the account's name and `user` */
    struct string_list identities; /* certificates that may act for any account */
};

struct admin_config {
    char *write_uri; /* NULL: not configured */
    char *bind_dn;
    struct secret bind_password;
    bool starttls;
    char *ca;
    char *client_certificate, *client_key; /* PEM files, for admin ports; NULL: not configured */
    char *node_ca;            /* of their certificates; default: ca; NULL: the system's */
    char *fence_hook;         /* the program that turns a node off; NULL: none */
    unsigned fence_timeout_s; /* that it may take */
    char *journal_directory;  /* where reassign writes down what it changes */
};

/* Where orders, metrics and health can be had over HTTPS, and who may ask. */
struct admin_port_config {
    struct endpoint endpoint; /* an empty host: there is none */
    char *certificate_file, *key_file, *client_ca_file;
    struct pem_config pem;
    char *client_ca;                  /* PEM text, read at load */
    struct string_list read, operate; /* names in certificates of clients */
};

/* What a node does with logins and mail for another node's accounts. */
enum node_foreign { NODE_FOREIGN_REFUSE, NODE_FOREIGN_RELAY };

struct node_config {
    char *name; /* NULL: this is no backend node */
    struct endpoint lmtp_store, imap_store, pop3_store,
        sieve_store;              /* an empty host: not configured */
    enum pass_client pass_client; /* of logins, to the stores */
    struct string_list frontends; /* addresses or CIDR networks that may connect */
    struct string_list
        frontend_names; /* that their certificates must have; empty: none is needed */
    enum node_foreign foreign;
};

/* Where a node's store takes `protocol`, or an empty host; NULL: no store takes that. */
const struct endpoint *node_config_store(const struct node_config *node, enum protocol protocol);

enum storage_kind { STORAGE_NONE, STORAGE_SHARED };
/* What must be a mount point for a storage to be served. */
enum storage_mount { STORAGE_MOUNT_SERVER, STORAGE_MOUNT_DIRECTORY, STORAGE_MOUNT_OFF };
enum storage_adopt { STORAGE_ADOPT_ORDER, STORAGE_ADOPT_AUTO };

struct storage_config {
    enum storage_kind kind;
    char *directory; /* has one folder a server; NULL: none */
    enum storage_mount require_mount;
    enum storage_adopt adopt;
    char *attach_hook, *release_hook, *stop_hook, *start_hook; /* programs; NULL: none */
    unsigned hook_timeout_s, check_interval_s, check_timeout_s;
};

/* What `mailstead dovecot-config` writes; no daemon looks at it. */
struct dovecot_config {
    struct string_list uri;      /* LDAP servers that it asks; empty: those of the directory */
    char *bind_dn;               /* NULL: the directory's, and passwords are tried by a bind */
    struct secret bind_password; /* of bind_dn */
    char *password_attribute;
    char *user, *group; /* that mail belongs to */
    char *mail_directory, *mail_location;
    char *run_directory, *state_directory;
};

/* A copy of each account on another backend, kept by Dovecot's two-way sync. */
struct replica_config {
    struct endpoint doveadm; /* of the own Dovecot; an empty host: no copies */
    struct secret password;  /* doveadm's, the same at all backends */
    bool tls;                /* towards both Dovecots */
    char *to;                /* the backend that has the copies, when there are any */
    char *state_dict;        /* of the other Dovecot: where it is told what it has */
    unsigned delay_ms;       /* from a change to its copy */
    unsigned at_a_time, background_per_second;
    unsigned session_s;                /* copies of accounts in use */
    unsigned timeout_s, timeout_max_s; /* of one synchronisation */
    unsigned retry_min_s, retry_max_s; /* back-off bounds */
    unsigned sweep_s;                  /* all are copied again; 0: never */
};

struct queue_config {
    char *directory;
    unsigned retry_min_s, retry_max_s; /* back-off bounds */
    unsigned
        unknown_delay_s; /* before a recipient that a backend may already have is tried again */
    unsigned expiry_s;
    unsigned delay_report_s;   /* 0: none */
    unsigned inline_max_bytes; /* a larger body is a file of its own */
};

/* What becomes of a CR or LF in content that is no part of CRLF. */
enum line_endings { LINE_ENDINGS_REFUSE, LINE_ENDINGS_CONVERT };

struct smtp_config {
    enum line_endings bare_line_endings;
    uint64_t message_size_max;
    unsigned recipients_max, errors_max, hops_max;
    unsigned header_size_max;                    /* bytes */
    unsigned sessions_max, sessions_per_address; /* of each worker; 0: no limit */
    unsigned refused_recipients_max;             /* of a session, before it is slowed down */
    unsigned tarpit_s, greeting_delay_ms;        /* 0: none */
    unsigned verified_at_a_time; /* transactions of a worker with one backend that wait for DATA */
    unsigned reused_connections; /* idle ones of a worker towards one backend; 0: none */
};

struct submission_config {
    enum submission_verify verify; /* who says whether a password is right */
    unsigned recipients_per_hour;  /* of an account at this frontend; 0: no limit */
    bool hides_client;             /* no address of the client in Received */
};

struct timeout_config {    /* seconds */
    unsigned login_s;      /* until credentials */
    unsigned idle_s;       /* relay without a byte */
    unsigned keepalive_s;  /* silence on a connection before the kernel asks; 0: never */
    unsigned command_s;    /* SMTP: between commands */
    unsigned connect_s;    /* to a backend, with its greeting */
    unsigned backend_s;    /* a backend's answer to a command */
    unsigned data_end_s;   /* a backend's answer to the end of DATA */
    unsigned content_s;    /* SMTP: the content of a message as a whole */
    unsigned envelope_s;   /* a backend is kept waiting between RCPT and DATA */
    unsigned reuse_s;      /* a connection to a backend waits for the next message */
    unsigned login_hold_s; /* a login waits for a backend that is down */
    unsigned drain_s;      /* an old generation may live */
};

struct limits_config {
    unsigned disconnects_per_second; /* of sessions that must go; 0: as they come */
    /* Of POP3 and IMAP sessions, in all workers; 0: any number. */
    unsigned sessions_per_account, sessions_per_address, sessions_per_network;
    unsigned held_logins_per_backend;
    unsigned login_failures;             /* of one account from one network; 0: any number */
    unsigned login_failures_per_network; /* with whatever accounts; 0: any number */
    unsigned login_failure_window_s;     /* in which so many are forgiven */
    unsigned login_block_s;
    unsigned network_prefix_ipv4, network_prefix_ipv6; /* what counts as one network */
    struct string_list trusted_networks;               /* are not limited */
};

struct health_config {
    unsigned probe_interval_ms, failures, successes;
    unsigned ramp_s, ramp_first; /* ramp_s 0: no ramp */
};

struct config {
    char *file;
    struct cluster_config cluster;
    struct directory_config directory;
    struct listener_config *listeners;
    size_t listener_count;
    struct tls_config tls;
    struct backend_tls_config backend_tls;
    struct relay_host_config relay_host;
    struct master_config master;
    struct admin_config admin;
    struct admin_port_config admin_port;
    struct node_config node;
    struct storage_config storage;
    struct dovecot_config dovecot;
    struct replica_config replica;
    struct queue_config queue;
    struct smtp_config smtp;
    struct submission_config submission;
    struct timeout_config timeout;
    struct health_config health;
    struct limits_config limits;
    struct string_list bind_address;
    struct endpoint_sources sources; /* those, or a logical host's own */
    unsigned workers;                /* 0: one a core */
    char *user;                      /* children run as; empty: do not change (only without root) */
    char *state_directory, *run_directory;
    char *log_level;
};

/* Which program reads it: decides which sections must be there. */
enum config_program { CONFIG_FRONTEND, CONFIG_BACKEND, CONFIG_ADMIN };

/* Called for each thing that is wrong; `line` is 0 when it is about the file as a whole. */
typedef void config_complaint(void *context, const char *file, int line, const char *text);

/*
 * Reads and validates `file`.  NULL when anything is wrong, after every error
 * was reported ("section.option: what is wrong; what is expected").  With `read_secrets` the
 * files named by *_password_file, certificate and key that `program` uses are read too (they must
 * exist); one that everybody can read is a warning in the log.  Not reentrant.
 */
struct config *config_load(const char *file, enum config_program program, bool read_secrets,
                           config_complaint *complain, void *context);

/* A config_complaint that prints "FILE:LINE: text"; `stream` is a FILE *. */
void config_print_complaint(void *stream, const char *file, int line, const char *text);

/* Wipes the secrets and frees all; NULL is allowed. */
void config_free(struct config *config);

/* The backend of that name in section cluster; NULL: there is none. */
const struct backend_config *config_backend(const struct config *config, const char *name);

/* True when the node keeps copies of its accounts (section replica). */
static inline bool config_has_replica(const struct config *config)
{
    return config->replica.doveadm.host[0] != '\0';
}

/* Secrets that a kind of process keeps; all others are wiped. */
enum config_secret {
    CONFIG_SECRET_DIRECTORY = 1,
    CONFIG_SECRET_TLS_KEY = 2,
    CONFIG_SECRET_RELAY_HOST = 4,
    CONFIG_SECRET_ADMIN = 8,
    CONFIG_SECRET_MASTER = 16,
    CONFIG_SECRET_ADMIN_PORT = 32,
    CONFIG_SECRET_REPLICA = 64
};
void config_wipe_secrets(struct config *config, unsigned keep);

/* True when `domain` (lower case) is one of the cluster's, or an alias of one. */
bool config_has_domain(const struct config *config, const char *domain);

/* The domain that `domain` (lower case) is an alias of; NULL: of none. */
const char *config_alias_of(const struct config *config, const char *domain);

/* The text of a protocol: "smtp", "lmtp", "imap", "pop3", "sieve", "submission". */
const char *protocol_name(enum protocol protocol);

/* True for those that carry messages, not logins. */
static inline bool protocol_is_mail(enum protocol protocol)
{
    return protocol == PROTOCOL_SMTP || protocol == PROTOCOL_LMTP ||
           protocol == PROTOCOL_SUBMISSION;
}

/* Writes the options as the mdoc(7) list of the manual page to standard output. */
void config_print_manual(void);

#endif
