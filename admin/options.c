/* SPDX-License-Identifier: Apache-2.0 */
/* Everything comes from the rows below: parsing, help and usage lines. */
#include "admin/options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/memory.h"
#include "common/base/span.h"
#include "common/io/network.h"

enum { NUMBER_MAX = 1000000000, USAGE_WIDTH = 79 };
/* KIND_MAYBE: a text that may be empty, which is as if it was not given. */
enum option_kind {
    KIND_FLAG,
    KIND_TEXT,
    KIND_MAYBE,
    KIND_NETWORK, /* a text that network_parse takes */
    KIND_NUMBER,
    KIND_LIST,
    KIND_DURATION
};

struct option_row {
    enum command_option option;
    const char *name;
    char letter; /* 0: none */
    enum option_kind kind;
    const char *value; /* what its value is called; NULL for a flag */
    size_t offset;     /* in struct arguments */
    const char *help;
};

#define FLAG(option, name, letter, member, help)                                                   \
    {                                                                                              \
        option, name, letter, KIND_FLAG, NULL, offsetof(struct arguments, member), help            \
    }
#define TEXT(option, name, letter, value, member, help)                                            \
    {                                                                                              \
        option, name, letter, KIND_TEXT, value, offsetof(struct arguments, member), help           \
    }
#define LIST(option, name, value, member, help)                                                    \
    {                                                                                              \
        option, name, 0, KIND_LIST, value, offsetof(struct arguments, member), help                \
    }
#define NUMBER(option, name, member, help)                                                         \
    {                                                                                              \
        option, name, 0, KIND_NUMBER, "N", offsetof(struct arguments, member), help                \
    }

static const struct option_row rows[] = {
    TEXT(OPTION_FROM, "from", 0, "BACKEND", from, "the backend that the accounts leave"),
    TEXT(OPTION_TO, "to", 0, "BACKEND", to, "the backend that they go to"),
    FLAG(OPTION_PERMANENT, "permanent", 0, is_permanent,
         "their mail has moved too: no oldHostServer remains"),
    LIST(OPTION_DOMAIN, "domain", "DOMAIN", domains,
         "only accounts with an address in DOMAIN; may be given more than once"),
    TEXT(OPTION_FILTER, "filter", 0, "FILTER", filter,
         "only entries that match this LDAP filter too"),
    NUMBER(OPTION_MOVE_LIMIT, "limit", limit, "change at most N accounts"),
    NUMBER(OPTION_RATE, "rate", rate, "change at most N accounts a second"),
    TEXT(OPTION_JOURNAL, "journal", 0, "FOLDER", journal,
         "keep the journal in FOLDER, not where the configuration says"),
    FLAG(OPTION_DRY_RUN, "dry-run", 'n', is_dry_run, "say what would be done, and change nothing"),
    FLAG(OPTION_YES, "yes", 'y', is_yes, "do it although it looks unsafe"),
    FLAG(OPTION_PLANNED, "planned", 0, is_planned,
         "the backend works: it lets go itself, or nothing is done"),
    LIST(OPTION_OFF, "is-off", "NODE", off,
         "your word that NODE is off and stays off; may be given more than once"),
    FLAG(OPTION_ACCEPT, "accept-behind", 0, accepts_behind,
         "also move accounts whose copy is not complete: what it lacks is not there"),
    FLAG(OPTION_LOGIN, "login", 0, is_login, "ADDRESS is a login name, not a mail address"),
    FLAG(OPTION_WHY, "why", 0, wants_why, "show each step of the lookup"),
    FLAG(OPTION_CHECK, "check", 0, is_check,
         "show only what is wrong; exit with status 1 if anything is"),
    TEXT(OPTION_BACKEND, "backend", 0, "BACKEND", backend, "only what is for this backend"),
    TEXT(OPTION_SENDER, "sender", 0, "ADDRESS", sender,
         "only what ADDRESS sent; <> is the null sender"),
    TEXT(OPTION_RECIPIENT, "recipient", 0, "ADDRESS", recipient, "only what is for ADDRESS"),
    TEXT(OPTION_QUEUE_DOMAIN, "domain", 0, "DOMAIN", domain,
         "only what is for addresses of DOMAIN"),
    TEXT(OPTION_STATE, "state", 0, "STATE", state, "pending, held, set-aside or unknown"),
    { OPTION_OLDER_THAN, "older-than", 0, KIND_DURATION, "TIME",
      offsetof(struct arguments, older_than_s), "only what came longer ago: 90s, 15m, 4h or 2d" },
    FLAG(OPTION_UNKNOWN, "unknown", 0, wants_unknown,
         "also those whose last reply was lost: they may get their message twice"),
    TEXT(OPTION_WHOSE, "account", 0, "ACCOUNT", account,
         "only what is about this account, by its canonical name"),
    { OPTION_WHOSE, "address", 0, KIND_NETWORK, "ADDRESS", offsetof(struct arguments, address),
      "only what is about this client address, or a network as 192.0.2.0/24" },
    TEXT(OPTION_SESSION, "session", 0, "ID", session, "only the session with this id"),
    { OPTION_DEADLINE, "deadline", 0, KIND_DURATION, "TIME", offsetof(struct arguments, deadline_s),
      "close in so long what has not gone by itself: 90s, 15m, 4h or 2d" },
    FLAG(OPTION_UNDO, "undo", 0, is_undo, "take it back"),
    FLAG(OPTION_FENCED, "fenced", 0, is_fenced,
         "the node that holds the storage is off, or cannot write to it any more"),
    LIST(OPTION_NODE, "node", "NAME", nodes, "ask this frontend or backend of the section cluster"),
    FLAG(OPTION_LOCAL, "local", 0, is_local, "ask the daemon of this machine alone"),
    TEXT(OPTION_SERVER, "server", 0, "BACKEND", server,
         "only the accounts of this backend, or whose copies it has"),
    FLAG(OPTION_BEHIND, "behind", 0, wants_behind, "also name the accounts that are not clean"),
    FLAG(OPTION_ALL, "all", 0, is_all, "everything"),
    NUMBER(OPTION_LIMIT, "limit", limit, "show at most N messages"),
    TEXT(OPTION_DOVECOT, "write", 0, "FOLDER", write_folder,
         "make the files in FOLDER, which is made when it is not there"),
    TEXT(OPTION_DOVECOT, "mail-directory", 0, "FOLDER", mail_directory,
         "one folder a server is in FOLDER, which all backends have: storage of kind shared"),
    TEXT(OPTION_DOVECOT, "dovecot-version", 0, "2.3|2.4", dovecot_version,
         "which Dovecot it is for; without it, 2.3"),
    TEXT(OPTION_PROGRAM, "program", 0, "frontend|backend", program,
         "the daemon that is to read the file"),
    FLAG(OPTION_OFFLINE, "offline", 0, is_offline, "ask no server, read only the file"),
    FLAG(OPTION_JSON, "json", 0, is_json, "print JSON, for programs"),
    TEXT(OPTION_CONFIG, "config", 'c', "FILE", config_file, "the configuration file"),
    { OPTION_HOST, "logical-host", 0, KIND_MAYBE, "NAME", offsetof(struct arguments, logical_host),
      "the logical host of this machine that is meant" },
    FLAG(OPTION_HELP, "help", 'h', wants_help, "say what the command does"),
    FLAG(OPTION_VERSION, "version", 0, wants_version, "print the version"),
};

static void *member_of(struct arguments *arguments, const struct option_row *row)
{
    return (char *)arguments + row->offset;
}

static bool set_number(struct arguments *arguments, const struct option_row *row, const char *text,
                       char error[OPTIONS_ERROR_SIZE])
{
    uint64_t number;

    if (!span_parse_u64(span_from_string(text), &number) || number < 1 || number > NUMBER_MAX) {
        snprintf(error, OPTIONS_ERROR_SIZE, "--%s wants a number from 1 to %d, not \"%.100s\"",
                 row->name, NUMBER_MAX, text);
        return false;
    }
    *(unsigned *)member_of(arguments, row) = (unsigned)number;
    return true;
}

static bool add_to_list(struct arguments *arguments, const struct option_row *row, const char *text,
                        char error[OPTIONS_ERROR_SIZE])
{
    struct argument_list *list = member_of(arguments, row);

    if (list->count == ARGUMENTS_LIST_MAX) {
        snprintf(error, OPTIONS_ERROR_SIZE, "--%s may be given %d times", row->name,
                 ARGUMENTS_LIST_MAX);
        return false;
    }
    list->items[list->count++] = text;
    return true;
}

/* "90", "90s", "15m", "4h", "2d" */
static bool set_duration(struct arguments *arguments, const struct option_row *row,
                         const char *text, char error[OPTIONS_ERROR_SIZE])
{
    static const struct {
        char letter;
        unsigned seconds;
    } units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 } };
    struct span digits = span_from_string(text);
    unsigned unit_s = 1;
    uint64_t number;

    for (size_t i = 0; i < ARRAY_LENGTH(units) && digits.length > 0; i++)
        if (digits.data[digits.length - 1] == units[i].letter) {
            unit_s = units[i].seconds;
            digits = span_take(digits, digits.length - 1);
            break;
        }
    if (!span_parse_u64(digits, &number) || number < 1 || number > UINT32_MAX / unit_s) {
        snprintf(error, OPTIONS_ERROR_SIZE,
                 "--%s wants a time as 90s, 15m, 4h or 2d, not \"%.100s\"", row->name, text);
        return false;
    }
    *(unsigned *)member_of(arguments, row) = (unsigned)number * unit_s;
    return true;
}

static bool set_network(struct arguments *arguments, const struct option_row *row, const char *text,
                        char error[OPTIONS_ERROR_SIZE])
{
    struct network network;

    *(const char **)member_of(arguments, row) = text;
    if (network_parse(text, &network))
        return true;
    snprintf(error, OPTIONS_ERROR_SIZE,
             "--%s wants an address, or a network as 192.0.2.0/24, not \"%.100s\"", row->name,
             text);
    return false;
}

static bool set_option(struct arguments *arguments, const struct option_row *row, const char *text,
                       char error[OPTIONS_ERROR_SIZE])
{
    switch (row->kind) {
    case KIND_FLAG:
        *(bool *)member_of(arguments, row) = true;
        return true;
    case KIND_TEXT:
        *(const char **)member_of(arguments, row) = text;
        if (!*text)
            snprintf(error, OPTIONS_ERROR_SIZE, "--%s wants %s, not an empty text", row->name,
                     row->value);
        return *text != '\0';
    case KIND_MAYBE:
        *(const char **)member_of(arguments, row) = text;
        return true;
    case KIND_NETWORK:
        return set_network(arguments, row, text, error);
    case KIND_NUMBER:
        return set_number(arguments, row, text, error);
    case KIND_LIST:
        return add_to_list(arguments, row, text, error);
    case KIND_DURATION:
        return set_duration(arguments, row, text, error);
    }
    abort();
}

/* The allowed rows as getopt wants them; `val` is the index of the row and 256. */
static void make_getopt_table(uint64_t allowed, struct option *table)
{
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (rows[i].option & allowed)
            *table++ = (struct option){
                .name = rows[i].name,
                .has_arg = rows[i].kind == KIND_FLAG ? no_argument : required_argument,
                .val = 256 + (int)i,
            };
    *table = (struct option){ .name = NULL };
}

/* The leading "+" stops at a word, ":" tells a missing value from an unknown option. */
static void make_letters(uint64_t allowed, bool stop_at_word, char *letters)
{
    if (stop_at_word)
        *letters++ = '+';
    *letters++ = ':';
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (rows[i].letter && (rows[i].option & allowed)) {
            *letters++ = rows[i].letter;
            if (rows[i].kind != KIND_FLAG)
                *letters++ = ':';
        }
    *letters = '\0';
}

static const struct option_row *find_row(int value)
{
    if (value >= 256)
        return &rows[value - 256];
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (rows[i].letter && rows[i].letter == value)
            return &rows[i];
    return NULL;
}

/* What getopt did not take: one letter in `optopt`, or the word before `optind`. */
static void explain(char **argv, int value, char error[OPTIONS_ERROR_SIZE])
{
    const struct option_row *row = optopt ? find_row(optopt) : NULL;

    if (value == ':' && row)
        snprintf(error, OPTIONS_ERROR_SIZE, "--%s wants a value: %s", row->name, row->value);
    else if (row)
        snprintf(error, OPTIONS_ERROR_SIZE, "--%s is an option without a value, or not for here",
                 row->name);
    else if (optopt)
        snprintf(error, OPTIONS_ERROR_SIZE, "unknown option -%c", optopt);
    else
        snprintf(error, OPTIONS_ERROR_SIZE, "unknown option %.100s", argv[optind - 1]);
}

int options_read(int argc, char **argv, uint64_t allowed, bool stop_at_word,
                 struct arguments *arguments, char error[OPTIONS_ERROR_SIZE])
{
    struct option table[ARRAY_LENGTH(rows) + 1];
    char letters[2 * ARRAY_LENGTH(rows) + 3];
    int value;

    make_getopt_table(allowed, table);
    make_letters(allowed, stop_at_word, letters);
    opterr = 0;
    optind = 0; /* glibc: start anew */
    while ((value = getopt_long(argc, argv, letters, table, NULL)) != -1) {
        if (value == '?' || value == ':') {
            explain(argv, value, error);
            return -1;
        }
        if (!set_option(arguments, find_row(value), optarg, error))
            return -1;
    }
    return optind;
}

void options_print(FILE *stream, uint64_t options)
{
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        char name[64];

        if (!(rows[i].option & options))
            continue;
        snprintf(name, sizeof(name), "%s%c%s--%s%s%s", rows[i].letter ? "-" : "",
                 rows[i].letter ? rows[i].letter : ' ', rows[i].letter ? ", " : "   ", rows[i].name,
                 rows[i].value ? " " : "", rows[i].value ? rows[i].value : "");
        fprintf(stream, "  %-32s %s\n", name, rows[i].help);
    }
}

void options_print_usage(FILE *stream, size_t column, uint64_t options, uint64_t required)
{
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        bool is_required = rows[i].option & required;
        char text[64];

        if (!(rows[i].option & options))
            continue;
        snprintf(text, sizeof(text), "%s--%s%s%s%s", is_required ? "" : "[", rows[i].name,
                 rows[i].value ? " " : "", rows[i].value ? rows[i].value : "",
                 is_required ? "" : "]");
        if (column + 1 + strlen(text) > USAGE_WIDTH)
            column = (size_t)fprintf(stream, "\n          %s", text) - 1;
        else
            column += (size_t)fprintf(stream, " %s", text);
    }
}

bool options_are_there(const struct arguments *arguments, uint64_t required,
                       char error[OPTIONS_ERROR_SIZE])
{
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        const char *const *value = (const char *const *)((const char *)arguments + rows[i].offset);

        if (!(rows[i].option & required) || *value)
            continue;
        snprintf(error, OPTIONS_ERROR_SIZE, "--%s is missing: %s", rows[i].name, rows[i].help);
        return false;
    }
    return true;
}
