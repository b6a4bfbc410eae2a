/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two Dovecots that copies need are asked for nothing but their word that the password is good,
 * over the connections that the replica process makes.  One that does not run is a doubt.
 */
#include "admin/check_report.h"
#include "admin/store_talk.h"
#include "backend/replica/doveadm_lane.h"

enum { TALK_MS = 5000 };

struct proof {
    bool is_done, is_stopped;
    char trouble[CHECK_TEXT_SIZE]; /* empty: the password is good */
};

static void proof_done(struct doveadm_lane *lane, const struct doveadm_lane_result *result)
{
    struct proof *proof = doveadm_lane_context(lane);

    if (result->end != DOVEADM_LANE_OK)
        snprintf(proof->trouble, sizeof(proof->trouble), "%s", result->text);
    proof->is_done = true;
}

static void proof_stopped(void *context)
{
    ((struct proof *)context)->is_stopped = true;
}

static void prove(const struct doveadm_lane_target *target, struct proof *proof)
{
    struct io_loop loop;
    struct doveadm_lane *lane;

    io_loop_init(&loop);
    lane = doveadm_lane_start(&loop, target, proof);
    doveadm_lane_prove(lane, proof_done);
    while (!proof->is_done)
        io_loop_turn(&loop, true);
    doveadm_lane_stop(lane, proof_stopped);
    while (!proof->is_stopped)
        io_loop_turn(&loop, true);
    io_loop_fini(&loop);
}

/* `backend` as for doveadm_lane_target_init. */
static void check_doveadm(const struct check *check, const struct backend_config *backend)
{
    const struct config *config = check->config;
    const char *whose = backend ? backend->name : config->node.name;
    char address[ENDPOINT_TEXT_SIZE], error[STORE_TALK_ERROR_SIZE];
    struct proof proof = { .is_done = false };
    struct doveadm_lane_target target;
    struct store_talk talk;

    if (!doveadm_lane_target_init(&target, config, backend)) {
        check_fault(check, "replica.tls: section backend_tls is of no use for it");
        return;
    }
    endpoint_format(&target.endpoint, address);
    if (!store_talk_begin(&talk, &target.endpoint, TALK_MS, error)) {
        check_doubt(check, "replica: doveadm of \"%s\", %s, does not answer: %s", whose, address,
                    error);
    } else {
        store_talk_end(&talk);
        prove(&target, &proof);
        if (*proof.trouble)
            check_fault(check, "replica: doveadm of \"%s\", %s: %s%s", whose, address,
                        proof.trouble, config->replica.tls ? "" : "; replica.tls is off");
    }
    SSL_CTX_free(target.tls);
}

void check_replica(const struct check *check)
{
    if (!config_has_replica(check->config))
        return;
    check_doveadm(check, NULL);
    check_doveadm(check, config_backend(check->config, check->config->replica.to));
}
