/* SPDX-License-Identifier: Apache-2.0 */
/* Each parameter is a row: its keyword, who offers it, and how its value is read. */
#include "common/proto/smtp_parameters.h"

#include "common/base/memory.h"
#include "common/proto/smtp_path.h"
#include "common/proto/xtext.h"

struct keyword {
    const char *word;
    bool is_dsn, is_utf8; /* of the extension that may not be offered */
    /* False: the value is not well-formed. */
    bool (*read)(struct span value, const struct smtp_parameter_rules *rules, void *parameters);
};

/* --- of MAIL ----------------------------------------------------------------------- */

/* RFC 1870 section 5: a number of up to 20 digits, of which the largest do not fit 64 bits. */
static bool read_size(struct span value, const struct smtp_parameter_rules *rules, void *parameters)
{
    uint64_t *size = &((struct mail_parameters *)parameters)->size;

    (void)rules;
    for (size_t i = 0; i < value.length; i++)
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
    if (!span_parse_u64(value, size))
        *size = UINT64_MAX;
    return value.length > 0 && value.length <= 20;
}

static bool read_body(struct span value, const struct smtp_parameter_rules *rules, void *parameters)
{
    struct mail_parameters *mail = parameters;

    (void)rules;
    mail->body_8bit = span_equals_ignore_case(value, SPAN_LITERAL("8BITMIME"));
    return mail->body_8bit || span_equals_ignore_case(value, SPAN_LITERAL("7BIT"));
}

static bool read_utf8(struct span value, const struct smtp_parameter_rules *rules, void *parameters)
{
    (void)rules;
    ((struct mail_parameters *)parameters)->is_utf8 = true;
    return value.length == 0;
}

static bool read_ret(struct span value, const struct smtp_parameter_rules *rules, void *parameters)
{
    struct mail_parameters *mail = parameters;

    (void)rules;
    mail->ret = span_equals_ignore_case(value, SPAN_LITERAL("FULL")) ? MAIL_RETURN_FULL
                                                                     : MAIL_RETURN_HEADERS;
    return mail->ret == MAIL_RETURN_FULL || span_equals_ignore_case(value, SPAN_LITERAL("HDRS"));
}

static bool is_xtext(struct span text, bool may_utf8)
{
    char memory[MAIL_ORCPT_SIZE];
    struct buffer decoded = buffer_over(memory, sizeof(memory));

    return text.length > 0 && xtext_decode(text, may_utf8, &decoded);
}

static bool read_envid(struct span value, const struct smtp_parameter_rules *rules,
                       void *parameters)
{
    struct mail_parameters *mail = parameters;

    (void)rules;
    return is_xtext(value, false) && span_copy_string(value, mail->envid, sizeof(mail->envid));
}

/* --- of RCPT ----------------------------------------------------------------------- */

static unsigned notify_bit(struct span word)
{
    static const struct {
        struct span word;
        enum mail_notify bit;
    } rows[] = {
        { SPAN_LITERAL("SUCCESS"), MAIL_NOTIFY_SUCCESS },
        { SPAN_LITERAL("FAILURE"), MAIL_NOTIFY_FAILURE },
        { SPAN_LITERAL("DELAY"), MAIL_NOTIFY_DELAY },
    };

    for (size_t i = 0; i < ARRAY_LENGTH(rows); i++)
        if (span_equals_ignore_case(word, rows[i].word))
            return rows[i].bit;
    return 0;
}

/* "NEVER", or a list of the others. */
static bool read_notify(struct span value, const struct smtp_parameter_rules *rules,
                        void *parameters)
{
    struct mail_recipient_parameters *rcpt = parameters;
    size_t commas = 0, words = 0;

    (void)rules;
    if (span_equals_ignore_case(value, SPAN_LITERAL("NEVER"))) {
        rcpt->notify = MAIL_NOTIFY_NEVER;
        return true;
    }
    for (size_t i = 0; i < value.length; i++)
        commas += value.data[i] == ',';
    for (; value.length > 0; words++) {
        unsigned bit = notify_bit(span_split(&value, ','));

        if (bit == 0)
            return false;
        rcpt->notify |= bit;
    }
    return words == commas + 1;
}

/* The type of an address: RFC 3461 has an atom, and those that are registered are of these. */
static bool is_address_type(struct span type)
{
    for (size_t i = 0; i < type.length; i++) {
        char byte = type.data[i];

        if (!(byte >= 'a' && byte <= 'z') && !(byte >= 'A' && byte <= 'Z') &&
            !(byte >= '0' && byte <= '9') && byte != '-' && byte != '_' && byte != '.')
            return false;
    }
    return type.length > 0;
}

static bool read_orcpt(struct span value, const struct smtp_parameter_rules *rules,
                       void *parameters)
{
    struct mail_recipient_parameters *rcpt = parameters;
    struct span address = value;
    struct span type = span_split(&address, ';');

    return is_address_type(type) && is_xtext(address, rules->is_utf8) && span_is_utf8(address) &&
           span_copy_string(value, rcpt->orcpt, sizeof(rcpt->orcpt));
}

/* RFC 4954 section 5: who has sent it is known without it. */
static bool read_auth(struct span value, const struct smtp_parameter_rules *rules, void *parameters)
{
    (void)rules;
    (void)parameters;
    return value.length > 0;
}

/* --- both -------------------------------------------------------------------------- */

static bool is_offered(const struct keyword *keyword, const struct smtp_parameter_rules *rules)
{
    return rules->is_extended && (!keyword->is_dsn || rules->may_dsn) &&
           (!keyword->is_utf8 || rules->may_utf8) &&
           (keyword->read != read_auth || rules->is_authenticated);
}

static const struct keyword *find_keyword(const struct keyword *keywords, size_t count,
                                          struct span word)
{
    for (size_t i = 0; i < count; i++)
        if (span_equals_ignore_case(word, span_from_string(keywords[i].word)))
            return &keywords[i];
    return NULL;
}

static int read_all(struct span arguments, const struct smtp_parameter_rules *rules,
                    const struct keyword *keywords, size_t count, void *parameters)
{
    unsigned seen = 0; /* a bit for each row */

    while (smtp_parameter_follows(arguments)) {
        struct smtp_parameter parameter;
        const struct keyword *keyword;
        unsigned bit;

        if (!smtp_parameter_take(&arguments, &parameter))
            return 501;
        keyword = find_keyword(keywords, count, parameter.keyword);
        if (!keyword || !is_offered(keyword, rules))
            return 555;
        bit = 1U << (keyword - keywords);
        if (seen & bit || !keyword->read(parameter.value, rules, parameters))
            return 501;
        seen |= bit;
    }
    return 0;
}

int smtp_parameters_read_mail(struct span arguments, const struct smtp_parameter_rules *rules,
                              struct mail_parameters *parameters)
{
    static const struct keyword keywords[] = {
        { "AUTH", false, false, read_auth },    { "BODY", false, false, read_body },    { "ENVID", true, false, read_envid },
        { "RET", true, false, read_ret },       { "SIZE", false, false, read_size },
        { "SMTPUTF8", false, true, read_utf8 },
    };
    int code;

    *parameters = (struct mail_parameters){ 0 };
    code = read_all(arguments, rules, keywords, ARRAY_LENGTH(keywords), parameters);
    return code == 0 && parameters->size > rules->size_max ? 552 : code;
}

int smtp_parameters_read_rcpt(struct span arguments, const struct smtp_parameter_rules *rules,
                              struct mail_recipient_parameters *parameters)
{
    static const struct keyword keywords[] = {
        { "NOTIFY", true, false, read_notify },
        { "ORCPT", true, false, read_orcpt },
    };

    *parameters = (struct mail_recipient_parameters){ 0 };
    return read_all(arguments, rules, keywords, ARRAY_LENGTH(keywords), parameters);
}
