/* SPDX-License-Identifier: Apache-2.0 */
/* The sections in the order of the manual page; the rows are in config_rows_*.c. */
#include "common/service/config_table.h"

#include <string.h>

#include "common/service/config_rows.h"

const struct config_section *const config_sections[] = {
    &config_top_section,        &config_cluster_section,     &config_domain_alias_section,
    &config_backend_section,    &config_frontend_section,    &config_directory_section,
    &config_tls_section,        &config_certificate_section, &config_backend_tls_section,
    &config_relay_host_section, &config_master_section,      &config_admin_section,
    &config_admin_port_section, &config_node_section,        &config_storage_section,
    &config_dovecot_section,    &config_replica_section,     &config_listen_section,
    &config_queue_section,      &config_smtp_section,        &config_submission_section,
    &config_timeout_section,    &config_health_section,      &config_limits_section,
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
