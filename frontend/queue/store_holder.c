/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has a queue's folder: the lock is flock(2)'s on the folder itself, /proc/locks says which
 * process took it, and its command line which daemon that is.  Nothing is written for it, so it
 * cannot be out of date; a holder on another machine (a cluster file system) is not named.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "frontend/queue/store_private.h"

enum { LOCK_LINE_SIZE = 256, COMMAND_SIZE = 160 };

/* "1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF"; 0: not this folder's. */
static long read_lock_line(const char *line, const struct stat *folder)
{
    unsigned major_number, minor_number;
    unsigned long inode;
    long pid;

    if (sscanf(line, "%*s FLOCK ADVISORY WRITE %ld %x:%x:%lu", &pid, &major_number, &minor_number,
               &inode) != 4)
        return 0;
    return major_number == major(folder->st_dev) && minor_number == minor(folder->st_dev) &&
                   inode == folder->st_ino
               ? pid
               : 0;
}

static long find_holder(const struct stat *folder)
{
    FILE *locks = fopen("/proc/locks", "re");
    char line[LOCK_LINE_SIZE];
    long pid = 0;

    while (locks && pid == 0 && fgets(line, sizeof(line), locks))
        pid = read_lock_line(line, folder);
    if (locks)
        fclose(locks);
    return pid;
}

/* Its words, with spaces between them; empty when it cannot be read. */
static void read_command(long pid, char command[COMMAND_SIZE])
{
    char path[64];
    ssize_t length;
    int fd;

    snprintf(path, sizeof(path), "/proc/%ld/cmdline", pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    length = fd >= 0 ? read(fd, command, COMMAND_SIZE - 1) : -1;
    if (fd >= 0)
        close(fd);
    command[length > 0 ? length : 0] = '\0';
    for (ssize_t i = 0; i + 1 < length; i++)
        if ((unsigned char)command[i] < ' ')
            command[i] = ' ';
}

void store_tell_holder(const char *directory, int fd, char error[STORE_ERROR_SIZE])
{
    char command[COMMAND_SIZE] = "";
    struct stat folder;
    long pid = fstat(fd, &folder) == 0 ? find_holder(&folder) : 0;

    if (pid > 0)
        read_command(pid, command);
    if (*command)
        snprintf(error, STORE_ERROR_SIZE, "%.100s: another queue process uses it: %ld, of %.100s",
                 directory, pid, command);
    else
        snprintf(error, STORE_ERROR_SIZE,
                 "%.150s: another queue process uses it, maybe on another machine", directory);
}

bool store_is_held(const char *directory, char error[STORE_ERROR_SIZE])
{
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool is_held = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;

    if (is_held)
        store_tell_holder(directory, fd, error);
    if (fd >= 0)
        close(fd);
    return is_held;
}
