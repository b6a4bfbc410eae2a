/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/login_master.h"

#include <stdio.h>

/* What stands behind the account's name: the separator and the master user, or nothing. */
static struct span login_master_suffix(const struct session_service *service, const char *name)
{
    const struct master_config *master = &service->config->master;
    struct span whole = span_from_string(name);
    char suffix[LOGIN_NAME_SIZE];
    int length;

    if (!service->peers_are_trusted || !master->user)
        return SPAN_EMPTY;
    length = snprintf(suffix, sizeof(suffix), "%s%s", master->separator, master->user);
    if (length < 0 || (size_t)length >= sizeof(suffix) || (size_t)length >= whole.length ||
        !span_equals(span_drop(whole, whole.length - (size_t)length), span_from_string(suffix)))
        return SPAN_EMPTY;
    return span_drop(whole, whole.length - (size_t)length);
}

struct span login_master_account(const struct session_service *service, const char *name)
{
    return span_take(span_from_string(name),
                     strlen(name) - login_master_suffix(service, name).length);
}

bool login_master_prepare(const struct session_service *service, bool is_external,
                          struct credentials *credentials, const char *account,
                          char name[LOGIN_NAME_SIZE])
{
    const struct master_config *master = &service->config->master;
    struct span suffix = login_master_suffix(service, credentials->authcid);
    int length;

    if (is_external && !master->user)
        return false;
    if (is_external) {
        length =
            snprintf(name, LOGIN_NAME_SIZE, "%s%s%s", account, master->separator, master->user);
        credentials->kind = CREDENTIALS_PASSWORD;
        snprintf(credentials->password, sizeof(credentials->password), "%s",
                 master->password.value);
    } else {
        length = snprintf(name, LOGIN_NAME_SIZE, "%s%.*s", account, SPAN_PRINTF(suffix));
    }
    return length > 0 && length < LOGIN_NAME_SIZE && credentials_name_is_sendable(name);
}
