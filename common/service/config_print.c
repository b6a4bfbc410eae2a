/* SPDX-License-Identifier: Apache-2.0 */
/* The table as the option list of mailstead.conf(5). */
#include <stdio.h>
#include <string.h>

#include "common/service/config.h"
#include "common/service/config_value.h"

static void print_title(const struct config_section *section)
{
    if (!*section->path)
        printf(".Ss Options outside all sections\n");
    else if (section->is_titled)
        printf(".Ss %s Dq Ar name\n", section->path);
    else
        printf(".Ss %s\n", section->path);
    if (*section->path)
        printf("%s\n", section->help);
}

/* Text that is safe anywhere on an mdoc line. */
static void print_text(const char *text)
{
    for (; *text; text++) {
        if (*text == '\\')
            printf("\\e");
        else if (*text == '"')
            printf("\\(dq");
        else
            putchar(*text);
    }
}

static void print_default(const struct config_option *option)
{
    printf("Default: ");
    if (option->required_by == CONFIG_BIT(CONFIG_BACKEND))
        printf("none; mailstead-backend needs it");
    else if (option->required_by)
        printf("none, it must be set");
    else if (!option->fallback)
        printf("none");
    else if (!*option->fallback)
        printf("empty");
    else
        print_text(option->fallback);
    if (option->type == CONFIG_TYPE_HOST_PATH)
        printf("; for a logical host, the folder of its name in that");
    printf(".\n");
}

static void print_option(const struct config_option *option)
{
    char expected[CONFIG_EXPECTED_SIZE];

    config_value_describe(option, expected);
    printf(".It Ic %s No = Ar value\n%s\nIt is %s", option->name, option->help,
           config_value_is_list(option) ? "a list, each item " : "");
    print_text(expected);
    printf(".\n");
    print_default(option);
}

void config_print_manual(void)
{
    for (size_t i = 0; i < config_section_count; i++) {
        const struct config_section *section = config_sections[i];

        print_title(section);
        printf(".Bl -tag -width Ds\n");
        for (size_t j = 0; j < section->option_count; j++)
            print_option(&section->options[j]);
        printf(".El\n");
    }
}
