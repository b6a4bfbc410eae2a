/* SPDX-License-Identifier: Apache-2.0 */
#include "common/service/backend_set.h"

#include <stdlib.h>

#include "common/base/memory.h"

struct backend_member {
    struct map_node node; /* in by_name */
    struct backend backend;
    bool is_kept; /* while the set is updated */
};

static struct backend_member *set_find_member(const struct backend_set *set, const char *name)
{
    struct map_node *node = map_find(&set->by_name, span_from_string(name));

    return node ? CONTAINER_OF(node, struct backend_member, node) : NULL;
}

static void set_add(struct backend_set *set, const struct backend *backend)
{
    struct backend_member *member = memory_new(sizeof(*member));

    member->backend = *backend;
    member->backend.id = ++set->last_id;
    member->backend.key = backend_key(backend);
    member->is_kept = true;
    set->members = memory_resize(set->members, (set->count + 1) * sizeof(set->members[0]));
    set->members[set->count++] = member;
    map_insert(&set->by_name, &member->node, span_from_string(member->backend.name));
}

/* Gives a member other values under its name; true when they are others. */
static bool set_change(struct backend_member *member, const struct backend *backend)
{
    unsigned id = member->backend.id;

    member->is_kept = true;
    if (backend_equals(&member->backend, backend))
        return false;
    member->backend = *backend; /* the name, which is the key in the map, stays where it is */
    member->backend.id = id;
    member->backend.key = backend_key(backend);
    return true;
}

/* Takes those out that were not kept; true when there are any. */
static bool set_sweep(struct backend_set *set)
{
    size_t kept = 0;

    for (size_t i = 0; i < set->count; i++) {
        struct backend_member *member = set->members[i];

        if (member->is_kept) {
            set->members[kept++] = member;
            continue;
        }
        map_remove(&set->by_name, &member->node);
        free(member);
    }
    if (kept == set->count)
        return false;
    set->count = kept;
    return true;
}

void backend_set_init(struct backend_set *set, const struct config *config)
{
    struct backend backend;

    *set = (struct backend_set){ .config = config };
    map_init(&set->by_name);
    for (size_t i = 0; i < config->cluster.backend_count; i++) {
        backend_from_config(&config->cluster.backends[i], &backend);
        set_add(set, &backend);
    }
}

void backend_set_fini(struct backend_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        free(set->members[i]);
    free(set->members);
    map_fini(&set->by_name);
    *set = (struct backend_set){ .config = NULL };
}

/* True when the set is another then. */
static bool set_put(struct backend_set *set, const struct backend *listed)
{
    struct backend_member *member = set_find_member(set, listed->name);
    struct backend backend = *listed;

    if ((member && member->is_kept) || !backend_make_tls_name(set->config, &backend))
        return false;
    if (member)
        return set_change(member, &backend);
    set_add(set, &backend);
    return true;
}

bool backend_set_update(struct backend_set *set, const struct backend *listed, size_t count)
{
    bool has_changed = false;

    for (size_t i = 0; i < set->count; i++)
        set->members[i]->is_kept = !set->members[i]->backend.is_from_directory;
    for (size_t i = 0; i < count; i++)
        has_changed |= set_put(set, &listed[i]);
    return set_sweep(set) || has_changed;
}

bool backend_set_update_packed(struct backend_set *set, struct span list, bool *has_changed)
{
    struct backend *backends = memory_new(BACKENDS_MAX * sizeof(*backends));
    struct wire_reader reader = wire_reader_over(list);
    size_t count = 0;

    while (reader.rest.length > 0 && count < BACKENDS_MAX)
        backend_get(&reader, &backends[count++]);
    if (wire_reader_is_complete(&reader))
        *has_changed = backend_set_update(set, backends, count);
    free(backends);
    return wire_reader_is_complete(&reader);
}

const struct backend *backend_set_find(const struct backend_set *set, const char *name)
{
    const struct backend_member *member = set_find_member(set, name);

    return member ? &member->backend : NULL;
}

const struct backend *backend_set_by_id(const struct backend_set *set, unsigned id)
{
    for (size_t i = 0; i < set->count; i++)
        if (set->members[i]->backend.id == id)
            return &set->members[i]->backend;
    return NULL;
}

const struct backend *backend_set_at(const struct backend_set *set, size_t index)
{
    return &set->members[index]->backend;
}
