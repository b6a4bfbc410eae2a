/* SPDX-License-Identifier: Apache-2.0 */
/* The request is held by a struct of its own while a live search runs. */
#include "directory/lookup.h"

#include <stdlib.h>

#include "common/base/memory.h"
#include "directory/route_rules.h"

static const char *lookup_found_name(enum route_found found)
{
    static const char *const names[] = { "none", "one", "several", "failed" };

    return names[found];
}

static const char *lookup_confirmation_name(enum directory_confirmation confirmation)
{
    static const char *const names[] = { "absent", "present", "unsure" };

    return names[confirmation];
}

/* The source of one lookup, which tells each step as it is asked for it. */
struct lookup_tracer {
    struct route_source source;
    struct control_request *request;
    const struct route_step *steps;
    size_t step_count;
};

static enum route_rule lookup_rule_of(const struct lookup_tracer *tracer, struct span value)
{
    for (size_t i = 0; i < tracer->step_count; i++)
        if (span_equals(span_from_string(tracer->steps[i].value), value))
            return tracer->steps[i].rule;
    return ROUTE_RULE_EXACT; /* bare <postmaster>, under its domain */
}

static enum route_found lookup_trace(void *context, enum route_key key, struct span value,
                                     struct route_entry *entry)
{
    struct lookup_tracer *tracer = context;
    enum route_found found = tracer->source.find(tracer->source.context, key, value, entry);

    control_reply(tracer->request,
                  json_pack("{s:o, s:s, s:s}", "step", json_stringn(value.data, value.length),
                            "rule", route_rule_name(lookup_rule_of(tracer, value)), "found",
                            lookup_found_name(found)));
    return found;
}

/* A text as JSON, which must be UTF-8; null when it is not. */
static json_t *lookup_text(const char *text)
{
    json_t *string = json_string(text);

    return string ? string : json_null();
}

static json_t *lookup_outcome(const struct route *route, uint64_t revision)
{
    json_t *line =
        json_pack("{s:s, s:s, s:I}", "outcome", route_outcome_name(route->outcome), "rule",
                  route_rule_name(route->rule), "revision", (json_int_t)revision);

    json_object_set_new(line, "key", lookup_text(route->key));
    json_object_set_new(line, "account", lookup_text(route->account));
    json_object_set_new(line, "recipient", lookup_text(route->recipient));
    json_object_set_new(line, "host", lookup_text(route->host));
    json_object_set_new(line, "old_host", lookup_text(route->old_host));
    if (route->reason)
        json_object_set_new(line, "reason", lookup_text(route->reason));
    return line;
}

/* An unknown name whose live search is under way. */
struct lookup_question {
    struct control_request *request;
    json_t *outcome;
};

static void lookup_on_confirmed(void *asker, uint32_t number,
                                enum directory_confirmation confirmation)
{
    struct lookup_question *question = asker;

    (void)number;
    json_object_set_new(question->outcome, "confirmed",
                        json_string(lookup_confirmation_name(confirmation)));
    control_reply(question->request, question->outcome);
    control_finish(question->request, NULL);
    free(question);
}

static void lookup_confirm(const struct lookup_sources *sources, struct control_request *request,
                           enum route_key key, const struct route *route, json_t *outcome)
{
    struct lookup_question *question = memory_new(sizeof(*question));

    *question = (struct lookup_question){ request, outcome };
    confirm_ask(sources->confirm, key, span_from_string(route->key), lookup_on_confirmed, question,
                0);
}

/* The default domain of the first listener that has one: "mailstead lookup" names no listener. */
static const char *lookup_default_domain(const struct config *config)
{
    for (size_t i = 0; i < config->listener_count; i++)
        if (config->listeners[i].default_domain)
            return config->listeners[i].default_domain;
    return NULL;
}

/* What a frontend makes of an account whose backend it does not know. */
static void lookup_backend(const struct lookup_sources *sources, struct route *route)
{
    if (route->outcome != ROUTE_FOUND || !sources->backends ||
        backend_set_find(sources->backends, route->host))
        return;
    route->outcome = ROUTE_MISCONFIGURED;
    route->reason = "hostServer names no known backend";
}

void lookup_answer(const struct lookup_sources *sources, struct control_request *request,
                   json_t *arguments)
{
    const char *address = json_string_value(json_object_get(arguments, "address"));
    enum route_key key =
        json_is_true(json_object_get(arguments, "login")) ? ROUTE_KEY_LOGIN : ROUTE_KEY_ADDRESS;
    const char *default_domain = lookup_default_domain(sources->config);
    struct route_rules rules = route_rules_of(sources->config);
    struct route_step steps[ROUTE_STEPS_MAX];
    struct lookup_tracer tracer = { mirror_source(sources->mirror), request, steps, 0 };
    struct route_source source = { lookup_trace, &tracer };
    char normal[ROUTE_ADDRESS_SIZE];
    struct route route;
    json_t *outcome;

    if (!address) {
        control_finish(request, "lookup: \"address\" is missing");
        return;
    }
    if (route_normalise(span_from_string(address), normal))
        tracer.step_count = route_steps(&rules, key, normal, default_domain, steps);
    if (key == ROUTE_KEY_LOGIN)
        route_login(&rules, &source, span_from_string(address), default_domain, &route);
    else
        route_address(&rules, &source, span_from_string(address), &route);
    lookup_backend(sources, &route);
    outcome = lookup_outcome(&route, mirror_revision(sources->mirror));
    if (route.outcome == ROUTE_UNKNOWN) {
        lookup_confirm(sources, request, key, &route, outcome);
        return;
    }
    control_reply(request, outcome);
    control_finish(request, NULL);
}
