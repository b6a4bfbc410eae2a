/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `input` is what a load balancer sends.  Checks that a header is read to its end and no byte
 * further, whatever comes; and that an address that comes out of it is one.
 */
#include <arpa/inet.h>

#include "common/proto/proxy_header.h"
#include "tests/fuzz/fuzz.h"

static void check_address(const char *address)
{
    unsigned char binary[16];

    FUZZ_CHECK(address[0] == '\0' || inet_pton(AF_INET, address, binary) == 1 ||
               inet_pton(AF_INET6, address, binary) == 1);
}

/* Nothing is known to be broken, or whole, before its last byte has come. */
static void check_prefixes(struct span whole)
{
    for (size_t length = 0; length < whole.length; length++) {
        size_t missing = proxy_header_missing(span_take(whole, length));
        struct proxy_header header;

        FUZZ_CHECK(missing > 0 && missing <= whole.length - length);
        FUZZ_CHECK(!proxy_header_read(span_take(whole, length), &header));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct span input = span_of((const char *)bytes, size);
    struct proxy_header header = { .port = 0 };
    size_t length = 0, missing;

    while ((missing = proxy_header_missing(span_take(input, length))) > 0) {
        length += missing;
        FUZZ_CHECK(length <= PROXY_HEADER_MAX);
        if (length > input.length)
            return 0;
    }
    if (!proxy_header_read(span_take(input, length), &header))
        return 0;
    check_address(header.address);
    FUZZ_CHECK(header.address[0] != '\0' || header.port == 0);
    check_prefixes(span_take(input, length));
    return 0;
}
