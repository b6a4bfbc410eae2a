/* SPDX-License-Identifier: Apache-2.0 */
/* What the control child answers about the blocks on the board. */
#include <string.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/io/network.h"
#include "common/service/any_text.h"
#include "common/service/control_hub.h"

static json_t *block_row(const struct block *block, uint64_t now_ms)
{
    return json_pack("{s:o*, s:s, s:I, s:I}", "account",
                     *block->account ? json_any_text(block->account) : NULL, "network",
                     block->network, "failures", (json_int_t)block->failures, "left_ms",
                     (json_int_t)(block->until_ms - now_ms));
}

static json_t *list_blocks(const struct child *child, const json_t *request)
{
    uint64_t now_ms = clock_monotonic_ms();
    json_t *rows = json_array();
    struct block block;

    (void)request;
    for (size_t i = 0; i < BLOCK_ROWS; i++)
        if (block_list_get(&child->board->blocks, i, now_ms, &block))
            json_array_append_new(rows, block_row(&block, now_ms));
    return rows;
}

/* Whether the blocked network and what the order names have an address in common. */
static bool overlaps(const struct block *block, const char *text)
{
    struct network blocked, meant;

    return network_parse(block->network, &blocked) && network_parse(text, &meant) &&
           (network_list_has_address(&blocked, 1, meant.address) ||
            network_list_has_address(&meant, 1, blocked.address));
}

/* A name that is no UTF-8 is meant as the list shows it. */
static bool is_called(const struct block *block, const char *account)
{
    json_t *shown = json_any_text(block->account);
    bool is_it = strcmp(json_string_value(shown), account) == 0;

    json_decref(shown);
    return is_it;
}

static bool is_meant(const struct block *block, const char *account, const char *address)
{
    return (!account || is_called(block, account)) && (!address || overlaps(block, address));
}

static size_t lift_some(struct board *board, const char *account, const char *address)
{
    uint64_t now_ms = clock_monotonic_ms();
    struct block block;
    size_t count = 0;

    for (size_t i = 0; i < BLOCK_ROWS; i++)
        if (block_list_get(&board->blocks, i, now_ms, &block) &&
            is_meant(&block, account, address)) {
            block_list_lift(&board->blocks, &board->tally, &block);
            count++;
        }
    return count;
}

static json_t *lift_blocks(const struct child *child, const json_t *request)
{
    const char *account = json_string_value(json_object_get(request, "account"));
    const char *address = json_string_value(json_object_get(request, "address"));
    struct board *board = child->board;
    size_t count = account || address
                       ? lift_some(board, account, address)
                       : block_list_lift_all(&board->blocks, &board->tally, clock_monotonic_ms());

    LOG_EVENT(LOG_LEVEL_INFO, NULL, "blocks_lifted", LOG_TEXT("account", account),
              LOG_TEXT("address", address), LOG_INTEGER("blocks", count));
    return json_pack("{s:I}", "lifted", (json_int_t)count);
}

json_t *control_blocks_answer(const struct child *child, const char *command, const json_t *request)
{
    if (strcmp(command, "block-list") == 0)
        return list_blocks(child, request);
    return strcmp(command, "block-clear") == 0 ? lift_blocks(child, request) : NULL;
}
