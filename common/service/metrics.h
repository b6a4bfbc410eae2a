/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What /metrics shows, as OpenMetrics text.  A sample is an object,
 *
 *     {"metric":"mailstead_backend_up","value":1,"labels":{"backend":"sv1","protocol":"imap"}}
 *
 * and its metric is a row of the table in metrics_table.c.  The admin port collects what the board
 * shows (metrics_board.c), and what the processes answer to the hub's command "metrics", a line for
 * each sample.  A process that has something to show adds its rows to the table and that command
 * to its own; one metric is one role's, and of the workers only number 0 of the newest generation
 * may answer.
 */
#ifndef MAILSTEAD_SERVICE_METRICS_H
#define MAILSTEAD_SERVICE_METRICS_H

#include <jansson.h>

#include "common/base/bytes.h"
#include "common/service/child.h"

enum metric_type { METRIC_GAUGE, METRIC_COUNTER, METRIC_INFO };

/* A family of samples. */
struct metric_family {
    const char *name; /* without "_total" and "_info"; ends in "_UNIT" when it has one */
    enum metric_type type;
    const char *unit; /* "seconds", "bytes"; NULL: none */
    const char *help; /* one sentence */
};
extern const struct metric_family metric_families[]; /* ended by a NULL name */

/*
 * A sample, the caller's; `name` is in the table.  `labels` are pairs of strings, a label and its
 * value, ended by NULL; the macro takes them as its last arguments.  What is not UTF-8 in a value
 * is shown as "?".
 */
json_t *metrics_sample(const char *name, double value, const char *const *labels);
#define METRICS_SAMPLE(name, value, ...)                                                           \
    metrics_sample((name), (value), (const char *const[]){ __VA_ARGS__ })

/* Appends to the array `samples` what the board and the configuration show. */
void metrics_add_board(json_t *samples, const struct child *child);

/*
 * Writes the families that `samples` has in the table's order, ended by "# EOF" and its line break.
 * What is no sample, or of no family, is left out; of two with the same labels, the second.  False
 * when `text` is full.
 */
bool metrics_write(const json_t *samples, struct bytes *text) __attribute__((warn_unused_result));

#endif
