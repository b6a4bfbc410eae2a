/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/errand.h"

#include <stdio.h>
#include <string.h>

#include "directory/link_settings.h"

enum { ERRAND_CONNECT_MS = 5000, ERRAND_ANSWER_MS = 10000 };

static void errand_wait(struct errand *errand)
{
    while (errand->is_waiting)
        io_loop_turn(&errand->loop, true);
}

static void errand_on_ready(void *context)
{
    ((struct errand *)context)->is_waiting = false;
}

static void errand_on_ended(void *context, const char *reason)
{
    struct errand *errand = context;

    snprintf(errand->error, sizeof(errand->error), "%s", reason);
    errand->code = LDAP_CODE_LOST;
    errand->is_waiting = false;
    ldap_link_close(errand->link);
    errand->link = NULL;
}

static bool errand_connect(struct errand *errand, const struct ldap_settings *settings)
{
    static const struct ldap_link_events events = { .ready = errand_on_ready,
                                                    .ended = errand_on_ended };

    errand->is_waiting = true;
    errand->link = ldap_link_open(&errand->loop, settings, &events, errand);
    errand_wait(errand);
    return errand->link != NULL;
}

static bool errand_connect_reader(struct errand *errand, const struct directory_config *config)
{
    for (size_t i = 0; i < config->uri.count; i++) {
        struct ldap_settings settings =
            link_settings(config, config->uri.items[i], ERRAND_CONNECT_MS);

        if (errand_connect(errand, &settings))
            return true;
    }
    return false;
}

static bool errand_connect_writer(struct errand *errand, const struct config *config)
{
    struct ldap_settings settings;

    if (!config->admin.write_uri) {
        snprintf(errand->error, sizeof(errand->error), "there is no admin.write_uri");
        return false;
    }
    settings = link_settings_for_writing(config, ERRAND_CONNECT_MS);
    return errand_connect(errand, &settings);
}

bool errand_begin(struct errand *errand, const struct config *config, enum errand_identity identity)
{
    *errand = (struct errand){ .error = "there is no directory.uri" };
    io_loop_init(&errand->loop);
    return identity == ERRAND_READER ? errand_connect_reader(errand, &config->directory)
                                     : errand_connect_writer(errand, config);
}

void errand_end(struct errand *errand)
{
    if (errand->link)
        ldap_link_close(errand->link);
    errand->link = NULL;
    io_loop_fini(&errand->loop);
}

static void errand_on_entry(void *context, const struct ldap_entry *entry)
{
    struct errand *errand = context;

    errand->entry(errand->context, entry);
}

static void errand_on_done(void *context, const struct ldap_answer *answer)
{
    struct errand *errand = context;

    errand->code = answer->code;
    errand->page_length = answer->code == LDAP_CODE_SUCCESS ? answer->page.length : 0;
    if (errand->page_length > 0)
        memcpy(errand->page, answer->page.data, errand->page_length);
    snprintf(errand->error, sizeof(errand->error), "%s", answer->text);
    errand->is_waiting = false;
}

int errand_search(struct errand *errand, const struct ldap_search *search,
                  void (*entry)(void *context, const struct ldap_entry *entry), void *context)
{
    static const struct ldap_search_events events = { .entry = errand_on_entry,
                                                      .done = errand_on_done };
    struct ldap_search bounded = *search;

    if (!errand->link)
        return LDAP_CODE_LOST;
    bounded.timeout_ms = ERRAND_ANSWER_MS;
    errand->entry = entry;
    errand->context = context;
    do {
        bounded.page = span_of(errand->page, errand->page_length);
        errand->page_length = 0;
        errand->is_waiting = true;
        (void)ldap_link_search(errand->link, &bounded, &events, errand);
        errand_wait(errand);
    } while (errand->link && errand->page_length > 0);
    return errand->code;
}

int errand_modify(struct errand *errand, const struct ldap_modify *modify)
{
    struct ldap_modify bounded = *modify;

    if (!errand->link)
        return LDAP_CODE_LOST;
    bounded.timeout_ms = ERRAND_ANSWER_MS;
    errand->is_waiting = true;
    (void)ldap_link_modify(errand->link, &bounded, errand_on_done, errand);
    errand_wait(errand);
    return errand->code;
}
