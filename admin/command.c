/* SPDX-License-Identifier: Apache-2.0 */
/* The table of subcommands, and the way from a command line to one of its rows. */
#include "admin/command.h"

#include <jansson.h>
#include <string.h>

#include "admin/block.h"
#include "admin/check.h"
#include "admin/dovecot.h"
#include "admin/failover_command.h"
#include "admin/lookup.h"
#include "admin/mirror.h"
#include "admin/move.h"
#include "admin/node.h"
#include "admin/options.h"
#include "admin/plan.h"
#include "admin/queue.h"
#include "admin/queue_orders.h"
#include "admin/replica.h"
#include "admin/serving.h"
#include "admin/sessions.h"
#include "admin/status.h"
#include "admin/storage.h"
#include "common/base/log.h"
#include "common/base/memory.h"
#include "common/service/logical_host.h"

const struct command commands[] = {
    { .name = "status",
      .words = "",
      .options = OPTION_CHECK | OPTIONS_NODES,
      .summary = "what all nodes do, or one of them, and what is wrong",
      .help =
          "A line for each frontend and backend that can be asked, the health of the backends,\n"
          "and the storages.  Of one alone, by --node or --local: its processes, sessions,\n"
          "mirror of the directory, queue, and the backends as it sees them.\n",
      .run = status_run },
    { .name = "probe",
      .words = "",
      .summary = "whether the daemon of this machine serves, for cluster managers",
      .help = "Asks on its control socket and reads the greeting of each listener, within three\n"
              "seconds; the exit status is 0 when all of them answered.\n",
      .run = serving_run },
    { .name = "lookup",
      .words = "ADDRESS",
      .words_min = 1,
      .words_max = 1,
      .options = OPTION_LOGIN | OPTION_WHY | OPTION_NODE,
      .summary = "where an address or a login name is routed",
      .help = "Asks the daemon of this machine as a session would: from its mirror, and for what\n"
              "the mirror does not have from the directory itself.\n",
      .run = lookup_run },
    { .name = "who",
      .words = "",
      .options = OPTION_WHOSE | OPTION_BACKEND | OPTION_SESSION | OPTIONS_NODES,
      .summary = "the sessions of all frontends",
      .help = "A line for each session, of all workers.  All that is said of them must be true.\n"
              "A backend's own are shown with --node.\n",
      .run = who_run },
    { .name = "kick",
      .words = "",
      .options = OPTION_WHOSE | OPTION_BACKEND | OPTION_SESSION | OPTIONS_NODES,
      .summary = "end sessions of all frontends",
      .help = "All that is said of them must be true.  Many go one after the other, as fast as\n"
              "limits.disconnects_per_second allows; their clients may log in again at once.\n",
      .run = kick_run },
    { .name = "drain",
      .words = "",
      .options = OPTION_DEADLINE | OPTION_UNDO | OPTIONS_NODES | OPTION_ALL,
      .summary = "take no more connections on this machine, or others, and let sessions go",
      .help = "Who connects is refused, as balancers and clients with another address understand\n"
              "it.  Sessions go when they are silent, mail sessions between two messages; at the\n"
              "deadline, timeouts.drain_s unless one is given, the rest is closed.  It holds until\n"
              "--undo or a restart of the daemon.  Mail that waits in the queue is delivered.\n"
              "Without --node it is this machine; --all is every frontend.\n",
      .run = drain_run },
    { .name = "node status",
      .words = "",
      .options = OPTION_NODE,
      .summary = "what the backend node of this machine does, and its storages",
      .help = "Whether it waits for the directory, serves, leaves or has left; which storages are\n"
              "attached; whether its mail store takes connections.\n",
      .run = node_status_run },
    { .name = "node leave",
      .words = "",
      .options = OPTION_DEADLINE | OPTION_NODE,
      .summary = "have this backend node let everything go",
      .help = "It serves nothing more, its sessions end, at the deadline (10 s) in any case, its\n"
              "mail store is stopped (storage.stop_hook), its storages are released.  It is\n"
              "remembered over restarts, until \"mailstead node return\".\n",
      .run = node_leave_run },
    { .name = "node return",
      .words = "",
      .options = OPTION_NODE,
      .summary = "have this backend node serve again after it left",
      .help = "Its mail store is started (storage.start_hook) and its own storage attached.\n",
      .run = node_return_run },
    { .name = "node override",
      .words = "",
      .options = OPTION_UNDO | OPTION_NODE,
      .summary = "serve before the directory has been reached since the start",
      .help = "For a start of everything without a directory.  It is served what this machine\n"
              "knew last: be sure that none of its accounts were moved meanwhile.  It ends by\n"
              "itself as soon as the directory is reached, and with the daemon.\n",
      .run = node_override_run },
    { .name = "storage status",
      .words = "",
      .options = OPTION_NODE,
      .summary = "the storages of this backend node",
      .help = "A line for each: whose it is, its state, since when, and what is wrong.\n",
      .run = storage_status_run },
    { .name = "storage attach",
      .words = "SERVER",
      .words_min = 1,
      .words_max = 1,
      .options = OPTION_FENCED | OPTION_NODE,
      .summary = "attach the storage of a server to this node",
      .help =
          "Brings it here (storage.attach_hook), makes sure that it is SERVER's, and claims it.\n"
          "What another node has claimed is refused, unless --fenced says that this node is\n"
          "off: if it is not, both will write to it.\n",
      .run = storage_attach_run },
    { .name = "storage release",
      .words = "SERVER",
      .words_min = 1,
      .words_max = 1,
      .options = OPTION_DEADLINE | OPTION_YES | OPTION_NODE,
      .summary = "give up the storage of a server, so that another node may have it",
      .help =
          "Its accounts are refused temporarily from then on, and their sessions end.  If some "
          "are\n"
          "left after --deadline, 10 s unless given, it fails and the node keeps the storage,\n"
          "unserved.  With --yes it is given up all the same: the mail store may still write.\n",
      .run = storage_release_run },
    { .name = "storage init",
      .words = "SERVER",
      .words_min = 1,
      .words_max = 1,
      .options = OPTION_NODE,
      .summary = "say that a folder is the storage of a server, the first time",
      .help =
          "Makes the marker in storage.directory/SERVER, and attaches the storage.  A folder that\n"
          "has another server's marker is refused.\n",
      .run = storage_init_run },
    { .name = "replica status",
      .words = "",
      .options = OPTION_BACKEND | OPTION_SERVER | OPTION_BEHIND,
      .summary = "how the copies of a backend's accounts stand",
      .help = "Of this machine's backend, or that of --backend.  With --server it is what that\n"
              "backend told of its accounts' copies here, which can be asked when it is off.\n",
      .run = replica_status_run },
    { .name = "replica sync",
      .words = "[ACCOUNT]",
      .words_max = 1,
      .options = OPTION_BACKEND | OPTION_SERVER | OPTION_ALL,
      .summary = "copy an account, or all that are not clean, now",
      .help = "Ends when they are clean, or some cannot be: replica status --behind says why.\n"
              "With --server only those whose copies that backend has.\n",
      .run = replica_sync_run },
    { .name = "block list",
      .words = "",
      .options = OPTIONS_NODES,
      .summary = "who is refused logins after too many wrong passwords",
      .help = "A line for each account and network, or network alone.  An account is refused from\n"
              "that network only; a network but for accounts that have logged in from there.\n",
      .run = block_list_run },
    { .name = "block clear",
      .words = "",
      .options = OPTION_WHOSE | OPTION_ALL | OPTIONS_NODES,
      .summary = "lift blocks, and forget the wrong passwords behind them",
      .help = "Those of an account, of networks that an address or network touches, of both\n"
              "together; --all is every one; at all frontends without --node and --local.\n",
      .run = block_clear_run },
    { .name = "queue list",
      .words = "[ID...]",
      .words_max = COMMAND_WORDS_MAX,
      .options = OPTIONS_QUEUE | OPTION_LIMIT | OPTION_NODE,
      .summary = "the messages that wait on this frontend",
      .help = "The oldest first.  All that is said of them must be true.\n",
      .run = queue_list_run },
    { .name = "queue show",
      .words = "ID",
      .words_min = 1,
      .words_max = 1,
      .options = OPTION_NODE,
      .summary = "one message of the queue with all its recipients",
      .help = "ID is as \"mailstead queue list\" shows it.\n",
      .run = queue_show_run },
    { .name = "queue stat",
      .words = "",
      .options = OPTION_NODE,
      .summary = "how much waits, and for which backend",
      .help = "Counts, and a line for each backend that mail waits for.\n",
      .run = queue_stat_run },
    { .name = "queue hold",
      .words = "[ID...]",
      .words_max = COMMAND_WORDS_MAX,
      .options = OPTIONS_QUEUE | OPTION_ALL | OPTION_DRY_RUN | OPTION_NODE,
      .summary = "keep messages from being tried until they are released",
      .help = "What is held does not expire.  Name messages, or say which; --all is everything.\n",
      .run = queue_hold_run },
    { .name = "queue release",
      .words = "[ID...]",
      .words_max = COMMAND_WORDS_MAX,
      .options = OPTIONS_QUEUE | OPTION_ALL | OPTION_DRY_RUN | OPTION_NODE,
      .summary = "let go what was held or set aside",
      .help = "It is tried at once.  Name messages, or say which; --all is everything.\n",
      .run = queue_release_run },
    { .name = "queue flush",
      .words = "[ID...]",
      .words_max = COMMAND_WORDS_MAX,
      .options = OPTIONS_QUEUE | OPTION_ALL | OPTION_UNKNOWN | OPTION_DRY_RUN | OPTION_NODE,
      .summary = "try now what waits: some messages, or everything",
      .help = "Makes recipients due now; without a choice, all.  Those whose last reply was lost\n"
              "wait on, unless --unknown is given: their backend may have the message already.\n",
      .run = queue_flush_run },
    { .name = "queue delete",
      .words = "[ID...]",
      .words_max = COMMAND_WORDS_MAX,
      .options = OPTIONS_QUEUE | OPTION_ALL | OPTION_DRY_RUN | OPTION_NODE,
      .summary = "take messages out of the queue; nobody is told",
      .help = "This destroys mail.  What is being delivered at the moment is left alone.  Name\n"
              "messages, or say which; --all is everything.\n",
      .run = queue_delete_run },
    { .name = "queue bounce",
      .words = "[ID...]",
      .words_max = COMMAND_WORDS_MAX,
      .options = OPTIONS_QUEUE | OPTION_ALL | OPTION_DRY_RUN | OPTION_NODE,
      .summary = "give messages up and tell their senders",
      .help = "What is being delivered at the moment is left alone.  Name messages, or say which;\n"
              "--all is everything.\n",
      .run = queue_bounce_run },
    { .name = "queue adopt",
      .words = "DIRECTORY",
      .words_min = 1,
      .words_max = 1,
      .options = OPTION_NODE,
      .summary = "take over what waits in the queue of a frontend that is dead",
      .help =
          "DIRECTORY is that frontend's queue.directory, here.  Its messages are moved into this\n"
          "frontend's queue, each exactly once: run it again if it was interrupted.  The other\n"
          "queue is marked, and its daemon does not use it again until the file \"adopted\" in\n"
          "it is removed.\n",
      .run = queue_adopt_run },
    { .name = "mirror status",
      .words = "",
      .options = OPTION_NODE,
      .summary = "how far this machine's copy of the directory has come, and what is held",
      .help = "Held are accounts that a reading of the directory did not show although unusually\n"
              "many of their domain would go with them.  They are routed as they were.\n",
      .run = mirror_status_run },
    { .name = "mirror accept",
      .words = "",
      .options = OPTION_NODE,
      .summary = "the held accounts really are gone: remove them from the mirror",
      .help = "See \"mailstead mirror status\" first.  It is this machine's mirror alone.\n",
      .run = mirror_accept_run },
    { .name = "mirror discard",
      .words = "",
      .options = OPTION_NODE,
      .summary = "the directory is wrong about the held accounts: keep them, end the alarm",
      .help = "They are routed as they were until the directory shows or deletes them.  Then the\n"
              "whole directory is read again to find those that it shows by now.\n",
      .run = mirror_discard_run },
    { .name = "mirror verify",
      .words = "",
      .options = OPTION_NODE,
      .summary = "compare the mirror with the directory now, and correct it",
      .help = "What differs is read again singly before it is changed.  Accounts that are missing\n"
              "in unusual numbers are held, not removed.\n",
      .run = mirror_verify_run },
    { .name = "plan",
      .words = "",
      .options = OPTION_CHECK,
      .summary = "who takes over whom, what is away from home, what a failure would cost",
      .help = "For each backend its siblings, its accounts and its state as the frontends see it;\n"
              "who would carry its accounts if it failed now, and which second failure would cost\n"
              "most.  Nothing is changed.\n",
      .run = plan_run },
    { .name = "failover",
      .words = "BACKEND",
      .words_min = 1,
      .words_max = 1,
      .options = OPTION_TO | OPTION_PLANNED | OPTION_ACCEPT | OPTION_OFF | OPTION_DEADLINE |
                 OPTION_RATE | OPTION_JOURNAL,
      .summary = "have a sibling serve the accounts of a backend that failed, or is to rest",
      .help =
          "The backend lets go (it acknowledges that, or is fenced, or is said to be off), the\n"
          "sibling attaches its storage, the accounts are rewritten, and who has followed is\n"
          "shown.  Without --to it is the first of its siblings that can.  It can be stopped or\n"
          "killed, and run again: it goes on.\n",
      .run = failover_run_command },
    { .name = "failback",
      .words = "BACKEND",
      .words_min = 1,
      .words_max = 1,
      .options = OPTION_ACCEPT | OPTION_OFF | OPTION_RATE | OPTION_JOURNAL,
      .summary = "have a backend serve its accounts again after a failover",
      .help =
          "Who has its storage releases it, the backend attaches it and returns, its accounts\n"
          "are rewritten, and who has followed is shown.  It can be stopped or killed, and run\n"
          "again: it goes on.\n",
      .run = failback_run_command },
    { .name = "reassign",
      .words = "",
      .options = OPTION_FROM | OPTION_TO | OPTION_PERMANENT | OPTIONS_MOVE,
      .required = OPTION_FROM | OPTION_TO,
      .summary = "give the accounts of a backend that is off to a sibling",
      .help = "Sets hostServer to the new backend and oldHostServer to the old one, in every\n"
              "account of the old one.  It can be stopped and run again: what is done is kept.\n"
              "Refused while the old backend still answers, or when the new one does not.\n"
              "What is changed is written down in a journal, which the result names.\n",
      .run = reassign_run_command },
    { .name = "restore",
      .words = "BACKEND",
      .words_min = 1,
      .words_max = 1,
      .options = OPTIONS_MOVE,
      .summary = "give a backend the accounts back that were reassigned from it",
      .help = "Every account whose oldHostServer is BACKEND goes back to it.  It can be stopped\n"
              "and run again.  Refused when BACKEND does not answer.\n"
              "What is changed is written down in a journal, which the result names.\n",
      .run = restore_run_command },
    { .name = "dovecot-config",
      .words = "",
      .options = OPTION_DOVECOT,
      .summary = "write the configuration of the Dovecot behind this node",
      .help = "Makes it of the sections node, directory and dovecot, to standard output or into\n"
              "files of a folder.  Dovecot then refuses by itself what this node does not own.\n"
              "A file local.conf in that folder is read last, for what a site wants otherwise.\n",
      .run = dovecot_config_run },
    { .name = "check",
      .words = "",
      .options = OPTION_PROGRAM | OPTION_OFFLINE,
      .summary = "whether the configuration is right",
      .help =
          "Reads the configuration and the files that it names, as a daemon would at its\n"
          "start.  Run it as root, or it cannot read the secrets.  Without --program a file\n"
          "with a section \"node\" is taken for mailstead-backend's.  Asks the directory about\n"
          "its schema and rights, a backend's mail store how it behaves, and looks at addresses,\n"
          "folders and storage of this machine; nothing is changed by that.\n",
      .run = check_run },
};
const size_t command_count = ARRAY_LENGTH(commands);

/* Whether `name` is `first`, or `first` and another word. */
static bool starts_with_word(const char *name, const char *first)
{
    size_t length = strlen(first);

    return strncmp(name, first, length) == 0 && (name[length] == '\0' || name[length] == ' ');
}

/*
 * The row that `words` name, which takes one or two of them (`*used`).  NULL when none does;
 * `*used` then is how many were understood: 1 for "queue" and "queue nonsense".
 */
static const struct command *find_command(const char *const *words, int count, int *used)
{
    *used = 0;
    for (size_t i = 0; count > 0 && i < command_count; i++) {
        const char *space = strchr(commands[i].name, ' ');

        if (!starts_with_word(commands[i].name, words[0]))
            continue;
        *used = 1;
        if (space && (count < 2 || strcmp(space + 1, words[1]) != 0))
            continue;
        *used = space ? 2 : 1;
        return &commands[i];
    }
    return NULL;
}

/* With "usage: " before it. */
static void print_synopsis(FILE *stream, const struct command *command)
{
    int column = fprintf(stream, "usage: mailstead %s%s%s", command->name,
                         *command->words ? " " : "", command->words);

    options_print_usage(stream, (size_t)column, command->options, command->required);
    fputc('\n', stream);
}

/* The usage of everything, or of the rows whose name starts with the word `first`. */
static void print_usage(FILE *stream, const char *first)
{
    fprintf(stream, "usage: mailstead [-c FILE] [--logical-host NAME] COMMAND [OPTION...]\n\n");
    for (size_t i = 0; i < command_count; i++)
        if (!first || starts_with_word(commands[i].name, first))
            fprintf(stream, "  %-14s %-10s %s\n", commands[i].name, commands[i].words,
                    commands[i].summary);
    fprintf(stream, "\nmailstead COMMAND --help says more, and so does mailstead(1).\n");
}

static void print_help(FILE *stream, const struct command *command)
{
    fprintf(stream, "mailstead %s: %s\n\n", command->name, command->summary);
    print_synopsis(stream, command);
    fprintf(stream, "\n%s\n", command->help);
    options_print(stream, command->options | OPTIONS_EVERYWHERE);
}

/* One line: the list of all commands would carry it off the screen. */
static int print_error(const char *trouble)
{
    fprintf(stderr, "mailstead: %s; mailstead --help shows what there is\n", trouble);
    return COMMAND_USAGE;
}

static int print_usage_error(const char *trouble, const char *family)
{
    fprintf(stderr, "mailstead: %s\n\n", trouble);
    print_usage(stderr, family);
    return COMMAND_USAGE;
}

static int print_command_error(const struct command *command, const char *trouble)
{
    fprintf(stderr, "mailstead %s: %s\n", command->name, trouble);
    print_synopsis(stderr, command);
    return COMMAND_USAGE;
}

/* The words that follow the name of the command; false and `error` when they do not fit. */
static bool take_words(const struct command *command, char **words, int count,
                       struct arguments *arguments, char error[OPTIONS_ERROR_SIZE])
{
    if (count < command->words_min)
        snprintf(error, OPTIONS_ERROR_SIZE, "%s is missing", command->words);
    else if (count > command->words_max)
        snprintf(error, OPTIONS_ERROR_SIZE, "what is \"%.100s\" for?  It takes %s%s",
                 words[command->words_max], command->words_max ? "" : "no words", command->words);
    if (count < command->words_min || count > command->words_max)
        return false;
    for (int i = 0; i < count; i++) {
        arguments->words[i] = words[i];
        if (*words[i])
            continue;
        snprintf(error, OPTIONS_ERROR_SIZE, "%s is empty", command->words);
        return false;
    }
    arguments->word_count = count;
    return true;
}

/* What no single option can say. */
static bool options_agree(const struct command *command, const struct arguments *arguments,
                          char error[OPTIONS_ERROR_SIZE])
{
    if (arguments->nodes.count > 1 && !(command->options & OPTION_LOCAL))
        snprintf(error, OPTIONS_ERROR_SIZE, "--node can be given once here");
    else if (arguments->is_local && arguments->nodes.count > 0)
        snprintf(error, OPTIONS_ERROR_SIZE, "--node or --local, not both");
    else
        return true;
    return false;
}

static int run_command(const struct command *command, int argc, char **argv,
                       struct arguments *arguments)
{
    char error[OPTIONS_ERROR_SIZE];
    int first =
        options_read(argc, argv, command->options | OPTIONS_EVERYWHERE, false, arguments, error);

    if (first < 0)
        return print_command_error(command, error);
    if (arguments->wants_help) {
        print_help(stdout, command);
        return COMMAND_OK;
    }
    if (!take_words(command, argv + first, argc - first, arguments, error) ||
        !options_are_there(arguments, command->required, error) ||
        !options_agree(command, arguments, error) ||
        !logical_host_choose(arguments->logical_host, error))
        return print_command_error(command, error);
    if (!arguments->config_file)
        arguments->config_file = logical_host_config_file();
    return command->run(arguments);
}

/* No row has this name: say what there is. */
static int refuse_words(char **words, int count, int used, const struct arguments *arguments)
{
    char trouble[OPTIONS_ERROR_SIZE];

    if (arguments->wants_help || (used == 1 && count > 1 && strcmp(words[1], "--help") == 0)) {
        print_usage(stdout, used ? words[0] : NULL);
        return COMMAND_OK;
    }
    if (count == used)
        return print_usage_error("a command is missing", used ? words[0] : NULL);
    snprintf(trouble, sizeof(trouble), "unknown command \"%s%s%.100s\"", used ? words[0] : "",
             used ? " " : "", words[used]);
    return used ? print_usage_error(trouble, words[0]) : print_error(trouble);
}

/* What goes into JSON, to a daemon or to the output, is UTF-8. */
static bool is_utf8(const char *word)
{
    json_t *text = json_string(word);

    json_decref(text);
    return text != NULL;
}

int command_main(int argc, char **argv)
{
    struct arguments arguments = { .config_file = NULL };
    char error[OPTIONS_ERROR_SIZE];
    const struct command *command;
    int first, used;

    log_set_process("mailstead");
    log_set_level(LOG_LEVEL_ERROR);
    for (int i = 1; i < argc; i++)
        if (!is_utf8(argv[i])) {
            fprintf(stderr, "mailstead: word %d of the command line is no UTF-8\n", i);
            return COMMAND_USAGE;
        }
    first = options_read(argc, argv, OPTIONS_EVERYWHERE | OPTION_VERSION, true, &arguments, error);
    if (first < 0)
        return print_error(error);
    if (arguments.wants_version) {
        printf("mailstead %s\n", PACKAGE_VERSION);
        return COMMAND_OK;
    }
    command = find_command((const char *const *)argv + first, argc - first, &used);
    if (!command)
        return refuse_words(argv + first, argc - first, used, &arguments);
    /* The last word of its name stands where getopt expects the program's. */
    first += used - 1;
    return run_command(command, argc - first, argv + first, &arguments);
}
