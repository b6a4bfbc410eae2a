/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each type has a function that takes one text, and words for what it wants.
 * Nothing here reports: a value is taken, or it is not and nothing has changed.
 */
#include "common/service/config_value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/base/span.h"
#include "common/io/network.h"
#include "common/service/config.h"
#include "common/service/logical_host.h"

typedef bool setter(const struct config_option *option, void *member, const char *text);

static void *member_of(const struct config_option *option, void *record)
{
    return (char *)record + option->offset;
}

static bool is_printable(const char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 0x7f)
            return false;
    return true;
}

static bool is_text(const struct config_option *option, const char *text)
{
    size_t length = strlen(text);

    return length >= option->min && length <= option->max && is_printable(text);
}

static void replace_string(char **member, const char *text)
{
    free(*member);
    *member = memory_copy_string(text);
}

static void append_string(struct string_list *list, const char *text)
{
    list->items = memory_resize(list->items, (list->count + 1) * sizeof(list->items[0]));
    list->items[list->count++] = memory_copy_string(text);
}

static bool set_text(const struct config_option *option, void *member, const char *text)
{
    if (!is_text(option, text))
        return false;
    replace_string(member, text);
    return true;
}

static bool set_text_list(const struct config_option *option, void *member, const char *text)
{
    if (!is_text(option, text))
        return false;
    append_string(member, text);
    return true;
}

static int find_word(const struct config_option *option, const char *text)
{
    for (int i = 0; option->words[i]; i++)
        if (strcmp(option->words[i], text) == 0)
            return i;
    return -1;
}

static bool set_word_text(const struct config_option *option, void *member, const char *text)
{
    if (find_word(option, text) < 0)
        return false;
    replace_string(member, text);
    return true;
}

static bool set_word(const struct config_option *option, void *member, const char *text)
{
    int word = find_word(option, text);

    if (word < 0)
        return false;
    *(int *)member = word; /* an enum of this ABI */
    return true;
}

static bool set_word_set(const struct config_option *option, void *member, const char *text)
{
    int word = find_word(option, text);

    if (word < 0)
        return false;
    *(unsigned *)member |= 1U << word;
    return true;
}

static bool set_boolean(const struct config_option *option, void *member, const char *text)
{
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on" };

    (void)option;
    for (size_t i = 0; i < ARRAY_LENGTH(words); i++)
        if (strcmp(words[i], text) == 0) {
            *(bool *)member = i % 2 != 0;
            return true;
        }
    return false;
}

static bool parse_number(const struct config_option *option, const char *text, uint64_t *number)
{
    uint64_t value;

    if (!span_parse_u64(span_from_string(text), &value) || value < option->min ||
        value > option->max)
        return false;
    *number = value;
    return true;
}

static bool set_number(const struct config_option *option, void *member, const char *text)
{
    uint64_t number;

    if (!parse_number(option, text, &number))
        return false;
    *(unsigned *)member = (unsigned)number;
    return true;
}

static bool set_size(const struct config_option *option, void *member, const char *text)
{
    return parse_number(option, text, member);
}

static bool set_port(const struct config_option *option, void *member, const char *text)
{
    uint64_t number;

    if (!parse_number(option, text, &number))
        return false;
    *(uint16_t *)member = (uint16_t)number;
    return true;
}

static bool is_label(struct span label)
{
    if (label.length == 0 || label.length > 63 || label.data[0] == '-' ||
        label.data[label.length - 1] == '-')
        return false;
    for (size_t i = 0; i < label.length; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz0123456789-_", label.data[i]))
            return false;
    return true;
}

/* A name of labels: RFC 1035 section 2.3.1. */
bool config_value_parse_domain(const char *text, char domain[CONFIG_DOMAIN_SIZE])
{
    struct span rest;

    if (!span_copy_string(span_from_string(text), domain, CONFIG_DOMAIN_SIZE))
        return false;
    string_to_lower(domain);
    rest = span_from_string(domain);
    if (rest.length == 0 || rest.data[rest.length - 1] == '.')
        return false;
    while (rest.length > 0)
        if (!is_label(span_split(&rest, '.')))
            return false;
    return true;
}

static bool set_domain(const struct config_option *option, void *member, const char *text)
{
    char domain[CONFIG_DOMAIN_SIZE];

    (void)option;
    if (!config_value_parse_domain(text, domain))
        return false;
    replace_string(member, domain);
    return true;
}

static bool set_domain_list(const struct config_option *option, void *member, const char *text)
{
    char domain[CONFIG_DOMAIN_SIZE];

    (void)option;
    if (!config_value_parse_domain(text, domain))
        return false;
    append_string(member, domain);
    return true;
}

static bool set_path(const struct config_option *option, void *member, const char *text)
{
    return text[0] == '/' && set_text(option, member, text);
}

static bool set_secret(const struct config_option *option, void *member, const char *text)
{
    struct secret *secret = member;

    return set_path(option, &secret->file, text);
}

static bool is_uri(const char *text)
{
    static const char *const schemes[] = { "ldap://", "ldaps://", "ldapi://" };

    for (size_t i = 0; i < ARRAY_LENGTH(schemes); i++)
        if (span_starts_with_ignore_case(span_from_string(text), span_from_string(schemes[i])))
            return strchr(text, ' ') == NULL;
    return false;
}

static bool set_uri(const struct config_option *option, void *member, const char *text)
{
    return is_uri(text) && set_text(option, member, text);
}

static bool set_uri_list(const struct config_option *option, void *member, const char *text)
{
    return is_uri(text) && set_text_list(option, member, text);
}

static bool set_endpoint(const struct config_option *option, void *member, const char *text)
{
    (void)option;
    return is_printable(text) && endpoint_parse(text, member);
}

static bool set_listen_address(const struct config_option *option, void *member, const char *text)
{
    struct endpoint endpoint;
    struct sockaddr_storage address;
    socklen_t length;

    (void)option;
    if (!endpoint_parse(text, &endpoint) || endpoint.is_unix ||
        !endpoint_to_sockaddr(&endpoint, &address, &length))
        return false;
    *(struct endpoint *)member = endpoint;
    return true;
}

static bool set_network_list(const struct config_option *option, void *member, const char *text)
{
    struct network network;

    return network_parse(text, &network) && set_text_list(option, member, text);
}

static const struct {
    setter *set;
    const char *expected; /* NULL: made from the row */
} types[CONFIG_TYPE_COUNT] = {
    [CONFIG_TYPE_TEXT] = { set_text, NULL },
    [CONFIG_TYPE_TEXT_LIST] = { set_text_list, NULL },
    [CONFIG_TYPE_WORD_TEXT] = { set_word_text, NULL },
    [CONFIG_TYPE_WORD] = { set_word, NULL },
    [CONFIG_TYPE_WORD_SET] = { set_word_set, NULL },
    [CONFIG_TYPE_BOOLEAN] = { set_boolean, "true or false" },
    [CONFIG_TYPE_NUMBER] = { set_number, NULL },
    [CONFIG_TYPE_SIZE] = { set_size, NULL },
    [CONFIG_TYPE_PORT] = { set_port, NULL },
    [CONFIG_TYPE_DOMAIN] = { set_domain, "a domain name (A-labels)" },
    [CONFIG_TYPE_DOMAIN_LIST] = { set_domain_list, "a domain name (A-labels)" },
    [CONFIG_TYPE_PATH] = { set_path, NULL },
    [CONFIG_TYPE_HOST_PATH] = { set_path, NULL },
    [CONFIG_TYPE_SECRET] = { set_secret, "the absolute path of a file" },
    [CONFIG_TYPE_URI] = { set_uri, "a URI that begins with ldap://, ldaps:// or ldapi://" },
    [CONFIG_TYPE_URI_LIST] = { set_uri_list,
                               "a URI that begins with ldap://, ldaps:// or ldapi://" },
    [CONFIG_TYPE_ENDPOINT] = { set_endpoint, "\"HOST:PORT\", \"[IPV6]:PORT\" or \"unix:PATH\"" },
    [CONFIG_TYPE_LISTEN_ADDRESS] = { set_listen_address,
                                     "\"IP:PORT\", \"[IPV6]:PORT\" or \"*:PORT\"" },
    [CONFIG_TYPE_NETWORK_LIST] = { set_network_list,
                                   "an IP address, or a network as ADDRESS/PREFIX" },
};

bool config_value_set(const struct config_option *option, void *record, const char *text)
{
    return types[option->type].set(option, member_of(option, record), text);
}

void config_value_set_default(const struct config_option *option, void *record)
{
    struct span rest = span_from_string(option->fallback);
    char text[1024];

    if (!option->fallback)
        return;
    do {
        struct span item = config_value_is_list(option) ? span_trim(span_split(&rest, ',')) : rest;
        bool fits = option->type == CONFIG_TYPE_HOST_PATH
                        ? logical_host_directory(option->fallback, text, sizeof(text))
                        : span_copy_string(item, text, sizeof(text));

        if (!fits || !config_value_set(option, record, text))
            abort();
    } while (config_value_is_list(option) && rest.length > 0);
}

static void clear_list(struct string_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->items[i]);
    free(list->items);
    *list = (struct string_list){ NULL, 0 };
}

void config_value_clear(const struct config_option *option, void *record)
{
    void *member = member_of(option, record);

    switch (option->type) {
    case CONFIG_TYPE_TEXT_LIST:
    case CONFIG_TYPE_DOMAIN_LIST:
    case CONFIG_TYPE_URI_LIST:
    case CONFIG_TYPE_NETWORK_LIST:
        clear_list(member);
        break;
    case CONFIG_TYPE_WORD_SET:
        *(unsigned *)member = 0;
        break;
    case CONFIG_TYPE_TEXT:
    case CONFIG_TYPE_WORD_TEXT:
    case CONFIG_TYPE_DOMAIN:
    case CONFIG_TYPE_PATH:
    case CONFIG_TYPE_HOST_PATH:
    case CONFIG_TYPE_URI:
        free(*(char **)member);
        *(char **)member = NULL;
        break;
    case CONFIG_TYPE_SECRET:
        free(((struct secret *)member)->file);
        explicit_bzero(member, sizeof(struct secret));
        break;
    default:
        break;
    }
}

bool config_value_is_list(const struct config_option *option)
{
    switch (option->type) {
    case CONFIG_TYPE_TEXT_LIST:
    case CONFIG_TYPE_DOMAIN_LIST:
    case CONFIG_TYPE_URI_LIST:
    case CONFIG_TYPE_NETWORK_LIST:
    case CONFIG_TYPE_WORD_SET:
        return true;
    default:
        return false;
    }
}

static void describe_words(const struct config_option *option, char *text, size_t size)
{
    size_t used = 0;

    for (size_t i = 0; option->words[i] && used < size; i++) {
        const char *joint = i == 0 ? "" : option->words[i + 1] ? ", " : " or ";

        used += (size_t)snprintf(text + used, size - used, "%s%s", joint, option->words[i]);
    }
}

static void describe_text(const struct config_option *option, char *text, size_t size)
{
    if (option->min == 0 && option->max == 1)
        snprintf(text, size, "one character, or nothing");
    else
        snprintf(text, size, "text of %s%llu bytes", option->min > 0 ? "1 to " : "at most ",
                 (unsigned long long)option->max);
}

void config_value_describe(const struct config_option *option, char text[CONFIG_EXPECTED_SIZE])
{
    unsigned long long min = option->min, max = option->max;

    if (types[option->type].expected)
        snprintf(text, CONFIG_EXPECTED_SIZE, "%s", types[option->type].expected);
    else if (option->words)
        describe_words(option, text, CONFIG_EXPECTED_SIZE);
    else if (option->type == CONFIG_TYPE_PATH || option->type == CONFIG_TYPE_HOST_PATH)
        snprintf(text, CONFIG_EXPECTED_SIZE, "an absolute path of %llu bytes at most", max);
    else if (option->type == CONFIG_TYPE_TEXT || option->type == CONFIG_TYPE_TEXT_LIST)
        describe_text(option, text, CONFIG_EXPECTED_SIZE);
    else
        snprintf(text, CONFIG_EXPECTED_SIZE, "a number from %llu to %llu", min, max);
}
