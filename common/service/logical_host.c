/* SPDX-License-Identifier: Apache-2.0 */
/* The name becomes part of paths: what could lead out of their folders is no name. */
#include "common/service/logical_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CONFIG_PATH_SIZE = sizeof(MAILSTEAD_CONFIG_FILE) + LOGICAL_HOST_NAME_MAX + 1 };

static char name[LOGICAL_HOST_NAME_MAX + 1];
static char config_file[CONFIG_PATH_SIZE] = MAILSTEAD_CONFIG_FILE;

bool logical_host_is_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t length = strlen(text);

    return length >= 1 && length <= LOGICAL_HOST_NAME_MAX && strspn(text, letters) > 0 &&
           strspn(text, "-_abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") ==
               length;
}

/* /etc/mailstead/mailstead.conf, or /etc/mailstead/NAME/mailstead.conf */
static void choose_config_file(void)
{
    const char *slash = strrchr(MAILSTEAD_CONFIG_FILE, '/');

    snprintf(config_file, sizeof(config_file), "%.*s%s%s%s", (int)(slash - MAILSTEAD_CONFIG_FILE),
             MAILSTEAD_CONFIG_FILE, *name ? "/" : "", name, slash);
}

bool logical_host_choose(const char *option, char error[LOGICAL_HOST_ERROR_SIZE])
{
    const char *source = "--logical-host", *text = option;

    if (!text || !*text) {
        source = "MAILSTEAD_LOGICAL_HOST";
        text = getenv(source);
    }
    if (!text)
        text = "";
    if (*text && !logical_host_is_name(text)) {
        snprintf(error, LOGICAL_HOST_ERROR_SIZE,
                 "%s: \"%.60s\" is no name of a logical host; expected 1 to %d letters, digits, "
                 "hyphens and underscores, the first a letter or digit",
                 source, text, LOGICAL_HOST_NAME_MAX);
        return false;
    }
    snprintf(name, sizeof(name), "%s", text);
    choose_config_file();
    return true;
}

const char *logical_host_name(void)
{
    return *name ? name : NULL;
}

const char *logical_host_config_file(void)
{
    return config_file;
}

bool logical_host_directory(const char *path, char *text, size_t size)
{
    int length = snprintf(text, size, "%s%s%s", path, *name ? "/" : "", name);

    return length >= 0 && (size_t)length < size;
}

void logical_host_title(const char *program, char *text, size_t size)
{
    snprintf(text, size, "%s%s%s", program, *name ? "@" : "", name);
}
