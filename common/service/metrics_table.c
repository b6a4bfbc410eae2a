/* SPDX-License-Identifier: Apache-2.0 */
/* The rows only: each metric is one role's, and its names and units are OpenMetrics'. */
#include "common/service/metrics.h"

#define GAUGE(name, help)                                                                          \
    {                                                                                              \
        "mailstead_" name, METRIC_GAUGE, NULL, help                                                \
    }
#define SECONDS(name, help)                                                                        \
    {                                                                                              \
        "mailstead_" name "_seconds", METRIC_GAUGE, "seconds", help                                \
    }
#define BYTES(name, help)                                                                          \
    {                                                                                              \
        "mailstead_" name "_bytes", METRIC_GAUGE, "bytes", help                                    \
    }
#define COUNTER(name, help)                                                                        \
    {                                                                                              \
        "mailstead_" name, METRIC_COUNTER, NULL, help                                              \
    }
#define INFO(name, help)                                                                           \
    {                                                                                              \
        "mailstead_" name, METRIC_INFO, NULL, help                                                 \
    }

const struct metric_family metric_families[] = {
    /* the daemon */
    INFO("build", "The program and its version."),
    SECONDS("uptime", "How long the daemon runs."),
    GAUGE("healthy", "1 when this daemon's processes, mirror and queue let it serve."),
    GAUGE("process_up", "1 for a process whose loop runs, 0 for one that should be there."),
    SECONDS("process_heartbeat_age", "The time since a process's last sign of life."),
    GAUGE("drained", "1 when no connections are taken, by order."),
    SECONDS("certificate_left", "The time until a certificate ends; negative behind it."),
    COUNTER("events", "Warnings and errors in the log, by event: mailstead-log(7)."),
    SECONDS("event_last_timestamp", "When such an event was logged last, as Unix time."),
    /* sessions and mail */
    GAUGE("sessions", "Sessions that are open."),
    COUNTER("connections", "Connections that were accepted."),
    COUNTER("logins", "Logins, by what became of them."),
    COUNTER("messages", "Messages, by the way that they took."),
    COUNTER("recipients", "Recipients, by what became of them."),
    /* the directory */
    GAUGE("directory_connected", "1 when an LDAP server is followed."),
    GAUGE("mirror_revision", "The number of the mirror's last change."),
    GAUGE("mirror_entries", "Accounts in the mirror."),
    GAUGE("mirror_synchronised", "1 when it was whole once since the daemon started."),
    SECONDS("mirror_age", "The time since the mirror was last known to be up to date."),
    GAUGE("mirror_held_accounts",
          "Accounts that a refresh would remove, and that wait for a word."),
    /* backends, as this daemon sees them */
    GAUGE("backend_up", "1 when a backend takes this protocol, 0 when it does not."),
    GAUGE("backend_ramping", "1 while a backend that is up again gets only a part of its work."),
    SECONDS("backend_since", "How long a backend has been up or down."),
    /* the queue */
    GAUGE("queue_messages", "Messages that wait."),
    GAUGE("queue_recipients", "Recipients that wait."),
    GAUGE("queue_recipients_held", "Recipients that are held, and not tried."),
    GAUGE("queue_recipients_set_aside", "Recipients whose message cannot be read."),
    GAUGE("queue_refusing", "1 when nothing can be written."),
    SECONDS("queue_oldest_age", "The age of the oldest message."),
    BYTES("queue_disk_free", "Room on the file system of the queue."),
    /* a backend node */
    GAUGE("node_state", "1 for the state that the node is in, 0 for the others."),
    GAUGE("node_overridden", "1 when it serves by order before the first synchronisation."),
    GAUGE("store_up", "1 when the node's mail store takes this protocol."),
    GAUGE("storage_state", "1 for the state that a server's storage is in here, 0 for the others."),
    GAUGE("storage_held",
          "1 when it is not attached again before the directory, or an order, says."),
    GAUGE("storage_missed", "1 when accounts of the node needed it lately and it is not attached."),
    /* the replica */
    GAUGE("replica_backlog", "Accounts that wait to be synchronised to the sibling."),
    SECONDS("replica_lag", "How long the account that waits longest has waited."),
    GAUGE("replica_accounts", "Accounts of the node, by whether the sibling has them."),
    COUNTER("replica_synchronisations", "Synchronisations of accounts, by what became of them."),
    { NULL, METRIC_GAUGE, NULL, NULL },
};
