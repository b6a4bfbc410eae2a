/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/queue_store_support.h"

#include <unistd.h>

#include "tests/unit/fault.h"

char queue_store_folder[FOLDER_SIZE];

int queue_store_set_up(void **unused)
{
    (void)unused;
    folder_make(queue_store_folder);
    return 0;
}

int queue_store_tear_down(void **unused)
{
    (void)unused;
    fault_disarm();
    folder_remove(queue_store_folder);
    return 0;
}

struct store *queue_store_open(void)
{
    char error[STORE_ERROR_SIZE] = "";
    struct store *store = store_open(queue_store_folder, &fault_system, error);

    if (!store)
        fail_msg("store_open: %s", error);
    return store;
}

void queue_store_write_file(const char *name, const char *text)
{
    char path[400];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", queue_store_folder, name);
    file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

void queue_store_remove_file(const char *name)
{
    char path[400];

    snprintf(path, sizeof(path), "%s/%s", queue_store_folder, name);
    assert_int_equal(unlink(path), 0);
}

bool queue_store_has_file(const char *name)
{
    char path[400];

    snprintf(path, sizeof(path), "%s/%s", queue_store_folder, name);
    return access(path, F_OK) == 0;
}

bool queue_store_add(struct store *store, const char *session, const char *body_file,
                     unsigned count, const char *destination, uint64_t *id)
{
    char addresses[8][16];
    struct store_recipient recipients[8];
    struct store_message message = { .session_id = span_from_string(session),
                                     .reverse_path = SPAN_LITERAL("from@example.org"),
                                     .size = strlen(session),
                                     .arrival_ms = 1000,
                                     .body = span_from_string(body_file ? NULL : session),
                                     .body_file = body_file };

    for (unsigned i = 0; i < count; i++) {
        snprintf(addresses[i], sizeof(addresses[i]), "%u@x", i);
        recipients[i] = (struct store_recipient){ .address = span_from_string(addresses[i]),
                                                  .destination = destination,
                                                  .next_attempt_ms = 1000 };
    }
    return store_add(store, &message, recipients, count, true, id);
}

struct store_due queue_store_due(const char *destination, int64_t now_ms)
{
    return (struct store_due){ .destination = destination,
                               .now_ms = now_ms,
                               .message_before = UINT64_MAX,
                               .jobs_max = 100,
                               .rows_max = 50,
                               .bytes_max = 1 << 20 };
}

static void keep_view(void *context, const struct store_view *view)
{
    *(struct store_view *)context = *view;
}

struct store_view queue_store_look(struct store *store, uint64_t row)
{
    struct store_view view = { .row = 0 };

    assert_true(store_look(store, row - 1, row, 1, true, keep_view, &view));
    assert_int_equal(view.row, row);
    return view;
}

size_t queue_store_free_jobs(struct list *jobs)
{
    size_t count = 0;

    LIST_EACH (item, jobs) {
        list_remove(item);
        store_job_free(LIST_ELEMENT(item, struct store_job, node));
        count++;
    }
    return count;
}

struct store_job *queue_store_first_job(struct list *jobs)
{
    assert_false(list_is_empty(jobs));
    return LIST_ELEMENT(jobs->next, struct store_job, node);
}

void queue_store_begin(struct store *store)
{
    assert_true(store_begin(store));
}
