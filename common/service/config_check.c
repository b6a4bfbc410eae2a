/* SPDX-License-Identifier: Apache-2.0 */
/* What no single row can say: what belongs together, and what each program needs. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/base/memory.h"
#include "common/base/span.h"
#include "common/service/backend.h"
#include "common/service/config_loader.h"
#include "common/service/config_value.h"
#include "common/service/logical_host.h"
#include "common/service/node_board.h"

static void check_store(struct config_loader *loader, size_t index)
{
    const struct listener_config *listener = &loader->config->listeners[index];
    const struct endpoint *store = node_config_store(&loader->config->node, listener->protocol);
    int line = config_loader_line(loader, "listen", index, "protocol");

    if (!store)
        config_loader_complain(loader, line,
                               "listen \"%s\".protocol: %s is for frontends; expected lmtp, "
                               "imap, pop3 or sieve",
                               listener->name, protocol_name(listener->protocol));
    else if (!*store->host)
        config_loader_complain(loader, line,
                               "listen \"%s\".protocol: node.%s_store is missing; expected where "
                               "the mail store takes %s",
                               listener->name, protocol_name(listener->protocol),
                               protocol_name(listener->protocol));
}

static bool is_same_endpoint(const struct endpoint *a, const struct endpoint *b)
{
    return a->port == b->port && a->is_unix == b->is_unix && strcmp(a->host, b->host) == 0;
}

/* Two sockets with SO_REUSEPORT on one address would both bind and share its connections. */
static void check_address_is_free(struct config_loader *loader, size_t index)
{
    const struct listener_config *listeners = loader->config->listeners;

    for (size_t i = 0; i < index; i++)
        if (is_same_endpoint(&listeners[i].endpoint, &listeners[index].endpoint))
            config_loader_complain(loader, config_loader_line(loader, "listen", index, "address"),
                                   "listen \"%s\".address: listen \"%s\" has it too; expected "
                                   "another",
                                   listeners[index].name, listeners[i].name);
}

static void check_listener(struct config_loader *loader, size_t index)
{
    const struct config *config = loader->config;
    const struct listener_config *listener = &config->listeners[index];

    if (listener->tls != TLS_MODE_OFF && !config->tls.certificate_file)
        config_loader_complain(loader, config_loader_line(loader, "listen", index, "tls"),
                               "listen \"%s\".tls: there is no tls.certificate; expected one, or "
                               "tls = off",
                               listener->name);
    if (listener->tls == TLS_MODE_IMPLICIT && listener->protocol == PROTOCOL_LMTP)
        config_loader_complain(loader, config_loader_line(loader, "listen", index, "tls"),
                               "listen \"%s\".tls: lmtp has no implicit TLS; expected off or "
                               "starttls",
                               listener->name);
    if (listener->proxy_protocol_tls && listener->proxy_protocol_from.count == 0)
        config_loader_complain(
            loader, config_loader_line(loader, "listen", index, "proxy_protocol_tls"),
            "listen \"%s\".proxy_protocol_tls: there is no proxy_protocol_from; expected the "
            "balancers that are believed",
            listener->name);
    if (listener->xclient_from.count > 0 && listener->protocol == PROTOCOL_SUBMISSION)
        config_loader_complain(loader, config_loader_line(loader, "listen", index, "xclient_from"),
                               "listen \"%s\".xclient_from: is for mail servers and filters, not "
                               "for users; expected it with smtp or lmtp",
                               listener->name);
    if (listener->protocol == PROTOCOL_SUBMISSION && listener->tls == TLS_MODE_OFF &&
        !listener->plaintext_allowed && !listener->proxy_protocol_tls)
        config_loader_complain(loader, config_loader_line(loader, "listen", index, "tls"),
                               "listen \"%s\".tls: nobody could log in; expected starttls, "
                               "implicit, or plaintext_allowed = true",
                               listener->name);
    check_address_is_free(loader, index);
    if (loader->program == CONFIG_BACKEND)
        check_store(loader, index);
}

/* Who must show a certificate can say nothing outside TLS. */
static void check_frontend_listener(struct config_loader *loader, size_t index)
{
    const struct listener_config *listener = &loader->config->listeners[index];

    if (listener->tls == TLS_MODE_OFF || listener->plaintext_allowed ||
        listener->proxy_protocol_tls)
        config_loader_complain(loader, config_loader_line(loader, "listen", index, NULL),
                               "listen \"%s\": node.frontend_names asks for certificates; expected "
                               "TLS, and neither plaintext_allowed nor proxy_protocol_tls",
                               listener->name);
}

static void check_frontend_names(struct config_loader *loader)
{
    const struct config *config = loader->config;

    if (loader->program != CONFIG_BACKEND || config->node.frontend_names.count == 0)
        return;
    if (!config->tls.client_ca)
        config_loader_complain(loader, config_loader_line(loader, "node", 0, "frontend_names"),
                               "node.frontend_names: there is no tls.client_ca; expected the "
                               "authorities of the frontends' certificates");
    for (size_t i = 0; i < config->listener_count; i++)
        check_frontend_listener(loader, i);
}

/* A node that relays must know the others. */
static void check_foreign(struct config_loader *loader)
{
    const struct config *config = loader->config;

    if (loader->program == CONFIG_BACKEND && config->node.foreign == NODE_FOREIGN_RELAY &&
        config->cluster.backend_count == 0 && !config->directory.backend_base)
        config_loader_complain(loader, config_loader_line(loader, "node", 0, "foreign"),
                               "node.foreign: no other backend is known; expected backends in the "
                               "section cluster, or directory.backend_base");
}

static void check_listeners(struct config_loader *loader)
{
    if (loader->config->listener_count == 0)
        config_loader_complain(loader, 0, "listen: is missing; expected one section at least");
    for (size_t i = 0; i < loader->config->listener_count; i++)
        check_listener(loader, i);
}

/* Whether an entry of any name can show a certificate for a name of its own choice. */
static bool is_free_to_choose_its_name(const struct backend_tls_config *tls)
{
    const char *rest = tls->name, *behind = NULL;

    while ((rest = strstr(rest, "%b")))
        behind = rest += 2;
    return behind && !strchr(behind, '.');
}

/* Who may write an entry for a backend must not thereby be given passwords. */
static void check_listed_backends(struct config_loader *loader)
{
    const struct config *config = loader->config;
    const struct backend_tls_config *tls = &config->backend_tls;
    int line = config_loader_line(loader, "directory", 0, "backend_base");

    if (config->directory.unverified_backends)
        return;
    if (tls->transport == TLS_MODE_OFF || !tls->verify)
        config_loader_complain(loader, line,
                               "directory.backend_base: backend_tls does not verify backends, so "
                               "whoever can write an entry there would be given passwords; "
                               "expected it to, or directory.unverified_backends = true");
    else if (!tls->ca && is_free_to_choose_its_name(tls))
        config_loader_complain(loader, line,
                               "directory.backend_base: any public certificate for the name of an "
                               "entry would do; expected backend_tls.ca, a backend_tls.name such "
                               "as \"%%b.mail.example.org\", or directory.unverified_backends = "
                               "true");
}

static bool is_backend(const struct cluster_config *cluster, const char *name)
{
    for (size_t i = 0; i < cluster->backend_count; i++)
        if (strcmp(cluster->backends[i].name, name) == 0)
            return true;
    return false;
}

static bool is_among_first(const struct string_list *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list->items[i], name) == 0)
            return true;
    return false;
}

static void complain_sibling(struct config_loader *loader, size_t index, const char *sibling,
                             const char *what)
{
    config_loader_complain(
        loader, config_loader_line(loader, "cluster.backend", index, "siblings"),
        "cluster.backend \"%.127s\".siblings: \"%.127s\" is %s; expected other backends, each once",
        loader->config->cluster.backends[index].name, sibling, what);
}

/*
 * Where the directory may list more backends, a name that is unknown here is left to mailstead
 * plan.  That two backends have each other is the usual thing, and no loop: accounts are taken
 * over one failure at a time.
 */
static void check_siblings(struct config_loader *loader, size_t index)
{
    const struct config *config = loader->config;
    const struct backend_config *backend = &config->cluster.backends[index];

    for (size_t i = 0; i < backend->siblings.count; i++) {
        const char *sibling = backend->siblings.items[i];

        if (strcmp(sibling, backend->name) == 0)
            complain_sibling(loader, index, sibling, "the backend itself");
        else if (is_among_first(&backend->siblings, i, sibling))
            complain_sibling(loader, index, sibling, "there twice");
        else if (!config->directory.backend_base && !is_backend(&config->cluster, sibling))
            complain_sibling(loader, index, sibling, "no backend of this configuration");
    }
}

static void check_backends(struct config_loader *loader)
{
    size_t count = loader->config->cluster.backend_count;
    bool has_base = loader->config->directory.backend_base != NULL;

    if (count == 0 && !has_base && loader->program == CONFIG_FRONTEND)
        config_loader_complain(loader, config_loader_line(loader, "cluster", 0, NULL),
                               "cluster.backend: is missing; expected one section at least, or "
                               "directory.backend_base");
    if (has_base && loader->program == CONFIG_FRONTEND)
        check_listed_backends(loader);
    if (count > BACKENDS_MAX)
        config_loader_complain(
            loader, config_loader_line(loader, "cluster.backend", count - 1, NULL),
            "cluster.backend: there are %zu; expected %d at most", count, BACKENDS_MAX);
    for (size_t i = 0; i < count; i++)
        check_siblings(loader, i);
}

static void complain_alias(struct config_loader *loader, size_t index, const char *what)
{
    const struct domain_alias_config *alias = &loader->config->cluster.domain_aliases[index];

    config_loader_complain(loader, config_loader_line(loader, "cluster.domain_alias", index, "of"),
                           "cluster.domain_alias \"%.127s\".of: \"%s\" is %s; expected one of "
                           "cluster.domains that is no alias",
                           alias->name, alias->of, what);
}

static bool is_own_domain(const struct config *config, const char *domain)
{
    for (size_t i = 0; i < config->cluster.domains.count; i++)
        if (strcmp(config->cluster.domains.items[i], domain) == 0)
            return true;
    return false;
}

/* The aliases are not yet sorted. */
static bool is_alias(const struct config *config, const char *domain)
{
    for (size_t i = 0; i < config->cluster.domain_alias_count; i++)
        if (strcmp(config->cluster.domain_aliases[i].name, domain) == 0)
            return true;
    return false;
}

/* No alias leads to another: so there are no loops. */
static void check_alias(struct config_loader *loader, size_t index)
{
    const struct config *config = loader->config;
    const struct domain_alias_config *alias = &config->cluster.domain_aliases[index];
    char domain[CONFIG_DOMAIN_SIZE];

    if (!config_value_parse_domain(alias->name, domain))
        config_loader_complain(
            loader, config_loader_line(loader, "cluster.domain_alias", index, NULL),
            "cluster.domain_alias \"%.127s\": this is no domain; expected a domain name (A-labels)",
            alias->name);
    if (is_alias(config, alias->of))
        complain_alias(loader, index, "an alias itself");
    else if (config->cluster.domains.count > 0 && !is_own_domain(config, alias->of))
        complain_alias(loader, index, "no domain of the cluster");
}

static void check_aliases(struct config_loader *loader)
{
    const struct cluster_config *cluster = &loader->config->cluster;

    for (size_t i = 0; i < cluster->domain_alias_count; i++)
        string_to_lower(cluster->domain_aliases[i].name);
    for (size_t i = 0; i < cluster->domain_alias_count; i++)
        check_alias(loader, i);
    for (size_t i = 1; i < cluster->domain_alias_count; i++)
        for (size_t j = 0; j < i; j++)
            if (strcmp(cluster->domain_aliases[i].name, cluster->domain_aliases[j].name) == 0)
                config_loader_complain(
                    loader, config_loader_line(loader, "cluster.domain_alias", i, NULL),
                    "cluster.domain_alias \"%.127s\": is there twice; expected one section",
                    cluster->domain_aliases[i].name);
}

/* `option` is set, but `other`, without which it means nothing, is not. */
static void complain_alone(struct config_loader *loader, const char *section, const char *option,
                           const char *other)
{
    config_loader_complain(loader, config_loader_line(loader, section, 0, option),
                           "%s.%s: %s.%s is missing; expected both or none", section, option,
                           section, other);
}

static void check_pair(struct config_loader *loader, const char *section, const char *first,
                       bool has_first, const char *second, bool has_second)
{
    if (has_first && !has_second)
        complain_alone(loader, section, first, second);
    if (has_second && !has_first)
        complain_alone(loader, section, second, first);
}

static void check_pairs(struct config_loader *loader)
{
    const struct config *config = loader->config;

    check_pair(loader, "tls", "certificate", config->tls.certificate_file, "key",
               config->tls.key_file);
    check_pair(loader, "backend_tls", "certificate", config->backend_tls.certificate_file, "key",
               config->backend_tls.key_file);
    check_pair(loader, "directory", "bind_dn", config->directory.bind_dn, "bind_password_file",
               config->directory.bind_password.file);
    check_pair(loader, "admin", "bind_dn", config->admin.bind_dn, "bind_password_file",
               config->admin.bind_password.file);
    check_pair(loader, "admin", "client_certificate", config->admin.client_certificate,
               "client_key", config->admin.client_key);
    check_pair(loader, "dovecot", "bind_dn", config->dovecot.bind_dn, "bind_password_file",
               config->dovecot.bind_password.file);
    check_pair(loader, "replica", "doveadm", config_has_replica(config), "password_file",
               config->replica.password.file);
    if (loader->program == CONFIG_FRONTEND)
        check_pair(loader, "master", "user", config->master.user, "password_file",
                   config->master.password.file);
    check_pair(loader, "relay_host", "user", config->relay_host.user, "password_file",
               config->relay_host.password.file);
    if (config->queue.retry_min_s > config->queue.retry_max_s)
        config_loader_complain(loader, config_loader_line(loader, "queue", 0, "retry_min_s"),
                               "queue.retry_min_s: %u is more than queue.retry_max_s; expected %u "
                               "at most",
                               config->queue.retry_min_s, config->queue.retry_max_s);
}

static void complain_storage(struct config_loader *loader, const char *option, const char *text)
{
    config_loader_complain(loader, config_loader_line(loader, "storage", 0, option),
                           "storage.%s: %s", option, text);
}

static void check_storage(struct config_loader *loader)
{
    const struct storage_config *storage = &loader->config->storage;
    const char *name = loader->config->node.name;
    bool has_hook = storage->attach_hook || storage->release_hook;

    if (storage->kind == STORAGE_SHARED && !storage->directory)
        complain_storage(loader, "directory",
                         "is missing; expected the folder that has one folder for each server");
    if (storage->kind == STORAGE_SHARED && name && !storage_server_is_good(name))
        config_loader_complain(loader, config_loader_line(loader, "node", 0, "name"),
                               "node.name: \"%.127s\" cannot be the name of a folder; expected "
                               "letters, digits, \".\", \"_\" and \"-\" with storage.kind shared",
                               name);
    if (storage->kind == STORAGE_NONE && has_hook)
        complain_storage(loader, storage->attach_hook ? "attach_hook" : "release_hook",
                         "nothing is attached with storage.kind none; expected it with shared");
}

/* Copies go to another backend, whose address is known. */
static void check_replica(struct config_loader *loader)
{
    struct config *config = loader->config;
    struct replica_config *replica = &config->replica;
    const struct backend_config *own =
        config->node.name ? config_backend(config, config->node.name) : NULL;
    const char *to = replica->to                      ? replica->to
                     : own && own->siblings.count > 0 ? own->siblings.items[0]
                                                      : NULL;

    if (loader->program != CONFIG_BACKEND || !config_has_replica(config))
        return;
    if (!to)
        config_loader_complain(loader, config_loader_line(loader, "replica", 0, "doveadm"),
                               "replica.to: is missing, and cluster.backend \"%.127s\" has no "
                               "siblings; expected one of both",
                               config->node.name ? config->node.name : "");
    else if (!config_backend(config, to) || (own && strcmp(to, own->name) == 0))
        config_loader_complain(loader, config_loader_line(loader, "replica", 0, "to"),
                               "replica.to: \"%.127s\" is no other backend; expected one of "
                               "cluster.backend",
                               to);
    else if (!replica->to)
        replica->to = memory_copy_string(to);
    if (replica->retry_min_s > replica->retry_max_s)
        config_loader_complain(loader, config_loader_line(loader, "replica", 0, "retry_min_s"),
                               "replica.retry_min_s: %u is more than replica.retry_max_s; expected "
                               "%u at most",
                               replica->retry_min_s, replica->retry_max_s);
}

/* What never leaves this machine. */
static bool is_loopback(const char *host)
{
    struct in_addr v4;
    struct in6_addr v6;

    if (inet_pton(AF_INET, host, &v4) == 1)
        return ntohl(v4.s_addr) >> 24 == IN_LOOPBACKNET;
    if (inet_pton(AF_INET6, host, &v6) == 1)
        return IN6_IS_ADDR_LOOPBACK(&v6);
    return strcasecmp(host, "localhost") == 0;
}

/* Its password would be on the network in plain text. */
static void check_relay_host(struct config_loader *loader)
{
    const struct relay_host_config *relay = &loader->config->relay_host;

    if (relay->user && relay->address && relay->tls == TLS_MODE_OFF && !is_loopback(relay->address))
        config_loader_complain(loader, config_loader_line(loader, "relay_host", 0, "tls"),
                               "relay_host.tls: off would show the password of relay_host.user to "
                               "the network; expected starttls, implicit, or a relay_host.address "
                               "on loopback");
}

static void check_certificates(struct config_loader *loader)
{
    const struct tls_config *tls = &loader->config->tls;

    if (tls->other_count > 0 && !tls->certificate_file)
        config_loader_complain(loader, config_loader_line(loader, "certificate", 0, "certificate"),
                               "certificate \"%.127s\": there is no tls.certificate; expected one, "
                               "for clients that ask for no name",
                               tls->others[0].title);
}

/* All of it or nothing: a port that nobody can use would only be noticed on a bad night. */
static void check_admin_port(struct config_loader *loader)
{
    const struct admin_port_config *port = &loader->config->admin_port;
    const struct {
        const char *option;
        bool is_there;
    } needed[] = { { "certificate", port->certificate_file != NULL },
                   { "key", port->key_file != NULL },
                   { "client_ca", port->client_ca_file != NULL },
                   { "operate", port->operate.count > 0 || port->read.count > 0 } };

    if (!*port->endpoint.host)
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(needed); i++)
        if (!needed[i].is_there)
            config_loader_complain(loader, config_loader_line(loader, "admin_port", 0, "address"),
                                   "admin_port.%s: is missing; expected it with admin_port.address",
                                   needed[i].option);
    for (size_t i = 0; i < loader->config->listener_count; i++)
        if (is_same_endpoint(&loader->config->listeners[i].endpoint, &port->endpoint))
            config_loader_complain(loader, config_loader_line(loader, "admin_port", 0, "address"),
                                   "admin_port.address: listen \"%s\" has it too; expected another",
                                   loader->config->listeners[i].name);
}

static char *journal_directory_in(const char *state_directory)
{
    static const char name[] = "/journal";
    char *path = memory_new(strlen(state_directory) + sizeof(name));

    strcpy(path, state_directory);
    return strcat(path, name);
}

static bool is_any_address(const char *host)
{
    return strcmp(host, "0.0.0.0") == 0 || strcmp(host, "::") == 0;
}

static void check_bind_address(struct config_loader *loader)
{
    struct config *config = loader->config;

    for (size_t i = 0; i < config->bind_address.count; i++)
        if (!endpoint_sources_add(&config->sources, config->bind_address.items[i]))
            config_loader_complain(loader, config_loader_line(loader, "", 0, "bind_address"),
                                   "bind_address: \"%.100s\" is no IP address, or not the first of "
                                   "its family; expected one of IPv4, of IPv6, or one of each",
                                   config->bind_address.items[i]);
}

/* The address of this family that all listeners have; NULL: there is none, or not one alone. */
static const char *find_own_address(const struct config *config, sa_family_t family)
{
    const char *own = NULL;

    for (size_t i = 0; i < config->listener_count; i++) {
        const struct endpoint *endpoint = &config->listeners[i].endpoint;
        struct sockaddr_storage address;
        socklen_t length;

        if (strcmp(endpoint->host, "*") == 0 ||
            !endpoint_to_sockaddr(endpoint, &address, &length) ||
            (own && address.ss_family == family && strcmp(own, endpoint->host) != 0))
            return NULL;
        if (address.ss_family == family)
            own = endpoint->host;
    }
    return own;
}

/* A logical host goes out where it is, and not from its machine's own address. */
static void fill_sources(struct config *config)
{
    const char *own[] = { find_own_address(config, AF_INET), find_own_address(config, AF_INET6) };

    if (config->bind_address.count > 0 || !logical_host_name())
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(own); i++)
        if (own[i] && !is_any_address(own[i]))
            (void)!endpoint_sources_add(&config->sources, own[i]);
}

/* Defaults that are another option's value. */
static void fill_derived(struct config *config)
{
    for (size_t i = 0; i < config->cluster.backend_count; i++) {
        struct backend_config *backend = &config->cluster.backends[i];

        if (!backend->tls_name)
            backend->tls_name = memory_copy_string(backend->address);
    }
    for (size_t i = 0; i < config->cluster.frontend_count; i++) {
        struct frontend_config *frontend = &config->cluster.frontends[i];

        if (!frontend->tls_name)
            frontend->tls_name = memory_copy_string(frontend->address);
    }
    if (!config->admin.node_ca && config->admin.ca)
        config->admin.node_ca = memory_copy_string(config->admin.ca);
    if (!config->admin.journal_directory)
        config->admin.journal_directory = journal_directory_in(config->state_directory);
}

void config_loader_check(struct config_loader *loader)
{
    check_aliases(loader);
    check_backends(loader);
    check_pairs(loader);
    check_relay_host(loader);
    check_replica(loader);
    check_certificates(loader);
    check_storage(loader);
    check_admin_port(loader);
    if (loader->program != CONFIG_ADMIN)
        check_listeners(loader);
    check_foreign(loader);
    check_frontend_names(loader);
    check_bind_address(loader);
    fill_sources(loader->config);
    fill_derived(loader->config);
}
