/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds out whether an account has a password, by a bind at the LDAP server as its entry: at the
 * followed server, on connections of their own, whose identity is whoever was asked about last.
 *
 * Only the server's "invalid credentials" refuses; whatever else is no acceptance is UNSURE.
 */
#ifndef MAILSTEAD_DIRECTORY_BINDER_H
#define MAILSTEAD_DIRECTORY_BINDER_H

#include "common/io/loop.h"
#include "common/service/config.h"
#include "directory/messages.h"

enum {
    BINDER_PASSWORD_SIZE = 1025, /* a password and its NUL */
    BINDER_OPEN_MAX = 256,       /* questions at a time; more are UNSURE at once */
    BINDER_LINKS = 4
};

struct binder;

typedef void binder_answered(void *asker, uint32_t number, enum directory_bind_answer answer);

/*
 * `config` is borrowed until binder_stop; `followed_uri` says which server is followed.  Without
 * questions nothing is connected.
 */
struct binder *binder_start(struct io_loop *loop, const struct config *config,
                            const char *(*followed_uri)(void *context), void *context);

/* Wipes what is open and answers it with UNSURE; nothing is called from then on. */
void binder_stop(struct binder *binder);

/*
 * Asks whether the account whose canonical name is `account` has `password`, which is copied and
 * wiped.  `answered` is called once, perhaps before this returns, unless binder_forget comes first.
 */
void binder_ask(struct binder *binder, struct span account, struct span password,
                binder_answered *answered, void *asker, uint32_t number);

/* Drops all questions of `asker`. */
void binder_forget(struct binder *binder, const void *asker);

#endif
