/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/ldap_entry.h"

const struct ldap_attribute *ldap_entry_find(const struct ldap_entry *entry, const char *name)
{
    for (size_t i = 0; i < entry->attribute_count; i++)
        if (span_equals_ignore_case(entry->attributes[i].name, span_from_string(name)))
            return &entry->attributes[i];
    return NULL;
}

static bool ldap_is_special(unsigned char byte)
{
    return byte == '*' || byte == '(' || byte == ')' || byte == '\\' || byte < 0x20 || byte > 0x7e;
}

bool ldap_escape(struct buffer *filter, struct span value)
{
    for (size_t i = 0; i < value.length; i++) {
        unsigned char byte = (unsigned char)value.data[i];

        if (ldap_is_special(byte))
            buffer_append_format(filter, "\\%02x", byte);
        else
            buffer_append_byte(filter, (char)byte);
    }
    return !filter->overflowed;
}
