/* SPDX-License-Identifier: Apache-2.0 */
/* The attributes of backends' entries, as they are without configuration. */
#ifndef MAILSTEAD_TESTS_BACKEND_NAMES_H
#define MAILSTEAD_TESTS_BACKEND_NAMES_H

#include "common/service/config.h"

static inline void backend_names_fill(struct directory_config *config)
{
    static char filter[] = "(objectClass=mailsteadBackend)", name[] = "cn",
                address[] = "backendAddress", lmtp[] = "backendLmtpPort",
                imap[] = "backendImapPort", pop3[] = "backendPop3Port",
                sieve[] = "backendSievePort", weight[] = "backendWeight", state[] = "backendState";

    config->backend_filter = filter;
    config->backend_name_attribute = name;
    config->backend_address_attribute = address;
    config->backend_lmtp_port_attribute = lmtp;
    config->backend_imap_port_attribute = imap;
    config->backend_pop3_port_attribute = pop3;
    config->backend_sieve_port_attribute = sieve;
    config->backend_weight_attribute = weight;
    config->backend_state_attribute = state;
}

#endif
