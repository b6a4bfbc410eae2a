/* SPDX-License-Identifier: Apache-2.0 */
#include "common/service/certificate_watch.h"

#include "common/base/clock.h"
#include "common/base/log.h"

enum { DAY_S = 86400, WATCH_INTERVAL_MS = DAY_S / 2 * 1000 };

/* One certificate of the configuration. */
struct shown {
    const char *file;
    struct tls_certificate_facts facts;
    int64_t left_s;
    bool is_ending;
};

/* Number `index` of the certificates, that of section tls first; false when it cannot be read. */
static bool certificate_at(const struct tls_config *tls, size_t index, struct shown *shown)
{
    const struct certificate_config *other = index > 0 ? &tls->others[index - 1] : NULL;
    const char *pem = other ? other->pem.certificate : tls->pem.certificate;

    if (!pem || !tls_certificate_describe(pem, &shown->facts))
        return false;
    shown->file = other ? other->certificate_file : tls->certificate_file;
    shown->left_s = shown->facts.expires_s - clock_wall_ms() / 1000;
    shown->is_ending =
        tls->expiry_warning_days > 0 && shown->left_s < (int64_t)tls->expiry_warning_days * DAY_S;
    return true;
}

json_t *certificate_rows(const struct tls_config *tls)
{
    json_t *rows = json_array();

    for (size_t i = 0; i <= tls->other_count; i++) {
        struct shown shown;

        if (certificate_at(tls, i, &shown))
            json_array_append_new(
                rows, json_pack("{s:s, s:I, s:s, s:I, s:b}", "name", shown.facts.name, "names",
                                (json_int_t)shown.facts.name_count, "file", shown.file, "left_s",
                                (json_int_t)shown.left_s, "is_ending", shown.is_ending));
    }
    return rows;
}

static void certificate_watch_look(struct deadline *deadline)
{
    struct certificate_watch *watch = CONTAINER_OF(deadline, struct certificate_watch, deadline);

    for (size_t i = 0; i <= watch->tls->other_count; i++) {
        struct shown shown;

        if (certificate_at(watch->tls, i, &shown) && shown.is_ending)
            LOG_EVENT(shown.left_s < 0 ? LOG_LEVEL_ERROR : LOG_LEVEL_WARNING, NULL,
                      "certificate_ends", LOG_TEXT("name", shown.facts.name),
                      LOG_TEXT("file", shown.file), LOG_INTEGER("days", shown.left_s / DAY_S),
                      LOG_TEXT("has_ended", shown.left_s < 0 ? "yes" : "no"));
    }
    deadline_set(deadline, WATCH_INTERVAL_MS);
}

void certificate_watch_start(struct certificate_watch *watch, struct io_loop *loop,
                             const struct tls_config *tls)
{
    watch->tls = tls;
    deadline_init(&watch->deadline, loop, certificate_watch_look);
    certificate_watch_look(&watch->deadline);
}

static void certificate_watch_closed(struct deadline *deadline)
{
    (void)deadline; /* its memory is the owner's */
}

void certificate_watch_stop(struct certificate_watch *watch)
{
    deadline_close(&watch->deadline, certificate_watch_closed);
}
