/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/config_support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

char config_folder[64];
char config_complaints[8192];

void config_path(const char *name, char path[128])
{
    snprintf(path, 128, "%s/%s", config_folder, name);
}

void config_write_file(const char *name, const char *content, size_t length, mode_t mode)
{
    char path[128];
    int fd;

    config_path(name, path);
    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, mode), 0);
    assert_int_equal(write(fd, content, length), (ssize_t)length);
    close(fd);
}

void config_gather(void *context, const char *file, int line, const char *text)
{
    size_t used = strlen(config_complaints);

    (void)context;
    assert_non_null(strstr(file, config_folder));
    snprintf(config_complaints + used, sizeof(config_complaints) - used, "%d: %s\n", line, text);
}

struct config *config_load_text(const char *text, enum config_program program, bool read_secrets)
{
    char path[128];

    config_complaints[0] = '\0';
    config_write_file("test.conf", text, strlen(text), 0600);
    config_path("test.conf", path);
    return config_load(path, program, read_secrets, config_gather, NULL);
}

void assert_config_refused_as(const char *text, enum config_program program, const char *expected)
{
    assert_null(config_load_text(text, program, false));
    assert_string_equal(config_complaints, expected);
}

void assert_config_refused(const char *text, const char *expected)
{
    assert_config_refused_as(text, CONFIG_FRONTEND, expected);
}

int config_folder_make(void **unused)
{
    (void)unused;
    strcpy(config_folder, "/tmp/mailstead-config-XXXXXX");
    return mkdtemp(config_folder) ? 0 : -1;
}

int config_folder_remove(void **unused)
{
    static const char *const names[] = { "test.conf", "nul.conf", "secret", "c.pem", "c2.pem",
                                         "k2.pem",    "ca.pem",   "k.pem",  "open" };
    char path[128];

    (void)unused;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        config_path(names[i], path);
        unlink(path);
    }
    return rmdir(config_folder);
}
