/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Load sharing: which member takes a packet. dataplane/steer says what is decided, and decides the same in Go.
 *
 * In multicast every member sees a packet, and the taker of its slot decides; in unicast the pivot does, which answers for the cluster. What
 * the decider gives to another member it sends to that member's own MAC, from its own: such a frame is never passed on again.
 */
#ifndef HOLDFAST_STEER_H
#define HOLDFAST_STEER_H

#include "known.h"
#include "usual.h"

/* How decide() and decide_passed() are asked: the family, and of a frame that a member may have passed on, which one. */
#define HOW_FAMILY 0xf
#define HOW_MEMBER(how) ((how) >> 8 & (MEMBERS - 1))

#define FRAGMENT_NS 10000000000ULL /* how long it is remembered where a datagram went; its identifier comes again */

static __always_inline void fragment_key(struct fragment_key *key, const struct packet *p)
{
	__builtin_memcpy(key->src, p->src, 16);
	__builtin_memcpy(key->dst, p->dst, 16);
	key->id = p->id;
	key->family = p->family;
	key->proto = p->part_proto;
}

/* Remembers where the other fragments of a datagram shall go. */
__noinline __u32 fragment_note(const struct packet *p, __u32 to, __u32 guessed, __u64 now)
{
	struct fragment_key key = {};
	struct fragment note = { .at = now, .to = to, .guessed = guessed };

	if (!p || p->flags & PACKET_ERROR)
		return 0;
	fragment_key(&key, p);
	return !bpf_map_update_elem(&fragments, &key, &note, BPF_ANY);
}

#define NOTE_NONE 0x200
#define NOTE_GUESSED 0x100

/* Where the datagram of a fragment goes; NOBODY that it is dropped here. */
__noinline __u32 fragment_noted(const struct packet *p, __u64 now)
{
	struct fragment_key key = {};
	const struct fragment *note;

	if (!p)
		return NOTE_NONE;
	fragment_key(&key, p);
	note = bpf_map_lookup_elem(&fragments, &key);
	/* Another processor's reading of the clock may be the later one (about_now). */
	if (!note || (__s64)(now - note->at) >= (__s64)FRAGMENT_NS)
		return NOTE_NONE;
	return note->to | (note->guessed ? NOTE_GUESSED : 0);
}

/* Is it an answer to what the cluster sent, or would have to have sent? A stack that knows nothing of it would refuse it aloud. */
static __always_inline bool is_answer(const struct words *w, const struct bank *b, const struct packet *p, __u32 where)
{
	__u32 part = PLACE_PART(where);

	if (part < MEMBERS && b->takers >> part & 1)
		return true;
	return p->proto == IPPROTO_TCP && where & PLACE_VIP && p->tcp & (TCP_ACK | TCP_RST);
}

/* A later fragment goes where its first went. */
static __always_inline __u32 decide_later(void *ctx, bool xdp, __u32 off, __u32 how, __u32 ifindex, __u64 now)
{
	struct words *w = the_words();
	struct packet in = {}, *p = &in;
	__u32 noted, to, where;
	const struct bank *b;

	if (!w)
		return STEER_GO_ON;
	b = the_bank(w);
	if (!b || (xdp ? read_xdp(ctx, off, how & HOW_FAMILY, p) : read_skb(ctx, off, how & HOW_FAMILY, p)) != READ_OK)
		return STEER_GO_ON;
	noted = fragment_noted(p, now);
	to = noted & 0xff;
	if (noted & NOTE_NONE) {
		if (steer_mode(w) == STEER_MULTICAST) {
			count(FRAGMENT_KEPT);
			return STEER_TAKE; /* if its first is another's, it waits in vain here */
		}
		if (!xdp && spend(&w->flood, now)) {
			count(FRAGMENT_FLOODED);
			return STEER_FLOOD;
		}
	}
	where = place(p, ifindex);
	if (where & PLACE_OTHER)
		return STEER_GO_ON;
	if (noted & NOTE_NONE) {
		to = taker_of(b->entry[where & PLACE_SLOT]);
		if (to == NOBODY)
			return dropped(STEER_NOBODY);
		count(FRAGMENT_GUESSED);
		fragment_note(p, to, true, now);
	} else {
		/* Whoever does not decide has noted that he drops it. */
		if (to == NOBODY)
			return dropped(STEER_FOREIGN);
		count(FRAGMENT_FOLLOWED);
	}
	if (to == w->self && !is_sharing(w, now))
		return dropped(CLOSED_VMAC);
	return given(w, to, where & PLACE_SLOT, packet_len(ctx, xdp));
}

__noinline __u32 later_xdp(struct xdp_md *ctx, __u32 off, __u32 how, __u32 ifindex, __u64 now)
{
	return decide_later(ctx, true, off, how, ifindex, now);
}

__noinline __u32 later_skb(struct __sk_buff *ctx, __u32 off, __u32 how, __u32 ifindex, __u64 now)
{
	return decide_later(ctx, false, off, how, ifindex, now);
}

/* Is the destination an address of this host alone? Members also speak to each other, and through each other to others. */
static __always_inline bool is_own(void *ctx, bool xdp, const struct packet *p, __u32 ifindex)
{
	struct bpf_fib_lookup fib = { .ifindex = ifindex, .l4_protocol = p->proto };

	if (p->family == 4) {
		fib.family = 2; /* AF_INET */
		fib.ipv4_src = p->src[0];
		fib.ipv4_dst = p->dst[0];
	} else {
		fib.family = 10; /* AF_INET6 */
		__builtin_memcpy(fib.ipv6_src, p->src, 16);
		__builtin_memcpy(fib.ipv6_dst, p->dst, 16);
	}
	return bpf_fib_lookup(ctx, &fib, sizeof(fib), 0) == BPF_FIB_LKUP_RET_NOT_FWDED;
}

__noinline int is_own_xdp(struct xdp_md *ctx, const struct packet *p, __u32 ifindex)
{
	return p && is_own(ctx, true, p, ifindex);
}

__noinline int is_own_skb(struct __sk_buff *ctx, const struct packet *p, __u32 ifindex)
{
	return p && is_own(ctx, false, p, ifindex);
}

/* Who decides in multicast about a packet with that place. */
static __always_inline __u32 decider_of(const struct bank *b, __u32 where)
{
	__u32 part = PLACE_PART(where);

	return part < MEMBERS && b->takers >> part & 1 ? part : taker_of(b->entry[where & PLACE_SLOT]);
}

/*
 * Does this member decide about a packet by itself, so that what another passes on of it is one too many? Not so when the table has just given it
 * the slot: what came here before that was dropped, though the other one, which was slower, or its frame, comes after.
 */
static __always_inline bool is_twice(const struct words *w, const struct bank *b, __u32 where, __u64 now)
{
	const struct bank *last;

	if (!b->phase || decider_of(b, where) != w->self)
		return false;
	last = last_bank(w, now);
	return !last || (last->phase && decider_of(last, where) == w->self);
}

/* A frame from a member to this one's own MAC: what it has passed on is taken, unless this member takes it by itself. */
static __always_inline __u32 decide_passed(void *ctx, bool xdp, __u32 off, __u32 how, __u32 ifindex, __u64 now)
{
	const struct words *w = the_words();
	struct packet in = {}, *p = &in;
	__u32 from = HOW_MEMBER(how), where;
	struct member_count *m;
	const struct bank *b;

	if (!w)
		return STEER_GO_ON;
	b = the_bank(w);
	if (!b || packet_read(ctx, xdp, off, how & HOW_FAMILY, p) != READ_OK)
		return STEER_GO_ON;
	if (!(p->flags & PACKET_LATER)) {
		where = place(p, ifindex);
		if (where & PLACE_OTHER)
			return STEER_GO_ON;
		if (steer_mode(w) == STEER_MULTICAST) {
			if (is_twice(w, b, where, now) &&
			    (where & PLACE_VIP || p->flags & PACKET_ERROR ||
			     !(xdp ? is_own_xdp(ctx, p, ifindex) : is_own_skb(ctx, p, ifindex))))
				return dropped(STEER_DUPLICATE);
			/* A first fragment is not noted: whoever passed it on passes the others on too; what all get of it is his. */
		}
		if (is_answer(w, b, p, where) && (xdp ? known_xdp(ctx, p) : known_skb(ctx, p)) == KNOWN_NOT)
			return dropped(STEER_UNKNOWN);
	}
	m = bpf_map_lookup_elem(&member_counts, &from);
	if (m) {
		m->from++;
		m->from_bytes += packet_len(ctx, xdp);
	}
	count(STEER_PASSED_IN);
	return STEER_TAKE;
}

__noinline __u32 passed_xdp(struct xdp_md *ctx, __u32 off, __u32 how, __u32 ifindex, __u64 now)
{
	return decide_passed(ctx, true, off, how, ifindex, now);
}

__noinline __u32 passed_skb(struct __sk_buff *ctx, __u32 off, __u32 how, __u32 ifindex, __u64 now)
{
	return decide_passed(ctx, false, off, how, ifindex, now);
}

/* Where a frame goes that came by the VMAC of the gateway. */
static __always_inline __u32 decide(void *ctx, bool xdp, __u32 off, __u32 how, __u32 ifindex, __u64 now)
{
	const struct words *w = the_words();
	const struct bank *b;
	struct packet p = {};
	__u32 where, slot, to, part, decider, know, owns, noted = NOTE_NONE;
	bool multicast, first, answer, here = false;
	enum counter reason;
	__u64 flow;
	__u8 entry;

	if (!w)
		return STEER_GO_ON;
	b = the_bank(w);
	if (!b || packet_read(ctx, xdp, off, how & HOW_FAMILY, &p) != READ_OK)
		return STEER_GO_ON;
	if (!b->phase)
		return dropped(STEER_NOBODY);
	if (p.flags & PACKET_LATER)
		return STEER_LATER;

	where = place(&p, ifindex);
	if (where & PLACE_OTHER)
		return STEER_GO_ON;
	slot = where & PLACE_SLOT;
	entry = b->entry[slot];
	part = PLACE_PART(where);
	if (part >= MEMBERS || !(b->takers >> part & 1))
		part = NOBODY;
	decider = decider_of(b, where);
	multicast = steer_mode(w) == STEER_MULTICAST;
	first = p.flags & PACKET_FIRST && !(p.flags & PACKET_ERROR);
	if (multicast && decider != w->self) {
		if (first)
			fragment_note(&p, NOBODY, false, now);
		return dropped(decider == NOBODY ? STEER_NOBODY : STEER_FOREIGN);
	}
	if (first) {
		noted = fragment_noted(&p, now);
		if (!(noted & NOTE_NONE) && !(noted & NOTE_GUESSED))
			noted = NOTE_NONE; /* of an earlier datagram */
	}
	answer = is_answer(w, b, &p, where);

	flow = p.flow;
	owns = flow_owner(flow, now);
	if (owns != FLOW_NOT && !comes_to(w, b->entry[owns & PLACE_SLOT])) {
		know = KNOWN_SAME;
	} else if (!is_asked(&p)) {
		__u32 n = answer_noted(&p);

		know = NOTED_KNOWN(n);
		owns = NOTED_SLOT(n);
		here = know & KNOWN_HERE && comes_to(w, b->entry[owns & PLACE_SLOT]);
	} else {
		know = xdp ? known_xdp(ctx, &p) : known_skb(ctx, &p);
		if (know >= KNOWN_SAME) {
			owns = ((know & ~KNOWN_HERE) == KNOWN_NATED ? place(&p, ifindex) : slot) & PLACE_SLOT;
			here = know & KNOWN_HERE && comes_to(w, b->entry[owns]);
			if (!here)
				flow_note(flow, owns, now);
		}
	}
	if (here) {
		to = w->self; /* it began while its slot was about to move here: its taker has not been told of it */
	} else if (know >= KNOWN_SAME) {
		to = goes_to(w, b->entry[owns & PLACE_SLOT]);
	} else if (part != NOBODY) {
		to = part;
	} else {
		to = know == KNOWN_NOT ? next_of(entry) : goes_to(w, entry);
	}
	if (!(noted & NOTE_NONE))
		to = noted & 0xff;
	reason = to == w->self ? STEER_TAKEN : multicast ? STEER_CORRECTED : STEER_PASSED;
	if (to == NOBODY) {
		reason = STEER_NOBODY;
	} else if (know == KNOWN_NOT && READ_ONCE(w->steer) & STEER_BLOCK_NEW) {
		reason = STEER_BLOCKED;
		to = NOBODY;
	} else if (know == KNOWN_NOT && answer && to == w->self) {
		/* Another member may know more than this one, and asks for itself. */
		reason = STEER_UNKNOWN;
		to = NOBODY;
	} else if (to == w->self && !is_sharing(w, now)) {
		reason = CLOSED_VMAC; /* a pivot without a share */
		to = NOBODY;
	}
	if (first) { /* what was guessed is so from now on */
		__builtin_memset(&p, 0, sizeof(p)); /* as it came: what the kernel knows may have taken its place */
		if (packet_read(ctx, xdp, off, how & HOW_FAMILY, &p) == READ_OK)
			fragment_note(&p, to, false, now);
	}
	count(reason);
	if (to == NOBODY)
		return STEER_DROP;
	return given(w, to, slot, packet_len(ctx, xdp));
}

__noinline __u32 decide_xdp(struct xdp_md *ctx, __u32 off, __u32 how, __u32 ifindex, __u64 now)
{
	return decide(ctx, true, off, how, ifindex, now);
}

__noinline __u32 decide_skb(struct __sk_buff *ctx, __u32 off, __u32 how, __u32 ifindex, __u64 now)
{
	return decide(ctx, false, off, how, ifindex, now);
}

/* The member whose MAC this is at an interface slot, or -1. */
static __always_inline int member_of(const struct neighbours *n, struct mac mac)
{
#pragma unroll
	for (int i = 0; i < MEMBERS; i++) {
		if (n->mac[i].head == mac.head && n->mac[i].tail == mac.tail)
			return mac.head || mac.tail ? i : -1;
	}
	return -1;
}

/* Sends the frame on to a member. */
static __always_inline int steer_give(struct frame *f, const struct iface *ifc, const struct neighbours *n, __u32 member)
{
	struct mac to;

	member &= MEMBERS - 1;
	barrier_var(member);
	to = (struct mac){ .head = n->mac[member & (MEMBERS - 1)].head, .tail = n->mac[member & (MEMBERS - 1)].tail };
	if (!to.head && !to.tail) {
		count(STEER_NO_MAC);
		return GATE_DROP;
	}
	if (!frame_turn(f, to, mac_own(ifc))) {
		count(ANSWER_FAILED);
		return GATE_DROP;
	}
	return GATE_ANSWER;
}

/* Gives a copy to every other member that takes anything. The frame is as it was afterwards. */
__noinline int steer_flood(struct __sk_buff *skb, __u32 ifindex)
{
	const struct iface *ifc = bpf_map_lookup_elem(&ifaces, &ifindex);
	struct frame f = { .ctx = skb };
	const struct words *w = the_words();
	const struct neighbours *n;
	const struct bank *b;
	__u32 slot;

	if (!ifc || !w || !frame_parse(&f))
		return 0;
	b = the_bank(w);
	slot = ifc->slot;
	n = bpf_map_lookup_elem(&neighbours, &slot);
	if (!b || !n)
		return 0;
	for (int i = 0; i < MEMBERS; i++) {
		if (i != w->self && b->takers >> i & 1 && steer_give(&f, ifc, n, i) == GATE_ANSWER)
			bpf_clone_redirect(skb, ifindex, 0);
	}
	frame_turn(&f, f.dst, f.src);
	return b->takers >> w->self & 1;
}

/* Does this member decide about what all send to the gateway? */
static __always_inline bool is_decider(const struct words *w, __u32 mode, __u64 now)
{
	if (mode == STEER_MULTICAST)
		return is_sharing(w, now);
	/* A pivot that handed over in order still gets what is on its way. */
	return is_open(w, &w->group[0], now) || now < READ_ONCE(w->group[0].linger);
}

/* Decides about an IP packet in load sharing; -1 if that is none of steering's business. */
static __always_inline int gate_steer(struct frame *f, const struct iface *ifc, const struct words *w, __u32 ifindex,
				      __u64 now)
{
	__u32 how = f->proto == bpf_htons(ETH_P_IP) ? 4 : 6, slot = ifc->slot, mode = steer_mode(w), r = STEER_ASK;
	bool vmac = !vmac_group(ifc, f->dst);
	const struct neighbours *n = bpf_map_lookup_elem(&neighbours, &slot);

	if (!n)
		return -1;
	if (!vmac) {
		int from;

		if (!mac_equal(f->dst, mac_own(ifc)))
			return -1;
		from = member_of(n, f->src);
		if (from < 0 || !is_sharing(w, now))
			return -1;
		how |= from << 8;
		r = f->xdp ? passed_xdp(f->ctx, f->net, how, ifindex, now) : passed_skb(f->ctx, f->net, how, ifindex, now);
	} else if (is_decider(w, mode, now)) {
		r = f->xdp ? usual_xdp(f->ctx, f->net, how == 6, now) : usual_skb(f->ctx, f->net, how == 6, now);
	} else {
		return -1;
	}
	if (r == STEER_ASK)
		r = f->xdp ? decide_xdp(f->ctx, f->net, how, ifindex, now) : decide_skb(f->ctx, f->net, how, ifindex, now);
	/* Not called by decide(): Linux 6.1 has too little stack for both. */
	if (r == STEER_LATER)
		r = f->xdp ? later_xdp(f->ctx, f->net, how, ifindex, now) : later_skb(f->ctx, f->net, how, ifindex, now);
	switch (r & 0xff) {
	case STEER_DROP:
		return GATE_DROP;
	case STEER_GIVE:
		return steer_give(f, ifc, n, r >> 8);
	case STEER_FLOOD:
		if (f->xdp || !steer_flood(f->ctx, ifindex) || !is_sharing(w, now))
			return GATE_DROP;
		return GATE_ADMIT;
	case STEER_TAKE:
		if (is_share_open(w, now))
			note_let_in(w, now);
		return vmac ? GATE_ADMIT : GATE_PASS;
	}
	return -1;
}

#endif
