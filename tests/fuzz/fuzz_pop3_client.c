/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/pop3_client.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/login_client.h"

static bool is_allowed(struct span line, const char *name, const struct credentials *credentials)
{
    struct span arguments = line;
    struct span verb = span_split(&arguments, ' ');

    if (span_equals(verb, SPAN_LITERAL("USER")))
        return span_equals(arguments, span_from_string(name));
    if (span_equals(verb, SPAN_LITERAL("PASS")))
        return span_equals(arguments, span_from_string(credentials->password));
    if (span_equals(verb, SPAN_LITERAL("XCLIENT")))
        return true;
    if (span_equals(verb, SPAN_LITERAL("AUTH"))) {
        return fuzz_is_mechanism(span_split(&arguments, ' '), credentials) &&
               (arguments.length == 0 || fuzz_is_response(arguments, name, credentials));
    }
    return fuzz_is_response(line, name, credentials);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_login_client(&pop3_client_ops, "STLS\r\n", is_allowed, span_of((const char *)bytes, size));
    return 0;
}
