/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/credentials.h"

void credentials_wipe(struct credentials *credentials)
{
    explicit_bzero(credentials, sizeof(*credentials));
}

struct span credentials_secret(const struct credentials *credentials)
{
    switch (credentials->kind) {
    case CREDENTIALS_PASSWORD:
        return span_from_string(credentials->password);
    case CREDENTIALS_XOAUTH2:
    case CREDENTIALS_OAUTHBEARER:
        return span_from_string(credentials->token);
    case CREDENTIALS_EXTERNAL:
        break;
    }
    return SPAN_EMPTY;
}

bool credentials_name_is_sendable(const char *name)
{
    struct span span = span_from_string(name);

    return span.length > 0 && span.length < LOGIN_NAME_SIZE && !span_has_line_break_or_nul(span);
}

static bool password_is_sendable(const char *password)
{
    struct span span = span_from_string(password);

    return span.length > 0 && span.length < LOGIN_PASSWORD_SIZE &&
           !span_has_line_break_or_nul(span);
}

bool credentials_token_is_sendable(const char *token)
{
    size_t length = 0;

    while (token[length] > ' ' && token[length] <= '~')
        length++;
    return token[length] == '\0' && length > 0 && length < LOGIN_TOKEN_SIZE;
}

bool credentials_are_sendable(const struct credentials *credentials, const char *name)
{
    if (!credentials_name_is_sendable(name))
        return false;
    switch (credentials->kind) {
    case CREDENTIALS_PASSWORD:
        return password_is_sendable(credentials->password);
    case CREDENTIALS_XOAUTH2:
    case CREDENTIALS_OAUTHBEARER: /* ^A separates the parts of their messages */
        return !strchr(name, '\1') && credentials_token_is_sendable(credentials->token);
    case CREDENTIALS_EXTERNAL:
        break;
    }
    return false;
}
