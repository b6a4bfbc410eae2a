/* SPDX-License-Identifier: Apache-2.0 */
/* It fails for the folder and the disk alone; what was there stays then, file by file. */
#include "admin/dovecot_files.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_SIZE_MAX = 262144, NAME_SIZE = 80 };

void dovecot_files_init(struct dovecot_files *files)
{
    files->count = 0;
}

void dovecot_files_fini(struct dovecot_files *files)
{
    for (size_t i = 0; i < files->count; i++)
        bytes_wipe(&files->files[i].text);
    files->count = 0;
}

struct dovecot_file *dovecot_files_add(struct dovecot_files *files, const char *name,
                                       bool is_secret)
{
    struct dovecot_file *file = &files->files[files->count];

    assert(files->count < DOVECOT_FILES_MAX);
    files->count++;
    *file = (struct dovecot_file){ .name = name,
                                   .is_secret = is_secret,
                                   .text = bytes_empty(FILE_SIZE_MAX) };
    return file;
}

void dovecot_file_put(struct dovecot_file *file, const char *format, ...)
{
    va_list values;
    char *text = NULL;
    int length;

    va_start(values, format);
    length = vasprintf(&text, format, values);
    va_end(values);
    if (length < 0 || !bytes_append(&file->text, span_of(text, (size_t)length)))
        file->is_overfull = true;
    if (length >= 0) {
        explicit_bzero(text, (size_t)length);
        free(text);
    }
}

void dovecot_file_put_quoted(struct dovecot_file *file, const char *text)
{
    dovecot_file_put(file, "\"");
    for (; *text; text++)
        dovecot_file_put(file, *text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
    dovecot_file_put(file, "\"");
}

void dovecot_files_print(const struct dovecot_files *files, FILE *stream)
{
    for (size_t i = 0; i < files->count; i++) {
        const struct dovecot_file *file = &files->files[i];

        fprintf(stream, "%s# ==== %s (mode %s)\n%.*s", i ? "\n" : "", file->name,
                file->is_secret ? "0600" : "0644", (int)file->text.length,
                file->text.data ? file->text.data : "");
    }
}

static bool fail(const char *folder, const char *name, char error[DOVECOT_ERROR_SIZE])
{
    snprintf(error, DOVECOT_ERROR_SIZE, "%.300s/%s: %s", folder, name, strerror(errno));
    return false;
}

static bool write_whole(int fd, struct span text)
{
    while (text.length > 0) {
        ssize_t written = write(fd, text.data, text.length);

        if (written < 0)
            return false;
        text = span_drop(text, (size_t)written);
    }
    return fsync(fd) == 0;
}

static bool write_file(int folder_fd, const struct dovecot_file *file)
{
    mode_t mode = file->is_secret ? 0600 : 0644;
    char new_name[NAME_SIZE];
    bool is_written;
    int fd;

    snprintf(new_name, sizeof(new_name), "%s.new", file->name);
    unlinkat(folder_fd, new_name, 0); /* whatever it is: it must not be written through */
    fd = openat(folder_fd, new_name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return false;
    is_written = fchmod(fd, mode) == 0 && write_whole(fd, bytes_span(&file->text));
    close(fd);
    return is_written && renameat(folder_fd, new_name, folder_fd, file->name) == 0;
}

bool dovecot_files_write(const struct dovecot_files *files, const char *folder,
                         char error[DOVECOT_ERROR_SIZE])
{
    int fd;

    (void)mkdir(folder, 0755); /* usually there; if not, and it fails, open says so */
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail(folder, "", error);
    for (size_t i = 0; i < files->count; i++)
        if (!write_file(fd, &files->files[i])) {
            fail(folder, files->files[i].name, error);
            close(fd);
            return false;
        }
    fsync(fd);
    close(fd);
    return true;
}
