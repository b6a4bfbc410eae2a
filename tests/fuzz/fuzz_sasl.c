/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SASL exchange: a byte of options, the mechanism's name up to LF, then the lines of the
 * client, the first of them an initial response when an option says so.  With another option the
 * lines are messages, which are encoded first.
 */
#include "common/proto/sasl.h"
#include "tests/fuzz/fuzz.h"

enum { OPTION_INITIAL = 1, OPTION_ENCODE = 2, OPTION_ACTS = 4 };

static struct span bytes_of(const struct credentials *credentials)
{
    return span_of((const char *)credentials, sizeof(*credentials));
}

/* Whatever credentials come out can be replayed, and come out again as they were. */
static void check_credentials(const struct credentials *credentials)
{
    static const struct sasl_options all = { .mechanisms = SASL_BIT(SASL_MECHANISMS) - 1 };
    static char memory[SASL_RESPONSE_MAX];
    struct buffer response = buffer_over(memory, sizeof(memory));
    struct sasl_exchange exchange;
    struct credentials again;
    struct span text;

    FUZZ_CHECK(credentials_name_is_sendable(credentials->authcid));
    if (credentials->kind == CREDENTIALS_EXTERNAL)
        return;
    FUZZ_CHECK(credentials_are_sendable(credentials, credentials->authcid));
    sasl_append_response(credentials, credentials->authcid, &response);
    FUZZ_CHECK(!response.overflowed);
    text = buffer_span(&response);
    if (text.length > SASL_ENCODED_MAX) /* a name of many commas, which were longer than that */
        return;
    FUZZ_CHECK(sasl_start(&exchange, &all,
                          span_from_string(sasl_mechanism_name(sasl_replay_mechanism(credentials))),
                          &text, &again) == SASL_OK);
    FUZZ_CHECK(span_equals(bytes_of(&again), bytes_of(credentials)));
}

static void check_nothing_is_left(const struct credentials *credentials)
{
    static const struct credentials nothing;

    FUZZ_CHECK(span_equals(bytes_of(credentials), bytes_of(&nothing)));
}

/* The line, encoded when the option says so, in `memory`. */
static struct span take_line(struct span *input, unsigned bits, struct buffer memory)
{
    struct span line = span_take(span_split(input, '\n'), 2 * SASL_MESSAGE_MAX);

    if (!(bits & OPTION_ENCODE))
        return line;
    FUZZ_CHECK(base64_encode(line, &memory));
    return buffer_span(&memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static char memory[4 * SASL_MESSAGE_MAX], alice[] = "alice@example.org";
    static char *const masters[] = { alice };
    struct span input = span_of((const char *)bytes, size);
    unsigned bits = fuzz_take_byte(&input);
    const struct sasl_options options = { .mechanisms = SASL_BIT(SASL_MECHANISMS) - 1,
                                          .external_identity = "alice@example.org",
                                          .external_masters = masters,
                                          .external_master_count = bits & OPTION_ACTS ? 1 : 0 };
    struct span mechanism = span_split(&input, '\n');
    struct span line = take_line(&input, bits, buffer_over(memory, sizeof(memory)));
    struct sasl_exchange exchange;
    struct credentials credentials;
    enum sasl_result result = sasl_start(&exchange, &options, mechanism,
                                         bits & OPTION_INITIAL ? &line : NULL, &credentials);

    for (int turn = 0; result == SASL_CHALLENGE && turn < 3; turn++) {
        if (bits & OPTION_INITIAL || turn > 0)
            line = take_line(&input, bits, buffer_over(memory, sizeof(memory)));
        result = sasl_respond(&exchange, &options, line, &credentials);
    }
    FUZZ_CHECK(result != SASL_CHALLENGE); /* no mechanism takes more than two responses */
    if (result == SASL_OK)
        check_credentials(&credentials);
    else
        check_nothing_is_left(&credentials);
    if (result == SASL_OK && sasl_refuse(&exchange))
        FUZZ_CHECK(sasl_respond(&exchange, &options, line, &credentials) == SASL_REFUSED);
    return 0;
}
