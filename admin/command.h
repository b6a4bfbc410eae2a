/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The subcommands of `mailstead` as rows of one table (command.c): what they are
 * called, what they take, what they say about themselves, and the function behind each.
 */
#ifndef MAILSTEAD_ADMIN_COMMAND_H
#define MAILSTEAD_ADMIN_COMMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* Exit statuses; mailstead(1) documents them. */
enum command_status {
    COMMAND_OK,
    COMMAND_FAILED,    /* it did not work, or what was checked is not well */
    COMMAND_USAGE,     /* the command line makes no sense */
    COMMAND_REFUSED,   /* nothing was done, because it would be unsafe */
    COMMAND_PARTLY,    /* some of it was done; the output says what */
    COMMAND_CONTENDED, /* stopped, because somebody else changes the same things */
    COMMAND_UNPROVEN   /* all was done, but what it was to end with is not known to be so */
};

enum { ARGUMENTS_LIST_MAX = 64, COMMAND_WORDS_MAX = 1000 };

/* The values of an option that may be given more than once. */
struct argument_list {
    const char *items[ARGUMENTS_LIST_MAX];
    size_t count;
};

/* What the command line said.  The texts are borrowed from it. */
struct arguments {
    const char *config_file;  /* NULL until it is known which logical host's it is */
    const char *logical_host; /* NULL: not given */
    bool is_json;
    bool wants_help;
    bool wants_version;
    const char *words[COMMAND_WORDS_MAX]; /* what is no option, after the name of the subcommand */
    int word_count;
    bool is_login, wants_why;
    bool is_check;
    const char *backend;
    bool is_all;
    unsigned limit; /* 0: not given */
    const char *from, *to;
    struct argument_list domains;
    const char *filter, *journal;
    unsigned rate; /* 0: not given */
    bool is_permanent, is_dry_run, is_yes;
    const char *write_folder, *mail_directory, *dovecot_version;
    const char *program;
    bool is_offline;
    const char *sender, *recipient, *domain, *state;
    unsigned older_than_s; /* 0: not given */
    bool wants_unknown;
    const char *server;
    bool wants_behind;
    const char *account, *address, *session;
    unsigned deadline_s; /* 0: not given */
    bool is_undo;
    bool is_fenced;
    struct argument_list nodes; /* none: the command's own choice */
    bool is_local;
    bool is_planned, accepts_behind;
    struct argument_list off; /* nodes that are said to be off */
};

/* Options, as bits of a row's set, which has 64; the rows are in options.c. */
enum command_option {
    OPTION_CONFIG = 1ULL << 0,
    OPTION_JSON = 1ULL << 1,
    OPTION_HELP = 1ULL << 2,
    OPTION_VERSION = 1ULL << 3,
    OPTION_LOGIN = 1ULL << 4,
    OPTION_WHY = 1ULL << 5,
    OPTION_CHECK = 1ULL << 6,
    OPTION_BACKEND = 1ULL << 7,
    OPTION_ALL = 1ULL << 8,
    OPTION_LIMIT = 1ULL << 9,
    OPTION_FROM = 1ULL << 10,
    OPTION_TO = 1ULL << 11,
    OPTION_DRY_RUN = 1ULL << 12,
    OPTION_YES = 1ULL << 13,
    OPTION_PROGRAM = 1ULL << 14,
    OPTION_DOMAIN = 1ULL << 15,
    OPTION_FILTER = 1ULL << 16,
    OPTION_MOVE_LIMIT = 1ULL << 17,
    OPTION_RATE = 1ULL << 18,
    OPTION_PERMANENT = 1ULL << 19,
    OPTION_JOURNAL = 1ULL << 20,
    OPTION_SENDER = 1ULL << 21,
    OPTION_RECIPIENT = 1ULL << 22,
    OPTION_QUEUE_DOMAIN = 1ULL << 23,
    OPTION_STATE = 1ULL << 24,
    OPTION_OLDER_THAN = 1ULL << 25,
    OPTION_UNKNOWN = 1ULL << 26,
    OPTION_OFFLINE = 1ULL << 27,
    OPTION_WHOSE = 1ULL << 28, /* --account and --address */
    OPTION_SESSION = 1ULL << 29,
    OPTION_DEADLINE = 1ULL << 30,
    OPTION_UNDO = 1ULL << 33,
    OPTION_FENCED = 1ULL << 34,
    OPTION_NODE = 1ULL << 40,
    OPTION_LOCAL = 1ULL << 41,
    OPTION_SERVER = 1ULL << 42,
    OPTION_BEHIND = 1ULL << 43,
    OPTION_HOST = 1ULL << 48,
    OPTION_DOVECOT = 1ULL << 49, /* --write, --mail-directory and --dovecot-version */
    OPTIONS_NODES = OPTION_NODE | OPTION_LOCAL,
    OPTION_PLANNED = 1ULL << 50,
    OPTION_ACCEPT = 1ULL << 52,
    OPTION_OFF = 1ULL << 51,
    OPTIONS_EVERYWHERE = OPTION_CONFIG | OPTION_HOST | OPTION_JSON | OPTION_HELP,
    /* How reassign and restore do it. */
    OPTIONS_MOVE = OPTION_DOMAIN | OPTION_FILTER | OPTION_MOVE_LIMIT | OPTION_RATE |
                   OPTION_JOURNAL | OPTION_DRY_RUN | OPTION_YES,
    /* Which recipients of the queue are meant. */
    OPTIONS_QUEUE = OPTION_BACKEND | OPTION_SENDER | OPTION_RECIPIENT | OPTION_QUEUE_DOMAIN |
                    OPTION_STATE | OPTION_OLDER_THAN
};

struct command {
    const char *name;  /* "queue show": one word or two */
    const char *words; /* how its words are called in the usage; "" when it takes none */
    int words_min, words_max;
    uint64_t options;    /* besides OPTIONS_EVERYWHERE */
    uint64_t required;   /* those of them without which it makes no sense; they take texts */
    const char *summary; /* one line */
    const char *help;    /* the rest, in lines of at most 80 columns */
    enum command_status (*run)(const struct arguments *arguments);
};

extern const struct command commands[];
extern const size_t command_count;

/* Runs a whole command line: the exit status. */
int command_main(int argc, char **argv);

#endif
