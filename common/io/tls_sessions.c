/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peers are never forgotten while the context lives, so that a connection may point to one;
 * their number is bounded.  No failure here is more than a full handshake.
 */
#include "common/io/tls_sessions.h"

#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/base/map.h"
#include "common/base/memory.h"

struct tls_kept {
    SSL_SESSION *session; /* owned */
    int64_t verified_s;   /* when the peer last showed its certificate; resuming proves less */
};

struct tls_peer {
    struct map_node node;
    struct tls_kept sessions[TLS_SESSIONS_EACH]; /* the newest is the last */
    size_t count;
    char key[];
};

struct tls_sessions {
    struct map peers;
};

static int of_context = -1, of_connection = -1;
static int of_proof = -1; /* a connection's: verified_s of the session that it offers */

static void peer_drop(struct tls_peer *peer, size_t at)
{
    SSL_SESSION_free(peer->sessions[at].session);
    peer->count--;
    memmove(&peer->sessions[at], &peer->sessions[at + 1],
            (peer->count - at) * sizeof(peer->sessions[0]));
}

static void peer_free(struct map_node *node, void *context)
{
    struct tls_peer *peer = CONTAINER_OF(node, struct tls_peer, node);

    (void)context;
    while (peer->count > 0)
        peer_drop(peer, peer->count - 1);
    free(peer);
}

static void sessions_forget(void *parent, void *pointer, CRYPTO_EX_DATA *all, int index,
                            long number, void *context)
{
    struct tls_sessions *sessions = pointer;

    (void)parent;
    (void)all;
    (void)index;
    (void)number;
    (void)context;
    if (!sessions)
        return;
    map_each(&sessions->peers, peer_free, NULL);
    map_fini(&sessions->peers);
    free(sessions);
}

/* The peer has given a session: true when it is ours now. */
static int sessions_take(SSL *ssl, SSL_SESSION *session)
{
    struct tls_peer *peer = SSL_get_ex_data(ssl, of_connection);
    int64_t verified_s = (int64_t)time(NULL);

    if (SSL_session_reused(ssl))
        verified_s = (int64_t)(intptr_t)SSL_get_ex_data(ssl, of_proof);
    if (!peer || !SSL_SESSION_is_resumable(session))
        return 0;
    if (peer->count == TLS_SESSIONS_EACH)
        peer_drop(peer, 0);
    peer->sessions[peer->count++] = (struct tls_kept){ session, verified_s };
    return 1;
}

bool tls_sessions_keep(SSL_CTX *context)
{
    struct tls_sessions *sessions;

    if (of_context < 0)
        of_context = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, sessions_forget);
    if (of_connection < 0)
        of_connection = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    if (of_proof < 0)
        of_proof = SSL_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    if (of_context < 0 || of_connection < 0 || of_proof < 0)
        return false;
    sessions = memory_new(sizeof(*sessions));
    map_init(&sessions->peers);
    if (SSL_CTX_set_ex_data(context, of_context, sessions) != 1) {
        free(sessions);
        return false;
    }
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, sessions_take);
    return true;
}

/* The name that was verified first: what is resumed has no other proof. */
static struct tls_peer *sessions_peer(struct tls_sessions *sessions, const char *verify_name,
                                      const char *peer_name)
{
    char key[512];
    int length = snprintf(key, sizeof(key), "%s\n%s", verify_name ? verify_name : "", peer_name);
    struct map_node *node;
    struct tls_peer *peer;

    if (length < 0 || (size_t)length >= sizeof(key))
        return NULL;
    node = map_find(&sessions->peers, span_of(key, (size_t)length));
    if (node)
        return CONTAINER_OF(node, struct tls_peer, node);
    if (sessions->peers.count >= TLS_SESSIONS_PEERS)
        return NULL;
    peer = memory_new(sizeof(*peer) + (size_t)length + 1);
    memcpy(peer->key, key, (size_t)length + 1);
    map_insert(&sessions->peers, &peer->node, span_of(peer->key, (size_t)length));
    return peer;
}

static bool session_is_fresh(const struct tls_kept *kept)
{
    const X509 *certificate = SSL_SESSION_get0_peer(kept->session);
    long now_s = (long)time(NULL), made_s = SSL_SESSION_get_time(kept->session);

    return now_s >= made_s && now_s - made_s < SSL_SESSION_get_timeout(kept->session) &&
           now_s >= kept->verified_s && now_s - kept->verified_s < TLS_SESSIONS_AGE_S &&
           certificate && X509_cmp_current_time(X509_get0_notAfter(certificate)) > 0;
}

void tls_sessions_offer(SSL *ssl, const char *verify_name, const char *peer_name)
{
    struct tls_sessions *sessions = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), of_context);
    struct tls_peer *peer = sessions ? sessions_peer(sessions, verify_name, peer_name) : NULL;

    if (!peer || SSL_set_ex_data(ssl, of_connection, peer) != 1)
        return;
    while (peer->count > 0) {
        struct tls_kept kept = peer->sessions[peer->count - 1];
        bool is_offered = session_is_fresh(&kept) &&
                          SSL_set_ex_data(ssl, of_proof, (void *)(intptr_t)kept.verified_s) == 1 &&
                          SSL_set_session(ssl, kept.session) == 1;

        if (!is_offered || SSL_SESSION_get_protocol_version(kept.session) >= TLS1_3_VERSION)
            peer_drop(peer, peer->count - 1);
        if (is_offered)
            return;
    }
}
