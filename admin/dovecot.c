/* SPDX-License-Identifier: Apache-2.0 */
/* It asks nobody and changes nothing but the files that it is told to write. */
#include "admin/dovecot.h"

#include <stdlib.h>
#include <string.h>

#include "admin/daemon.h"
#include "admin/dovecot_text.h"

static enum command_status refuse(const char *text)
{
    fprintf(stderr, "mailstead dovecot-config: %s\n", text);
    return COMMAND_FAILED;
}

/* A name that is part of paths and of Dovecot's own syntax. */
static bool is_plain(const char *name)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

    return name && *name && *name != '.' && strspn(name, plain) == strlen(name);
}

static bool has_store(const struct config *config)
{
    for (size_t i = 0; i < dovecot_service_count; i++)
        if (*node_config_store(&config->node, dovecot_services[i].protocol)->host)
            return true;
    return false;
}

/* A PROXY header at a unix socket is unknown to Dovecot, and its file would be refused. */
static bool has_header_at_socket(const struct config *config)
{
    const struct node_config *node = &config->node;

    return node->pass_client == PASS_CLIENT_PROXY &&
           (node->imap_store.is_unix || node->pop3_store.is_unix || node->sieve_store.is_unix);
}

/* What no Dovecot can be made of; NULL: all is there. */
static const char *trouble_with(const struct config *config, const struct dovecot_plan *plan)
{
    if (!is_plain(config->node.name))
        return "node.name: is missing, or has more than letters, digits, dots, hyphens and "
               "underscores; the configuration of a backend node is wanted";
    if (!has_store(config))
        return "node: has none of lmtp_store, imap_store, pop3_store and sieve_store";
    if (has_header_at_socket(config))
        return "node.pass_client: is proxy, which Dovecot takes at ports alone; imap_store, "
               "pop3_store "
               "and sieve_store must not be unix sockets";
    if (!config->directory.uri.count || !config->directory.base)
        return "directory: uri and base are missing";
    if (!plan->mail_directory || *plan->mail_directory != '/')
        return "--mail-directory: wants an absolute path, as storage.directory";
    return NULL;
}

static enum command_status compose(const struct dovecot_plan *plan, bool is_24,
                                   const char *write_folder)
{
    enum command_status status = COMMAND_OK;
    char error[DOVECOT_ERROR_SIZE];
    struct dovecot_files files;

    dovecot_files_init(&files);
    if (is_24)
        dovecot_compose_24(plan, &files);
    else
        dovecot_compose_23(plan, &files);
    for (size_t i = 0; i < files.count; i++)
        if (files.files[i].is_overfull)
            status = refuse("the configuration is too large");
    if (status == COMMAND_OK && !write_folder)
        dovecot_files_print(&files, stdout);
    else if (status == COMMAND_OK && !dovecot_files_write(&files, write_folder, error))
        status = refuse(error);
    dovecot_files_fini(&files);
    return status;
}

enum command_status dovecot_config_run(const struct arguments *arguments)
{
    const char *version = arguments->dovecot_version ? arguments->dovecot_version : "2.3";
    struct config *config = daemon_config(arguments, true);
    struct dovecot_plan plan = { .config = config };
    char *folder = NULL;
    enum command_status status = COMMAND_FAILED;
    const char *trouble;

    if (!config)
        return COMMAND_FAILED;
    plan.is_shared = arguments->mail_directory || config->storage.kind == STORAGE_SHARED;
    plan.mail_directory = arguments->mail_directory ? arguments->mail_directory
                          : plan.is_shared          ? config->storage.directory
                                                    : config->dovecot.mail_directory;
    folder = arguments->write_folder ? realpath(arguments->write_folder, NULL) : NULL;
    plan.folder = folder                    ? folder
                  : arguments->write_folder ? arguments->write_folder
                                            : "/etc/dovecot";
    trouble = trouble_with(config, &plan);
    if (!trouble && *plan.folder != '/')
        trouble = "--write: the folder is not there; name it by an absolute path to have it made";
    if (!trouble && strcmp(version, "2.3") != 0 && strcmp(version, "2.4") != 0)
        trouble = "--dovecot-version: is 2.3 or 2.4";
    status = trouble ? refuse(trouble)
                     : compose(&plan, strcmp(version, "2.4") == 0, arguments->write_folder);
    free(folder);
    config_free(config);
    return status;
}
