/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of sessions share: a worker's service on a real loop, with a mirror of a few
 * accounts, a directory process that answers as it is told, backends that a test plays itself, and
 * a fallback that keeps messages in memory.
 */
#ifndef MAILSTEAD_TESTS_SESSION_SUPPORT_H
#define MAILSTEAD_TESTS_SESSION_SUPPORT_H

#include "tests/unit/io_support.h"

#include "common/io/channel.h"
#include "common/io/listener.h"
#include "common/session/mail_fallback.h"
#include "common/session/mail_pool.h"
#include "common/session/service.h"
#include "directory/messages.h"
#include "directory/mirror_writer.h"
#include "tests/unit/folder.h"

enum { RIG_BACKENDS = 2, RIG_PEERS = 64 };

/* A message that a session has handed to the fallback. */
struct rig_stored {
    char reverse_path[MAIL_PATH_SIZE];
    char recipients[1024]; /* "ADDRESS=FATE " each; FATE is pending, failed or unknown */
    struct bytes content;
    mail_stored *done; /* NULL once answered */
    void *context;
};

struct rig {
    struct io_loop loop;
    char folder[FOLDER_SIZE];
    struct config config;
    struct backend_config backend_configs[RIG_BACKENDS];
    char *domain;
    struct board *board;
    struct session_service service;
    struct resolver resolver;
    struct mail_pool pool; /* of rig_set_up_with_pool */
    bool is_resolver_stopped, is_service_stopped;
    struct mirror_writer *writer;
    struct listener_config imap, pop3, smtp, lmtp;
    /* The directory process. */
    struct listener directory_listener;
    struct channel directory_channel;
    bool is_directory_connected, is_directory_closed, is_directory_stopped;
    int directory_fd;
    enum directory_confirmation confirmation;
    bool is_directory_silent;
    unsigned questions;
    /* The backends "sv0" and "sv1"; all protocols of one are at its one port. */
    struct listener backends[RIG_BACKENDS];
    int backend_fds[RIG_BACKENDS];
    unsigned backends_stopped;
    SSL_CTX *backend_tls;                /* with which they begin; NULL: plain */
    struct peer *accepted[RIG_BACKENDS]; /* connected and not yet taken by the test */
    struct peer *peers[RIG_PEERS];       /* all that were made; freed at the end */
    size_t peer_count;
    /* The fallback. */
    bool is_copy_broken;
    enum mail_fallback_state fallback_state;
    unsigned stored_count;
    struct rig_stored stored; /* the last one */
};

/*
 * cmocka's set-up and tear-down.  Accounts: anna@example.org on sv0, bert@example.org on sv1,
 * login names "anna" and "bert" too.  The tear-down ends all sessions and fails when one stays.
 */
int rig_set_up(void **state);
int rig_tear_down(void **state);

/* The same, and connections that carried a message wait for another: two for each backend. */
int rig_set_up_with_pool(void **state);
int rig_tear_down_with_pool(void **state);

/* Moves the account "NAME@example.org" to `host`, or adds it there. */
void rig_move(struct rig *rig, const char *name, const char *host);

/* Removes the account "NAME@example.org". */
void rig_remove(struct rig *rig, const char *name);

/* Starts a session of `listener`, and gives its client. */
struct peer *rig_connect(struct rig *rig, const struct listener_config *listener);

/* The same with its hello, of SMTP or LMTP, answered. */
struct peer *rig_greet(struct rig *rig, const struct listener_config *listener);

/* An IMAP client that is logged in as `name`, whose account is at backend `index`; and that side.
 */
struct peer *rig_log_in(struct rig *rig, const char *name, unsigned index, struct peer **backend);

/* Waits for a connection at backend `index`. */
struct peer *rig_accept(struct rig *rig, unsigned index);

/* The same, and an LMTP server has greeted there; `offers` answers the hello. */
struct peer *rig_accept_lmtp(struct rig *rig, unsigned index, const char *offers);

/* Nobody listens at backend `index` any more. */
void rig_kill_backend(struct rig *rig, unsigned index);

/* Sends it all; it must fit into the socket's buffer. */
void rig_say(struct peer *peer, const char *text);

/* Waits until what has come and was not expected yet contains `text`, and drops it up to there. */
void rig_expect(struct peer *peer, const char *text);

/* Waits for the end of the connection, in order or not. */
void rig_expect_end(struct peer *peer);

/* Says nothing more and closes; what is unread is lost. */
void rig_close(struct peer *peer);

/* Lets the loop run for so long. */
void rig_wait(struct rig *rig, unsigned ms);

/* Waits until a message is with the fallback, and answers it. */
void rig_answer_store(struct rig *rig, bool is_stored);
void rig_expect_store(struct rig *rig);

/* Whether the content of the stored message has `text` in it. */
bool rig_has_stored(const struct rig *rig, const char *text);

/* Waits until no session is left. */
void rig_expect_no_session(struct rig *rig);

/* What the sessions think of backend `index`. */
bool rig_is_up(const struct rig *rig, unsigned index, enum protocol protocol);

int64_t rig_count(const struct rig *rig, enum board_counter counter);

#endif
