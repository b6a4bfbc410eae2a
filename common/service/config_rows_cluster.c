/* SPDX-License-Identifier: Apache-2.0 */
/* What all machines agree on: the domains, the backends and the frontends. */
#include "common/service/config_rows.h"

const char *const config_pass_words[] = { "command", "proxy", NULL };
static const char *const state_words[] = { "up", "leaving", "down", NULL };

static const struct config_option cluster_options[] = {
    ROW(DOMAIN, cluster_config, hostname, "hostname", NULL, 1, 253, NULL, DAEMONS,
        "This machine's public name, for greetings and Received lines."),
    LIST(DOMAIN_LIST, cluster_config, domains, NULL, DAEMONS,
         "The mail domains of the cluster, as A-labels."),
    WORD(cluster_config, pass_client, "command", config_pass_words, 0,
         "How frontends tell a backend whose login they pass on: by a command of the protocol "
         "(IMAP ID, XCLIENT), or by a header of the PROXY protocol, version 2, at the beginning of "
         "each connection, which the backend must expect."),
};

const struct config_section config_cluster_section =
    SINGLE("cluster", "", offsetof(struct config, cluster), cluster_options,
           "What all machines of the cluster agree on.");

static const struct config_option domain_alias_options[] = {
    ROW(DOMAIN, domain_alias_config, of, "of", NULL, 1, 253, NULL, ~0U,
        "The domain of cluster.domains under which its addresses are looked up when they are not "
        "found as they are."),
};

const struct config_section config_domain_alias_section =
    TITLED("cluster.domain_alias", "cluster", cluster.domain_aliases, cluster.domain_alias_count,
           domain_alias_config, domain_alias_options,
           "One domain that has the accounts of another; its title is the domain.");

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

const struct config_section config_backend_section =
    TITLED("cluster.backend", "cluster", cluster.backends, cluster.backend_count, backend_config,
           backend_options, "One backend; its title is the hostServer value of its accounts.");

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

const struct config_section config_frontend_section = TITLED(
    "cluster.frontend", "cluster", cluster.frontends, cluster.frontend_count, frontend_config,
    frontend_options, "One frontend; only the mailstead command uses this.");
