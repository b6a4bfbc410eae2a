/* SPDX-License-Identifier: Apache-2.0 */
/* What every cmocka test needs, in the order in which cmocka wants it. */
#ifndef MAILSTEAD_TESTS_UNIT_H
#define MAILSTEAD_TESTS_UNIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/base/span.h"

/* Asserts that a span holds the text of a C string. */
#define assert_span(actual, string)                                                       \
    do {                                                                                \
        struct span assert_span_ = (actual);                                            \
        assert_int_equal(assert_span_.length, strlen(string));                          \
        assert_memory_equal(assert_span_.data ? assert_span_.data : "", string,         \
                            assert_span_.length);                                       \
    } while (0)

#endif
