/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/fault.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sqlite3.h>

struct fault_file {
    sqlite3_file base;
    sqlite3_file *real; /* behind this struct */
};

static sqlite3_vfs *real_vfs;
static sqlite3_vfs shim_vfs;
static unsigned calls, fault_at, syncs;
static enum fault_mode fault_mode;
static bool has_fired, is_unreadable;
static unsigned failed_reads;

void fault_arm(unsigned call, enum fault_mode mode)
{
    calls = 0;
    syncs = 0;
    fault_at = call;
    fault_mode = mode;
    has_fired = false;
}

bool fault_disarm(void)
{
    fault_at = 0;
    return has_fired;
}

void fault_set_unreadable(bool unreadable)
{
    is_unreadable = unreadable;
    failed_reads = 0;
}

unsigned fault_failed_reads(void)
{
    return failed_reads;
}

unsigned fault_syncs(void)
{
    return syncs;
}

/* Counts one call; true: it must fail. */
static bool fault_hits(void)
{
    calls++;
    if (fault_at == 0 || calls < fault_at || (calls > fault_at && fault_mode != FAULT_FAIL_FROM))
        return false;
    has_fired = true;
    if (fault_mode == FAULT_KILL)
        kill(getpid(), SIGKILL);
    errno = EIO;
    return true;
}

static sqlite3_file *real_of(sqlite3_file *file)
{
    return ((struct fault_file *)file)->real;
}

static int shim_close(sqlite3_file *file)
{
    return real_of(file)->pMethods->xClose(real_of(file));
}

static int shim_read(sqlite3_file *file, void *target, int amount, sqlite3_int64 offset)
{
    if (is_unreadable) {
        failed_reads++;
        return SQLITE_IOERR_READ;
    }
    return real_of(file)->pMethods->xRead(real_of(file), target, amount, offset);
}

/* A failed write has written half. */
static int shim_write(sqlite3_file *file, const void *bytes, int amount, sqlite3_int64 offset)
{
    sqlite3_file *real = real_of(file);

    if (!fault_hits())
        return real->pMethods->xWrite(real, bytes, amount, offset);
    real->pMethods->xWrite(real, bytes, amount / 2, offset);
    return SQLITE_IOERR_WRITE;
}

static int shim_truncate(sqlite3_file *file, sqlite3_int64 size)
{
    if (fault_hits())
        return SQLITE_IOERR_TRUNCATE;
    return real_of(file)->pMethods->xTruncate(real_of(file), size);
}

/* A failed sync may well have written all: the worst for what was answered with a failure. */
static int shim_sync(sqlite3_file *file, int flags)
{
    syncs++;
    if (fault_hits())
        return SQLITE_IOERR_FSYNC;
    return real_of(file)->pMethods->xSync(real_of(file), flags);
}

static int shim_size(sqlite3_file *file, sqlite3_int64 *size)
{
    return real_of(file)->pMethods->xFileSize(real_of(file), size);
}

static int shim_lock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xLock(real_of(file), lock);
}

static int shim_unlock(sqlite3_file *file, int lock)
{
    return real_of(file)->pMethods->xUnlock(real_of(file), lock);
}

static int shim_check_lock(sqlite3_file *file, int *result)
{
    return real_of(file)->pMethods->xCheckReservedLock(real_of(file), result);
}

static int shim_control(sqlite3_file *file, int operation, void *argument)
{
    return real_of(file)->pMethods->xFileControl(real_of(file), operation, argument);
}

static int shim_sector(sqlite3_file *file)
{
    return real_of(file)->pMethods->xSectorSize(real_of(file));
}

static int shim_characteristics(sqlite3_file *file)
{
    return real_of(file)->pMethods->xDeviceCharacteristics(real_of(file));
}

static int shim_shm_map(sqlite3_file *file, int page, int size, int extend, void volatile **map)
{
    return real_of(file)->pMethods->xShmMap(real_of(file), page, size, extend, map);
}

static int shim_shm_lock(sqlite3_file *file, int offset, int count, int flags)
{
    return real_of(file)->pMethods->xShmLock(real_of(file), offset, count, flags);
}

static void shim_shm_barrier(sqlite3_file *file)
{
    real_of(file)->pMethods->xShmBarrier(real_of(file));
}

static int shim_shm_unmap(sqlite3_file *file, int remove)
{
    return real_of(file)->pMethods->xShmUnmap(real_of(file), remove);
}

static const sqlite3_io_methods shim_methods = {
    .iVersion = 2,
    .xClose = shim_close,
    .xRead = shim_read,
    .xWrite = shim_write,
    .xTruncate = shim_truncate,
    .xSync = shim_sync,
    .xFileSize = shim_size,
    .xLock = shim_lock,
    .xUnlock = shim_unlock,
    .xCheckReservedLock = shim_check_lock,
    .xFileControl = shim_control,
    .xSectorSize = shim_sector,
    .xDeviceCharacteristics = shim_characteristics,
    .xShmMap = shim_shm_map,
    .xShmLock = shim_shm_lock,
    .xShmBarrier = shim_shm_barrier,
    .xShmUnmap = shim_shm_unmap,
};

static int shim_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *out)
{
    struct fault_file *shim = (struct fault_file *)file;
    int result;

    (void)vfs;
    shim->base.pMethods = NULL;
    shim->real = (sqlite3_file *)(shim + 1);
    if (fault_hits())
        return SQLITE_CANTOPEN;
    result = real_vfs->xOpen(real_vfs, name, shim->real, flags, out);
    if (shim->real->pMethods)
        shim->base.pMethods = &shim_methods;
    return result;
}

static int shim_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
    (void)vfs;
    if (fault_hits())
        return SQLITE_IOERR_DELETE;
    return real_vfs->xDelete(real_vfs, name, sync_folder);
}

void fault_install(void)
{
    real_vfs = sqlite3_vfs_find(NULL);
    shim_vfs = *real_vfs;
    shim_vfs.zName = "fault";
    shim_vfs.szOsFile = (int)sizeof(struct fault_file) + real_vfs->szOsFile;
    shim_vfs.xOpen = shim_open;
    shim_vfs.xDelete = shim_delete;
    sqlite3_vfs_register(&shim_vfs, 1);
}

static int system_sync(int fd)
{
    syncs++;
    return fault_hits() ? -1 : fsync(fd);
}

static int system_rename(int from_folder, const char *from, int to_folder, const char *to)
{
    return fault_hits() ? -1 : renameat(from_folder, from, to_folder, to);
}

const struct store_system fault_system = { system_sync, system_rename };
