/* SPDX-License-Identifier: Apache-2.0 */
/* The folder is judged by its descriptor, so that it cannot become another one in between. */
#include "directory/reassign/journal_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/memory.h"

void journal_folder_refuse(const char *directory, const char *why, char error[REASSIGN_ERROR_SIZE])
{
    snprintf(error, REASSIGN_ERROR_SIZE,
             "no journal can be kept in %.300s: %s; expected a folder of ours, or another with "
             "--journal or admin.journal_directory",
             directory, why);
}

/* Why the folder is not to be trusted, or NULL. */
static const char *journal_folder_distrust(int fd)
{
    struct stat status;

    if (fstat(fd, &status) != 0)
        return strerror(errno);
    if (status.st_uid != geteuid() && status.st_uid != 0)
        return "it belongs to somebody else";
    return status.st_mode & (S_IWGRP | S_IWOTH) ? "others may write to it" : NULL;
}

/* The folder's path as it is opened: with a slash at its end, a link would be followed. */
static char *journal_folder_path(const char *directory)
{
    char *path = memory_copy_string(directory);
    size_t length = strlen(path);

    while (length > 1 && path[length - 1] == '/')
        path[--length] = '\0';
    return path;
}

/* -1 and errno. */
static int journal_folder_open_existing(const char *directory)
{
    char *path = journal_folder_path(directory);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    free(path);
    return fd;
}

static bool journal_folder_make(const char *directory)
{
    char *path = journal_folder_path(directory);
    bool is_there = mkdir(path, S_IRWXU) == 0 || errno == EEXIST;

    free(path);
    return is_there;
}

int journal_folder_open(const char *directory, char error[REASSIGN_ERROR_SIZE])
{
    int fd = journal_folder_make(directory) ? journal_folder_open_existing(directory) : -1;
    const char *trouble = fd < 0 ? strerror(errno) : journal_folder_distrust(fd);

    if (!trouble)
        return fd;
    journal_folder_refuse(directory, trouble, error);
    if (fd >= 0)
        close(fd);
    return -1;
}

const char *journal_folder_trouble(const char *directory)
{
    int fd = journal_folder_open_existing(directory);
    const char *trouble;

    if (fd < 0)
        return errno == ENOENT ? NULL : strerror(errno);
    trouble = journal_folder_distrust(fd);
    close(fd);
    return trouble;
}
