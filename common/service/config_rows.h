/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How rows of config_table.h are written, for the files config_rows_*.c and nobody else: each has
 * the options of some sections, and behind them the section.  What the rows mean is in
 * config_value.c.  They are the manual page, too.
 */
#ifndef MAILSTEAD_SERVICE_CONFIG_ROWS_H
#define MAILSTEAD_SERVICE_CONFIG_ROWS_H

#include "common/base/memory.h"
#include "common/service/config.h"
#include "common/service/config_table.h"

enum { TEXT_MAX = 1024, DAY_S = 86400 };

#define FRONTEND CONFIG_BIT(CONFIG_FRONTEND)
#define BACKEND CONFIG_BIT(CONFIG_BACKEND)
#define DAEMONS (FRONTEND | BACKEND)

/* What options of more than one file may be. */
extern const char *const config_tls_words[];
extern const char *const config_pass_words[];

/* Rows by type: TEXT(struct, member, option, default, programs, help). */
#define ROW(type, record, member, option, fallback, min, max, words, required, help)               \
    {                                                                                              \
        option, CONFIG_TYPE_##type, offsetof(struct record, member), fallback, min, max, words,    \
            required, help                                                                         \
    }
#define TEXT(record, member, fallback, required, help)                                             \
    ROW(TEXT, record, member, #member, fallback, 1, TEXT_MAX, NULL, required, help)
#define PATH(record, member, option, fallback, max, help)                                          \
    ROW(PATH, record, member, option, fallback, 1, max, NULL, 0, help)
#define HOST_PATH(record, member, option, fallback, max, help)                                     \
    ROW(HOST_PATH, record, member, option, fallback, 1, max, NULL, 0, help)
#define SECRET(record, member, option, help)                                                       \
    ROW(SECRET, record, member, option, NULL, 1, TEXT_MAX, NULL, 0, help)
#define NUMBER(record, member, fallback, min, max, help)                                           \
    ROW(NUMBER, record, member, #member, fallback, min, max, NULL, 0, help)
#define BOOLEAN(record, member, fallback, help)                                                    \
    ROW(BOOLEAN, record, member, #member, fallback, 0, 1, NULL, 0, help)
#define PORT(record, member, fallback, help)                                                       \
    ROW(PORT, record, member, #member, fallback, 1, 65535, NULL, 0, help)
#define WORD(record, member, fallback, words, required, help)                                      \
    ROW(WORD, record, member, #member, fallback, 0, 0, words, required, help)
#define LIST(type, record, member, fallback, required, help)                                       \
    ROW(type, record, member, #member, fallback, 1, TEXT_MAX, NULL, required, help)

#define LIST_OF_WORDS(record, member, fallback, words, help)                                       \
    ROW(WORD_SET, record, member, #member, fallback, 0, 0, words, 0, help)

#define SINGLE(path, parent, offset, options, help)                                                \
    {                                                                                              \
        path, parent, offset, false, 0, 0, options, ARRAY_LENGTH(options), help                    \
    }
#define TITLED(path, parent, array, count, record, options, help)                                  \
    {                                                                                              \
        path, parent, offsetof(struct config, array), true, offsetof(struct config, count),        \
            sizeof(struct record), options, ARRAY_LENGTH(options), help                            \
    }

extern const struct config_section config_top_section;
extern const struct config_section config_cluster_section;
extern const struct config_section config_domain_alias_section;
extern const struct config_section config_backend_section;
extern const struct config_section config_frontend_section;
extern const struct config_section config_directory_section;
extern const struct config_section config_tls_section;
extern const struct config_section config_certificate_section;
extern const struct config_section config_backend_tls_section;
extern const struct config_section config_relay_host_section;
extern const struct config_section config_master_section;
extern const struct config_section config_admin_section;
extern const struct config_section config_admin_port_section;
extern const struct config_section config_node_section;
extern const struct config_section config_storage_section;
extern const struct config_section config_dovecot_section;
extern const struct config_section config_replica_section;
extern const struct config_section config_listen_section;
extern const struct config_section config_queue_section;
extern const struct config_section config_smtp_section;
extern const struct config_section config_submission_section;
extern const struct config_section config_timeout_section;
extern const struct config_section config_health_section;
extern const struct config_section config_limits_section;

#endif
