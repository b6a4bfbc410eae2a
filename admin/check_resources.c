/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all daemons of this machine may take together, and whether it has that: descriptors, memory,
 * processors.  Rough on purpose: it is to be noticed when a machine gets its neighbour's host, too.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "admin/check_report.h"
#include "admin/output.h"
#include "common/service/supervisor.h"

enum {
    DESCRIPTORS_A_SESSION = 2,
    /* Measured: 16 kB of each TLS side, and buffers while a message passes. */
    BYTES_A_SESSION = 40 * 1024,
    WORKER_BYTES = 32 * 1024 * 1024,
    COPY_BYTES = 64 * 1024 * 1024, /* message copies of a frontend's worker */
    DESCRIPTORS_WANTED = 8192,
    WORKERS_A_CORE = 4
};

struct sum {
    unsigned daemons, workers;
    uint64_t sessions;
};

static struct sum sum; /* of the check that is made: there is one in a process */

static void add(const struct config *config)
{
    unsigned workers = supervisor_worker_count(config);
    struct rlimit limit;

    sum.daemons++;
    sum.workers += workers;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        sum.sessions += (limit.rlim_max < 20000 ? limit.rlim_max : 20000) / DESCRIPTORS_A_SESSION *
                        (uint64_t)workers;
}

static void add_other(const struct check *check, const struct config *other, const char *file)
{
    (void)check;
    (void)file;
    add(other);
}

static void check_descriptors(const struct check *check)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_max < DESCRIPTORS_WANTED)
        check_doubt(
            check,
            "resources: a process may have %llu descriptors here, which is %llu sessions of "
            "a worker; raise it (LimitNOFILE) to %d at least",
            (unsigned long long)limit.rlim_max,
            (unsigned long long)limit.rlim_max / DESCRIPTORS_A_SESSION, DESCRIPTORS_WANTED);
}

static void check_memory(const struct check *check)
{
    uint64_t needed = (uint64_t)sum.workers * (WORKER_BYTES + COPY_BYTES);
    uint64_t full = needed + sum.sessions * BYTES_A_SESSION;
    char has[OUTPUT_TEXT_SIZE], wants[OUTPUT_TEXT_SIZE];
    struct sysinfo system;
    uint64_t memory;

    if (sysinfo(&system) != 0)
        return;
    memory = (uint64_t)system.totalram * system.mem_unit;
    if (needed > memory)
        check_doubt(check,
                    "resources: the machine has %s of memory; its %u daemons, with %u workers, may "
                    "take %s without any session (%s with all that the limits allow)",
                    format_size((int64_t)memory, has), sum.daemons, sum.workers,
                    format_size((int64_t)needed, wants), format_size((int64_t)full, has));
}

void check_resources(const struct check *check)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);

    sum = (struct sum){ 0 };
    add(check->config);
    check_each_other(check, add_other);
    check_descriptors(check);
    check_memory(check);
    if (cores > 0 && sum.workers > (unsigned long)cores * WORKERS_A_CORE)
        check_doubt(check, "resources: %u daemons with %u workers in all are on %ld processors",
                    sum.daemons, sum.workers, cores);
}
