/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/mail_outcome.h"

struct mail_tally {
    unsigned counts[MAIL_RESULT_PERMANENT + 1];
    const struct mail_reply *first[MAIL_RESULT_PERMANENT + 1];
};

static struct mail_tally mail_tally_of(const enum mail_result *results,
                                       const struct mail_reply *replies, unsigned count)
{
    struct mail_tally tally = { .counts = { 0 } };

    for (unsigned i = 0; i < count; i++)
        if (tally.counts[results[i]]++ == 0)
            tally.first[results[i]] = &replies[i];
    return tally;
}

static enum mail_fate mail_fate_of(enum mail_result result)
{
    switch (result) {
    case MAIL_RESULT_NOT_SENT:
    case MAIL_RESULT_TEMPORARY:
        return MAIL_FATE_PENDING;
    case MAIL_RESULT_UNANSWERED:
        return MAIL_FATE_UNKNOWN;
    case MAIL_RESULT_PERMANENT:
        return MAIL_FATE_FAILED;
    case MAIL_RESULT_ACCEPTED:
        break;
    }
    return MAIL_FATE_NONE;
}

bool mail_outcome(const enum mail_result *results, const struct mail_reply *replies, unsigned count,
                  enum mail_fate *fates, struct mail_reply *reply)
{
    struct mail_tally tally = mail_tally_of(results, replies, count);
    unsigned refused = tally.counts[MAIL_RESULT_TEMPORARY] + tally.counts[MAIL_RESULT_PERMANENT];
    bool must_store = false;

    if (refused == count) {
        const struct mail_reply *first = tally.first[MAIL_RESULT_TEMPORARY]
                                             ? tally.first[MAIL_RESULT_TEMPORARY]
                                             : tally.first[MAIL_RESULT_PERMANENT];

        for (unsigned i = 0; i < count; i++)
            fates[i] = MAIL_FATE_NONE;
        *reply = *first;
        if (tally.counts[MAIL_RESULT_TEMPORARY] > 0)
            reply->code = 451;
        return false;
    }
    for (unsigned i = 0; i < count; i++) {
        fates[i] = mail_fate_of(results[i]);
        must_store |= fates[i] != MAIL_FATE_NONE;
    }
    *reply = tally.counts[MAIL_RESULT_ACCEPTED] > 0 && !must_store
                 ? *tally.first[MAIL_RESULT_ACCEPTED]
                 : mail_reply_of(250, "2.0.0", "Ok: queued");
    reply->code = 250;
    return must_store;
}

struct mail_reply mail_outcome_not_stored(void)
{
    return mail_reply_of(451, "4.3.0", "Message could not be stored, try again later");
}
