/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the node's own stores take connections, asked when somebody wants to know. */
#include <stdlib.h>

#include "backend/node_private.h"
#include "common/io/connector.h"

enum { STORE_TIMEOUT_MS = 1000 };

struct store_question {
    struct stores_inquiry *inquiry;
    enum protocol protocol;
};

struct stores_inquiry {
    struct control_request *request;
    json_t *answer, *stores;
    struct store_question questions[PROTOCOL_COUNT];
    unsigned open;
};

static void inquiry_end_one(struct stores_inquiry *inquiry)
{
    if (--inquiry->open > 0)
        return;
    control_reply(inquiry->request, inquiry->answer);
    control_finish(inquiry->request, NULL);
    free(inquiry);
}

static void store_is_known(const struct store_question *question, bool is_reachable)
{
    json_array_append_new(question->inquiry->stores,
                          json_pack("{s:s, s:b}", "protocol", protocol_name(question->protocol),
                                    "is_reachable", is_reachable ? 1 : 0));
    inquiry_end_one(question->inquiry);
}

static void store_on_connected(struct connector *connector, struct io_watch *watch,
                               const char *error)
{
    const struct store_question *question = connector_context(connector);

    (void)error;
    if (watch)
        io_watch_close(watch, NULL);
    store_is_known(question, watch != NULL);
}

static void inquiry_ask(struct stores_inquiry *inquiry, struct io_loop *loop,
                        enum protocol protocol, const struct endpoint *store)
{
    struct store_question *question = &inquiry->questions[protocol];

    if (!*store->host)
        return;
    *question = (struct store_question){ inquiry, protocol };
    inquiry->open++;
    connector_start(loop, store, 1, STORE_TIMEOUT_MS, store_on_connected, question);
}

void node_stores_answer(struct node *node, struct control_request *request, json_t *answer)
{
    const struct node_config *config = &node->child->config->node;
    struct io_loop *loop = &node->child->loop;
    struct stores_inquiry *inquiry = memory_new(sizeof(*inquiry));

    inquiry->request = request;
    inquiry->answer = answer;
    inquiry->stores = json_array();
    inquiry->open = 1;
    json_object_set_new(answer, "stores", inquiry->stores);
    inquiry_ask(inquiry, loop, PROTOCOL_LMTP, &config->lmtp_store);
    inquiry_ask(inquiry, loop, PROTOCOL_IMAP, &config->imap_store);
    inquiry_ask(inquiry, loop, PROTOCOL_POP3, &config->pop3_store);
    inquiry_ask(inquiry, loop, PROTOCOL_SIEVE, &config->sieve_store);
    inquiry_end_one(inquiry);
}
