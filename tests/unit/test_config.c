/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/config_support.h"

#include <arpa/inet.h>

#include "common/base/memory.h"
#include "common/service/config_text.h"
#include "common/service/logical_host.h"

static struct config *load(const char *text)
{
    return config_load_text(text, CONFIG_FRONTEND, false);
}

static void test_minimal_configuration_has_the_defaults(void **unused)
{
    struct config *config = load(GOOD);

    (void)unused;
    assert_string_equal(config_complaints, "");
    assert_non_null(config);
    assert_string_equal(config->cluster.domains.items[0], "example.org");
    assert_int_equal(config->cluster.domains.count, 2);
    assert_int_equal(config->cluster.backends[0].lmtp_port, 24);
    assert_string_equal(config->cluster.backends[0].tls_name, "10.0.1.11");
    assert_int_equal(config->directory.login_attributes.count, 2);
    assert_string_equal(config->directory.login_attributes.items[1], "mail");
    assert_string_equal(config->directory.filter, "(objectClass=mailsteadAccount)");
    assert_int_equal(config->directory.confirm_uri.count, 0);
    assert_int_equal(config->listeners[0].protocol, PROTOCOL_IMAP);
    assert_int_equal(config->listeners[0].tls, TLS_MODE_OFF);
    assert_false(config->listeners[0].plaintext_allowed);
    assert_int_equal(config->listeners[0].mechanisms, 1 << 0 | 1 << 1);
    assert_int_equal(config->backend_tls.transport, TLS_MODE_STARTTLS);
    assert_true(config->backend_tls.verify);
    assert_null(config->master.user);
    assert_string_equal(config->master.separator, "*");
    assert_int_equal(config->master.identities.count, 0);
    assert_string_equal(config->user, "mailstead");
    assert_string_equal(config->queue.directory, "/var/spool/mailstead");
    assert_int_equal(config->smtp.message_size_max, 52428800);
    assert_int_equal(config->smtp.bare_line_endings, LINE_ENDINGS_REFUSE);
    assert_int_equal(config->timeout.drain_s, 900);
    assert_int_equal(config->timeout.keepalive_s, 300);
    assert_int_equal(config->workers, 0);
    config_free(config);
}

#define ALIASES(text)                                                                              \
    "cluster { hostname = \"mx1.example.org\" domains = { \"example.org\", \"example.net\" } "     \
    "backend \"sv1\" { address = \"10.0.1.11\" }\n" text "}\n" DIRECTORY LISTEN

static void test_a_domain_alias_is_ours_and_leads_to_its_domain(void **unused)
{
    struct config *config = load(ALIASES("domain_alias \"Example.com\" { of = \"Example.org\" }\n"
                                         "domain_alias \"example.net\" { of = example.org }\n"));

    (void)unused;
    assert_non_null(config);
    assert_true(config_has_domain(config, "example.com"));
    assert_string_equal(config_alias_of(config, "example.com"), "example.org");
    assert_string_equal(config_alias_of(config, "example.net"), "example.org");
    assert_null(config_alias_of(config, "example.org"));
    config_free(config);
}

static void test_each_of_many_domains_is_ours_and_the_first_stays_the_first(void **unused)
{
    struct config *config = load(
        "cluster { hostname = \"mx\" domains = { m.example, z.example, a.example, k.example }\n"
        "  backend \"sv1\" { address = \"10.0.1.11\" }\n"
        "  domain_alias \"y.example\" { of = \"z.example\" }\n"
        "  domain_alias \"b.example\" { of = \"a.example\" }\n"
        "  domain_alias \"n.example\" { of = \"k.example\" } }\n"
        "directory { uri = { \"ldapi:///\" } base = \"dc=x\" }\n"
        "listen \"mx\" { protocol = smtp address = \"127.0.0.1:25\" tls = off }\n");

    (void)unused;
    assert_string_equal(config_complaints, "");
    assert_string_equal(config->cluster.domains.items[0], "m.example");
    for (const char *letter = "mzakybn"; *letter; letter++) {
        char domain[] = "?.example";

        domain[0] = *letter;
        assert_true(config_has_domain(config, domain));
    }
    assert_false(config_has_domain(config, "x.example"));
    assert_string_equal(config_alias_of(config, "n.example"), "k.example");
    assert_string_equal(config_alias_of(config, "y.example"), "z.example");
    assert_null(config_alias_of(config, "k.example"));
    config_free(config);
}

static void test_a_domain_alias_that_leads_nowhere_or_around_is_refused(void **unused)
{
    (void)unused;
    assert_config_refused(
        ALIASES("domain_alias \"a.example\" { of = \"b.example\" }\n"
                "domain_alias \"b.example\" { of = \"a.example\" }\n"
                "domain_alias \"c.example\" { of = \"c.example\" }\n"
                "domain_alias \"d.example\" { of = \"else.example\" }\n"
                "domain_alias \"no domain\" { of = \"example.org\" }\n"
                "domain_alias \"D.example\" { of = \"example.org\" }\n"),
        "2: cluster.domain_alias \"a.example\".of: \"b.example\" is an alias itself; "
        "expected one of cluster.domains that is no alias\n"
        "3: cluster.domain_alias \"b.example\".of: \"a.example\" is an alias itself; "
        "expected one of cluster.domains that is no alias\n"
        "4: cluster.domain_alias \"c.example\".of: \"c.example\" is an alias itself; "
        "expected one of cluster.domains that is no alias\n"
        "5: cluster.domain_alias \"d.example\".of: \"else.example\" is no domain of the "
        "cluster; expected one of cluster.domains that is no alias\n"
        "6: cluster.domain_alias \"no domain\": this is no domain; expected a domain "
        "name (A-labels)\n"
        "7: cluster.domain_alias \"d.example\": is there twice; expected one section\n");
    assert_config_refused(
        ALIASES("domain_alias \"e.example\" { }\n"),
        "2: cluster.domain_alias \"e.example\".of: is missing; expected a domain name "
        "(A-labels)\n");
}

static void test_everything_can_be_set(void **unused)
{
    struct config *config = load(
        "# comment with \" and {\n/* and\n * another } */\n"
        "cluster { hostname = \"MX1.example.org\"  // and a third '\n domains = { example.org }\n"
        "  backend \"sv1\" { address = \"10.0.1.11\" }\n"
        "  backend \"sv2\" { address = \"b.example.org\" lmtp_port = 2424 imap_port = 1143"
        "    pop3_port = 1110 tls_name = \"b.example.org\" }\n"
        "  frontend \"fe1\" { address = \"10.0.2.21\" } }\n"
        "directory { uri = { \"ldap://10.0.0.5\", \"ldapi://%2frun%2fx\" } base = \"dc=x\"\n"
        "  starttls = true login_attributes = { \"uid\" } recipient_delimiter = \"\"\n"
        "  relay_filter = \"(objectClass=group)\" confirm_rate = 7 }\n"
        "backend_tls { transport = \"implicit\" verify = no ca = \"/ca.pem\" }\n"
        "relay_host { address = \"relay.example.org\" port = 25 tls = off }\n"
        "listen \"a\" { protocol = pop3 address = \"127.0.0.1:110\" tls = off "
        "  plaintext_allowed = yes default_domain = \"Example.org\""
        "  mechanisms = { \"PLAIN\", OAUTHBEARER } }\n"
        "listen \"b\" { protocol = smtp address = \"[::1]:25\" tls = off }\n"
        "queue { directory = \"/q\" retry_min_s = 1 retry_max_s = 2 }\n"
        "smtp { message_size_max = 1048576 bare_line_endings = convert }\ntimeouts { drain_s = 0 "
        "login_hold_s = 0 }\n"
        "health { probe_interval_ms = 100 ramp_s = 0 ramp_first = 7 }\n"
        "master { separator = \"%\" identities = { \"webmail\" } }\n"
        "workers = 3 user = \"\" log_level = debug\n");

    (void)unused;
    assert_string_equal(config_complaints, "");
    assert_non_null(config);
    assert_string_equal(config->cluster.hostname, "mx1.example.org");
    assert_int_equal(config->smtp.bare_line_endings, LINE_ENDINGS_CONVERT);
    assert_int_equal(config->cluster.backend_count, 2);
    assert_string_equal(config->cluster.backends[1].name, "sv2");
    assert_int_equal(config->cluster.backends[1].weight, 1);
    assert_int_equal(config->cluster.backends[1].state, BACKEND_UP);
    assert_int_equal(config->cluster.backends[1].imap_port, 1143);
    assert_int_equal(config->cluster.backends[0].imap_port, 143);
    assert_string_equal(config->cluster.frontends[0].name, "fe1");
    assert_true(config_has_domain(config, "example.org"));
    assert_false(config_has_domain(config, "example.com"));
    assert_true(config->directory.starttls);
    assert_int_equal(config->directory.login_attributes.count, 1);
    assert_string_equal(config->directory.recipient_delimiter, "");
    assert_int_equal(config->backend_tls.transport, TLS_MODE_IMPLICIT);
    assert_false(config->backend_tls.verify);
    assert_int_equal(config->relay_host.port, 25);
    assert_int_equal(config->listeners[0].endpoint.port, 110);
    assert_string_equal(config->listeners[0].default_domain, "example.org");
    assert_true(config->listeners[0].plaintext_allowed);
    assert_int_equal(config->listeners[0].mechanisms, 1 << 0 | 1 << 3);
    assert_string_equal(config->listeners[1].endpoint.host, "::1");
    assert_int_equal(config->timeout.drain_s, 0);
    assert_int_equal(config->health.ramp_s, 0);
    assert_int_equal(config->health.ramp_first, 7);
    assert_string_equal(config->master.separator, "%");
    assert_string_equal(config->master.identities.items[0], "webmail");
    assert_string_equal(config->user, "");
    assert_string_equal(config->log_level, "debug");
    config_free(config);
}

#define SIBLINGS(list)                                                                             \
    "cluster { hostname = a.org domains = { a.org }\n"                                             \
    "  backend \"sv1\" { address = \"10.0.1.11\" siblings = { " list " } }\n"                      \
    "  backend \"sv2\" { address = \"10.0.1.12\" siblings = { \"sv1\" } }\n"                       \
    "  backend \"sv3\" { address = \"10.0.1.13\" } }\n"
#define WRONG_SIBLING(name, what)                                                                  \
    "2: cluster.backend \"sv1\".siblings: \"" name "\" is " what                                   \
    "; expected other backends, each once\n"

static void test_the_siblings_of_a_backend_are_an_ordered_list(void **unused)
{
    struct config *config = load(SIBLINGS("\"sv3\", \"sv2\"") DIRECTORY LISTEN);

    (void)unused;
    assert_string_equal(config_complaints, "");
    assert_int_equal(config->cluster.backends[0].siblings.count, 2);
    assert_string_equal(config->cluster.backends[0].siblings.items[0], "sv3");
    assert_string_equal(config->cluster.backends[0].siblings.items[1], "sv2");
    assert_int_equal(config->cluster.backends[2].siblings.count, 0);
    config_free(config);
}

static void test_a_sibling_that_could_take_nothing_over_is_refused(void **unused)
{
    (void)unused;
    assert_config_refused(SIBLINGS("\"sv1\"") DIRECTORY LISTEN,
                          WRONG_SIBLING("sv1", "the backend itself"));
    assert_config_refused(SIBLINGS("\"sv2\", sv3, \"sv2\"") DIRECTORY LISTEN,
                          WRONG_SIBLING("sv2", "there twice"));
    assert_config_refused(SIBLINGS("\"sv2\", \"sv9\"") DIRECTORY LISTEN,
                          WRONG_SIBLING("sv9", "no backend of this configuration"));
}

static void test_siblings_may_be_backends_that_only_the_directory_lists(void **unused)
{
    (void)unused;
    config_free(
        load(SIBLINGS("\"sv9\"") "directory { uri = { \"ldap://10.0.0.5\" } base = \"dc=x\" "
                                 "backend_base = \"ou=b\" unverified_backends = true }\n" LISTEN));
    assert_string_equal(config_complaints, "");
}

#define REPLICA(node, more)                                                                        \
    SIBLINGS("\"sv2\"")                                                                            \
    DIRECTORY LISTEN "node { name = \"" node "\" imap_store = \"10.0.0.1:1\" }\n"                  \
                     "replica { doveadm = \"unix:/run/d\" " more " }\n"
#define REPLICA_PASSWORD "password_file = \"/etc/secret\" "

static void test_copies_go_to_the_first_sibling_or_another_backend(void **unused)
{
    struct config *config =
        config_load_text(REPLICA("sv1", REPLICA_PASSWORD), CONFIG_BACKEND, false);

    (void)unused;
    assert_string_equal(config_complaints, "");
    assert_true(config_has_replica(config));
    assert_string_equal(config->replica.to, "sv2");
    assert_true(config->replica.tls);
    config_free(config);
    config =
        config_load_text(REPLICA("sv1", REPLICA_PASSWORD "to = \"sv3\""), CONFIG_BACKEND, false);
    assert_string_equal(config->replica.to, "sv3");
    config_free(config);
    assert_config_refused_as(REPLICA("sv1", REPLICA_PASSWORD "to = \"sv1\""), CONFIG_BACKEND,
                             "8: replica.to: \"sv1\" is no other backend; expected one of "
                             "cluster.backend\n");
    assert_config_refused_as(REPLICA("sv3", REPLICA_PASSWORD), CONFIG_BACKEND,
                             "8: replica.to: is missing, and cluster.backend \"sv3\" has no "
                             "siblings; expected one of both\n");
    assert_config_refused_as(REPLICA("sv1", ""), CONFIG_BACKEND,
                             "8: replica.doveadm: replica.password_file is missing; expected both "
                             "or none\n");
}

static void test_every_wrong_value_is_reported_with_its_line(void **unused)
{
    (void)unused;
    assert_config_refused(
        "workers = 65\n"
        "log_level = \"loud\"\n"
        "run_directory = \"run\"\n"
        "cluster {\n hostname = \"mx 1\"\n domains = { \"ok.org\",\n \"m\303\274nchen.de\" }\n"
        " backend \"sv1\" { address = \"10.0.1.11\"\n  imap_port = 0 } }\n"
        "directory { uri = \"http://x\" base = \"dc=x\"\n starttls = perhaps }\n"
        "listen \"a\" {\n protocol = \"imaps\"\n address = \"localhost:993\" tls = on }\n"
        "node { frontends = { \"10.0.0.0/33\" }\n lmtp_store = \"nowhere\" }\n"
        "smtp { message_size_max = \"many\" }\n"
        "queue { retry_min_s = -1 }\n",
        "1: workers: \"65\" is wrong; expected a number from 0 to 64\n"
        "3: run_directory: \"run\" is wrong; expected an absolute path of 80 bytes at most\n"
        "2: log_level: \"loud\" is wrong; expected debug, info, warning or error\n"
        "5: cluster.hostname: \"mx 1\" is wrong; expected a domain name (A-labels)\n"
        "7: cluster.domains: \"m\303\274nchen.de\" is wrong; expected a domain name (A-labels)\n"
        "9: cluster.backend \"sv1\".imap_port: \"0\" is wrong; expected a number from 1 to 65535\n"
        "10: directory.uri: \"http://x\" is wrong; expected a URI that begins with ldap://, "
        "ldaps:// or ldapi://\n"
        "11: directory.starttls: \"perhaps\" is wrong; expected true or false\n"
        "16: node.lmtp_store: \"nowhere\" is wrong; expected \"HOST:PORT\", \"[IPV6]:PORT\" or "
        "\"unix:PATH\"\n"
        "15: node.frontends: \"10.0.0.0/33\" is wrong; expected an IP address, or a network as "
        "ADDRESS/PREFIX\n"
        "13: listen \"a\".protocol: \"imaps\" is wrong; expected smtp, lmtp, imap, pop3, sieve or "
        "submission\n"
        "14: listen \"a\".address: \"localhost:993\" is wrong; expected \"IP:PORT\", "
        "\"[IPV6]:PORT\" or \"*:PORT\"\n"
        "14: listen \"a\".tls: \"on\" is wrong; expected off, starttls or implicit\n"
        "18: queue.retry_min_s: \"-1\" is wrong; expected a number from 1 to 86400\n"
        "17: smtp.message_size_max: \"many\" is wrong; expected a number from 1024 to "
        "2147483648\n");
}

#define LISTED                                                                                     \
    "cluster { hostname = a.org domains = { a.org } }\n"                                           \
    "directory { uri = { \"ldap://10.0.0.5\" } base = \"dc=example\"\n backend_base = \"ou=b\" "
#define NOT_VERIFIED                                                                               \
    "3: directory.backend_base: backend_tls does not verify backends, so whoever can write an "    \
    "entry there would be given passwords; expected it to, or directory.unverified_backends = "    \
    "true\n"

static void test_backends_of_the_directory_must_prove_who_they_are(void **unused)
{
    (void)unused;
    assert_config_refused(LISTED "}\nbackend_tls { verify = no ca = \"/ca.pem\" }\n" LISTEN,
                          NOT_VERIFIED);
    assert_config_refused(LISTED "}\nbackend_tls { transport = off }\n" LISTEN, NOT_VERIFIED);
    assert_config_refused(
        LISTED "}\n" LISTEN,
        "3: directory.backend_base: any public certificate for the name of an entry "
        "would do; expected backend_tls.ca, a backend_tls.name such as "
        "\"%b.mail.example.org\", or directory.unverified_backends = true\n");
    config_free(config_load_text(LISTED "}\nbackend_tls { ca = \"/ca.pem\" }\n" LISTEN,
                                 CONFIG_FRONTEND, false));
    assert_string_equal(config_complaints, "");
    config_free(config_load_text(LISTED "}\nbackend_tls { name = \"%b.example.org\" }\n" LISTEN,
                                 CONFIG_FRONTEND, false));
    assert_string_equal(config_complaints, "");
    config_free(config_load_text(
        LISTED "unverified_backends = true }\nbackend_tls { verify = no }\n" LISTEN,
        CONFIG_FRONTEND, false));
    assert_string_equal(config_complaints, "");
}

static void test_what_is_missing_is_named_for_each_program(void **unused)
{
    (void)unused;
    assert_config_refused("",
                          "0: cluster.hostname: is missing; expected a domain name (A-labels)\n"
                          "0: cluster.domains: is missing; expected a domain name (A-labels)\n"
                          "0: directory.uri: is missing; expected a URI that begins with ldap://, "
                          "ldaps:// or ldapi://\n"
                          "0: directory.base: is missing; expected text of 1 to 1024 bytes\n");
    assert_config_refused_as(CLUSTER DIRECTORY LISTEN, CONFIG_BACKEND,
                             "0: node.name: is missing; expected text of 1 to 127 bytes\n");
    assert_config_refused("cluster { hostname = a.org domains = { a.org } }\n" DIRECTORY,
                          "1: cluster.backend: is missing; expected one section at least, or "
                          "directory.backend_base\n"
                          "0: listen: is missing; expected one section at least\n");
    assert_config_refused(
        "cluster { hostname = a.org domains = { a.org }\n backend \"x\" { } }\n" DIRECTORY
        "listen \"a\" { }",
        "2: cluster.backend \"x\".address: is missing; expected text of 1 to 253 bytes\n"
        "4: listen \"a\".protocol: is missing; expected smtp, lmtp, imap, pop3, sieve or "
        "submission\n"
        "4: listen \"a\".address: is missing; expected \"IP:PORT\", \"[IPV6]:PORT\" or "
        "\"*:PORT\"\n");
    config_free(config_load_text("", CONFIG_ADMIN, true));
    assert_string_equal(config_complaints, "");
}

static void test_limits_have_ranges(void **unused)
{
    struct config *config = load(GOOD "limits { trusted_networks = { 10.0.0.0/8, ::1 } }\n");

    (void)unused;
    assert_non_null(config);
    assert_int_equal(config->limits.trusted_networks.count, 2);
    assert_int_equal(config->limits.login_failures, 10);
    assert_int_equal(config->limits.held_logins_per_backend, 2000);
    config_free(config);
    assert_config_refused(
        GOOD "limits {\n network_prefix_ipv4 = 4 login_failures = 1001\n"
             " trusted_networks = { 10.0.0.0/33 } held_logins_per_backend = -1 }\n",
        "6: limits.held_logins_per_backend: \"-1\" is wrong; expected a number from 0 to 1000000\n"
        "5: limits.login_failures: \"1001\" is wrong; expected a number from 0 to 1000\n"
        "5: limits.network_prefix_ipv4: \"4\" is wrong; expected a number from 8 to 32\n"
        "6: limits.trusted_networks: \"10.0.0.0/33\" is wrong; expected an IP address, or "
        "a network as ADDRESS/PREFIX\n");
}

static void test_wrong_syntax_is_reported_where_it_began(void **unused)
{
    (void)unused;
    assert_config_refused(
        GOOD "node {\n colour = blue }\n",
        "5: node.colour: no such option; expected one of name, lmtp_store, imap_store, "
        "pop3_store, sieve_store, pass_client, frontends, frontend_names, "
        "foreign\n");
    assert_config_refused("cluster {\n hostname = a.org\n",
                          "1: this brace is never closed; expected }\n");
    assert_config_refused("\nuser = \"mail\nworkers = 3\n",
                          "2: this string is never closed; expected a second quotation mark\n");
    assert_config_refused("workers = 3 /* x\n\n", "1: this comment is never closed; expected */\n");
    assert_config_refused("workers 3\n", "1: missing equal sign after option 'workers'\n");
    assert_config_refused("/* a */ /* b\n */ workers = 99\nuser 3\n",
                          "3: missing equal sign after option 'user'\n");
    assert_config_refused("workers = 3 }\n", "1: unexpected closing brace\n");
    assert_config_refused("cluster { backend { } }\n",
                          "1: cluster: missing title for section 'backend'\n");
    assert_config_refused(
        "cluster {\n backend \"a\" { address = x }\n backend \"a\" { address = y } }\n",
        "3: cluster: found duplicate title 'a'\n");
    assert_config_refused(
        "listen \"\" { }\n" GOOD,
        "1: listen: the name \"\" is wrong; expected text of 1 to 127 bytes\n"
        "1: listen \"\".protocol: is missing; expected smtp, lmtp, imap, pop3, sieve or "
        "submission\n"
        "1: listen \"\".address: is missing; expected \"IP:PORT\", \"[IPV6]:PORT\" or "
        "\"*:PORT\"\n");
}

static void test_what_does_not_go_together_is_refused(void **unused)
{
    (void)unused;
    assert_config_refused(
        CLUSTER DIRECTORY "listen \"a\" { protocol = imap address = \"*:993\" tls = implicit }\n"
                          "listen \"b\" { protocol = pop3 address = \"*:993\"\n tls = off }\n",
        "3: listen \"a\".tls: there is no tls.certificate; expected one, or tls = off\n"
        "4: listen \"b\".address: listen \"a\" has it too; expected another\n");
    assert_config_refused(
        GOOD "tls {\n certificate = \"/c\" }\n"
             "queue { retry_min_s = 60\n retry_max_s = 30 }\n"
             "relay_host { user = \"u\" }\n"
             "master { user = \"m\" }\n",
        "5: tls.certificate: tls.key is missing; expected both or none\n"
        "9: master.user: master.password_file is missing; expected both or none\n"
        "8: relay_host.user: relay_host.password_file is missing; expected both or "
        "none\n"
        "6: queue.retry_min_s: 60 is more than queue.retry_max_s; expected 30 at most\n");
}

static void test_a_password_for_the_relay_host_needs_tls_or_loopback(void **unused)
{
    static const char *const far[] = { "relay.example.org", "192.0.2.1", "2001:db8::1",
                                       "127.example.org",   "128.0.0.1", "::" };
    static const char *const near[] = { "localhost", "127.0.0.2", "::1" };
    static const char format[] =
        GOOD "relay_host { address = \"%s\" tls = off user = u password_file = \"/none\" }\n";
    char text[sizeof(format) + 32];
    struct config *config;

    (void)unused;
    for (size_t i = 0; i < ARRAY_LENGTH(far); i++) {
        snprintf(text, sizeof(text), format, far[i]);
        assert_config_refused(text,
                              "4: relay_host.tls: off would show the password of relay_host.user "
                              "to the network; expected starttls, implicit, or a "
                              "relay_host.address on loopback\n");
    }
    for (size_t i = 0; i < ARRAY_LENGTH(near); i++) {
        snprintf(text, sizeof(text), format, near[i]);
        config = load(text);
        assert_non_null(config);
        config_free(config);
    }
}

/* Where connections to IPv4 addresses go out from; empty: the kernel chooses. */
static void assert_source(const char *text, const char *expected)
{
    struct config *config = load(text);
    char address[INET_ADDRSTRLEN] = "";

    assert_non_null(config);
    if (config->sources.ipv4.sin_family == AF_INET)
        inet_ntop(AF_INET, &config->sources.ipv4.sin_addr, address, sizeof(address));
    assert_string_equal(address, expected);
    assert_int_equal(config->sources.ipv6.sin6_family, 0);
    config_free(config);
}

static void test_connections_go_out_from_an_address_of_ones_own(void **unused)
{
    static const char pop3[] = "listen \"p\" { protocol = pop3 address = \"%s:110\" tls = off }\n";
    char error[LOGICAL_HOST_ERROR_SIZE], one[2048], two[4096], any[4096];

    (void)unused;
    snprintf(one, sizeof(one),
             CLUSTER DIRECTORY
             "listen \"i\" { protocol = imap address = \"192.0.2.1:143\" tls = off }\n");
    snprintf(two, sizeof(two), "%s", one);
    snprintf(two + strlen(two), sizeof(two) - strlen(two), pop3, "192.0.2.2");
    snprintf(any, sizeof(any), "%s", one);
    snprintf(any + strlen(any), sizeof(any) - strlen(any), pop3, "*");
    assert_source(one, "");
    assert_true(logical_host_choose("fe1", error));
    assert_source(one, "192.0.2.1");
    assert_source(two, "");
    assert_source(any, "");
    assert_true(logical_host_choose(NULL, error));
    assert_source(GOOD "bind_address = { \"192.0.2.7\" }\n", "192.0.2.7");
    assert_config_refused(
        GOOD "bind_address = { \"192.0.2.7\", \"fe1\", \"192.0.2.8\" }\n",
        "4: bind_address: \"fe1\" is no IP address, or not the first of its "
        "family; expected one of IPv4, of IPv6, or one of each\n"
        "4: bind_address: \"192.0.2.8\" is no IP address, or not the first of its "
        "family; expected one of IPv4, of IPv6, or one of each\n");
}

static void test_backend_needs_a_store_for_each_listener(void **unused)
{
    (void)unused;
    assert_config_refused_as(
        CLUSTER DIRECTORY LISTEN
        "node { name = sv1 lmtp_store = \"unix:/run/lmtp\" }\n"
        "listen \"lmtp\" { protocol = lmtp address = \"*:24\" tls = off }\n"
        "listen \"mx\" { protocol = smtp address = \"*:25\" tls = off }\n",
        CONFIG_BACKEND,
        "3: listen \"imap\".protocol: node.imap_store is missing; expected where the "
        "mail store takes imap\n"
        "6: listen \"mx\".protocol: smtp is for frontends; expected lmtp, imap, "
        "pop3 or sieve\n");
}

#define NODE_WITH(name, storage)                                                                   \
    CLUSTER DIRECTORY LISTEN "node { name = \"" name "\" imap_store = \"127.0.0.1:1143\" }\n"      \
                             "storage { " storage " }\n"

static void test_a_storage_has_a_folder_for_each_server(void **unused)
{
    struct config *config = config_load_text(NODE_WITH("sv1", "kind = shared directory = \"/srv\""),
                                             CONFIG_BACKEND, false);

    (void)unused;
    assert_non_null(config);
    assert_int_equal(config->storage.require_mount, STORAGE_MOUNT_SERVER);
    assert_int_equal(config->storage.adopt, STORAGE_ADOPT_ORDER);
    config_free(config);
    config = config_load_text(NODE_WITH("a b", ""), CONFIG_BACKEND, false);
    assert_int_equal(config->storage.kind, STORAGE_NONE);
    config_free(config);
    assert_config_refused_as(NODE_WITH("sv1", "kind = shared"), CONFIG_BACKEND,
                             "5: storage.directory: is missing; expected the folder that has one "
                             "folder for each server\n");
    assert_config_refused_as(NODE_WITH("a b", "kind = shared directory = \"/srv\""), CONFIG_BACKEND,
                             "4: node.name: \"a b\" cannot be the name of a folder; expected "
                             "letters, digits, \".\", \"_\" and \"-\" with storage.kind shared\n");
    assert_config_refused_as(NODE_WITH("sv1", "release_hook = \"/bin/true\""), CONFIG_BACKEND,
                             "5: storage.release_hook: nothing is attached with storage.kind none; "
                             "expected it with shared\n");
}

static void test_a_node_that_asks_frontends_for_certificates_can_verify_them(void **unused)
{
    (void)unused;
    assert_config_refused_as(
        CLUSTER DIRECTORY
        "node { name = sv1 lmtp_store = \"unix:/run/lmtp\" frontend_names = { fe1.example.org } }\n"
        "listen \"lmtp\" { protocol = lmtp address = \"*:24\" tls = off }\n",
        CONFIG_BACKEND,
        "3: node.frontend_names: there is no tls.client_ca; expected the authorities of the "
        "frontends' certificates\n"
        "4: listen \"lmtp\": node.frontend_names asks for certificates; expected TLS, and neither "
        "plaintext_allowed nor proxy_protocol_tls\n");
}

static void test_only_balancers_are_believed_about_tls(void **unused)
{
    (void)unused;
    assert_config_refused_as(CLUSTER DIRECTORY LISTEN
                             "node { name = sv1 imap_store = \"127.0.0.1:1143\"\n"
                             "lmtp_store = \"unix:/run/lmtp\" }\n"
                             "listen \"l\" { protocol = lmtp address = \"*:24\" tls = off\n"
                             "proxy_protocol_from = { \"10.0.0.0/8\" } }\n"
                             "listen \"i\" { protocol = imap address = \"*:144\" tls = off\n"
                             "proxy_protocol_tls = true }\n",
                             CONFIG_BACKEND,
                             "9: listen \"i\".proxy_protocol_tls: there is no proxy_protocol_from; "
                             "expected the balancers that are believed\n");
}

static void test_users_can_log_in_on_a_submission_listener(void **unused)
{
    (void)unused;
    assert_config_refused_as(
        CLUSTER DIRECTORY LISTEN "submission { verify = pam\n"
                                 "recipients_per_hour = 1000001 }\n",
        CONFIG_FRONTEND,
        "4: submission.verify: \"pam\" is wrong; expected backend or ldap\n"
        "5: submission.recipients_per_hour: \"1000001\" is wrong; expected a number "
        "from 0 to 1000000\n");
    assert_config_refused_as(
        CLUSTER DIRECTORY LISTEN
        "listen \"s\" { protocol = submission address = \"*:587\" tls = off\n"
        "xclient_from = { \"10.0.0.0/8\" } }\n",
        CONFIG_FRONTEND,
        "5: listen \"s\".xclient_from: is for mail servers and filters, not for "
        "users; expected it with smtp or lmtp\n"
        "4: listen \"s\".tls: nobody could log in; expected starttls, implicit, or "
        "plaintext_allowed = true\n");
}

static void test_files_that_cannot_be_read_are_refused(void **unused)
{
    char text[1024];

    (void)unused;
    assert_null(config_load(config_folder, CONFIG_FRONTEND, false, config_gather, NULL));
    config_complaints[0] = '\0';
    snprintf(text, sizeof(text), "%s/absent.conf", config_folder);
    assert_null(config_load(text, CONFIG_FRONTEND, false, config_gather, NULL));
    assert_string_equal(config_complaints, "0: cannot be opened: No such file or directory\n");

    config_complaints[0] = '\0';
    config_write_file("nul.conf", "a\0b", 3, 0600);
    snprintf(text, sizeof(text), "%s/nul.conf", config_folder);
    assert_null(config_load(text, CONFIG_FRONTEND, false, config_gather, NULL));
    assert_string_equal(config_complaints, "1: a NUL byte; expected text\n");
}

/* Whatever is cut off a good file, loading ends with a complaint or a configuration, never
 * otherwise. */
static void test_a_truncated_file_is_never_taken_silently_as_whole(void **unused)
{
    char text[] = GOOD;

    (void)unused;
    for (size_t length = strlen(text); length-- > 0;) {
        struct config *config;

        text[length] = '\0';
        config = load(text);
        assert_true((config != NULL) == (config_complaints[0] == '\0'));
        assert_true(config == NULL || length >= strlen(GOOD) - 1);
        config_free(config);
    }
}

static void test_an_admin_port_is_whole_and_has_an_address_of_its_own(void **unused)
{
    static const char rest[] =
        "certificate = \"/c\" key = \"/k\" client_ca = \"/a\" read = { ann } }";
    char text[4096];
    struct config *config;

    (void)unused;
    snprintf(text, sizeof(text), "%s\nadmin_port { address = \"*:8443\" %s\n", GOOD, rest);
    config = load(text);
    assert_string_equal(config_complaints, "");
    assert_int_equal(config->admin_port.endpoint.port, 8443);
    assert_int_equal(config->admin_port.operate.count, 0);
    config_free(config);
    assert_null(load(GOOD "\nadmin_port { address = \"*:8443\" certificate = \"/c\" }\n"));
    assert_null(strstr(config_complaints, "admin_port.certificate: is missing"));
    assert_non_null(strstr(config_complaints, "admin_port.key: is missing"));
    assert_non_null(strstr(config_complaints, "admin_port.client_ca: is missing"));
    assert_non_null(strstr(config_complaints, "admin_port.operate: is missing"));
    snprintf(text, sizeof(text),
             "%slisten \"x\" { protocol = imap address = \"127.0.0.1:8443\" tls = off }\n"
             "admin_port { address = \"127.0.0.1:8443\" %s\n",
             GOOD, rest);
    assert_null(load(text));
    assert_non_null(strstr(config_complaints, "admin_port.address: listen \"x\" has it too"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_admin_port_is_whole_and_has_an_address_of_its_own),
        cmocka_unit_test(test_minimal_configuration_has_the_defaults),
        cmocka_unit_test(test_a_domain_alias_is_ours_and_leads_to_its_domain),
        cmocka_unit_test(test_each_of_many_domains_is_ours_and_the_first_stays_the_first),
        cmocka_unit_test(test_a_domain_alias_that_leads_nowhere_or_around_is_refused),
        cmocka_unit_test(test_everything_can_be_set),
        cmocka_unit_test(test_the_siblings_of_a_backend_are_an_ordered_list),
        cmocka_unit_test(test_copies_go_to_the_first_sibling_or_another_backend),
        cmocka_unit_test(test_a_sibling_that_could_take_nothing_over_is_refused),
        cmocka_unit_test(test_siblings_may_be_backends_that_only_the_directory_lists),
        cmocka_unit_test(test_every_wrong_value_is_reported_with_its_line),
        cmocka_unit_test(test_what_is_missing_is_named_for_each_program),
        cmocka_unit_test(test_backends_of_the_directory_must_prove_who_they_are),
        cmocka_unit_test(test_limits_have_ranges),
        cmocka_unit_test(test_wrong_syntax_is_reported_where_it_began),
        cmocka_unit_test(test_what_does_not_go_together_is_refused),
        cmocka_unit_test(test_a_password_for_the_relay_host_needs_tls_or_loopback),
        cmocka_unit_test(test_connections_go_out_from_an_address_of_ones_own),
        cmocka_unit_test(test_backend_needs_a_store_for_each_listener),
        cmocka_unit_test(test_a_storage_has_a_folder_for_each_server),
        cmocka_unit_test(test_a_node_that_asks_frontends_for_certificates_can_verify_them),
        cmocka_unit_test(test_only_balancers_are_believed_about_tls),
        cmocka_unit_test(test_users_can_log_in_on_a_submission_listener),
        cmocka_unit_test(test_files_that_cannot_be_read_are_refused),
        cmocka_unit_test(test_a_truncated_file_is_never_taken_silently_as_whole),
    };

    return cmocka_run_group_tests(tests, config_folder_make, config_folder_remove);
}
