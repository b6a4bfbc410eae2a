/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libconfuse does the syntax; its options are made from the table, and each value
 * is kept as its text and line until the rows have converted it.  A value that is
 * wrong does not stop the parse; wrong syntax or an unknown option does.
 *
 * Not reentrant: libconfuse has one lexer in a process and gives its error
 * function no context.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/bytes.h"
#include "common/base/memory.h"
#include "common/service/config_loader.h"
#include "common/service/config_value.h"

struct value {
    int line;
    char text[];
};

static struct config_loader *current;

static int keep_value(cfg_t *cfg, cfg_opt_t *option, const char *text, void *result)
{
    struct value *value = memory_new(sizeof(*value) + strlen(text) + 1);

    (void)option;
    value->line = cfg->line;
    memcpy(value->text, text, strlen(text) + 1);
    *(void **)result = value;
    return 0;
}

static const struct config_section *find_section(const char *name)
{
    if (strcmp(name, "root") == 0)
        name = "";
    for (size_t i = 0; i < config_section_count; i++)
        if (strcmp(config_section_name(config_sections[i]), name) == 0)
            return config_sections[i];
    return NULL;
}

/* "cluster.", "listen \"imap\".", or nothing for the top level. */
static void format_prefix(const struct config_section *section, const char *title, char *text,
                          size_t size)
{
    if (!section || !*section->path)
        *text = '\0';
    else if (title)
        snprintf(text, size, "%s \"%s\".", section->path, title);
    else
        snprintf(text, size, "%s.", section->path);
}

static void list_names(const struct config_section *section, struct bytes *names)
{
    const char *joint = "";
    bool fits = true;

    for (size_t i = 0; i < section->option_count && fits; i++, joint = ", ")
        fits = bytes_append_format(names, "%s%s", joint, section->options[i].name);
    for (size_t i = 0; i < config_section_count && fits; i++)
        if (config_sections[i]->parent && strcmp(config_sections[i]->parent, section->path) == 0) {
            fits =
                bytes_append_format(names, "%s%s", joint, config_section_name(config_sections[i]));
            joint = ", ";
        }
    if (!bytes_append(names, span_of("", 1)))
        abort();
}

static void complain_unknown(cfg_t *cfg, const char *prefix, const char *option)
{
    const struct config_section *section = find_section(cfg->name);
    struct bytes names = bytes_empty(CONFIG_ERROR_SIZE);

    if (section) {
        list_names(section, &names);
        config_loader_complain(current, cfg->line, "%s%s: no such option; expected one of %s",
                               prefix, option, names.data);
    }
    bytes_release(&names);
}

static void parse_failed(cfg_t *cfg, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));
static void parse_failed(cfg_t *cfg, const char *format, va_list arguments)
{
    char prefix[ENDPOINT_TEXT_SIZE], text[CONFIG_ERROR_SIZE];
    const char *name;

    format_prefix(find_section(cfg->name), cfg->title, prefix, sizeof(prefix));
    vsnprintf(text, sizeof(text), format, arguments);
    name = strchr(text, '\'');
    if (name && text[strlen(text) - 1] == '\'' && strstr(text, "no such option")) {
        text[strlen(text) - 1] = '\0';
        complain_unknown(cfg, prefix, name + 1);
        return;
    }
    if (*prefix)
        prefix[strlen(prefix) - 1] = '\0';
    config_loader_complain(current, cfg->line, "%s%s%s", prefix, *prefix ? ": " : "", text);
}

static cfg_opt_t *new_options(const struct config_section *section)
{
    cfg_opt_t *options =
        memory_new((section->option_count + config_section_count + 1) * sizeof(*options));
    size_t count = 0;

    for (size_t i = 0; i < section->option_count; i++) {
        const struct config_option *row = &section->options[i];
        int flags = CFGF_NODEFAULT | (config_value_is_list(row) ? CFGF_LIST : 0);

        options[count++] = (cfg_opt_t)CFG_PTR_CB(row->name, NULL, flags, keep_value, free);
    }
    for (size_t i = 0; i < config_section_count; i++) {
        const struct config_section *inner = config_sections[i];
        int flags = inner->is_titled ? CFGF_MULTI | CFGF_TITLE | CFGF_NO_TITLE_DUPES : CFGF_NONE;

        if (inner->parent && strcmp(inner->parent, section->path) == 0)
            options[count++] =
                (cfg_opt_t)CFG_SEC(config_section_name(inner), new_options(inner), flags);
    }
    options[count] = (cfg_opt_t)CFG_END();
    return options;
}

static void free_options(cfg_opt_t *options)
{
    for (size_t i = 0; options[i].name; i++)
        if (options[i].subopts)
            free_options(options[i].subopts);
    free(options);
}

/* libconfuse's section number `index` of a row, or NULL when it has fewer. */
static cfg_t *view_of(cfg_t *root, const struct config_section *section, size_t index)
{
    cfg_t *parent = root;

    if (!*section->path)
        return root;
    if (*section->parent)
        parent = cfg_getsec(root, section->parent);
    if (index >= cfg_size(parent, config_section_name(section)))
        return NULL;
    return cfg_getnsec(parent, config_section_name(section), (unsigned)index);
}

static void complain_value(struct config_loader *loader, const struct config_section *section,
                           cfg_t *view, const struct config_option *option,
                           const struct value *value)
{
    char prefix[ENDPOINT_TEXT_SIZE], expected[CONFIG_EXPECTED_SIZE];

    format_prefix(section, view->title, prefix, sizeof(prefix));
    config_value_describe(option, expected);
    config_loader_complain(loader, value->line, "%s%s: \"%.80s\" is wrong; expected %s", prefix,
                           option->name, value->text, expected);
}

static void complain_missing(struct config_loader *loader, const struct config_section *section,
                             cfg_t *view, const struct config_option *option)
{
    char prefix[ENDPOINT_TEXT_SIZE], expected[CONFIG_EXPECTED_SIZE];

    format_prefix(section, view->title, prefix, sizeof(prefix));
    config_value_describe(option, expected);
    config_loader_complain(loader, config_loader_line(loader, section->path, 0, NULL),
                           "%s%s: is missing; expected %s", prefix, option->name, expected);
}

static void take_option(struct config_loader *loader, const struct config_section *section,
                        cfg_t *view, const struct config_option *option, void *record)
{
    cfg_opt_t *values = cfg_getopt(view, option->name);
    unsigned count = cfg_opt_size(values);

    for (unsigned i = 0; i < count; i++) {
        const struct value *value = cfg_opt_getnptr(values, i);

        if (!config_value_set(option, record, value->text))
            complain_value(loader, section, view, option, value);
    }
    if (count == 0 && (option->required_by & CONFIG_BIT(loader->program)))
        complain_missing(loader, section, view, option);
    else if (count == 0)
        config_value_set_default(option, record);
}

static void take_title(struct config_loader *loader, const struct config_section *section,
                       cfg_t *view, void *record)
{
    if (!*view->title || strlen(view->title) > 127)
        config_loader_complain(loader, view->line,
                               "%s: the name \"%.40s\" is wrong; expected text of 1 to 127 bytes",
                               section->path, view->title);
    *(char **)record = memory_copy_string(view->title);
}

static void take_section(struct config_loader *loader, const struct config_section *section)
{
    cfg_t *view;

    if (section->is_titled) {
        size_t count = 0;

        while (view_of(loader->root, section, count))
            count++;
        *(size_t *)(void *)((char *)loader->config + section->count_offset) = count;
        *(void **)(void *)((char *)loader->config + section->offset) =
            count > 0 ? memory_new(count * section->element_size) : NULL;
    }
    for (size_t i = 0; i < config_record_count(loader->config, section); i++) {
        void *record = config_record(loader->config, section, i);

        view = view_of(loader->root, section, i);
        if (section->is_titled)
            take_title(loader, section, view, record);
        for (size_t j = 0; j < section->option_count; j++)
            take_option(loader, section, view, &section->options[j], record);
    }
}

void config_loader_parse(struct config_loader *loader, const char *text)
{
    cfg_opt_t *options = new_options(config_sections[0]);

    current = loader;
    loader->root = cfg_init(options, CFGF_NONE);
    if (!loader->root)
        memory_exhausted();
    free_options(options);
    cfg_set_error_function(loader->root, parse_failed);
    if (cfg_parse_buf(loader->root, text) != CFG_SUCCESS) {
        if (loader->complaints == 0)
            config_loader_complain(loader, loader->root->line, "this is no configuration");
    } else {
        for (size_t i = 0; i < config_section_count; i++)
            take_section(loader, config_sections[i]);
    }
    current = NULL;
}

void config_loader_fini(struct config_loader *loader)
{
    if (loader->root)
        cfg_free(loader->root);
    loader->root = NULL;
}

int config_loader_line(const struct config_loader *loader, const char *path, size_t index,
                       const char *option)
{
    for (size_t i = 0; i < config_section_count; i++) {
        cfg_t *view;

        if (strcmp(config_sections[i]->path, path) != 0)
            continue;
        view = view_of(loader->root, config_sections[i], index);
        if (view && option && cfg_size(view, option) > 0)
            return ((const struct value *)cfg_getnptr(view, option, 0))->line;
        return view && *path ? view->line : 0;
    }
    return 0;
}
