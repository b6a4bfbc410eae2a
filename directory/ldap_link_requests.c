/* SPDX-License-Identifier: Apache-2.0 */
/* What a server is asked.  A request that cannot be sent ends the link, a little later. */
#include <assert.h>
#include <string.h>

#include "directory/ldap_link_private.h"
#include "directory/page_value.h"

enum { LINK_CONTROLS_MAX = 3 };

/* Controls of one request, on the stack; the values are borrowed. */
struct link_controls {
    LDAPControl controls[LINK_CONTROLS_MAX];
    LDAPControl *list[LINK_CONTROLS_MAX + 1];
    size_t count;
};

static void link_add_control(struct link_controls *controls, const char *oid, struct span value)
{
    LDAPControl *control = &controls->controls[controls->count];

    control->ldctl_oid = (char *)(uintptr_t)oid;
    control->ldctl_value = (struct berval){ value.length, (char *)(uintptr_t)value.data };
    control->ldctl_iscritical = 1;
    controls->list[controls->count++] = control;
    controls->list[controls->count] = NULL;
}

int ldap_link_search(struct ldap_link *link, const struct ldap_search *search,
                     const struct ldap_search_events *events, void *context)
{
    struct link_operation what = { .search = events, .done = events->done, .context = context };
    struct link_controls controls = { .count = 0 };
    char sync_memory[SYNC_REQUEST_SIZE], page_memory[SYNC_REQUEST_SIZE];
    struct buffer sync = buffer_over(sync_memory, sizeof(sync_memory));
    struct buffer page = buffer_over(page_memory, sizeof(page_memory));
    int number = 0, code;

    if (link->state != LINK_READY || link->reason[0])
        return 0;
    if (search->is_synchronised) {
        sync_write_request(&sync, search->sync_cookie);
        link_add_control(&controls, LDAP_CONTROL_SYNC, buffer_span(&sync));
    }
    if (search->page_size) {
        page_write_request(&page, search->page_size, search->page);
        link_add_control(&controls, LDAP_CONTROL_PAGEDRESULTS, buffer_span(&page));
    }
    code = ldap_search_ext(
        link->ld, search->base,
        search->scope == LDAP_SCOPE_OF_BASE ? LDAP_SCOPE_BASE : LDAP_SCOPE_SUBTREE, search->filter,
        (char **)(uintptr_t)search->attributes, 0, controls.list, NULL, NULL,
        search->size_limit ? (int)search->size_limit : LDAP_NO_LIMIT, &number);
    return link_note(link, code, number, search->timeout_ms, &what);
}

int ldap_link_bind(struct ldap_link *link, const char *dn, const char *password,
                   unsigned timeout_ms, ldap_done *done, void *context)
{
    struct link_operation what = { .done = done, .context = context };
    struct berval secret = { strlen(password), (char *)(uintptr_t)password };
    int number = 0, code;

    assert(*dn && *password && link->operation_count == 0);
    if (link->state != LINK_READY || link->reason[0])
        return 0;
    code = ldap_sasl_bind(link->ld, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, &number);
    return link_note(link, code, number, timeout_ms, &what);
}

struct link_mods {
    LDAPMod mods[LDAP_CHANGES_MAX];
    LDAPMod *list[LDAP_CHANGES_MAX + 1];
    struct berval values[LDAP_CHANGES_MAX];
    struct berval *value_lists[LDAP_CHANGES_MAX][2];
};

static void link_build_mods(struct link_mods *mods, const struct ldap_modify *modify)
{
    static const int kinds[] = { LDAP_MOD_ADD, LDAP_MOD_DELETE, LDAP_MOD_REPLACE };

    for (size_t i = 0; i < modify->change_count; i++) {
        const struct ldap_change *change = &modify->changes[i];

        mods->values[i].bv_val = (char *)(uintptr_t)change->value;
        mods->values[i].bv_len = change->value ? strlen(change->value) : 0;
        mods->value_lists[i][0] = change->value ? &mods->values[i] : NULL;
        mods->value_lists[i][1] = NULL;
        mods->mods[i].mod_op = kinds[change->kind] | LDAP_MOD_BVALUES;
        mods->mods[i].mod_type = (char *)(uintptr_t)change->attribute;
        mods->mods[i].mod_bvalues = change->value ? mods->value_lists[i] : NULL;
        mods->list[i] = &mods->mods[i];
    }
    mods->list[modify->change_count] = NULL;
}

int ldap_link_modify(struct ldap_link *link, const struct ldap_modify *modify, ldap_done *done,
                     void *context)
{
    struct link_operation what = { .done = done, .context = context };
    struct link_controls controls = { .count = 0 };
    struct berval assertion = { 0, NULL };
    struct link_mods mods;
    int number = 0, code = LDAP_SUCCESS;

    if (link->state != LINK_READY || link->reason[0])
        return 0;
    if (modify->assertion) {
        code = ldap_create_assertion_control_value(link->ld, (char *)(uintptr_t)modify->assertion,
                                                   &assertion);
        link_add_control(&controls, LDAP_CONTROL_ASSERT, link_span(&assertion));
    }
    if (modify->transaction.data)
        link_add_control(&controls, LDAP_CONTROL_TXN_SPEC, modify->transaction);
    link_build_mods(&mods, modify);
    if (code == LDAP_SUCCESS)
        code = ldap_modify_ext(link->ld, modify->dn, mods.list, controls.list, NULL, &number);
    ldap_memfree(assertion.bv_val);
    if (code == LDAP_BUSY)
        return LDAP_LINK_FULL; /* a request before it is not sent whole: the link's timer does */
    return link_note(link, code, number, modify->timeout_ms, &what);
}

int ldap_link_begin_transaction(struct ldap_link *link, unsigned timeout_ms, ldap_done *done,
                                void *context)
{
    struct link_operation what = { .done = done, .context = context };
    int number = 0, code;

    if (link->state != LINK_READY || link->reason[0])
        return 0;
    code = ldap_txn_start(link->ld, NULL, NULL, &number);
    return link_note(link, code, number, timeout_ms, &what);
}

int ldap_link_end_transaction(struct ldap_link *link, struct span transaction, bool commit,
                              unsigned timeout_ms, ldap_done *done, void *context)
{
    struct link_operation what = { .done = done, .context = context };
    struct berval identifier = { transaction.length, (char *)(uintptr_t)transaction.data };
    int number = 0, code;

    if (link->state != LINK_READY || link->reason[0])
        return 0;
    code = ldap_txn_end(link->ld, commit, &identifier, NULL, NULL, &number);
    return link_note(link, code, number, timeout_ms, &what);
}

void ldap_link_abandon(struct ldap_link *link, int number)
{
    struct link_operation *operation = link_find_operation(link, number);

    if (!operation)
        return;
    if (link->state == LINK_READY)
        ldap_abandon_ext(link->ld, number, NULL, NULL);
    link_free_operation(link, operation);
}
