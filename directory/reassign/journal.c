/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines are put together in memory and written at once.  A write that fails half way is taken
 * back, so that the file always ends with a whole line.  What a killed tool must not lose is safe
 * in the kernel; the disk gets it at the first batch, once a second, and at the end: a sync for
 * each batch takes a tenth of the batch's time, on a disk that a server syncs, too.
 */
#include "directory/reassign/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/memory.h"
#include "directory/reassign/journal_folder.h"

enum {
    JOURNAL_PATH_SIZE = 1200,
    JOURNAL_TIME_SIZE = 80,
    JOURNAL_NAMES_MAX = 100,
    JOURNAL_SYNC_MS = 1000,
    JOURNAL_LINE_MAX = 1024 /* of a line without its values, escaped */
};

struct journal {
    const struct reassign_plan *plan;
    int folder; /* locked as long as the run lasts, when nobody else had locked it */
    bool is_alone;
    int fd;
    off_t length; /* of whole lines */
    size_t entry_count;
    uint64_t synced_ms;  /* 0: never */
    struct buffer lines; /* owned memory; grows */
    char path[JOURNAL_PATH_SIZE];
};

static const char *const journal_outcome_names[] = {
    [JOURNAL_DONE] = "done",
    [JOURNAL_NOT_DONE] = "not done",
    [JOURNAL_UNKNOWN] = "unknown",
};

/* --- lines ---------------------------------------------------------------------------- */

/* Room for `size` bytes more. */
static void journal_reserve(struct journal *journal, size_t size)
{
    struct buffer *lines = &journal->lines;

    if (buffer_room(lines) >= size)
        return;
    lines->capacity = 2 * (lines->length + size);
    lines->data = memory_resize(lines->data, lines->capacity);
}

/*
 * As a JSON string.  What is not printable ASCII becomes a backslash and two hexadecimal digits:
 * in a DN that is another spelling of the same (RFC 4514 section 2.4).
 */
static void journal_append_text(struct journal *journal, const char *text)
{
    struct buffer *lines = &journal->lines;

    if (!text) {
        journal_reserve(journal, 4);
        buffer_append_string(lines, "null");
        return;
    }
    journal_reserve(journal, 4 * strlen(text) + 3);
    buffer_append_byte(lines, '"');
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;

        if (byte < ' ' || byte >= 0x7f)
            buffer_append_format(lines, "\\\\%02X", byte);
        else if (byte == '"' || byte == '\\')
            buffer_append_format(lines, "\\%c", byte);
        else
            buffer_append_byte(lines, (char)byte);
    }
    buffer_append_byte(lines, '"');
}

static void journal_append_format(struct journal *journal, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* What is short: at most JOURNAL_LINE_MAX bytes. */
static void journal_append_format(struct journal *journal, const char *format, ...)
{
    va_list arguments;

    journal_reserve(journal, JOURNAL_LINE_MAX);
    va_start(arguments, format);
    buffer_append_vformat(&journal->lines, format, arguments);
    va_end(arguments);
}

static void journal_append_pair(struct journal *journal, const char *name, const char *before,
                                const char *after)
{
    journal_append_format(journal, ",\"%s\":[", name);
    journal_append_text(journal, before);
    journal_append_format(journal, ",");
    journal_append_text(journal, after);
    journal_append_format(journal, "]");
}

static void journal_append_object(struct journal *journal, json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT | JSON_ENSURE_ASCII);

    json_decref(object);
    if (!text)
        memory_exhausted();
    journal_reserve(journal, strlen(text) + 1);
    buffer_append_string(&journal->lines, text);
    buffer_append_byte(&journal->lines, '\n');
    free(text);
}

static bool journal_fail(struct journal *journal, int code, char error[REASSIGN_ERROR_SIZE])
{
    snprintf(error, REASSIGN_ERROR_SIZE, "the journal %.300s cannot be written: %s", journal->path,
             strerror(code));
    return false;
}

/* Writes the lines that wait behind those that are whole; on a failure none of them. */
static bool journal_write(struct journal *journal, char error[REASSIGN_ERROR_SIZE])
{
    struct span rest = buffer_span(&journal->lines);
    off_t length = journal->length;
    int code;

    buffer_clear(&journal->lines);
    while (rest.length > 0) {
        ssize_t count = pwrite(journal->fd, rest.data, rest.length, length);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            code = count < 0 ? errno : ENOSPC;
            if (ftruncate(journal->fd, journal->length) != 0)
                code = errno;
            return journal_fail(journal, code, error);
        }
        rest = span_drop(rest, (size_t)count);
        length += count;
    }
    journal->length = length;
    return true;
}

static bool journal_sync(struct journal *journal, char error[REASSIGN_ERROR_SIZE])
{
    journal->synced_ms = clock_monotonic_ms();
    return fdatasync(journal->fd) == 0 || journal_fail(journal, errno, error);
}

static bool journal_sync_if_due(struct journal *journal, char error[REASSIGN_ERROR_SIZE])
{
    return clock_monotonic_ms() < journal->synced_ms + JOURNAL_SYNC_MS ||
           journal_sync(journal, error);
}

/* --- the file ----------------------------------------------------------------------------- */

/* "2024-05-01T17:03:12Z", or without what is awkward in the name of a file. */
static void journal_format_time(bool is_name, char text[JOURNAL_TIME_SIZE])
{
    time_t now = time(NULL);
    struct tm utc;

    if (gmtime_r(&now, &utc))
        snprintf(text, JOURNAL_TIME_SIZE,
                 is_name ? "%04d%02d%02dT%02d%02d%02dZ" : "%04d-%02d-%02dT%02d:%02d:%02dZ",
                 utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min,
                 utc.tm_sec);
    else
        text[0] = '\0';
}

/* Makes a file that nobody has yet. */
static bool journal_make_file(struct journal *journal, char error[REASSIGN_ERROR_SIZE])
{
    const struct reassign_plan *plan = journal->plan;
    char when[JOURNAL_TIME_SIZE], name[JOURNAL_LINE_MAX];

    journal_format_time(true, when);
    journal->fd = -1;
    for (int i = 1; journal->fd < 0 && i <= JOURNAL_NAMES_MAX; i++) {
        snprintf(name, sizeof(name), "%s-%s-%d%s%.0d.jsonl",
                 plan->kind == REASSIGN_MOVE ? "reassign" : "restore", when, (int)getpid(),
                 i > 1 ? "-" : "", i > 1 ? i : 0);
        journal->fd =
            openat(journal->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                   S_IRUSR | S_IWUSR);
        if (journal->fd < 0 && errno != EEXIST)
            break;
    }
    if (journal->fd < 0) {
        journal_folder_refuse(plan->journal_directory, strerror(errno), error);
        return false;
    }
    snprintf(journal->path, sizeof(journal->path), "%s/%s", plan->journal_directory, name);
    return true;
}

/* --- the first line ----------------------------------------------------------------------- */

/* NULL for a text that is no UTF-8, which JSON cannot hold. */
static void journal_set_text(json_t *object, const char *key, const char *text)
{
    json_t *value = text ? json_string(text) : NULL;

    json_object_set_new(object, key, value ? value : json_null());
}

static void journal_set_who(json_t *run)
{
    const struct passwd *account = getpwuid(getuid());
    char machine[256] = "";

    if (gethostname(machine, sizeof(machine) - 1) != 0)
        machine[0] = '\0';
    journal_set_text(run, "user", account ? account->pw_name : NULL);
    json_object_set_new(run, "uid", json_integer(getuid()));
    journal_set_text(run, "sudo_user", getenv("SUDO_USER"));
    journal_set_text(run, "machine", machine);
    json_object_set_new(run, "pid", json_integer(getpid()));
}

static void journal_set_options(json_t *run, const struct reassign_plan *plan)
{
    json_t *domains = json_array();

    journal_set_text(run, "command", plan->kind == REASSIGN_MOVE ? "reassign" : "restore");
    journal_set_text(run, "from", plan->from);
    journal_set_text(run, "to", plan->to);
    json_object_set_new(run, "permanent", json_boolean(plan->is_permanent));
    for (size_t i = 0; i < plan->domain_count; i++)
        json_array_append_new(domains, json_string(plan->domains[i]));
    json_object_set_new(run, "domains", domains);
    journal_set_text(run, "filter", plan->filter);
    json_object_set_new(run, "limit", json_integer((json_int_t)plan->limit));
    json_object_set_new(run, "rate", json_integer(plan->rate));
}

static bool journal_write_head(struct journal *journal, const struct config *config,
                               const char *server, char error[REASSIGN_ERROR_SIZE])
{
    json_t *run = json_pack("{s:s,s:s}", "event", "run", "version", PACKAGE_VERSION);
    char when[JOURNAL_TIME_SIZE];

    journal_format_time(false, when);
    journal_set_text(run, "time", when);
    journal_set_options(run, journal->plan);
    journal_set_text(run, "server", server);
    journal_set_text(run, "bind_dn",
                     config->admin.bind_dn ? config->admin.bind_dn : config->directory.bind_dn);
    journal_set_text(run, "configuration", config->file);
    journal_set_who(run);
    journal_append_object(journal, run);
    return journal_write(journal, error);
}

/* --- what others call ----------------------------------------------------------------------- */

static void journal_free(struct journal *journal)
{
    if (journal->fd >= 0)
        close(journal->fd);
    close(journal->folder);
    free(journal->lines.data);
    free(journal);
}

struct journal *journal_open(const struct config *config, const struct reassign_plan *plan,
                             const char *server, char error[REASSIGN_ERROR_SIZE])
{
    int folder = journal_folder_open(plan->journal_directory, error);
    struct journal *journal;

    if (folder < 0)
        return NULL;
    journal = memory_new(sizeof(*journal));
    journal->plan = plan;
    journal->folder = folder;
    journal->is_alone = flock(folder, LOCK_EX | LOCK_NB) == 0;
    if (!journal_make_file(journal, error) || !journal_write_head(journal, config, server, error) ||
        (fsync(folder) != 0 && !journal_fail(journal, errno, error))) {
        journal_free(journal);
        return NULL;
    }
    return journal;
}

bool journal_is_alone(const struct journal *journal)
{
    return journal->is_alone;
}

const char *journal_path(const struct journal *journal)
{
    return journal->path;
}

bool journal_intend(struct journal *journal, struct plan_item *const *items, size_t count,
                    char error[REASSIGN_ERROR_SIZE])
{
    for (size_t i = 0; i < count; i++) {
        struct plan_item *item = items[i];

        item->number = ++journal->entry_count;
        journal_append_format(journal,
                              "{\"event\":\"intended\",\"entry\":%zu,\"dn\":", item->number);
        journal_append_text(journal, item->dn);
        journal_append_pair(journal, "host", item->host, plan_host_after(journal->plan));
        journal_append_pair(journal, "old_host", item->old_host,
                            plan_old_host_after(journal->plan, item));
        journal_append_format(journal, "}\n");
    }
    return journal_write(journal, error) && journal_sync_if_due(journal, error);
}

bool journal_settle(struct journal *journal, enum journal_outcome outcome,
                    struct plan_item *const *items, size_t count, const char *why,
                    char error[REASSIGN_ERROR_SIZE])
{
    if (count == 0)
        return true;
    journal_append_format(journal, "{\"event\":\"%s\",\"entries\":[%zu,%zu]",
                          journal_outcome_names[outcome], items[0]->number,
                          items[count - 1]->number);
    if (why && *why) {
        journal_append_format(journal, ",\"why\":");
        journal_append_text(journal, why);
    }
    journal_append_format(journal, "}\n");
    return journal_write(journal, error);
}

bool journal_close(struct journal *journal, const struct reassign_result *result,
                   char error[REASSIGN_ERROR_SIZE])
{
    const struct reassign_progress *progress = &result->progress;
    json_t *end = json_pack("{s:s,s:s}", "event", "end", "end", reassign_end_name(result->end));
    char when[JOURNAL_TIME_SIZE];
    bool is_kept;

    journal_format_time(false, when);
    journal_set_text(end, "time", when);
    json_object_set_new(end, "found", json_integer((json_int_t)progress->found));
    json_object_set_new(end, "moved", json_integer((json_int_t)progress->moved));
    json_object_set_new(end, "skipped", json_integer((json_int_t)progress->skipped));
    json_object_set_new(end, "failed", json_integer((json_int_t)progress->failed));
    journal_set_text(end, "error", *result->error ? result->error : NULL);
    journal_append_object(journal, end);
    is_kept = journal_write(journal, error) && journal_sync(journal, error);
    journal_free(journal);
    return is_kept;
}
