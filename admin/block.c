/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/block.h"

#include <inttypes.h>

#include "admin/daemon.h"
#include "admin/output.h"

static void print_table(const json_t *blocks)
{
    static const char *const head[] = { "network", "account", "failures", "ends in" };
    char left[OUTPUT_TEXT_SIZE];
    struct table table;
    json_t *block;
    size_t i;

    table_init(&table, 4, 1U << 2);
    for (i = 0; i < 4; i++)
        table_add(&table, head[i]);
    json_array_foreach (blocks, i, block) {
        const char *account = json_text(block, "account");

        table_add(&table, json_text(block, "network"));
        table_add(&table, account ? account : "(those not known there)");
        table_add_format(&table, "%" PRId64, json_number(block, "failures", 0));
        table_add(&table, format_duration(json_number(block, "left_ms", 0), left));
    }
    table_print(&table, stdout, 0);
    table_fini(&table);
}

enum command_status block_list_run(const struct arguments *arguments)
{
    json_t *blocks = daemon_answer(arguments, json_pack("{s:s}", "command", "block-list"));
    json_t *block;
    size_t i;

    if (!blocks)
        return COMMAND_FAILED;
    if (arguments->is_json)
        json_array_foreach (blocks, i, block)
            print_json_line(block);
    else if (json_array_size(blocks) == 0)
        printf("nobody is blocked\n");
    else
        print_table(blocks);
    json_decref(blocks);
    return COMMAND_OK;
}

enum command_status block_clear_run(const struct arguments *arguments)
{
    bool has_choice = arguments->account || arguments->address;
    char count[OUTPUT_TEXT_SIZE];
    const json_t *answer;
    json_t *lines;

    if (has_choice == arguments->is_all) {
        fprintf(stderr, "mailstead block clear: --account, --address or both; or --all\n");
        return COMMAND_USAGE;
    }
    lines =
        daemon_answer(arguments, json_pack("{s:s,s:s*,s:s*}", "command", "block-clear", "account",
                                           arguments->account, "address", arguments->address));
    answer = json_array_get(lines, 0);
    if (!answer)
        return COMMAND_FAILED;
    if (arguments->is_json)
        print_json_line(answer);
    else
        printf("%s lifted\n", format_count(json_number(answer, "lifted", 0), "block", count));
    json_decref(lines);
    return COMMAND_OK;
}
