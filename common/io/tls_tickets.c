/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys are in a ring that has one place more than readers look at: the place that is written
 * is none of theirs until `newest` says so.  A reader would have to sleep for a whole interval
 * in the middle of a handshake to meet a key that changes; then that one ticket is not good.
 */
#include "common/io/tls_tickets.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include "common/base/random.h"

enum { KEY_NAME_SIZE = 16, KEY_PLACES = TLS_TICKET_OLD_KEYS + 2 };

struct ticket_key {
    unsigned char name[KEY_NAME_SIZE];
    unsigned char cipher[32], mac[32];
};

struct tls_tickets {
    _Atomic unsigned newest; /* its place is this number modulo KEY_PLACES; from 1 */
    uint64_t renewed_ms;     /* the maker's */
    struct ticket_key keys[KEY_PLACES];
};

static void tickets_add(struct tls_tickets *tickets, uint64_t now_ms)
{
    unsigned number = atomic_load(&tickets->newest) + 1;

    random_bytes(&tickets->keys[number % KEY_PLACES], sizeof(tickets->keys[0]));
    tickets->renewed_ms = now_ms;
    atomic_store_explicit(&tickets->newest, number, memory_order_release);
}

struct tls_tickets *tls_tickets_new(void)
{
    struct tls_tickets *tickets =
        mmap(NULL, sizeof(*tickets), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (tickets == MAP_FAILED)
        return NULL;
    tickets_add(tickets, 0);
    return tickets;
}

bool tls_tickets_renew(struct tls_tickets *tickets, uint64_t now_ms, uint64_t interval_ms)
{
    if (tickets->renewed_ms == 0)
        tickets->renewed_ms = now_ms;
    if (now_ms - tickets->renewed_ms < interval_ms)
        return false;
    tickets_add(tickets, now_ms);
    return true;
}

void tls_tickets_protect(struct tls_tickets *tickets)
{
    mprotect(tickets, sizeof(*tickets), PROT_READ);
}

void tls_tickets_free(struct tls_tickets *tickets)
{
    if (tickets)
        munmap(tickets, sizeof(*tickets));
}

void tls_tickets_wipe(struct tls_tickets *tickets)
{
    explicit_bzero(tickets->keys, sizeof(tickets->keys));
}

unsigned tls_tickets_count(const struct tls_tickets *tickets)
{
    return atomic_load(&tickets->newest);
}

/* --- sealing and opening ------------------------------------------------------ */

static int tickets_index(void)
{
    static int index = -1;

    if (index < 0)
        index = SSL_CTX_get_ex_new_index(0, NULL, NULL, NULL, NULL);
    return index;
}

static bool tickets_start(const struct ticket_key *key, const unsigned char *iv,
                          EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_sealing)
{
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->mac,
                                          sizeof(key->mac)),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){ "SHA256" }, 0),
        OSSL_PARAM_construct_end(),
    };

    return EVP_MAC_CTX_set_params(mac, parameters) == 1 &&
           EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key->cipher, iv, is_sealing) == 1;
}

static int tickets_seal(const struct tls_tickets *tickets, unsigned newest, unsigned char *name,
                        unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
    const struct ticket_key *key = &tickets->keys[newest % KEY_PLACES];

    random_bytes(iv, (size_t)EVP_CIPHER_get_iv_length(EVP_aes_256_cbc()));
    memcpy(name, key->name, KEY_NAME_SIZE);
    return tickets_start(key, iv, cipher, mac, 1) ? 1 : -1;
}

/* 0: no key of ours; 2: good, and to be replaced by one under the newest key. */
static int tickets_open(const struct tls_tickets *tickets, unsigned newest,
                        const unsigned char *name, const unsigned char *iv, EVP_CIPHER_CTX *cipher,
                        EVP_MAC_CTX *mac)
{
    for (unsigned age = 0; age <= TLS_TICKET_OLD_KEYS && age < newest; age++) {
        const struct ticket_key *key = &tickets->keys[(newest - age) % KEY_PLACES];

        if (memcmp(name, key->name, KEY_NAME_SIZE) != 0)
            continue;
        if (!tickets_start(key, iv, cipher, mac, 0))
            return -1;
        return age == 0 ? 1 : 2;
    }
    return 0;
}

static int tickets_serve(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int is_sealing)
{
    const struct tls_tickets *tickets = SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), tickets_index());
    unsigned newest = atomic_load_explicit(&tickets->newest, memory_order_acquire);

    return is_sealing ? tickets_seal(tickets, newest, name, iv, cipher, mac)
                      : tickets_open(tickets, newest, name, iv, cipher, mac);
}

bool tls_tickets_use(const struct tls_tickets *tickets, SSL_CTX *context)
{
    return SSL_CTX_set_ex_data(context, tickets_index(), (void *)(uintptr_t)tickets) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(context, tickets_serve) == 1;
}
