/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must be known before a failover or failback begins: who is who by the configuration, whose
 * mail is where by the directory (which can be written to, or nothing is begun), and what
 * earlier runs have left by their journal.
 */
#include "admin/failover_command.h"

#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/backend_list.h"
#include "admin/daemon.h"
#include "admin/failover_run.h"
#include "admin/output.h"
#include "common/base/clock.h"
#include "common/base/memory.h"
#include "directory/host_counts.h"
#include "directory/ldap_filter.h"

enum { SEARCH_FILTER_SIZE = 8192 };

/* Names with an owner. */
struct name_list {
    const char **items;
    size_t count;
};

struct task {
    const struct arguments *arguments;
    struct config *config;
    struct backend_set backends;
    struct reach reach;
    struct host_counts counts; /* of the accounts that say whose storage is where */
    struct name_list holders, storages;
    struct failover_order order;
    struct failover_run run;
};

static void complain(const char *text)
{
    fputs("mailstead: ", stderr);
    print_harmless(stderr, text);
    fputc('\n', stderr);
}

/* --- what the directory says --------------------------------------------------------------- */

static void append_equals(struct buffer *filter, const char *attribute, const char *value)
{
    buffer_append_format(filter, "(%s=", attribute);
    ldap_escape(filter, span_from_string(value));
    buffer_append_byte(filter, ')');
}

/*
 * Accounts on the backend whose mail is on another's storage, and accounts elsewhere whose mail is
 * on its own: the few that say which storages go together.
 */
static bool write_filter(const struct directory_config *names, const char *backend,
                         char text[SEARCH_FILTER_SIZE])
{
    struct buffer filter = buffer_over(text, SEARCH_FILTER_SIZE);
    const char *host = names->host_attribute, *old_host = names->old_host_attribute;

    buffer_append_string(&filter, "(|(&");
    append_equals(&filter, host, backend);
    buffer_append_format(&filter, "(%s=*)(!", old_host);
    append_equals(&filter, old_host, backend);
    buffer_append_string(&filter, "))(&");
    append_equals(&filter, old_host, backend);
    buffer_append_string(&filter, "(!");
    append_equals(&filter, host, backend);
    buffer_append_string(&filter, ")))");
    buffer_append_byte(&filter, '\0');
    return !filter.overflowed;
}

static bool read_directory(struct task *task)
{
    char filter[SEARCH_FILTER_SIZE], error[HOST_COUNTS_ERROR_SIZE];
    char text[HOST_COUNTS_ERROR_SIZE + 128];

    if (!write_filter(&task->config->directory, task->order.backend, filter)) {
        complain("the backend's name is too long for a search");
        return false;
    }
    if (host_counts_read_directory(task->config, filter, &task->counts, error))
        return true;
    snprintf(text, sizeof(text),
             "the directory cannot be read: %s; it says whose mail is where, and nothing was done",
             error);
    complain(text);
    return false;
}

/* --- names ------------------------------------------------------------------------------------ */

/* Each once. */
static void add_name(struct name_list *list, const char *name)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], name) == 0)
            return;
    list->items = memory_resize(list->items, (list->count + 1) * sizeof(*list->items));
    list->items[list->count++] = name;
}

static struct failover_names names_of(const struct name_list *list)
{
    return (struct failover_names){ list->items, list->count };
}

/* Storages of servers that are no backends by now are storages all the same. */
static void take_counts(struct task *task)
{
    const char *backend = task->order.backend;

    add_name(&task->storages, backend);
    for (size_t i = 0; i < task->counts.count; i++) {
        const struct host_count *pair = &task->counts.items[i];

        if (strcmp(pair->host, backend) == 0 && *pair->old_host)
            add_name(&task->storages, pair->old_host);
        else if (strcmp(pair->old_host, backend) == 0 &&
                 backend_set_find(&task->backends, pair->host))
            add_name(&task->holders, pair->host);
    }
}

static struct failover_names siblings_of(const struct config *config, const char *name)
{
    const struct backend_config *backend = config_backend(config, name);

    if (!backend)
        return (struct failover_names){ .count = 0 };
    return (struct failover_names){ (const char *const *)backend->siblings.items,
                                    backend->siblings.count };
}

/* --- the journal --------------------------------------------------------------------------------
 */

static const char *user_name(void)
{
    const char *sudo = getenv("SUDO_USER");
    const struct passwd *user = sudo ? NULL : getpwuid(getuid());

    return sudo ? sudo : user ? user->pw_name : "?";
}

static enum command_status open_journal(struct task *task)
{
    const struct arguments *arguments = task->arguments;
    const char *folder =
        arguments->journal ? arguments->journal : task->config->admin.journal_directory;
    enum failover_journal_trouble trouble;
    char error[REASSIGN_ERROR_SIZE];

    task->run.journal = failover_journal_open(folder, task->order.backend, &trouble, error);
    if (task->run.journal)
        return COMMAND_OK;
    complain(error);
    return trouble == FAILOVER_JOURNAL_LOCKED ? COMMAND_CONTENDED : COMMAND_FAILED;
}

static enum command_status begin_journal(struct task *task)
{
    const struct failover_order *order = &task->order;
    char error[REASSIGN_ERROR_SIZE];

    if (order->kind == FAILOVER_HOME)
        for (size_t i = 0; i < task->holders.count; i++)
            if (!failover_journal_hold(task->run.journal, task->holders.items[i], error)) {
                complain(error);
                return COMMAND_CONTENDED;
            }
    if (failover_journal_write(task->run.journal,
                               json_pack("{s:s, s:I, s:s, s:o, s:b, s:i, s:o}", "event", "run",
                                         "time", (json_int_t)(clock_wall_ms() / 1000), "command",
                                         order->kind == FAILOVER_HOME ? "failback" : "failover",
                                         "backend", json_any_text(order->backend), "planned",
                                         order->is_planned, "pid", (int)getpid(), "by",
                                         json_any_text(user_name())),
                               error))
        return COMMAND_OK;
    complain(error);
    return COMMAND_FAILED;
}

/* --- all of it ----------------------------------------------------------------------------------
 */

static bool look_at_words(const struct task *task)
{
    const struct arguments *arguments = task->arguments;
    const char *to = arguments->to;

    if (!backend_list_find(&task->backends, task->order.backend) ||
        (to && !backend_list_find(&task->backends, to)))
        return false;
    for (size_t i = 0; i < arguments->off.count; i++)
        if (!backend_list_find(&task->backends, arguments->off.items[i]))
            return false;
    if (to && strcmp(to, task->order.backend) == 0) {
        complain("--to is the backend itself");
        return false;
    }
    if (!task->config->admin.write_uri) {
        complain("there is no admin.write_uri; expected the LDAP server to write to");
        return false;
    }
    return true;
}

static void make_order(struct task *task)
{
    const struct arguments *arguments = task->arguments;
    struct failover_order *order = &task->order;
    const char *prior = failover_journal_prior(task->run.journal);

    take_counts(task);
    /* Nobody may have had an account there, and still it has the storage. */
    if (order->kind == FAILOVER_HOME && prior && backend_set_find(&task->backends, prior))
        add_name(&task->holders, prior);
    order->holders = names_of(&task->holders);
    order->storages = names_of(&task->storages);
    order->off = (struct failover_names){ arguments->off.items, arguments->off.count };
    order->siblings = siblings_of(task->config, order->backend);
    order->to = arguments->to;
    order->prior = prior;
    order->is_planned = arguments->is_planned;
    order->has_fence = task->config->admin.fence_hook != NULL;
    order->accepts_behind = arguments->accepts_behind;
}

static enum command_status run_task(struct task *task)
{
    enum command_status status;

    if (!look_at_words(task))
        return COMMAND_FAILED;
    status = open_journal(task);
    if (status != COMMAND_OK)
        return status;
    if (!read_directory(task))
        return COMMAND_FAILED;
    make_order(task);
    status = begin_journal(task);
    return status == COMMAND_OK ? failover_run(&task->run, &task->order) : status;
}

static enum command_status run_command(const struct arguments *arguments, enum failover_kind kind)
{
    struct task task = { .arguments = arguments, .config = daemon_config(arguments, true) };
    enum command_status status;

    if (!task.config)
        return COMMAND_FAILED;
    failover_view_init(&task.run.view, arguments->is_json);
    backend_list_load(task.config, &task.backends);
    reach_init(&task.reach, task.config);
    task.order = (struct failover_order){ .kind = kind, .backend = arguments->words[0] };
    task.run.arguments = arguments;
    task.run.config = task.config;
    task.run.backends = &task.backends;
    task.run.reach = &task.reach;
    status = run_task(&task);
    if (task.run.journal)
        failover_journal_close(task.run.journal);
    free(task.holders.items);
    free(task.storages.items);
    host_counts_fini(&task.counts);
    reach_fini(&task.reach);
    backend_set_fini(&task.backends);
    config_free(task.config);
    return status;
}

enum command_status failover_run_command(const struct arguments *arguments)
{
    return run_command(arguments, FAILOVER_AWAY);
}

enum command_status failback_run_command(const struct arguments *arguments)
{
    return run_command(arguments, FAILOVER_HOME);
}
