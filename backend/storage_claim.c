/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The marker and the claim, as files.  Both are small, are written whole, and are
 * judged strictly: what makes no sense is refused and never overwritten unless an operator says so.
 *
 * A lock that is held elsewhere although its holder was fenced, as an NFS server does until
 * a lease is over, is left to a file that has no name any more: should its holder live on, its
 * next check finds that.
 */
#include "backend/storage_claim.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/buffer.h"
#include "common/base/clock.h"

#define MARKER_NAME ".mailstead-server"
#define CLAIM_NAME ".mailstead-claim"
#define MARKER_HEAD "mailstead storage 1\nserver "
#define CLAIM_HEAD "mailstead claim 1\n"

enum { FILE_SIZE_MAX = 512, LOCK_WAIT_MS = 2000, LOCK_RETRY_MS = 20, CLAIM_ATTEMPTS = 3 };

/* What a claim says. */
struct claim_text {
    char node[BOARD_SERVER_SIZE]; /* empty: nobody ever had it */
    char boot[CLAIM_BOOT_SIZE];   /* of the holder's machine, as the kernel calls it */
    uint64_t pid, since_s, seen_s;
    bool is_held;
};

static bool refuse(char why[STORAGE_WHY_SIZE], const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool refuse(char why[STORAGE_WHY_SIZE], const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(why, STORAGE_WHY_SIZE, format, arguments);
    va_end(arguments);
    return false;
}

void storage_path(const struct storage_config *config, const char *server,
                  char path[STORAGE_PATH_SIZE])
{
    snprintf(path, STORAGE_PATH_SIZE, "%s/%s", config->directory, server);
}

/* --- the folder --------------------------------------------------------------------------- */

static bool is_mount_point(const char *path)
{
    struct statx status;

    return statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, STATX_TYPE, &status) == 0 &&
           (status.stx_attributes & STATX_ATTR_MOUNT_ROOT);
}

static bool folder_is_mounted(const struct storage_place *place, const char *path,
                              char why[STORAGE_WHY_SIZE])
{
    enum storage_mount required = place->config->require_mount;

    if (required == STORAGE_MOUNT_OFF || is_mount_point(path) ||
        (required == STORAGE_MOUNT_DIRECTORY && is_mount_point(place->config->directory)))
        return true;
    return refuse(why, "%.300s is not mounted", path);
}

/* The server's folder, or -1; it is mounted as it must be. */
static int folder_open(const struct storage_place *place, char why[STORAGE_WHY_SIZE])
{
    char path[STORAGE_PATH_SIZE];
    int folder;

    storage_path(place->config, place->server, path);
    folder = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (folder < 0) {
        refuse(why, "%.300s: %s", path, strerror(errno));
    } else if (!folder_is_mounted(place, path, why)) {
        close(folder);
        folder = -1;
    }
    return folder;
}

/* --- small files ---------------------------------------------------------------------------- */

/* Opens a file of ours: a regular one with one name.  -1 and errno. */
static int file_open(int folder, const char *name, int flags)
{
    struct stat status;
    int fd = openat(folder, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0644);

    if (fd < 0)
        return -1;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_nlink <= 1)
        return fd;
    close(fd);
    errno = EMLINK; /* somebody put something else in its place */
    return -1;
}

/* The whole of a file; false when it cannot be read or is longer than ours are. */
static bool file_read(int fd, char text[FILE_SIZE_MAX + 1])
{
    ssize_t count = pread(fd, text, FILE_SIZE_MAX + 1, 0);

    if (count < 0 || count > FILE_SIZE_MAX)
        return false;
    text[count] = '\0';
    return strlen(text) == (size_t)count;
}

/* --- the marker ------------------------------------------------------------------------------- */

static void marker_write_text(const char *server, char text[FILE_SIZE_MAX + 1])
{
    snprintf(text, FILE_SIZE_MAX + 1, MARKER_HEAD "%s\n", server);
}

/* What is there is no marker for `server`: says what it is. */
static bool marker_refuse(const char *text, const char *server, char why[STORAGE_WHY_SIZE])
{
    size_t head = strlen(MARKER_HEAD);
    struct span other;

    if (strncmp(text, MARKER_HEAD, head) != 0)
        return refuse(why, "the marker " MARKER_NAME " makes no sense, or is of another version");
    other = span_from_string(text + head);
    other = span_take(other, span_find(other, '\n'));
    return refuse(why, "this is the storage of server \"%.*s\", not of \"%s\"", SPAN_PRINTF(other),
                  server);
}

static bool marker_check(int folder, const char *server, char why[STORAGE_WHY_SIZE])
{
    char text[FILE_SIZE_MAX + 1] = "", expected[FILE_SIZE_MAX + 1];
    int fd = file_open(folder, MARKER_NAME, O_RDONLY);
    bool is_read;

    if (fd < 0 && errno == ENOENT)
        return refuse(why,
                      "there is no marker; if this really is the storage of \"%s\": mailstead "
                      "storage init %s",
                      server, server);
    if (fd < 0)
        return refuse(why, MARKER_NAME ": %s", strerror(errno));
    is_read = file_read(fd, text);
    close(fd);
    if (!is_read)
        return refuse(why, MARKER_NAME " cannot be read: %s", strerror(errno));
    marker_write_text(server, expected);
    return strcmp(text, expected) == 0 || marker_refuse(text, server, why);
}

static bool write_synced(int fd, const char *text, size_t length)
{
    return pwrite(fd, text, length, 0) == (ssize_t)length && fsync(fd) == 0;
}

/* Never half a marker: it gets its name when it is whole. */
static bool marker_make(int folder, const char *server, char why[STORAGE_WHY_SIZE])
{
    static const char name[] = MARKER_NAME ".new";
    char text[FILE_SIZE_MAX + 1];
    bool is_made;
    int fd;

    marker_write_text(server, text);
    unlinkat(folder, name, 0);
    fd = file_open(folder, name, O_WRONLY | O_CREAT | O_EXCL);
    is_made = fd >= 0 && write_synced(fd, text, strlen(text)) &&
              renameat2(folder, name, folder, MARKER_NAME, RENAME_NOREPLACE) == 0 &&
              fsync(folder) == 0;
    if (!is_made) {
        refuse(why, "the marker cannot be made: %s", strerror(errno));
        unlinkat(folder, name, 0);
    }
    if (fd >= 0)
        close(fd);
    return is_made;
}

bool storage_mark(const struct storage_place *place, char why[STORAGE_WHY_SIZE])
{
    char path[STORAGE_PATH_SIZE];
    bool is_marked;
    int folder;

    storage_path(place->config, place->server, path);
    if (place->config->require_mount != STORAGE_MOUNT_SERVER && mkdir(path, 0755) != 0 &&
        errno != EEXIST)
        return refuse(why, "%.300s cannot be made: %s", path, strerror(errno));
    folder = folder_open(place, why);
    if (folder < 0)
        return false;
    is_marked = faccessat(folder, MARKER_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0
                    ? marker_check(folder, place->server, why)
                    : marker_make(folder, place->server, why);
    close(folder);
    return is_marked;
}

/* --- the claim's text ---------------------------------------------------------------------------
 */

/* A word of ours for this boot of this machine; empty when the kernel does not tell. */
static void read_boot_id(char boot[CLAIM_BOOT_SIZE])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t count = fd < 0 ? -1 : read(fd, boot, CLAIM_BOOT_SIZE - 1);

    boot[count > 0 ? count : 0] = '\0';
    boot[strcspn(boot, "\n")] = '\0';
    if (fd >= 0)
        close(fd);
}

/* Takes "NAME VALUE\n" off the text; false when it does not stand there. */
static bool take_line(struct span *text, const char *name, struct span *value)
{
    struct span line = span_split(text, '\n'), word = span_split(&line, ' ');

    *value = line;
    return span_equals(word, span_from_string(name));
}

static bool take_number(struct span *text, const char *name, uint64_t *value)
{
    struct span word;

    return take_line(text, name, &word) && span_parse_u64(word, value);
}

static bool claim_parse(const char *bytes, struct claim_text *text)
{
    struct span rest = span_from_string(bytes), head = span_split(&rest, '\n'), word;

    *text = (struct claim_text){ .is_held = false };
    if (head.length == 0 && rest.length == 0)
        return true;
    if (!span_equals(head, span_take(SPAN_LITERAL(CLAIM_HEAD), sizeof(CLAIM_HEAD) - 2)) ||
        !take_line(&rest, "node", &word) || !span_copy_string(word, text->node, sizeof(text->node)))
        return false;
    if (!take_number(&rest, "pid", &text->pid) || !take_line(&rest, "boot", &word) ||
        !span_copy_string(word, text->boot, sizeof(text->boot)))
        return false;
    if (!take_number(&rest, "since", &text->since_s) ||
        !take_number(&rest, "seen", &text->seen_s) || !take_line(&rest, "state", &word))
        return false;
    text->is_held = span_equals(word, SPAN_LITERAL("held"));
    return text->is_held || span_equals(word, SPAN_LITERAL("released"));
}

/* Always of one size, so that a write in its place needs no room on a full disk. */
static bool claim_write(int fd, const struct storage_place *place, int64_t since_s, bool is_held)
{
    char text[FILE_SIZE_MAX + 1], boot[CLAIM_BOOT_SIZE];
    int length;

    read_boot_id(boot);
    length = snprintf(text, sizeof(text),
                      CLAIM_HEAD "node %s\npid %ld\nboot %s\nsince %lld\nseen %lld\nstate %s\n",
                      place->node, (long)getpid(), boot, (long long)since_s,
                      (long long)(clock_wall_ms() / 1000), is_held ? "held" : "released");
    memset(text + length, ' ', FILE_SIZE_MAX - (size_t)length);
    text[FILE_SIZE_MAX - 1] = '\n';
    return write_synced(fd, text, FILE_SIZE_MAX);
}

static bool claim_read(int fd, struct claim_text *text)
{
    char bytes[FILE_SIZE_MAX + 1];

    return file_read(fd, bytes) && claim_parse(bytes, text);
}

/* The file may say what no calendar has. */
static void format_time(uint64_t seconds, char text[32])
{
    time_t moment = (time_t)seconds;
    struct tm parts;

    if (!gmtime_r(&moment, &parts) || strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(text, 32, "second %llu", (unsigned long long)seconds);
}

static void claim_describe(const struct claim_text *text, char words[STORAGE_WHY_SIZE])
{
    char since[32], seen[32];

    format_time(text->since_s, since);
    format_time(text->seen_s, seen);
    snprintf(words, STORAGE_WHY_SIZE,
             "node \"%s\" (process %llu, boot %.8s) since %s, last seen %s", text->node,
             (unsigned long long)text->pid, text->boot, since, seen);
}

/* --- taking the claim
 * ----------------------------------------------------------------------------- */

/* A holder on this very machine is no matter of words: it can be ended. */
static bool is_of_this_boot(const struct claim_text *text)
{
    char boot[CLAIM_BOOT_SIZE];

    read_boot_id(boot);
    return *boot && strcmp(boot, text->boot) == 0;
}

static bool is_stopped(uint64_t pid)
{
    char path[64], text[FILE_SIZE_MAX + 1];
    const char *state;
    ssize_t count;
    int fd;

    snprintf(path, sizeof(path), "/proc/%llu/stat", (unsigned long long)pid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    count = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    text[count > 0 ? count : 0] = '\0';
    state = strrchr(text, ')');
    return state && strlen(state) > 2 && state[2] == 'T';
}

/* Another process has the lock, and keeps it: whether a word could help is in `*may_replace`. */
static bool lock_refuse(int fd, bool *may_replace, char why[STORAGE_WHY_SIZE])
{
    struct claim_text text;
    char holder[STORAGE_WHY_SIZE];

    *may_replace = false;
    if (!claim_read(fd, &text) || !*text.node)
        return refuse(why, "it is locked by a process that does not say which");
    claim_describe(&text, holder);
    if (is_of_this_boot(&text))
        return refuse(why, "it is locked by %.300s%s", holder,
                      is_stopped(text.pid) ? ": that process is stopped" : "");
    *may_replace = true;
    return refuse(why, "it is locked by %.300s", holder);
}

/* What another process of this node holds is waited for: it is on its way out. */
static bool lock_wait(int fd, const struct storage_place *place)
{
    struct claim_text text;
    bool is_own = claim_read(fd, &text) && strcmp(text.node, place->node) == 0;
    uint64_t deadline_ms = clock_monotonic_ms() + (is_own ? LOCK_WAIT_MS : 0);

    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if ((errno != EWOULDBLOCK && errno != EINTR) || clock_monotonic_ms() >= deadline_ms)
            return false;
        poll(NULL, 0, LOCK_RETRY_MS);
    }
    return true;
}

/* Whether the file that is open is the one that has the name. */
static bool has_name(int folder, int fd)
{
    struct stat open_file, named;

    return fstat(fd, &open_file) == 0 &&
           fstatat(folder, CLAIM_NAME, &named, AT_SYMLINK_NOFOLLOW) == 0 &&
           open_file.st_ino == named.st_ino && open_file.st_dev == named.st_dev;
}

/*
 * The claim's file, locked; -1 and why.  When its holder was fenced and the lock is still
 * there, that file loses its name, and a new one is locked.
 */
static int claim_lock(int folder, const struct storage_place *place, bool holder_was_fenced,
                      char why[STORAGE_WHY_SIZE])
{
    for (int i = 0; i < CLAIM_ATTEMPTS; i++) {
        int fd = file_open(folder, CLAIM_NAME, O_RDWR | O_CREAT);
        bool may_replace = false;

        if (fd < 0) {
            refuse(why, CLAIM_NAME ": %s", strerror(errno));
            return -1;
        }
        if (lock_wait(fd, place)) {
            if (has_name(folder, fd))
                return fd;
        } else if (errno != EWOULDBLOCK) {
            refuse(why, "it cannot be locked: %s", strerror(errno));
            close(fd);
            return -1;
        } else {
            lock_refuse(fd, &may_replace, why);
            if (!may_replace || !holder_was_fenced) {
                close(fd);
                return -1;
            }
            unlinkat(folder, CLAIM_NAME, 0);
        }
        close(fd);
    }
    refuse(why, "others are claiming it at the same time");
    return -1;
}

/* Whether what the claim says lets this node have it. */
static bool claim_may_be_ours(int fd, const struct storage_place *place, bool holder_was_fenced,
                              char why[STORAGE_WHY_SIZE])
{
    struct claim_text text;
    char holder[STORAGE_WHY_SIZE];

    if (holder_was_fenced)
        return true;
    if (!claim_read(fd, &text))
        return refuse(why,
                      CLAIM_NAME " makes no sense; when it is sure that no other node has this "
                                 "storage: mailstead storage attach --fenced");
    if (!text.is_held || strcmp(text.node, place->node) == 0)
        return true;
    claim_describe(&text, holder);
    return refuse(why, "%.300s has not released it; when that node is off: --fenced", holder);
}

bool claim_take(const struct storage_place *place, bool holder_was_fenced, struct claim *claim,
                char why[STORAGE_WHY_SIZE])
{
    int folder = folder_open(place, why), fd = -1;
    struct stat status;
    bool is_taken;

    if (folder >= 0 && marker_check(folder, place->server, why))
        fd = claim_lock(folder, place, holder_was_fenced, why);
    is_taken = fd >= 0 && claim_may_be_ours(fd, place, holder_was_fenced, why);
    if (is_taken && (!claim_write(fd, place, clock_wall_ms() / 1000, true) || fsync(folder) != 0 ||
                     fstat(fd, &status) != 0))
        is_taken = refuse(why, "it cannot be written: %s", strerror(errno));
    if (folder >= 0)
        close(folder);
    if (!is_taken && fd >= 0)
        close(fd);
    if (is_taken)
        *claim = (struct claim){ fd, status.st_dev, status.st_ino, clock_wall_ms() / 1000 };
    return is_taken;
}

/* --- while it is held ------------------------------------------------------------------------- */

/*
 * Opens the claim anew, by its path, as the mail store would its files: a file system that has
 * become read-only, or another that is mounted above it, is not seen through the old descriptor.
 */
static int claim_reopen(int folder, const struct claim *claim, char why[STORAGE_WHY_SIZE])
{
    struct claim_text text;
    char holder[STORAGE_WHY_SIZE] = "somebody";
    struct stat status;
    int fd = file_open(folder, CLAIM_NAME, O_RDWR);

    if (fd < 0 || fstat(fd, &status) != 0) {
        refuse(why, "it cannot be written: %s", strerror(errno));
    } else if (status.st_ino == claim->inode && status.st_dev == claim->device) {
        return fd;
    } else {
        if (claim_read(fd, &text))
            claim_describe(&text, holder);
        refuse(why, "the claim is another now, of %.300s", holder);
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

static bool claim_renew(const struct storage_place *place, const struct claim *claim, bool is_held,
                        char why[STORAGE_WHY_SIZE])
{
    int folder = folder_open(place, why), fd = -1;
    bool is_written;

    if (folder >= 0 && marker_check(folder, place->server, why))
        fd = claim_reopen(folder, claim, why);
    if (folder >= 0)
        close(folder);
    if (fd < 0)
        return false;
    is_written = claim_write(fd, place, claim->since_s, is_held) ||
                 refuse(why, "it cannot be written: %s", strerror(errno));
    close(fd);
    return is_written;
}

bool claim_check(const struct storage_place *place, const struct claim *claim,
                 char why[STORAGE_WHY_SIZE])
{
    return claim_renew(place, claim, true, why);
}

bool claim_release(const struct storage_place *place, const struct claim *claim,
                   char why[STORAGE_WHY_SIZE])
{
    return claim_renew(place, claim, false, why);
}

bool claim_disclaim(const struct storage_place *place, char why[STORAGE_WHY_SIZE])
{
    int folder = folder_open(place, why);
    int fd = folder < 0 ? -1 : file_open(folder, CLAIM_NAME, O_RDWR);
    struct claim_text text;
    bool is_free = true;

    if (fd >= 0 && claim_read(fd, &text) && text.is_held && strcmp(text.node, place->node) == 0)
        is_free = lock_wait(fd, place) ? claim_write(fd, place, (int64_t)text.since_s, false)
                                       : refuse(why, "a process of this node has it locked");
    if (fd >= 0)
        close(fd);
    if (folder >= 0)
        close(folder);
    return is_free;
}
