/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/sieve_server.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/login_server.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    fuzz_login_server(&sieve_server_ops, span_of((const char *)bytes, size));
    return 0;
}
