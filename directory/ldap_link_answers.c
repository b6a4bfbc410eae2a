/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a server sends, taken apart.  Entries and values beyond our limits are not shown; what
 * breaks RFC 4533 gives the link a reason to end.
 */
#include <string.h>

#include "directory/ldap_link_private.h"
#include "directory/page_value.h"

enum {
    LINK_ATTRIBUTES_MAX = 32,
    LINK_VALUES_MAX = 8192 /* of one entry; what is more is not shown */
};

/* The value of the control `oid`; data NULL when there is none. */
static struct span link_find_control(LDAPControl **controls, const char *oid)
{
    LDAPControl *control = ldap_control_find(oid, controls, NULL);

    return control ? link_span(&control->ldctl_value) : SPAN_EMPTY;
}

/* Reads what ended an operation and tells its owner. */
static void link_take_result(struct ldap_link *link, struct link_operation *operation,
                             LDAPMessage *message)
{
    struct ldap_answer answer = { .code = LDAP_CODE_LOST };
    struct berval *value = NULL;
    LDAPControl **controls = NULL;
    char *text = NULL, *oid = NULL, **referrals = NULL;

    if (ldap_msgtype(message) == LDAP_RES_EXTENDED)
        ldap_parse_extended_result(link->ld, message, &oid, &value, 0);
    ldap_parse_result(link->ld, message, &answer.code, NULL, &text, &referrals, &controls, 0);
    answer.text = text && *text ? text : answer.code ? ldap_err2string(answer.code) : "";
    answer.referral = referrals ? referrals[0] : NULL;
    if (value)
        answer.value = span_of(value->bv_val ? value->bv_val : "", value->bv_len);
    answer.page = page_read(link_find_control(controls, LDAP_CONTROL_PAGEDRESULTS));
    if (!sync_read_done(link_find_control(controls, LDAP_CONTROL_SYNC_DONE), &answer.sync))
        answer.sync = (struct sync_done_value){ .refresh_deletes = false };
    link_finish(link, operation, &answer);
    ldap_controls_free(controls);
    ldap_memvfree((void **)referrals);
    ldap_memfree(text);
    ldap_memfree(oid);
    ber_bvfree(value);
}

struct link_attributes {
    struct ldap_attribute list[LINK_ATTRIBUTES_MAX];
    size_t count;
    struct span values[LINK_VALUES_MAX];
    size_t value_count;
};

static void link_add_attribute(struct link_attributes *attributes, const struct berval *name,
                               const struct berval *values)
{
    struct ldap_attribute *attribute = &attributes->list[attributes->count];
    size_t first = attributes->value_count;

    if (attributes->count == LINK_ATTRIBUTES_MAX)
        return;
    for (; values && values->bv_val && attributes->value_count < LINK_VALUES_MAX; values++)
        attributes->values[attributes->value_count++] = link_span(values);
    *attribute = (struct ldap_attribute){ link_span(name), attributes->values + first,
                                          attributes->value_count - first };
    attributes->count++;
}

/* Shows the entry's attributes, which stay in the message. */
static void link_tell_entry(struct ldap_link *link, struct link_operation *operation,
                            LDAPMessage *message, const struct sync_entry_value *sync)
{
    static struct link_attributes
        attributes; /* large; used by one call at a time, copied by none */
    struct berval dn, name, *values = NULL;
    BerElement *ber = NULL;
    struct ldap_entry entry;

    if (ldap_get_dn_ber(link->ld, message, &ber, &dn) != LDAP_SUCCESS)
        return;
    attributes.count = 0;
    attributes.value_count = 0;
    while (ldap_get_attribute_ber(link->ld, message, ber, &name, &values) == LDAP_SUCCESS &&
           name.bv_val) {
        link_add_attribute(&attributes, &name, values);
        ldap_memfree(values);
        values = NULL;
    }
    ber_free(ber, 0);
    entry = (struct ldap_entry){ dn.bv_val, sync, attributes.list, attributes.count };
    operation->search->entry(operation->context, &entry);
}

static void link_take_entry(struct ldap_link *link, struct link_operation *operation,
                            LDAPMessage *message)
{
    struct sync_entry_value sync;
    LDAPControl **controls = NULL;
    bool is_synchronised;

    if (!operation->search || !operation->search->notice) {
        link_tell_entry(link, operation, message, NULL);
        return;
    }
    ldap_get_entry_controls(link->ld, message, &controls);
    is_synchronised = sync_read_entry(link_find_control(controls, LDAP_CONTROL_SYNC_STATE), &sync);
    if (is_synchronised)
        link_tell_entry(link, operation, message, &sync);
    else
        snprintf(link->reason, sizeof(link->reason), "an entry without its state (RFC 4533)");
    ldap_controls_free(controls);
}

static void link_take_intermediate(struct ldap_link *link, struct link_operation *operation,
                                   LDAPMessage *message)
{
    struct sync_notice_value notice;
    struct berval *value = NULL;
    char *oid = NULL;

    if (ldap_parse_intermediate(link->ld, message, &oid, &value, NULL, 0) == LDAP_SUCCESS && oid &&
        strcmp(oid, LDAP_SYNC_INFO) == 0 && operation->search && operation->search->notice) {
        if (sync_read_notice(link_span(value), &notice))
            operation->search->notice(operation->context, &notice);
        else
            snprintf(link->reason, sizeof(link->reason), "a malformed notice (RFC 4533)");
    }
    ldap_memfree(oid);
    ber_bvfree(value);
}

static void link_take_reference(struct ldap_link *link, struct link_operation *operation,
                                LDAPMessage *message)
{
    char **uris = NULL;

    if (!operation->search || !operation->search->reference)
        return;
    if (ldap_parse_reference(link->ld, message, &uris, NULL, 0) == LDAP_SUCCESS && uris && uris[0])
        operation->search->reference(operation->context, uris[0]);
    ldap_memvfree((void **)uris);
}

void link_take_message(struct ldap_link *link, LDAPMessage *message)
{
    struct link_operation *operation = link_find_operation(link, ldap_msgid(message));

    if (!operation)
        return; /* abandoned, timed out, or a notice to nobody */
    switch (ldap_msgtype(message)) {
    case LDAP_RES_SEARCH_ENTRY:
        link_take_entry(link, operation, message);
        break;
    case LDAP_RES_INTERMEDIATE:
        link_take_intermediate(link, operation, message);
        break;
    case LDAP_RES_SEARCH_REFERENCE:
        link_take_reference(link, operation, message);
        break;
    default:
        link_take_result(link, operation, message);
    }
}
