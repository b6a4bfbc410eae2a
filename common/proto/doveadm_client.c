/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The doveadm client machine.  It sends no word that could end a field or a line, holds nothing of
 * a command's output, and takes no result that is longer than a code can be.
 */
#include "common/proto/doveadm_client.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/base64.h"

enum { DOVEADM_LINE_MAX = 256 }; /* of a greeting or a result */

enum {
    DOVEADM_START,
    DOVEADM_GREETING, /* sent VERSION */
    DOVEADM_AUTH,     /* sent PLAIN */
    DOVEADM_IDLE,     /* asked what to run */
    DOVEADM_SENDING,  /* a command */
    DOVEADM_PRINTING, /* reads its output */
    DOVEADM_ENDING,   /* reads its result */
    DOVEADM_DONE
};

static const struct state_row doveadm_states[] = {
    [DOVEADM_START] = { "start", STATE_BIT(DOVEADM_GREETING) },
    [DOVEADM_GREETING] = { "greeting", STATE_BIT(DOVEADM_AUTH) | STATE_BIT(DOVEADM_IDLE) |
                                           STATE_BIT(DOVEADM_DONE) },
    [DOVEADM_AUTH] = { "auth", STATE_BIT(DOVEADM_IDLE) | STATE_BIT(DOVEADM_DONE) },
    [DOVEADM_IDLE] = { "idle", STATE_BIT(DOVEADM_SENDING) },
    [DOVEADM_SENDING] = { "sending", STATE_BIT(DOVEADM_PRINTING) },
    [DOVEADM_PRINTING] = { "printing", STATE_BIT(DOVEADM_ENDING) },
    [DOVEADM_ENDING] = { "ending", STATE_BIT(DOVEADM_IDLE) | STATE_BIT(DOVEADM_DONE) },
    [DOVEADM_DONE] = { "done", 0 },
};

static enum doveadm_event doveadm_fail(struct doveadm_client *client, const char *why)
{
    client->why = why;
    state_move(&client->state, DOVEADM_DONE);
    return DOVEADM_FAILED;
}

static enum doveadm_event doveadm_get_ready(struct doveadm_client *client)
{
    explicit_bzero(client->password, sizeof(client->password));
    state_move(&client->state, DOVEADM_IDLE);
    return DOVEADM_READY;
}

static void doveadm_prove(struct doveadm_client *client, struct buffer *out)
{
    char memory[sizeof("\0doveadm") + DOVEADM_PASSWORD_SIZE];
    struct buffer proof = buffer_over(memory, sizeof(memory));

    buffer_append(&proof, span_of("\0doveadm\0", sizeof("\0doveadm\0") - 1));
    buffer_append_string(&proof, client->password);
    buffer_append_string(out, "PLAIN\t");
    base64_encode(buffer_span(&proof), out);
    buffer_append_byte(out, '\n');
    explicit_bzero(memory, sizeof(memory));
    state_move(&client->state, DOVEADM_AUTH);
}

static enum doveadm_event doveadm_take_greeting(struct doveadm_client *client, struct span line,
                                                struct buffer *out)
{
    if (span_starts_with_ignore_case(line, SPAN_LITERAL("VERSION\t")))
        return DOVEADM_NEED_INPUT;
    if (span_equals(line, SPAN_LITERAL("+")))
        return doveadm_get_ready(client);
    if (!span_equals(line, SPAN_LITERAL("-")))
        return doveadm_fail(client, "it does not speak doveadm's protocol");
    doveadm_prove(client, out);
    return DOVEADM_NEED_INPUT;
}

static enum doveadm_event doveadm_take_result(struct doveadm_client *client, struct span line)
{
    bool is_good = span_equals(line, SPAN_LITERAL("+"));

    if (!is_good && (line.length == 0 || line.data[0] != '-' ||
                     !span_copy_string(span_drop(line, 1), client->code, sizeof(client->code))))
        return doveadm_fail(client, "it gave a result that is none");
    if (is_good)
        client->code[0] = '\0';
    else if (client->code[0] == '\0')
        memcpy(client->code, "FAILED", sizeof("FAILED"));
    state_move(&client->state, DOVEADM_IDLE);
    return DOVEADM_RESULT;
}

/* The event is NEED_INPUT when the next line is to be read. */
static enum doveadm_event doveadm_take_line(struct doveadm_client *client, struct span line,
                                            struct buffer *out)
{
    if (line.length > DOVEADM_LINE_MAX)
        return doveadm_fail(client, "it said a line that is too long");
    switch (client->state.current) {
    case DOVEADM_GREETING:
        return doveadm_take_greeting(client, line, out);
    case DOVEADM_AUTH:
        if (!span_equals(line, SPAN_LITERAL("+")))
            return doveadm_fail(client, "it refused the password");
        return doveadm_get_ready(client);
    default:
        return doveadm_take_result(client, line);
    }
}

/*
 * Told from its first bytes, whether its end has come or not: so the same is taken off however it
 * comes.
 */
static bool doveadm_is_too_long(struct span in)
{
    struct span most = span_take(in, DOVEADM_LINE_MAX + 2); /* with its CR LF */

    return most.length == DOVEADM_LINE_MAX + 2 && span_find(most, '\n') == most.length;
}

/* What a command prints ends with the first line break: Dovecot escapes those inside. */
static bool doveadm_take_output(struct doveadm_client *client, struct span *in)
{
    client->output = span_take(*in, span_find(*in, '\n'));
    *in = span_drop(*in, client->output.length);
    if (in->length > 0) {
        *in = span_drop(*in, 1);
        state_move(&client->state, DOVEADM_ENDING);
    }
    return client->output.length > 0;
}

/* Writes what there is room for; true when the whole command is written. */
static bool doveadm_send(struct doveadm_client *client, struct buffer *out)
{
    while (client->word < client->command.count) {
        size_t room = buffer_room(out) - 2; /* for what follows the word */
        struct span piece = span_take(client->rest, room);

        buffer_append(out, piece);
        client->rest = span_drop(client->rest, piece.length);
        if (client->rest.length > 0)
            return false;
        client->word++;
        buffer_append_byte(out, client->word < client->command.count ? '\t' : '\n');
        client->rest = client->command.words[client->word % DOVEADM_WORDS_MAX];
        if (buffer_room(out) < MACHINE_REPLY_ROOM)
            return client->word == client->command.count;
    }
    return true;
}

enum doveadm_event doveadm_client_next(struct doveadm_client *client, struct span *in,
                                       struct buffer *out)
{
    enum doveadm_event event = DOVEADM_NEED_INPUT;
    struct span line;

    assert(client->state.current != DOVEADM_IDLE && client->state.current != DOVEADM_DONE);
    if (client->state.current == DOVEADM_START) {
        buffer_append_string(out, "VERSION\tdoveadm-server\t1\t0\n");
        state_move(&client->state, DOVEADM_GREETING);
    }
    if (client->state.current == DOVEADM_SENDING) {
        if (!doveadm_send(client, out))
            return DOVEADM_FLUSH;
        state_move(&client->state, DOVEADM_PRINTING);
    }
    if (client->state.current == DOVEADM_PRINTING && doveadm_take_output(client, in))
        return DOVEADM_OUTPUT;
    if (client->state.current == DOVEADM_PRINTING)
        return DOVEADM_NEED_INPUT;
    while (event == DOVEADM_NEED_INPUT && !doveadm_is_too_long(*in) && machine_take_line(in, &line))
        event = doveadm_take_line(client, line, out);
    if (event == DOVEADM_NEED_INPUT && doveadm_is_too_long(*in))
        return doveadm_fail(client, "it said a line that is too long");
    return event;
}

bool doveadm_client_run(struct doveadm_client *client, const struct doveadm_command *command)
{
    assert(command->count >= 3 && command->count <= DOVEADM_WORDS_MAX);
    for (size_t i = 0; i < command->count; i++)
        for (size_t j = 0; j < command->words[i].length; j++)
            if ((unsigned char)command->words[i].data[j] < ' ')
                return false;
    client->command = *command;
    client->word = 0;
    client->rest = command->words[0];
    state_move(&client->state, DOVEADM_SENDING);
    return true;
}

void doveadm_client_init(struct doveadm_client *client, const char *password)
{
    *client = (struct doveadm_client){ .why = NULL };
    if (!span_copy_string(span_from_string(password), client->password, sizeof(client->password)))
        abort();
    state_init(&client->state, doveadm_states, DOVEADM_START);
}

void doveadm_client_fini(struct doveadm_client *client)
{
    explicit_bzero(client, sizeof(*client));
}
