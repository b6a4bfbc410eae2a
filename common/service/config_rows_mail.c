/* SPDX-License-Identifier: Apache-2.0 */
/* A frontend's: mail for the world, the queue, submission, SMTP. */
#include "common/service/config_rows.h"

static const char *const verify_words[] = { "backend", "ldap", NULL };
static const char *const line_ending_words[] = { "refuse", "convert", NULL };

static const struct config_option relay_host_options[] = {
    ROW(TEXT, relay_host_config, address, "address", NULL, 1, 253, NULL, 0,
        "The mail server that takes mail for the world; without it, there is none."),
    PORT(relay_host_config, port, "587", "Its port."),
    WORD(relay_host_config, tls, "starttls", config_tls_words, 0,
         "How the connection is protected."),
    PATH(relay_host_config, ca, "ca", NULL, TEXT_MAX,
         "The PEM file of its authorities; without it, the system's."),
    TEXT(relay_host_config, user, NULL, 0, "The name to log in with; without it, no login."),
    SECRET(relay_host_config, password, "password_file", "The file with the password of user."),
};

const struct config_section config_relay_host_section =
    SINGLE("relay_host", "", offsetof(struct config, relay_host), relay_host_options,
           "The mail server for everything that is not the cluster's.");

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

const struct config_section config_master_section = SINGLE(
    "master", "", offsetof(struct config, master), master_options,
    "How clients with certificates are logged in at backends; on a backend node only user and "
    "separator count.");

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

const struct config_section config_queue_section = SINGLE(
    "queue", "", offsetof(struct config, queue), queue_options, "The durable queue of a frontend.");

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

const struct config_section config_smtp_section =
    SINGLE("smtp", "", offsetof(struct config, smtp), smtp_options, "Bounds of SMTP and LMTP.");

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

const struct config_section config_submission_section =
    SINGLE("submission", "", offsetof(struct config, submission), submission_options,
           "Mail from users who log in, on listeners with protocol submission.");
