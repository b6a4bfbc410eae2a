/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a daemon needs of the system before its first child: the account to run
 * as, its directories, and a lock on the run directory that the children hold too: while
 * any process of a daemon lives, no second daemon starts there.  What the lock does not tell is
 * that the sockets of killed children are closed: see bind_all in supervisor.c.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/service/supervisor_state.h"

enum { FILE_PATH_SIZE = 1100 };

bool supervisor_find_account(const struct config *config, struct service_account *account,
                             char error[CONFIG_ERROR_SIZE])
{
    const struct passwd *entry;

    *account = (struct service_account){ .uid = geteuid(), .gid = getegid() };
    if (geteuid() != 0)
        return true;
    entry = *config->user ? getpwnam(config->user) : NULL;
    if (!entry || entry->pw_uid == 0) {
        snprintf(error, CONFIG_ERROR_SIZE,
                 "user: \"%s\" is %s; expected an account without privileges to run as",
                 config->user, entry ? "root" : "no account of this machine");
        return false;
    }
    account->is_switched_to = true;
    account->uid = entry->pw_uid;
    account->gid = entry->pw_gid;
    account->group_count = ACCOUNT_GROUPS_MAX;
    if (getgrouplist(config->user, entry->pw_gid, account->groups, &account->group_count) < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "user: \"%s\" is in more than %d groups", config->user,
                 ACCOUNT_GROUPS_MAX);
        return false;
    }
    return true;
}

/* Makes the folders above `path`, readable by all. */
static bool make_parents(const char *path)
{
    char parent[FILE_PATH_SIZE];

    snprintf(parent, sizeof(parent), "%s", path);
    for (char *slash = strchr(parent + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(parent, 0755) != 0 && errno != EEXIST)
            return false;
        *slash = '/';
    }
    return true;
}

static bool account_is_in_group(const struct service_account *account, gid_t gid)
{
    for (int i = 0; i < account->group_count; i++)
        if (account->groups[i] == gid)
            return true;
    return account->gid == gid;
}

static bool account_can_write(const struct service_account *account, const struct stat *status)
{
    if (status->st_uid == account->uid)
        return (status->st_mode & S_IRWXU) == S_IRWXU;
    if (account_is_in_group(account, status->st_gid))
        return (status->st_mode & S_IRWXG) == S_IRWXG;
    return (status->st_mode & S_IRWXO) == S_IRWXO;
}

/*
 * Gives a new directory its mode and, when we may, its owner.  Never through a link: who may write
 * to the folder above could have put one in its place.
 */
static bool own_directory(const struct service_account *account, const char *path, bool is_own)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    bool is_owned;
    int error;

    if (fd < 0)
        return false;
    is_owned =
        (!account->is_switched_to || fchown(fd, is_own ? account->uid : 0, account->gid) == 0) &&
        fchmod(fd, 0750) == 0;
    error = errno;
    close(fd);
    errno = error;
    return is_owned;
}

/* A new one belongs to the service account when it `is_own`, else to us with the account's group.
 */
static bool make_directory(const struct service_account *account, const char *option,
                           const char *path, bool is_own, char error[CONFIG_ERROR_SIZE])
{
    struct stat status;
    bool is_made = make_parents(path) && mkdir(path, 0700) == 0;

    if ((!is_made && errno != EEXIST) || (is_made && !own_directory(account, path, is_own))) {
        snprintf(error, CONFIG_ERROR_SIZE, "%s: %.300s cannot be made: %s", option, path,
                 strerror(errno));
        return false;
    }
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        snprintf(error, CONFIG_ERROR_SIZE, "%s: %.300s is no directory", option, path);
        return false;
    }
    if (is_own && !account_can_write(account, &status)) {
        snprintf(error, CONFIG_ERROR_SIZE,
                 "%s: user %u cannot write to %.300s; expected that it is its owner", option,
                 (unsigned)account->uid, path);
        return false;
    }
    return true;
}

bool supervisor_make_directories(const struct supervisor *supervisor, const struct config *config,
                                 char error[CONFIG_ERROR_SIZE])
{
    const struct service_account *account = &supervisor->account;

    return make_directory(account, "run_directory", config->run_directory, false, error) &&
           make_directory(account, "state_directory", config->state_directory, true, error) &&
           (supervisor->program->program != CONFIG_FRONTEND ||
            make_directory(account, "queue.directory", config->queue.directory, true, error));
}

static void pid_path(const struct supervisor *supervisor, char path[FILE_PATH_SIZE])
{
    char name[64];

    snprintf(name, sizeof(name), "%s.pid", supervisor->program->name);
    child_run_path(supervisor->config, name, path, FILE_PATH_SIZE);
}

/* Waits a little for the children of a killed supervisor, which the kernel is ending. */
static bool take_lock(int fd)
{
    uint64_t deadline_ms = clock_monotonic_ms() + LOCK_WAIT_MS;

    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK || clock_monotonic_ms() >= deadline_ms)
            return false;
        poll(NULL, 0, LOCK_RETRY_MS);
    }
    return true;
}

/* Always a new file: what is there may be a link to something else, or of one that was killed. */
static bool write_pid(const char *path, bool *was_there)
{
    char text[32];
    ssize_t written;
    int fd;

    *was_there = unlink(path) == 0;
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return false;
    snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    written = write(fd, text, strlen(text));
    close(fd);
    return written == (ssize_t)strlen(text);
}

bool supervisor_lock(struct supervisor *supervisor, char error[CONFIG_ERROR_SIZE])
{
    const char *directory = supervisor->config->run_directory;
    char path[FILE_PATH_SIZE];

    supervisor->lock_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (supervisor->lock_fd < 0) {
        snprintf(error, CONFIG_ERROR_SIZE, "run_directory: %.300s cannot be opened: %s", directory,
                 strerror(errno));
        return false;
    }
    if (!take_lock(supervisor->lock_fd)) {
        snprintf(error, CONFIG_ERROR_SIZE,
                 "run_directory: %.300s is locked: another daemon is running there", directory);
        close(supervisor->lock_fd);
        supervisor->lock_fd = -1;
        return false;
    }
    pid_path(supervisor, path);
    if (!write_pid(path, &supervisor->follows_killed)) {
        snprintf(error, CONFIG_ERROR_SIZE, "run_directory: %.300s cannot be written: %s", path,
                 strerror(errno));
        return false;
    }
    return true;
}

void supervisor_unlock(struct supervisor *supervisor)
{
    char path[FILE_PATH_SIZE];

    pid_path(supervisor, path);
    unlink(path);
    close(supervisor->lock_fd);
    supervisor->lock_fd = -1;
}
