/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transcripts/runner.h"

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/base/memory.h"
#include "common/proto/machine.h"
#include "tests/transcripts/script.h"

enum { TRACE_MAX = 1 << 21, INPUT_MAX = 1 << 20 };

/* What happened, in readable lines.  The same for any cutting of output and content. */
struct trace {
    struct bytes text;
    char letter;     /* of the last item; NUL before the first */
    bool line_ended; /* the last item's last byte was LF */
};

/* One replay of one script. */
struct replay {
    const struct transcript_adapter *adapter;
    const struct script *script;
    void *subject; /* owned */
    struct trace trace;
    struct span input; /* all of it */
    size_t fed;        /* bytes of it that have been given */
    size_t consumed;   /* bytes of it that the machine has taken */
    size_t event_item; /* where in the script the search for the next event begins */
    bool is_over;
};

static void must_append(struct bytes *target, struct span text)
{
    if (!bytes_append(target, text)) {
        fprintf(stderr, "a transcript is too long\n");
        abort();
    }
}

static void trace_begin_line(struct trace *trace, char letter)
{
    char text[8];

    snprintf(text, sizeof(text), "%s%c: ", trace->letter ? "\n" : "", letter);
    must_append(&trace->text, span_from_string(text));
    trace->letter = letter;
    trace->line_ended = false;
}

/* The run of bytes at the start of `bytes` that stand for themselves. */
static struct span plain_run(struct span bytes)
{
    size_t length = 0;

    while (length < bytes.length && bytes.data[length] >= ' ' && bytes.data[length] <= '~')
        length++;
    return span_take(bytes, length);
}

/* Adds an item: 'O'utput, content ('D'), an 'E'vent, or what is 'L'eft. */
static void trace_add(struct trace *trace, char letter, struct span bytes)
{
    if (letter == 'E')
        trace_begin_line(trace, letter);
    while (bytes.length > 0) {
        struct span run = plain_run(bytes);
        char escape[5];

        if (trace->letter != letter || trace->line_ended)
            trace_begin_line(trace, letter);
        if (run.length == 0) {
            run = span_take(bytes, 1);
            trace->line_ended = run.data[0] == '\n';
            snprintf(escape, sizeof(escape), "\\x%02x", (unsigned char)run.data[0]);
            must_append(&trace->text, span_from_string(escape));
        } else {
            must_append(&trace->text, run);
        }
        bytes = span_drop(bytes, run.length);
    }
}

/* Performs the A: lines that follow the event of this number in the script. */
static bool replay_answer(struct replay *replay, struct buffer *out)
{
    const struct script *script = replay->script;
    size_t i = replay->event_item;
    bool answered = false;

    while (i < script->count && script->items[i].kind != SCRIPT_EVENT)
        i++;
    for (i++; i < script->count && script->items[i].kind == SCRIPT_ANSWER; i++) {
        struct span answer = bytes_span(&script->items[i].bytes);

        answered = true;
        switch (replay->adapter->answer(replay->subject, answer, out)) {
        case TRANSCRIPT_GO_ON:
            break;
        case TRANSCRIPT_DONE:
            replay->is_over = true;
            break;
        case TRANSCRIPT_UNKNOWN_ANSWER:
            fprintf(stderr, "line %u: unknown answer\n", script->items[i].line);
            replay->is_over = true;
            break;
        }
    }
    replay->event_item = i;
    return answered;
}

static void replay_take_out(struct replay *replay, struct buffer *out)
{
    trace_add(&replay->trace, 'O', buffer_span(out));
    if (out->overflowed)
        trace_add(&replay->trace, 'E', SPAN_LITERAL("OUTPUT OVERFLOWED"));
    buffer_clear(out);
}

/* Calls the machine once; false when it needs input or is over. */
static bool replay_step(struct replay *replay, struct buffer *out)
{
    static char note_memory[INPUT_MAX];
    struct buffer note = buffer_over(note_memory, sizeof(note_memory));
    struct span in = span_of(replay->input.data + replay->consumed, replay->fed - replay->consumed);
    enum transcript_step step = replay->adapter->next(replay->subject, &in, out, &note);
    bool answered;

    replay->consumed = replay->fed - in.length;
    replay_take_out(replay, out);
    if (step == TRANSCRIPT_NEED_INPUT)
        return false;
    if (step == TRANSCRIPT_FLUSH)
        return true;
    trace_add(&replay->trace, step == TRANSCRIPT_CONTENT ? 'D' : 'E', buffer_span(&note));
    if (step == TRANSCRIPT_CONTENT)
        return true;
    answered = replay_answer(replay, out);
    replay_take_out(replay, out);
    if (step == TRANSCRIPT_END || (step == TRANSCRIPT_QUESTION && !answered))
        replay->is_over = true;
    return !replay->is_over;
}

/* Gives the first `count` bytes of the input and lets the machine use them. */
static void replay_feed(struct replay *replay, size_t count, struct buffer *out)
{
    replay->fed = count;
    while (!replay->is_over && replay_step(replay, out))
        continue;
}

/* The expected trace, from the script alone. */
static struct trace script_trace(const struct script *script)
{
    static const char letters[] = {
        [SCRIPT_OUTPUT] = 'O', [SCRIPT_CONTENT] = 'D', [SCRIPT_EVENT] = 'E', [SCRIPT_LEFT] = 'L'
    };
    struct trace trace = { .text = bytes_empty(TRACE_MAX) };

    for (size_t i = 0; i < script->count; i++) {
        const struct script_item *item = &script->items[i];

        if (item->kind != SCRIPT_INPUT && item->kind != SCRIPT_ANSWER)
            trace_add(&trace, letters[item->kind], bytes_span(&item->bytes));
    }
    return trace;
}

static struct bytes script_input(const struct script *script)
{
    struct bytes input = bytes_empty(INPUT_MAX);

    for (size_t i = 0; i < script->count; i++)
        if (script->items[i].kind == SCRIPT_INPUT)
            must_append(&input, bytes_span(&script->items[i].bytes));
    return input;
}

/* Replays with the input given in pieces that end at `cut`, `cut` + `step`, ... and the end. */
static struct trace replay_run(const struct transcript_adapter *adapter,
                               const struct script *script, struct span input, size_t cut,
                               size_t step)
{
    char out_memory[MACHINE_OUT_ROOM];
    struct buffer out = buffer_over(out_memory, sizeof(out_memory));
    struct replay replay = { .adapter = adapter,
                             .script = script,
                             .subject = memory_new(adapter->size),
                             .trace = { .text = bytes_empty(TRACE_MAX) },
                             .input = input };

    if (!adapter->init(replay.subject, span_from_string(script->options), &out))
        trace_add(&replay.trace, 'E', SPAN_LITERAL("UNKNOWN OPTIONS"));
    replay_take_out(&replay, &out);
    replay_feed(&replay, 0, &out);
    for (; cut < input.length && !replay.is_over; cut += step)
        replay_feed(&replay, cut, &out);
    if (!replay.is_over)
        replay_feed(&replay, input.length, &out);
    trace_add(&replay.trace, 'L', span_drop(input, replay.consumed));
    adapter->fini(replay.subject);
    free(replay.subject);
    return replay.trace;
}

/* Replays once and compares; says the first difference's line of the trace. */
static bool replay_matches(const struct transcript_adapter *adapter, const struct script *script,
                           struct span input, size_t cut, size_t step, struct span expected)
{
    struct trace trace = replay_run(adapter, script, input, cut, step);
    struct span got = bytes_span(&trace.text);
    bool matches = span_equals(got, expected);

    while (!matches && got.length + expected.length > 0) {
        struct span got_line = span_split(&got, '\n'), expected_line = span_split(&expected, '\n');

        if (!span_equals(got_line, expected_line)) {
            fprintf(stderr, "  cut %zu step %zu\n  expected %.*s\n  got      %.*s\n", cut, step,
                    SPAN_PRINTF(span_take(expected_line, 2000)),
                    SPAN_PRINTF(span_take(got_line, 2000)));
            break;
        }
    }
    bytes_release(&trace.text);
    return matches;
}

/* Replays `script` in the three ways; true when all are as expected. */
static bool script_holds(const struct transcript_adapter *adapter, const struct script *script)
{
    struct bytes input = script_input(script);
    struct trace expected = script_trace(script);
    struct span all = bytes_span(&input), trace = bytes_span(&expected.text);
    bool holds = replay_matches(adapter, script, all, all.length, 1, trace) &&
                 replay_matches(adapter, script, all, 1, 1, trace);

    for (size_t cut = 1; holds && cut < all.length; cut++)
        holds = replay_matches(adapter, script, all, cut, all.length, trace);
    bytes_release(&input);
    bytes_release(&expected.text);
    return holds;
}

static bool run_file(const struct transcript_adapter *adapter, const char *path)
{
    struct script script = { .count = 0 };
    bool holds =
        script_read(&script, path, adapter->input_is_server) && script_holds(adapter, &script);

    if (!holds)
        fprintf(stderr, "FAIL %s\n", path);
    script_fini(&script);
    return holds;
}

struct span transcript_take_word(struct span *text)
{
    return span_split(text, ' ');
}

bool transcript_copy_word(struct span word, char *target, size_t capacity)
{
    struct bytes bytes = bytes_empty(capacity);
    bool copied =
        script_unescape(&bytes, word) && span_copy_string(bytes_span(&bytes), target, capacity);

    bytes_release(&bytes);
    return copied;
}

int transcript_run_folder(const struct transcript_adapter *adapter)
{
    const char *top = getenv("top_srcdir"), *wanted = getenv("TRANSCRIPT");
    char pattern[4096];
    glob_t files;
    size_t count = 0;
    int failures = 0;

    snprintf(pattern, sizeof(pattern), "%s/%s/*.txt", top ? top : ".", adapter->folder);
    if (glob(pattern, 0, NULL, &files) != 0) {
        fprintf(stderr, "FAIL no transcripts: %s\n", pattern);
        return 1;
    }
    for (size_t i = 0; i < files.gl_pathc; i++) {
        if (wanted && !strstr(files.gl_pathv[i], wanted))
            continue;
        count++;
        failures += !run_file(adapter, files.gl_pathv[i]);
    }
    printf("%s: %zu transcripts, %d failed\n", adapter->folder, count, failures);
    globfree(&files);
    return failures;
}
