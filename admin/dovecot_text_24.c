/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dovecot 2.4.  The same as for 2.3, in its new syntax: LDAP is configured in the main file, so
 * that file is in two, of which one has the password.  The names of the settings are those of its
 * documentation; no such Dovecot has run with this.
 */
#include "admin/dovecot_text.h"

#include <string.h>

static void put_head(struct dovecot_file *file, const struct dovecot_plan *plan)
{
    const struct config *config = plan->config;

    dovecot_file_put(file,
                     "# Dovecot 2.4 behind the backend node %s.  Made by mailstead dovecot-config "
                     "from the documentation of\n# Dovecot 2.4, without having run it: look at it "
                     "with doveconf -n.  What a site wants otherwise goes\n# into %s/local.conf, "
                     "which is read last.\n\n"
                     "dovecot_config_version = 2.4.0\ndovecot_storage_version = 2.4.0\n\n"
                     "instance_name = %s\nbase_dir = %s\nstate_dir = %s\nprotocols {\n",
                     config->node.name, plan->folder, config->node.name,
                     config->dovecot.run_directory, config->dovecot.state_directory);
    for (size_t i = 0; i < dovecot_service_count; i++)
        if (*node_config_store(&config->node, dovecot_services[i].protocol)->host)
            dovecot_file_put(file, "  %s = yes\n", dovecot_services[i].name);
    dovecot_file_put(file, "}\n\n");
}

static void put_trust(struct dovecot_file *file, const struct config *config)
{
    dovecot_file_put(file,
                     "# The gate says who the client is, and is believed from these addresses "
                     "alone.\nlogin_trusted_networks = ");
    dovecot_put_trusted(file, config);
    if (config->node.pass_client == PASS_CLIENT_PROXY) {
        dovecot_file_put(file, "\nhaproxy_trusted_networks = ");
        dovecot_put_trusted(file, config);
    }
    dovecot_put_distrust(file, config);
    dovecot_file_put(file, "\nauth_allow_cleartext = yes\nauth_mechanisms = plain login\n");
    if (config->tls.certificate_file)
        dovecot_file_put(file, "ssl = yes\nssl_server_cert_file = %s\nssl_server_key_file = %s\n\n",
                         config->tls.certificate_file, config->tls.key_file);
    else
        dovecot_file_put(file, "ssl = no\n\n");
}

static void put_home(struct dovecot_file *file, const struct dovecot_plan *plan)
{
    dovecot_file_put(file, "  fields {\n    home = %s", plan->mail_directory);
    if (plan->is_shared)
        dovecot_file_put(file, "/%%{ldap:%s | default('%s')}",
                         plan->config->directory.old_host_attribute, plan->config->node.name);
    dovecot_file_put(file, "/%%{user | domain | lower}/%%{user | username | lower}\n  }\n");
}

static void put_userdb(struct dovecot_file *file, const char *name, const struct config *config,
                       const char *host)
{
    dovecot_file_put(file, "userdb %s {\n  driver = ldap\n  ldap_filter = ", name);
    dovecot_put_filter(file, config, "%{user | lower}", host);
    dovecot_file_put(file, "\n");
}

static void put_fence(struct dovecot_file *file, const struct dovecot_plan *plan)
{
    const struct config *config = plan->config;

    dovecot_file_put(file,
                     "auth_cache_size = 0\n\n# The LDAP servers, and the password for them.\n"
                     "!include_try %s/mailstead-secrets.conf\n\npassdb ldap {\n  ldap_filter = ",
                     plan->folder);
    dovecot_put_filter(file, config, "%{user | lower}", NULL);
    if (config->dovecot.bind_dn)
        dovecot_file_put(file, "\n  fields {\n    password = %%{ldap:%s}\n  }\n}\n",
                         config->dovecot.password_attribute);
    else
        dovecot_file_put(file, "\n  passdb_ldap_bind = yes\n}\n");
    dovecot_file_put(file, "# The accounts that this node owns, wherever their mail is.\n");
    put_userdb(file, "own", config, config->node.name);
    put_home(file, plan);
    dovecot_file_put(file, "  ldap_iterate_filter = ");
    dovecot_put_filter(file, config, NULL, config->node.name);
    dovecot_file_put(file, "\n  iterate_fields {\n    user = %%{ldap:%s}\n  }\n}\n",
                     config->directory.store_name_attribute);
    dovecot_file_put(file, "# All others that there are: not unknown, but not now.\n");
    put_userdb(file, "foreign", config, NULL);
    dovecot_file_put(file, "  fields {\n    tempfail = yes\n  }\n}\n");
    if (plan->is_shared)
        return;
    dovecot_file_put(file, "# doveadm is not fenced: it looks after copies, too.\n"
                           "protocol doveadm {\n");
    put_userdb(file, "unfenced", config, NULL);
    put_home(file, plan);
    dovecot_file_put(file, "}\n}\n");
}

/* "maildir:~/Maildir:INDEX=/x" is mail_driver, mail_path and, for people, the rest. */
static void put_mail(struct dovecot_file *file, const struct config *config)
{
    struct span rest = span_from_string(config->dovecot.mail_location);
    struct span driver = span_split(&rest, ':'), path = span_split(&rest, ':');

    dovecot_file_put(file, "\nmail_driver = %.*s\nmail_path = %.*s\n", SPAN_PRINTF(driver),
                     SPAN_PRINTF(path));
    if (rest.length > 0)
        dovecot_file_put(file, "# Not translated: %.*s\n", SPAN_PRINTF(rest));
    dovecot_file_put(file,
                     "mail_uid = %s\nmail_gid = %s\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n"
                     "recipient_delimiter = %s\n\n",
                     config->dovecot.user, config->dovecot.group,
                     config->directory.recipient_delimiter);
}

static void put_service(struct dovecot_file *file, const struct config *config,
                        const struct dovecot_service *service)
{
    const struct endpoint *store = node_config_store(&config->node, service->protocol);
    bool is_lmtp = service->protocol == PROTOCOL_LMTP;
    bool has_header = !is_lmtp && config->node.pass_client == PASS_CLIENT_PROXY;

    dovecot_file_put(file, "service %s {\n", service->login);
    if (!is_lmtp)
        dovecot_file_put(file, "  restart_request_count = unlimited\n  client_limit = 5000\n"
                               "  process_limit = 2\n");
    dovecot_put_listener(file, service->listener, "listen", store, config->user,
                         has_header ? "    haproxy = yes\n" : "");
    if (!is_lmtp && store->is_unix)
        dovecot_file_put(file, "  inet_listener %s {\n    port = 0\n  }\n", service->listener);
    if (service->implicit)
        dovecot_file_put(file, "  inet_listener %s {\n    port = 0\n  }\n", service->implicit);
    dovecot_file_put(file, "}\n");
}

static void put_services(struct dovecot_file *file, const struct config *config)
{
    for (size_t i = 0; i < dovecot_service_count; i++)
        if (*node_config_store(&config->node, dovecot_services[i].protocol)->host)
            put_service(file, config, &dovecot_services[i]);
    dovecot_file_put(file, "service imap {\n  process_limit = 4000\n}\n"
                           "service pop3 {\n  process_limit = 2000\n}\n");
    if (*config->node.sieve_store.host)
        dovecot_file_put(file, "service managesieve {\n  process_limit = 500\n}\n"
                               "protocol lmtp {\n  mail_plugins {\n    sieve = yes\n  }\n}\n"
                               "sieve_script personal {\n  path = ~/sieve\n"
                               "  active_path = ~/.dovecot.sieve\n}\n");
    if (config_has_replica(config))
        dovecot_put_doveadm(file, config, "listen",
                            config->replica.tls && config->tls.certificate_file ? "    ssl = yes\n"
                                                                                : "");
}

static void compose_secrets(const struct dovecot_plan *plan, struct dovecot_files *files)
{
    const struct config *config = plan->config;
    const struct dovecot_config *dovecot = &config->dovecot;
    const struct string_list *uris = dovecot->uri.count ? &dovecot->uri : &config->directory.uri;
    struct dovecot_file *file = dovecot_files_add(files, "mailstead-secrets.conf", true);

    dovecot_file_put(file, "# Made by mailstead dovecot-config.\nldap_uris =");
    for (size_t i = 0; i < uris->count; i++)
        dovecot_file_put(file, " %s", uris->items[i]);
    dovecot_file_put(file, "\nldap_base = ");
    dovecot_file_put_quoted(file, config->directory.base);
    if (dovecot_bind_dn(config)) {
        dovecot_file_put(file, "\nldap_auth_dn = ");
        dovecot_file_put_quoted(file, dovecot_bind_dn(config));
        dovecot_file_put(file, "\nldap_auth_dn_password = ");
        dovecot_file_put_quoted(file, dovecot_bind_password(config));
    }
    if (config->directory.starttls)
        dovecot_file_put(file, "\nldap_starttls = yes");
    if (config->directory.ca)
        dovecot_file_put(file, "\nssl_client_ca_file = %s", config->directory.ca);
    if (config_has_replica(config)) {
        dovecot_file_put(file, "\ndoveadm_password = ");
        dovecot_file_put_quoted(file, config->replica.password.value);
    }
    dovecot_file_put(file, "\n");
}

void dovecot_compose_24(const struct dovecot_plan *plan, struct dovecot_files *files)
{
    struct dovecot_file *file = dovecot_files_add(files, "dovecot.conf", false);

    put_head(file, plan);
    put_trust(file, plan->config);
    put_fence(file, plan);
    put_mail(file, plan->config);
    put_services(file, plan->config);
    dovecot_file_put(file, "\n!include_try %s/local.conf\n", plan->folder);
    compose_secrets(plan, files);
}
