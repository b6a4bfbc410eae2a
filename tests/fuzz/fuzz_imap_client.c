/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/imap_client.h"
#include "common/proto/imap_parse.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/login_client.h"

static bool is_login(struct span arguments, const char *name, const char *password)
{
    char said_name[LOGIN_NAME_SIZE], said_password[LOGIN_PASSWORD_SIZE];

    return imap_take_astring(&arguments, said_name, sizeof(said_name)) &&
           imap_take_byte(&arguments, ' ') &&
           imap_take_astring(&arguments, said_password, sizeof(said_password)) &&
           arguments.length == 0 && strcmp(said_name, name) == 0 &&
           strcmp(said_password, password) == 0;
}

static bool is_allowed(struct span line, const char *name, const struct credentials *credentials)
{
    struct span arguments = line;
    struct span tag = span_split(&arguments, ' ');
    struct span verb = span_split(&arguments, ' ');

    if (span_equals(tag, SPAN_LITERAL("i")))
        return span_equals(verb, SPAN_LITERAL("ID"));
    if (!span_equals(tag, SPAN_LITERAL("a")))
        return fuzz_is_response(line, name, credentials);
    if (span_equals(verb, SPAN_LITERAL("LOGIN")))
        return is_login(arguments, name, credentials->password);
    return span_equals(verb, SPAN_LITERAL("AUTHENTICATE")) &&
           fuzz_is_mechanism(span_split(&arguments, ' '), credentials) &&
           (arguments.length == 0 || fuzz_is_response(arguments, name, credentials));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_login_client(&imap_client_ops, "s STARTTLS\r\n", is_allowed,
                      span_of((const char *)bytes, size));
    return 0;
}
