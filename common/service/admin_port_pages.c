/* SPDX-License-Identifier: Apache-2.0 */
/* What there is to ask for: a row each, what the hub is asked, and what is made of its answer. */
#include <stdio.h>
#include <stdlib.h>

#include "common/service/admin_health.h"
#include "common/service/admin_port_private.h"
#include "common/service/metrics.h"

static void page_write_json(struct admin_request *request, const json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);

    if (!text)
        memory_exhausted();
    if (!bytes_append(&request->output, span_from_string(text)) ||
        !bytes_append(&request->output, SPAN_LITERAL("\n")))
        request->status = MHD_HTTP_INTERNAL_SERVER_ERROR;
    free(text);
}

/* --- orders -------------------------------------------------------------------------------------
 */

static void refuse_role(struct admin_request *request)
{
    char error[160];

    snprintf(error, sizeof(error), "this needs the role operate; the certificate's name has %s",
             admin_role_names[request->peer->role]);
    admin_request_refuse(request, MHD_HTTP_FORBIDDEN, error);
}

static void order_judge(struct admin_request *request, const char *command)
{
    enum admin_role role = admin_role_for(command);

    if (role == ADMIN_ROLE_NONE)
        admin_request_refuse(request, MHD_HTTP_NOT_FOUND, "there is no such command");
    else if (role > request->peer->role)
        refuse_role(request);
    else
        admin_request_ask(request, command, bytes_span(&request->body));
}

static void order_begin(struct admin_request *request)
{
    json_t *order = json_loadb(request->body.data ? request->body.data : "", request->body.length,
                               JSON_REJECT_DUPLICATES, NULL);
    const char *command = json_string_value(json_object_get(order, "command"));

    if (!order)
        admin_request_refuse(request, MHD_HTTP_BAD_REQUEST, "the request is no JSON");
    else if (!command || strlen(command) >= ADMIN_COMMAND_SIZE)
        admin_request_refuse(request, MHD_HTTP_BAD_REQUEST, "the request has no \"command\"");
    else
        order_judge(request, command);
    json_decref(order);
}

/* --- status
 * --------------------------------------------------------------------------------------- */

static void status_begin(struct admin_request *request)
{
    admin_request_ask(request, "status", SPAN_LITERAL("{\"command\":\"status\"}"));
}

static void status_finish(struct admin_request *request, const char *error)
{
    json_t *failure;

    if (json_array_size(request->lines) > 0) {
        request->status = MHD_HTTP_OK;
        page_write_json(request, json_array_get(request->lines, 0));
        return;
    }
    failure = json_pack("{s:s*}", "error", error);
    request->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    page_write_json(request, failure);
    json_decref(failure);
}

/* --- metrics
 * -------------------------------------------------------------------------------------- */

static void metrics_begin(struct admin_request *request)
{
    admin_request_ask(request, "metrics", SPAN_LITERAL("{\"command\":\"metrics\"}"));
}

/* Whatever is known: a process that does not answer leaves its metrics out. */
static void metrics_finish(struct admin_request *request, const char *error)
{
    json_t *samples = json_array();

    (void)error;
    metrics_add_board(samples, request->peer->port->child);
    json_array_extend(samples, request->lines);
    request->status =
        metrics_write(samples, &request->output) ? MHD_HTTP_OK : MHD_HTTP_INTERNAL_SERVER_ERROR;
    json_decref(samples);
}

/* --- health
 * --------------------------------------------------------------------------------------- */

static void health_begin(struct admin_request *request)
{
    json_t *reasons = admin_health_reasons(request->peer->port->child);
    bool is_healthy = json_array_size(reasons) == 0;
    json_t *answer = json_pack("{s:b, s:o}", "is_healthy", is_healthy, "reasons", reasons);

    request->status = is_healthy ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
    page_write_json(request, answer);
    request->state = ADMIN_REQUEST_ANSWERED;
    json_decref(answer);
}

const struct admin_route *admin_route_find(const char *path)
{
    static const struct admin_route routes[] = {
        { "/v1/order", MHD_HTTP_METHOD_POST, "application/x-ndjson", order_begin, NULL },
        { "/v1/status", MHD_HTTP_METHOD_GET, "application/json", status_begin, status_finish },
        { "/metrics", MHD_HTTP_METHOD_GET,
          "application/openmetrics-text; version=1.0.0; charset=utf-8", metrics_begin,
          metrics_finish },
        { "/health", MHD_HTTP_METHOD_GET, "application/json", health_begin, NULL },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(routes); i++)
        if (strcmp(routes[i].path, path) == 0)
            return &routes[i];
    return NULL;
}
