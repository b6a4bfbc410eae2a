/* SPDX-License-Identifier: Apache-2.0 */
#include "common/session/alarms.h"

#include "common/base/hash.h"
#include "common/base/log.h"

static uint64_t alarms_hash(const char *name)
{
    uint64_t hash = hash_string(name);

    return hash ^ (hash >> 32);
}

/* Whether one more may be logged, by the pace of all. */
static bool alarms_pay(struct alarms *alarms, uint64_t now_ms)
{
    uint64_t passed_ms = now_ms - alarms->paid_at_ms;

    alarms->debt_ms = alarms->debt_ms > passed_ms ? alarms->debt_ms - passed_ms : 0;
    alarms->paid_at_ms = now_ms;
    if (alarms->debt_ms > (uint64_t)(ALARMS_BURST - 1) * ALARM_EACH_MS)
        return false;
    alarms->debt_ms += ALARM_EACH_MS;
    return true;
}

/* Whether one about `key` may be logged now. */
static bool alarms_admit(struct alarms *alarms, uint64_t now_ms, const char *key)
{
    uint64_t name = alarms_hash(key);
    size_t row = name % ALARMS_KEPT;

    if ((alarms->kept[row].name == name && now_ms < alarms->kept[row].until_ms) ||
        !alarms_pay(alarms, now_ms)) {
        alarms->unsaid++;
        return false;
    }
    alarms->kept[row].name = name;
    alarms->kept[row].until_ms = now_ms + ALARM_AGAIN_MS;
    return true;
}

bool alarms_raise(struct alarms *alarms, uint64_t now_ms, const char *session_id, const char *key,
                  const char *host, const char *why)
{
    if (!alarms_admit(alarms, now_ms, key))
        return false;
    LOG_EVENT(LOG_LEVEL_ERROR, session_id, "account_misconfigured", LOG_TEXT("name", key),
              LOG_TEXT("host", *host ? host : NULL), LOG_TEXT("why", why),
              LOG_INTEGER("unsaid", alarms->unsaid));
    alarms->unsaid = 0;
    return true;
}

void alarms_raise_unknown(struct alarms *alarms, uint64_t now_ms, const char *session_id,
                          const char *account, const struct mail_reply *reply)
{
    if (!alarms_admit(alarms, now_ms, account))
        return;
    LOG_EVENT(LOG_LEVEL_ERROR, session_id, "store_knows_no_account", LOG_TEXT("account", account),
              LOG_INTEGER("code", reply->code), LOG_TEXT("words", reply->text),
              LOG_INTEGER("unsaid", alarms->unsaid));
    alarms->unsaid = 0;
}
