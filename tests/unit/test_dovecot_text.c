/* SPDX-License-Identifier: Apache-2.0 */
/* What Dovecot is told, from configurations that it could misunderstand. */
#include "tests/unit/unit.h"

#include "admin/dovecot_text.h"

static char name[] = "sv1", base[] = "dc=example", uri[] = "ldap://127.0.0.1", mail[] = "mail",
            host[] = "hostServer", old_host[] = "oldHostServer", filter[] = "(objectClass=*)",
            plus[] = "+", user[] = "vmail", place[] = "maildir:~/Maildir", run[] = "/run/dovecot",
            hash[] = "userPassword", reader[] = "cn=reader", gate[] = "mailstead",
            address[] = "10.0.1.11";
static char *uris[] = { uri };
static struct config config;
static struct dovecot_plan plan;
static struct dovecot_files files;

static int setup(void **state)
{
    (void)state;
    config = (struct config){
        .directory = { .uri = { uris, 1 },
                       .base = base,
                       .filter = filter,
                       .bind_dn = reader,
                       .store_name_attribute = mail,
                       .host_attribute = host,
                       .old_host_attribute = old_host,
                       .recipient_delimiter = plus },
        .node = { .name = name },
        .dovecot = { .user = user,
                     .group = user,
                     .mail_location = place,
                     .run_directory = run,
                     .state_directory = run,
                     .password_attribute = hash },
        .user = gate,
    };
    strcpy(config.directory.bind_password.value, "p%\"\\#w");
    assert_true(endpoint_parse("127.0.0.1:10143", &config.node.imap_store));
    plan = (struct dovecot_plan){ .config = &config,
                                  .folder = "/etc/dovecot",
                                  .mail_directory = "/srv/100%mail",
                                  .is_shared = true };
    dovecot_files_init(&files);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    dovecot_files_fini(&files);
    return 0;
}

static void files_again(void)
{
    dovecot_files_fini(&files);
    dovecot_files_init(&files);
}

/* The text of a file; "" when there is none. */
static const char *text_of(const char *file_name)
{
    for (size_t i = 0; i < files.count; i++)
        if (strcmp(files.files[i].name, file_name) == 0) {
            assert_false(files.files[i].is_overfull);
            assert_true(bytes_append(&files.files[i].text, span_of("", 1)));
            files.files[i].text.length--;
            return files.files[i].text.data;
        }
    return "";
}

static void assert_has(const char *file_name, const char *part)
{
    const char *text = text_of(file_name);

    if (!strstr(text, part))
        fail_msg("\"%s\" is not in %s:\n%s", part, file_name, text);
}

static void assert_has_not(const char *file_name, const char *part)
{
    const char *text = text_of(file_name);

    if (strstr(text, part))
        fail_msg("\"%s\" is in %s:\n%s", part, file_name, text);
}

static void the_fence_names_this_node_and_adopted_mail_is_found(void **state)
{
    (void)state;
    dovecot_compose_23(&plan, &files);
    assert_has("mailstead-own.conf",
               "user_attrs = =home=/srv/100%%mail/%{ldap:oldHostServer:sv1}/%Ld/%Ln\n");
    assert_has("mailstead-own.conf",
               "user_filter = (&(objectClass=*)(mail=%Lu)(hostServer=sv1))\n");
    assert_has("mailstead-foreign.conf", "user_attrs = =tempfail=yes\n");
    assert_has("mailstead-foreign.conf", "user_filter = (&(objectClass=*)(mail=%Lu))\n");
    assert_has_not("dovecot.conf", "protocol doveadm");
}

static void a_password_is_quoted_and_only_where_it_must_be(void **state)
{
    (void)state;
    dovecot_compose_23(&plan, &files);
    assert_has("mailstead-own.conf", "dnpass = \"p%\\\"\\\\#w\"\n");
    assert_has_not("dovecot.conf", "#w");
    assert_has("mailstead-passdb.conf", "auth_bind = yes\n");
    for (size_t i = 0; i < files.count; i++)
        assert_int_equal(files.files[i].is_secret,
                         strcmp(files.files[i].name, "dovecot.conf") != 0);
}

static void an_identity_of_its_own_reads_hashes(void **state)
{
    (void)state;
    config.dovecot.bind_dn = reader;
    strcpy(config.dovecot.bind_password.value, "other");
    dovecot_compose_23(&plan, &files);
    assert_has("mailstead-passdb.conf", "dnpass = \"other\"\n");
    assert_has("mailstead-passdb.conf", "pass_attrs = userPassword=password\n");
    assert_has_not("mailstead-passdb.conf", "auth_bind");
}

static void a_percent_sign_of_a_filter_is_no_variable(void **state)
{
    char odd[] = "(description=100%u)";

    (void)state;
    config.directory.filter = odd;
    dovecot_compose_23(&plan, &files);
    assert_has("mailstead-own.conf", "(description=100%%u)(mail=%Lu)");
}

static void only_what_the_node_has_is_spoken(void **state)
{
    (void)state;
    dovecot_compose_23(&plan, &files);
    assert_has("dovecot.conf", "\nprotocols = imap\n");
    assert_has_not("dovecot.conf", "unix socket");
    assert_has("dovecot.conf", "inet_listener imap {\n    address = 127.0.0.1\n    port = 10143\n");
    assert_has("dovecot.conf", "inet_listener imaps {\n    port = 0\n");
    assert_has_not("dovecot.conf", "service pop3-login");
    assert_has_not("dovecot.conf", "service doveadm");
}

static void a_unix_socket_is_the_gates(void **state)
{
    (void)state;
    assert_true(endpoint_parse("unix:/run/dovecot/imap", &config.node.imap_store));
    dovecot_compose_23(&plan, &files);
    assert_has("dovecot.conf", "unix_listener /run/dovecot/imap {\n    user = mailstead\n"
                               "    mode = 0600\n");
    assert_has("dovecot.conf", "inet_listener imap {\n    port = 0\n");
    assert_has("dovecot.conf", "# A unix socket is in no network");
}

static void an_address_of_the_machine_is_trusted_when_a_store_listens_there(void **state)
{
    (void)state;
    assert_true(endpoint_parse("10.0.1.11:24", &config.node.lmtp_store));
    config.node.pass_client = PASS_CLIENT_PROXY;
    dovecot_compose_23(&plan, &files);
    assert_has("dovecot.conf", "\nlogin_trusted_networks = 127.0.0.0/8 ::1 10.0.1.11\n");
    assert_has("dovecot.conf", "\nhaproxy_trusted_networks = 127.0.0.0/8 ::1 10.0.1.11\n");
    assert_has("dovecot.conf", "    port = 10143\n    haproxy = yes\n");
    assert_has("dovecot.conf", "    port = 24\n  }\n");
}

static void without_shared_storage_doveadm_is_not_fenced(void **state)
{
    (void)state;
    plan.is_shared = false;
    assert_true(endpoint_parse("10.0.1.11:24245", &config.replica.doveadm));
    strcpy(config.replica.password.value, "a \"word\"");
    dovecot_compose_23(&plan, &files);
    assert_has("dovecot.conf", "protocol doveadm {\n  userdb {\n    driver = ldap\n");
    assert_has("mailstead-doveadm.conf", "home=/srv/100%%mail/%Ld/%Ln\nuser_filter = "
                                         "(&(objectClass=*)(mail=%Lu))\n");
    assert_has("mailstead-secrets.conf", "doveadm_password = \"a \\\"word\\\"\"\n");
    assert_has_not("dovecot.conf", "doveadm_port");
}

static void other_backends_find_doveadm_where_their_configuration_says(void **state)
{
    struct backend_config own = { .name = name, .address = address, .doveadm_port = 24245 };
    char key[] = "key.pem", here[] = "127.0.0.1";

    (void)state;
    config.cluster.backends = &own;
    config.cluster.backend_count = 1;
    config.tls.certificate_file = config.tls.key_file = key;
    config.replica.tls = true;
    assert_true(endpoint_parse("127.0.0.1:24245", &config.replica.doveadm));
    dovecot_compose_23(&plan, &files);
    assert_has("dovecot.conf", "    address = 127.0.0.1\n    port = 24245\n    ssl = yes\n");
    assert_has("dovecot.conf", "    address = 10.0.1.11\n    port = 24245\n    ssl = yes\n");
    files_again();
    assert_true(endpoint_parse("unix:/run/d", &config.replica.doveadm));
    dovecot_compose_24(&plan, &files);
    assert_has("dovecot.conf",
               "unix_listener /run/d {\n    user = mailstead\n    mode = 0600\n  }");
    assert_has("dovecot.conf", "    listen = 10.0.1.11\n    port = 24245\n    ssl = yes\n");
    files_again();
    assert_true(endpoint_parse("10.0.1.11:24245", &config.replica.doveadm));
    dovecot_compose_23(&plan, &files);
    assert_has_not("dovecot.conf", "doveadm-others");
    files_again();
    assert_true(endpoint_parse("127.0.0.1:24245", &config.replica.doveadm));
    own.address = here;
    dovecot_compose_23(&plan, &files);
    assert_has_not("dovecot.conf", "doveadm-others");
}

static void what_mail_location_says_goes_into_the_settings_of_2_4(void **state)
{
    char with_index[] = "sdbox:~/sdbox:INDEX=/x";

    (void)state;
    config.dovecot.mail_location = with_index;
    dovecot_compose_24(&plan, &files);
    assert_has("dovecot.conf", "\nmail_driver = sdbox\nmail_path = ~/sdbox\n"
                               "# Not translated: INDEX=/x\n");
    assert_has("dovecot.conf", "  passdb_ldap_bind = yes\n");
    assert_has("mailstead-secrets.conf", "ldap_auth_dn_password = \"p%\\\"\\\\#w\"\n");
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_fence_names_this_node_and_adopted_mail_is_found),
        TEST(a_password_is_quoted_and_only_where_it_must_be),
        TEST(an_identity_of_its_own_reads_hashes),
        TEST(a_percent_sign_of_a_filter_is_no_variable),
        TEST(only_what_the_node_has_is_spoken),
        TEST(a_unix_socket_is_the_gates),
        TEST(an_address_of_the_machine_is_trusted_when_a_store_listens_there),
        TEST(without_shared_storage_doveadm_is_not_fenced),
        TEST(other_backends_find_doveadm_where_their_configuration_says),
        TEST(what_mail_location_says_goes_into_the_settings_of_2_4),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
