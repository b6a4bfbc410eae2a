/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's parts, and what flows between them: the follower changes the mirror, the
 * mirror's writer tells what changed, the server tells the other processes, the board shows
 * how far it has come.
 *
 * Nothing here stops mail: while this process is gone workers read the mirror as it is.
 */
#include "directory/process.h"

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/service/control.h"
#include "common/service/metrics.h"
#include "common/service/supervisor.h"
#include "directory/account.h"
#include "directory/backend_follower.h"
#include "directory/backend_status.h"
#include "directory/binder.h"
#include "directory/confirm.h"
#include "directory/follower.h"
#include "directory/lookup.h"
#include "directory/mirror.h"
#include "directory/mirror_check.h"
#include "directory/mirror_commands.h"
#include "directory/mirror_writer.h"
#include "directory/server.h"

struct directory {
    struct child *child;
    struct account_reader *reader;
    struct mirror_writer *writer;
    struct mirror *mirror; /* for lookups, as a worker has one */
    struct follower *follower;
    struct backend_follower *backends;
    struct confirm *confirm;
    struct binder *binder;
    struct directory_server *server;
    struct control_client *control;
    struct mirror_check *check;
    struct mirror_commands mirror_commands;
};

/* --- what flows ---------------------------------------------------------------------- */

/* Before a change is told: who sees the same revision on the board has missed none. */
static void directory_show_revision(struct directory *directory, uint64_t revision)
{
    atomic_store(&directory->child->board->mirror_revision, revision);
}

static void directory_on_changed(void *context, uint64_t revision, struct span account,
                                 struct span host)
{
    struct directory *directory = context;

    directory_show_revision(directory, revision);
    if (directory->server)
        directory_server_tell_changed(directory->server, revision, account, host);
}

static void directory_on_changed_many(void *context, uint64_t revision)
{
    struct directory *directory = context;

    directory_show_revision(directory, revision);
    if (directory->server)
        directory_server_tell_many(directory->server, revision);
}

static const struct mirror_writer_events directory_writer_events = {
    .changed = directory_on_changed,
    .changed_many = directory_on_changed_many,
};

static void directory_show(struct directory *directory)
{
    struct board *board = directory->child->board;

    directory_show_revision(directory, mirror_writer_revision(directory->writer));
    atomic_store(&board->mirror_entries, mirror_writer_entries(directory->writer));
}

/* Remembers since when what is in the mirror may be out of date. */
static void directory_show_age(struct board *board, bool is_current)
{
    uint64_t current = 0;

    if (is_current)
        atomic_store(&board->mirror_stale_since_ms, 0);
    else if (atomic_load(&board->mirror_is_synchronised))
        (void)atomic_compare_exchange_strong(&board->mirror_stale_since_ms, &current,
                                             clock_monotonic_ms());
}

static void directory_on_status(void *context)
{
    struct directory *directory = context;
    struct board *board = directory->child->board;
    struct follower_status status = follower_status(directory->follower);

    directory_show(directory);
    atomic_store(&board->directory_is_connected, status.is_connected);
    directory_show_age(board, status.is_connected && status.is_synchronised);
    if (status
            .is_synchronised) /* once since the daemon's start; another process of ours may have */
        atomic_store(&board->mirror_is_synchronised, 1);
}

static void directory_on_damaged(void *context)
{
    struct directory *directory = context;

    follower_rebuild(directory->follower);
}

/* A backend node knows no backend but itself. */
static bool directory_is_node(const struct directory *directory)
{
    const struct supervisor_program *program = directory->child->program;

    return program && program->program == CONFIG_BACKEND;
}

static void directory_on_link(void *context, struct ldap_link *link)
{
    backend_follower_use(((struct directory *)context)->backends, link);
}

static void directory_on_backends(void *context)
{
    struct directory *directory = context;

    directory_show(directory);
    if (directory->server)
        directory_server_tell_backends(directory->server);
}

static void directory_on_failed(void *context)
{
    follower_mirror_failed(((struct directory *)context)->follower);
}

static const struct backend_follower_events directory_backend_events = {
    .changed = directory_on_backends,
    .failed = directory_on_failed,
};

static const char *directory_followed_uri(void *context)
{
    struct directory *directory = context;

    return follower_status(directory->follower).uri;
}

/* --- control commands -------------------------------------------------------------------- */

static void directory_run_lookup(struct control_request *request, json_t *arguments, void *context)
{
    struct directory *directory = context;
    struct lookup_sources sources = {
        directory->child->config, directory->mirror, directory->confirm,
        directory_is_node(directory) ? NULL : backend_follower_set(directory->backends)
    };

    lookup_answer(&sources, request, arguments);
}

static void directory_run_status(struct control_request *request, json_t *arguments, void *context)
{
    struct directory *directory = context;
    struct follower_status status = follower_status(directory->follower);
    struct backend_follower_status backends = backend_follower_status(directory->backends);
    json_t *answer = json_pack(
        "{s:s, s:s, s:b, s:b, s:b, s:I, s:I, s:s, s:i, s:s}", "state", status.state, "uri",
        status.uri, "connected", status.is_connected, "synchronised", status.is_synchronised,
        "serves", mirror_writer_is_filled(directory->writer), "revision",
        (json_int_t)mirror_writer_revision(directory->writer), "accounts",
        (json_int_t)mirror_writer_entries(directory->writer), "trouble", status.trouble, "peers",
        (int)directory_server_peers(directory->server), "backends_trouble", backends.trouble);

    (void)arguments;
    mirror_commands_add_status(&directory->mirror_commands, answer);
    control_reply(request, answer);
    control_finish(request, NULL);
}

static void directory_run_backends(struct control_request *request, json_t *arguments,
                                   void *context)
{
    struct directory *directory = context;
    const struct backend_set *set = backend_follower_set(directory->backends);

    (void)arguments;
    for (size_t i = 0; i < set->count; i++)
        control_reply(request, backend_status(backend_set_at(set, i), directory->child->board,
                                              &directory->child->config->health));
    control_finish(request, NULL);
}

static void directory_reply_sample(json_t *sample, void *context)
{
    control_reply(context, sample);
}

static void directory_run_metrics(struct control_request *request, json_t *arguments, void *context)
{
    struct directory *directory = context;
    const struct backend_set *set = backend_follower_set(directory->backends);

    (void)arguments;
    control_reply(request, METRICS_SAMPLE("mailstead_mirror_held_accounts",
                                          (double)mirror_writer_held(directory->writer), NULL));
    for (size_t i = 0; i < set->count; i++)
        backend_metrics(backend_set_at(set, i), directory->child->board,
                        &directory->child->config->health, directory_reply_sample, request);
    control_finish(request, NULL);
}

#define MIRROR_COMMAND(name)                                                                       \
    static void directory_run_mirror_##name(struct control_request *request, json_t *arguments,    \
                                            void *context)                                         \
    {                                                                                              \
        struct directory *directory = context;                                                     \
                                                                                                   \
        (void)arguments;                                                                           \
        mirror_commands_##name(&directory->mirror_commands, request);                              \
    }
MIRROR_COMMAND(held)
MIRROR_COMMAND(hosts)
MIRROR_COMMAND(accept)
MIRROR_COMMAND(discard)
MIRROR_COMMAND(verify)

static const struct control_command directory_commands[] = {
    { "backends", directory_run_backends },
    { "metrics", directory_run_metrics },
    { "lookup", directory_run_lookup },
    { "directory-status", directory_run_status },
    { "mirror-held", directory_run_mirror_held },
    { "mirror-hosts", directory_run_mirror_hosts },
    { "mirror-accept", directory_run_mirror_accept },
    { "mirror-discard", directory_run_mirror_discard },
    { "mirror-verify", directory_run_mirror_verify },
    { NULL, NULL },
};

/* --- the process ------------------------------------------------------------------------- */

static void directory_start(struct directory *directory)
{
    struct child *child = directory->child;
    const struct directory_config *config = &child->config->directory;

    if (config->backend_base && config->unverified_backends)
        LOG_EVENT(LOG_LEVEL_WARNING, NULL, "backends_unverified",
                  LOG_TEXT("base", config->backend_base));
    directory->mirror = mirror_open(child->config->state_directory);
    directory->follower = follower_start(&child->loop, config, directory->reader, directory->writer,
                                         directory_on_status, directory);
    directory->mirror_commands = (struct mirror_commands){ .loop = &child->loop,
                                                           .follower = directory->follower,
                                                           .writer = directory->writer };
    directory->backends = backend_follower_start(&child->loop, child->config, directory->writer,
                                                 &directory_backend_events, directory);
    if (!directory_is_node(directory))
        follower_lend(directory->follower, directory_on_link);
    directory->confirm =
        confirm_start(&child->loop, child->config, directory_followed_uri, directory);
    directory->binder =
        binder_start(&child->loop, child->config, directory_followed_uri, directory);
    directory->server =
        directory_server_start(&child->loop, child->service_fd, directory->confirm,
                               directory->binder, mirror_writer_revision(directory->writer));
    directory->control = control_client_start(child, directory_commands, directory);
    directory->check = mirror_check_start(&child->loop, child->config->state_directory,
                                          directory_on_damaged, directory);
    directory_show(directory);
}

static void directory_finish(struct directory *directory)
{
    mirror_check_stop(directory->check);
    confirm_stop(directory->confirm);
    binder_stop(directory->binder);
    directory_server_stop(directory->server);
    mirror_commands_stop(&directory->mirror_commands);
    follower_stop(directory->follower); /* a comparison that runs answers who asked for it */
    control_client_stop(directory->control);
    backend_follower_stop(directory->backends);
    mirror_close(directory->mirror);
    mirror_writer_close(directory->writer);
    account_reader_free(directory->reader);
    atomic_store(&directory->child->board->directory_is_connected, 0);
    directory_show_age(directory->child->board, false);
}

bool directory_run(struct child *child)
{
    struct directory directory = { .child = child };
    const struct config *config = child->config;

    directory.reader = account_reader_new(&config->directory);
    directory.writer = mirror_writer_open(config->state_directory, account_source(directory.reader),
                                          &directory_writer_events, &directory);
    if (!directory.writer) {
        account_reader_free(directory.reader);
        return false;
    }
    child->context = &directory;
    directory_start(&directory);
    child_run_loop(child);
    directory_finish(&directory);
    child->context = NULL;
    return true;
}
