/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Dovecot must be told so that it is right behind this node: where the gate finds it, the
 * accounts that it may serve (the fence), where their mail is, and whom it believes.
 */
#ifndef MAILSTEAD_ADMIN_DOVECOT_TEXT_H
#define MAILSTEAD_ADMIN_DOVECOT_TEXT_H

#include "admin/dovecot_files.h"
#include "common/service/config.h"

struct dovecot_plan {
    const struct config *config; /* with its secrets */
    const char *folder;          /* that the files will be in; absolute */
    const char *mail_directory;
    bool is_shared; /* mail_directory has one folder a server; else it has the accounts' */
};

/* A protocol of the store: how it, its login service and its listener are called in Dovecot. */
struct dovecot_service {
    enum protocol protocol;
    const char *name, *login, *listener;
    const char *implicit; /* the listener with TLS that there is by default; NULL: none */
};
extern const struct dovecot_service dovecot_services[];
extern const size_t dovecot_service_count;

/* The identity that Dovecot has in the directory (NULL: none), and its password. */
const char *dovecot_bind_dn(const struct config *config);
const char *dovecot_bind_password(const struct config *config);

/* "127.0.0.0/8 ::1" and the stores' own addresses: whence the gate's connections come. */
void dovecot_put_trusted(struct dovecot_file *file, const struct config *config);

/* That nobody is trusted at a unix socket, where a store has one: a comment. */
void dovecot_put_distrust(struct dovecot_file *file, const struct config *config);

/* A listener of a service for `endpoint`; `address_option` is how its address is called. */
void dovecot_put_listener(struct dovecot_file *file, const char *name, const char *address_option,
                          const struct endpoint *endpoint, const char *user, const char *more);

/*
 * The listeners of the service doveadm for the section replica: for this node's gate and, where
 * that is another place, for the other backends.  `more` goes into those that are not unix sockets.
 */
void dovecot_put_doveadm(struct dovecot_file *file, const struct config *config,
                         const char *address_option, const char *more);

/* The (&FILTER(NAME=value)...) of an account; `user` is the variable, `host` NULL or the owner. */
void dovecot_put_filter(struct dovecot_file *file, const struct config *config, const char *user,
                        const char *host);

/* The files for Dovecot 2.3, and for 2.4. */
void dovecot_compose_23(const struct dovecot_plan *plan, struct dovecot_files *files);
void dovecot_compose_24(const struct dovecot_plan *plan, struct dovecot_files *files);

#endif
