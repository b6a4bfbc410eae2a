/* SPDX-License-Identifier: Apache-2.0 */
/* The suffix is found by going up from directory.base until an entry shows the attribute. */
#include "directory/provider_csn.h"

#include <stdio.h>

#include "directory/ldap_link.h"
#include "directory/reassign/writer.h"

enum { PROVIDER_CSN_ANSWER_MS = 5000, PROVIDER_CSN_LEVELS = 16 };

struct question {
    struct io_loop loop;
    struct writer writer;
    const char *base; /* of the search under way; a tail of directory.base */
    unsigned level;
    struct csn_set *csns;
    char *error;
    bool is_over;
};

static void question_ask(struct question *question);

static void question_end(struct question *question, const char *error)
{
    if (question->is_over)
        return;
    question->is_over = true;
    snprintf(question->error, PROVIDER_CSN_ERROR_SIZE, "%s", error);
    writer_close(&question->writer);
}

/* The name of the parent's entry, or NULL at the root.  A comma may be escaped. */
static const char *parent_of(const char *dn)
{
    for (; *dn && *dn != ','; dn++)
        if (*dn == '\\' && dn[1])
            dn++;
    return *dn ? dn + 1 : NULL;
}

static void question_on_entry(void *context, const struct ldap_entry *entry)
{
    struct question *question = context;
    const struct ldap_attribute *attribute = ldap_entry_find(entry, "contextCSN");

    for (size_t i = 0; attribute && i < attribute->value_count; i++)
        (void)csn_set_add(question->csns, attribute->values[i]);
}

static void question_on_done(void *context, const struct ldap_answer *answer)
{
    struct question *question = context;

    if (answer->code == LDAP_CODE_LOST)
        return; /* the writer's end follows */
    if (answer->code == LDAP_CODE_TIMEOUT) {
        question_end(question, answer->text);
        return;
    }
    question->base = parent_of(question->base);
    if (question->csns->count > 0)
        question_end(question, "");
    else if (question->base && ++question->level < PROVIDER_CSN_LEVELS)
        question_ask(question);
    else
        question_end(question, "the server shows no contextCSN");
}

static void question_ask(struct question *question)
{
    static const char *const attributes[] = { "contextCSN", NULL };
    static const struct ldap_search_events events = { .entry = question_on_entry,
                                                      .done = question_on_done };
    struct ldap_search search = { .base = question->base,
                                  .scope = LDAP_SCOPE_OF_BASE,
                                  .filter = "(objectClass=*)",
                                  .attributes = attributes,
                                  .timeout_ms = PROVIDER_CSN_ANSWER_MS };

    (void)ldap_link_search(question->writer.link, &search, &events, question);
}

static void question_on_ready(void *context, struct writer *writer)
{
    (void)writer;
    question_ask(context);
}

static void question_on_ended(void *context, struct writer *writer, const char *reason)
{
    (void)writer;
    question_end(context, reason);
}

bool provider_csn_read(const struct config *config, struct csn_set *csns,
                       char error[PROVIDER_CSN_ERROR_SIZE])
{
    static const struct writer_events events = { question_on_ready, question_on_ended };
    struct question question = { .base = config->directory.base, .csns = csns, .error = error };

    *csns = (struct csn_set){ .count = 0 };
    io_loop_init(&question.loop);
    writer_open(&question.writer, &question.loop, config, &events, &question);
    while (!question.is_over)
        io_loop_turn(&question.loop, true);
    writer_close(&question.writer);
    io_loop_fini(&question.loop);
    return csns->count > 0;
}
