/* SPDX-License-Identifier: Apache-2.0 */
/* Tables, durations and sizes as people see them, and the probe of a backend. */
#include "tests/unit/unit.h"

#include "tests/unit/listening.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "admin/output.h"
#include "admin/probe.h"

static void assert_table(const struct table *table, const char *expected)
{
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);

    assert_non_null(stream);
    table_print(table, stream, 1);
    fclose(stream);
    assert_string_equal(text, expected);
    free(text);
}

static void columns_are_as_wide_as_their_widest_cell(void **state)
{
    static const char *const cells[] = {
        "id", "size", "to", "1", "12 kB", "a", "100", "-", "longer"
    };
    struct table table;

    (void)state;
    table_init(&table, 3, 1U << 1);
    for (size_t i = 0; i < 9; i++)
        table_add(&table, cells[i]);
    assert_table(&table, " id    size  to\n"
                         " 1    12 kB  a\n"
                         " 100      -  longer\n");
    table_fini(&table);
}

static void characters_count_and_not_bytes(void **state)
{
    struct table table;

    (void)state;
    table_init(&table, 2, 0);
    table_add(&table, "j\xc3\xb6rg");
    table_add(&table, "x");
    table_add(&table, "jorg");
    table_add(&table, NULL);
    assert_table(&table, " j\xc3\xb6rg  x\n jorg  -\n");
    table_fini(&table);
}

static void control_characters_are_made_harmless(void **state)
{
    struct table table;

    (void)state;
    table_init(&table, 1, 0);
    table_add_format(&table, "%s", "a\033]0;b\007c\r\n");
    assert_table(&table, " a?]0;b?c??\n");
    table_fini(&table);
}

static void durations_are_in_plain_words(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = { { -5, "0 s" },
                  { 0, "0 s" },
                  { 3000, "3 s" },
                  { 1490, "1.5 s" },
                  { 59999, "59 s" },
                  { 119999, "119 s" },
                  { 120000, "2 min" },
                  { 7199999, "119 min" },
                  { 7200000, "2 h 0 min" },
                  { 172799999, "47 h 59 min" },
                  { 180000000, "2 d 2 h" } };
    char text[OUTPUT_TEXT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(format_duration(cases[i].ms, text), cases[i].text);
}

static void sizes_and_counts_are_in_plain_words(void **state)
{
    char text[OUTPUT_TEXT_SIZE];

    (void)state;
    assert_string_equal(format_size(999, text), "999 B");
    assert_string_equal(format_size(1500, text), "2 kB");
    assert_string_equal(format_size(3400000, text), "3.4 MB");
    assert_string_equal(format_count(1, "account", text), "1 account");
    assert_string_equal(format_count(0, "account", text), "0 accounts");
}

static void members_of_another_type_count_as_absent(void **state)
{
    json_t *object = json_pack("{s:i,s:s,s:b}", "number", 3, "text", "t", "flag", 1);

    (void)state;
    assert_null(json_text(object, "number"));
    assert_int_equal(json_number(object, "text", -1), -1);
    assert_int_equal(json_flag(object, "number"), -1);
    assert_int_equal(json_flag(object, "flag"), 1);
    assert_int_equal(json_flag(NULL, "flag"), -1);
    json_decref(object);
}

/* --- the probe ---------------------------------------------------------------------- */

/* Greets the first who connects, from a process of its own. */
static pid_t greet(int fd, const char *greeting)
{
    pid_t pid = fork();

    if (pid == 0) {
        int connection = accept(fd, NULL, NULL);

        (void)!write(connection, greeting, strlen(greeting));
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

/* A backend at whose ports nobody listens. */
static struct backend backend_at(const char *host)
{
    struct backend backend = {
        .name = "sv1", .address_count = 1, .lmtp_port = 1, .imap_port = 1, .pop3_port = 1
    };

    snprintf(backend.addresses[0], sizeof(backend.addresses[0]), "%s", host);
    return backend;
}

static void a_backend_that_greets_is_found_on_any_port(void **state)
{
    struct backend backend = backend_at("127.0.0.1");
    char text[PROBE_TEXT_SIZE];
    int fd = listen_somewhere(&backend.pop3_port);
    pid_t pid = greet(fd, "+OK hello\033[2J\r\nmore");

    (void)state;
    assert_int_equal(probe_backend(&backend, 5000, text), PROBE_ANSWERS);
    assert_non_null(strstr(text, "pop3 at 127.0.0.1:"));
    assert_non_null(strstr(text, "says \"+OK hello\""));
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(fd);
}

static void a_backend_that_accepts_and_is_silent_counts_as_answering(void **state)
{
    struct backend backend = backend_at("127.0.0.1");
    char text[PROBE_TEXT_SIZE];
    int fd = listen_somewhere(&backend.lmtp_port);

    (void)state;
    assert_int_equal(probe_backend(&backend, 50, text), PROBE_ANSWERS);
    assert_non_null(strstr(text, "greets nobody"));
    assert_int_equal(probe_backend(&backend, 0, text), PROBE_ANSWERS); /* it looks at least once */
    close(fd);
}

/* localhost may be ::1 first: a refusal there says nothing about 127.0.0.1. */
static void every_address_of_a_name_is_tried(void **state)
{
    struct backend backend = backend_at("localhost");
    char text[PROBE_TEXT_SIZE];
    int fd = listen_somewhere(&backend.imap_port);

    (void)state;
    assert_int_equal(probe_backend(&backend, 50, text), PROBE_ANSWERS);
    close(fd);
}

static void every_address_of_a_backend_is_tried(void **state)
{
    struct backend backend = backend_at("no-host.invalid");
    char text[PROBE_TEXT_SIZE];
    int fd = listen_somewhere(&backend.imap_port);

    (void)state;
    strcpy(backend.addresses[backend.address_count++], "127.0.0.1");
    assert_int_equal(probe_backend(&backend, 50, text), PROBE_ANSWERS);
    close(fd);
}

static void a_backend_that_refuses_does_not_answer(void **state)
{
    struct backend backend = backend_at("127.0.0.1");
    char text[PROBE_TEXT_SIZE];

    (void)state;
    assert_int_equal(probe_backend(&backend, 5000, text), PROBE_SILENT);
    assert_non_null(strstr(text, "does not answer: Connection refused"));
}

static void whether_a_name_answers_that_cannot_be_resolved_is_not_known(void **state)
{
    struct backend backend = backend_at("no-host.invalid");
    char text[PROBE_TEXT_SIZE];

    (void)state;
    assert_int_equal(probe_backend(&backend, 100, text), PROBE_UNKNOWN);
    assert_non_null(strstr(text, "no-host.invalid cannot be resolved"));
    strcpy(backend.addresses[backend.address_count++], "127.0.0.1");
    assert_int_equal(probe_backend(&backend, 5000, text), PROBE_UNKNOWN);
    assert_non_null(strstr(text, "no-host.invalid cannot be resolved"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_as_wide_as_their_widest_cell),
        cmocka_unit_test(characters_count_and_not_bytes),
        cmocka_unit_test(control_characters_are_made_harmless),
        cmocka_unit_test(durations_are_in_plain_words),
        cmocka_unit_test(sizes_and_counts_are_in_plain_words),
        cmocka_unit_test(members_of_another_type_count_as_absent),
        cmocka_unit_test(a_backend_that_greets_is_found_on_any_port),
        cmocka_unit_test(a_backend_that_accepts_and_is_silent_counts_as_answering),
        cmocka_unit_test(every_address_of_a_name_is_tried),
        cmocka_unit_test(every_address_of_a_backend_is_tried),
        cmocka_unit_test(a_backend_that_refuses_does_not_answer),
        cmocka_unit_test(whether_a_name_answers_that_cannot_be_resolved_is_not_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
