/* SPDX-License-Identifier: Apache-2.0 */
/* The administrator's: what the mailstead command needs, and where a daemon takes its orders. */
#include "common/service/config_rows.h"

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

const struct config_section config_admin_section =
    SINGLE("admin", "", offsetof(struct config, admin), admin_options,
           "What the mailstead command needs: to write to the directory, and to reach the nodes.");

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

const struct config_section config_admin_port_section =
    SINGLE("admin_port", "", offsetof(struct config, admin_port), admin_port_options,
           "This daemon's port for orders, metrics and health, HTTPS with client certificates.");
