/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The messages of the SASL mechanisms, without their base64: for sasl.c alone.
 *
 * Each reader fills `*credentials`, whose fields it may overwrite in any case, and gives
 * SASL_OK, SASL_MALFORMED or SASL_AUTHZID_REFUSED.  Each writer appends to `out`.
 */
#ifndef MAILSTEAD_PROTO_SASL_MESSAGE_H
#define MAILSTEAD_PROTO_SASL_MESSAGE_H

#include "common/proto/sasl.h"

enum sasl_result sasl_plain_read(struct span message, struct credentials *credentials);
enum sasl_result sasl_xoauth2_read(struct span message, struct credentials *credentials);
enum sasl_result sasl_oauthbearer_read(struct span message, struct credentials *credentials);

void sasl_plain_write(const char *name, const char *password, struct buffer *out);
void sasl_xoauth2_write(const char *name, const char *token, struct buffer *out);
void sasl_oauthbearer_write(const char *name, const char *token, struct buffer *out);

/* Copies a part that must not be empty nor hold CR, LF or NUL. */
bool sasl_copy_part(struct span part, char *target, size_t capacity)
    __attribute__((warn_unused_result));

#endif
