/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Load sharing, for most packets: who takes one that belongs to a flow of which the connection table has been asked a moment ago, or need not be,
 * or that is another's. steer.h is for all others, and dataplane/steer says what is decided.
 */
#ifndef HOLDFAST_USUAL_H
#define HOLDFAST_USUAL_H

#include "place.h"

/* What decide() returns, with a member in the second byte. */
#define STEER_GO_ON 0 /* none of steering's business */
#define STEER_DROP 1
#define STEER_TAKE 2
#define STEER_GIVE 3 /* to the member */
#define STEER_FLOOD 4
#define STEER_LATER 5 /* decide_later() must see it */
#define STEER_ASK 6 /* decide() must see it */

/* The word of a flow: the upper bits of packet.flow, when that was (in units of 2^24 ns), and the slot. Lower bits of packet.flow are its place. */
#define FLOW_TAG 28 /* bits below it */
#define FLOW_AT 10
#define FLOW_UNIT 24 /* bits of a ns */
#define FLOW_FRESH 16 /* units, 0.27 s: so long a flow's connection is not asked for again */
#define FLOW_TIMES ((1 << (FLOW_TAG - FLOW_AT)) - 1)
#define FLOW_RACED FLOW_FRESH /* units ahead of "now" that another processor's later reading of the clock explains */
#define FLOW_NOT STEER_SLOTS

_Static_assert(STEER_SLOTS == 1 << FLOW_AT, "flow");
_Static_assert(FLOW_PLACES << 1 <= 1 << FLOW_TAG, "flow");

#define TABLE_UNIT 20 /* bits of a ns */
#define TABLE_FRESH 20 /* units, 21 ms: so long what the former taker passes on may be what this member has not taken by itself */

static __always_inline const struct bank *the_bank(const struct words *w)
{
	__u32 bank = READ_ONCE(w->table) & 1;

	return bpf_map_lookup_elem(&slots, &bank);
}

/* The one that was in force before, if the switch was a moment ago: its time is in the word, besides the bank. */
static __always_inline const struct bank *last_bank(const struct words *w, __u64 now)
{
	__u64 table = READ_ONCE(w->table);
	__u32 bank = ~table & 1;

	/* now may be an earlier reading of the clock (about_now). */
	return (__s64)((now >> TABLE_UNIT) - (table >> 1)) < TABLE_FRESH ? bpf_map_lookup_elem(&slots, &bank) : 0;
}

/* Who takes a slot, and who if it is about to move. */
static __always_inline __u32 taker_of(__u8 entry)
{
	return entry & ENTRY_NOBODY ? NOBODY : ENTRY_TAKER(entry);
}

static __always_inline __u32 next_of(__u8 entry)
{
	return !(entry & ENTRY_NOBODY) && entry & ENTRY_MOVING ? ENTRY_NEXT(entry) : taker_of(entry);
}

/* The same for what may belong to a connection: it moves when its taker has told the others all that he knows. */
static __always_inline __u32 goes_to(const struct words *w, __u8 entry)
{
	__u32 to = taker_of(entry);

	return to == w->self && READ_ONCE(w->steer) & STEER_DRAINED ? next_of(entry) : to;
}

/* Is a slot about to move to this member? */
static __always_inline bool comes_to(const struct words *w, __u8 entry)
{
	return taker_of(entry) != w->self && next_of(entry) == w->self;
}

static __always_inline __u32 packet_len(void *ctx, bool xdp)
{
	return xdp ? (__u32)bpf_xdp_get_buff_len(ctx) : ((struct __sk_buff *)ctx)->len;
}

static __always_inline __u32 dropped(enum counter reason)
{
	count(reason);
	return STEER_DROP;
}

/* What this member takes, and what it gives to another. */
static __always_inline __u32 given(const struct words *w, __u32 to, __u32 slot, __u32 len)
{
	struct slot_count *s = bpf_map_lookup_elem(&slot_counts, &slot);
	struct member_count *m;

	if (to == w->self) {
		if (s) {
			s->taken++;
			s->taken_bytes += len;
		}
		return STEER_TAKE;
	}
	if (s) {
		s->passed++;
		s->passed_bytes += len;
	}
	m = bpf_map_lookup_elem(&member_counts, &to);
	if (m) {
		m->to++;
		m->to_bytes += len;
	}
	return STEER_GIVE | to << 8;
}

#define FLOW_WAYS (sizeof(struct flows) / 8)

static __always_inline struct flows *flows_at(__u64 flow)
{
	__u32 place = flow >> 1 & (FLOW_PLACES - 1);

	return flow ? bpf_map_lookup_elem(&flows, &place) : 0;
}

/* How long ago the connection table was asked, in units. now may be an earlier reading of the clock (about_now) than what it was noted by. */
static __always_inline __u32 flow_age(__u64 known, __u64 now)
{
	__u32 age = ((now >> FLOW_UNIT) - (known >> FLOW_AT)) & FLOW_TIMES;

	return age > FLOW_TIMES - FLOW_RACED ? 0 : age;
}

/* The slot of the first packet of a flow's connection, as the connection table has said a moment ago; FLOW_NOT if it has not. */
static __always_inline __u32 flow_owner(__u64 flow, __u64 now)
{
	const struct flows *f = flows_at(flow);

	if (!f)
		return FLOW_NOT;
#pragma unroll
	for (__u32 i = 0; i < FLOW_WAYS; i++) {
		__u64 known = READ_ONCE(f->way[i]);

		if (known && !((known ^ flow) >> FLOW_TAG))
			return flow_age(known, now) < FLOW_FRESH ? known & (STEER_SLOTS - 1) : FLOW_NOT;
	}
	return FLOW_NOT;
}

/* Remembers it, in place of what was said of it before, or of what was said longest ago. */
__noinline __u32 flow_note(__u64 flow, __u32 slot, __u64 now)
{
	struct flows *f = flows_at(flow);
	__u32 at = 0, oldest = 0;

	if (!f)
		return 0;
#pragma unroll
	for (__u32 i = 0; i < FLOW_WAYS; i++) {
		__u64 known = READ_ONCE(f->way[i]);
		__u32 age = known ? (known ^ flow) >> FLOW_TAG ? flow_age(known, now) : FLOW_TIMES : FLOW_TIMES - 1;

		if (age > oldest) {
			oldest = age;
			at = i;
		}
	}
	asm volatile("" : "+r"(at)); /* as in group_at */
	WRITE_ONCE(f->way[at & (FLOW_WAYS - 1)], flow >> FLOW_TAG << FLOW_TAG | (now >> FLOW_UNIT & FLOW_TIMES) << FLOW_AT | (slot & (STEER_SLOTS - 1)));
	return 1;
}

/*
 * Where most frames go that came by the VMAC of the gateway: whole packets of TCP and UDP without options, to no VIP, of which only both ends
 * count. What is another's is dropped, and what belongs to a known connection is taken or given. All else is STEER_ASK, what begins among it
 * where connections may be translated.
 */
static __always_inline __u32 usual(void *ctx, bool xdp, __u32 off, bool six, __u64 now)
{
	const struct words *w = the_words();
	__u32 steer, mode, slot, owns, to;
	const void *net, *ports, *end;
	const struct bank *b;
	struct end src, dst;
	__u64 tail, hash;
	bool exchanged;
	__u8 proto, entry;

	if (!w)
		return STEER_ASK;
	steer = READ_ONCE(w->steer);
	mode = steer & STEER_MODE;
	b = the_bank(w);
	if (xdp) {
		net = (void *)(long)((struct xdp_md *)ctx)->data;
		end = (void *)(long)((struct xdp_md *)ctx)->data_end;
	} else {
		net = (void *)(long)((struct __sk_buff *)ctx)->data;
		end = (void *)(long)((struct __sk_buff *)ctx)->data_end;
	}
	off &= 0xff;
	barrier_var(off);
	net += off;
	barrier_var(net);
	if (steer & STEER_PUBLISHED || (steer & STEER_KEY) == STEER_IPS || !b || !b->phase)
		return STEER_ASK;
	if (six) {
		const struct ipv6hdr *ip = net;
		__be32 from[4], to[4];

		ports = ip + 1;
		if (ports + 4 > end || *(const __u8 *)net >> 4 != 6)
			return STEER_ASK;
		PACKET_COPY(from, &ip->saddr, 16);
		PACKET_COPY(to, &ip->daddr, 16);
		if (((__u8 *)to)[0] == 0xff || !is_no_vip(to[0] ^ to[1] ^ to[2] ^ to[3]))
			return STEER_ASK;
		src = end_of(from, 0, true);
		dst = end_of(to, 0, true);
		proto = ip->nexthdr;
	} else {
		const struct iphdr *ip = net;

		ports = ip + 1;
		if (ports + 4 > end || *(const __u8 *)net != 0x45 || ip->frag_off & bpf_htons(0x3fff) || bpf_ntohl(ip->daddr) >= 0xe0000000 ||
		    !is_no_vip(ip->daddr))
			return STEER_ASK;
		src = end_of(&ip->saddr, 0, false);
		dst = end_of(&ip->daddr, 0, false);
		proto = ip->protocol;
	}
	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP)
		return STEER_ASK;
	src.port = bpf_ntohs(((const __be16 *)ports)[0]);
	dst.port = bpf_ntohs(((const __be16 *)ports)[1]);
	tail = (__u64)proto << 32;
	exchanged = end_above(&src, &dst);
	if (exchanged) {
		tail |= dst.port | (__u32)src.port << 16;
		hash = place_hash(w, six, dst, src, tail);
	} else {
		tail |= src.port | (__u32)dst.port << 16;
		hash = place_hash(w, six, src, dst, tail);
	}
	slot = hash >> 54;
	if (mode == STEER_MULTICAST) {
		to = taker_of(b->entry[slot & PLACE_SLOT]);
		if (to != w->self)
			return dropped(to == NOBODY ? STEER_NOBODY : STEER_FOREIGN);
	}
	/* A connection that is not translated has its packets' slot. Who may not let any begin must ask all the same. */
	if ((steer & (STEER_UNTRANSLATED(six) | STEER_BLOCK_NEW)) == STEER_UNTRANSLATED(six)) {
		owns = slot;
	} else {
		owns = flow_owner(flow_of(hash, exchanged), now);
		if (owns == FLOW_NOT)
			return STEER_ASK;
	}
	entry = b->entry[owns & PLACE_SLOT];
	to = taker_of(entry);
	if (to == NOBODY || entry & ENTRY_MOVING || (to == w->self && mode != STEER_MULTICAST && !is_sharing(w, now)))
		return STEER_ASK;
	count(to == w->self ? STEER_TAKEN : mode == STEER_MULTICAST ? STEER_CORRECTED : STEER_PASSED);
	return given(w, to, slot & PLACE_SLOT, packet_len(ctx, xdp));
}

__noinline __u32 usual_xdp(struct xdp_md *ctx, __u32 off, __u32 six, __u64 now)
{
	return usual(ctx, true, off, six, now);
}

__noinline __u32 usual_skb(struct __sk_buff *ctx, __u32 off, __u32 six, __u64 now)
{
	return usual(ctx, false, off, six, now);
}

#endif
