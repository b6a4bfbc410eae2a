/* SPDX-License-Identifier: Apache-2.0 */
/* From the text of a value to the member of a struct, by the type of its row. */
#ifndef MAILSTEAD_SERVICE_CONFIG_VALUE_H
#define MAILSTEAD_SERVICE_CONFIG_VALUE_H

#include "common/service/config_table.h"

enum { CONFIG_EXPECTED_SIZE = 200, CONFIG_DOMAIN_SIZE = 254 };

/*
 * Puts `text` into the member of `option` in the struct at `record`; an item more
 * when the type is a list.  False, and nothing changed, when it is no such value.
 */
bool config_value_set(const struct config_option *option, void *record, const char *text)
    __attribute__((warn_unused_result));

/* As config_value_set for the row's default, if it has one; a default that is no such value aborts.
 */
void config_value_set_default(const struct config_option *option, void *record);

/* Frees the member; a secret is wiped. */
void config_value_clear(const struct config_option *option, void *record);

/* `text` in lower case at `domain`; false when it is no domain name of A-labels. */
bool config_value_parse_domain(const char *text, char domain[CONFIG_DOMAIN_SIZE])
    __attribute__((warn_unused_result));

bool config_value_is_list(const struct config_option *option);

/* What a value of this row must be: "a number from 0 to 64". */
void config_value_describe(const struct config_option *option, char text[CONFIG_EXPECTED_SIZE]);

#endif
