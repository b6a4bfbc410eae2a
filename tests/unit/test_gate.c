/* SPDX-License-Identifier: Apache-2.0 */
/* The gate "sv0": its store is the rig's backend 0; the rig's backend 1 is the node "sv1". */
#include "tests/unit/session_support.h"

#include "backend/choose.h"
#include "common/service/node_board.h"

static int gate_set_up(void **state)
{
    struct rig *rig;
    int result = rig_set_up(state);

    rig = *state;
    rig->config.node = (struct node_config){ .name = rig->backend_configs[0].name };
    snprintf(rig->config.node.imap_store.host, sizeof(rig->config.node.imap_store.host), "%s",
             rig->backend_configs[0].address);
    rig->config.node.imap_store.port = rig->backend_configs[0].imap_port;
    rig->config.node.pop3_store = rig->config.node.lmtp_store = rig->config.node.sieve_store =
        rig->config.node.imap_store;
    rig->service.choose = backend_choose;
    rig->service.fallback = NULL;
    rig->service.peers_are_trusted = true;
    rig->service.holds_logins = false;
    rig->service.backends.is_node = true;
    atomic_store(&rig->board->mirror_is_synchronised, 1);
    atomic_store(&rig->board->node.order, NODE_ORDER_SERVE);
    node_board_open_storages(rig->board, true);
    return result;
}

static struct peer *log_in(struct rig *rig, const char *name)
{
    struct peer *client = rig_connect(rig, &rig->imap);
    char line[64];

    snprintf(line, sizeof(line), "1 LOGIN %s secret\r\n", name);
    rig_expect(client, "ready.\r\n");
    rig_say(client, line);
    return client;
}

static struct peer *begin_mail(struct rig *rig)
{
    struct peer *client = rig_connect(rig, &rig->lmtp);

    rig_expect(client, "220 ");
    rig_say(client, "LHLO fe1\r\n");
    rig_expect(client, "250-XCLIENT NAME ADDR PORT PROTO HELO SESSION TTL\r\n");
    return client;
}

static const char hello[] = "220 store\r\n250-store\r\n250-PIPELINING\r\n"
                            "250 XCLIENT ADDR PORT PROTO HELO LOGIN SESSION TTL TIMEOUT\r\n";

static struct peer *accept_lmtp(struct rig *rig, unsigned index)
{
    return rig_accept_lmtp(rig, index, hello + strlen("220 store\r\n"));
}

/* --- who is served ------------------------------------------------------------------- */

static void nothing_is_served_before_the_first_synchronisation(void **state)
{
    struct rig *rig = *state;

    atomic_store(&rig->board->mirror_is_synchronised, 0);
    rig_expect(log_in(rig, "anna"), "1 NO [UNAVAILABLE] ");
    atomic_store(&rig->board->node.is_overridden, 1);
    log_in(rig, "anna");
    (void)rig_accept(rig, 0);
}

static void another_nodes_account_is_refused_by_the_code(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin_mail(rig);

    rig_expect(log_in(rig, "bert"), "1 NO [UNAVAILABLE ELSEWHERE] ");
    rig_say(client, "MAIL FROM:<>\r\nRCPT TO:<bert@example.org>\r\n");
    rig_expect(client, "451 4.1.6 ");
}

/* On the way home: the frontend waits, and does not look elsewhere. */
static void accounts_that_were_let_go_are_refused_for_now(void **state)
{
    struct rig *rig = *state;
    struct board_storage *own = node_board_storage(rig->board, rig->config.node.name);
    struct peer *client = begin_mail(rig);

    log_in(rig, "anna");
    (void)rig_accept(rig, 0);
    assert_int_equal(node_board_storage_sessions(rig->board, own), 1);
    atomic_store(&own->state, STORAGE_RELEASING);
    rig_expect(log_in(rig, "anna"), "1 NO [UNAVAILABLE] ");
    rig_say(client, "MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\n");
    rig_expect(client, "451 4.3.0 ");
    atomic_store(&own->state, STORAGE_ATTACHED);
    log_in(rig, "anna");
    (void)rig_accept(rig, 0);
}

static void an_unknown_account_is_unknown(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin_mail(rig);

    rig->confirmation = DIRECTORY_ABSENT;
    rig_say(client, "MAIL FROM:<>\r\nRCPT TO:<nobody@example.org>\r\n");
    rig_expect(client, "550 5.1.1 ");
}

/* --- relaying -------------------------------------------------------------------------- */

static void a_foreign_login_is_relayed_once(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *owner;

    rig->config.node.foreign = NODE_FOREIGN_RELAY;
    client = log_in(rig, "bert");
    owner = rig_accept(rig, 1);
    rig_say(owner, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID] ready\r\n");
    rig_expect(owner, "\"x-proxy-ttl\" \"1\")\r\n");
    rig_say(owner, "i OK\r\na OK in\r\n");
    rig_expect(client, "1 OK in\r\n");
    client = rig_connect(rig, &rig->imap);
    rig_say(client, "i ID (\"x-originating-ip\" \"192.0.2.1\" \"x-proxy-ttl\" \"1\")\r\n"
                    "1 LOGIN bert secret\r\n");
    rig_expect(client, "1 NO [UNAVAILABLE ELSEWHERE] ");
}

/* Two nodes that each say it is the other's: the second one's word goes back. */
static void the_owners_no_goes_back_to_the_frontend(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *owner;

    rig->config.node.foreign = NODE_FOREIGN_RELAY;
    client = log_in(rig, "bert");
    owner = rig_accept(rig, 1);
    rig_say(owner, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN ID] ready\r\n");
    rig_expect(owner, "\"x-proxy-ttl\" \"1\")\r\n");
    rig_say(owner, "i OK\r\na NO [UNAVAILABLE ELSEWHERE] The account is another node's.\r\n");
    rig_expect(client, "1 NO [UNAVAILABLE ELSEWHERE] ");
}

static void hops_are_counted_by_xclient(const struct listener_config *listener, struct rig *rig,
                                        const char *login, const char *refusal)
{
    struct peer *client = rig_connect(rig, listener);

    rig->config.node.foreign = NODE_FOREIGN_RELAY;
    rig_say(client, "XCLIENT ADDR=192.0.2.1 TTL=1\r\n");
    rig_say(client, login);
    rig_expect(client, refusal);
}

static void a_relayed_login_is_relayed_no_further(void **state)
{
    struct rig *rig = *state;

    struct listener_config sieve = rig->imap;

    sieve.protocol = PROTOCOL_SIEVE;
    hops_are_counted_by_xclient(&rig->pop3, rig, "USER bert\r\nPASS secret\r\n",
                                "-ERR [SYS/TEMP/ELSEWHERE] ");
    hops_are_counted_by_xclient(&sieve, rig, "AUTHENTICATE \"PLAIN\" \"AGJlcnQAc2VjcmV0\"\r\n",
                                "NO (TRYLATER/ELSEWHERE) ");
    hops_are_counted_by_xclient(&rig->lmtp, rig,
                                "LHLO fe1\r\nMAIL FROM:<>\r\nRCPT TO:<bert@example.org>\r\n",
                                "451 4.1.6 ");
    session_service_end_all(&rig->service, "their listener goes");
    rig_expect_no_session(rig);
}

static void foreign_mail_is_relayed_with_one_hop_left(void **state)
{
    struct rig *rig = *state;
    struct peer *client = begin_mail(rig), *owner;

    rig->config.node.foreign = NODE_FOREIGN_RELAY;
    rig_say(client, "XCLIENT ADDR=192.0.2.1 SESSION=abc TTL=5\r\nLHLO fe1\r\n");
    rig_say(client, "MAIL FROM:<>\r\nRCPT TO:<bert@example.org>\r\n");
    owner = accept_lmtp(rig, 1);
    rig_expect(owner, "XCLIENT ADDR=192.0.2.1 SESSION=abc TTL=1\r\nLHLO mx.example.org\r\n");
    rig_say(owner, hello);
    rig_expect(owner, "RCPT TO:<bert@example.org>\r\n");
    rig_say(owner, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
    rig_say(client, "RCPT TO:<anna@example.org>\r\n");
    rig_expect(client, "451 4.1.6 ");
    rig_say(client, "DATA\r\n");
    rig_expect(owner, "DATA\r\n");
    rig_say(owner, "354 go on\r\n");
    rig_expect(client, "354 ");
    rig_say(client, "body\r\n.\r\n");
    rig_expect(owner, "body\r\n.\r\n");
    rig_say(owner, "250 2.0.0 Taken\r\n");
    rig_expect(client, "250 2.0.0 Taken\r\n");
}

/* --- the store -------------------------------------------------------------------------- */

static const char offers_8bit[] = "220 store\r\n250-store\r\n250-PIPELINING\r\n250-8BITMIME\r\n"
                                  "250 XCLIENT ADDR SESSION TTL\r\n";

/* A client whose mail for anna is of 8 bits, and the store's side of it up to its answers. */
static struct peer *ask_for_anna(struct rig *rig, struct peer **store)
{
    struct peer *client = begin_mail(rig);

    rig_say(client, "XCLIENT ADDR=2001:db8::1 PORT=99 SESSION=abc TTL=5\r\nLHLO fe1\r\n"
                    "MAIL FROM:<> BODY=8BITMIME\r\nRCPT TO:<anna@example.org>\r\n");
    *store = rig_accept(rig, 0);
    rig_say(*store, offers_8bit);
    rig_expect(*store, "LHLO mx.example.org\r\n");
    rig_expect(*store, "XCLIENT ADDR=IPV6:2001:db8::1 PORT=99 SESSION=abc TTL=4\r\n"
                       "LHLO mx.example.org\r\nMAIL FROM:<> BODY=8BITMIME\r\n"
                       "RCPT TO:<anna@example.org>\r\n");
    return client;
}

/* On another connection it is said one after the other. */
static struct peer *expect_care(struct rig *rig)
{
    struct peer *store = rig_accept(rig, 0);

    rig_say(store, offers_8bit);
    rig_expect(store, " TTL=4\r\nLHLO mx.example.org\r\n");
    rig_wait(rig, 5);
    assert_int_equal(store->received.length, 0);
    return store;
}

static void a_store_learns_whose_mail_it_is_together_with_the_envelope(void **state)
{
    struct rig *rig = *state;
    struct peer *store, *client = ask_for_anna(rig, &store);

    rig_say(store, offers_8bit);
    rig_say(store, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
    rig_say(client, "DATA\r\n");
    rig_expect(store, "DATA\r\n");
}

static void a_store_that_does_not_want_to_know_takes_the_mail_all_the_same(void **state)
{
    struct rig *rig = *state;
    struct peer *store, *client = ask_for_anna(rig, &store);

    rig_say(store, "550 5.7.14 You are not from trusted IP\r\n");
    rig_say(store, offers_8bit + strlen("220 store\r\n"));
    rig_say(store, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
}

/* MAIL was written by an offer that does not stand, so that its answer says nothing. */
static void a_store_that_offers_less_behind_xclient_is_asked_again_with_care(void **state)
{
    struct rig *rig = *state;
    struct peer *store, *client = ask_for_anna(rig, &store);

    rig_say(store, "220 store\r\n250-store\r\n250 PIPELINING\r\n555 5.5.4 BODY?\r\n503 5.5.1\r\n");
    store = expect_care(rig);
    rig_say(store, offers_8bit);
    rig_expect(store, "MAIL FROM:<> BODY=8BITMIME\r\nRCPT TO:<anna@example.org>\r\n");
    rig_say(store, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
}

static void a_store_that_goes_when_it_is_told_is_asked_again(void **state)
{
    struct rig *rig = *state;
    struct peer *store, *client = ask_for_anna(rig, &store);

    rig_say(store, "421 4.4.2 Idle for too long\r\n");
    store = expect_care(rig);
    rig_say(store, offers_8bit);
    rig_expect(store, "RCPT TO:<anna@example.org>\r\n");
    rig_say(store, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
}

static void a_hello_that_is_refused_is_tried_once_more_and_is_no_refusal_of_mail(void **state)
{
    struct rig *rig = *state;
    struct peer *store, *client = ask_for_anna(rig, &store);

    rig_say(store, "220 store\r\n554 5.5.0 One after the other\r\n");
    store = expect_care(rig);
    rig_say(store, "220 store\r\n554 5.5.0 Never\r\n");
    rig_expect(client, "451 4.4.1 ");
    rig_wait(rig, 5);
    assert_null(rig->accepted[0]);
}

static void what_a_store_does_not_know_is_temporary_when_the_directory_does(void **state)
{
    static const struct {
        const char *said, *told;
    } rows[] = { { "550 5.1.1 No such user\r\n", "451 4.3.0 " },
                 { "550 who?\r\n", "451 4.3.0 " },
                 { "553 5.1.3 bad\r\n", "451 4.3.0 " },
                 { "552 5.2.2 full\r\n", "552 5.2.2 full" },
                 { "550 5.7.1 not from you\r\n", "550 5.7.1 not from you" } };
    struct rig *rig = *state;
    struct peer *client = begin_mail(rig), *store;

    rig_say(client, "MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\n");
    store = accept_lmtp(rig, 0);
    rig_expect(store, "LHLO ");
    rig_say(store, hello);
    rig_expect(store, "MAIL FROM:<>\r\n");
    rig_say(store, "250 2.1.0 Ok\r\n");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        rig_expect(store, "RCPT TO:<anna@example.org>\r\n");
        rig_say(store, rows[i].said);
        rig_expect(client, rows[i].told);
        if (i + 1 < sizeof(rows) / sizeof(rows[0]))
            rig_say(client, "RCPT TO:<anna@example.org>\r\n");
    }
}

/* --- moves ----------------------------------------------------------------------------------- */

static struct peer *begin_content(struct rig *rig, struct peer **store)
{
    struct peer *client = begin_mail(rig);

    rig_say(client, "MAIL FROM:<>\r\nRCPT TO:<anna@example.org>\r\n");
    *store = accept_lmtp(rig, 0);
    rig_expect(*store, "LHLO ");
    rig_say(*store, hello);
    rig_expect(*store, "RCPT TO:<anna@example.org>\r\n");
    rig_say(*store, "250 2.1.0 Ok\r\n250 2.1.5 Known\r\n");
    rig_expect(client, "250 2.1.5 Known\r\n");
    rig_say(client, "DATA\r\n");
    rig_expect(*store, "DATA\r\n");
    rig_say(*store, "354 go on\r\n");
    rig_expect(client, "354 ");
    rig_say(client, "Subject: x\r\n\r\nbody\r\n");
    return client;
}

static void moved(struct rig *rig, const char *name, const char *host)
{
    char account[64];

    rig_move(rig, name, host);
    snprintf(account, sizeof(account), "%s@example.org", name);
    session_service_account_changed(&rig->service, span_from_string(account),
                                    span_from_string(host));
}

static void mail_under_way_ends_when_its_account_moves(void **state)
{
    struct rig *rig = *state;
    struct peer *store, *client = begin_content(rig, &store);

    moved(rig, "bert", "sv0"); /* somebody else */
    io_run_turns(&rig->loop, 5);
    rig_say(client, "more\r\n");
    moved(rig, "anna", "sv1");
    rig_expect_end(client);
    rig_expect_end(store);
    assert_null(memmem(store->received.data, store->received.length, "\r\n.\r\n", 5));
}

static void mail_under_way_ends_when_many_have_moved(void **state)
{
    struct rig *rig = *state;
    struct peer *store, *client = begin_content(rig, &store);

    session_service_many_changed(&rig->service);
    io_run_turns(&rig->loop, 5);
    rig_say(client, "more\r\n");
    rig_move(rig, "anna", "sv1");
    session_service_many_changed(&rig->service);
    rig_expect_end(client);
    rig_expect_end(store);
}

static void mail_that_is_complete_has_a_moment_for_its_answer(void **state)
{
    struct rig *rig = *state;
    struct peer *store, *client = begin_content(rig, &store);

    rig_say(client, ".\r\n");
    rig_expect(store, "\r\n.\r\n");
    moved(rig, "anna", "sv1");
    rig_say(store, "250 2.0.0 Taken\r\n");
    rig_expect(client, "250 2.0.0 Taken\r\n421 ");
    rig_expect_end(client);
}

static void a_relayed_session_ends_when_its_account_moves(void **state)
{
    struct rig *rig = *state;
    struct peer *client, *owner;

    rig->config.node.foreign = NODE_FOREIGN_RELAY;
    client = log_in(rig, "bert");
    owner = rig_accept(rig, 1);
    rig_say(owner, "* OK [CAPABILITY IMAP4rev1 SASL-IR AUTH=PLAIN] ready\r\n");
    rig_expect(owner, "a AUTHENTICATE PLAIN ");
    rig_say(owner, "a OK in\r\n");
    rig_expect(client, "1 OK in\r\n");
    moved(rig, "bert", "sv0");
    rig_expect_end(client);
    rig_expect_end(owner);
}

#define T(function) cmocka_unit_test_setup_teardown(function, gate_set_up, rig_tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(nothing_is_served_before_the_first_synchronisation),
        T(another_nodes_account_is_refused_by_the_code),
        T(accounts_that_were_let_go_are_refused_for_now),
        T(an_unknown_account_is_unknown),
        T(a_foreign_login_is_relayed_once),
        T(the_owners_no_goes_back_to_the_frontend),
        T(a_relayed_login_is_relayed_no_further),
        T(foreign_mail_is_relayed_with_one_hop_left),
        T(a_store_learns_whose_mail_it_is_together_with_the_envelope),
        T(a_store_that_does_not_want_to_know_takes_the_mail_all_the_same),
        T(a_store_that_offers_less_behind_xclient_is_asked_again_with_care),
        T(a_store_that_goes_when_it_is_told_is_asked_again),
        T(a_hello_that_is_refused_is_tried_once_more_and_is_no_refusal_of_mail),
        T(what_a_store_does_not_know_is_temporary_when_the_directory_does),
        T(mail_under_way_ends_when_its_account_moves),
        T(mail_under_way_ends_when_many_have_moved),
        T(mail_that_is_complete_has_a_moment_for_its_answer),
        T(a_relayed_session_ends_when_its_account_moves),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
