/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backends that there are now, as one process knows them: those of the configuration, and
 * those that the directory lists and the configuration does not name.
 *
 * They join, change and leave while the process runs.  What lives longer than a call therefore
 * keeps a backend's id and copies of what it needs, never a pointer: an id is never given to
 * another backend, and that of one that has left leads to nothing.  A backend keeps its id as long
 * as its name is in the set.
 */
#ifndef MAILSTEAD_SERVICE_BACKEND_SET_H
#define MAILSTEAD_SERVICE_BACKEND_SET_H

#include "common/base/map.h"
#include "common/service/backend.h"

struct backend_set {
    const struct config *config;
    struct backend_member *
        *members; /* owned, as are the elements; the configuration's come first */
    size_t count;
    struct map by_name;
    unsigned last_id;
};

/* The backends of `config`, which is borrowed. */
void backend_set_init(struct backend_set *set, const struct config *config);
void backend_set_fini(struct backend_set *set);

/*
 * The directory lists exactly these now.  One whose name the configuration has, or a name that
 * came before, is left out.  True when anything is different; pointers that were given before are
 * then of no use.
 */
bool backend_set_update(struct backend_set *set, const struct backend *listed, size_t count);

/*
 * As a list that the mirror keeps says, each by backend_put.  False, and the set as it was, when
 * it is malformed; `*has_changed` as backend_set_update.
 */
bool backend_set_update_packed(struct backend_set *set, struct span list, bool *has_changed)
    __attribute__((warn_unused_result));

/* Each is valid until the next update. */
const struct backend *backend_set_find(const struct backend_set *set, const char *name);
const struct backend *backend_set_by_id(const struct backend_set *set, unsigned id);
const struct backend *backend_set_at(const struct backend_set *set, size_t index);

#endif
