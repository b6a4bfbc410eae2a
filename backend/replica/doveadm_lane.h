/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection to a Dovecot's doveadm socket, that runs one command at a time; made when it is
 * needed, kept for a moment for the next.  Its timer is the only one that there is: Dovecot waits
 * for a silent peer of its own as long as that is silent.
 */
#ifndef MAILSTEAD_BACKEND_REPLICA_DOVEADM_LANE_H
#define MAILSTEAD_BACKEND_REPLICA_DOVEADM_LANE_H

#include <openssl/ssl.h>

#include "common/io/loop.h"
#include "common/proto/doveadm_client.h"
#include "common/service/config.h"

/* Where a lane goes; borrowed for its life. */
struct doveadm_lane_target {
    struct endpoint endpoint;
    const struct endpoint_sources *sources; /* NULL: the kernel chooses */
    SSL_CTX *tls;                           /* NULL: plain */
    const char *tls_name;                   /* what the certificate must have; NULL: anything */
    const char *password;
    bool is_used_again; /* by the next command */
};

/*
 * The target of `backend`, or with NULL of the own Dovecot, inside TLS when replica.tls says so.
 * False, after a line in the log, when TLS cannot be had as configured.  The caller frees
 * target->tls.
 */
bool doveadm_lane_target_init(struct doveadm_lane_target *target, const struct config *config,
                              const struct backend_config *backend);

enum doveadm_lane_end {
    DOVEADM_LANE_OK,
    DOVEADM_LANE_CODE, /* Dovecot said `text`: "NOUSER", "2" */
    DOVEADM_LANE_LOST, /* it closed the connection: the process met something fatal */
    DOVEADM_LANE_TIMEOUT,
    DOVEADM_LANE_UNREACHABLE /* no connection, or no proof of the password; the command was not sent
                              */
};

struct doveadm_lane_result {
    enum doveadm_lane_end end;
    const char *text;   /* for the log */
    struct span output; /* of the command; until the next doveadm_lane_run */
};

struct doveadm_lane; /* on the heap; frees itself after doveadm_lane_stop */

struct doveadm_lane *doveadm_lane_start(struct io_loop *loop,
                                        const struct doveadm_lane_target *target, void *context);

/*
 * Runs a command, whose words are copied; `done` comes later from the loop, once, unless
 * doveadm_lane_stop comes first, and may run the next.  Only when the lane is not busy.
 */
void doveadm_lane_run(struct doveadm_lane *lane, const struct doveadm_command *command,
                      uint64_t timeout_ms,
                      void (*done)(struct doveadm_lane *lane,
                                   const struct doveadm_lane_result *result));

/*
 * The same without a command: OK when the password was taken; the connection is ended.
 */
void doveadm_lane_prove(struct doveadm_lane *lane,
                        void (*done)(struct doveadm_lane *lane,
                                     const struct doveadm_lane_result *result));

bool doveadm_lane_is_busy(const struct doveadm_lane *lane);

/* What was given to doveadm_lane_start. */
void *doveadm_lane_context(const struct doveadm_lane *lane);

/* Gives up what runs; `stopped` comes from the loop.  Idempotent. */
void doveadm_lane_stop(struct doveadm_lane *lane, void (*stopped)(void *context));

#endif
