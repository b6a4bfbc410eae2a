/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The question is a modification that deletes a value which nobody has: 128 random bits.  A server
 * decides about rights before it looks for the value, so "insufficient access" (50) means that
 * the identity may not, "no such attribute" (16) that it may; nothing changes in either
 * case.  An assertion that is never true (RFC 4528) would not do: OpenLDAP judges it first and says
 * 122 to everybody.
 */
#include "directory/rights.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/base/random.h"
#include "directory/errand.h"

enum { RIGHTS_DN_SIZE = 2048 };

struct rights {
    const struct config *config;
    rights_doubt *doubt;
    void *context;
    struct errand errand;
    const char *who; /* the section of the identity */
};

enum right { RIGHT_REFUSED, RIGHT_GRANTED, RIGHT_UNKNOWN };

static void rights_tell(const struct rights *rights, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void rights_tell(const struct rights *rights, const char *format, ...)
{
    char text[RIGHTS_TEXT_SIZE];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    rights->doubt(rights->context, text);
}

static void rights_keep_dn(void *context, const struct ldap_entry *entry)
{
    char *dn = context;

    if (*dn || strlen(entry->dn) >= RIGHTS_DN_SIZE)
        return;
    snprintf(dn, RIGHTS_DN_SIZE, "%s", entry->dn);
}

/* The name of any entry; false when none is seen. */
static bool rights_find(struct rights *rights, const char *base, const char *filter, char *dn)
{
    static const char *const attributes[] = { "1.1", NULL };
    const struct ldap_search search = { .base = base,
                                        .scope = LDAP_SCOPE_OF_SUBTREE,
                                        .filter = filter,
                                        .attributes = attributes,
                                        .size_limit = 1 };

    dn[0] = '\0';
    (void)errand_search(&rights->errand, &search, rights_keep_dn, dn);
    return dn[0] != '\0';
}

static enum right rights_ask(struct rights *rights, const char *dn, const char *attribute)
{
    char absent[64];
    const struct ldap_change change = { LDAP_CHANGE_DELETE, attribute, absent };
    const struct ldap_modify modify = { .dn = dn, .changes = &change, .change_count = 1 };

    snprintf(absent, sizeof(absent), "absent-%016" PRIx64 "%016" PRIx64, random_u64(),
             random_u64());
    switch (errand_modify(&rights->errand, &modify)) {
    case LDAP_CODE_INSUFFICIENT_ACCESS:
        return RIGHT_REFUSED;
    case LDAP_CODE_NO_SUCH_ATTRIBUTE:
        return RIGHT_GRANTED;
    default:
        rights_tell(rights, "%s.bind_dn: cannot tell whether it may write %s of %.200s: %s",
                    rights->who, attribute, dn, rights->errand.error);
        return RIGHT_UNKNOWN;
    }
}

static void rights_must_not(struct rights *rights, const char *dn, const char *attribute,
                            const char *danger)
{
    if (rights_ask(rights, dn, attribute) == RIGHT_GRANTED)
        rights_tell(rights, "%s.bind_dn: may write %s of %.200s; %s", rights->who, attribute, dn,
                    danger);
}

static void rights_must(struct rights *rights, const char *dn, const char *attribute)
{
    if (rights_ask(rights, dn, attribute) == RIGHT_REFUSED)
        rights_tell(rights,
                    "%s.bind_dn: may not write %s of %.200s; mailstead reassign and restore will "
                    "not work",
                    rights->who, attribute, dn);
}

static bool rights_begin(struct rights *rights, enum errand_identity identity, const char *who)
{
    rights->who = who;
    if (errand_begin(&rights->errand, rights->config, identity))
        return true;
    rights_tell(rights, "%s.bind_dn: its rights cannot be tried: %s", who, rights->errand.error);
    return false;
}

static void rights_examine_backends(struct rights *rights)
{
    const struct directory_config *config = &rights->config->directory;
    char dn[RIGHTS_DN_SIZE];

    if (config->backend_base &&
        rights_find(rights, config->backend_base, config->backend_filter, dn))
        rights_must_not(rights, dn, config->backend_address_attribute,
                        "whoever has its password can lead all mail of a backend elsewhere");
}

static void rights_examine_reader(struct rights *rights)
{
    const struct directory_config *config = &rights->config->directory;
    static const char danger[] = "it should only read";
    char dn[RIGHTS_DN_SIZE];

    if (rights_begin(rights, ERRAND_READER, "directory")) {
        if (rights_find(rights, config->base, config->filter, dn)) {
            rights_must_not(rights, dn, config->host_attribute, danger);
            rights_must_not(rights, dn, config->address_attributes.items[0], danger);
        } else {
            rights_tell(rights, "directory.bind_dn: sees no account below %s", config->base);
        }
        rights_examine_backends(rights);
    }
    errand_end(&rights->errand);
}

static void rights_examine_writer(struct rights *rights)
{
    const struct directory_config *config = &rights->config->directory;
    char dn[RIGHTS_DN_SIZE];

    if (rights_begin(rights, ERRAND_WRITER, "admin")) {
        if (rights_find(rights, config->base, config->filter, dn)) {
            rights_must(rights, dn, config->host_attribute);
            rights_must(rights, dn, config->old_host_attribute);
        } else {
            rights_tell(rights, "admin.bind_dn: sees no account below %s", config->base);
        }
        rights_examine_backends(rights);
    }
    errand_end(&rights->errand);
}

static bool rights_has_secret(const char *bind_dn, const struct secret *password)
{
    return bind_dn && password->file && password->value[0];
}

void rights_examine(const struct config *config, rights_doubt *doubt, void *context)
{
    struct rights rights = { .config = config, .doubt = doubt, .context = context };

    if (rights_has_secret(config->directory.bind_dn, &config->directory.bind_password))
        rights_examine_reader(&rights);
    if (config->admin.write_uri &&
        rights_has_secret(config->admin.bind_dn, &config->admin.bind_password))
        rights_examine_writer(&rights);
}
