/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include <sys/wait.h>
#include <signal.h>
#include <unistd.h>

#include "common/base/base64.h"
#include "common/base/bytes.h"
#include "common/base/clock.h"
#include "common/base/list.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/random.h"
#include "common/base/state.h"
#include "common/base/wire.h"

static void test_span_split_takes_fields_in_order(void **unused)
{
    struct span rest = SPAN_LITERAL("a,bc,,d");

    (void)unused;
    assert_span(span_split(&rest, ','), "a");
    assert_span(span_split(&rest, ','), "bc");
    assert_span(span_split(&rest, ','), "");
    assert_span(span_split(&rest, ','), "d");
    assert_int_equal(rest.length, 0);
}

static void test_span_compares_ascii_case_only(void **unused)
{
    (void)unused;
    assert_true(span_equals_ignore_case(SPAN_LITERAL("AbZ"), SPAN_LITERAL("aBz")));
    assert_false(span_equals_ignore_case(SPAN_LITERAL("["), SPAN_LITERAL("{")));
    assert_false(span_equals_ignore_case(SPAN_LITERAL("\xc4"), SPAN_LITERAL("\xe4")));
    assert_true(span_starts_with_ignore_case(SPAN_LITERAL("MAIL FROM:<>"), SPAN_LITERAL("mail ")));
    assert_false(span_starts_with_ignore_case(SPAN_LITERAL("MA"), SPAN_LITERAL("mail")));
}

static void test_span_copy_refuses_nul_and_too_long(void **unused)
{
    char target[4] = "old";

    (void)unused;
    assert_false(span_copy_string(SPAN_LITERAL("a\0b"), target, sizeof(target)));
    assert_false(span_copy_string(SPAN_LITERAL("abcd"), target, sizeof(target)));
    assert_string_equal(target, "old");
    assert_true(span_copy_string(SPAN_LITERAL("abc"), target, sizeof(target)));
    assert_string_equal(target, "abc");
    assert_true(span_copy_string(SPAN_EMPTY, target, sizeof(target)));
    assert_string_equal(target, "");
}

static void test_span_parse_u64_refuses_overflow(void **unused)
{
    uint64_t value = 7;

    (void)unused;
    assert_true(span_parse_u64(SPAN_LITERAL("18446744073709551615"), &value));
    assert_true(value == UINT64_MAX);
    assert_false(span_parse_u64(SPAN_LITERAL("18446744073709551616"), &value));
    assert_false(span_parse_u64(SPAN_LITERAL(""), &value));
    assert_false(span_parse_u64(SPAN_LITERAL("-1"), &value));
    assert_false(span_parse_u64(SPAN_LITERAL("1 "), &value));
    assert_true(value == UINT64_MAX);
}

static void test_buffer_append_is_whole_or_nothing(void **unused)
{
    char memory[8];
    struct buffer buffer = buffer_over(memory, sizeof(memory));

    (void)unused;
    assert_true(buffer_append_format(&buffer, "%d", 12345));
    assert_false(buffer_append_string(&buffer, "6789"));
    assert_true(buffer.overflowed);
    assert_false(buffer_append_byte(&buffer, 'x'));
    assert_span(buffer_span(&buffer), "12345");
    buffer_clear(&buffer);
    assert_true(buffer_append_string(&buffer, "12345678"));
    assert_int_equal(buffer_room(&buffer), 0);
}

static void test_buffer_writes_integers_of_any_size(void **unused)
{
    char memory[64];
    struct buffer buffer = buffer_over(memory, sizeof(memory));

    (void)unused;
    assert_true(buffer_append_integer(&buffer, 0));
    assert_true(buffer_append_integer(&buffer, INT64_MIN));
    assert_true(buffer_append_integer(&buffer, INT64_MAX));
    assert_span(buffer_span(&buffer), "0-92233720368547758089223372036854775807");
    buffer = buffer_over(memory, 2);
    assert_false(buffer_append_integer(&buffer, -10));
    assert_int_equal(buffer.length, 0);
}

static void test_bytes_keep_their_limit(void **unused)
{
    struct bytes bytes = bytes_empty(1000);

    (void)unused;
    for (int i = 0; i < 100; i++)
        assert_true(bytes_append(&bytes, SPAN_LITERAL("0123456789")));
    assert_false(bytes_append(&bytes, SPAN_LITERAL("x")));
    assert_false(bytes_append_format(&bytes, "%s", "x"));
    bytes_consume(&bytes, 995);
    assert_span(bytes_span(&bytes), "56789");
    bytes_consume(&bytes, 5);
    assert_null(bytes.data);
    bytes_release(&bytes);
}

static void assert_base64(const char *plain, const char *encoded)
{
    char memory[64];
    struct buffer buffer = buffer_over(memory, sizeof(memory));

    assert_true(base64_encode(span_from_string(plain), &buffer));
    assert_span(buffer_span(&buffer), encoded);
    buffer_clear(&buffer);
    assert_true(base64_decode(span_from_string(encoded), &buffer));
    assert_span(buffer_span(&buffer), plain);
}

static void test_base64_round_trip(void **unused)
{
    (void)unused;
    assert_base64("", "");
    assert_base64("f", "Zg==");
    assert_base64("fo", "Zm8=");
    assert_base64("foo", "Zm9v");
    assert_base64("foobar", "Zm9vYmFy");
}

static void test_base64_refuses_what_is_not_canonical(void **unused)
{
    static const char *const broken[] = { "Z",    "Zg",     "Zg=",      "Zh==",  "Zm9=", "====",
                                          "Z===", "Zm9v\n", "Zg==Zg==", "Zm 9v", "Zm9*" };
    char memory[64];

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(broken); i++) {
        struct buffer buffer = buffer_over(memory, sizeof(memory));

        assert_false(base64_decode(span_from_string(broken[i]), &buffer));
        assert_int_equal(buffer.length, 0);
    }
}

struct element {
    int number;
    struct map_node node;
    struct list link;
};

static void remove_element(struct map_node *node, void *context)
{
    map_remove(context, node);
}

static void test_map_finds_all_of_one_key(void **unused)
{
    struct element elements[100];
    char keys[100][16];
    struct map map;
    int found = 0;

    (void)unused;
    map_init(&map);
    for (int i = 0; i < 100; i++) {
        snprintf(keys[i], sizeof(keys[i]), "k%d", i / 2);
        map_insert(&map, &elements[i].node, span_from_string(keys[i]));
    }
    for (struct map_node *node = map_find(&map, SPAN_LITERAL("k7")); node;
         node = map_find_next(node))
        found++;
    assert_int_equal(found, 2);
    map_remove(&map, &elements[14].node);
    map_remove(&map, &elements[15].node);
    assert_null(map_find(&map, SPAN_LITERAL("k7")));
    assert_non_null(map_find(&map, SPAN_LITERAL("k8")));
    map_each(&map, remove_element, &map);
    assert_int_equal(map.count, 0);
    map_fini(&map);
}

static void test_list_each_may_remove(void **unused)
{
    struct element elements[3] = { { .number = 0 }, { .number = 1 }, { .number = 2 } };
    struct list list;
    int sum = 0;

    (void)unused;
    list_init(&list);
    for (int i = 0; i < 3; i++)
        list_append(&list, &elements[i].link);
    LIST_EACH (node, &list) {
        sum = sum * 10 + LIST_ELEMENT(node, struct element, link)->number + 1;
        list_remove(node);
    }
    assert_int_equal(sum, 123);
    assert_true(list_is_empty(&list));
}

enum { STATE_A, STATE_B };
static const struct state_row test_states[] = {
    [STATE_A] = { "a", STATE_BIT(STATE_B) },
    [STATE_B] = { "b", 0 },
};

static void test_state_refuses_a_forbidden_move(void **unused)
{
    struct state state;
    pid_t child;
    int status;

    (void)unused;
    state_init(&state, test_states, STATE_A);
    state_move(&state, STATE_B);
    assert_string_equal(state_name(&state), "b");
    fflush(NULL);
    child = fork();
    if (child == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        state_move(&state, STATE_A);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
}

static size_t read_log(const int pipe_fds[2], char *text, size_t size)
{
    ssize_t length = read(pipe_fds[0], text, size - 1);

    assert_true(length > 0);
    text[length] = '\0';
    return (size_t)length;
}

static void test_log_escapes_what_a_peer_sent(void **unused)
{
    char long_value[8000];
    char text[6000];
    int fds[2];

    (void)unused;
    assert_int_equal(pipe(fds), 0);
    log_set_descriptor(fds[1]);
    LOG_EVENT(LOG_LEVEL_INFO, "s1", "login", LOG_TEXT("account", "a\r\nid=x \"\xff"),
              LOG_TEXT("absent", NULL), LOG_INTEGER("ms", -3));
    read_log(fds, text, sizeof(text));
    assert_non_null(
        strstr(text, " info id=s1 event=login account=\"a\\x0d\\x0aid=x \\\"\\xff\" ms=-3\n"));
    assert_null(strstr(text, "absent"));
    memset(long_value, 0x01, sizeof(long_value));
    LOG_EVENT(LOG_LEVEL_INFO, NULL, "x", LOG_SPAN("v", span_of(long_value, sizeof(long_value))),
              LOG_INTEGER("n", 1));
    assert_int_equal(text[read_log(fds, text, sizeof(text)) - 1], '\n');
    log_set_descriptor(STDERR_FILENO);
    close(fds[0]);
    close(fds[1]);
}

static void test_wire_marks_a_short_message(void **unused)
{
    char memory[64];
    char name[8];
    struct buffer buffer = buffer_over(memory, sizeof(memory));
    struct wire_reader reader;

    (void)unused;
    wire_put_u8(&buffer, 1);
    wire_put_u32(&buffer, 77);
    wire_put_u64(&buffer, 1ULL << 40);
    wire_put_span(&buffer, SPAN_LITERAL("name"));
    reader = wire_reader_over(buffer_span(&buffer));
    assert_int_equal(wire_get_u8(&reader), 1);
    assert_int_equal(wire_get_u32(&reader), 77);
    assert_true(wire_get_u64(&reader) == 1ULL << 40);
    wire_get_string(&reader, name, sizeof(name));
    assert_string_equal(name, "name");
    assert_true(wire_reader_is_complete(&reader));
    assert_int_equal(wire_get_u32(&reader), 0);
    assert_true(reader.failed);

    reader = wire_reader_over(span_take(buffer_span(&buffer), buffer.length - 1));
    wire_get_u8(&reader);
    wire_get_u32(&reader);
    wire_get_u64(&reader);
    wire_get_string(&reader, name, sizeof(name));
    assert_string_equal(name, "");
    assert_true(reader.failed);
}

static void test_clock_formats_a_date(void **unused)
{
    char text[CLOCK_RFC5322_SIZE];

    (void)unused;
    clock_format_rfc5322(951782400000, text);
    assert_string_equal(text, "Tue, 29 Feb 2000 00:00:00 +0000");
}

static void test_random_ids_differ(void **unused)
{
    char a[RANDOM_ID_SIZE], b[RANDOM_ID_SIZE];

    (void)unused;
    random_id(a);
    random_id(b);
    assert_int_equal(strlen(a), RANDOM_ID_SIZE - 1);
    assert_string_not_equal(a, b);
    for (int i = 0; i < 100; i++)
        assert_true(random_below(3) < 3);
}

static void test_a_forked_process_has_random_numbers_of_its_own(void **unused)
{
    uint64_t ours, theirs;
    int fds[2], status;

    (void)unused;
    assert_int_equal(pipe(fds), 0);
    (void)random_u64(); /* what the store still has must not be given out twice */
    if (fork() == 0) {
        theirs = random_u64();
        _exit(write(fds[1], &theirs, sizeof(theirs)) != sizeof(theirs));
    }
    assert_int_equal(read(fds[0], &theirs, sizeof(theirs)), sizeof(theirs));
    ours = random_u64();
    assert_true(ours != theirs);
    assert_true(wait(&status) > 0 && status == 0);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_span_split_takes_fields_in_order),
        cmocka_unit_test(test_span_compares_ascii_case_only),
        cmocka_unit_test(test_span_copy_refuses_nul_and_too_long),
        cmocka_unit_test(test_span_parse_u64_refuses_overflow),
        cmocka_unit_test(test_buffer_append_is_whole_or_nothing),
        cmocka_unit_test(test_bytes_keep_their_limit),
        cmocka_unit_test(test_base64_round_trip),
        cmocka_unit_test(test_base64_refuses_what_is_not_canonical),
        cmocka_unit_test(test_map_finds_all_of_one_key),
        cmocka_unit_test(test_list_each_may_remove),
        cmocka_unit_test(test_state_refuses_a_forbidden_move),
        cmocka_unit_test(test_log_escapes_what_a_peer_sent),
        cmocka_unit_test(test_wire_marks_a_short_message),
        cmocka_unit_test(test_clock_formats_a_date),
        cmocka_unit_test(test_random_ids_differ),
        cmocka_unit_test(test_a_forked_process_has_random_numbers_of_its_own),
        cmocka_unit_test(test_buffer_writes_integers_of_any_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
