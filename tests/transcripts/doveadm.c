/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replays the transcripts of the doveadm client.  Option: password=WORD.  Answer:
 * "run USER COMMAND WORD...", the words escaped as in text; a command that cannot be sent is an
 * end.
 */
#include <stdlib.h>

#include "common/proto/doveadm_client.h"
#include "tests/transcripts/runner.h"

struct subject {
    struct doveadm_client client;
    char words[DOVEADM_WORDS_MAX][256];
};

static bool subject_init(void *memory, struct span options, struct buffer *out)
{
    struct subject *subject = memory;
    char password[DOVEADM_PASSWORD_SIZE];
    struct span word = transcript_take_word(&options);
    struct span name = span_split(&word, '=');

    (void)out;
    if (!span_equals(name, SPAN_LITERAL("password")) ||
        !transcript_copy_word(word, password, sizeof(password)))
        return false;
    doveadm_client_init(&subject->client, password);
    return true;
}

static enum transcript_step subject_next(void *memory, struct span *in, struct buffer *out,
                                         struct buffer *note)
{
    struct doveadm_client *client = &((struct subject *)memory)->client;

    switch (doveadm_client_next(client, in, out)) {
    case DOVEADM_NEED_INPUT:
        return TRANSCRIPT_NEED_INPUT;
    case DOVEADM_FLUSH:
        return TRANSCRIPT_FLUSH;
    case DOVEADM_READY:
        buffer_append_string(note, "READY");
        return TRANSCRIPT_QUESTION;
    case DOVEADM_OUTPUT:
        buffer_append(note, client->output);
        return TRANSCRIPT_CONTENT;
    case DOVEADM_RESULT:
        buffer_append_format(note, "RESULT %s", client->code[0] ? client->code : "ok");
        return TRANSCRIPT_QUESTION;
    case DOVEADM_FAILED:
        buffer_append_format(note, "FAILED %s", client->why);
        return TRANSCRIPT_END;
    }
    abort();
}

static enum transcript_answered subject_answer(void *memory, struct span answer, struct buffer *out)
{
    struct subject *subject = memory;
    struct doveadm_command command = { .count = 1 };

    (void)out;
    if (!span_equals(span_split(&answer, ' '), SPAN_LITERAL("run")))
        return TRANSCRIPT_UNKNOWN_ANSWER;
    while (answer.length > 0 && command.count < DOVEADM_WORDS_MAX) {
        char *word = subject->words[command.count];

        if (!transcript_copy_word(span_split(&answer, ' '), word, sizeof(subject->words[0])))
            return TRANSCRIPT_UNKNOWN_ANSWER;
        command.words[command.count++] = span_from_string(word);
    }
    return doveadm_client_run(&subject->client, &command) ? TRANSCRIPT_GO_ON : TRANSCRIPT_DONE;
}

static void subject_fini(void *memory)
{
    doveadm_client_fini(&((struct subject *)memory)->client);
}

int main(void)
{
    static const struct transcript_adapter adapter = { "tests/transcripts/doveadm-client",
                                                       true,
                                                       sizeof(struct subject),
                                                       subject_init,
                                                       subject_next,
                                                       subject_answer,
                                                       subject_fini };

    return transcript_run_folder(&adapter) > 0;
}
