/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints, networks and the text of peers: tables. */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "common/base/memory.h"
#include "common/io/endpoint.h"
#include "common/io/listener.h"
#include "common/io/network.h"

static void endpoints_read_and_write_alike(void **state)
{
    static const struct {
        const char *text, *host;
        uint16_t port;
        bool is_unix;
    } rows[] = {
        { "127.0.0.1:143", "127.0.0.1", 143, false },
        { "[::1]:993", "::1", 993, false },
        { "*:25", "*", 25, false },
        { "mail.example.org:65535", "mail.example.org", 65535, false },
        { "sv_1:1", "sv_1", 1, false },
        { "unix:/run/dovecot/lmtp", "/run/dovecot/lmtp", 0, true },
        { "unix:relative:9", "relative:9", 0, true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct endpoint endpoint;
        char text[ENDPOINT_TEXT_SIZE];

        assert_true(endpoint_parse(rows[i].text, &endpoint));
        assert_string_equal(endpoint.host, rows[i].host);
        assert_int_equal(endpoint.port, rows[i].port);
        assert_int_equal(endpoint.is_unix, rows[i].is_unix);
        endpoint_format(&endpoint, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void what_is_no_endpoint_is_refused_and_touches_nothing(void **state)
{
    static const char *const rows[] = {
        "",
        ":",
        ":25",
        "host",
        "host:",
        "host:0",
        "host:65536",
        "host:25x",
        "host:-1",
        "host: 25",
        "::1:25",
        "[::1]",
        "[]:25",
        "[127.0.0.1]:25",
        "[::1:25",
        "a b:25",
        "a/b:25",
        "**:25",
        "unix:",
        "host:99999999999999999999",
        "unix:/a-path-that-is-longer-than-what-a-unix-socket-address-can-hold-which-is-one-hundred-"
        "and-seven-bytes-on-linux",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct endpoint endpoint = { .host = "untouched", .port = 7 };

        assert_false(endpoint_parse(rows[i], &endpoint));
        assert_string_equal(endpoint.host, "untouched");
        assert_int_equal(endpoint.port, 7);
    }
}

static struct sockaddr_storage address_of(const char *text)
{
    struct sockaddr_storage address;
    struct endpoint endpoint;
    socklen_t length;

    assert_true(endpoint_parse(text, &endpoint));
    assert_true(endpoint_to_sockaddr(&endpoint, &address, &length));
    return address;
}

static void numeric_endpoints_have_a_socket_address_and_names_have_none(void **state)
{
    struct sockaddr_storage ipv4 = address_of("192.0.2.1:25");
    struct sockaddr_storage ipv6 = address_of("[2001:db8::1]:26");
    struct sockaddr_storage local = address_of("unix:/tmp/x");
    struct sockaddr_storage any = address_of("*:27");
    struct endpoint endpoint;
    socklen_t length;
    char text[46];

    (void)state;
    assert_int_equal(peer_format(&ipv4, text), 25);
    assert_string_equal(text, "192.0.2.1");
    assert_int_equal(peer_format(&ipv6, text), 26);
    assert_string_equal(text, "2001:db8::1");
    assert_int_equal(peer_format(&local, text), 0);
    assert_string_equal(text, "unix");
    assert_string_equal(((struct sockaddr_un *)&local)->sun_path, "/tmp/x");
    assert_int_equal(peer_format(&any, text), 27);
    assert_true(strcmp(text, "::") == 0 || strcmp(text, "0.0.0.0") == 0);
    assert_true(endpoint_parse("mail.example.org:25", &endpoint));
    assert_false(endpoint_to_sockaddr(&endpoint, &ipv4, &length));
}

static void an_ipv4_peer_of_an_ipv6_socket_is_shown_as_ipv4(void **state)
{
    struct sockaddr_storage mapped = address_of("[::ffff:192.0.2.9]:110");
    char text[46];

    (void)state;
    assert_int_equal(peer_format(&mapped, text), 110);
    assert_string_equal(text, "192.0.2.9");
}

static void networks_hold_the_addresses_under_their_prefix(void **state)
{
    static const struct {
        const char *network, *peer;
        bool is_inside;
    } rows[] = {
        { "127.0.0.1", "127.0.0.1:1", true },
        { "127.0.0.1", "127.0.0.2:1", false },
        { "10.0.2.0/24", "10.0.2.255:1", true },
        { "10.0.2.0/24", "10.0.3.0:1", false },
        { "10.0.2.77/24", "10.0.2.1:1", true },
        { "10.0.2.0/25", "10.0.2.127:1", true },
        { "10.0.2.0/25", "10.0.2.128:1", false },
        { "10.0.2.0/24", "[::ffff:10.0.2.7]:1", true },
        { "::ffff:10.0.2.0/120", "10.0.2.7:1", true },
        { "0.0.0.0/0", "203.0.113.1:1", true },
        { "0.0.0.0/0", "[2001:db8::1]:1", false },
        { "::/0", "203.0.113.1:1", true },
        { "::1", "[::1]:1", true },
        { "::1", "127.0.0.1:1", false },
        { "2001:db8::/33", "[2001:db8:7fff::1]:1", true },
        { "2001:db8::/33", "[2001:db8:8000::1]:1", false },
        { "2001:db8::1/128", "[2001:db8::1]:1", true },
        { "::/0", "unix:/tmp/x", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct sockaddr_storage peer = address_of(rows[i].peer);
        struct network network;

        assert_true(network_parse(rows[i].network, &network));
        assert_int_equal(network_list_has_peer(&network, 1, &peer), rows[i].is_inside);
    }
}

static void a_peer_is_in_a_list_when_any_network_has_it(void **state)
{
    struct sockaddr_storage peer = address_of("10.0.2.1:1");
    struct network list[2];

    (void)state;
    assert_true(network_parse("192.0.2.0/24", &list[0]));
    assert_true(network_parse("10.0.2.0/24", &list[1]));
    assert_true(network_list_has_peer(list, 2, &peer));
    assert_false(network_list_has_peer(list, 1, &peer));
    assert_false(network_list_has_peer(list, 0, &peer));
}

static void what_is_no_network_is_refused(void **state)
{
    static const char *const rows[] = {
        "",
        "/",
        "/24",
        "10.0.2.0/",
        "10.0.2.0/33",
        "10.0.2/24",
        "::1/129",
        "[::1]",
        "host",
        "10.0.2.0/24/8",
        "10.0.2.0/-1",
        "10.0.2.0 /24",
        "10.0.2.0/x",
        "::1/12x",
        "10.0.2.0/99999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++) {
        struct network network = { .prefix_length = 77 };

        assert_false(network_parse(rows[i], &network));
        assert_int_equal(network.prefix_length, 77);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(endpoints_read_and_write_alike),
        cmocka_unit_test(what_is_no_endpoint_is_refused_and_touches_nothing),
        cmocka_unit_test(numeric_endpoints_have_a_socket_address_and_names_have_none),
        cmocka_unit_test(an_ipv4_peer_of_an_ipv6_socket_is_shown_as_ipv4),
        cmocka_unit_test(networks_hold_the_addresses_under_their_prefix),
        cmocka_unit_test(a_peer_is_in_a_list_when_any_network_has_it),
        cmocka_unit_test(what_is_no_network_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
