/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pure.  An entry is taken whole or not at all: half of one that is wrong could send mail to a
 * place that nobody meant.
 */
#include "directory/backend_entry.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "common/service/config_value.h"

enum { BACKEND_WEIGHT_MAX = 65535 };

/* What one entry is read into. */
struct reading {
    const struct directory_config *config;
    const struct ldap_entry *entry;
    struct backend backend;
    char *why; /* BACKEND_WHY_SIZE */
};

void backend_entry_attributes(const struct directory_config *config,
                              const char *attributes[BACKEND_ATTRIBUTES_MAX])
{
    const char *const names[BACKEND_ATTRIBUTES_MAX] = {
        config->backend_name_attribute,
        config->backend_address_attribute,
        config->backend_lmtp_port_attribute,
        config->backend_imap_port_attribute,
        config->backend_pop3_port_attribute,
        config->backend_sieve_port_attribute,
        config->backend_weight_attribute,
        config->backend_state_attribute,
        NULL,
    };

    memcpy(attributes, names, sizeof(names));
}

static bool reading_fail(struct reading *reading, const char *attribute, const char *wanted)
{
    snprintf(reading->why, BACKEND_WHY_SIZE, "%s: expected %s", attribute, wanted);
    return false;
}

/* The one value of an attribute as a string; empty when it has none.  False when it has several. */
static bool reading_get(struct reading *reading, const char *attribute, char *text, size_t size)
{
    const struct ldap_attribute *found = ldap_entry_find(reading->entry, attribute);

    text[0] = '\0';
    if (!found || found->value_count == 0)
        return true;
    return found->value_count == 1 && span_copy_string(found->values[0], text, size);
}

static bool read_name(struct reading *reading)
{
    const char *attribute = reading->config->backend_name_attribute;
    char domain[CONFIG_DOMAIN_SIZE];
    char *name = reading->backend.name;

    if (!reading_get(reading, attribute, name, BACKEND_NAME_SIZE) ||
        !config_value_parse_domain(name, domain))
        return reading_fail(reading, attribute,
                            "one name of letters, digits, dots and hyphens, of 127 bytes at most");
    return true;
}

static bool is_address(const char *text)
{
    char domain[CONFIG_DOMAIN_SIZE];
    unsigned char binary[sizeof(struct in6_addr)];

    return inet_pton(AF_INET, text, binary) == 1 || inet_pton(AF_INET6, text, binary) == 1 ||
           config_value_parse_domain(text, domain);
}

static bool read_addresses(struct reading *reading)
{
    const char *attribute = reading->config->backend_address_attribute;
    const struct ldap_attribute *found = ldap_entry_find(reading->entry, attribute);
    struct backend *backend = &reading->backend;

    if (!found || found->value_count == 0 || found->value_count > BACKEND_ADDRESSES_MAX)
        return reading_fail(reading, attribute, "one to four values");
    for (size_t i = 0; i < found->value_count; i++) {
        char *address = backend->addresses[backend->address_count++];

        if (!span_copy_string(found->values[i], address, ENDPOINT_HOST_SIZE) ||
            !is_address(address))
            return reading_fail(reading, attribute, "IP addresses or host names");
    }
    return true;
}

static bool read_number(struct reading *reading, const char *attribute, unsigned fallback,
                        unsigned min, unsigned max, unsigned *number)
{
    char text[16], wanted[64];
    uint64_t value = fallback;

    snprintf(wanted, sizeof(wanted), "one number from %u to %u, or nothing", min, max);
    if (!reading_get(reading, attribute, text, sizeof(text)) ||
        (*text && !span_parse_u64(span_from_string(text), &value)) || value < min || value > max)
        return reading_fail(reading, attribute, wanted);
    *number = (unsigned)value;
    return true;
}

static bool read_port(struct reading *reading, const char *attribute, uint16_t fallback,
                      uint16_t *port)
{
    unsigned number;

    if (!read_number(reading, attribute, fallback, 1, UINT16_MAX, &number))
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool read_state(struct reading *reading)
{
    const char *attribute = reading->config->backend_state_attribute;
    char text[16];

    if (!reading_get(reading, attribute, text, sizeof(text)))
        return reading_fail(reading, attribute, "one of up, leaving and down, or nothing");
    string_to_lower(text);
    for (int i = 0; *text && backend_state_names[i]; i++)
        if (strcmp(backend_state_names[i], text) == 0) {
            reading->backend.state = (enum backend_state)i;
            return true;
        }
    return !*text || reading_fail(reading, attribute, "up, leaving or down");
}

static bool read_ports(struct reading *reading)
{
    const struct directory_config *config = reading->config;
    struct backend *backend = &reading->backend;

    return read_port(reading, config->backend_lmtp_port_attribute, 24, &backend->lmtp_port) &&
           read_port(reading, config->backend_imap_port_attribute, 143, &backend->imap_port) &&
           read_port(reading, config->backend_pop3_port_attribute, 110, &backend->pop3_port) &&
           read_port(reading, config->backend_sieve_port_attribute, 4190, &backend->sieve_port);
}

bool backend_entry_read(const struct directory_config *config, const struct ldap_entry *entry,
                        struct backend *backend, char why[BACKEND_WHY_SIZE])
{
    struct reading reading = { config, entry, { .is_from_directory = true }, why };

    if (!read_name(&reading) || !read_addresses(&reading) || !read_ports(&reading) ||
        !read_number(&reading, config->backend_weight_attribute, 1, 0, BACKEND_WEIGHT_MAX,
                     &reading.backend.weight) ||
        !read_state(&reading))
        return false;
    if (entry->sync)
        memcpy(reading.backend.entry_uuid, entry->sync->uuid, sizeof(backend->entry_uuid));
    *backend = reading.backend;
    return true;
}
