/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/reassign/writer.h"

#include "directory/link_settings.h"

enum { WRITER_CONNECT_MS = 5000, WRITER_ASK_MS = 120000 };

static const char writer_oid_transactions[] = "1.3.6.1.1.21.1"; /* RFC 5805 section 2.1 */
static const char writer_oid_assertion[] = "1.3.6.1.1.12";      /* RFC 4528 section 4 */

static void writer_end(struct writer *writer, const char *reason)
{
    writer->events->ended(writer->context, writer, reason);
    writer_close(writer);
}

/* --- what the server can ---------------------------------------------------------------- */

static bool writer_has_value(const struct ldap_entry *entry, const char *name, const char *value)
{
    const struct ldap_attribute *attribute = ldap_entry_find(entry, name);

    for (size_t i = 0; attribute && i < attribute->value_count; i++)
        if (span_equals(attribute->values[i], span_from_string(value)))
            return true;
    return false;
}

static void writer_on_root(void *context, const struct ldap_entry *entry)
{
    struct writer *writer = context;

    writer->has_assertions = writer_has_value(entry, "supportedControl", writer_oid_assertion);
    writer->has_transactions =
        writer->has_assertions &&
        writer_has_value(entry, "supportedExtension", writer_oid_transactions);
}

static void writer_on_root_done(void *context, const struct ldap_answer *answer)
{
    struct writer *writer = context;

    if (answer->code == LDAP_CODE_LOST)
        return; /* the link's end follows */
    if (answer->code == LDAP_CODE_TIMEOUT)
        writer_end(writer, answer->text);
    else
        writer->events->ready(writer->context, writer);
}

static void writer_on_ready(void *context)
{
    static const char *const attributes[] = { "supportedControl", "supportedExtension", NULL };
    static const struct ldap_search_events events = { .entry = writer_on_root,
                                                      .done = writer_on_root_done };
    struct writer *writer = context;
    struct ldap_search search = { .base = "",
                                  .scope = LDAP_SCOPE_OF_BASE,
                                  .filter = "(objectClass=*)",
                                  .attributes = attributes,
                                  .timeout_ms = WRITER_ASK_MS };

    (void)ldap_link_search(writer->link, &search, &events, writer);
}

/* --- the link ---------------------------------------------------------------------------- */

static void writer_on_ended(void *context, const char *reason)
{
    writer_end(context, reason);
}

void writer_open(struct writer *writer, struct io_loop *loop, const struct config *config,
                 const struct writer_events *events, void *context)
{
    static const struct ldap_link_events link_events = { .ready = writer_on_ready,
                                                         .ended = writer_on_ended };
    struct ldap_settings settings = link_settings_for_writing(config, WRITER_CONNECT_MS);

    *writer = (struct writer){ .events = events, .context = context };
    writer->link = ldap_link_open(loop, &settings, &link_events, writer);
}

void writer_close(struct writer *writer)
{
    if (writer->link)
        ldap_link_close(writer->link);
    writer->link = NULL;
}
