/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The entries are records in a list, oldest first; which backends there are follows from it anew
 * after each turn that changed something (backend_apply).  A record outlives its entry until it is
 * decided that the backend may go.
 *
 * It never ends the link: that is the accounts'.  A search that fails is begun again later.
 */
#include "directory/backend_follower.h"

#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/base/random.h"
#include "directory/backend_entry.h"
#include "directory/host_census.h"

enum {
    BACKEND_RETRY_MS = 10000,    /* after a search that failed */
    BACKEND_CONFIRM_MS = 800,    /* after a change was told: it may have been undone */
    BACKEND_REFRESH_MS = 600000, /* whatever else was told wrong is corrected so */
    BACKEND_HELD_MS = 5000,      /* between looks whether what is held may go ... */
    BACKEND_HELD_SHARE = 50,     /* ... and so many times as long as a look takes */
    BACKEND_TROUBLE_SIZE = 256
};

/* An entry, or one that was. */
struct backend_record {
    struct list node;
    struct backend backend;
    bool is_seen;   /* in the refresh */
    bool is_gone;   /* the entry is; the backend still counts */
    bool is_double; /* an older record has the name */
};

struct backend_follower {
    struct io_loop *loop;
    const struct config *config;
    struct mirror_writer *writer;
    const struct backend_follower_events *events;
    void *context;
    struct list records;
    size_t count;
    struct backend_set set;
    struct ldap_link *link; /* NULL: none */
    int search;             /* 0: none */
    bool is_refreshing, is_synchronised, is_held;
    uv_timer_t search_timer; /* the next search */
    uv_timer_t grace_timer;  /* the decision about what is gone */
    unsigned open_handles;
    struct io_resumption apply;
    struct host_census census; /* of the accounts, when something is gone */
    uint64_t census_ms;        /* when it began */
    char trouble[BACKEND_TROUBLE_SIZE];
};

static void backend_search(struct backend_follower *follower);
static void backend_search_after(struct backend_follower *follower, uint64_t delay_ms);

/* --- records ------------------------------------------------------------------------ */

static struct backend_record *record_of(struct list *node)
{
    return LIST_ELEMENT(node, struct backend_record, node);
}

static struct backend_record *record_find(const struct backend_follower *follower,
                                          const unsigned char *uuid)
{
    LIST_EACH (node, &follower->records)
        if (memcmp(record_of(node)->backend.entry_uuid, uuid, SYNC_UUID_SIZE) == 0)
            return record_of(node);
    return NULL;
}

static struct backend_record *record_add(struct backend_follower *follower,
                                         const struct backend *backend)
{
    struct backend_record *record = memory_new(sizeof(*record));

    record->backend = *backend;
    list_append(&follower->records, &record->node);
    follower->count++;
    return record;
}

static void record_free(struct backend_follower *follower, struct backend_record *record)
{
    list_remove(&record->node);
    follower->count--;
    free(record);
}

/* A record with the name of `record` that comes before it, or, gone itself, one that is there. */
static bool record_is_replaced(const struct backend_follower *follower,
                               const struct backend_record *record)
{
    bool is_before = true;

    LIST_EACH (node, &follower->records) {
        const struct backend_record *other = record_of(node);

        if (other == record)
            is_before = false;
        else if (strcmp(other->backend.name, record->backend.name) == 0 &&
                 (record->is_gone ? !other->is_gone || is_before : is_before && !other->is_gone))
            return true;
    }
    return false;
}

/* --- what there is ------------------------------------------------------------------- */

static void backend_note_double(const struct backend_follower *follower,
                                struct backend_record *record, bool is_double)
{
    if (follower->is_refreshing)
        return; /* the older one may be gone */
    if (is_double && !record->is_double)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "backend_ignored",
                  LOG_TEXT("backend", record->backend.name),
                  LOG_TEXT("why", "an older entry has its name"));
    record->is_double = is_double;
}

/* Packs the backends that count, and frees the records of those that went and came again. */
static void backend_pack(struct backend_follower *follower, struct bytes *list)
{
    char memory[BACKEND_WIRE_MAX];

    LIST_EACH (node, &follower->records) {
        struct backend_record *record = record_of(node);
        struct buffer packed = buffer_over(memory, sizeof(memory));
        bool is_replaced = record_is_replaced(follower, record);

        if (is_replaced && record->is_gone) {
            record_free(follower, record);
            continue;
        }
        backend_note_double(follower, record, is_replaced);
        backend_put(&packed, &record->backend);
        if (!is_replaced && !bytes_append(list, buffer_span(&packed)))
            abort(); /* the limit is that of the count */
    }
}

static bool backend_is_written(struct backend_follower *follower, struct span list)
{
    struct bytes written = bytes_empty(BACKENDS_LIST_MAX);
    bool is_known = mirror_writer_read_backends(follower->writer, &written);
    bool is_same = is_known ? span_equals(bytes_span(&written), list) : list.length == 0;

    bytes_release(&written);
    return is_same;
}

/* Makes mirror and set what the records say. */
static void backend_apply(struct backend_follower *follower)
{
    struct bytes list = bytes_empty(BACKENDS_LIST_MAX);
    bool has_changed = false, is_committed;

    backend_pack(follower, &list);
    if (!backend_set_update_packed(&follower->set, bytes_span(&list), &has_changed))
        abort(); /* we have packed it */
    if (backend_is_written(follower, bytes_span(&list))) {
        bytes_release(&list);
        return;
    }
    mirror_writer_put_backends(follower->writer, bytes_span(&list));
    bytes_release(&list);
    is_committed = mirror_writer_commit(follower->writer, NULL);
    if (is_committed)
        follower->events->changed(follower->context);
    else
        follower->events->failed(follower->context);
}

static void backend_on_apply(struct io_resumption *resumption)
{
    backend_apply(CONTAINER_OF(resumption, struct backend_follower, apply));
}

static void backend_apply_later(struct backend_follower *follower)
{
    io_loop_resume(follower->loop, &follower->apply);
}

static void backend_load(struct backend_follower *follower)
{
    struct bytes list = bytes_empty(BACKENDS_LIST_MAX);
    struct wire_reader reader;
    struct backend backend;

    if (!mirror_writer_read_backends(follower->writer, &list))
        return;
    reader = wire_reader_over(bytes_span(&list));
    while (follower->config->directory.backend_base && reader.rest.length > 0 &&
           follower->count < BACKENDS_MAX) {
        backend_get(&reader, &backend);
        if (!reader.failed)
            record_add(follower, &backend);
    }
    bytes_release(&list);
}

/* --- what is gone -------------------------------------------------------------------- */

/* Counts those that still have their entry, and those that have not. */
static void backend_count(const struct backend_follower *follower, size_t *there, size_t *gone)
{
    *there = *gone = 0;
    LIST_EACH (node, &follower->records)
        if (record_of(node)->is_gone)
            ++*gone;
        else
            ++*there;
}

static bool backend_has_accounts(const struct backend_follower *follower,
                                 const struct backend_record *record)
{
    return host_census_has(&follower->census, record->backend.name);
}

static bool backend_is_missed(const struct backend_follower *follower)
{
    LIST_EACH (node, &follower->records)
        if (record_of(node)->is_gone && backend_has_accounts(follower, record_of(node)))
            return true;
    return false;
}

static void backend_hold(struct backend_follower *follower, size_t gone, size_t there)
{
    if (!follower->is_held)
        LOG_EVENT(LOG_LEVEL_ERROR, NULL, "backends_doubtful", LOG_INTEGER("gone", (int64_t)gone),
                  LOG_INTEGER("left", (int64_t)there));
    follower->is_held = true;
    snprintf(
        follower->trouble, sizeof(follower->trouble),
        "%zu of %zu backends are gone from the directory, and accounts are still on them: held",
        gone, gone + there);
}

static void backend_drop_gone(struct backend_follower *follower)
{
    LIST_EACH (node, &follower->records) {
        struct backend_record *record = record_of(node);

        if (!record->is_gone)
            continue;
        if (backend_has_accounts(follower, record))
            LOG_EVENT(LOG_LEVEL_WARNING, NULL, "backend_missed",
                      LOG_TEXT("backend", record->backend.name));
        else
            LOG_EVENT(LOG_LEVEL_INFO, NULL, "backend_removed",
                      LOG_TEXT("backend", record->backend.name));
        record_free(follower, record);
    }
}

static void backend_release_hold(struct backend_follower *follower)
{
    if (follower->is_held)
        follower->trouble[0] = '\0';
    follower->is_held = false;
}

static void backend_on_grace(uv_timer_t *timer);

/* Decides about what is gone, once it is known who has accounts. */
static void backend_on_census(void *context)
{
    struct backend_follower *follower = context;
    uint64_t taken_ms = clock_monotonic_ms() - follower->census_ms;
    size_t there, gone;

    if (uv_is_active((uv_handle_t *)&follower->grace_timer))
        return;              /* something else went meanwhile: once more, when it is quiet */
    backend_apply(follower); /* frees what came again */
    backend_count(follower, &there, &gone);
    if (gone > 0 && (there == 0 || gone > there) && backend_is_missed(follower)) {
        backend_hold(follower, gone, there);
        uv_timer_start(&follower->grace_timer, backend_on_grace,
                       BACKEND_HELD_MS + BACKEND_HELD_SHARE * taken_ms, 0);
        return;
    }
    backend_release_hold(follower);
    backend_drop_gone(follower);
    backend_apply(follower);
}

static void backend_on_grace(uv_timer_t *timer)
{
    struct backend_follower *follower = timer->data;

    follower->census_ms = clock_monotonic_ms();
    host_census_start(&follower->census);
}

static void backend_decide_later(struct backend_follower *follower)
{
    uv_timer_start(&follower->grace_timer, backend_on_grace, BACKEND_GRACE_MS, 0);
}

static void record_lose(struct backend_follower *follower, struct backend_record *record)
{
    record->is_gone = true;
    backend_decide_later(follower);
}

/* --- what the search shows; while something is held, perhaps nothing is to be any more -------- */

static void record_see(struct backend_follower *follower, struct backend_record *record)
{
    record->is_seen = true;
    if (!record->is_gone)
        return;
    record->is_gone = false;
    backend_apply_later(follower);
    if (follower->is_held)
        backend_decide_later(follower);
}

static void backend_tell(const struct backend_follower *follower, const struct backend *backend,
                         const char *dn)
{
    const struct backend *known = backend_set_find(&follower->set, backend->name);
    bool is_overridden = known && !known->is_from_directory;

    LOG_EVENT(LOG_LEVEL_INFO, NULL, "backend_listed", LOG_TEXT("backend", backend->name),
              LOG_TEXT("address", backend->addresses[0]),
              LOG_TEXT("state", backend_state_names[backend->state]), LOG_TEXT("dn", dn),
              LOG_TEXT("used", is_overridden ? "no, the configuration has its name" : "yes"));
}

static void backend_ignore(const char *dn, const char *why)
{
    LOG_EVENT(LOG_LEVEL_WARNING, NULL, "backend_ignored", LOG_TEXT("dn", dn), LOG_TEXT("why", why));
}

/* An entry with another name is another backend: the one before is gone. */
static void record_rename(struct backend_follower *follower, struct backend_record *record)
{
    memset(record->backend.entry_uuid, 0, sizeof(record->backend.entry_uuid));
    record_lose(follower, record);
}

static void backend_take(struct backend_follower *follower, const struct ldap_entry *entry,
                         const struct backend *backend)
{
    struct backend_record *record = record_find(follower, backend->entry_uuid);

    if (record && strcmp(record->backend.name, backend->name) != 0) {
        record_rename(follower, record);
        record = NULL;
    }
    if (record) {
        record_see(follower, record);
        if (backend_equals(&record->backend, backend))
            return;
        record->backend = *backend;
    } else if (follower->count >= BACKENDS_MAX) {
        backend_ignore(entry->dn, "there are too many");
        return;
    } else {
        record_add(follower, backend)->is_seen = true;
        if (follower->is_held)
            backend_decide_later(follower);
    }
    backend_tell(follower, backend, entry->dn);
    backend_apply_later(follower);
}

/* OpenLDAP tells changes before it commits them; what a refresh shows is committed. */
static void backend_confirm_later(struct backend_follower *follower)
{
    if (!follower->is_refreshing)
        backend_search_after(follower, BACKEND_CONFIRM_MS);
}

static void backend_on_entry(void *context, const struct ldap_entry *entry)
{
    struct backend_follower *follower = context;
    struct backend_record *record = record_find(follower, entry->sync->uuid);
    struct backend backend;
    char why[BACKEND_WHY_SIZE];

    if (entry->sync->state == SYNC_STATE_DELETE) {
        if (record)
            record_lose(follower, record);
    } else if (entry->sync->state == SYNC_STATE_PRESENT) {
        if (record)
            record_see(follower, record);
    } else if (backend_entry_read(&follower->config->directory, entry, &backend, why)) {
        backend_take(follower, entry, &backend);
    } else {
        backend_ignore(entry->dn, why);
        if (record)
            record_see(follower, record);
    }
    backend_confirm_later(follower);
}

static void backend_take_ids(struct backend_follower *follower,
                             const struct sync_notice_value *notice)
{
    struct span ids = notice->ids;
    const unsigned char *uuid;

    while ((uuid = sync_next_id(&ids))) {
        struct backend_record *record = record_find(follower, uuid);

        if (record && notice->is_deleted)
            record_lose(follower, record);
        else if (record)
            record_see(follower, record);
    }
}

static void backend_finish_refresh(struct backend_follower *follower)
{
    follower->is_refreshing = false;
    follower->is_synchronised = true;
    if (!follower->is_held)
        follower->trouble[0] = '\0';
    LIST_EACH (node, &follower->records)
        if (!record_of(node)->is_seen && !record_of(node)->is_gone)
            record_lose(follower, record_of(node));
    backend_apply_later(follower);
}

static void backend_on_notice(void *context, const struct sync_notice_value *notice)
{
    struct backend_follower *follower = context;

    if (notice->notice == SYNC_NOTICE_IDS) {
        backend_take_ids(follower, notice);
        backend_confirm_later(follower);
    }
    if ((notice->notice == SYNC_NOTICE_REFRESH_PRESENT ||
         notice->notice == SYNC_NOTICE_REFRESH_DELETE) &&
        notice->is_refresh_done && follower->is_refreshing)
        backend_finish_refresh(follower);
}

/* --- the search -------------------------------------------------------------------------- */

static void backend_on_search_time(uv_timer_t *timer)
{
    struct backend_follower *follower = timer->data;

    ldap_link_abandon(follower->link, follower->search);
    backend_search(follower);
}

static void backend_search_after(struct backend_follower *follower, uint64_t delay_ms)
{
    uv_timer_start(&follower->search_timer, backend_on_search_time,
                   delay_ms / 2 + random_below(delay_ms / 2), 0);
}

/* A persistent search ends only when something is wrong: nothing changes. */
static void backend_on_done(void *context, const struct ldap_answer *answer)
{
    struct backend_follower *follower = context;

    if (answer->code == LDAP_CODE_LOST)
        return; /* the link ends */
    follower->search = 0;
    follower->is_synchronised = false;
    snprintf(follower->trouble, sizeof(follower->trouble), "%s",
             *answer->text ? answer->text : "the server ended the search");
    LOG_EVENT(LOG_LEVEL_WARNING, NULL, "backends_unread",
              LOG_TEXT("base", follower->config->directory.backend_base),
              LOG_TEXT("reason", follower->trouble));
    backend_search_after(follower, BACKEND_RETRY_MS);
}

static void backend_search(struct backend_follower *follower)
{
    static const struct ldap_search_events events = {
        .entry = backend_on_entry,
        .notice = backend_on_notice,
        .done = backend_on_done,
    };
    const struct directory_config *config = &follower->config->directory;
    const char *attributes[BACKEND_ATTRIBUTES_MAX];
    const struct ldap_search search = {
        .base = config->backend_base,
        .scope = LDAP_SCOPE_OF_SUBTREE,
        .filter = config->backend_filter,
        .attributes = attributes,
        .is_synchronised = true,
    };

    backend_entry_attributes(config, attributes);
    LIST_EACH (node, &follower->records)
        record_of(node)->is_seen = false;
    follower->is_refreshing = true;
    follower->search = ldap_link_search(follower->link, &search, &events, follower);
    backend_search_after(follower, BACKEND_REFRESH_MS);
}

void backend_follower_use(struct backend_follower *follower, struct ldap_link *link)
{
    if (!follower->config->directory.backend_base || link == follower->link)
        return;
    follower->link = link;
    follower->search = 0;
    follower->is_synchronised = false;
    uv_timer_stop(&follower->search_timer);
    if (link)
        backend_search(follower);
    else
        backend_apply_later(follower); /* the mirror may have been lost with the link */
}

/* --- life ---------------------------------------------------------------------------------- */

struct backend_follower *backend_follower_start(struct io_loop *loop, const struct config *config,
                                                struct mirror_writer *writer,
                                                const struct backend_follower_events *events,
                                                void *context)
{
    struct backend_follower *follower = memory_new(sizeof(*follower));

    follower->loop = loop;
    follower->config = config;
    follower->writer = writer;
    follower->events = events;
    follower->context = context;
    follower->open_handles = 2;
    list_init(&follower->records);
    backend_set_init(&follower->set, config);
    io_resumption_init(&follower->apply, backend_on_apply);
    host_census_init(&follower->census, loop, writer, backend_on_census, follower);
    uv_timer_init(&loop->uv, &follower->search_timer);
    uv_timer_init(&loop->uv, &follower->grace_timer);
    follower->search_timer.data = follower->grace_timer.data = follower;
    backend_load(follower);
    backend_apply_later(follower);
    return follower;
}

static void backend_on_closed(uv_handle_t *handle)
{
    struct backend_follower *follower = handle->data;

    if (--follower->open_handles > 0)
        return;
    LIST_EACH (node, &follower->records)
        record_free(follower, record_of(node));
    backend_set_fini(&follower->set);
    free(follower);
}

void backend_follower_stop(struct backend_follower *follower)
{
    if (follower->link)
        ldap_link_abandon(follower->link, follower->search);
    io_resumption_cancel(&follower->apply);
    host_census_fini(&follower->census);
    uv_close((uv_handle_t *)&follower->search_timer, backend_on_closed);
    uv_close((uv_handle_t *)&follower->grace_timer, backend_on_closed);
}

const struct backend_set *backend_follower_set(const struct backend_follower *follower)
{
    return &follower->set;
}

struct backend_follower_status backend_follower_status(const struct backend_follower *follower)
{
    return (struct backend_follower_status){ follower->is_synchronised, follower->trouble };
}
