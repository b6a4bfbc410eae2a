/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Storage that forgets what was not synced, and that kills on demand: preloaded into a
 * daemon (LD_PRELOAD), it stands between the program and its queue's folder.
 *
 *     FORGETFUL_FOLDER   the folder, as the program names it; what lies elsewhere is let alone
 *     FORGETFUL_SHADOW   a folder on the same file system, for what would survive a power cut
 *     FORGETFUL_CONTROL  a file of struct control, shared with the test
 *
 * A sync of a file copies it to SHADOW/data-INODE, a sync of a folder writes its names and their
 * inodes to SHADOW/names-INODE; nothing else gets there.  After a power cut the test builds the
 * folder anew from that alone.  A file is kept linked before it is removed or replaced, so that no
 * inode is used twice.
 *
 * Each call that changes the folder counts.  Before call number `kill_at` the process dies as by
 * kill -9; with `is_cut`, that is the moment of the power cut: every other process dies at its
 * next call, and nothing more is remembered.  While `is_full` every write fails as on a full disk.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct control {
    _Atomic uint64_t calls;
    _Atomic uint64_t kill_at; /* 0: never */
    _Atomic uint64_t is_cut;  /* kill_at is a power cut */
    _Atomic uint64_t is_dark; /* the power is off */
    _Atomic uint64_t is_full;
};

enum { DESCRIPTORS_MAX = 65536, PATH_SIZE = 4096 };

static struct control *control;
static const char *folder, *shadow;
static size_t folder_length;
static _Atomic unsigned char is_watched[DESCRIPTORS_MAX];

#define REAL(name) ((__typeof__(&(name)))real_of(#name))

static void *real_of(const char *name)
{
    return dlsym(RTLD_NEXT, name);
}

__attribute__((constructor)) static void start(void)
{
    const char *file = getenv("FORGETFUL_CONTROL");
    int fd = file ? REAL(open64)(file, O_RDWR | O_CLOEXEC) : -1;

    folder = getenv("FORGETFUL_FOLDER");
    shadow = getenv("FORGETFUL_SHADOW");
    if (fd < 0 || !folder || !shadow)
        return;
    folder_length = strlen(folder);
    control = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED)
        abort();
    REAL(close)(fd);
}

/* --- the calls that count --------------------------------------------------------- */

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

/* One more change of the folder; it may be the last. */
static void count_call(void)
{
    uint64_t call, kill_at;

    if (control->is_dark)
        die();
    call = ++control->calls;
    kill_at = control->kill_at;
    if (kill_at == 0 || call < kill_at ||
        !atomic_compare_exchange_strong(&control->kill_at, &kill_at, 0))
        return;
    if (control->is_cut)
        control->is_dark = 1;
    die();
}

static int path_is_watched(const char *path)
{
    return control && strncmp(path, folder, folder_length) == 0 &&
           (path[folder_length] == '/' || path[folder_length] == '\0');
}

static int fd_is_watched(int fd)
{
    return control && fd >= 0 && fd < DESCRIPTORS_MAX && is_watched[fd];
}

static int at_is_watched(int fd, const char *path)
{
    return path[0] == '/' ? path_is_watched(path) : fd_is_watched(fd);
}

static int watch(int fd, int watched)
{
    if (fd >= 0 && fd < DESCRIPTORS_MAX)
        is_watched[fd] = (unsigned char)watched;
    return fd;
}

/* --- what survives ------------------------------------------------------------------ */

static void shadow_path(char *path, const char *kind, uint64_t inode, const char *more)
{
    snprintf(path, PATH_SIZE, "%s/%s-%llu%s", shadow, kind, (unsigned long long)inode, more);
}

/* Puts a complete file into its place; not once the power is off. */
static void publish(const char *made, const char *kind, uint64_t inode)
{
    char path[PATH_SIZE];

    shadow_path(path, kind, inode, "");
    if (control->is_dark)
        die();
    if (REAL(rename)(made, path) != 0)
        abort();
}

static int make(char path[PATH_SIZE], const char *kind, uint64_t inode)
{
    static _Atomic unsigned number;
    char more[64];
    int fd;

    snprintf(more, sizeof(more), ".%d.%u", (int)getpid(), ++number);
    shadow_path(path, kind, inode, more);
    fd = REAL(open64)(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        abort();
    return fd;
}

static void remember_file(int fd, const struct stat *status)
{
    static __thread char bytes[1 << 16];
    char path[PATH_SIZE];
    int to = make(path, "data", status->st_ino);
    off_t at = 0;
    ssize_t count;

    while ((count = pread(fd, bytes, sizeof(bytes), at)) > 0) {
        if (REAL(write)(to, bytes, (size_t)count) != count)
            abort();
        at += count;
    }
    if (count < 0)
        abort(); /* a file that is synced is open for reading, too */
    REAL(close)(to);
    publish(path, "data", status->st_ino);
}

static void remember_names(int fd, const struct stat *status)
{
    char path[PATH_SIZE], line[512];
    int to = make(path, "names", status->st_ino);
    int again = REAL(openat64)(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *entries = again >= 0 ? fdopendir(again) : NULL;

    if (!entries)
        abort();
    for (struct dirent *entry; (entry = readdir(entries));) {
        int length = snprintf(line, sizeof(line), "%s %llu\n", entry->d_name,
                              (unsigned long long)entry->d_ino);

        if (strcmp(entry->d_name, "..") != 0 && REAL(write)(to, line, (size_t)length) != length)
            abort();
    }
    closedir(entries);
    REAL(close)(to);
    publish(path, "names", status->st_ino);
}

static int remember(int fd)
{
    struct stat status;

    count_call();
    if (fstat(fd, &status) != 0)
        return -1;
    if (S_ISDIR(status.st_mode))
        remember_names(fd, &status);
    else
        remember_file(fd, &status);
    return 0;
}

/* The inode of a file that loses its name stays taken. */
static void keep_inode(int fd, const char *name)
{
    char path[PATH_SIZE];
    struct stat status;

    if (fstatat(fd, name, &status, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(status.st_mode))
        return;
    shadow_path(path, "kept", status.st_ino, "");
    if (linkat(fd, name, AT_FDCWD, path, 0) != 0 && errno != EEXIST)
        abort();
}

/* --- the calls ------------------------------------------------------------------------ */

int fsync(int fd)
{
    return fd_is_watched(fd) ? remember(fd) : REAL(fsync)(fd);
}

int fdatasync(int fd)
{
    return fd_is_watched(fd) ? remember(fd) : REAL(fdatasync)(fd);
}

/* Whether a write may be tried; false and errno when the disk is full. */
static int may_write(int fd)
{
    if (!fd_is_watched(fd))
        return 1;
    count_call();
    errno = ENOSPC;
    return !control->is_full;
}

ssize_t write(int fd, const void *bytes, size_t count)
{
    return may_write(fd) ? REAL(write)(fd, bytes, count) : -1;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset)
{
    return may_write(fd) ? REAL(pwrite64)(fd, bytes, count, offset) : -1;
}

int ftruncate64(int fd, off64_t length)
{
    if (fd_is_watched(fd))
        count_call();
    return REAL(ftruncate64)(fd, length);
}

static int rename_watched(int from_fd, const char *from, int to_fd, const char *to)
{
    count_call();
    keep_inode(to_fd, to);
    return REAL(renameat)(from_fd, from, to_fd, to);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    if (control && at_is_watched(to_fd, to))
        return rename_watched(from_fd, from, to_fd, to);
    return REAL(renameat)(from_fd, from, to_fd, to);
}

int rename(const char *from, const char *to)
{
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

int unlinkat(int fd, const char *name, int flags)
{
    if (control && at_is_watched(fd, name)) {
        count_call();
        keep_inode(fd, name);
    }
    return REAL(unlinkat)(fd, name, flags);
}

int unlink(const char *name)
{
    return unlinkat(AT_FDCWD, name, 0);
}

int close(int fd)
{
    watch(fd, 0);
    return REAL(close)(fd);
}

static mode_t mode_of(int flags, va_list arguments)
{
    return flags & O_CREAT ? va_arg(arguments, mode_t) : 0;
}

int openat64(int at, const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;
    int is_ours = control && at_is_watched(at, path);

    va_start(arguments, flags);
    mode = mode_of(flags, arguments);
    va_end(arguments);
    /* What is synced is read, so nothing is opened for writing alone. */
    if (is_ours && (flags & O_ACCMODE) == O_WRONLY)
        flags = (flags & ~O_ACCMODE) | O_RDWR;
    if (is_ours && flags & O_CREAT)
        count_call();
    return watch(REAL(openat64)(at, path, flags, mode), is_ours);
}

int openat(int at, const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = mode_of(flags, arguments);
    va_end(arguments);
    return openat64(at, path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = mode_of(flags, arguments);
    va_end(arguments);
    return openat64(AT_FDCWD, path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = mode_of(flags, arguments);
    va_end(arguments);
    return openat64(AT_FDCWD, path, flags, mode);
}
