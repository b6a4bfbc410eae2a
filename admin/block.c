/* SPDX-License-Identifier: Apache-2.0 */
#include "admin/block.h"

#include <inttypes.h>

#include "admin/everywhere.h"
#include "admin/output.h"

struct block_listing {
    struct table table;
    size_t count;
    bool is_json, has_nodes;
};

static void start_table(struct block_listing *listing)
{
    static const char *const head[] = { "network", "account", "failures", "ends in", "node" };
    size_t columns = listing->has_nodes ? 5 : 4;

    table_init(&listing->table, columns, 1U << 2);
    for (size_t i = 0; i < columns; i++)
        table_add(&listing->table, head[i]);
}

static void take_block(const struct reach_node *node, json_t *block, void *context)
{
    struct block_listing *listing = context;
    struct table *table = &listing->table;
    const char *account = json_text(block, "account");
    char left[OUTPUT_TEXT_SIZE];

    listing->count++;
    if (listing->is_json) {
        print_json_line(block);
        return;
    }
    table_add(table, json_text(block, "network"));
    table_add(table, account ? account : "(those not known there)");
    table_add_format(table, "%" PRId64, json_number(block, "failures", 0));
    table_add(table, format_duration(json_number(block, "left_ms", 0), left));
    if (listing->has_nodes)
        table_add(table, node->name);
}

enum command_status block_list_run(const struct arguments *arguments)
{
    struct block_listing listing = { .is_json = arguments->is_json };
    struct everywhere everywhere;
    enum command_status status;

    if (!everywhere_open(&everywhere, arguments, EVERYWHERE_FRONTENDS))
        return COMMAND_FAILED;
    listing.has_nodes = everywhere.count > 1;
    start_table(&listing);
    status = everywhere_ask(&everywhere, json_pack("{s:s}", "command", "block-list"), take_block,
                            &listing);
    if (listing.count > 0 && !listing.is_json)
        table_print(&listing.table, stdout, 0);
    else if (status == COMMAND_OK && !listing.is_json)
        printf("nobody is blocked\n");
    table_fini(&listing.table);
    everywhere_close(&everywhere);
    return status;
}

struct block_clearing {
    int64_t lifted;
    bool is_json;
};

static void count_lifted(const struct reach_node *node, json_t *answer, void *context)
{
    struct block_clearing *clearing = context;

    (void)node;
    clearing->lifted += json_number(answer, "lifted", 0);
    if (clearing->is_json)
        print_json_line(answer);
}

enum command_status block_clear_run(const struct arguments *arguments)
{
    bool has_choice = arguments->account || arguments->address;
    struct block_clearing clearing = { .is_json = arguments->is_json };
    char count[OUTPUT_TEXT_SIZE];
    enum command_status status;

    if (has_choice == arguments->is_all) {
        fprintf(stderr,
                "mailstead block clear: say which: --account, --address or both; or --all\n");
        return COMMAND_USAGE;
    }
    status = everywhere_run(arguments, EVERYWHERE_FRONTENDS,
                            json_pack("{s:s,s:s*,s:s*}", "command", "block-clear", "account",
                                      arguments->account, "address", arguments->address),
                            count_lifted, &clearing);
    if (status != COMMAND_FAILED && !clearing.is_json)
        printf("%s lifted\n", format_count(clearing.lifted, "block", count));
    return status;
}
