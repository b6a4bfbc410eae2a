/* SPDX-License-Identifier: Apache-2.0 */
/* What `mailstead check` warns of: each doubt is found, and a clean configuration has none. */
#include "tests/unit/unit.h"

#include <sys/stat.h>
#include <unistd.h>

#include "admin/check.h"

enum { WARNINGS_SIZE = 4096 };

static char warnings[WARNINGS_SIZE];
static char secret_file[] = "/tmp/mailstead-secret-XXXXXX";
static char loopback_uri[] = "ldap://127.0.0.1", remote_uri[] = "ldap://192.0.2.1";
static char *uris[] = { loopback_uri };
static char name[] = "sv1", loopback[] = "127.0.0.1", remote[] = "192.0.2.1", text[] = "x";
static char folder[] = "/tmp", nowhere[] = "/tmp/mailstead-does-not-exist", user[] = "";
static struct backend_config backend;
static struct listener_config listener;
static struct config config;

static void note(void *context, const char *warning)
{
    (void)context;
    strncat(warnings, warning, WARNINGS_SIZE - strlen(warnings) - 2);
    strcat(warnings, "\n");
}

/* A configuration that nothing is to be said about. */
static int setup(void **state)
{
    int fd;

    (void)state;
    strcpy(secret_file, "/tmp/mailstead-secret-XXXXXX");
    fd = mkstemp(secret_file); /* mode 600 */
    if (fd < 0)
        return -1;
    close(fd);
    backend = (struct backend_config){ .name = name, .address = remote };
    listener = (struct listener_config){ .name = name, .tls = TLS_MODE_STARTTLS };
    strcpy(listener.endpoint.host, "*");
    uris[0] = loopback_uri;
    config = (struct config){
        .cluster = { .backends = &backend, .backend_count = 1 },
        .directory = { .uri = { uris, 1 }, .bind_dn = text },
        .listeners = &listener,
        .listener_count = 1,
        .backend_tls = { .transport = TLS_MODE_STARTTLS, .verify = true },
        .relay_host = { .address = loopback },
        .admin = { .write_uri = loopback_uri, .bind_dn = text },
        .node = { .name = name },
        .queue = { .directory = folder },
        .user = user,
        .state_directory = folder,
        .run_directory = folder,
    };
    config.directory.bind_password.file = secret_file;
    config.admin.bind_password.file = secret_file;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(secret_file);
}

/* The warnings for `program`, in lines. */
static const char *doubts_for(enum config_program program)
{
    *warnings = '\0';
    struct backend_set backends;

    backend_set_init(&backends, &config);
    check_doubts(&config, program, &backends, note, NULL);
    backend_set_fini(&backends);
    return warnings;
}

static void assert_one_doubt(enum config_program program, const char *part)
{
    const char *found = doubts_for(program);

    if (!strstr(found, part) || strchr(found, '\n') != found + strlen(found) - 1)
        fail_msg("expected one warning with \"%s\", got:\n%s", part, found);
}

static void a_clean_configuration_has_no_doubts(void **state)
{
    (void)state;
    assert_string_equal(doubts_for(CONFIG_FRONTEND), "");
    assert_string_equal(doubts_for(CONFIG_BACKEND), "");
}

static void a_secret_that_others_can_read_is_told(void **state)
{
    (void)state;
    config.admin.bind_password.file = NULL;
    chmod(secret_file, 0644);
    assert_one_doubt(CONFIG_FRONTEND, "directory.bind_password_file: ");
    chmod(secret_file, 0640);
    assert_string_equal(doubts_for(CONFIG_FRONTEND), "");
}

static void unprotected_backends_are_told(void **state)
{
    (void)state;
    config.backend_tls.verify = false;
    assert_one_doubt(CONFIG_FRONTEND, "backend_tls.verify");
    config.backend_tls.transport = TLS_MODE_OFF;
    assert_one_doubt(CONFIG_FRONTEND, "backend_tls.transport");
    assert_string_equal(doubts_for(CONFIG_BACKEND), "");
    backend.address = loopback;
    assert_string_equal(doubts_for(CONFIG_FRONTEND), "");
}

static void ldap_passwords_in_the_clear_are_told(void **state)
{
    (void)state;
    uris[0] = remote_uri;
    assert_one_doubt(CONFIG_FRONTEND, "directory.uri");
    config.directory.starttls = true;
    assert_string_equal(doubts_for(CONFIG_FRONTEND), "");
    config.admin.write_uri = remote_uri;
    assert_one_doubt(CONFIG_FRONTEND, "admin.write_uri");
}

static void a_missing_admin_section_is_told(void **state)
{
    (void)state;
    config.admin.write_uri = NULL;
    assert_one_doubt(CONFIG_FRONTEND, "reassign and restore do not work");
}

static void a_journal_folder_that_others_can_write_to_is_told(void **state)
{
    (void)state;
    config.admin.journal_directory = nowhere; /* it will be made */
    assert_string_equal(doubts_for(CONFIG_FRONTEND), "");
    config.admin.journal_directory = folder; /* /tmp */
    assert_one_doubt(CONFIG_FRONTEND, "admin.journal_directory: /tmp: others may write to it");
}

static void an_admin_secret_that_is_not_there_is_told(void **state)
{
    (void)state;
    config.admin.bind_password.file = nowhere;
    assert_one_doubt(CONFIG_FRONTEND, "admin.bind_password_file");
}

static void passwords_outside_tls_are_told(void **state)
{
    (void)state;
    listener.plaintext_allowed = true;
    assert_one_doubt(CONFIG_FRONTEND, "plaintext_allowed");
    listener.tls = TLS_MODE_IMPLICIT;
    assert_string_equal(doubts_for(CONFIG_FRONTEND), "");
}

static void folders_that_are_not_there_are_told(void **state)
{
    (void)state;
    config.run_directory = nowhere;
    assert_one_doubt(CONFIG_FRONTEND, "run_directory");
    config.run_directory = secret_file;
    assert_one_doubt(CONFIG_FRONTEND, "is no folder");
    config.run_directory = folder;
    config.queue.directory = nowhere;
    assert_one_doubt(CONFIG_FRONTEND, "queue.directory");
    assert_string_equal(doubts_for(CONFIG_BACKEND), "");
}

static void a_frontend_without_a_relay_host_is_told(void **state)
{
    (void)state;
    config.relay_host.address = NULL;
    assert_one_doubt(CONFIG_FRONTEND, "relay_host");
}

static void a_node_that_is_no_backend_is_told(void **state)
{
    (void)state;
    config.node.name = text;
    assert_one_doubt(CONFIG_BACKEND, "node.name");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_clean_configuration_has_no_doubts),
        TEST(a_secret_that_others_can_read_is_told),
        TEST(unprotected_backends_are_told),
        TEST(ldap_passwords_in_the_clear_are_told),
        TEST(a_missing_admin_section_is_told),
        TEST(a_journal_folder_that_others_can_write_to_is_told),
        TEST(an_admin_secret_that_is_not_there_is_told),
        TEST(passwords_outside_tls_are_told),
        TEST(folders_that_are_not_there_are_told),
        TEST(a_frontend_without_a_relay_host_is_told),
        TEST(a_node_that_is_no_backend_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
