/* SPDX-License-Identifier: Apache-2.0 */
/* Probes of backends that the test plays: one listens, one does not. */
#include "tests/unit/session_support.h"

#include "common/io/tls.h"
#include "common/proto/offers.h"
#include "common/session/prober.h"
#include "tests/unit/certificates.h"

static struct prober *start(struct rig *rig)
{
    rig->config.listeners = &rig->imap;
    rig->config.listener_count = 1;
    rig_kill_backend(rig, 1);
    return prober_start(&rig->service);
}

static void note_stopped(void *context)
{
    *(bool *)context = true;
}

static void stop(struct rig *rig, struct prober *prober)
{
    bool has_stopped = false;

    prober_stop(prober, note_stopped, &has_stopped);
    io_run_until_set(&rig->loop, &has_stopped);
    rig->config.listener_count = 0;
}

static int state_of(const struct rig *rig, unsigned index)
{
    const struct backend *backend = backend_set_at(&rig->service.backends.set, index);

    return atomic_load(&board_backend(rig->board, backend->key)->health[PROTOCOL_IMAP].state);
}

static bool is_settled(void *context)
{
    const struct rig *rig = context;

    return state_of(rig, 0) == BOARD_HEALTH_UP && state_of(rig, 1) == BOARD_HEALTH_DOWN;
}

static void greetings_bring_a_backend_up_and_refusals_down(void **state)
{
    struct rig *rig = *state;
    struct prober *prober = start(rig);

    for (int i = 0; i < 2; i++) {
        struct peer *backend = rig_accept(rig, 0);

        assert_int_equal(state_of(rig, 0), BOARD_HEALTH_UNKNOWN);
        rig_say(backend, "* OK ready\r\n");
        rig_expect(backend, "1 LOGOUT\r\n");
    }
    while (!is_settled(rig)) {
        if (rig->accepted[0])
            rig_say(rig_accept(rig, 0), "* OK ready\r\n");
        rig_wait(rig, 20);
    }
    stop(rig, prober);
}

static void a_goodbye_is_no_greeting(void **state)
{
    struct rig *rig = *state;
    struct prober *prober = start(rig);

    for (int i = 0; i < 3; i++) {
        struct peer *backend = rig_accept(rig, 0);

        rig_say(backend, "* BYE leaving\r\n");
        rig_expect_end(backend);
    }
    assert_int_equal(state_of(rig, 0), BOARD_HEALTH_DOWN);
    stop(rig, prober);
}

static void where_tls_comes_first_the_probe_begins_it(void **state)
{
    struct rig *rig = *state;
    struct test_certificate authority, certificate;
    char error[TLS_ERROR_SIZE];
    struct prober *prober;

    test_authority_make(&authority);
    test_certificate_issue(&certificate, &authority, "DNS:sv0");
    rig->backend_tls = test_server_context(&certificate, error);
    rig->service.tls_backend = tls_client_context(NULL, false, error);
    rig->config.backend_tls.transport = TLS_MODE_IMPLICIT;
    prober = start(rig);
    for (int i = 0; i < 2; i++) {
        struct peer *backend = rig_accept(rig, 0);

        io_run_until_set(&rig->loop, &backend->is_secured);
        rig_say(backend, "* OK ready\r\n");
        rig_expect(backend, "1 LOGOUT\r\n");
    }
    assert_int_equal(state_of(rig, 0), BOARD_HEALTH_UP);
    stop(rig, prober);
    SSL_CTX_free(rig->service.tls_backend);
    SSL_CTX_free(rig->backend_tls);
    test_certificate_free(&certificate);
    test_certificate_free(&authority);
}

static bool is_up(const struct rig *rig, const char *name)
{
    const struct backend *backend = backends_find(&rig->service.backends, name);

    return atomic_load(&board_backend(rig->board, backend->key)->health[PROTOCOL_IMAP].state) ==
           BOARD_HEALTH_UP;
}

/* Plays both backends until `name` is up. */
static void greet_until_up(struct rig *rig, const char *name)
{
    while (!is_up(rig, name)) {
        for (unsigned i = 0; i < RIG_BACKENDS; i++)
            if (rig->accepted[i])
                rig_say(rig_accept(rig, i), "* OK ready\r\n");
        rig_wait(rig, 20);
    }
}

static void one_that_joins_is_probed_and_one_that_leaves_is_let_go(void **state)
{
    struct rig *rig = *state;
    struct backend joined;
    struct prober *prober;

    backend_from_config(&rig->backend_configs[1], &joined);
    strcpy(joined.name, "sv9");
    joined.is_from_directory = true;
    rig->config.cluster.backend_count = 1;
    rig->config.listeners = &rig->imap;
    rig->config.listener_count = 1;
    backends_fini(&rig->service.backends);
    backends_init(&rig->service.backends, &rig->config, rig->board);
    prober = prober_start(&rig->service);
    greet_until_up(rig, "sv0");
    assert_null(rig->accepted[1]);
    assert_true(backend_set_update(&rig->service.backends.set, &joined, 1));
    prober_follow(prober);
    greet_until_up(rig, "sv9");
    rig_accept(rig, 1); /* the next probe waits for its greeting */
    assert_true(backend_set_update(&rig->service.backends.set, NULL, 0));
    prober_follow(prober);
    rig_wait(rig, 300);
    assert_null(rig->accepted[1]);
    stop(rig, prober);
    rig->config.cluster.backend_count = RIG_BACKENDS;
}

static void one_that_is_set_down_is_down_at_once_and_is_not_probed(void **state)
{
    struct rig *rig = *state;
    struct prober *prober = start(rig);

    rig->backend_configs[0].state = BACKEND_DOWN;
    backends_fini(&rig->service.backends);
    backends_init(&rig->service.backends, &rig->config, rig->board);
    assert_false(rig_is_up(rig, 0, PROTOCOL_IMAP));
    prober_follow(prober);
    rig_wait(rig, 300);
    assert_null(rig->accepted[0]);
    assert_int_equal(state_of(rig, 0), BOARD_HEALTH_UNKNOWN);
    stop(rig, prober);
}

static uint64_t imap_offers(const char *words)
{
    return OFFERS_KNOWN | imap_offers_read(span_from_string(words));
}

static void what_all_backends_offer_is_learned_and_announced(void **state)
{
    struct rig *rig = *state;
    struct backends *backends = &rig->service.backends;
    unsigned second = backend_set_at(&backends->set, 1)->id;
    struct prober *prober = start(rig);
    struct peer *backend = rig_accept(rig, 0);

    rig_expect(rig_connect(rig, &rig->imap), "* OK [CAPABILITY IMAP4rev1 SASL-IR ID AUTH=");
    rig_say(backend, "* OK ready\r\n");
    rig_expect(backend, "c CAPABILITY\r\n");
    assert_int_equal(backends_common_offers(backends, PROTOCOL_IMAP), 0);
    rig_say(backend, "* CAPABILITY IMAP4rev1 IDLE MOVE LITERAL+ XNEW\r\nc OK done\r\n");
    rig_expect_end(backend);
    assert_int_equal(backends_common_offers(backends, PROTOCOL_IMAP),
                     imap_offers("LITERAL+ IDLE MOVE"));
    backends_learn_offers(backends, second, PROTOCOL_IMAP, imap_offers("IDLE LITERAL- SORT"));
    assert_int_equal(backends_common_offers(backends, PROTOCOL_IMAP), imap_offers("LITERAL- IDLE"));
    assert_int_equal(backends_common_offers(backends, PROTOCOL_POP3), 0);
    rig->service.offers[PROTOCOL_IMAP].until_ms = 0;
    rig_expect(rig_connect(rig, &rig->imap),
               "* OK [CAPABILITY IMAP4rev1 SASL-IR ID LITERAL- IDLE AUTH=");
    stop(rig, prober);
}

/* What a ManageSieve server offers that says so. */
static uint64_t learn_sieve(const char *capabilities)
{
    struct offers_client client;
    char memory[2 * MACHINE_REPLY_ROOM], text[256];
    struct buffer out = buffer_over(memory, sizeof(memory));
    struct span in;

    snprintf(text, sizeof(text), "\"IMPLEMENTATION\" \"x\"\r\n%sOK\r\n", capabilities);
    in = span_from_string(text);
    offers_init(&client, &sieve_offers_dialogue, false);
    assert_int_equal(offers_next(&client, &in, &out), OFFERS_DONE);
    return client.offers;
}

static void sieve_servers_tell_how_they_notify_and_how_often_they_redirect(void **state)
{
    uint64_t five = learn_sieve("\"SIEVE\" \"fileinto\"\r\n\"NOTIFY\" \"tel mailto\"\r\n"
                                "\"MAXREDIRECTS\" \"5\"\r\n");
    uint64_t four = learn_sieve("\"maxredirects\" \"4\"\r\n\"notify\" \"xmpp mailto\"\r\n");

    (void)state;
    assert_int_equal(sieve_redirects(five), 5);
    assert_int_equal(sieve_redirects(four), 4);
    assert_int_equal(sieve_redirects(five & four), -1);
    assert_true((five & four & (OFFER_BIT(SIEVE_REDIRECTS_FIRST) - 1)) ==
                OFFER_BIT(SIEVE_NOTIFY_FIRST));
    assert_int_equal(sieve_redirects(learn_sieve("\"MAXREDIRECTS\" \"0\"\r\n")), 0);
    assert_int_equal(sieve_redirects(learn_sieve("\"MAXREDIRECTS\" \"64\"\r\n")), -1);
    assert_int_equal(sieve_redirects(learn_sieve("\"MAXREDIRECTS\" \"\"\r\n")), -1);
    assert_int_equal(sieve_redirects(learn_sieve("")), -1);
}

static void what_is_not_answered_is_no_failure(void **state)
{
    struct rig *rig = *state;
    struct prober *prober = start(rig);

    for (int i = 0; i < 2; i++) {
        struct peer *backend = rig_accept(rig, 0);

        rig_say(backend, "* OK ready\r\n");
        if (i == 0) {
            rig_expect(backend, "c CAPABILITY\r\n1 LOGOUT\r\n");
            rig_close(backend);
        } else { /* asked a moment ago */
            rig_expect(backend, "1 LOGOUT\r\n");
            rig_expect_end(backend);
        }
    }
    assert_int_equal(state_of(rig, 0), BOARD_HEALTH_UP);
    assert_int_equal(backends_common_offers(&rig->service.backends, PROTOCOL_IMAP), 0);
    stop(rig, prober);
}

static void a_node_asks_its_own_store(void **state)
{
    struct rig *rig = *state;
    struct backends *backends = &rig->service.backends;
    char name[] = "sv0";
    struct prober *prober;
    struct peer *store;

    rig->config.node.name = name;
    rig->config.node.imap_store =
        (struct endpoint){ .host = "127.0.0.1", .port = rig->backend_configs[0].imap_port };
    backends->is_node = true;
    prober = start(rig);
    store = rig_accept(rig, 0);
    rig_say(store, "* OK ready\r\n");
    rig_expect(store, "c CAPABILITY\r\n");
    rig_say(store, "* CAPABILITY IMAP4rev1 MOVE\r\nc OK done\r\n");
    rig_expect_end(store);
    assert_int_equal(backends_common_offers(backends, PROTOCOL_IMAP), imap_offers("MOVE"));
    rig_wait(rig, 300);
    assert_null(rig->accepted[0]);
    stop(rig, prober);
    rig->config.node.name = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, rig_set_up, rig_tear_down)
        T(greetings_bring_a_backend_up_and_refusals_down),
        T(a_goodbye_is_no_greeting),
        T(where_tls_comes_first_the_probe_begins_it),
        T(one_that_joins_is_probed_and_one_that_leaves_is_let_go),
        T(one_that_is_set_down_is_down_at_once_and_is_not_probed),
        T(what_all_backends_offer_is_learned_and_announced),
        T(sieve_servers_tell_how_they_notify_and_how_often_they_redirect),
        T(what_is_not_answered_is_no_failure),
        T(a_node_asks_its_own_store),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
