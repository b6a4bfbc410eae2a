/* SPDX-License-Identifier: Apache-2.0 */
/* What the identities of the configuration may do in the directory; needs the secrets. */
#include "admin/check.h"
#include "directory/rights.h"

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
