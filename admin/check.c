/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors come from config_load with their file and line, doubts from check_doubts; both are
 * gathered as JSON first, so that people and programs are told the same.
 */
#include "admin/check.h"

#include <stdlib.h>
#include <string.h>

#include "admin/backend_list.h"
#include "admin/check_report.h"
#include "admin/output.h"
#include "common/base/memory.h"
#include "common/service/config_text.h"

struct findings {
    const char *file;
    json_t *errors;   /* objects: file, line (absent: the file as a whole), text */
    json_t *warnings; /* texts */
};

static void note_error(void *context, const char *file, int line, const char *text)
{
    struct findings *findings = context;
    json_t *error = json_pack("{s:s}", "file", file);

    if (line > 0)
        json_object_set_new(error, "line", json_integer(line));
    json_object_set_new(error, "text", json_any_text(text));
    json_array_append_new(findings->errors, error);
}

/* What is wrong with the machine, the store or the directory, not with the file. */
static void note_fault(void *context, const char *text)
{
    struct findings *findings = context;

    json_array_append_new(findings->errors, json_pack("{s:s,s:o}", "file", findings->file, "text",
                                                      json_any_text(text)));
}

static void note_warning(void *context, const char *text)
{
    struct findings *findings = context;

    json_array_append_new(findings->warnings, json_any_text(text));
}

/* Whether a line of the file begins a section "node": only backend nodes have one. */
static bool has_node(const char *file)
{
    char error[CONFIG_ERROR_SIZE];
    struct config_text_fault fault;
    size_t length;
    char *text = config_text_read(file, CONFIG_FILE_MAX, &length, error, sizeof(error));
    bool is_found = false;

    if (text && config_text_strip(text, length, &fault))
        for (char *line = text; line && !is_found; line = strchr(line, '\n')) {
            line += strspn(line, " \t\r\n");
            is_found = strncmp(line, "node", 4) == 0 && line[4 + strspn(line + 4, " \t")] == '{';
        }
    free(text);
    return is_found;
}

/* False when `name` is no daemon's. */
static bool choose_program(const struct arguments *arguments, enum config_program *program)
{
    const char *name = arguments->program;

    if (!name)
        *program = has_node(arguments->config_file) ? CONFIG_BACKEND : CONFIG_FRONTEND;
    else if (strcmp(name, "frontend") == 0)
        *program = CONFIG_FRONTEND;
    else if (strcmp(name, "backend") == 0)
        *program = CONFIG_BACKEND;
    else
        return false;
    return true;
}

static json_t *names_of(const struct backend_set *backends)
{
    json_t *names = json_array();

    for (size_t i = 0; i < backends->count; i++)
        json_array_append_new(names, json_string(backend_set_at(backends, i)->name));
    return names;
}

static json_t *domains_of(const struct config *config)
{
    json_t *domains = json_array();

    for (size_t i = 0; i < config->cluster.domains.count; i++)
        json_array_append_new(domains, json_string(config->cluster.domains.items[i]));
    return domains;
}

static json_t *listeners_of(const struct config *config)
{
    json_t *listeners = json_array();
    char address[ENDPOINT_TEXT_SIZE];

    for (size_t i = 0; i < config->listener_count; i++) {
        const struct listener_config *listener = &config->listeners[i];

        endpoint_format(&listener->endpoint, address);
        json_array_append_new(listeners,
                              json_pack("{s:s,s:s,s:s}", "name", listener->name, "protocol",
                                        protocol_name(listener->protocol), "address", address));
    }
    return listeners;
}

static void print_joined(const char *label, json_t *names)
{
    size_t i;
    json_t *name;

    printf("  %-11s", label);
    json_array_foreach (names, i, name)
        printf("%s%s", i ? ", " : "", json_string_value(name));
    printf("%s\n", json_array_size(names) ? "" : "none");
}

static void print_listeners(json_t *listeners)
{
    struct table table;
    size_t i;
    json_t *listener;

    table_init(&table, 3, 0);
    json_array_foreach (listeners, i, listener) {
        table_add(&table, i ? " " : "listeners");
        table_add(&table, json_text(listener, "protocol"));
        table_add(&table, json_text(listener, "address"));
    }
    table_print(&table, stdout, 2);
    table_fini(&table);
}

static void print_findings(const json_t *result)
{
    json_t *one;
    size_t i;

    json_array_foreach (json_object_get(result, "errors"), i, one)
        config_print_complaint(stderr, json_text(one, "file"), (int)json_number(one, "line", 0),
                               json_text(one, "text"));
    json_array_foreach (json_object_get(result, "warnings"), i, one)
        fprintf(stderr, "%s: warning: %s\n", json_text(result, "file"), json_string_value(one));
    if (!json_is_true(json_object_get(result, "ok")))
        return;
    printf("%s: ok for mailstead-%s\n", json_text(result, "file"), json_text(result, "program"));
    print_joined("domains", json_object_get(result, "domains"));
    print_joined("backends", json_object_get(result, "backends"));
    print_listeners(json_object_get(result, "listeners"));
}

/* All that there are, or without asking anybody those of the file. */
static void load_backends(const struct arguments *arguments, const struct config *config,
                          struct backend_set *backends)
{
    if (arguments->is_offline)
        backend_set_init(backends, config);
    else
        backend_list_load(config, backends);
}

/* What can only be found out here and now. */
static void look_around(const struct check *check)
{
    static void (*const looks[])(const struct check *) = { check_host, check_places,
                                                           check_resources, check_directory };

    for (size_t i = 0; i < ARRAY_LENGTH(looks); i++)
        looks[i](check);
    check_rights(check->config, check->warn, check->context);
    if (check->program == CONFIG_BACKEND) {
        check_store(check);
        check_replica(check);
    }
}

static json_t *examine(const struct arguments *arguments, enum config_program program)
{
    struct findings findings = { arguments->config_file, json_array(), json_array() };
    struct config *config =
        config_load(arguments->config_file, program, true, note_error, &findings);
    struct backend_set backends;
    json_t *result;

    if (config) {
        load_backends(arguments, config, &backends);
        check_doubts(config, program, &backends, note_warning, &findings);
        if (!arguments->is_offline)
            look_around(
                &(struct check){ config, program, &backends, note_fault, note_warning, &findings });
    }
    result = json_pack("{s:b,s:s,s:s,s:o,s:o}", "ok", json_array_size(findings.errors) == 0, "file",
                       arguments->config_file, "program",
                       program == CONFIG_BACKEND ? "backend" : "frontend", "errors",
                       findings.errors, "warnings", findings.warnings);
    if (config) {
        json_object_set_new(result, "domains", domains_of(config));
        json_object_set_new(result, "backends", names_of(&backends));
        json_object_set_new(result, "listeners", listeners_of(config));
        backend_set_fini(&backends);
    }
    config_free(config);
    return result;
}

enum command_status check_run(const struct arguments *arguments)
{
    enum config_program program;
    json_t *result;
    bool is_ok;

    if (!choose_program(arguments, &program)) {
        fprintf(stderr, "mailstead check: --program is frontend or backend, not \"%s\"\n",
                arguments->program);
        return COMMAND_USAGE;
    }
    result = examine(arguments, program);
    is_ok = json_is_true(json_object_get(result, "ok"));
    if (arguments->is_json)
        print_json(result);
    else
        print_findings(result);
    json_decref(result);
    return is_ok ? COMMAND_OK : COMMAND_FAILED;
}
