/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where mail and the mirror are kept: the kind of the file system, its space, and that no other
 * daemon of this machine has the same folder.  Looks only; writes nothing.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "admin/check_report.h"
#include "admin/output.h"
#include "common/base/memory.h"

enum { PATH_SIZE = 1100, SPACE_MESSAGES = 100 };

/* Magic numbers: statfs(2). */
static const struct {
    unsigned long type;
    const char *name;
    const char *trouble; /* for what must survive a loss of power; NULL: it is good */
} kinds[] = {
    { 0xEF53, "ext4", NULL },
    { 0x58465342, "xfs", NULL },
    { 0x9123683E, "btrfs", NULL },
    { 0x2FC12FC1, "zfs", NULL },
    { 0x3153464A, "jfs", NULL },
    { 0xF2F52010, "f2fs", NULL },
    { 0xCA451A4E, "bcachefs", NULL },
    { 0x01161970, "gfs2", NULL },
    { 0x7461636F, "ocfs2", NULL },
    { 0x01021994, "tmpfs", "it is memory: a restart of the machine empties it" },
    { 0x858458F6, "ramfs", "it is memory: a restart of the machine empties it" },
    { 0x794C7630, "overlay", "it goes with its container" },
    { 0x6969, "nfs", "locks and syncs are the server's, and a stale one is not noticed" },
    { 0xFF534D42, "cifs", "it has no safe locks" },
    { 0xFE534D42, "smb2", "it has no safe locks" },
    { 0x01021997, "9p", "it may not sync" },
    { 0x65735546, "fuse", "whether it keeps what was synced depends on its program" },
    { 0x4D44, "vfat", "it has no journal" },
    { 0x2011BAB0, "exfat", "it has no journal" },
};

/* The folder, or the nearest above it that there is: the daemon makes the rest. */
static bool find_existing(const char *path, char existing[PATH_SIZE])
{
    struct stat status;

    snprintf(existing, PATH_SIZE, "%s", path);
    while (stat(existing, &status) != 0) {
        char *slash = strrchr(existing, '/');

        if (!slash || slash == existing)
            return false;
        *slash = '\0';
    }
    return true;
}

static void check_kind(const struct check *check, const char *option, const char *path)
{
    struct statfs system;

    if (statfs(path, &system) != 0)
        return;
    for (size_t i = 0; i < ARRAY_LENGTH(kinds); i++)
        if (kinds[i].type == ((unsigned long)system.f_type & 0xFFFFFFFFUL)) {
            if (kinds[i].trouble)
                check_doubt(check, "%s: %.200s is on %s: %s", option, path, kinds[i].name,
                            kinds[i].trouble);
            return;
        }
    check_doubt(check, "%s: %.200s is on a file system of an unknown kind (0x%lx)", option, path,
                (unsigned long)system.f_type & 0xFFFFFFFFUL);
}

static void check_space(const struct check *check, const char *option, const char *path)
{
    uint64_t needed = SPACE_MESSAGES * check->config->smtp.message_size_max, free_bytes;
    char has[OUTPUT_TEXT_SIZE], wants[OUTPUT_TEXT_SIZE];
    struct statvfs system;

    if (statvfs(path, &system) != 0)
        return;
    if (system.f_flag & ST_RDONLY)
        check_fault(check, "%s: %.200s is mounted read-only", option, path);
    free_bytes = (uint64_t)system.f_bavail * system.f_frsize;
    if (free_bytes < needed)
        check_doubt(check, "%s: %.200s has %s left; %d messages of smtp.message_size_max want %s",
                    option, path, format_size((int64_t)free_bytes, has), SPACE_MESSAGES,
                    format_size((int64_t)needed, wants));
    if (system.f_files > 0 && system.f_favail < system.f_files / 100)
        check_doubt(check, "%s: %.200s has hardly any inodes left", option, path);
}

static bool is_in(const char *path, const char *folder)
{
    size_t length = strlen(folder);

    return strncmp(path, folder, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static void compare_folder(const struct check *check, const char *option, const char *path,
                           const char *other_path, const char *file)
{
    if (strcmp(path, other_path) == 0)
        check_fault(check, "%s: %.150s is also that of %.200s", option, path, file);
}

static void compare_folders(const struct check *check, const struct config *other, const char *file)
{
    const struct config *config = check->config;

    compare_folder(check, "run_directory", config->run_directory, other->run_directory, file);
    compare_folder(check, "state_directory", config->state_directory, other->state_directory, file);
    if (check->program != CONFIG_FRONTEND || other->node.name)
        return;
    compare_folder(check, "queue.directory", config->queue.directory, other->queue.directory, file);
    if (is_in(config->queue.directory, other->state_directory))
        check_doubt(check, "queue.directory: %.150s is inside the state_directory of %.200s",
                    config->queue.directory, file);
}

/* --- the storage of a backend ------------------------------------------------------------ */

static bool is_mount_point(const char *path)
{
    char above[PATH_SIZE];
    struct stat status, parent;

    snprintf(above, sizeof(above), "%s/..", path);
    return stat(path, &status) == 0 && stat(above, &parent) == 0 &&
           (status.st_dev != parent.st_dev || status.st_ino == parent.st_ino);
}

/* The claim of another node, which would be in the way (backend/storage_claim.h). */
static void check_claim(const struct check *check, const char *folder)
{
    char path[PATH_SIZE + 32], line[PATH_SIZE], node[PATH_SIZE] = "";
    bool is_held = false;
    FILE *file;

    snprintf(path, sizeof(path), "%s/.mailstead-claim", folder);
    file = fopen(path, "re");
    for (int i = 0; file && i < 16 && fgets(line, sizeof(line), file); i++) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "node ", 5) == 0)
            snprintf(node, sizeof(node), "%s", line + 5);
        is_held = is_held || strcmp(line, "state held") == 0;
    }
    if (file)
        fclose(file);
    if (is_held && strcmp(node, check->config->node.name) != 0)
        check_fault(check, "storage.directory: %.300s is claimed by the node \"%.100s\"", folder,
                    node);
}

/* What the node would refuse for, when nothing brings the storage at its start. */
static void check_storage(const struct check *check)
{
    const struct storage_config *storage = &check->config->storage;
    void (*tell)(const struct check *, const char *, ...) =
        storage->attach_hook ? check_doubt : check_fault;
    bool is_mounted, is_above_mounted;
    char path[PATH_SIZE];
    struct stat status;

    snprintf(path, sizeof(path), "%s/%s", storage->directory, check->config->node.name);
    if (stat(path, &status) != 0 || !S_ISDIR(status.st_mode)) {
        tell(check, "storage.directory: %.300s is not there", path);
        return;
    }
    is_mounted = is_mount_point(path);
    is_above_mounted = is_mount_point(storage->directory);
    if ((storage->require_mount == STORAGE_MOUNT_SERVER && !is_mounted) ||
        (storage->require_mount == STORAGE_MOUNT_DIRECTORY && !is_mounted && !is_above_mounted))
        tell(check, "storage.require_mount: nothing is mounted on %.300s now", path);
    check_claim(check, path);
    check_kind(check, "storage.directory", path);
    check_space(check, "storage.directory", path);
}

void check_places(const struct check *check)
{
    const struct config *config = check->config;
    char path[PATH_SIZE];

    if (find_existing(config->state_directory, path))
        check_kind(check, "state_directory", path);
    if (check->program == CONFIG_FRONTEND && find_existing(config->queue.directory, path)) {
        check_kind(check, "queue.directory", path);
        check_space(check, "queue.directory", path);
    }
    if (check->program == CONFIG_BACKEND && config->storage.kind == STORAGE_SHARED)
        check_storage(check);
    check_each_other(check, compare_folders);
}
