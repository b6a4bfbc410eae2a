/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loads a configuration whole or not at all.  The file is read (config_text.c),
 * parsed (config_parse.c), its values converted by the rows of the table
 * (config_value.c), checked as a whole (config_check.c), and the files that it
 * names are read (config_secret.c).  Every fault found is reported.
 */
#include "common/service/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/service/config_loader.h"
#include "common/service/config_text.h"
#include "common/service/config_value.h"

void config_loader_complain(struct config_loader *loader, int line, const char *format, ...)
{
    char text[CONFIG_ERROR_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    loader->complaints++;
    loader->complain(loader->context, loader->file, line, text);
}

void *config_record(struct config *config, const struct config_section *section, size_t index)
{
    char *member = (char *)config + section->offset;

    if (!section->is_titled)
        return member;
    return *(char **)(void *)member + index * section->element_size;
}

size_t config_record_count(const struct config *config, const struct config_section *section)
{
    if (!section->is_titled)
        return 1;
    return *(const size_t *)(const void *)((const char *)config + section->count_offset);
}

static void load_text(struct config_loader *loader, char *text, size_t length, bool read_secrets)
{
    struct config_text_fault fault;

    if (!config_text_strip(text, length, &fault)) {
        config_loader_complain(loader, fault.line, "%s", fault.text);
        return;
    }
    config_loader_parse(loader, text);
    if (loader->complaints == 0)
        config_loader_check(loader);
    if (loader->complaints == 0 && read_secrets)
        config_loader_read_secrets(loader);
    config_loader_fini(loader);
}

/* --- domains: looked up for each address, and there may be thousands ---------------- */

static int compare_domains(const void *first, const void *second)
{
    return strcmp(*(char *const *)first, *(char *const *)second);
}

static int compare_aliases(const void *first, const void *second)
{
    const struct domain_alias_config *a = first, *b = second;

    return strcmp(a->name, b->name);
}

static void sort_domains(struct cluster_config *cluster)
{
    if (cluster->domains.count > 1)
        qsort(cluster->domains.items + 1, cluster->domains.count - 1,
              sizeof(*cluster->domains.items), compare_domains);
    if (cluster->domain_alias_count > 1)
        qsort(cluster->domain_aliases, cluster->domain_alias_count,
              sizeof(*cluster->domain_aliases), compare_aliases);
}

static bool has_own_domain(const struct string_list *domains, const char *domain)
{
    if (domains->count == 0)
        return false;
    return strcmp(domains->items[0], domain) == 0 ||
           bsearch(&domain, domains->items + 1, domains->count - 1, sizeof(*domains->items),
                   compare_domains);
}

struct config *config_load(const char *file, enum config_program program, bool read_secrets,
                           config_complaint *complain, void *context)
{
    struct config_loader loader = {
        .file = file, .program = program, .complain = complain, .context = context
    };
    char error[CONFIG_ERROR_SIZE];
    size_t length;
    char *text = config_text_read(file, CONFIG_FILE_MAX, &length, error, sizeof(error));

    if (!text) {
        config_loader_complain(&loader, 0, "%s", error);
        return NULL;
    }
    loader.config = memory_new(sizeof(*loader.config));
    loader.config->file = memory_copy_string(file);
    load_text(&loader, text, length, read_secrets);
    free(text);
    if (loader.complaints > 0) {
        config_free(loader.config);
        return NULL;
    }
    sort_domains(&loader.config->cluster);
    return loader.config;
}

static void clear_section(struct config *config, const struct config_section *section)
{
    for (size_t i = 0; i < config_record_count(config, section); i++) {
        void *record = config_record(config, section, i);

        for (size_t j = 0; j < section->option_count; j++)
            config_value_clear(&section->options[j], record);
        if (section->is_titled)
            free(*(char **)record);
    }
    if (section->is_titled)
        free(*(void **)(void *)((char *)config + section->offset));
}

const struct backend_config *config_backend(const struct config *config, const char *name)
{
    for (size_t i = 0; i < config->cluster.backend_count; i++)
        if (strcmp(config->cluster.backends[i].name, name) == 0)
            return &config->cluster.backends[i];
    return NULL;
}

void config_free(struct config *config)
{
    if (!config)
        return;
    config_wipe_secrets(config, 0);
    free(config->tls.pem.certificate);
    free(config->admin_port.pem.certificate);
    free(config->backend_tls.pem.certificate);
    free(config->admin_port.client_ca);
    for (size_t i = 0; i < config->tls.other_count; i++)
        free(config->tls.others[i].pem.certificate);
    for (size_t i = 0; i < config_section_count; i++)
        clear_section(config, config_sections[i]);
    free(config->file);
    free(config);
}

bool config_has_domain(const struct config *config, const char *domain)
{
    return has_own_domain(&config->cluster.domains, domain) || config_alias_of(config, domain);
}

const char *config_alias_of(const struct config *config, const char *domain)
{
    const struct cluster_config *cluster = &config->cluster;
    const struct domain_alias_config key = { .name = (char *)(uintptr_t)domain };
    const struct domain_alias_config *alias = NULL;

    if (cluster->domain_alias_count > 0)
        alias = bsearch(&key, cluster->domain_aliases, cluster->domain_alias_count, sizeof(key),
                        compare_aliases);
    return alias ? alias->of : NULL;
}

const char *protocol_name(enum protocol protocol)
{
    static const char *const names[PROTOCOL_COUNT] = { "smtp", "lmtp",  "imap",
                                                       "pop3", "sieve", "submission" };

    return names[protocol];
}

void config_print_complaint(void *stream, const char *file, int line, const char *text)
{
    if (line > 0)
        fprintf(stream, "%s:%d: %s\n", file, line, text);
    else
        fprintf(stream, "%s: %s\n", file, text);
}

const struct endpoint *node_config_store(const struct node_config *node, enum protocol protocol)
{
    switch (protocol) {
    case PROTOCOL_LMTP:
        return &node->lmtp_store;
    case PROTOCOL_IMAP:
        return &node->imap_store;
    case PROTOCOL_POP3:
        return &node->pop3_store;
    case PROTOCOL_SIEVE:
        return &node->sieve_store;
    default:
        return NULL;
    }
}
