/* SPDX-License-Identifier: Apache-2.0 */
/* A backend node's: its stores, its storages, its copies. */
#include "common/service/config_rows.h"

static const char *const foreign_words[] = { "refuse", "relay", NULL };
static const char *const storage_words[] = { "none", "shared", NULL };
static const char *const mount_words[] = { "server", "directory", "off", NULL };
static const char *const adopt_words[] = { "order", "auto", NULL };

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
    WORD(node_config, pass_client, "command", config_pass_words, 0,
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

const struct config_section config_node_section =
    SINGLE("node", "", offsetof(struct config, node), node_options,
           "This machine as a backend; for mailstead-backend alone.");

static const struct config_option storage_options[] = {
    WORD(
        storage_config, kind, "none", storage_words, 0,
        "Whose business it is where the mail of a server is: none, of nobody here, and each counts "
        "as attached until it is released; shared, each server has a folder in storage.directory, "
        "of which it is made sure that one node at a time has it."),
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

const struct config_section config_storage_section =
    SINGLE("storage", "", offsetof(struct config, storage), storage_options,
           "Where the mail of this backend is, and of those that it adopts; for mailstead-backend "
           "alone.");

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

const struct config_section config_dovecot_section =
    SINGLE("dovecot", "", offsetof(struct config, dovecot), dovecot_options,
           "The Dovecot behind this node, whose configuration mailstead dovecot-config writes.");

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

const struct config_section config_replica_section =
    SINGLE("replica", "", offsetof(struct config, replica), replica_options,
           "Copies of this backend's accounts on another one, for sites without shared disks; for "
           "mailstead-backend with Dovecot.");
