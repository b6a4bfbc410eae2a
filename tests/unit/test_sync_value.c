/* SPDX-License-Identifier: Apache-2.0 */
/* The values of LDAP controls: read whole or refused, never past their end. */
#include "tests/unit/unit.h"

#include "directory/ldap_entry.h"
#include "directory/page_value.h"
#include "directory/sync_value.h"

#define ID "0123456789abcdef"

static void an_elements_length_may_take_several_bytes(void **state)
{
    char memory[400];
    struct buffer buffer = buffer_over(memory, sizeof(memory));
    struct span rest, content;
    unsigned tag;

    (void)state;
    for (size_t length = 0; length <= 300; length += 50) {
        char filler[300] = "";

        buffer_clear(&buffer);
        ber_put_head(&buffer, BER_OCTETS, length);
        buffer_append(&buffer, span_of(filler, length));
        rest = buffer_span(&buffer);
        assert_true(ber_take(&rest, &tag, &content));
        assert_int_equal(tag, BER_OCTETS);
        assert_int_equal(content.length, length);
        assert_int_equal(rest.length, 0);
    }
}

static void a_cut_or_foreign_element_is_refused(void **state)
{
    static const struct span elements[] = {
        SPAN_LITERAL(""),
        SPAN_LITERAL("\x04"),
        SPAN_LITERAL("\x04\x02"
                     "a"),
        SPAN_LITERAL("\x04\x80"
                     "a"),
        SPAN_LITERAL("\x04\x81"),
        SPAN_LITERAL("\x04\x85\1\1\1\1\1"),
        SPAN_LITERAL("\x1f\x01"
                     "a"),
        SPAN_LITERAL("\x04\x84\xff\xff\xff\xff"
                     "a"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++) {
        struct span rest = elements[i], content;
        unsigned tag;

        assert_false(ber_take(&rest, &tag, &content));
        assert_ptr_equal(rest.data, elements[i].data);
    }
}

static void the_state_of_an_entry_is_read(void **state)
{
    struct sync_entry_value value;

    (void)state;
    assert_true(sync_read_entry(SPAN_LITERAL("\x30\x15\x0a\x01\x03\x04\x10" ID), &value));
    assert_int_equal(value.state, SYNC_STATE_DELETE);
    assert_memory_equal(value.uuid, ID, SYNC_UUID_SIZE);
    assert_null(value.cookie.data);
    assert_true(
        sync_read_entry(SPAN_LITERAL("\x30\x18\x0a\x01\x01\x04\x10" ID "\x04\x01z"), &value));
    assert_int_equal(value.state, SYNC_STATE_ADD);
    assert_span(value.cookie, "z");
}

static void a_malformed_state_is_refused(void **state)
{
    struct sync_entry_value value;

    (void)state;
    assert_false(sync_read_entry(SPAN_EMPTY, &value));
    assert_false(sync_read_entry(SPAN_LITERAL("\x30\x15\x0a\x01\x04\x04\x10" ID), &value));
    assert_false(sync_read_entry(SPAN_LITERAL("\x30\x14\x0a\x01\x03\x04\x0f"
                                              "0123456789abcde"),
                                 &value));
    assert_false(sync_read_entry(SPAN_LITERAL("\x30\x15\x02\x01\x03\x04\x10" ID), &value));
    assert_false(sync_read_entry(SPAN_LITERAL("\x30\x16\x0a\x02\x03\x03\x04\x10" ID), &value));
}

static void every_kind_of_notice_is_read(void **state)
{
    struct sync_notice_value value;

    (void)state;
    assert_true(sync_read_notice(SPAN_LITERAL("\x80\x02zz"), &value));
    assert_int_equal(value.notice, SYNC_NOTICE_COOKIE);
    assert_span(value.cookie, "zz");
    assert_true(sync_read_notice(SPAN_LITERAL("\xa1\x04\x04\x02zz"), &value));
    assert_int_equal(value.notice, SYNC_NOTICE_REFRESH_DELETE);
    assert_true(value.is_refresh_done);
    assert_true(sync_read_notice(SPAN_LITERAL("\xa2\x03\x01\x01\x00"), &value));
    assert_int_equal(value.notice, SYNC_NOTICE_REFRESH_PRESENT);
    assert_false(value.is_refresh_done);
    assert_null(value.cookie.data);
    assert_true(sync_read_notice(SPAN_LITERAL("\xa2\x00"), &value));
    assert_true(value.is_refresh_done);
}

static void a_set_of_ids_is_read_id_by_id(void **state)
{
    struct sync_notice_value value;

    (void)state;
    assert_true(sync_read_notice(
        SPAN_LITERAL("\xa3\x29\x01\x01\xff\x31\x24\x04\x10" ID "\x04\x10" ID), &value));
    assert_int_equal(value.notice, SYNC_NOTICE_IDS);
    assert_true(value.is_deleted);
    assert_memory_equal(sync_next_id(&value.ids), ID, SYNC_UUID_SIZE);
    assert_non_null(sync_next_id(&value.ids));
    assert_null(sync_next_id(&value.ids));
    assert_true(sync_read_notice(SPAN_LITERAL("\xa3\x02\x31\x00"), &value));
    assert_false(value.is_deleted);
    assert_null(sync_next_id(&value.ids));
    assert_false(sync_read_notice(SPAN_LITERAL("\xa3\x07\x31\x05\x04\x03"
                                               "abc"),
                                  &value));
    assert_false(sync_read_notice(SPAN_LITERAL("\xa4\x00"), &value));
    assert_false(sync_read_notice(SPAN_LITERAL("\xa3\x00"), &value));
}

static void the_end_of_a_synchronised_search_is_read(void **state)
{
    struct sync_done_value value;

    (void)state;
    assert_true(sync_read_done(SPAN_LITERAL("\x30\x07\x04\x02zz\x01\x01\xff"), &value));
    assert_span(value.cookie, "zz");
    assert_true(value.refresh_deletes);
    assert_true(sync_read_done(SPAN_LITERAL("\x30\x00"), &value));
    assert_false(value.refresh_deletes);
    assert_false(sync_read_done(SPAN_LITERAL("\x31\x00"), &value));
}

static void a_request_carries_the_cookie(void **state)
{
    char memory[SYNC_REQUEST_SIZE];
    struct buffer buffer = buffer_over(memory, sizeof(memory));

    (void)state;
    sync_write_request(&buffer, SPAN_EMPTY);
    assert_true(span_equals(buffer_span(&buffer), SPAN_LITERAL("\x30\x03\x0a\x01\x03")));
    buffer_clear(&buffer);
    sync_write_request(&buffer, SPAN_LITERAL("zz"));
    assert_true(span_equals(buffer_span(&buffer), SPAN_LITERAL("\x30\x07\x0a\x01\x03\x04\x02zz")));
}

static void the_longest_cookie_fits_into_a_request(void **state)
{
    static char cookie[SYNC_COOKIE_MAX], memory[SYNC_REQUEST_SIZE];
    struct buffer buffer = buffer_over(memory, sizeof(memory));

    (void)state;
    sync_write_request(&buffer, span_of(cookie, sizeof(cookie)));
    assert_false(buffer.overflowed);
}

static void pages_are_requested_and_answered(void **state)
{
    char memory[PAGE_REQUEST_SIZE];
    struct buffer buffer = buffer_over(memory, sizeof(memory));

    (void)state;
    page_write_request(&buffer, 500, SPAN_LITERAL("zz"));
    assert_true(
        span_equals(buffer_span(&buffer), SPAN_LITERAL("\x30\x09\x02\x03\x00\x01\xf4\x04\x02zz")));
    assert_span(page_read(buffer_span(&buffer)), "zz");
    assert_int_equal(page_read(SPAN_LITERAL("\x30\x05\x02\x01\x00\x04\x00")).length, 0);
    assert_int_equal(page_read(SPAN_LITERAL("\x30\x02\x02\x01")).length, 0);
}

static void what_is_special_in_a_filter_is_escaped(void **state)
{
    char memory[64];
    struct buffer buffer = buffer_over(memory, sizeof(memory));

    (void)state;
    assert_true(ldap_escape(&buffer, span_of("a*b(c)d\\e\0f\xc3\xbc", 13)));
    assert_span(buffer_span(&buffer), "a\\2ab\\28c\\29d\\5ce\\00f\\c3\\bc");
    buffer = buffer_over(memory, 4);
    assert_false(ldap_escape(&buffer, SPAN_LITERAL("ab**")));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_elements_length_may_take_several_bytes),
        cmocka_unit_test(a_cut_or_foreign_element_is_refused),
        cmocka_unit_test(the_state_of_an_entry_is_read),
        cmocka_unit_test(a_malformed_state_is_refused),
        cmocka_unit_test(every_kind_of_notice_is_read),
        cmocka_unit_test(a_set_of_ids_is_read_id_by_id),
        cmocka_unit_test(the_end_of_a_synchronised_search_is_read),
        cmocka_unit_test(a_request_carries_the_cookie),
        cmocka_unit_test(the_longest_cookie_fits_into_a_request),
        cmocka_unit_test(pages_are_requested_and_answered),
        cmocka_unit_test(what_is_special_in_a_filter_is_escaped),
    };

    return cmocka_run_group_tests_name("sync_value", tests, NULL, NULL);
}
