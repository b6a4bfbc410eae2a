/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of a check share; it never fails: what cannot be read is not looked at. */
#include "admin/check_report.h"

#include <dirent.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/service/logical_host.h"

enum { INSTANCES_MAX = 64 };

void check_fault(const struct check *check, const char *format, ...)
{
    char text[CHECK_TEXT_SIZE];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    check->fault(check->context, text);
}

void check_doubt(const struct check *check, const char *format, ...)
{
    char text[CHECK_TEXT_SIZE];
    va_list values;

    va_start(values, format);
    vsnprintf(text, sizeof(text), format, values);
    va_end(values);
    check->warn(check->context, text);
}

/* --- the other daemons of this machine ------------------------------------------------- */

static void ignore_complaint(void *context, const char *file, int line, const char *text)
{
    (void)context;
    (void)file;
    (void)line;
    (void)text; /* its own check says what is wrong with it */
}

static void look_at(const struct check *check, const char *file,
                    void (*look)(const struct check *check, const struct config *other,
                                 const char *file))
{
    char path[PATH_MAX], own[PATH_MAX];
    struct config *other;

    if (!realpath(file, path) || !realpath(check->config->file, own) || strcmp(path, own) == 0)
        return;
    other = config_load(path, CONFIG_ADMIN, false, ignore_complaint, NULL);
    if (other && other->listener_count > 0)
        look(check, other, path);
    config_free(other);
}

/* The folder that the file's folder is in, when the file is a logical host's; else its own folder.
 */
static bool find_root(const char *file, char root[PATH_MAX])
{
    if (!realpath(file, root) || !strrchr(root, '/'))
        return false;
    *strrchr(root, '/') = '\0';
    if (logical_host_name() && strrchr(root, '/') &&
        strcmp(strrchr(root, '/') + 1, logical_host_name()) == 0)
        *strrchr(root, '/') = '\0';
    return true;
}

void check_each_other(const struct check *check,
                      void (*look)(const struct check *check, const struct config *other,
                                   const char *file))
{
    char root[PATH_MAX], file[PATH_MAX + 300];
    struct dirent **names = NULL;
    int count;

    if (!find_root(check->config->file, root))
        return;
    snprintf(file, sizeof(file), "%s/mailstead.conf", root);
    look_at(check, file, look);
    count = scandir(root, &names, NULL, alphasort);
    for (int i = 0; i < count; i++) {
        snprintf(file, sizeof(file), "%s/%s/mailstead.conf", root, names[i]->d_name);
        if (i < INSTANCES_MAX + 2 && logical_host_is_name(names[i]->d_name))
            look_at(check, file, look);
        free(names[i]);
    }
    free(names);
}
