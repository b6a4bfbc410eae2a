/* SPDX-License-Identifier: Apache-2.0 */
/*
 * As much of BER as the values of LDAP controls need (RFC 4511 section 5.1): definite
 * lengths, one-byte tags.  Readers take from the front of a span and copy nothing.
 */
#ifndef MAILSTEAD_DIRECTORY_BER_H
#define MAILSTEAD_DIRECTORY_BER_H

#include "common/base/buffer.h"

enum ber_tag {
    BER_BOOLEAN = 0x01,
    BER_INTEGER = 0x02,
    BER_OCTETS = 0x04,
    BER_ENUMERATED = 0x0a,
    BER_SEQUENCE = 0x30,
    BER_SET = 0x31
};

/* Takes the next element off `*rest`.  False, and `*rest` untouched, when it is cut or of another
 * form. */
bool ber_take(struct span *rest, unsigned *tag, struct span *content)
    __attribute__((warn_unused_result));

/* Takes the next element only if its tag is `tag`; false and `*rest` untouched otherwise. */
bool ber_take_tagged(struct span *rest, unsigned tag, struct span *content)
    __attribute__((warn_unused_result));

/* The content of a BOOLEAN or of a non-negative ENUMERATED of one byte; -1 for any other. */
int ber_small_number(struct span content);

/* Appends the head of an element with `length` bytes of content (below 65536). */
bool ber_put_head(struct buffer *target, unsigned tag, size_t length);

#endif
