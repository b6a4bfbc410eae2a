/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the node's own stores take connections, asked when somebody wants to know. */
#include <stdlib.h>

#include "backend/node_private.h"
#include "common/io/connector.h"
#include "common/service/metrics.h"

enum { STORE_TIMEOUT_MS = 1000 };

struct store_question {
    struct stores_inquiry *inquiry;
    enum protocol protocol;
};

struct stores_inquiry {
    struct control_request *request;
    json_t *answer; /* NULL: samples of a metric are wanted */
    struct store_question questions[PROTOCOL_COUNT];
    unsigned open;
};

static void inquiry_end_one(struct stores_inquiry *inquiry)
{
    if (--inquiry->open > 0)
        return;
    if (inquiry->answer)
        control_reply(inquiry->request, inquiry->answer);
    control_finish(inquiry->request, NULL);
    free(inquiry);
}

static void store_is_known(const struct store_question *question, bool is_reachable)
{
    struct stores_inquiry *inquiry = question->inquiry;
    const char *protocol = protocol_name(question->protocol);

    if (inquiry->answer)
        json_array_append_new(
            json_object_get(inquiry->answer, "stores"),
            json_pack("{s:s, s:b}", "protocol", protocol, "is_reachable", is_reachable ? 1 : 0));
    else
        control_reply(inquiry->request, METRICS_SAMPLE("mailstead_store_up", is_reachable,
                                                       "protocol", protocol, NULL));
    inquiry_end_one(inquiry);
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
    connector_start(loop, store, 1, NULL, STORE_TIMEOUT_MS, store_on_connected, question);
}

static void stores_ask(struct node *node, struct control_request *request, json_t *answer)
{
    const struct node_config *config = &node->child->config->node;
    struct io_loop *loop = &node->child->loop;
    struct stores_inquiry *inquiry = memory_new(sizeof(*inquiry));

    inquiry->request = request;
    inquiry->answer = answer;
    inquiry->open = 1;
    inquiry_ask(inquiry, loop, PROTOCOL_LMTP, &config->lmtp_store);
    inquiry_ask(inquiry, loop, PROTOCOL_IMAP, &config->imap_store);
    inquiry_ask(inquiry, loop, PROTOCOL_POP3, &config->pop3_store);
    inquiry_ask(inquiry, loop, PROTOCOL_SIEVE, &config->sieve_store);
    inquiry_end_one(inquiry);
}

void node_stores_answer(struct node *node, struct control_request *request, json_t *answer)
{
    json_object_set_new(answer, "stores", json_array());
    stores_ask(node, request, answer);
}

void node_stores_measure(struct node *node, struct control_request *request)
{
    stores_ask(node, request, NULL);
}
