/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of identities' rights, asked of a real slapd; and reading the backends there. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>

#include "common/base/log.h"
#include "directory/backend_read.h"
#include "directory/rights.h"
#include "directory/server_threads.h"
#include "tests/unit/backend_names.h"
#include "tests/unit/slapd.h"

#define BACKENDS "ou=backends," SLAPD_SUFFIX
#define READER "uid=user1," SLAPD_PEOPLE
#define WRITER "uid=user2," SLAPD_PEOPLE

/* user1 reads, user2 writes hostServer, user3 is careless: it may write everything.  user1 sees how
 * many threads there are. */
static const char access_rules[] = "access to attrs=userPassword by anonymous auth by * none\n"
                                   "access to attrs=hostServer,oldHostServer\n"
                                   "  by dn.exact=\"" WRITER "\" write\n"
                                   "  by dn.exact=\"uid=user3," SLAPD_PEOPLE "\" write\n"
                                   "  by * read\n"
                                   "access to *\n"
                                   "  by dn.exact=\"uid=user3," SLAPD_PEOPLE "\" write\n"
                                   "  by * read\n"
                                   "threads 4\n"
                                   "database config\n"
                                   "access to attrs=entry,objectClass,olcThreads\n"
                                   "  by dn.exact=\"" READER "\" read\n";

struct fixture {
    struct slapd slapd;
    char *uris[1], *attributes[1];
    struct config config;
    char told[4096];
};

static char *text(const char *string)
{
    return (char *)(uintptr_t)string;
}

static void fill_config(struct fixture *fixture)
{
    struct directory_config *config = &fixture->config.directory;

    fixture->uris[0] = fixture->slapd.uri;
    fixture->attributes[0] = text("mail");
    fixture->config.backend_tls.name = text("%b");
    config->uri = (struct string_list){ fixture->uris, 1 };
    config->base = text(SLAPD_PEOPLE);
    config->filter = text("(objectClass=mailsteadAccount)");
    config->address_attributes = (struct string_list){ fixture->attributes, 1 };
    config->host_attribute = text("hostServer");
    config->old_host_attribute = text("oldHostServer");
    config->backend_base = text(BACKENDS);
    backend_names_fill(config);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    log_set_descriptor(open("/dev/null", O_WRONLY | O_CLOEXEC));
    slapd_init(&fixture->slapd, access_rules);
    fill_config(fixture);
    slapd_start(&fixture->slapd);
    slapd_add_accounts(&fixture->slapd, 1, 3, "sv1");
    slapd_modify(&fixture->slapd,
                 "dn: " BACKENDS "\nchangetype: add\nobjectClass: organizationalUnit\n"
                 "ou: backends\n\n"
                 "dn: cn=sv9," BACKENDS "\nchangetype: add\nobjectClass: mailsteadBackend\n"
                 "cn: sv9\nbackendAddress: 192.0.2.9\nbackendState: leaving\n\n"
                 "dn: cn=bad," BACKENDS "\nchangetype: add\nobjectClass: mailsteadBackend\n"
                 "cn: bad\nbackendAddress: no address\n\n");
    for (int i = 1; i <= 3; i++) {
        char ldif[256];

        snprintf(ldif, sizeof(ldif),
                 "dn: uid=user%d," SLAPD_PEOPLE "\nchangetype: modify\nadd: objectClass\n"
                 "objectClass: simpleSecurityObject\n-\nadd: userPassword\n"
                 "userPassword: " SLAPD_SECRET "\n\n",
                 i);
        slapd_modify(&fixture->slapd, ldif);
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    slapd_fini(&fixture->slapd);
    free(fixture);
    return 0;
}

static void note(void *context, const char *doubt)
{
    struct fixture *fixture = context;
    size_t length = strlen(fixture->told);

    snprintf(fixture->told + length, sizeof(fixture->told) - length, "%s\n", doubt);
}

static void identify(char **bind_dn, struct secret *password, const char *dn)
{
    *bind_dn = text(dn);
    password->file = text("given");
    strcpy(password->value, SLAPD_SECRET);
}

/* What is told when these follow and write; NULL: nobody does. */
static const char *examine(struct fixture *fixture, const char *reader, const char *writer)
{
    struct config *config = &fixture->config;

    if (reader)
        identify(&config->directory.bind_dn, &config->directory.bind_password, reader);
    config->admin.write_uri = writer ? fixture->slapd.uri : NULL;
    if (writer)
        identify(&config->admin.bind_dn, &config->admin.bind_password, writer);
    fixture->told[0] = '\0';
    rights_examine(config, note, fixture);
    return fixture->told;
}

static void good_rights_are_not_told(void **state)
{
    struct fixture *fixture = *state;

    assert_string_equal(examine(fixture, READER, WRITER), "");
    assert_int_equal(slapd_count(&fixture->slapd, "(hostServer=sv1)"), 3);
}

static void who_follows_and_could_write_is_told_and_nothing_changes(void **state)
{
    struct fixture *fixture = *state;
    const char *told = examine(fixture, "uid=user3," SLAPD_PEOPLE, NULL);

    assert_non_null(strstr(told, "directory.bind_dn: may write hostServer of uid="));
    assert_non_null(strstr(told, "directory.bind_dn: may write mail of uid="));
    assert_non_null(strstr(told, "may write backendAddress of cn="));
    assert_int_equal(slapd_count(&fixture->slapd, "(hostServer=sv1)"), 3);
    assert_int_equal(slapd_count(&fixture->slapd, "(hostServer=*)"), 3);
    assert_int_equal(slapd_count(&fixture->slapd, "(mail=*)"), 3);
}

static void who_should_write_and_may_not_is_told(void **state)
{
    const char *told = examine(*state, READER, READER);

    assert_non_null(strstr(told, "admin.bind_dn: may not write hostServer of uid="));
    assert_non_null(strstr(told, "admin.bind_dn: may not write oldHostServer of uid="));
    assert_null(strstr(told, "directory.bind_dn"));
}

static void what_cannot_be_found_out_is_told(void **state)
{
    struct fixture *fixture = *state;

    fixture->config.directory.base = text("ou=nowhere," SLAPD_SUFFIX);
    assert_non_null(strstr(examine(fixture, READER, NULL), "sees no account below ou=nowhere"));
    slapd_stop(&fixture->slapd, SIGTERM);
    assert_non_null(strstr(examine(fixture, READER, WRITER), "its rights cannot be tried"));
}

static void too_few_threads_are_told_where_they_are_shown(void **state)
{
    struct fixture *fixture = *state;
    struct config *config = &fixture->config;

    identify(&config->directory.bind_dn, &config->directory.bind_password, READER);
    server_threads_examine(config, note, fixture);
    assert_non_null(strstr(fixture->told, "slapd has 4 threads"));
    fixture->told[0] = '\0';
    identify(&config->directory.bind_dn, &config->directory.bind_password, WRITER);
    server_threads_examine(config, note, fixture);
    identify(&config->directory.bind_dn, &config->directory.bind_password, READER);
    config->directory.backend_base = NULL;
    server_threads_examine(config, note, fixture);
    assert_string_equal(fixture->told, "");
}

static void the_backends_are_read_once(void **state)
{
    struct fixture *fixture = *state;
    struct backend_set set;
    char error[BACKEND_READ_ERROR_SIZE] = "";

    backend_set_init(&set, &fixture->config);
    assert_true(backend_read_directory(&set, error));
    assert_int_equal(set.count, 1);
    assert_int_equal(backend_set_find(&set, "sv9")->state, BACKEND_LEAVING);
    fixture->config.directory.backend_base = text("ou=nowhere," SLAPD_SUFFIX);
    assert_false(backend_read_directory(&set, error));
    assert_non_null(strstr(error, "ou=nowhere"));
    assert_non_null(backend_set_find(&set, "sv9"));
    backend_set_fini(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
        TEST(good_rights_are_not_told),
        TEST(who_follows_and_could_write_is_told_and_nothing_changes),
        TEST(who_should_write_and_may_not_is_told),
        TEST(what_cannot_be_found_out_is_told),
        TEST(too_few_threads_are_told_where_they_are_shown),
        TEST(the_backends_are_read_once),
    };

    if (!slapd_is_installed())
        return 77;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
