/* SPDX-License-Identifier: Apache-2.0 */
/* Text from anywhere in JSON, which holds UTF-8 only. */
#ifndef MAILSTEAD_SERVICE_ANY_TEXT_H
#define MAILSTEAD_SERVICE_ANY_TEXT_H

#include <jansson.h>

/*
 * A text that may be anybody's as JSON, which holds UTF-8 only: where it is something else, each of
 * its bytes beyond ASCII becomes a backslash and two hexadecimal digits.
 */
json_t *json_any_text(const char *text);

/* Cuts off the beginning of a character of UTF-8 at the end of `text`, which was cut to fit. */
void text_end_whole(char *text);

#endif
