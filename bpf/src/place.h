/* SPDX-License-Identifier: GPL-2.0-only */
/* The slot of a packet. dataplane/steer says which ends of a packet count, and is the same in Go. */
#ifndef HOLDFAST_PLACE_H
#define HOLDFAST_PLACE_H

#include "address.h"
#include "packet.h"
#include "siphash.h"

/* What place() returns, besides the slot in the lower bits. */
#define PLACE_SLOT (STEER_SLOTS - 1) /* mask */
#define PLACE_VIP (1 << 10) /* the destination is one of the gateway's */
#define PLACE_OTHER (1 << 11) /* it is one of another group's: that is for who serves it */
#define PLACE_PART(x) ((x) >> 16 & 0xff) /* the member whose part of the SNAT range the packet is for, or NOBODY */

/* SipHash-1-3: shorter than what seals frames, and enough for what only chooses among members. */
#define SIPWORD1(m)                                                                                                    \
	do {                                                                                                           \
		v3 ^= (m);                                                                                             \
		SIPROUND;                                                                                              \
		v0 ^= (m);                                                                                             \
	} while (0)

enum ends { ENDS_BOTH, ENDS_SRC, ENDS_DST };

struct end {
	__u64 hi, lo;
	__u16 port;
};

static __always_inline struct end end_of(const __be32 *addr, __u16 port, bool six)
{
	struct end e = { .port = port };

	if (six) {
		e.hi = (__u64)bpf_ntohl(addr[0]) << 32 | bpf_ntohl(addr[1]);
		e.lo = (__u64)bpf_ntohl(addr[2]) << 32 | bpf_ntohl(addr[3]);
	} else {
		e.lo = bpf_ntohl(addr[0]);
	}
	return e;
}

static __always_inline bool end_above(const struct end *a, const struct end *b)
{
	if (a->hi != b->hi)
		return a->hi > b->hi;
	if (a->lo != b->lo)
		return a->lo > b->lo;
	return a->port > b->port;
}

static __always_inline __u64 place_hash(const struct words *w, bool six, struct end a, struct end b, __u64 tail)
{
	__u64 k0 = READ_ONCE(w->hash_k0), k1 = READ_ONCE(w->hash_k1);
	__u64 v0 = k0 ^ 0x736f6d6570736575ULL, v1 = k1 ^ 0x646f72616e646f6dULL;
	__u64 v2 = k0 ^ 0x6c7967656e657261ULL, v3 = k1 ^ 0x7465646279746573ULL;

	if (six) {
		SIPWORD1(a.hi);
		SIPWORD1(a.lo);
		SIPWORD1(b.hi);
		SIPWORD1(b.lo);
		tail |= 39ULL << 56;
	} else {
		SIPWORD1(a.lo << 32 | b.lo);
		tail |= 15ULL << 56;
	}
	SIPWORD1(tail);
	v2 ^= 0xff;
	SIPROUND;
	SIPROUND;
	SIPROUND;
	return v0 ^ v1 ^ v2 ^ v3;
}

/* What tells a flow from others and from its answers, which have the same hash. */
static __always_inline __u64 flow_of(__u64 hash, bool exchanged)
{
	return (hash ^ (exchanged ? 0x9e3779b97f4a7c15ULL : 0)) | 1;
}

static __always_inline bool is_published(const __be32 *addr, bool six)
{
	struct published_key key = { .prefix = 32 + (six ? 128 : 32), .family = bpf_htonl(six ? 6 : 4) };

	__builtin_memcpy(key.addr, addr, 16);
	return bpf_map_lookup_elem(&published, &key);
}

/* The member whose part of first..last the port is in. package steer: RangeMember. */
static __always_inline __u32 part_of(__u32 snat, __u32 members, __u32 port)
{
	__u32 first = snat >> 16, last = snat & 0xffff;

	if (!snat || port < first || port > last)
		return NOBODY;
	return ((port - first + 1) * members - 1) / (last - first + 1);
}

__noinline __u32 place(struct packet *p, __u32 ifindex)
{
	const struct words *w = the_words();
	enum ends ends = ENDS_BOTH;
	const struct vip *vip;
	__u32 result = NOBODY << 16, steer, kind;
	struct end a, b = {};
	__u64 tail = 0, hash;
	bool six, exchanged = false;

	if (!p || !w)
		return result;
	six = p->family == 6;
	steer = READ_ONCE(w->steer);
	kind = steer & STEER_KEY;

	vip = six ? vip6((const __u8 *)p->dst, ifindex) : vip4(p->dst);
	if (vip && vip->group)
		return result | PLACE_OTHER;
	if (vip && !(vip->flags & VIP_PROXY)) {
		result |= PLACE_VIP;
		ends = ENDS_SRC;
		if (!(p->flags & PACKET_LATER) && (has_ports(p->proto) || p->flags & PACKET_ECHO_REPLY))
			result = PLACE_VIP | part_of(READ_ONCE(w->snat), w->members, p->dport) << 16;
	} else if (steer & STEER_PUBLISHED) {
		bool src = is_published(p->src, six), dst = is_published(p->dst, six);

		if (src != dst)
			ends = src ? ENDS_DST : ENDS_SRC;
	}

	a = end_of(ends == ENDS_DST ? p->dst : p->src, 0, six);
	if (ends == ENDS_BOTH)
		b = end_of(p->dst, 0, six);
	if (kind != STEER_IPS && !(p->flags & PACKET_LATER)) {
		tail = (__u64)p->proto << 32;
		a.port = ends == ENDS_DST ? p->dport : p->sport;
		b.port = ends == ENDS_BOTH ? p->dport : 0;
	}
	if (ends != ENDS_BOTH) {
		tail |= 1ULL << 40;
	} else if (end_above(&a, &b)) {
		struct end c = a;

		a = b;
		b = c;
		exchanged = true;
	}
	/* What has an SPI has no ports. */
	if (kind == STEER_SPI && !(p->flags & PACKET_LATER) && p->spi)
		tail |= p->spi;
	else
		tail |= a.port | (__u32)b.port << 16;
	hash = place_hash(w, six, a, b, tail);
	/* Both ends and ports are in it, and nothing else decides. */
	if (ends == ENDS_BOTH && kind != STEER_IPS && !p->flags && (p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP))
		p->flow = flow_of(hash, exchanged);
	return result | hash >> 54;
}

#endif
