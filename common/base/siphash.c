/* SPDX-License-Identifier: Apache-2.0 */
#include "common/base/siphash.h"

enum { COMPRESSION_ROUNDS = 2, FINAL_ROUNDS = 4 };

static uint64_t rotate(uint64_t word, unsigned bits)
{
    return word << bits | word >> (64 - bits);
}

static uint64_t read_word(const unsigned char *bytes, size_t count)
{
    uint64_t word = 0;

    for (size_t i = 0; i < count; i++)
        word |= (uint64_t)bytes[i] << (8 * i);
    return word;
}

static void mix(uint64_t v[4], int rounds)
{
    while (rounds-- > 0) {
        v[0] += v[1];
        v[2] += v[3];
        v[1] = rotate(v[1], 13) ^ v[0];
        v[3] = rotate(v[3], 16) ^ v[2];
        v[0] = rotate(v[0], 32) + v[3];
        v[2] += v[1];
        v[3] = rotate(v[3], 21) ^ v[0];
        v[1] = rotate(v[1], 17) ^ v[2];
        v[2] = rotate(v[2], 32);
    }
}

static void absorb(uint64_t v[4], uint64_t word)
{
    v[3] ^= word;
    mix(v, COMPRESSION_ROUNDS);
    v[0] ^= word;
}

uint64_t siphash(const unsigned char key[SIPHASH_KEY_SIZE], struct span text)
{
    const unsigned char *bytes = (const unsigned char *)text.data;
    uint64_t k0 = read_word(key, 8), k1 = read_word(key + 8, 8);
    uint64_t v[4] = { k0 ^ UINT64_C(0x736f6d6570736575), k1 ^ UINT64_C(0x646f72616e646f6d),
                      k0 ^ UINT64_C(0x6c7967656e657261), k1 ^ UINT64_C(0x7465646279746573) };
    size_t left = text.length;

    for (; left >= 8; left -= 8, bytes += 8)
        absorb(v, read_word(bytes, 8));
    absorb(v, read_word(bytes, left) | (uint64_t)text.length << 56);
    v[2] ^= 0xff;
    mix(v, FINAL_ROUNDS);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
