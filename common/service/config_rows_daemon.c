/* SPDX-License-Identifier: Apache-2.0 */
/* What every daemon has: processes, listening addresses, deadlines, limits. */
#include "common/service/config_rows.h"

static const char *const protocol_words[] = { "smtp",  "lmtp",       "imap", "pop3",
                                              "sieve", "submission", NULL };
static const char *const mechanism_words[] = { "PLAIN",       "LOGIN",    "XOAUTH2",
                                               "OAUTHBEARER", "EXTERNAL", NULL };
static const char *const level_words[] = { "debug", "info", "warning", "error", NULL };

static const struct config_option top_options[] = {
    NUMBER(config, workers, "0", 0, 64, "Worker processes; 0 is one for each processor."),
    ROW(TEXT, config, user, "user", "mailstead", 0, 32, NULL, 0,
        "The account that all processes but the supervisor run as; without root it is not used."),
    HOST_PATH(config, state_directory, "state_directory", "/var/lib/mailstead", TEXT_MAX,
              "Where the mirror of the directory is kept."),
    HOST_PATH(config, run_directory, "run_directory", "/run/mailstead", 80,
              "Where the sockets and the pid file are."),
    LIST(
        TEXT_LIST, config, bind_address, NULL, 0,
        "The addresses of this machine, one of a family at most, that connections to backends and "
        "relay_host go out from; without it a logical host uses the address that all its listeners "
        "have of a family, and the kernel chooses where they have none or several."),
    ROW(WORD_TEXT, config, log_level, "log_level", "info", 0, 0, level_words, 0,
        "The least important lines that are logged."),
};

const struct config_section config_top_section =
    SINGLE("", NULL, 0, top_options, "Options outside all sections.");

static const struct config_option listen_options[] = {
    WORD(listener_config, protocol, NULL, protocol_words, ~0U, "What is spoken there."),
    ROW(LISTEN_ADDRESS, listener_config, endpoint, "address", NULL, 0, 0, NULL, ~0U,
        "The IP address and port to listen on; * is every address."),
    WORD(listener_config, tls, "starttls", config_tls_words, 0,
         "Whether TLS is not offered, offered, or spoken from the first byte."),
    ROW(DOMAIN, listener_config, default_domain, "default_domain", NULL, 1, 253, NULL, 0,
        "The domain of login names that have none; without it, they stay as they are."),
    BOOLEAN(listener_config, plaintext_allowed, "false",
            "Whether passwords are taken outside TLS."),
    LIST_OF_WORDS(listener_config, mechanisms, "PLAIN, LOGIN", mechanism_words,
                  "The SASL mechanisms of imap, pop3 and submission at a frontend: XOAUTH2 and "
                  "OAUTHBEARER for backends that take tokens, EXTERNAL for clients with a "
                  "certificate (not of submission)."),
    LIST(NETWORK_LIST, listener_config, proxy_protocol_from, NULL, 0,
         "The addresses and CIDR networks of load balancers: each connection of theirs begins with "
         "the PROXY protocol, version 1 or 2, and counts as its client's."),
    BOOLEAN(listener_config, proxy_protocol_tls, "false",
            "Whether a login counts as protected when the balancer says that the client speaks TLS "
            "with it: then the way from there to here must be safe by itself."),
    LIST(
        NETWORK_LIST, listener_config, xclient_from, NULL, 0,
        "The addresses and CIDR networks of mail servers and filters that may say by XCLIENT whose "
        "mail they pass on; for smtp and lmtp; behind a balancer it is the client that must be "
        "one."),
};

const struct config_section config_listen_section =
    TITLED("listen", "", listeners, listener_count, listener_config, listen_options,
           "One listening address; its title is only for people.");

static const struct config_option timeout_options[] = {
    NUMBER(timeout_config, login_s, "60", 1, 600, "Seconds that a client may take to log in."),
    NUMBER(timeout_config, idle_s, "2100", 1, DAY_S,
           "Seconds that a logged-in session may be silent (RFC 3501 wants 1800 at least)."),
    NUMBER(timeout_config, keepalive_s, "300", 0, 32767,
           "Seconds of silence after which the kernel asks a mail client, or the backend of a "
           "login, whether it is there; nine questions without an answer, a tenth of that apart, "
           "end the connection.  0 is never."),
    NUMBER(timeout_config, command_s, "300", 1, 3600,
           "Seconds that an SMTP client may take between commands."),
    NUMBER(timeout_config, connect_s, "10", 1, 300,
           "Seconds that a backend may take to accept a connection and greet."),
    NUMBER(
        timeout_config, backend_s, "60", 1, 3600,
        "Seconds that a backend may take to answer a command; after two, its machine is asked each "
        "second whether it is there, and its silence to nine of these, or its knowing nothing "
        "of the connection, is the end."),
    NUMBER(timeout_config, data_end_s, "600", 1, 3600,
           "Seconds that a backend may take to answer the end of a message."),
    NUMBER(timeout_config, content_s, "3600", 10, DAY_S,
           "Seconds that an SMTP client may take to send one message's content."),
    NUMBER(timeout_config, envelope_s, "30", 1, 3600,
           "Seconds that a backend that has answered about recipients is kept for their message."),
    NUMBER(timeout_config, reuse_s, "5", 1, 60,
           "Seconds that a connection to a backend is kept for the next message."),
    NUMBER(timeout_config, login_hold_s, "20", 0, 300,
           "Seconds that a login waits for a backend that is down."),
    NUMBER(timeout_config, drain_s, "900", 0, 7 * DAY_S,
           "Seconds that sessions from before a reload may go on."),
};

const struct config_section config_timeout_section =
    SINGLE("timeouts", "", offsetof(struct config, timeout), timeout_options, "Deadlines.");

static const struct config_option health_options[] = {
    NUMBER(health_config, probe_interval_ms, "3000", 50, 600000,
           "Milliseconds between probes of a backend."),
    NUMBER(health_config, failures, "3", 1, 100,
           "Failures in a row after which a backend counts as down."),
    NUMBER(health_config, successes, "2", 1, 100,
           "Good probes in a row after which it counts as up again."),
    NUMBER(
        health_config, ramp_s, "10", 0, 600,
        "Seconds in which new work for a backend that is up again grows, and logins that waited "
        "are let through; twice as much after each tenth of it, all behind it.  0: all at once."),
    NUMBER(health_config, ramp_first, "20", 1, 10000,
           "Logins of each protocol, deliveries and questions about recipients that a frontend "
           "begins there in a second at first."),
};

const struct config_section config_health_section =
    SINGLE("health", "", offsetof(struct config, health), health_options,
           "When a backend counts as down.");

static const struct config_option limits_options[] = {
    NUMBER(limits_config, disconnects_per_second, "200", 0, 100000,
           "How many sessions a frontend ends in a second because their accounts moved or their "
           "backend ended them, in all of its workers; 0: as they come."),
    NUMBER(limits_config, sessions_per_account, "200", 0, 1000000,
           "POP3, IMAP, ManageSieve and submission sessions that one account may have, in all "
           "workers; 0 is any number."),
    NUMBER(limits_config, sessions_per_address, "10000", 0, 1000000,
           "POP3 and IMAP sessions that one address may have, in all workers; a thousand "
           "subscribers can be behind it.  0 is any number."),
    NUMBER(limits_config, sessions_per_network, "40000", 0, 1000000,
           "POP3 and IMAP sessions that one network may have, in all workers; 0 is any number."),
    NUMBER(limits_config, held_logins_per_backend, "2000", 0, 1000000,
           "Logins that may wait for one backend, in all workers (timeouts.login_hold_s); more are "
           "refused temporarily at once.  0 is any number."),
    NUMBER(limits_config, login_failures, "10", 0, 1000,
           "Wrong passwords for one account from one network that are tried before such logins are "
           "refused for a while; the account can be used from elsewhere, and the password that was "
           "good there last is still tried.  0 is any number."),
    NUMBER(limits_config, login_failures_per_network, "200", 0, 10000,
           "Wrong passwords from one network, for whatever accounts, before all logins from there "
           "are refused for a while, but for accounts that have logged in from there; 0 is any "
           "number."),
    NUMBER(limits_config, login_failure_window_s, "600", 10, DAY_S,
           "Seconds in which so many wrong passwords are forgiven."),
    NUMBER(limits_config, login_block_s, "300", 1, DAY_S,
           "Seconds that logins are refused when there were too many wrong passwords."),
    NUMBER(limits_config, network_prefix_ipv4, "24", 8, 32,
           "Leading bits of an IPv4 address that make a network for these limits."),
    NUMBER(limits_config, network_prefix_ipv6, "64", 16, 128,
           "Leading bits of an IPv6 address that make a network for these limits."),
    LIST(NETWORK_LIST, limits_config, trusted_networks, NULL, 0,
         "The addresses and CIDR networks of webmail hosts, monitoring and others that log many "
         "people in: only sessions_per_account holds for them."),
};

const struct config_section config_limits_section = SINGLE(
    "limits", "", offsetof(struct config, limits), limits_options, "How much is done at a time.");
