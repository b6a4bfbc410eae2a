/* SPDX-License-Identifier: Apache-2.0 */
#include "common/proto/smtp_parameters.h"

#include "common/proto/smtp_path.h"

/* RFC 1870 section 5: a number of up to 20 digits, of which the largest do not fit 64 bits. */
static bool parse_size(struct span value, uint64_t *size)
{
    for (size_t i = 0; i < value.length; i++)
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
    if (!span_parse_u64(value, size))
        *size = UINT64_MAX;
    return value.length > 0 && value.length <= 20;
}

/* Reads one parameter of MAIL: 0, or the code by which it is refused. */
static int read_mail_parameter(const struct smtp_parameter *parameter,
                               struct mail_parameters *parameters)
{
    if (span_equals_ignore_case(parameter->keyword, SPAN_LITERAL("SIZE")))
        return parse_size(parameter->value, &parameters->size) ? 0 : 501;
    if (!span_equals_ignore_case(parameter->keyword, SPAN_LITERAL("BODY")))
        return 555;
    parameters->body_8bit = span_equals_ignore_case(parameter->value, SPAN_LITERAL("8BITMIME"));
    return parameters->body_8bit || span_equals_ignore_case(parameter->value, SPAN_LITERAL("7BIT"))
               ? 0
               : 501;
}

int smtp_parameters_read_mail(struct span arguments, const struct smtp_parameter_rules *rules,
                              struct mail_parameters *parameters)
{
    *parameters = (struct mail_parameters){ 0 };
    while (smtp_parameter_follows(arguments)) {
        struct smtp_parameter parameter;
        int code = 555;

        if (!smtp_parameter_take(&arguments, &parameter))
            return 501;
        if (rules->is_extended)
            code = read_mail_parameter(&parameter, parameters);
        if (code != 0)
            return code;
    }
    return parameters->size > rules->size_max ? 552 : 0;
}
