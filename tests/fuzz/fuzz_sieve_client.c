/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/sieve_client.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/login_client.h"

/* What a quoted string holds, or the line itself. */
static struct span unquoted(struct span text)
{
    if (text.length >= 2 && text.data[0] == '"' && text.data[text.length - 1] == '"')
        return span_of(text.data + 1, text.length - 2);
    return text;
}

static bool is_allowed(struct span line, const char *name, const struct credentials *credentials)
{
    struct span arguments = line;
    struct span verb = span_split(&arguments, ' ');

    if (span_equals(verb, SPAN_LITERAL("XCLIENT")))
        return true;
    if (span_equals(verb, SPAN_LITERAL("AUTHENTICATE")))
        return fuzz_is_mechanism(unquoted(span_split(&arguments, ' ')), credentials) &&
               ((arguments.length > 0 && arguments.data[0] == '{') ||
                fuzz_is_response(unquoted(arguments), name, credentials));
    return fuzz_is_response(unquoted(line), name, credentials);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_login_client(&sieve_client_ops, "STARTTLS\r\n", is_allowed,
                      span_of((const char *)bytes, size));
    return 0;
}
