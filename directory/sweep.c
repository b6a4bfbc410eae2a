/* SPDX-License-Identifier: Apache-2.0 */
#include "directory/sweep.h"

#include "common/base/clock.h"

enum { SWEEP_TURN_MS = 50, SWEEP_ROWS = 1000 /* between two looks at the clock */ };

static void sweep_run(struct sweep *sweep);

static void sweep_on_more(struct io_resumption *more)
{
    sweep_run(CONTAINER_OF(more, struct sweep, more));
}

void sweep_init(struct sweep *sweep, struct io_loop *loop, struct mirror_writer *writer,
                const struct directory_config *config, const struct sweep_events *events,
                void *context)
{
    *sweep = (struct sweep){
        .loop = loop, .writer = writer, .config = config, .events = events, .context = context
    };
    io_resumption_init(&sweep->more, sweep_on_more);
}

void sweep_cancel(struct sweep *sweep)
{
    io_resumption_cancel(&sweep->more);
    domain_counts_free(sweep->counts);
    sweep->counts = NULL;
}

/* The doubts are the caller's from here on. */
static struct domain_counts *sweep_take_doubts(struct sweep *sweep)
{
    struct domain_counts *doubts = sweep->counts;

    sweep->counts = NULL;
    return doubts;
}

/* Everything is counted; false when the sweep is over. */
static bool sweep_judge(struct sweep *sweep)
{
    struct domain_counts *doubts;
    bool goes_on;

    sweep->is_counting = false;
    domain_counts_judge(sweep->counts, sweep->config);
    if (domain_counts_doubtful(sweep->counts) == 0) {
        sweep_cancel(sweep);
        return true;
    }
    doubts = sweep_take_doubts(sweep);
    goes_on = sweep->events->doubted(sweep->context, doubts);
    if (goes_on)
        sweep->counts = doubts;
    else
        domain_counts_free(doubts);
    return goes_on;
}

static void sweep_end(struct sweep *sweep)
{
    struct domain_counts *doubts = sweep_take_doubts(sweep);

    sweep->events->done(sweep->context, doubts);
    domain_counts_free(doubts);
}

/* Removes or holds what is missing; true at the end. */
static bool sweep_rows(struct sweep *sweep)
{
    sweep->after = mirror_writer_sweep(
        sweep->writer, sweep->after, SWEEP_ROWS, mirror_writer_seen(sweep->writer),
        sweep->counts ? domain_counts_is_doubtful : NULL, sweep->counts);
    return sweep->after == 0;
}

static void sweep_run(struct sweep *sweep)
{
    uint64_t start_ms = clock_monotonic_ms();

    do {
        if (sweep->is_counting) {
            if (domain_counts_step(sweep->counts) && !sweep_judge(sweep))
                return;
        } else if (sweep_rows(sweep)) {
            sweep_end(sweep);
            return;
        }
    } while (clock_monotonic_ms() - start_ms < SWEEP_TURN_MS);
    io_loop_resume(sweep->loop, &sweep->more);
}

void sweep_start(struct sweep *sweep)
{
    uint64_t unseen = mirror_writer_unseen(sweep->writer);

    sweep->after = 0;
    sweep->is_counting = unseen > sweep->config->hold_accounts;
    if (sweep->is_counting)
        sweep->counts = domain_counts_new(sweep->writer, mirror_writer_seen(sweep->writer));
    if (unseen > 0)
        sweep_run(sweep);
    else
        sweep_end(sweep);
}
