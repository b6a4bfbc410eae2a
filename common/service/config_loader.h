/* SPDX-License-Identifier: Apache-2.0 */
/* One load of a configuration, for the files that take part in it (config*.c). */
#ifndef MAILSTEAD_SERVICE_CONFIG_LOADER_H
#define MAILSTEAD_SERVICE_CONFIG_LOADER_H

#include <confuse.h>

#include "common/service/config.h"
#include "common/service/config_table.h"

struct config_loader {
    const char *file;
    enum config_program program;
    config_complaint *complain;
    void *context;
    unsigned complaints;   /* so far */
    struct config *config; /* being filled */
    cfg_t *root;           /* libconfuse's view, for the lines */
};

/* Reports one thing that is wrong; `line` 0: about the file as a whole. */
void config_loader_complain(struct config_loader *loader, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Parses `text` into loader->config, reporting; loader->root stays for config_loader_line. */
void config_loader_parse(struct config_loader *loader, const char *text);

/* Frees loader->root. */
void config_loader_fini(struct config_loader *loader);

/* The line of an option; that of its section's end when it is not set, 0 when the section is not
 * there. */
int config_loader_line(const struct config_loader *loader, const char *path, size_t index,
                       const char *option);

/* What no single row can say: what belongs together, what this program needs. */
void config_loader_check(struct config_loader *loader);

/* Reads the secrets and PEM files that this program uses. */
void config_loader_read_secrets(struct config_loader *loader);

/* The struct number `index` of a section in `config`, and how many there are. */
void *config_record(struct config *config, const struct config_section *section, size_t index);
size_t config_record_count(const struct config *config, const struct config_section *section);

#endif
