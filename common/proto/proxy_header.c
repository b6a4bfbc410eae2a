/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/proxy_header.h"

#include <arpa/inet.h>

enum {
    TEXT_MIN = 15, /* "PROXY UNKNOWN\r\n"; no header is shorter */
    TEXT_MAX = 107,
    BINARY_HEAD = 16,
    BINARY_IPV4 = 12, /* two addresses, two ports */
    BINARY_IPV6 = 36,
    VALUE_HEAD = 3, /* a type and a length of two bytes */
    VALUE_ID = 0x05,
    VALUE_SSL = 0x20,
    VALUE_TTL = 0xe0, /* the first of those that are for one's own use; one byte */
    SSL_HEAD = 5,     /* a set of bits, and whether the client's certificate was verified */
    SSL_CLIENT_HAS_TLS = 1
};

static const char signature[] = "\r\n\r\n\0\r\nQUIT\n";

enum { SIGNATURE_LENGTH = sizeof(signature) - 1 };

static bool is_binary(struct span have)
{
    return have.length >= SIGNATURE_LENGTH && memcmp(have.data, signature, SIGNATURE_LENGTH) == 0;
}

static unsigned get_u16(struct span bytes, size_t at)
{
    return (unsigned)(unsigned char)bytes.data[at] << 8 | (unsigned char)bytes.data[at + 1];
}

/* The length of the whole binary header whose head has come. */
static size_t binary_length(struct span have)
{
    return BINARY_HEAD + get_u16(have, 14);
}

size_t proxy_header_missing(struct span have)
{
    if (have.length < TEXT_MIN)
        return TEXT_MIN - have.length;
    if (is_binary(have)) {
        size_t length = have.length < BINARY_HEAD ? BINARY_HEAD : binary_length(have);

        return length > PROXY_HEADER_MAX || have.length >= length ? 0 : length - have.length;
    }
    /* Of text only its LF tells the end. */
    if (have.length >= TEXT_MAX || have.data[have.length - 1] == '\n' ||
        !span_starts_with_ignore_case(have, SPAN_LITERAL("PROXY ")))
        return 0;
    return 1;
}

static bool read_port(struct span word, uint16_t *port)
{
    uint64_t number;

    if (word.length > 5 || !span_parse_u64(word, &number) || number > UINT16_MAX)
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool is_address(int family, struct span word, char text[46])
{
    unsigned char binary[16];

    return span_copy_string(word, text, 46) && inet_pton(family, text, binary) == 1;
}

/* "PROXY TCP4 SOURCE DESTINATION PORT PORT" CRLF, or "PROXY UNKNOWN" and anything. */
static bool read_text(struct span whole, struct proxy_header *header)
{
    struct proxy_header read = { .port = 0 };
    struct span line = span_take(whole, whole.length - 2);
    struct span rest = span_drop(line, strlen("PROXY "));
    struct span family = span_split(&rest, ' ');
    struct span words[4];
    int kind = span_equals(family, SPAN_LITERAL("TCP6")) ? AF_INET6 : AF_INET;
    char destination[46];
    uint16_t destination_port;

    if (whole.data[whole.length - 1] != '\n' || whole.data[whole.length - 2] != '\r' ||
        span_has_line_break_or_nul(line) || memcmp(whole.data, "PROXY ", 6) != 0)
        return false;
    if (span_equals(family, SPAN_LITERAL("UNKNOWN"))) {
        *header = read;
        return true;
    }
    for (int i = 0; i < 4; i++)
        words[i] = span_split(&rest, ' ');
    if (rest.length > 0 || (kind == AF_INET && !span_equals(family, SPAN_LITERAL("TCP4"))) ||
        !is_address(kind, words[0], read.address) || !is_address(kind, words[1], destination) ||
        !read_port(words[2], &read.port) || !read_port(words[3], &destination_port))
        return false;
    *header = read;
    return true;
}

/* An id that could be in a log or a command; others are passed over. */
static void take_id(struct span value, char id[PROXY_HEADER_ID_SIZE])
{
    for (size_t i = 0; i < value.length; i++)
        if (value.data[i] <= ' ' || value.data[i] > '~')
            return;
    if (value.length < PROXY_HEADER_ID_SIZE)
        (void)!span_copy_string(value, id, PROXY_HEADER_ID_SIZE);
}

/* What is behind the addresses; false when its lengths make no sense. */
static bool read_values(struct span rest, struct proxy_header *header)
{
    while (rest.length > 0) {
        struct span value;

        if (rest.length < VALUE_HEAD || rest.length - VALUE_HEAD < get_u16(rest, 1))
            return false;
        value = span_of(rest.data + VALUE_HEAD, get_u16(rest, 1));
        if ((unsigned char)rest.data[0] == VALUE_ID)
            take_id(value, header->id);
        else if ((unsigned char)rest.data[0] == VALUE_SSL && value.length >= SSL_HEAD)
            header->is_tls = (unsigned char)value.data[0] & SSL_CLIENT_HAS_TLS;
        else if ((unsigned char)rest.data[0] == VALUE_TTL && value.length == 1)
            header->ttl = (unsigned char)value.data[0];
        rest = span_drop(rest, VALUE_HEAD + value.length);
    }
    return true;
}

static bool read_binary(struct span whole, struct proxy_header *header)
{
    struct proxy_header read = { .port = 0 };
    unsigned command = (unsigned char)whole.data[12], family = (unsigned char)whole.data[13];
    struct span addresses = span_drop(whole, BINARY_HEAD);

    if (whole.length != binary_length(whole) || (command != 0x20 && command != 0x21))
        return false;
    if (command == 0x21 && family == 0x11) {
        if (addresses.length < BINARY_IPV4)
            return false;
        inet_ntop(AF_INET, addresses.data, read.address, sizeof(read.address));
        read.port = (uint16_t)get_u16(addresses, 8);
        if (!read_values(span_drop(addresses, BINARY_IPV4), &read))
            return false;
    } else if (command == 0x21 && family == 0x21) {
        if (addresses.length < BINARY_IPV6)
            return false;
        inet_ntop(AF_INET6, addresses.data, read.address, sizeof(read.address));
        read.port = (uint16_t)get_u16(addresses, 32);
        if (!read_values(span_drop(addresses, BINARY_IPV6), &read))
            return false;
    }
    *header = read;
    return true;
}

bool proxy_header_read(struct span whole, struct proxy_header *header)
{
    if (whole.length < TEXT_MIN || proxy_header_missing(whole) > 0)
        return false;
    if (is_binary(whole))
        return whole.length >= BINARY_HEAD && read_binary(whole, header);
    return read_text(whole, header);
}

/* --- writing -------------------------------------------------------------------- */

static void put_u16(struct buffer *out, unsigned number)
{
    buffer_append_byte(out, (char)(number >> 8));
    buffer_append_byte(out, (char)number);
}

static void put_values(const struct proxy_header *header, struct buffer *out)
{
    struct span id = span_from_string(header->id);

    if (id.length > 0) {
        buffer_append_byte(out, VALUE_ID);
        put_u16(out, (unsigned)id.length);
        buffer_append(out, id);
    }
    if (header->is_tls) {
        buffer_append_byte(out, VALUE_SSL);
        put_u16(out, SSL_HEAD);
        buffer_append_byte(out, SSL_CLIENT_HAS_TLS);
        buffer_append(out, SPAN_LITERAL("\0\0\0\1")); /* no certificate was verified */
    }
    if (header->ttl > 0) {
        buffer_append_byte(out, (char)VALUE_TTL);
        put_u16(out, 1);
        buffer_append_byte(out, (char)header->ttl);
    }
}

void proxy_header_write(const struct proxy_header *header, const char *to_address, uint16_t to_port,
                        struct buffer *out)
{
    char memory[PROXY_HEADER_ROOM];
    struct buffer rest = buffer_over(memory, sizeof(memory));
    unsigned char from[16] = { 0 }, to[16] = { 0 };
    bool is_ipv4 = inet_pton(AF_INET, header->address, from) == 1;
    int family = is_ipv4 ? AF_INET : AF_INET6;
    size_t size = is_ipv4 ? 4 : 16;

    buffer_append(out, span_of(signature, SIGNATURE_LENGTH));
    if (header->address[0] == '\0') {
        buffer_append(out, SPAN_LITERAL("\x20\0\0\0"));
        return;
    }
    if (!is_ipv4)
        (void)!inet_pton(AF_INET6, header->address, from);
    if (!to_address || inet_pton(family, to_address, to) != 1)
        to_port = 0;
    buffer_append(&rest, span_of((const char *)from, size));
    buffer_append(&rest, span_of((const char *)to, size));
    put_u16(&rest, header->port);
    put_u16(&rest, to_port);
    put_values(header, &rest);
    buffer_append_byte(out, 0x21);
    buffer_append_byte(out, is_ipv4 ? 0x11 : 0x21);
    put_u16(out, (unsigned)rest.length);
    buffer_append(out, buffer_span(&rest));
}
