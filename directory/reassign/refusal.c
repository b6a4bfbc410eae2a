/* SPDX-License-Identifier: Apache-2.0 */
/* The server's own words are always among ours. */
#include "directory/reassign/refusal.h"

#include <stdio.h>
#include <string.h>

#include "directory/link_settings.h"
#include "directory/reassign/writer.h"

static const char *refusal_identity(const struct config *config)
{
    const char *dn = config->admin.bind_dn ? config->admin.bind_dn : config->directory.bind_dn;

    return dn ? dn : "us";
}

/* The server of a URI, without the entry that it names. */
static struct span refusal_server(const char *uri)
{
    struct span text = span_from_string(uri ? uri : "its provider");
    const char *host = uri ? strstr(uri, "://") : NULL;
    size_t scheme = host ? (size_t)(host - uri) + 3 : text.length;

    return span_take(text, scheme + span_find(span_drop(text, scheme), '/'));
}

static void refusal_of_limits(const struct config *config, const struct ldap_answer *answer,
                              size_t count, char text[REASSIGN_ERROR_SIZE])
{
    const char *uri = link_write_uri(config);

    if (count > 0)
        snprintf(text, REASSIGN_ERROR_SIZE,
                 "%.100s shows %.100s no more than %zu accounts: %.60s; expected no limit for it, "
                 "in OpenLDAP: size=unlimited size.prtotal=unlimited; or use --limit %zu again and "
                 "again",
                 uri, refusal_identity(config), count, answer->text, count);
    else
        snprintf(text, REASSIGN_ERROR_SIZE,
                 "%.100s does not list the accounts for %.100s: %.60s; expected indexes of %s and "
                 "%s, and no limits for it",
                 uri, refusal_identity(config), answer->text, config->directory.host_attribute,
                 config->directory.old_host_attribute);
}

void refusal_of_search(const struct config *config, const struct ldap_answer *answer, size_t count,
                       char text[REASSIGN_ERROR_SIZE])
{
    const char *uri = link_write_uri(config), *base = config->directory.base;

    switch (answer->code) {
    case LDAP_CODE_SIZE_LIMIT:
    case LDAP_CODE_ADMIN_LIMIT:
        refusal_of_limits(config, answer, count, text);
        break;
    case LDAP_CODE_REFERRAL:
        snprintf(text, REASSIGN_ERROR_SIZE,
                 "%.100s does not have directory.base %.100s; expected in admin.write_uri the "
                 "server that has it: %.100s",
                 uri, base, answer->referral ? answer->referral : "it does not say which");
        break;
    case LDAP_CODE_NO_SUCH_OBJECT:
        snprintf(text, REASSIGN_ERROR_SIZE,
                 "%.100s does not have directory.base %.100s, or does not show it to %.100s", uri,
                 base, refusal_identity(config));
        break;
    default:
        snprintf(text, REASSIGN_ERROR_SIZE, "%.100s: the search for the accounts: %.200s", uri,
                 answer->text);
    }
}

bool refusal_is_of_all(int code)
{
    switch (code) {
    case LDAP_CODE_STRONGER_AUTH:
    case LDAP_CODE_REFERRAL:
    case LDAP_CODE_CONFIDENTIALITY:
    case LDAP_CODE_UNDEFINED_ATTRIBUTE:
    case LDAP_CODE_INSUFFICIENT_ACCESS:
    case LDAP_CODE_UNWILLING:
        return true;
    default:
        return false;
    }
}

void refusal_of_change(const struct config *config, const struct ldap_answer *answer,
                       char text[REASSIGN_ERROR_SIZE])
{
    const char *uri = link_write_uri(config);

    switch (answer->code) {
    case LDAP_CODE_REFERRAL:
        snprintf(text, REASSIGN_ERROR_SIZE,
                 "%.100s is a replica that takes no changes; expected %.*s in admin.write_uri", uri,
                 SPAN_PRINTF(refusal_server(answer->referral)));
        break;
    case LDAP_CODE_INSUFFICIENT_ACCESS:
        snprintf(text, REASSIGN_ERROR_SIZE,
                 "%.100s does not let %.100s write %s and %s: %.100s; expected an identity that "
                 "may in admin.bind_dn",
                 uri, refusal_identity(config), config->directory.host_attribute,
                 config->directory.old_host_attribute, answer->text);
        break;
    case LDAP_CODE_UNWILLING:
        snprintf(text, REASSIGN_ERROR_SIZE,
                 "%.100s takes no changes: %.100s; expected one that does in admin.write_uri: the "
                 "provider, if this is a replica",
                 uri, answer->text);
        break;
    case LDAP_CODE_UNDEFINED_ATTRIBUTE:
        snprintf(text, REASSIGN_ERROR_SIZE,
                 "%.100s does not know %s or %s: %.100s; expected mailstead.schema in it", uri,
                 config->directory.host_attribute, config->directory.old_host_attribute,
                 answer->text);
        break;
    default:
        snprintf(text, REASSIGN_ERROR_SIZE, "%.100s refuses the change: %.200s", uri, answer->text);
    }
}
