/* SPDX-License-Identifier: Apache-2.0 */
/* How this process connects to one of the servers of the section "directory". */
#ifndef MAILSTEAD_DIRECTORY_LINK_SETTINGS_H
#define MAILSTEAD_DIRECTORY_LINK_SETTINGS_H

#include "common/service/config.h"
#include "directory/ldap_link.h"

/* Borrows from both. */
static inline struct ldap_settings link_settings(const struct directory_config *config,
                                                 const char *uri, unsigned timeout_ms)
{
    return (struct ldap_settings){
        .uri = uri,
        .starttls = config->starttls,
        .ca = config->ca,
        .bind_dn = config->bind_dn,
        .password = config->bind_password.file ? config->bind_password.value : NULL,
        .timeout_ms = timeout_ms,
    };
}

#endif
