/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Half a line that a killed run has left is closed with a line break and means nothing: what it
 * would have announced was not done.
 */
#include "admin/failover_journal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/memory.h"
#include "common/service/backend.h"
#include "directory/reassign/journal_folder.h"

enum { HELD_MAX = 64, FILE_MAX = 16 << 20, NAME_SIZE = 3 * BACKEND_NAME_SIZE + 32 };

struct failover_journal {
    int folder, fd;
    int held[HELD_MAX]; /* other nodes' files, locked */
    size_t held_count;
    char prior[BACKEND_NAME_SIZE]; /* empty: none */
    char path[REASSIGN_PATH_SIZE];
};

/* --- files -------------------------------------------------------------------------------- */

/* "failover-sv1.json"; a backend's name may have any bytes. */
static void file_name(const char *backend, char name[NAME_SIZE])
{
    size_t length = (size_t)snprintf(name, NAME_SIZE, "failover-");

    for (; *backend && length + 16 < NAME_SIZE; backend++) {
        bool is_plain = isalnum((unsigned char)*backend) || strchr("-_", *backend) ||
                        (*backend == '.' && length > 9);

        length += (size_t)snprintf(name + length, NAME_SIZE - length, is_plain ? "%c" : "%%%02X",
                                   (unsigned char)*backend);
    }
    snprintf(name + length, NAME_SIZE - length, ".json");
}

/* -1 and errno; EWOULDBLOCK: somebody else has it. */
static int open_locked(int folder, const char *backend, int lock)
{
    char name[NAME_SIZE];
    int fd, code;

    file_name(backend, name);
    fd = openat(folder, name, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW,
                S_IRUSR | S_IWUSR);
    if (fd < 0 || flock(fd, lock | LOCK_NB) == 0)
        return fd;
    code = errno;
    close(fd);
    errno = code;
    return -1;
}

/* --- what stands there ---------------------------------------------------------------------- */

static void take_line(struct failover_journal *journal, const json_t *line)
{
    const char *fact = json_string_value(json_object_get(line, "event"));
    const char *node = json_string_value(json_object_get(line, "node"));

    if (!fact || !node)
        return;
    if (strcmp(fact, "attaching") == 0)
        snprintf(journal->prior, sizeof(journal->prior), "%s", node);
    else if ((strcmp(fact, "released") == 0 || strcmp(fact, "off") == 0) &&
             strcmp(journal->prior, node) == 0)
        journal->prior[0] = '\0';
}

static void take_lines(struct failover_journal *journal, struct span text)
{
    while (text.length > 0) {
        struct span part = span_split(&text, '\n');
        json_t *line = json_loadb(part.data, part.length, 0, NULL);

        take_line(journal, line);
        json_decref(line);
    }
}

static bool read_all(int fd, char *text, size_t size)
{
    size_t length = 0;

    while (length < size) {
        ssize_t got = pread(fd, text + length, size - length, (off_t)length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        length += (size_t)got;
    }
    return true;
}

/* False and errno. */
static bool take_file(struct failover_journal *journal)
{
    struct stat status;
    bool is_read;
    char *text;

    if (fstat(journal->fd, &status) != 0)
        return false;
    if (status.st_size == 0)
        return true;
    if (status.st_size > FILE_MAX) {
        errno = EFBIG;
        return false;
    }
    text = memory_new((size_t)status.st_size);
    errno = EIO;
    is_read = read_all(journal->fd, text, (size_t)status.st_size);
    if (is_read && text[status.st_size - 1] != '\n')
        is_read = write(journal->fd, "\n", 1) == 1;
    if (is_read)
        take_lines(journal, span_of(text, (size_t)status.st_size));
    free(text);
    return is_read;
}

/* --- all of it ------------------------------------------------------------------------------ */

static bool open_files(struct failover_journal *journal, const char *directory, const char *backend,
                       enum failover_journal_trouble *trouble, char error[REASSIGN_ERROR_SIZE])
{
    char name[NAME_SIZE];

    *trouble = FAILOVER_JOURNAL_FAILED;
    journal->folder = journal_folder_open(directory, error);
    if (journal->folder < 0)
        return false;
    file_name(backend, name);
    snprintf(journal->path, sizeof(journal->path), "%.800s/%s", directory, name);
    journal->fd = open_locked(journal->folder, backend, LOCK_EX);
    if (journal->fd >= 0 && take_file(journal))
        return true;
    if (journal->fd < 0 && errno == EWOULDBLOCK) {
        *trouble = FAILOVER_JOURNAL_LOCKED;
        snprintf(error, REASSIGN_ERROR_SIZE,
                 "another failover or failback that concerns %.128s is under way on this machine",
                 backend);
    } else {
        snprintf(error, REASSIGN_ERROR_SIZE, "the journal %.300s cannot be used: %s", journal->path,
                 strerror(errno));
    }
    return false;
}

struct failover_journal *failover_journal_open(const char *directory, const char *backend,
                                               enum failover_journal_trouble *trouble,
                                               char error[REASSIGN_ERROR_SIZE])
{
    struct failover_journal *journal = memory_new(sizeof(*journal));

    journal->fd = -1;
    if (open_files(journal, directory, backend, trouble, error))
        return journal;
    failover_journal_close(journal);
    return NULL;
}

void failover_journal_close(struct failover_journal *journal)
{
    for (size_t i = 0; i < journal->held_count; i++)
        close(journal->held[i]);
    if (journal->fd >= 0)
        close(journal->fd);
    if (journal->folder >= 0)
        close(journal->folder);
    free(journal);
}

bool failover_journal_hold(struct failover_journal *journal, const char *node,
                           char error[REASSIGN_ERROR_SIZE])
{
    int fd = -1;

    errno = EMFILE;
    if (journal->held_count < HELD_MAX)
        fd = open_locked(journal->folder, node, LOCK_SH);
    if (fd >= 0) {
        journal->held[journal->held_count++] = fd;
        return true;
    }
    if (errno == EWOULDBLOCK)
        snprintf(error, REASSIGN_ERROR_SIZE, "a failover or failback of %.128s is under way", node);
    else
        snprintf(error, REASSIGN_ERROR_SIZE, "no lock for %.128s: %s", node, strerror(errno));
    return false;
}

const char *failover_journal_prior(const struct failover_journal *journal)
{
    return *journal->prior ? journal->prior : NULL;
}

bool failover_journal_write(struct failover_journal *journal, json_t *line,
                            char error[REASSIGN_ERROR_SIZE])
{
    char *text = json_dumps(line, JSON_COMPACT | JSON_ENSURE_ASCII);
    size_t length;
    bool is_written;

    json_decref(line);
    if (!text)
        memory_exhausted();
    length = strlen(text);
    text[length] = '\n'; /* where its NUL was */
    errno = ENOSPC;      /* of a write that is short */
    is_written = write(journal->fd, text, length + 1) == (ssize_t)(length + 1) &&
                 fdatasync(journal->fd) == 0;
    free(text);
    if (!is_written)
        snprintf(error, REASSIGN_ERROR_SIZE, "the journal %.300s cannot be written: %s",
                 journal->path, strerror(errno));
    return is_written;
}

const char *failover_journal_path(const struct failover_journal *journal)
{
    return journal->path;
}
