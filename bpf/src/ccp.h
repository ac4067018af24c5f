/* SPDX-License-Identifier: GPL-2.0-only */
/* CCP frames: the gate answers probes and YIELDs in place, and lets replies and sealed frames up to their sockets. */
#ifndef HOLDFAST_CCP_H
#define HOLDFAST_CCP_H

#include "frame.h"
#include "serving.h"
#include "siphash.h"
#include "verdict.h"

#define CCP_VERSION 1
#define CCP_PROBE 1
#define CCP_REPLY 2
#define CCP_YIELD 3
#define CCP_YIELD_REPLY 4
#define CCP_SEALED 16 /* this type and all above */
#define CCP_SYNC 18
#define CCP_ALL 0xff /* target */
#define CCP_BODY 48 /* of gate frames exactly, of others at least */

#define FRESH_NS 1000000000LL /* how old an echoed stamp may be */

#define NO_LEASE 0xffff

/* Header and the fixed part of the body, big-endian. Naturally aligned within itself. */
struct ccp {
	__u8 version, type, flags, key;
	__be16 cluster;
	__u8 source, target;
	__be16 length, zero;
	__be32 reserved;
	__be64 incarnation, sequence, echo_incarnation, echo_stamp, tag;
	union {
		__u64 body[CCP_BODY / 8];
		struct {
			__be64 nonce;
			__be32 term;
			__u8 group, bits;
			union {
				__be16 lease_age_ms; /* of replies */
				__u8 kind; /* of YIELD */
			};
			union {
				__be32 fence; /* of replies: its term */
				__be32 min_age_ms; /* of YIELD */
			};
			__u8 grantee, result;
			__be16 zero2;
			__u8 heard[MEMBERS];
			__be32 closed;
		};
	};
};

_Static_assert(sizeof(struct ccp) == 56 + CCP_BODY, "ccp");
_Static_assert(__builtin_offsetof(struct ccp, body) == 56, "ccp header");
_Static_assert(__builtin_offsetof(struct ccp, fence) == 56 + 16, "reply");
_Static_assert(__builtin_offsetof(struct ccp, closed) == 56 + 32, "reply");
_Static_assert(__builtin_offsetof(struct ccp, min_age_ms) == 56 + 16, "yield");

static __always_inline __u64 ccp_tag(const struct key *key, const struct ccp *p)
{
	return bpf_cpu_to_be64(siphash96(key, (const __u64 *)p, p->body));
}

/* A frame is fresh if it echoes a stamp that this gate made within the last second and is newer than its predecessors. */
static __always_inline bool ccp_fresh(struct newest *n, const struct words *w, const struct ccp *p, __u64 now)
{
	__u64 stamp = bpf_be64_to_cpu(p->echo_stamp), sequence = bpf_be64_to_cpu(p->sequence);

	if (bpf_be64_to_cpu(p->echo_incarnation) != w->incarnation || stamp > now || now - stamp >= FRESH_NS)
		return false;
	if (READ_ONCE(n->incarnation) == p->incarnation && sequence <= READ_ONCE(n->sequence))
		return false;
	WRITE_ONCE(n->incarnation, p->incarnation);
	WRITE_ONCE(n->sequence, sequence);
	return true;
}

/* Saturates at 255, which also stands for never. */
__noinline __u32 since_ms(__u64 at, __u64 now)
{
	__u64 d = now - at;

	if (!at || (__s64)d >= 255 * 1000000LL)
		return 255;
	return (__s64)d < 0 ? 0 : (__u32)d / 1000000;
}

__noinline __u32 lease_age_ms(__u64 lease, __u64 now)
{
	__u64 age;

	if (!lease)
		return NO_LEASE;
	age = lease_age(lease, now);
	return age >= (NO_LEASE - 1) * 1000000ULL ? NO_LEASE - 1 : age / 1000000;
}

/* Fills in the body of a reply from the state as it is now. */
static __always_inline void ccp_report(struct ccp *r, const struct words *w, const struct group *g, __u64 now)
{
	__u64 lease = READ_ONCE(g->lease), fence = READ_ONCE(g->fence);
	__u32 closed = 0;

	if (!lease && !r->group && steer_mode(w))
		lease = READ_ONCE(w->share);
	r->term = bpf_htonl(lease >> LEASE_BITS);
	r->bits = serving(r->group, now);
	r->lease_age_ms = bpf_htons(lease_age_ms(lease, now));
	r->fence = bpf_htonl(fence >> 8);
	r->grantee = fence;
#pragma unroll
	for (int i = 0; i < MEMBERS; i++)
		r->heard[i] = i == w->self ? 0 : since_ms(READ_ONCE(w->heard[i]), now);
#pragma unroll
	for (int i = 0; i < GROUPS; i++)
		closed += READ_ONCE(w->group[i].closed_rx);
	r->closed = bpf_htonl(closed);
}

/* What a probe teaches. Only one that echoes this gate's own incarnation says anything about the present. */
static __always_inline void ccp_probe(struct words *w, const struct ccp *p, __u32 source, __u64 now)
{
	__u64 stamp = bpf_be64_to_cpu(p->echo_stamp);
	__u32 how = p->bits & BIT_ALONE ? MEET_ALONE : 0;

	WRITE_ONCE(w->probed, now);
	if (bpf_be64_to_cpu(p->echo_incarnation) != w->incarnation)
		return;
	if (stamp <= now) {
		if (stamp > READ_ONCE(w->echo[source])) {
			WRITE_ONCE(w->echo[source], stamp);
			WRITE_ONCE(w->heard[source], now);
			how |= MEET_NEWER;
		}
		if (p->bits & BIT_HEARS_YOU && stamp > READ_ONCE(w->watched))
			WRITE_ONCE(w->watched, stamp);
	}
	if (p->bits & BIT_ANSWER)
		meet(p->group, bpf_ntohl(p->term), source, how);
}

/* The checks that need no key: the reason to drop the frame, or -1. */
static __always_inline int ccp_header(const struct words *w, const struct ccp *p, __u32 room)
{
	if (p->version != CCP_VERSION)
		return FRAME_VERSION;
	if (p->cluster != bpf_htons(w->cluster))
		return FRAME_CLUSTER;
	if (p->source >= MEMBERS || p->source >= w->members || p->source == w->self)
		return FRAME_SOURCE;
	if (p->target != w->self && p->target != CCP_ALL)
		return FRAME_TARGET;
	if (!p->type || (p->type > CCP_YIELD_REPLY && p->type < CCP_SEALED))
		return FRAME_TYPE;
	if (bpf_ntohs(p->length) < CCP_BODY || bpf_ntohs(p->length) + 56 > room ||
	    (p->type < CCP_SEALED && p->length != bpf_htons(CCP_BODY)))
		return FRAME_TRUNCATED;
	return -1;
}

static __always_inline int drop(enum counter reason)
{
	count(reason);
	return GATE_DROP;
}

/* State synchronisation: what is fresh passes at any rate. */
static __always_inline int ccp_sync(const struct words *w, const struct ccp *p, __u32 slot, __u64 now)
{
	struct stream *s = bpf_map_lookup_elem(&streams, &slot);

	if (!s)
		return drop(FRAME_SOURCE);
	if (!ccp_fresh(&s->newest, w, p, now) && !spend(&s->arrival, now))
		return drop(SYNC_LIMITED);
	count(SYNC_PASSED);
	return GATE_PASS;
}

static __always_inline int gate_ccp(struct frame *f, const struct iface *ifc, struct words *w, __u64 now)
{
	struct ccp *p, r = {};
	struct source *src;
	struct group *g;
	struct key *key;
	__u32 slot, source, class;
	int reason;
	bool fresh;

	p = frame_at(f, f->net, sizeof(*p));
	if (!p)
		return drop(FRAME_TRUNCATED);
	reason = ccp_header(w, p, frame_len(f) - f->net);
	if (reason >= 0)
		return drop(reason);
	slot = p->key & (KEYS - 1);
	key = bpf_map_lookup_elem(&keys, &slot);
	if (!key || !READ_ONCE(key->valid))
		return drop(FRAME_KEY);
	if (ccp_tag(key, p) != p->tag)
		return drop(FRAME_TAG);

	source = p->source & (MEMBERS - 1);
	slot = ifc->slot * MEMBERS + source;
	if (p->type == CCP_SYNC)
		return ccp_sync(w, p, slot, now);
	src = bpf_map_lookup_elem(&sources, &slot);
	if (!src)
		return drop(FRAME_SOURCE);
	class = p->type < CCP_SEALED ? p->type - 1 : CLASSES - 1;
	fresh = class < CLASSES && ccp_fresh(&src->newest[class], w, p, now);
	if (p->type == CCP_REPLY || p->type == CCP_YIELD_REPLY) {
		if (!fresh)
			return drop(FRAME_STALE);
		count(REPLY_PASSED);
		return GATE_PASS;
	}
	if (!fresh && !spend(&src->arrival, now))
		return drop(FRAME_LIMITED);
	if (p->type >= CCP_SEALED) {
		count(SEALED_PASSED);
		return GATE_PASS;
	}

	if (p->group >= GROUPS || bpf_ntohl(p->term) > MAX_TERM)
		return drop(FRAME_MALFORMED);
	r.group = p->group;
	g = group_at(w, p->group);
	if (p->type == CCP_PROBE) {
		ccp_probe(w, p, source, now);
		r.type = CCP_REPLY;
		count(PROBE_ANSWERED);
	} else {
		if (!p->term || p->kind < YIELD_COURTESY || p->kind > YIELD_SURRENDER)
			return drop(FRAME_MALFORMED);
		r.type = CCP_YIELD_REPLY;
		r.result = RESULT_WRONG_INCARNATION;
		if (bpf_be64_to_cpu(p->echo_incarnation) == w->incarnation)
			r.result = yield(p->group, now, bpf_ntohl(p->term), p->kind << 8 | source,
					 bpf_ntohl(p->min_age_ms) * 1000000ULL);
		count(r.result == RESULT_GRANTED ? YIELD_GRANTED : YIELD_REFUSED);
	}
	r.version = CCP_VERSION;
	r.key = p->key;
	r.cluster = p->cluster;
	r.source = w->self;
	r.target = source;
	r.length = bpf_htons(CCP_BODY);
	r.incarnation = bpf_cpu_to_be64(w->incarnation);
	r.sequence = bpf_cpu_to_be64(now);
	r.echo_incarnation = p->incarnation;
	r.echo_stamp = p->sequence;
	r.nonce = p->nonce;
	ccp_report(&r, w, g, now);
	r.tag = ccp_tag(key, &r);
	if (!frame_turn(f, f->src, mac_own(ifc)) || !frame_store(f, f->net, &r, sizeof(r)))
		return drop(ANSWER_FAILED);
	return GATE_ANSWER;
}

#endif
