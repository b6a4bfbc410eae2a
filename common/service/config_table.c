/* SPDX-License-Identifier: Apache-2.0 */
/* The rows only; what they mean is in config_value.c.  They are the manual page, too. */
#include "common/service/config_table.h"

#include <string.h>

#include "common/base/memory.h"
#include "common/service/config.h"

enum { TEXT_MAX = 1024, DAY_S = 86400 };

#define FRONTEND CONFIG_BIT(CONFIG_FRONTEND)
#define BACKEND CONFIG_BIT(CONFIG_BACKEND)
#define DAEMONS (FRONTEND | BACKEND)

static const char *const protocol_words[] = { "smtp",  "lmtp",       "imap", "pop3",
                                              "sieve", "submission", NULL };
static const char *const verify_words[] = { "backend", "ldap", NULL };
static const char *const tls_words[] = { "off", "starttls", "implicit", NULL };
static const char *const tls_version_words[] = { "1.2", "1.3", NULL };
static const char *const identity_words[] = { "email", "common_name", NULL };
static const char *const pass_words[] = { "command", "proxy", NULL };
static const char *const foreign_words[] = { "refuse", "relay", NULL };
static const char *const state_words[] = { "up", "leaving", "down", NULL };
static const char *const mechanism_words[] = { "PLAIN",       "LOGIN",    "XOAUTH2",
                                               "OAUTHBEARER", "EXTERNAL", NULL };
static const char *const storage_words[] = { "none", "shared", NULL };
static const char *const mount_words[] = { "server", "directory", "off", NULL };
static const char *const adopt_words[] = { "order", "auto", NULL };
static const char *const line_ending_words[] = { "refuse", "convert", NULL };
static const char *const level_words[] = { "debug", "info", "warning", "error", NULL };

/* Rows by type: TEXT(struct, member, option, default, programs, help). */
#define ROW(type, record, member, option, fallback, min, max, words, required, help)               \
    {                                                                                              \
        option, CONFIG_TYPE_##type, offsetof(struct record, member), fallback, min, max, words,    \
            required, help                                                                         \
    }
#define TEXT(record, member, fallback, required, help)                                             \
    ROW(TEXT, record, member, #member, fallback, 1, TEXT_MAX, NULL, required, help)
#define PATH(record, member, option, fallback, max, help)                                          \
    ROW(PATH, record, member, option, fallback, 1, max, NULL, 0, help)
#define HOST_PATH(record, member, option, fallback, max, help)                                     \
    ROW(HOST_PATH, record, member, option, fallback, 1, max, NULL, 0, help)
#define SECRET(record, member, option, help)                                                       \
    ROW(SECRET, record, member, option, NULL, 1, TEXT_MAX, NULL, 0, help)
#define NUMBER(record, member, fallback, min, max, help)                                           \
    ROW(NUMBER, record, member, #member, fallback, min, max, NULL, 0, help)
#define BOOLEAN(record, member, fallback, help)                                                    \
    ROW(BOOLEAN, record, member, #member, fallback, 0, 1, NULL, 0, help)
#define PORT(record, member, fallback, help)                                                       \
    ROW(PORT, record, member, #member, fallback, 1, 65535, NULL, 0, help)
#define WORD(record, member, fallback, words, required, help)                                      \
    ROW(WORD, record, member, #member, fallback, 0, 0, words, required, help)
#define LIST(type, record, member, fallback, required, help)                                       \
    ROW(type, record, member, #member, fallback, 1, TEXT_MAX, NULL, required, help)

#define LIST_OF_WORDS(record, member, fallback, words, help)                                       \
    ROW(WORD_SET, record, member, #member, fallback, 0, 0, words, 0, help)

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

static const struct config_option cluster_options[] = {
    ROW(DOMAIN, cluster_config, hostname, "hostname", NULL, 1, 253, NULL, DAEMONS,
        "This machine's public name, for greetings and Received lines."),
    LIST(DOMAIN_LIST, cluster_config, domains, NULL, DAEMONS,
         "The mail domains of the cluster, as A-labels."),
    WORD(cluster_config, pass_client, "command", pass_words, 0,
         "How frontends tell a backend whose login they pass on: by a command of the protocol "
         "(IMAP ID, XCLIENT), or by a header of the PROXY protocol, version 2, at the beginning of "
         "each connection, which the backend must expect."),
};

static const struct config_option domain_alias_options[] = {
    ROW(DOMAIN, domain_alias_config, of, "of", NULL, 1, 253, NULL, ~0U,
        "The domain of cluster.domains under which its addresses are looked up when they are not "
        "found as they are."),
};

static const struct config_option backend_options[] = {
    ROW(TEXT, backend_config, address, "address", NULL, 1, 253, NULL, ~0U,
        "The IP address or host name of this backend."),
    PORT(backend_config, lmtp_port, "24", "Where it takes LMTP."),
    PORT(backend_config, imap_port, "143", "Where it takes IMAP."),
    PORT(backend_config, pop3_port, "110", "Where it takes POP3."),
    PORT(backend_config, sieve_port, "4190", "Where it takes ManageSieve."),
    PORT(backend_config, doveadm_port, "24245",
         "Where its Dovecot takes doveadm's protocol, for the copies of section replica."),
    ROW(TEXT, backend_config, tls_name, "tls_name", NULL, 1, 253, NULL, 0,
        "The name that its certificate must have; without it, its address."),
    NUMBER(backend_config, weight, "1", 0, 65535, "Its share when accounts are planned."),
    ROW(TEXT_LIST, backend_config, siblings, "siblings", NULL, 1, 127, NULL, 0,
        "The backends that take its accounts over when it fails, the first choice first; "
        "mailstead plan shows what that comes to."),
    WORD(backend_config, state, "up", state_words, 0,
         "Leaving: it serves what it has, and nothing new is planned for it; down: it is treated "
         "as down, whatever it answers."),
    PORT(backend_config, admin_port, NULL,
         "Where its mailstead-backend takes orders of the mailstead command; without it, nowhere."),
    PATH(backend_config, control_socket, "control_socket", NULL, 100,
         "Its control.sock, when it runs on this machine."),
};

static const struct config_option frontend_options[] = {
    ROW(TEXT, frontend_config, address, "address", NULL, 1, 253, NULL, ~0U,
        "The IP address or host name of this frontend."),
    PORT(frontend_config, admin_port, NULL,
         "Where it takes orders of the mailstead command; without it, nowhere."),
    ROW(TEXT, frontend_config, tls_name, "tls_name", NULL, 1, 253, NULL, 0,
        "The name that its certificate must have there; without it, its address."),
    PATH(frontend_config, control_socket, "control_socket", NULL, 100,
         "Its control.sock, when it runs on this machine beside others."),
};

static const struct config_option directory_options[] = {
    LIST(URI_LIST, directory_config, uri, NULL, DAEMONS,
         "The LDAP servers to follow; the first that answers is used."),
    LIST(URI_LIST, directory_config, confirm_uri, NULL, 0,
         "The servers of which one is asked before an address is called unknown, each when those "
         "before it do not answer; without any, the followed one."),
    TEXT(directory_config, base, NULL, DAEMONS, "The base under which the accounts are."),
    TEXT(directory_config, bind_dn, NULL, 0,
         "The identity for reading; without it, SASL EXTERNAL on ldapi://, else anonymous."),
    SECRET(directory_config, bind_password, "bind_password_file",
           "The file with the password of bind_dn."),
    BOOLEAN(directory_config, starttls, "false", "STARTTLS on ldap:// connections."),
    PATH(directory_config, ca, "ca", NULL, TEXT_MAX,
         "The PEM file of the authorities of LDAP servers; without it, the system's."),
    TEXT(directory_config, filter, "(objectClass=mailsteadAccount)", 0,
         "The LDAP filter that accounts match."),
    LIST(TEXT_LIST, directory_config, address_attributes, "mail", 0,
         "The attributes that hold an account's mail addresses."),
    LIST(TEXT_LIST, directory_config, login_attributes, "uid, mail", 0,
         "The attributes that hold the names that an account logs in with."),
    TEXT(directory_config, host_attribute, "hostServer", 0,
         "The attribute that names the backend that owns the account."),
    TEXT(directory_config, old_host_attribute, "oldHostServer", 0,
         "The attribute that names the backend whose storage a moved account is on."),
    TEXT(directory_config, store_name_attribute, "mail", 0,
         "The attribute whose first value is the account's name at its backend."),
    TEXT(directory_config, relay_filter, NULL, 0,
         "The LDAP filter of entries without a backend whose mail goes to the relay host."),
    ROW(TEXT, directory_config, recipient_delimiter, "recipient_delimiter", "+", 0, 1, NULL, 0,
        "The character between an address and its detail; empty: there are no details."),
    NUMBER(directory_config, confirm_rate, "50", 1, 100000,
           "Live searches a second for addresses that the mirror does not have."),
    NUMBER(
        directory_config, return_s, "300", 0, DAY_S,
        "Seconds after which the first server of uri is tried again while another is followed; 0: "
        "never."),
    NUMBER(
        directory_config, recheck_rate, "2000", 1, 100000,
        "Accounts a second that are read again after a change was told: it may have been undone."),
    NUMBER(directory_config, compare_interval_s, "86400", 0, 30 * DAY_S,
           "Seconds between comparisons of the whole mirror with the directory; 0: never."),
    NUMBER(directory_config, compare_rate, "2000", 1, 100000,
           "Entries a second that a comparison reads."),
    NUMBER(directory_config, hold_accounts, "20", 0, 1000000,
           "So many of a domain's accounts may be missing from a refresh and are removed."),
    NUMBER(
        directory_config, hold_percent, "25", 1, 100,
        "When more than hold_accounts and more than this share of a domain, or of everything, are "
        "missing, they are held; 100: never."),
    NUMBER(
        directory_config, refresh_spread_s, "30", 0, 3600,
        "A full refresh of a mirror that serves waits for a random time up to this, and up to ten "
        "seconds a million accounts."),
    TEXT(directory_config, backend_base, NULL, 0,
         "The base under which backends are entries, beside those of the section cluster; without "
         "it, there are none."),
    TEXT(directory_config, backend_filter, "(objectClass=mailsteadBackend)", 0,
         "The LDAP filter that backends match."),
    TEXT(directory_config, backend_name_attribute, "cn", 0,
         "The attribute with a backend's name: the hostServer value of its accounts."),
    TEXT(directory_config, backend_address_attribute, "backendAddress", 0,
         "The attribute with its IP addresses or host names, four at most."),
    TEXT(directory_config, backend_lmtp_port_attribute, "backendLmtpPort", 0,
         "The attribute with the port where it takes LMTP; an entry without it means 24."),
    TEXT(directory_config, backend_imap_port_attribute, "backendImapPort", 0,
         "The attribute with the port where it takes IMAP; an entry without it means 143."),
    TEXT(directory_config, backend_pop3_port_attribute, "backendPop3Port", 0,
         "The attribute with the port where it takes POP3; an entry without it means 110."),
    TEXT(directory_config, backend_sieve_port_attribute, "backendSievePort", 0,
         "The attribute with the port where it takes ManageSieve; an entry without it means 4190."),
    TEXT(directory_config, backend_weight_attribute, "backendWeight", 0,
         "The attribute with its share when accounts are planned; an entry without it means 1."),
    TEXT(directory_config, backend_state_attribute, "backendState", 0,
         "The attribute with its state, up, leaving or down; an entry without it means up."),
    BOOLEAN(directory_config, unverified_backends, "false",
            "Whether backends come from the directory although backend_tls does not verify who "
            "they are: then whoever can write an entry there is given passwords."),
};

static const struct config_option tls_options[] = {
    PATH(tls_config, certificate_file, "certificate", NULL, TEXT_MAX,
         "The PEM file with the certificate and its chain, shown to clients."),
    PATH(tls_config, key_file, "key", NULL, TEXT_MAX, "The PEM file with the private key."),
    WORD(tls_config, min_version, "1.2", tls_version_words, 0,
         "The oldest version of TLS that clients may use."),
    TEXT(
        tls_config, ciphers, "ECDHE+AESGCM:ECDHE+CHACHA20", 0,
        "The ciphers of TLS 1.2, as a list of OpenSSL's (openssl-ciphers(1)); those of TLS 1.3 are "
        "all good."),
    PATH(tls_config, client_ca, "client_ca", NULL, TEXT_MAX,
         "The PEM file of the authorities of clients: each is asked for a certificate, and none "
         "needs to have one; without it, nobody is asked."),
    WORD(tls_config, client_identity, "email", identity_words, 0,
         "Which name of a client's certificate is who it is, for the mechanism EXTERNAL: the first "
         "rfc822Name of its subjectAltName, or the common name of its subject."),
    NUMBER(tls_config, ticket_key_s, "3600", 1, DAY_S,
           "Seconds after which session tickets are sealed with a new key; they are still opened "
           "under the two keys before it."),
    NUMBER(tls_config, expiry_warning_days, "14", 0, 365,
           "Days before the end of a certificate from which on the log warns of it; 0: never."),
};

static const struct config_option certificate_options[] = {
    ROW(PATH, certificate_config, certificate_file, "certificate", NULL, 1, TEXT_MAX, NULL, ~0U,
        "The PEM file with the certificate and its chain."),
    ROW(PATH, certificate_config, key_file, "key", NULL, 1, TEXT_MAX, NULL, ~0U,
        "The PEM file with its private key."),
};

static const struct config_option backend_tls_options[] = {
    WORD(backend_tls_config, transport, "starttls", tls_words, 0,
         "How connections to backends are protected."),
    BOOLEAN(backend_tls_config, verify, "true", "Whether a backend's certificate must be valid."),
    PATH(backend_tls_config, ca, "ca", NULL, TEXT_MAX,
         "The PEM file of the authorities of backends; without it, the system's."),
    PATH(backend_tls_config, certificate_file, "certificate", NULL, TEXT_MAX,
         "The PEM file with the certificate, and its chain, that is shown to backends that ask for "
         "one; without it, none is."),
    PATH(backend_tls_config, key_file, "key", NULL, TEXT_MAX,
         "The PEM file with the private key of certificate."),
    TEXT(backend_tls_config, name, "%b", 0,
         "The name that the certificate of a backend from the directory must have; %b stands for "
         "the backend's name."),
};

static const struct config_option relay_host_options[] = {
    ROW(TEXT, relay_host_config, address, "address", NULL, 1, 253, NULL, 0,
        "The mail server that takes mail for the world; without it, there is none."),
    PORT(relay_host_config, port, "587", "Its port."),
    WORD(relay_host_config, tls, "starttls", tls_words, 0, "How the connection is protected."),
    PATH(relay_host_config, ca, "ca", NULL, TEXT_MAX,
         "The PEM file of its authorities; without it, the system's."),
    TEXT(relay_host_config, user, NULL, 0, "The name to log in with; without it, no login."),
    SECRET(relay_host_config, password, "password_file", "The file with the password of user."),
};

static const struct config_option master_options[] = {
    TEXT(master_config, user, NULL, 0,
         "The backends' master user, with whom clients that use EXTERNAL are logged in; without it "
         "they are not."),
    SECRET(master_config, password, "password_file", "The file with the password of user."),
    ROW(TEXT, master_config, separator, "separator", "*", 1, 1, NULL, 0,
        "What stands between the account's name and that of the master user."),
    LIST(TEXT_LIST, master_config, identities, NULL, 0,
         "The names in client certificates that may log in to any account; all others may only to "
         "their own."),
};

static const struct config_option admin_options[] = {
    ROW(URI, admin_config, write_uri, "write_uri", NULL, 1, TEXT_MAX, NULL, 0,
        "The LDAP server that mailstead reassign writes to."),
    TEXT(
        admin_config, bind_dn, NULL, 0,
        "The identity for writing; without it, SASL EXTERNAL on ldapi://, else directory.bind_dn."),
    SECRET(admin_config, bind_password, "bind_password_file",
           "The file with the password of bind_dn; read by the mailstead command alone."),
    BOOLEAN(admin_config, starttls, "false", "STARTTLS on an ldap:// connection."),
    PATH(admin_config, ca, "ca", NULL, TEXT_MAX,
         "The PEM file of the server's authorities; without it, the system's."),
    PATH(admin_config, client_certificate, "client_certificate", NULL, TEXT_MAX,
         "The PEM file of the certificate with which the mailstead command orders at admin ports."),
    PATH(admin_config, client_key, "client_key", NULL, TEXT_MAX,
         "The PEM file with its private key; read by the mailstead command alone."),
    PATH(admin_config, node_ca, "node_ca", NULL, TEXT_MAX,
         "The PEM file of the authorities of the certificates of admin ports; without it, that of "
         "ca."),
    PATH(admin_config, fence_hook, "fence_hook", NULL, TEXT_MAX,
         "The program that mailstead failover runs to turn a node off that does not let go by "
         "itself: MAILSTEAD_NODE and MAILSTEAD_ADDRESS in its environment say which; exit status 0 "
         "means that it is off."),
    NUMBER(admin_config, fence_timeout_s, "60", 1, 3600,
           "Seconds that fence_hook may take; then it is killed, and has failed."),
    PATH(admin_config, journal_directory, "journal_directory", NULL, TEXT_MAX,
         "Where each run of mailstead reassign, restore and failover leaves a journal; without it, "
         "the "
         "folder journal in state_directory."),
};

static const struct config_option admin_port_options[] = {
    ROW(LISTEN_ADDRESS, admin_port_config, endpoint, "address", NULL, 0, 0, NULL, 0,
        "The IP address and port to listen on; * is every address; without it, there is no admin "
        "port."),
    PATH(admin_port_config, certificate_file, "certificate", NULL, TEXT_MAX,
         "The PEM file with the certificate and its chain, shown to clients."),
    PATH(admin_port_config, key_file, "key", NULL, TEXT_MAX, "The PEM file with its private key."),
    PATH(admin_port_config, client_ca_file, "client_ca", NULL, TEXT_MAX,
         "The PEM file of the authorities of administrators: who shows no certificate of theirs is "
         "refused before anything is read, so they should sign nobody else's."),
    LIST(TEXT_LIST, admin_port_config, read, NULL, 0,
         "Who may ask: common names, or subjectAltNames (DNS, e-mail, URI), of their certificates, "
         "as they are written there."),
    LIST(TEXT_LIST, admin_port_config, operate, NULL, 0,
         "Who may also give orders that change something; the names as in read."),
};

static const struct config_option node_options[] = {
    ROW(TEXT, node_config, name, "name", NULL, 1, 127, NULL, BACKEND,
        "This backend's name: the hostServer value of the accounts that it serves."),
    ROW(ENDPOINT, node_config, lmtp_store, "lmtp_store", NULL, 0, 0, NULL, 0,
        "Where the node's own mail store takes LMTP."),
    ROW(ENDPOINT, node_config, imap_store, "imap_store", NULL, 0, 0, NULL, 0,
        "Where the node's own mail store takes IMAP."),
    ROW(ENDPOINT, node_config, pop3_store, "pop3_store", NULL, 0, 0, NULL, 0,
        "Where the node's own mail store takes POP3."),
    ROW(ENDPOINT, node_config, sieve_store, "sieve_store", NULL, 0, 0, NULL, 0,
        "Where the node's own mail store takes ManageSieve."),
    WORD(node_config, pass_client, "command", pass_words, 0,
         "How the node's own mail stores are told whose login it is; as cluster.pass_client."),
    LIST(NETWORK_LIST, node_config, frontends, "127.0.0.0/8, ::1", 0,
         "The addresses and CIDR networks of the frontends: nobody else may connect."),
    LIST(TEXT_LIST, node_config, frontend_names, NULL, 0,
         "The names that a frontend's certificate must have one of: DNS names, or the common name "
         "of "
         "one that has none; it is verified by tls.client_ca, and without this none is needed."),
    WORD(node_config, foreign, "refuse", foreign_words, 0,
         "What is done with logins and mail for another node's accounts: they are refused, so that "
         "the frontend looks again, or relayed to that node, once."),
};

static const struct config_option storage_options[] = {
    WORD(
        storage_config, kind, "none", storage_words, 0,
        "Whose business it is where the mail of a server is: none, of nobody here, and each counts "
        "as attached; shared, each server has a folder in storage.directory, of which it is made "
        "sure that one node at a time has it."),
    PATH(storage_config, directory, "directory", NULL, TEXT_MAX,
         "Has one folder for each server, by its hostServer value."),
    WORD(storage_config, require_mount, "server", mount_words, 0,
         "What must be a mount point, or the storage is not served: the server's folder, that or "
         "storage.directory itself, or nothing."),
    WORD(storage_config, adopt, "order", adopt_words, 0,
         "When another server's storage is attached: when it is ordered, or also as soon as "
         "somebody asks for an account of this node whose oldHostServer is that server, unless it "
         "was released within the last minute."),
    PATH(storage_config, attach_hook, "attach_hook", NULL, TEXT_MAX,
         "The program that brings a server's storage here, by mounting it for instance; run as "
         "root before the storage is looked at."),
    PATH(storage_config, release_hook, "release_hook", NULL, TEXT_MAX,
         "The program that takes it away again."),
    PATH(storage_config, stop_hook, "stop_hook", NULL, TEXT_MAX,
         "The program that stops the mail store when the node leaves; it has stopped when that "
         "ends."),
    PATH(storage_config, start_hook, "start_hook", NULL, TEXT_MAX,
         "The program that starts the mail store when the node returns."),
    NUMBER(storage_config, hook_timeout_s, "60", 1, 3600,
           "Seconds after which a hook is killed and counts as failed."),
    NUMBER(storage_config, check_interval_s, "5", 1, 600,
           "Seconds between two looks at an attached storage, each with a synced write."),
    NUMBER(storage_config, check_timeout_s, "10", 1, 600,
           "Seconds that such a look may take before the storage is no longer served."),
};

static const struct config_option dovecot_options[] = {
    LIST(URI_LIST, dovecot_config, uri, NULL, 0,
         "The LDAP servers that Dovecot asks; without any, those of directory.uri."),
    TEXT(
        dovecot_config, bind_dn, NULL, 0,
        "The identity that reads accounts with their password hashes; without it, "
        "directory.bind_dn reads the accounts, and passwords are tried by binds as their entries."),
    SECRET(dovecot_config, bind_password, "bind_password_file",
           "The file with the password of bind_dn."),
    TEXT(dovecot_config, password_attribute, "userPassword", 0,
         "The attribute with the hash of the password, for bind_dn."),
    ROW(TEXT, dovecot_config, user, "user", "vmail", 1, 32, NULL, 0,
        "The account of the system that all mail belongs to."),
    ROW(TEXT, dovecot_config, group, "group", "vmail", 1, 32, NULL, 0,
        "The group of the system that all mail belongs to."),
    PATH(dovecot_config, mail_directory, "mail_directory", "/srv/mail", TEXT_MAX,
         "The folder that the accounts' folders are in where each backend keeps its mail by "
         "itself."),
    TEXT(dovecot_config, mail_location, "maildir:~/Maildir", 0,
         "Format and place of the mail in an account's folder, as mail_location of Dovecot 2.3."),
    HOST_PATH(dovecot_config, run_directory, "run_directory", "/run/dovecot", 80,
              "Where Dovecot has its sockets."),
    HOST_PATH(dovecot_config, state_directory, "state_directory", "/var/lib/dovecot", TEXT_MAX,
              "Where Dovecot keeps what it remembers of itself."),
};

static const struct config_option replica_options[] = {
    ROW(ENDPOINT, replica_config, doveadm, "doveadm", NULL, 0, 0, NULL, 0,
        "Where the node's own Dovecot takes doveadm's protocol; without it, no copies are kept.  "
        "mailstead dovecot-config has it listen there, and where the other backends find it."),
    SECRET(
        replica_config, password, "password_file",
        "The file with the password that doveadm's protocol asks for (doveadm_password), the same "
        "in the Dovecot of each backend."),
    BOOLEAN(replica_config, tls, "true",
            "Whether both Dovecots are spoken to inside TLS (not over a unix socket), verified as "
            "section backend_tls says."),
    ROW(TEXT, replica_config, to, "to", NULL, 1, 127, NULL, 0,
        "The backend that has the copies; without it, the first of this backend's siblings."),
    TEXT(replica_config, state_dict, "fs:posix:prefix=/var/lib/dovecot/mailstead/", 0,
         "The dictionary, as Dovecot has it, in which the other backend's Dovecot keeps what this "
         "one says about the copies."),
    NUMBER(replica_config, delay_ms, "500", 0, 600000,
           "Milliseconds from a delivery, or the end of a session, to the synchronisation; what "
           "comes in between goes with it."),
    NUMBER(replica_config, at_a_time, "4", 1, 64, "Synchronisations at a time."),
    NUMBER(replica_config, background_per_second, "10", 1, 1000,
           "How many of them a second may be first ones, or of accounts that only may have "
           "changed; each costs some 30 ms of processor time, of both backends together."),
    NUMBER(replica_config, session_s, "60", 1, DAY_S,
           "Seconds between the copies of an account whose client goes on talking."),
    NUMBER(replica_config, timeout_s, "10", 1, 3600,
           "Seconds after which a synchronisation is given up; twice as many each time that the "
           "same account takes longer."),
    NUMBER(replica_config, timeout_max_s, "7200", 1, DAY_S, "The most of those seconds."),
    NUMBER(replica_config, retry_min_s, "5", 1, DAY_S,
           "Seconds before an account whose synchronisation failed is tried again."),
    NUMBER(replica_config, retry_max_s, "900", 1, DAY_S,
           "The most of those seconds, and those before one is tried again whose copies can never "
           "become the same by themselves."),
    NUMBER(replica_config, sweep_s, "86400", 0, 30 * DAY_S,
           "Seconds after which an account is synchronised although nothing was heard of it: the "
           "gate does not see what changes mail behind it.  0 is never."),
};

static const struct config_option listen_options[] = {
    WORD(listener_config, protocol, NULL, protocol_words, ~0U, "What is spoken there."),
    ROW(LISTEN_ADDRESS, listener_config, endpoint, "address", NULL, 0, 0, NULL, ~0U,
        "The IP address and port to listen on; * is every address."),
    WORD(listener_config, tls, "starttls", tls_words, 0,
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

static const struct config_option queue_options[] = {
    HOST_PATH(queue_config, directory, "directory", "/var/spool/mailstead", TEXT_MAX,
              "Where mail waits."),
    NUMBER(queue_config, retry_min_s, "60", 1, DAY_S, "Seconds before the first retry."),
    NUMBER(queue_config, retry_max_s, "3600", 1, DAY_S, "Seconds between retries at most."),
    NUMBER(queue_config, unknown_delay_s, "600", 1, DAY_S,
           "Seconds before a retry when a backend's reply was lost: it may have the message."),
    NUMBER(queue_config, expiry_s, "432000", 60, 60 * DAY_S,
           "Seconds after which mail that could not be delivered goes back."),
    NUMBER(queue_config, delay_report_s, "14400", 0, 60 * DAY_S,
           "Seconds after which a sender hears that his message is late, once; 0: never."),
    NUMBER(queue_config, inline_max_bytes, "32768", 0, 65536,
           "A larger message is a file of its own beside the database."),
};

static const struct config_option smtp_options[] = {
    WORD(smtp_config, bare_line_endings, "refuse", line_ending_words, 0,
         "What is done with a message in which a CR or LF stands alone: it is refused, or each "
         "becomes CRLF; neither ever ends a message."),
    ROW(SIZE, smtp_config, message_size_max, "message_size_max", "52428800", 1024,
        UINT64_C(1) << 31, NULL, 0, "The largest message that is taken, in bytes."),
    NUMBER(smtp_config, recipients_max, "100", 1, 1000, "Recipients of one message."),
    NUMBER(smtp_config, errors_max, "10", 1, 1000, "Bad commands before the session is ended."),
    NUMBER(smtp_config, hops_max, "50", 10, 1000, "Received lines that a message may have."),
    NUMBER(smtp_config, header_size_max, "1048576", 1024, UINT64_C(1) << 30,
           "The largest header that a message may have, in bytes."),
    NUMBER(smtp_config, sessions_max, "10000", 0, 1000000,
           "Mail sessions that each worker serves at a time; 0 is any number."),
    NUMBER(smtp_config, sessions_per_address, "250", 0, 1000000,
           "Those of them that one address may have; 0 is any number."),
    NUMBER(smtp_config, refused_recipients_max, "20", 1, 100000,
           "Refused recipients after which a session is slowed down; at twice as many it ends."),
    NUMBER(smtp_config, tarpit_s, "5", 0, 60,
           "Seconds by which a session that guesses recipients is slowed down at each."),
    NUMBER(smtp_config, greeting_delay_ms, "0", 0, 30000,
           "Milliseconds before an SMTP client is greeted; one that talks earlier is refused."),
    NUMBER(
        smtp_config, verified_at_a_time, "100", 0, 10000,
        "Transactions that each worker has open with one backend only to ask it about recipients; "
        "above it the directory's word is enough."),
    NUMBER(smtp_config, reused_connections, "10", 0, 100,
           "Connections to one backend that each worker keeps for the next message, and four times "
           "as many for a second; 0 is none."),
};

static const struct config_option submission_options[] = {
    WORD(submission_config, verify, "backend", verify_words, 0,
         "Who says whether a user's password is right: the account's own backend, by an IMAP "
         "login, or the LDAP server, by a bind as the account's entry."),
    NUMBER(submission_config, recipients_per_hour, "1000", 0, 1000000,
           "Recipients that an account may send to in an hour through this frontend; 0 is any "
           "number."),
    BOOLEAN(submission_config, hides_client, "false",
            "Whether the Received line of a submitted message says nothing about the client."),
};

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

#define SINGLE(path, parent, offset, options, help)                                                \
    {                                                                                              \
        path, parent, offset, false, 0, 0, options, ARRAY_LENGTH(options), help                    \
    }
#define TITLED(path, parent, array, count, record, options, help)                                  \
    {                                                                                              \
        path, parent, offsetof(struct config, array), true, offsetof(struct config, count),        \
            sizeof(struct record), options, ARRAY_LENGTH(options), help                            \
    }

const struct config_section config_sections[] = {
    SINGLE("", NULL, 0, top_options, "Options outside all sections."),
    SINGLE("cluster", "", offsetof(struct config, cluster), cluster_options,
           "What all machines of the cluster agree on."),
    TITLED("cluster.domain_alias", "cluster", cluster.domain_aliases, cluster.domain_alias_count,
           domain_alias_config, domain_alias_options,
           "One domain that has the accounts of another; its title is the domain."),
    TITLED("cluster.backend", "cluster", cluster.backends, cluster.backend_count, backend_config,
           backend_options, "One backend; its title is the hostServer value of its accounts."),
    TITLED("cluster.frontend", "cluster", cluster.frontends, cluster.frontend_count,
           frontend_config, frontend_options,
           "One frontend; only the mailstead command uses this."),
    SINGLE("directory", "", offsetof(struct config, directory), directory_options,
           "The LDAP directory that routes."),
    SINGLE("tls", "", offsetof(struct config, tls), tls_options, "TLS towards clients."),
    TITLED(
        "certificate", "", tls.others, tls.other_count, certificate_config, certificate_options,
        "One more certificate beside that of section tls, shown to clients that ask for one of its "
        "names (SNI); its title is only for people, and two with the same names and keys of "
        "different algorithms, RSA and ECDSA, go together."),
    SINGLE("backend_tls", "", offsetof(struct config, backend_tls), backend_tls_options,
           "TLS towards backends."),
    SINGLE("relay_host", "", offsetof(struct config, relay_host), relay_host_options,
           "The mail server for everything that is not the cluster's."),
    SINGLE(
        "master", "", offsetof(struct config, master), master_options,
        "How clients with certificates are logged in at backends; on a backend node only user and "
        "separator count."),
    SINGLE("admin", "", offsetof(struct config, admin), admin_options,
           "What the mailstead command needs: to write to the directory, and to reach the nodes."),
    SINGLE("admin_port", "", offsetof(struct config, admin_port), admin_port_options,
           "This daemon's port for orders, metrics and health, HTTPS with client certificates."),
    SINGLE("node", "", offsetof(struct config, node), node_options,
           "This machine as a backend; for mailstead-backend alone."),
    SINGLE("storage", "", offsetof(struct config, storage), storage_options,
           "Where the mail of this backend is, and of those that it adopts; for mailstead-backend "
           "alone."),
    SINGLE("dovecot", "", offsetof(struct config, dovecot), dovecot_options,
           "The Dovecot behind this node, whose configuration mailstead dovecot-config writes."),
    SINGLE("replica", "", offsetof(struct config, replica), replica_options,
           "Copies of this backend's accounts on another one, for sites without shared disks; for "
           "mailstead-backend with Dovecot."),
    TITLED("listen", "", listeners, listener_count, listener_config, listen_options,
           "One listening address; its title is only for people."),
    SINGLE("queue", "", offsetof(struct config, queue), queue_options,
           "The durable queue of a frontend."),
    SINGLE("smtp", "", offsetof(struct config, smtp), smtp_options, "Bounds of SMTP and LMTP."),
    SINGLE("submission", "", offsetof(struct config, submission), submission_options,
           "Mail from users who log in, on listeners with protocol submission."),
    SINGLE("timeouts", "", offsetof(struct config, timeout), timeout_options, "Deadlines."),
    SINGLE("health", "", offsetof(struct config, health), health_options,
           "When a backend counts as down."),
    SINGLE("limits", "", offsetof(struct config, limits), limits_options,
           "How much is done at a time."),
};
const size_t config_section_count = ARRAY_LENGTH(config_sections);

const char *config_section_name(const struct config_section *section)
{
    const char *dot = strrchr(section->path, '.');

    return dot ? dot + 1 : section->path;
}

const struct config_option *config_section_find(const struct config_section *section,
                                                const char *name)
{
    for (size_t i = 0; i < section->option_count; i++)
        if (strcmp(section->options[i].name, name) == 0)
            return &section->options[i];
    return NULL;
}
