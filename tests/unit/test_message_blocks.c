/* SPDX-License-Identifier: Apache-2.0 */
/* The memory of message copies. */
#include "tests/unit/unit.h"

#include <sys/mman.h>
#include <unistd.h>

#include "frontend/message_blocks.h"

static char pattern[3 * MESSAGE_BLOCK_LARGE + 100];

static int set_up(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (char)(i * 7 + i / 251);
    return 0;
}

/* Appends the pattern's first `length` bytes in pieces of `step`. */
static void append(struct message_content *content, size_t length, size_t step)
{
    for (size_t at = 0; at < length; at += step) {
        struct span more = span_take(span_of(pattern + at, length - at), step);

        message_content_append(content, &more);
        assert_int_equal(more.length, 0);
    }
}

static void assert_written(const struct message_content *content, size_t length)
{
    static char read_back[sizeof(pattern)];
    int fd = memfd_create("content", MFD_CLOEXEC);

    assert_true(message_content_write(content, fd));
    assert_int_equal(pread(fd, read_back, sizeof(read_back), 0), (ssize_t)length);
    assert_memory_equal(read_back, pattern, length);
    close(fd);
}

static void what_went_in_comes_out(void **state)
{
    static const size_t lengths[] = { 1,
                                      MESSAGE_BLOCK_SMALL,
                                      MESSAGE_BLOCK_SMALL + 1,
                                      MESSAGE_BLOCK_LARGE,
                                      MESSAGE_BLOCK_LARGE + 1,
                                      sizeof(pattern) };
    static const size_t steps[] = { 1, 73, 4096, 65536, sizeof(pattern) };
    struct message_blocks blocks;

    (void)state;
    message_blocks_init(&blocks);
    for (size_t i = 0; i < ARRAY_LENGTH(lengths); i++)
        for (size_t k = 0; k < ARRAY_LENGTH(steps); k++) {
            struct message_content content;

            message_content_init(&content, &blocks);
            append(&content, lengths[i], steps[k]);
            assert_int_equal(content.length, lengths[i]);
            if (lengths[i] <= MESSAGE_BLOCK_LARGE) {
                struct span whole = message_content_span(&content);

                assert_false(message_content_is_parted(&content));
                assert_int_equal(whole.length, lengths[i]);
                assert_memory_equal(whole.data, pattern, lengths[i]);
            } else {
                assert_true(message_content_is_parted(&content));
            }
            assert_written(&content, lengths[i]);
            message_content_fini(&content);
            assert_int_equal(blocks.used_bytes, 0);
        }
    message_blocks_fini(&blocks);
}

static void an_empty_message_is_empty(void **state)
{
    struct message_blocks blocks;
    struct message_content content;

    (void)state;
    message_blocks_init(&blocks);
    message_content_init(&content, &blocks);
    assert_int_equal(message_content_span(&content).length, 0);
    assert_false(message_content_is_parted(&content));
    message_content_fini(&content);
}

/* One message has its own limit, all have one together; then nothing more is taken. */
static void memory_is_bounded(void **state)
{
    struct message_blocks blocks;
    struct message_content contents[64];
    size_t used;

    (void)state;
    message_blocks_init(&blocks);
    for (int i = 0; i < 64; i++) {
        struct span more = SPAN_EMPTY;

        message_content_init(&contents[i], &blocks);
        while (more.length == 0) {
            more = span_of(pattern, sizeof(pattern));
            message_content_append(&contents[i], &more);
        }
        assert_true(contents[i].size_bytes <= 4 << 20);
    }
    assert_true(blocks.used_bytes <= MESSAGE_BLOCKS_MEMORY);
    used = blocks.used_bytes;
    assert_true(used > MESSAGE_BLOCKS_MEMORY - MESSAGE_BLOCK_LARGE);
    for (int i = 0; i < 64; i++)
        message_content_fini(&contents[i]);
    assert_int_equal(blocks.used_bytes, 0);
    assert_true(blocks.free_count * (size_t)MESSAGE_BLOCK_LARGE <= used / 8);
    message_blocks_fini(&blocks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_went_in_comes_out),
        cmocka_unit_test(an_empty_message_is_empty),
        cmocka_unit_test(memory_is_bounded),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
