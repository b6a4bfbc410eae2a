/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's parts, and what flows between them: workers tell what was touched, the census what
 * there is; the ledger has it, the scheduler does it, the teller says so to the other side.
 *
 * What is written goes to disk together, a moment later, and only then the workers may forget it.
 * When it cannot be written they tell it again, and nothing is synchronised meanwhile.
 */
#include "backend/replica/process.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "backend/replica/census.h"
#include "backend/replica/orders.h"
#include "backend/replica/server.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/io/deadline.h"

enum {
    REPLICA_COMMIT_MS = 20,
    REPLICA_PAUSE_MS = 5000,   /* when it cannot be written */
    REPLICA_FAREWELL_MS = 1500 /* workers end at the same time, and have something to tell */
};

struct replica {
    struct child *child;
    struct ledger *ledger;
    struct resolver resolver;
    struct scheduler *scheduler;
    struct teller *teller;
    struct census census;
    struct replica_server *server;
    struct orders orders;
    struct control_client *control;
    struct deadline commit, farewell;
    unsigned open_parts;
    bool is_stopping, is_whole;
};

/* --- what flows ---------------------------------------------------------------------------- */

static void replica_commit(struct deadline *deadline)
{
    struct replica *replica = CONTAINER_OF(deadline, struct replica, commit);

    if (!replica->ledger)
        return;
    if (ledger_commit(replica->ledger)) {
        if (replica->server)
            replica_server_noted(replica->server);
        return;
    }
    scheduler_pause(replica->scheduler, REPLICA_PAUSE_MS);
    if (replica->server)
        replica_server_reset(replica->server);
}

static void replica_on_wrote(void *context)
{
    deadline_set(&((struct replica *)context)->commit, REPLICA_COMMIT_MS);
}

static void replica_on_touched(void *context, enum route_key key, const char *name)
{
    struct replica *replica = context;
    struct route route;

    resolver_look_up(&replica->resolver, key, name, &route);
    if (route.outcome == ROUTE_FOUND)
        scheduler_touch(replica->scheduler, route.account);
    else if (route.outcome == ROUTE_UNAVAILABLE || route.outcome == ROUTE_MISCONFIGURED)
        scheduler_touch(replica->scheduler, name); /* the scheduler looks again later */
    teller_changed(replica->teller);
}

static void replica_on_missed(void *context, const char *why)
{
    struct replica *replica = context;

    if (replica->is_stopping)
        return;
    scheduler_doubt_all(replica->scheduler, why);
    teller_changed(replica->teller);
}

static void replica_on_ended(void *context, const struct ledger_row *row, bool was_known)
{
    struct replica *replica = context;

    teller_changed(replica->teller);
    if (!was_known)
        teller_knows(replica->teller, ledger_bucket(row->account));
}

/* One that was away may have been synchronised before, which the other side then does not know. */
static void replica_on_added(void *context, const char *account)
{
    struct replica *replica = context;

    scheduler_wake(replica->scheduler);
    teller_changed(replica->teller);
    teller_knows(replica->teller, ledger_bucket(account));
}

static void replica_on_account_changed(struct resolver *resolver, struct span account,
                                       struct span host)
{
    struct replica *replica = CONTAINER_OF(resolver, struct replica, resolver);
    const char *own = replica->child->config->node.name;
    char name[ROUTE_ADDRESS_SIZE];

    if (replica->is_stopping)
        return;
    if (!account.data)
        census_restart(&replica->census);
    else if (span_equals(host, span_from_string(own)) &&
             span_copy_string(account, name, sizeof(name)) &&
             ledger_add(replica->ledger, name, clock_wall_ms()))
        replica_on_added(replica, name);
}

/* --- the end ------------------------------------------------------------------------------- */

static void replica_close_deadlines(struct replica *replica);

static void replica_part_stopped(void *context)
{
    struct replica *replica = context;

    if (--replica->open_parts == 0)
        replica_close_deadlines(replica);
}

static void replica_resolver_stopped(struct resolver *resolver)
{
    replica_part_stopped(CONTAINER_OF(resolver, struct replica, resolver));
}

static void replica_farewell_closed(struct deadline *deadline)
{
    io_loop_stop(&CONTAINER_OF(deadline, struct replica, farewell)->child->loop);
}

static void replica_commit_closed(struct deadline *deadline)
{
    struct replica *replica = CONTAINER_OF(deadline, struct replica, commit);

    deadline_close(&replica->farewell, replica_farewell_closed);
}

static void replica_close_deadlines(struct replica *replica)
{
    deadline_close(&replica->commit, replica_commit_closed);
}

static void replica_stop_parts(struct replica *replica)
{
    replica->is_whole = replica_server_peers(replica->server) == 0;
    if (ledger_commit(replica->ledger))
        replica_server_noted(replica->server);
    replica->is_stopping = true;
    replica->open_parts = 6;
    orders_stop(&replica->orders, replica_part_stopped, replica);
    control_client_stop(replica->control);
    census_stop(&replica->census, replica_part_stopped);
    replica_server_stop(replica->server);
    replica->server = NULL;
    scheduler_stop(replica->scheduler, replica_part_stopped);
    teller_stop(replica->teller, replica_part_stopped, replica);
    resolver_stop(&replica->resolver, replica_resolver_stopped);
}

/* Until the workers have said what they have to say. */
static void replica_say_farewell(struct deadline *deadline)
{
    struct replica *replica = CONTAINER_OF(deadline, struct replica, farewell);

    if (!replica->is_stopping)
        replica_stop_parts(replica);
}

static void replica_child_stop(struct child *child)
{
    struct replica *replica = child->context;

    deadline_set(&replica->farewell,
                 replica_server_peers(replica->server) > 0 ? REPLICA_FAREWELL_MS : 0);
}

/* --- the start ------------------------------------------------------------------------------ */

/* The same in each process of this run of the daemon, and in no other. */
static void replica_name_run(const struct child *child, char run[128])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    char boot[64];
    ssize_t length = fd >= 0 ? read(fd, boot, 36) : -1;

    if (fd >= 0)
        close(fd);
    snprintf(run, 128, "%.*s/%ju", length > 0 ? (int)length : 0, boot,
             (uintmax_t)atomic_load(&child->board->started_ms));
}

static bool replica_start(struct replica *replica)
{
    static const struct scheduler_events scheduler_events = { .ended = replica_on_ended };
    static const struct replica_server_events server_events = {
        .touched = replica_on_touched,
        .missed = replica_on_missed,
        .stopped = replica_part_stopped,
    };
    struct child *child = replica->child;
    struct io_loop *loop = &child->loop;

    replica->scheduler = scheduler_start(loop, child->config, replica->ledger, &replica->resolver,
                                         &scheduler_events, replica);
    replica->teller = teller_start(loop, child->config, replica->ledger);
    if (!replica->scheduler || !replica->teller)
        return false; /* the process ends: nothing of it has begun */
    resolver_start(&replica->resolver, loop, child->config, replica_on_account_changed);
    replica->resolver.board = child->board;
    replica->server = replica_server_start(loop, child->service_fd, &server_events, replica);
    census_start(&replica->census, loop, &replica->resolver, replica->ledger,
                 child->config->node.name, replica_on_added, replica);
    replica->orders = (struct orders){ .child = child,
                                       .ledger = replica->ledger,
                                       .scheduler = replica->scheduler,
                                       .teller = replica->teller,
                                       .resolver = &replica->resolver };
    orders_start(&replica->orders);
    replica->control = control_client_start(child, orders_commands, &replica->orders);
    child->context = replica;
    child->stop = replica_child_stop;
    return true;
}

bool replica_is_wanted(const struct config *config)
{
    return config_has_replica(config);
}

bool replica_run(struct child *child)
{
    struct replica replica = { .child = child };
    char run[128];

    replica_name_run(child, run);
    replica.ledger = ledger_open(child->config->state_directory, run, replica_on_wrote, &replica);
    if (!replica.ledger)
        return false;
    deadline_init(&replica.commit, &child->loop, replica_commit);
    deadline_init(&replica.farewell, &child->loop, replica_say_farewell);
    if (!replica_start(&replica)) {
        ledger_close(replica.ledger, false);
        return false;
    }
    child_run_loop(child);
    ledger_close(replica.ledger, replica.is_whole);
    return true;
}
