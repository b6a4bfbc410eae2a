/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether a text is one search filter (RFC 4515), whatever it asks for: before it is put into
 * another, where a parenthesis too many would change the sense of both.
 */
#ifndef MAILSTEAD_DIRECTORY_FILTER_SYNTAX_H
#define MAILSTEAD_DIRECTORY_FILTER_SYNTAX_H

#include "common/base/span.h"

/*
 * NULL when `text` is a filter in parentheses, else what is wrong, a static text for a person.
 * Spaces between filters are allowed, as OpenLDAP allows them.
 */
const char *filter_syntax_trouble(struct span text) __attribute__((warn_unused_result));

#endif
