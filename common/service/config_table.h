/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The options as rows: what the parser, the checks and the manual page are made
 * of.  A section is a struct of config.h, an option one of its members.  The rows are in
 * config_rows_*.c.
 */
#ifndef MAILSTEAD_SERVICE_CONFIG_TABLE_H
#define MAILSTEAD_SERVICE_CONFIG_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_type {                        /* the member that it fills */
                   CONFIG_TYPE_TEXT,      /* char *: printable, not empty unless `min` is 0; at most
                                             `max` bytes */
                   CONFIG_TYPE_TEXT_LIST, /* struct string_list of such */
                   CONFIG_TYPE_WORD_TEXT, /* char *: one of `words` */
                   CONFIG_TYPE_WORD,      /* enum (int): the index of one of `words` */
                   CONFIG_TYPE_WORD_SET,  /* unsigned: a bit, 1 << index, for each of `words` */
                   CONFIG_TYPE_BOOLEAN,   /* bool */
                   CONFIG_TYPE_NUMBER,    /* unsigned: `min` to `max` */
                   CONFIG_TYPE_SIZE,      /* uint64_t: `min` to `max` */
                   CONFIG_TYPE_PORT,      /* uint16_t: 1 to 65535 */
                   CONFIG_TYPE_DOMAIN,    /* char *: a host or domain name, lower-cased */
                   CONFIG_TYPE_DOMAIN_LIST, /* struct string_list of such */
                   CONFIG_TYPE_PATH, /* char *: absolute; at most `max` bytes when that is not 0 */
                   CONFIG_TYPE_HOST_PATH,      /* as PATH; a logical host's default ends with its
                                                  name */
                   CONFIG_TYPE_SECRET,         /* struct secret: the absolute path of its file */
                   CONFIG_TYPE_URI,            /* char *: ldap://, ldaps:// or ldapi:// */
                   CONFIG_TYPE_URI_LIST,       /* struct string_list of such */
                   CONFIG_TYPE_ENDPOINT,       /* struct endpoint: something to connect to */
                   CONFIG_TYPE_LISTEN_ADDRESS, /* struct endpoint: an IP address (or "*") and a port
                                                */
                   CONFIG_TYPE_NETWORK_LIST, /* struct string_list: IP addresses or CIDR networks */
                   CONFIG_TYPE_COUNT
};

/* Programs as a bit set: CONFIG_BIT(CONFIG_FRONTEND) and so on. */
#define CONFIG_BIT(program) (1U << (program))

struct config_option {
    const char *name;
    enum config_type type;
    size_t offset;        /* of the member in the section's struct */
    const char *fallback; /* the default, as it would stand in the file (lists: a, b); NULL: none */
    uint64_t min, max;
    const char *const *words; /* ended by NULL */
    unsigned required_by;     /* programs that cannot start without it */
    const char *help;         /* one sentence */
};

struct config_section {
    const char *path; /* "" for the top level, "cluster", "cluster.backend" */
    const char
        *parent;    /* the path of the section that it stands in; NULL for the top level itself */
    size_t offset;  /* in struct config; of the pointer to the array when it is titled */
    bool is_titled; /* stands any number of times, each with a name of its own */
    size_t count_offset,
        element_size; /* titled: of the array; the title is the struct's first member */
    const struct config_option *options;
    size_t option_count;
    const char *help;
};

extern const struct config_section *const config_sections[]; /* the top level is the first */
extern const size_t config_section_count;

/* The last word of a section's path. */
const char *config_section_name(const struct config_section *section);

/* The row called `name`, or NULL. */
const struct config_option *config_section_find(const struct config_section *section,
                                                const char *name);

#endif
