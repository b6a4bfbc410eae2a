/* SPDX-License-Identifier: Apache-2.0 */
/* How transcripts show credentials. */
#ifndef MAILSTEAD_TESTS_TRANSCRIPTS_SECRET_H
#define MAILSTEAD_TESTS_TRANSCRIPTS_SECRET_H

#include "common/base/buffer.h"
#include "common/proto/credentials.h"

/* "CREDENTIALS name|secret" */
void transcript_note_credentials(const struct credentials *credentials, struct buffer *note);

#endif
