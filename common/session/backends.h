/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The backends as sessions see them: the set of those that there are, and this daemon's shared
 * view of whether each is reachable.  A backend is down after several failures in a row, of
 * probes or of real connections, and up again after good probes; or because it is ordered so.
 */
#ifndef MAILSTEAD_SESSION_BACKENDS_H
#define MAILSTEAD_SESSION_BACKENDS_H

#include "common/service/backend_set.h"
#include "common/service/board.h"
#include "directory/mirror.h"

struct backends {
    struct backend_set set;
    struct board *board;
    bool is_node; /* a backend node: its sessions go to its own store alone, whose id is 0 */
};

/* Both are borrowed.  For what the mirror has of the directory's: backends_read. */
void backends_init(struct backends *backends, const struct config *config, struct board *board);
void backends_fini(struct backends *backends);

/*
 * Takes in what the mirror says that the directory lists, if the configuration wants it.  False,
 * and the set as it was, when it cannot be read now; `*has_changed`: it is another.
 */
bool backends_read(struct backends *backends, struct mirror *mirror, bool *has_changed)
    __attribute__((warn_unused_result));

/* The backend called `name`, or NULL; valid until the set is updated. */
const struct backend *backends_find(const struct backends *backends, const char *name);

/* False only when it is known, or ordered, to be down. */
bool backends_is_up(const struct backends *backends, const struct backend *backend,
                    enum protocol protocol);

/*
 * Asks, just before it is done, whether something new may begin at the backend with this id: a
 * login, a delivery, a question about a recipient.  True is counted.  False: it is up again since a
 * moment, and enough was begun there for now; to be asked again a quarter of a second later.
 * `has_waited`: a login that was held, be it for this backend or for the one that its account was
 * on: these come as a crowd, and are let through at a pace of their own when the backend was up all
 * the time.  Of 0, and of one that has left, always true.
 */
bool backends_may_begin(const struct backends *backends, unsigned id, enum protocol protocol,
                        bool has_waited) __attribute__((warn_unused_result));

/*
 * What a backend says that it offers for a protocol, in the bits of common/proto/offers.h.  It
 * outlives the backend's failures.  Of 0, a node's own store: known to the node's processes alone.
 */
void backends_learn_offers(const struct backends *backends, unsigned id, enum protocol protocol,
                           uint64_t offers);

/* What a backend is known to offer; 0 when nothing is known of it. */
uint64_t backends_offers(const struct backends *backends, unsigned id, enum protocol protocol);

/*
 * What all of which something is known have in common: a node's own store, else the backends that
 * are not ordered to be down.  0 when nothing is known of any.  Looks at all of them.
 */
uint64_t backends_common_offers(const struct backends *backends, enum protocol protocol);

/* Nothing is known of its health for this protocol any more. */
void backends_forget(const struct backends *backends, const struct backend *backend,
                     enum protocol protocol);

/*
 * Tells how a connection of the session `session_id`, or a probe (NULL), to the backend with this
 * id ended; 0, and one that has left, is ignored.  A good connection of a session ends a row of
 * failures; only good probes bring a backend up that is down, and
 * twice as many when it went down again soon after that: probes may not see what sessions meet.  A
 * session's failure counts only once in a row: what one session meets again and again may be its
 * own account's trouble.
 */
void backends_report(const struct backends *backends, unsigned id, enum protocol protocol,
                     bool is_good, const char *session_id);

#endif
