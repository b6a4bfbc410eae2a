/* SPDX-License-Identifier: Apache-2.0 */
/* The client machine against the server machine: what one says, the other understands. */
#include "tests/unit/unit.h"

#include "common/base/bytes.h"
#include "common/base/memory.h"
#include "common/proto/dot_stuffing.h"
#include "common/proto/smtp_client.h"
#include "common/proto/smtp_server.h"

enum { WIRE_MAX = 1 << 16 };

/* Lines of dots, 8-bit bytes, and one that is longer than any command may be. */
static const char message[] = "Subject: x\r\n\r\n.\r\n..\r\n.a\r\nb.\r\n\xff\r\n"
#define LINE "0123456789012345678901234567890123456789012345678901234567890123456789"
    LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE LINE
        LINE "\r\nend\r\n";

static const char *const recipients[] = { "joe@example.org", "refused@example.org",
                                          "\"a b\"@example.org" };

/* Both machines, and the wire between them. */
struct pair {
    struct smtp_server server;
    struct smtp_client client;
    struct bytes to_server, to_client;
    struct bytes content; /* what the server got */
    struct mail_reply recipient_replies[ARRAY_LENGTH(recipients)];
    struct mail_reply final_replies[ARRAY_LENGTH(recipients)];
    unsigned sent, accepted, finals;
    bool is_over;
};

static void must_append(struct bytes *target, struct span bytes)
{
    assert_true(bytes_append(target, bytes));
}

static void server_answer(struct pair *pair, int code, const char *text, struct buffer *out)
{
    struct mail_reply reply = mail_reply_of(code, NULL, text);

    smtp_server_reply(&pair->server, &reply, out);
}

static void server_act(struct pair *pair, enum smtp_server_event event, struct buffer *out)
{
    unsigned finals = pair->server.options.flavor == MAIL_LMTP ? 2 : 1;

    switch (event) {
    case SMTP_SERVER_STARTTLS:
        smtp_server_tls_started(&pair->server);
        break;
    case SMTP_SERVER_MAIL:
        assert_string_equal(pair->server.reverse_path, "sender@x.example");
        assert_int_equal(pair->server.parameters.size, sizeof(message) - 1);
        assert_true(pair->server.parameters.body_8bit);
        server_answer(pair, 250, "Ok", out);
        break;
    case SMTP_SERVER_RCPT:
        assert_true(pair->sent < ARRAY_LENGTH(recipients));
        assert_string_equal(pair->server.recipient, recipients[pair->sent]);
        server_answer(pair, pair->sent++ == 1 ? 550 : 250, pair->server.recipient, out);
        break;
    case SMTP_SERVER_DATA:
        server_answer(pair, 354, "Go", out);
        break;
    case SMTP_SERVER_CONTENT:
        must_append(&pair->content, pair->server.content);
        break;
    case SMTP_SERVER_CONTENT_END:
        server_answer(pair, 250, "first", out);
        if (finals > 1)
            server_answer(pair, 451, "second", out);
        break;
    default:
        fail_msg("the server gave event %d", (int)event);
    }
}

static void client_send_content(struct pair *pair, struct buffer *out)
{
    struct span content = SPAN_LITERAL(message);
    struct dot_stuffer stuffer;

    dot_stuffer_init(&stuffer);
    while (content.length > 0)
        buffer_append(out, dot_stuffer_next(&stuffer, &content));
    buffer_append(out, dot_stuffer_end(&stuffer));
    smtp_client_content_end(&pair->client, pair->accepted);
}

static void client_begin(struct pair *pair, struct buffer *out)
{
    struct mail_parameters parameters = { .size = sizeof(message) - 1, .body_8bit = true };

    assert_true(pair->client.offers_pipelining);
    assert_int_equal(pair->client.size_limit, 1 << 20);
    assert_true(smtp_client_mail(&pair->client, "sender@x.example", &parameters, out));
    for (size_t i = 0; i < ARRAY_LENGTH(recipients); i++)
        assert_true(smtp_client_rcpt(&pair->client, recipients[i], NULL, out));
}

static void client_take_reply(struct pair *pair, struct buffer *out)
{
    const struct mail_reply *reply = &pair->client.reply;
    unsigned index = pair->client.index;

    switch (pair->client.replied) {
    case SMTP_CLIENT_RCPT:
        pair->recipient_replies[index] = *reply;
        pair->accepted += mail_reply_is_positive(reply);
        if (index == ARRAY_LENGTH(recipients) - 1)
            smtp_client_data(&pair->client, out);
        break;
    case SMTP_CLIENT_DATA:
        assert_int_equal(reply->code, 354);
        client_send_content(pair, out);
        break;
    case SMTP_CLIENT_FINAL:
        pair->final_replies[index] = *reply;
        pair->finals++;
        pair->is_over = pair->client.options.flavor == MAIL_SMTP || index == 1;
        break;
    default:
        assert_int_equal(pair->client.replied, SMTP_CLIENT_MAIL);
        assert_int_equal(reply->code, 250);
    }
}

static void client_act(struct pair *pair, enum smtp_client_event event, struct buffer *out)
{
    switch (event) {
    case SMTP_CLIENT_STARTTLS:
        smtp_client_tls_started(&pair->client);
        break;
    case SMTP_CLIENT_READY:
        client_begin(pair, out);
        break;
    case SMTP_CLIENT_REPLY:
        client_take_reply(pair, out);
        break;
    default:
        fail_msg("the client gave event %d", (int)event);
    }
}

/* Lets the server use what has come for it. */
static void run_server(struct pair *pair)
{
    char memory[MACHINE_OUT_ROOM];
    enum smtp_server_event event;

    do {
        struct buffer out = buffer_over(memory, sizeof(memory));
        struct span in = bytes_span(&pair->to_server);

        event = smtp_server_next(&pair->server, &in, &out);
        if (event != SMTP_SERVER_NEED_INPUT)
            server_act(pair, event, &out);
        bytes_consume(&pair->to_server, pair->to_server.length - in.length);
        assert_false(out.overflowed);
        must_append(&pair->to_client, buffer_span(&out));
    } while (event != SMTP_SERVER_NEED_INPUT);
}

static void run_client(struct pair *pair)
{
    char memory[MACHINE_OUT_ROOM];
    enum smtp_client_event event;

    do {
        struct buffer out = buffer_over(memory, sizeof(memory));
        struct span in = bytes_span(&pair->to_client);

        event = smtp_client_next(&pair->client, &in, &out);
        if (event != SMTP_CLIENT_NEED_INPUT)
            client_act(pair, event, &out);
        bytes_consume(&pair->to_client, pair->to_client.length - in.length);
        assert_false(out.overflowed);
        must_append(&pair->to_server, buffer_span(&out));
    } while (event != SMTP_CLIENT_NEED_INPUT);
}

/* One message from one to the other; `pair` holds what came of it. */
static void deliver(struct pair *pair, enum mail_flavor flavor)
{
    char memory[MACHINE_OUT_ROOM];
    struct buffer out = buffer_over(memory, sizeof(memory));
    struct smtp_server_options server_options = {
        .flavor = flavor,
        .hostname = "mx.example.org",
        .size_max = 1 << 20,
        .recipients_max = 10,
        .tls_available = true,
    };
    struct smtp_client_options client_options = { flavor, "fe1.example.org", true, NULL, NULL };

    *pair = (struct pair){ .to_server = bytes_empty(WIRE_MAX),
                           .to_client = bytes_empty(WIRE_MAX),
                           .content = bytes_empty(WIRE_MAX) };
    smtp_server_init(&pair->server, &server_options, &out);
    must_append(&pair->to_client, buffer_span(&out));
    smtp_client_init(&pair->client, &client_options);
    for (unsigned turn = 0; turn < 20 && !pair->is_over; turn++) {
        run_client(pair);
        run_server(pair);
    }
    run_client(pair);
    assert_true(pair->is_over);
    assert_span(bytes_span(&pair->content), message);
    assert_int_equal(pair->accepted, 2);
    assert_int_equal(pair->recipient_replies[1].code, 550);
    assert_string_equal(pair->recipient_replies[2].text, recipients[2]);
    bytes_release(&pair->to_server);
    bytes_release(&pair->to_client);
    bytes_release(&pair->content);
}

static void test_a_message_goes_over_smtp_unchanged(void **unused)
{
    struct pair pair;

    (void)unused;
    deliver(&pair, MAIL_SMTP);
    assert_int_equal(pair.finals, 1);
    assert_string_equal(pair.final_replies[0].text, "first");
}

static void test_a_message_over_lmtp_has_an_answer_for_each_recipient(void **unused)
{
    struct pair pair;

    (void)unused;
    deliver(&pair, MAIL_LMTP);
    assert_int_equal(pair.finals, 2);
    assert_int_equal(pair.final_replies[0].code, 250);
    assert_int_equal(pair.final_replies[1].code, 451);
    assert_string_equal(pair.final_replies[1].text, "second");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_goes_over_smtp_unchanged),
        cmocka_unit_test(test_a_message_over_lmtp_has_an_answer_for_each_recipient),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
