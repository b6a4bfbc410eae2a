/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is asked of the directory: its schema, its threads, and what the identities may do; needs
 * the secrets.
 */
#include "admin/check_report.h"
#include "directory/rights.h"
#include "directory/schema.h"
#include "directory/server_threads.h"

static void ignore_complaint(void *context, const char *file, int line, const char *text)
{
    (void)context;
    (void)file;
    (void)line;
    (void)text; /* check_doubts says what cannot be read */
}

void check_rights(const struct config *config, check_warning *warn, void *context)
{
    /* As the command reads it: with the secret of the section admin, which no daemon reads. */
    struct config *with_secrets =
        config_load(config->file, CONFIG_ADMIN, true, ignore_complaint, NULL);

    rights_examine(with_secrets ? with_secrets : config, warn, context);
    config_free(with_secrets);
}

void check_directory(const struct check *check)
{
    schema_examine(check->config, check->warn, check->context);
    server_threads_examine(check->config, check->warn, check->context);
}
