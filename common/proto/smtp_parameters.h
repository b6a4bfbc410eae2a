/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands behind the paths of MAIL and RCPT: SIZE (RFC 1870), BODY (RFC 6152), SMTPUTF8
 * (RFC 6531), and RET, ENVID, NOTIFY and ORCPT (RFC 3461).  Each at most once.
 */
#ifndef MAILSTEAD_PROTO_SMTP_PARAMETERS_H
#define MAILSTEAD_PROTO_SMTP_PARAMETERS_H

#include "common/proto/mail.h"

/* What the session has offered to its client. */
struct smtp_parameter_rules {
    bool is_extended; /* EHLO or LHLO; else no parameter is known */
    bool may_dsn, may_utf8;
    bool is_utf8; /* of RCPT: MAIL had SMTPUTF8 */
    bool is_authenticated; /* AUTH= may stand there, RFC 4954 section 5; it is not believed */
    uint64_t size_max;
};

/*
 * Reads the parameters of MAIL: 0, or the code by which they are refused: 501 not well-formed or
 * twice there, 555 not known, 552 the declared size is above size_max.  `parameters` is of no use
 * then.
 */
int smtp_parameters_read_mail(struct span arguments, const struct smtp_parameter_rules *rules,
                              struct mail_parameters *parameters)
    __attribute__((warn_unused_result));

/* Reads those of RCPT in the same way. */
int smtp_parameters_read_rcpt(struct span arguments, const struct smtp_parameter_rules *rules,
                              struct mail_recipient_parameters *parameters)
    __attribute__((warn_unused_result));

#endif
