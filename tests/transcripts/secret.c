/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/transcripts/secret.h"

/* The secret, behind the mechanism that brought it unless it is a password. */
static void note_secret(const struct credentials *credentials, struct buffer *note)
{
    switch (credentials->kind) {
    case CREDENTIALS_PASSWORD:
        buffer_append_string(note, credentials->password);
        break;
    case CREDENTIALS_XOAUTH2:
        buffer_append_format(note, "xoauth2:%s", credentials->token);
        break;
    case CREDENTIALS_OAUTHBEARER:
        buffer_append_format(note, "oauthbearer:%s", credentials->token);
        break;
    case CREDENTIALS_EXTERNAL:
        buffer_append_string(note, "external");
        break;
    }
}

void transcript_note_credentials(const struct credentials *credentials, struct buffer *note)
{
    buffer_append_format(note, "CREDENTIALS %s|", credentials->authcid);
    note_secret(credentials, note);
}
