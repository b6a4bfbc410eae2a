/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/route_rules.h"

static bool rules_has_domain(const void *context, const char *domain)
{
    return config_has_domain(context, domain);
}

static const char *rules_alias_of(const void *context, const char *domain)
{
    return config_alias_of(context, domain);
}

struct route_rules route_rules_of(const struct config *config)
{
    const struct cluster_config *cluster = &config->cluster;

    return (struct route_rules){
        .has_domain = rules_has_domain,
        .alias_of = rules_alias_of,
        .context = config,
        .recipient_delimiter = config->directory.recipient_delimiter,
        .hostname = cluster->hostname,
        .first_domain = cluster->domains.count > 0 ? cluster->domains.items[0] : NULL,
    };
}
