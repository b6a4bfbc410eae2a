/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/storage.h"

#include "admin/node.h"
#include "admin/output.h"

enum { STORAGE_SESSIONS_S = 10 /* the node waits so long for sessions, if nothing is said */ };

/* The order is about the server that the command line names. */
static enum command_status storage_give_order(const struct arguments *arguments,
                                              const char *command)
{
    unsigned deadline_s = arguments->deadline_s > 0 ? arguments->deadline_s : STORAGE_SESSIONS_S;
    json_t *answer =
        node_order(arguments,
                   json_pack("{s:s, s:s, s:b, s:b, s:i}", "command", command, "server",
                             arguments->words[0], "fenced", arguments->is_fenced, "force",
                             arguments->is_yes, "deadline_s", (int)deadline_s),
                   deadline_s);

    if (!answer)
        return COMMAND_FAILED;
    if (arguments->is_json)
        print_json_line(answer);
    else
        printf("the storage of %s: %s\n", json_text(answer, "server"), json_text(answer, "state"));
    json_decref(answer);
    return COMMAND_OK;
}

enum command_status storage_attach_run(const struct arguments *arguments)
{
    return storage_give_order(arguments, "storage-attach");
}

enum command_status storage_release_run(const struct arguments *arguments)
{
    return storage_give_order(arguments, "storage-release");
}

enum command_status storage_init_run(const struct arguments *arguments)
{
    return storage_give_order(arguments, "storage-init");
}

enum command_status storage_status_run(const struct arguments *arguments)
{
    json_t *status = node_ask_status(arguments);
    json_t *storages = json_object_get(status, "storages");

    if (!status)
        return COMMAND_FAILED;
    if (arguments->is_json)
        print_json(storages);
    else
        node_print_storages(storages);
    json_decref(status);
    return COMMAND_OK;
}
