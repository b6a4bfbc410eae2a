/* SPDX-License-Identifier: Apache-2.0 */
/* Pure; what is malformed or of another length than it must have is refused whole. */
#include "directory/sync_value.h"

enum { SYNC_MODE_REFRESH_AND_PERSIST = 3 };

static void sync_take_cookie(struct span *rest, struct span *cookie)
{
    if (!ber_take_tagged(rest, BER_OCTETS, cookie))
        *cookie = SPAN_EMPTY;
}

/* An optional BOOLEAN; `*flag` keeps its default when there is none. */
static void sync_take_flag(struct span *rest, bool *flag)
{
    struct span content;

    if (ber_take_tagged(rest, BER_BOOLEAN, &content))
        *flag = ber_small_number(content) != 0;
}

bool sync_read_entry(struct span bytes, struct sync_entry_value *value)
{
    struct span sequence, state, uuid;

    if (!ber_take_tagged(&bytes, BER_SEQUENCE, &sequence) ||
        !ber_take_tagged(&sequence, BER_ENUMERATED, &state) ||
        !ber_take_tagged(&sequence, BER_OCTETS, &uuid) || uuid.length != SYNC_UUID_SIZE ||
        ber_small_number(state) < SYNC_STATE_PRESENT || ber_small_number(state) > SYNC_STATE_DELETE)
        return false;
    value->state = (enum sync_state)ber_small_number(state);
    value->uuid = (const unsigned char *)uuid.data;
    sync_take_cookie(&sequence, &value->cookie);
    return true;
}

static bool sync_ids_are_whole(struct span ids)
{
    while (ids.length > 0)
        if (!sync_next_id(&ids))
            return false;
    return true;
}

bool sync_read_notice(struct span bytes, struct sync_notice_value *value)
{
    struct sync_notice_value read = { .is_refresh_done = true };
    struct span content;
    unsigned tag;

    /* The choices are context tags 0 to 3; the last three are constructed. */
    if (!ber_take(&bytes, &tag, &content) || (tag != 0x80 && (tag < 0xa1 || tag > 0xa3)))
        return false;
    read.notice = (enum sync_notice)(tag & 0x1f);
    if (read.notice == SYNC_NOTICE_COOKIE) {
        read.cookie = content;
        *value = read;
        return true;
    }
    sync_take_cookie(&content, &read.cookie);
    if (read.notice == SYNC_NOTICE_IDS) {
        sync_take_flag(&content, &read.is_deleted);
        if (!ber_take_tagged(&content, BER_SET, &read.ids) || !sync_ids_are_whole(read.ids))
            return false;
    } else {
        sync_take_flag(&content, &read.is_refresh_done);
    }
    *value = read;
    return true;
}

bool sync_read_done(struct span bytes, struct sync_done_value *value)
{
    struct sync_done_value read = { .refresh_deletes = false };
    struct span sequence;

    if (!ber_take_tagged(&bytes, BER_SEQUENCE, &sequence))
        return false;
    sync_take_cookie(&sequence, &read.cookie);
    sync_take_flag(&sequence, &read.refresh_deletes);
    *value = read;
    return true;
}

const unsigned char *sync_next_id(struct span *ids)
{
    struct span id;

    if (!ber_take_tagged(ids, BER_OCTETS, &id) || id.length != SYNC_UUID_SIZE)
        return NULL;
    return (const unsigned char *)id.data;
}

void sync_write_request(struct buffer *target, struct span cookie)
{
    char memory[SYNC_REQUEST_SIZE];
    struct buffer content = buffer_over(memory, sizeof(memory));

    ber_put_head(&content, BER_ENUMERATED, 1);
    buffer_append_byte(&content, SYNC_MODE_REFRESH_AND_PERSIST);
    if (cookie.length > 0) {
        ber_put_head(&content, BER_OCTETS, cookie.length);
        buffer_append(&content, cookie);
    }
    ber_put_head(target, BER_SEQUENCE, content.length);
    buffer_append(target, buffer_span(&content));
}
