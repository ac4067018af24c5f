/* SPDX-License-Identifier: GPL-2.0-only */
/* SipHash-2-4 (Aumasson, Bernstein) of exactly 96 bytes: the authenticated part of a frame without its tag. */
#ifndef HOLDFAST_SIPHASH_H
#define HOLDFAST_SIPHASH_H

#include <linux/types.h>
#include <bpf/bpf_endian.h>

#include "maps.h"

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define LE64(x) __builtin_bswap64(x)
#else
#define LE64(x) (x)
#endif

#define ROTL(x, n) ((x) << (n) | (x) >> (64 - (n)))

#define SIPROUND                                                                                                       \
	do {                                                                                                           \
		v0 += v1, v1 = ROTL(v1, 13) ^ v0, v0 = ROTL(v0, 32);                                                   \
		v2 += v3, v3 = ROTL(v3, 16) ^ v2;                                                                      \
		v0 += v3, v3 = ROTL(v3, 21) ^ v0;                                                                      \
		v2 += v1, v1 = ROTL(v1, 17) ^ v2, v2 = ROTL(v2, 32);                                                   \
	} while (0)

#define SIPWORD(m)                                                                                                     \
	do {                                                                                                           \
		v3 ^= (m);                                                                                             \
		SIPROUND;                                                                                              \
		SIPROUND;                                                                                              \
		v0 ^= (m);                                                                                             \
	} while (0)

/* A function of its own: it is most of the program, and needed for the frame that comes and for the one that goes. */
static __noinline __u64 siphash96(const struct key *key, const __u64 *head, const __u64 *body)
{
	__u64 v0 = key->k0 ^ 0x736f6d6570736575ULL, v1 = key->k1 ^ 0x646f72616e646f6dULL;
	__u64 v2 = key->k0 ^ 0x6c7967656e657261ULL, v3 = key->k1 ^ 0x7465646279746573ULL;

#pragma unroll
	for (int i = 0; i < 6; i++)
		SIPWORD(LE64(head[i]));
#pragma unroll
	for (int i = 0; i < 6; i++)
		SIPWORD(LE64(body[i]));
	SIPWORD(96ULL << 56);
	v2 ^= 0xff;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

#endif
