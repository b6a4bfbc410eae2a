/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/link_settings.h"

static const char *settings_password(const struct secret *secret)
{
    return secret->file ? secret->value : NULL;
}

struct ldap_settings link_settings(const struct directory_config *config, const char *uri,
                                   unsigned timeout_ms)
{
    return (struct ldap_settings){
        .uri = uri,
        .starttls = config->starttls,
        .ca = config->ca,
        .bind_dn = config->bind_dn,
        .password = settings_password(&config->bind_password),
        .timeout_ms = timeout_ms,
    };
}

const char *link_write_uri(const struct config *config)
{
    return config->admin.write_uri ? config->admin.write_uri : config->directory.uri.items[0];
}

struct ldap_settings link_settings_for_writing(const struct config *config, unsigned timeout_ms)
{
    const struct admin_config *admin = &config->admin;
    const char *uri = link_write_uri(config);
    struct ldap_settings settings = link_settings(&config->directory, uri, timeout_ms);

    if (admin->write_uri)
        settings.starttls = admin->starttls;
    if (admin->ca)
        settings.ca = admin->ca;
    if (admin->bind_dn || (admin->write_uri && strncmp(uri, "ldapi:", 6) == 0)) {
        settings.bind_dn = admin->bind_dn;
        settings.password = settings_password(&admin->bind_password);
    }
    return settings;
}
