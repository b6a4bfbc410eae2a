/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pure but for the log.  Values that can be no address (too long, control characters) are
 * left out; an entry with more than MIRROR_NAMES_MAX names keeps the first of them.
 */
#include "directory/account.h"

#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "directory/ldap_filter.h"

enum { ACCOUNT_ATTRIBUTES_MAX = 64, ACCOUNT_TEXT_MAX = 65536, ACCOUNT_UUID_LENGTH = 36 };

static const char account_uuid_attribute[] = "entryUUID";

struct account_reader {
    const struct directory_config *config;
    struct ldap_filter *relay_filter; /* NULL: none */
    const char *attributes[ACCOUNT_ATTRIBUTES_MAX + 1];
    const char *plain_attributes[ACCOUNT_ATTRIBUTES_MAX + 2]; /* and entryUUID */
    size_t attribute_count;
    char *filter, *source;
    struct mirror_key keys[MIRROR_NAMES_MAX];
    size_t key_count;
    char names[MIRROR_NAMES_MAX][ROUTE_ADDRESS_SIZE]; /* what the keys point to */
};

static void account_add_attribute(const char *name, void *context)
{
    struct account_reader *reader = context;

    for (size_t i = 0; i < reader->attribute_count; i++)
        if (span_equals_ignore_case(span_from_string(reader->attributes[i]),
                                    span_from_string(name)))
            return;
    if (reader->attribute_count < ACCOUNT_ATTRIBUTES_MAX)
        reader->attributes[reader->attribute_count++] = name;
}

static void account_collect_attributes(struct account_reader *reader)
{
    const struct directory_config *config = reader->config;

    account_add_attribute(config->host_attribute, reader);
    account_add_attribute(config->old_host_attribute, reader);
    if (config->store_name_attribute)
        account_add_attribute(config->store_name_attribute, reader);
    for (size_t i = 0; i < config->address_attributes.count; i++)
        account_add_attribute(config->address_attributes.items[i], reader);
    for (size_t i = 0; i < config->login_attributes.count; i++)
        account_add_attribute(config->login_attributes.items[i], reader);
    if (reader->relay_filter)
        ldap_filter_each_attribute(reader->relay_filter, account_add_attribute, reader);
}

static void account_append(struct bytes *text, const char *first, const char *second)
{
    if (!bytes_append_format(text, "%s%s", first, second))
        abort(); /* the configuration's texts are shorter than the limit */
}

/* The text of `bytes`, which are released. */
static char *account_text(struct bytes *bytes)
{
    char *text = memory_new(bytes->length + 1);

    memcpy(text, bytes->data, bytes->length);
    bytes_release(bytes);
    return text;
}

static char *account_make_filter(const struct account_reader *reader)
{
    struct bytes text = bytes_empty(ACCOUNT_TEXT_MAX);

    if (!reader->relay_filter)
        return memory_copy_string(reader->config->filter);
    account_append(&text, "(|", reader->config->filter);
    account_append(&text, reader->config->relay_filter, ")");
    return account_text(&text);
}

static void account_append_list(struct bytes *text, const char *name,
                                const struct string_list *list)
{
    account_append(text, " ", name);
    for (size_t i = 0; i < list->count; i++)
        account_append(text, i == 0 ? "=" : ",", list->items[i]);
}

static char *account_make_source(const struct account_reader *reader)
{
    const struct directory_config *config = reader->config;
    struct bytes text = bytes_empty(ACCOUNT_TEXT_MAX);

    account_append(&text, "2 ", ""); /* the normal form of names: another makes other keys */
    account_append(&text, config->base, " ");
    account_append(&text, reader->filter, "");
    account_append_list(&text, "address", &config->address_attributes);
    account_append_list(&text, "login", &config->login_attributes);
    account_append(&text, " host=", config->host_attribute);
    account_append(&text, " old_host=", config->old_host_attribute);
    account_append(&text,
                   " name=", config->store_name_attribute ? config->store_name_attribute : "");
    return account_text(&text);
}

struct account_reader *account_reader_new(const struct directory_config *config)
{
    struct account_reader *reader = memory_new(sizeof(*reader));

    reader->config = config;
    if (config->relay_filter) {
        reader->relay_filter = ldap_filter_parse(span_from_string(config->relay_filter));
        if (!reader->relay_filter)
            LOG_EVENT(LOG_LEVEL_ERROR, NULL, "relay_filter_not_understood",
                      LOG_TEXT("filter", config->relay_filter));
    }
    account_collect_attributes(reader);
    memcpy(reader->plain_attributes, reader->attributes,
           reader->attribute_count * sizeof(*reader->attributes));
    reader->plain_attributes[reader->attribute_count] = account_uuid_attribute;
    reader->filter = account_make_filter(reader);
    reader->source = account_make_source(reader);
    return reader;
}

void account_reader_free(struct account_reader *reader)
{
    ldap_filter_free(reader->relay_filter);
    free(reader->filter);
    free(reader->source);
    free(reader);
}

const char *const *account_attributes(const struct account_reader *reader)
{
    return reader->attributes;
}

const char *account_filter(const struct account_reader *reader)
{
    return reader->filter;
}

const char *account_source(const struct account_reader *reader)
{
    return reader->source;
}

/* Adds a name that is already in the reader's memory at `key_count`, or its kinds to the same one.
 */
static void account_add_key(struct account_reader *reader, unsigned kinds)
{
    struct span name = span_from_string(reader->names[reader->key_count]);

    for (size_t i = 0; i < reader->key_count; i++)
        if (span_equals(reader->keys[i].value, name)) {
            reader->keys[i].kinds |= kinds;
            return;
        }
    reader->keys[reader->key_count++] = (struct mirror_key){ name, kinds };
}

/* The catch-all "@domain" is for mail only. */
static unsigned account_allowed_kinds(const char *name, unsigned kinds)
{
    return name[0] == '@' ? kinds & ~(unsigned)MIRROR_KIND_LOGIN : kinds;
}

static void account_add_values(struct account_reader *reader, const struct ldap_entry *entry,
                               const struct string_list *attributes, unsigned kind)
{
    for (size_t i = 0; i < attributes->count; i++) {
        const struct ldap_attribute *attribute = ldap_entry_find(entry, attributes->items[i]);

        for (size_t j = 0; attribute && j < attribute->value_count; j++) {
            char *name = reader->names[reader->key_count];

            if (reader->key_count + 1 < MIRROR_NAMES_MAX &&
                route_normalise(attribute->values[j], name) && account_allowed_kinds(name, kind))
                account_add_key(reader, account_allowed_kinds(name, kind));
        }
    }
}

/*
 * The canonical name, as the directory writes it, before all keys: that of its attribute, or
 * the first value of any address or login attribute.
 */
static bool account_add_name(struct account_reader *reader, const struct ldap_entry *entry)
{
    const struct directory_config *config = reader->config;
    const struct string_list *const lists[] = { &config->address_attributes,
                                                &config->login_attributes };
    const struct ldap_attribute *attribute =
        config->store_name_attribute ? ldap_entry_find(entry, config->store_name_attribute) : NULL;
    char normal[ROUTE_ADDRESS_SIZE];

    for (size_t i = 0; i < ARRAY_LENGTH(lists); i++)
        for (size_t j = 0; !attribute && j < lists[i]->count; j++)
            attribute = ldap_entry_find(entry, lists[i]->items[j]);
    if (!attribute || attribute->value_count == 0 ||
        !route_normalise(attribute->values[0], normal) ||
        !span_copy_string(attribute->values[0], reader->names[0], ROUTE_ADDRESS_SIZE))
        return false;
    account_add_key(reader, 0);
    return true;
}

/* The one value of an attribute; `*has_several` when there are more, or it is too long. */
static struct span account_read_host(const struct ldap_entry *entry, const char *name,
                                     bool *has_several)
{
    const struct ldap_attribute *attribute = ldap_entry_find(entry, name);

    if (!attribute || attribute->value_count == 0)
        return SPAN_EMPTY;
    if (attribute->value_count > 1 || attribute->values[0].length >= ROUTE_HOST_SIZE ||
        span_has_line_break_or_nul(attribute->values[0]))
        *has_several = true;
    return *has_several ? SPAN_EMPTY : attribute->values[0];
}

bool account_read(struct account_reader *reader, const struct ldap_entry *entry,
                  struct mirror_account *account)
{
    const struct directory_config *config = reader->config;
    bool has_odd_old_host = false;

    reader->key_count = 0;
    *account = (struct mirror_account){ .uuid = entry->sync->uuid, .keys = reader->keys };
    account->host = account_read_host(entry, config->host_attribute, &account->has_several_hosts);
    account->old_host = account_read_host(entry, config->old_host_attribute, &has_odd_old_host);
    account->is_relayed = reader->relay_filter && ldap_filter_matches(reader->relay_filter, entry);
    if (!account_add_name(reader, entry))
        return false;
    /* Login names first: most are the start of the canonical name, and pack well behind it. */
    if (!account->is_relayed || account->host.length > 0) /* nobody logs in as a group */
        account_add_values(reader, entry, &config->login_attributes, MIRROR_KIND_LOGIN);
    account_add_values(reader, entry, &config->address_attributes, MIRROR_KIND_ADDRESS);
    account->key_count = reader->key_count;
    return true;
}

/* --- plain searches ------------------------------------------------------------- */

const char *const *account_plain_attributes(const struct account_reader *reader)
{
    return reader->plain_attributes;
}

static int account_hex_digit(char digit)
{
    return digit >= '0' && digit <= '9'   ? digit - '0'
           : digit >= 'a' && digit <= 'f' ? digit - 'a' + 10
           : digit >= 'A' && digit <= 'F' ? digit - 'A' + 10
                                          : -1;
}

/* The bytes of "01234567-89ab-cdef-0123-456789abcdef". */
static bool account_parse_uuid(struct span text, unsigned char uuid[MIRROR_UUID_SIZE])
{
    size_t digits = 0;

    if (text.length != ACCOUNT_UUID_LENGTH)
        return false;
    for (size_t i = 0; i < text.length; i++) {
        int digit = account_hex_digit(text.data[i]);

        if (text.data[i] == '-')
            continue;
        if (digit < 0 || digits == 2 * MIRROR_UUID_SIZE)
            return false;
        uuid[digits / 2] = (unsigned char)(uuid[digits / 2] << 4 | digit);
        digits++;
    }
    return digits == 2 * MIRROR_UUID_SIZE;
}

bool account_read_plain(struct account_reader *reader, const struct ldap_entry *entry,
                        unsigned char uuid[MIRROR_UUID_SIZE], struct mirror_account *account,
                        bool *is_account)
{
    const struct ldap_attribute *attribute = ldap_entry_find(entry, account_uuid_attribute);
    struct sync_entry_value sync = { .uuid = uuid };
    struct ldap_entry identified = *entry;

    if (!attribute || attribute->value_count != 1 ||
        !account_parse_uuid(attribute->values[0], uuid))
        return false;
    identified.sync = &sync;
    *is_account = account_read(reader, &identified, account);
    return true;
}
