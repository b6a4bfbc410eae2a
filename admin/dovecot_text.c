/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dovecot 2.3.  Each setting stands with the reason for it: who administers the store should not
 * have to read anything else.
 */
#include "admin/dovecot_text.h"

#include <string.h>

#include "common/base/memory.h"

const struct dovecot_service dovecot_services[] = {
    { PROTOCOL_LMTP, "lmtp", "lmtp", "lmtp", NULL },
    { PROTOCOL_IMAP, "imap", "imap-login", "imap", "imaps" },
    { PROTOCOL_POP3, "pop3", "pop3-login", "pop3", "pop3s" },
    { PROTOCOL_SIEVE, "sieve", "managesieve-login", "sieve", NULL },
};
const size_t dovecot_service_count = ARRAY_LENGTH(dovecot_services);

const char *dovecot_bind_dn(const struct config *config)
{
    return config->dovecot.bind_dn ? config->dovecot.bind_dn : config->directory.bind_dn;
}

const char *dovecot_bind_password(const struct config *config)
{
    return config->dovecot.bind_dn ? config->dovecot.bind_password.value
                                   : config->directory.bind_password.value;
}

static bool is_in_loopback(const char *host)
{
    return strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 ||
           strcmp(host, "localhost") == 0;
}

void dovecot_put_trusted(struct dovecot_file *file, const struct config *config)
{
    dovecot_file_put(file, "127.0.0.0/8 ::1");
    for (size_t i = 0; i < dovecot_service_count; i++) {
        const struct endpoint *store =
            node_config_store(&config->node, dovecot_services[i].protocol);

        /* A connection to an address of this machine comes from that very address. */
        if (*store->host && !store->is_unix && !is_in_loopback(store->host))
            dovecot_file_put(file, " %s", store->host);
    }
}

void dovecot_put_distrust(struct dovecot_file *file, const struct config *config)
{
    bool has_unix = false;

    for (size_t i = 0; i < dovecot_service_count; i++)
        has_unix |= node_config_store(&config->node, dovecot_services[i].protocol)->is_unix;
    if (has_unix)
        dovecot_file_put(file,
                         "\n# A unix socket is in no network: what comes there has no client's "
                         "address, and nothing\n# that is said of it is believed.");
}

void dovecot_put_listener(struct dovecot_file *file, const char *name, const char *address_option,
                          const struct endpoint *endpoint, const char *user, const char *more)
{
    if (endpoint->is_unix && *user)
        dovecot_file_put(file, "  unix_listener %s {\n    user = %s\n    mode = 0600\n%s  }\n",
                         endpoint->host, user, more);
    else if (endpoint->is_unix)
        dovecot_file_put(file, "  unix_listener %s {\n    mode = 0600\n%s  }\n", endpoint->host,
                         more);
    else
        dovecot_file_put(file, "  inet_listener %s {\n    %s = %s\n    port = %u\n%s  }\n", name,
                         address_option, endpoint->host, endpoint->port, more);
}

/* A gate that has a way of its own to the store says nothing of where others find it. */
static bool is_found_by_others(const struct endpoint *gate, const struct backend_config *own)
{
    return gate->port == own->doveadm_port && !gate->is_unix &&
           (!is_in_loopback(gate->host) || strcmp(gate->host, own->address) == 0);
}

void dovecot_put_doveadm(struct dovecot_file *file, const struct config *config,
                         const char *address_option, const char *more)
{
    const struct endpoint *gate = &config->replica.doveadm;
    const struct backend_config *own = config_backend(config, config->node.name);

    dovecot_file_put(file, "service doveadm {\n");
    dovecot_put_listener(file, "doveadm", address_option, gate, config->user,
                         gate->is_unix ? "" : more);
    if (own && !is_found_by_others(gate, own)) {
        struct endpoint others = { .port = own->doveadm_port };

        snprintf(others.host, sizeof(others.host), "%s", own->address);
        dovecot_put_listener(file, "doveadm-others", address_option, &others, config->user, more);
    }
    dovecot_file_put(file, "}\n");
}

/* With "%" doubled, which Dovecot would take for a variable. */
static void put_literal(struct dovecot_file *file, const char *text)
{
    for (; *text; text++)
        dovecot_file_put(file, *text == '%' ? "%%%%" : "%c", *text);
}

void dovecot_put_filter(struct dovecot_file *file, const struct config *config, const char *user,
                        const char *host)
{
    const struct directory_config *directory = &config->directory;

    dovecot_file_put(file, "(&");
    put_literal(file, directory->filter);
    if (user)
        dovecot_file_put(file, "(%s=%s)", directory->store_name_attribute, user);
    if (host)
        dovecot_file_put(file, "(%s=%s)", directory->host_attribute, host);
    dovecot_file_put(file, ")");
}

/* --- the files for LDAP ------------------------------------------------------------- */

static void put_link(struct dovecot_file *file, const struct config *config)
{
    const struct dovecot_config *dovecot = &config->dovecot;
    const struct string_list *uris = dovecot->uri.count ? &dovecot->uri : &config->directory.uri;
    const char *bind_dn = dovecot_bind_dn(config);

    dovecot_file_put(file, "# Made by mailstead dovecot-config.\nuris =");
    for (size_t i = 0; i < uris->count; i++)
        dovecot_file_put(file, " %s", uris->items[i]);
    if (bind_dn) {
        dovecot_file_put(file, "\ndn = ");
        dovecot_file_put_quoted(file, bind_dn);
        dovecot_file_put(file, "\ndnpass = ");
        dovecot_file_put_quoted(file, dovecot_bind_password(config));
    }
    if (config->directory.starttls)
        dovecot_file_put(file, "\ntls = yes\ntls_require_cert = demand");
    if (config->directory.ca)
        dovecot_file_put(file, "\ntls_ca_cert_file = %s", config->directory.ca);
    dovecot_file_put(file, "\nbase = ");
    dovecot_file_put_quoted(file, config->directory.base);
    dovecot_file_put(file, "\nscope = subtree\n");
}

static void compose_passdb(const struct dovecot_plan *plan, struct dovecot_files *files)
{
    struct dovecot_file *file = dovecot_files_add(files, "mailstead-passdb.conf", true);

    put_link(file, plan->config);
    if (plan->config->dovecot.bind_dn)
        dovecot_file_put(file, "pass_attrs = %s=password\n",
                         plan->config->dovecot.password_attribute);
    else
        dovecot_file_put(file, "auth_bind = yes\npass_attrs =\n");
    dovecot_file_put(file,
                     "# Every account: who is not ours is refused by the userdb, temporarily, "
                     "and not for\n# a wrong password.\npass_filter = ");
    dovecot_put_filter(file, plan->config, "%Lu", NULL);
    dovecot_file_put(file, "\n");
}

static void put_home(struct dovecot_file *file, const struct dovecot_plan *plan)
{
    dovecot_file_put(file, "user_attrs = =home=");
    put_literal(file, plan->mail_directory);
    if (plan->is_shared)
        dovecot_file_put(file, "/%%{ldap:%s:%s}", plan->config->directory.old_host_attribute,
                         plan->config->node.name);
    dovecot_file_put(file, "/%%Ld/%%Ln\nuser_filter = ");
}

static void put_iteration(struct dovecot_file *file, const struct dovecot_plan *plan,
                          const char *host)
{
    dovecot_file_put(file, "\niterate_attrs = %s=user\niterate_filter = ",
                     plan->config->directory.store_name_attribute);
    dovecot_put_filter(file, plan->config, NULL, host);
    dovecot_file_put(file, "\n");
}

static void compose_userdbs(const struct dovecot_plan *plan, struct dovecot_files *files)
{
    const struct config *config = plan->config;
    struct dovecot_file *file = dovecot_files_add(files, "mailstead-own.conf", true);

    put_link(file, config);
    dovecot_file_put(file, "# The accounts that this node owns, wherever their mail is.\n");
    put_home(file, plan);
    dovecot_put_filter(file, config, "%Lu", config->node.name);
    put_iteration(file, plan, config->node.name);

    file = dovecot_files_add(files, "mailstead-foreign.conf", true);
    put_link(file, config);
    dovecot_file_put(file, "# All others that there are: not unknown, but not now.\n"
                           "user_attrs = =tempfail=yes\nuser_filter = ");
    dovecot_put_filter(file, config, "%Lu", NULL);
    dovecot_file_put(file, "\n");
}

static void compose_unfenced(const struct dovecot_plan *plan, struct dovecot_files *files)
{
    const struct config *config = plan->config;
    struct dovecot_file *file = dovecot_files_add(files, "mailstead-doveadm.conf", true);

    put_link(file, config);
    dovecot_file_put(file, "# Every account, for doveadm alone.\n");
    put_home(file, plan);
    dovecot_put_filter(file, config, "%Lu", NULL);
    put_iteration(file, plan, NULL);
}

/* --- dovecot.conf ------------------------------------------------------------------- */

static void put_head(struct dovecot_file *file, const struct dovecot_plan *plan)
{
    const struct config *config = plan->config;

    dovecot_file_put(
        file,
        "# Dovecot 2.3 behind the backend node %s.  Made by mailstead dovecot-config: "
        "what a site wants\n# otherwise goes into %s/local.conf, which is read last.\n\n"
        "instance_name = %s\nbase_dir = %s\nstate_dir = %s\nprotocols =",
        config->node.name, plan->folder, config->node.name, config->dovecot.run_directory,
        config->dovecot.state_directory);
    for (size_t i = 0; i < dovecot_service_count; i++)
        if (*node_config_store(&config->node, dovecot_services[i].protocol)->host)
            dovecot_file_put(file, " %s", dovecot_services[i].name);
    dovecot_file_put(file, "\n\n");
}

static void put_trust(struct dovecot_file *file, const struct config *config)
{
    dovecot_file_put(file,
                     "# The gate, mailstead-backend, says who the client is (IMAP ID, XCLIENT), "
                     "and is believed from\n# these addresses alone.  Without that all clients "
                     "would have one address, and one attacker\n# would delay everybody.\n"
                     "login_trusted_networks = ");
    dovecot_put_trusted(file, config);
    if (config->node.pass_client == PASS_CLIENT_PROXY) {
        dovecot_file_put(file, "\nhaproxy_trusted_networks = ");
        dovecot_put_trusted(file, config);
    }
    dovecot_put_distrust(file, config);
    dovecot_file_put(file,
                     "\n# Clients speak TLS with the gate; the way from there is inside this "
                     "machine.\ndisable_plaintext_auth = no\nauth_mechanisms = plain login\n");
    if (config->tls.certificate_file)
        dovecot_file_put(file, "ssl = yes\nssl_cert = <%s\nssl_key = <%s\n\n",
                         config->tls.certificate_file, config->tls.key_file);
    else
        dovecot_file_put(file, "ssl = no\n\n");
}

static void put_fence(struct dovecot_file *file, const struct dovecot_plan *plan)
{
    dovecot_file_put(
        file,
        "# With a cache this server would go on serving an account that was moved away, and refuse "
        "one\n# that came.\nauth_cache_size = 0\n\n"
        "# The fence.  The first userdb has the accounts of this node; the second refuses all "
        "others "
        "that\n# there are for now (LMTP 451, IMAP [UNAVAILABLE], POP3 [SYS/TEMP]).  Without the "
        "second they\n# would be unknown: mail for them would bounce.\n"
        "passdb {\n  driver = ldap\n  args = %s/mailstead-passdb.conf\n}\n"
        "userdb {\n  driver = ldap\n  args = %s/mailstead-own.conf\n}\n"
        "userdb {\n  driver = ldap\n  args = %s/mailstead-foreign.conf\n}\n"
        "\n",
        plan->folder, plan->folder, plan->folder);
    if (!plan->is_shared)
        dovecot_file_put(file,
                         "# A protocol's own userdb comes first: doveadm is not fenced.  It looks "
                         "after copies of other\n# nodes' accounts, too.\n"
                         "protocol doveadm {\n  userdb {\n    driver = ldap\n"
                         "    args = %s/mailstead-doveadm.conf\n  }\n}\n\n",
                         plan->folder);
}

static void put_mail(struct dovecot_file *file, const struct config *config)
{
    const char *delimiter = config->directory.recipient_delimiter;

    dovecot_file_put(file,
                     "# An account's folder is its home, which the userdb makes of %s: an adopted\n"
                     "# account's mail is found on the storage of the server that had it, with no "
                     "restart.\nmail_location = %s\nmail_uid = %s\nmail_gid = %s\n"
                     "# The account above may be one of the system.\n"
                     "first_valid_uid = 1\nfirst_valid_gid = 1\n"
                     "recipient_delimiter = %s\n\n",
                     config->directory.old_host_attribute, config->dovecot.mail_location,
                     config->dovecot.user, config->dovecot.group, delimiter);
}

static void put_service(struct dovecot_file *file, const struct config *config,
                        const struct dovecot_service *service)
{
    bool is_lmtp = service->protocol == PROTOCOL_LMTP;
    const char *more =
        !is_lmtp && config->node.pass_client == PASS_CLIENT_PROXY ? "    haproxy = yes\n" : "";

    dovecot_file_put(file, "service %s {\n", service->login);
    if (!is_lmtp)
        dovecot_file_put(file, "  # Many logins in one process.\n  service_count = 0\n"
                               "  client_limit = 5000\n  process_limit = 2\n");
    dovecot_put_listener(file, service->listener, "address",
                         node_config_store(&config->node, service->protocol), config->user, more);
    /* What would listen on every address by default. */
    if (!is_lmtp && node_config_store(&config->node, service->protocol)->is_unix)
        dovecot_file_put(file, "  inet_listener %s {\n    port = 0\n  }\n", service->listener);
    if (service->implicit)
        dovecot_file_put(file, "  inet_listener %s {\n    port = 0\n  }\n", service->implicit);
    dovecot_file_put(file, "}\n");
}

static void put_services(struct dovecot_file *file, const struct config *config)
{
    dovecot_file_put(file, "# Where the gate finds each protocol: node.*_store of mailstead.conf.  "
                           "Nobody else should reach it.\n");
    for (size_t i = 0; i < dovecot_service_count; i++)
        if (*node_config_store(&config->node, dovecot_services[i].protocol)->host)
            put_service(file, config, &dovecot_services[i]);
    dovecot_file_put(file, "# A process a session: as many as the gate may pass on.\n"
                           "service imap {\n  process_limit = 4000\n}\n"
                           "service pop3 {\n  process_limit = 2000\n}\n");
    if (*config->node.sieve_store.host)
        dovecot_file_put(file, "service managesieve {\n  process_limit = 500\n}\n"
                               "protocol lmtp {\n  mail_plugins = $mail_plugins sieve\n}\n"
                               "plugin {\n  sieve = file:~/sieve;active=~/.dovecot.sieve\n}\n");
}

static void compose_secrets(const struct dovecot_plan *plan, struct dovecot_files *files)
{
    struct dovecot_file *file = dovecot_files_add(files, "mailstead-secrets.conf", true);

    dovecot_file_put(file, "# Made by mailstead dovecot-config.\ndoveadm_password = ");
    dovecot_file_put_quoted(file, plan->config->replica.password.value);
    dovecot_file_put(file, "\n");
}

/* The other backend's node synchronises copies through it.  doveadm_port is not set: with it the
 * second command of a connection fails. */
static void put_doveadm(struct dovecot_file *file, const struct dovecot_plan *plan)
{
    const struct config *config = plan->config;
    bool has_tls = config->replica.tls && config->tls.certificate_file;
    const char *more = has_tls ? "    ssl = yes\n" : "";

    if (!config_has_replica(config))
        return;
    dovecot_file_put(file, "# For the replica: another node's Dovecot, and this node's gate.\n");
    dovecot_put_doveadm(file, config, "address", more);
    if (has_tls && config->backend_tls.ca)
        dovecot_file_put(file,
                         "# Who the other Dovecot must be, for doveadm sync.\n"
                         "ssl_client_ca_file = %s\n",
                         config->backend_tls.ca);
    dovecot_file_put(file,
                     "# Not here, so that this file can be shown.\n"
                     "!include_try %s/mailstead-secrets.conf\n",
                     plan->folder);
}

void dovecot_compose_23(const struct dovecot_plan *plan, struct dovecot_files *files)
{
    struct dovecot_file *file = dovecot_files_add(files, "dovecot.conf", false);

    put_head(file, plan);
    put_trust(file, plan->config);
    put_fence(file, plan);
    put_mail(file, plan->config);
    put_services(file, plan->config);
    put_doveadm(file, plan);
    dovecot_file_put(file, "\n!include_try %s/local.conf\n", plan->folder);
    compose_passdb(plan, files);
    compose_userdbs(plan, files);
    if (!plan->is_shared)
        compose_unfenced(plan, files);
    if (config_has_replica(plan->config))
        compose_secrets(plan, files);
}
