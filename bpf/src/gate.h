/* SPDX-License-Identifier: GPL-2.0-only */
/* The gate's core: what happens to a frame that comes in, and to one that goes out. */
#ifndef HOLDFAST_GATE_H
#define HOLDFAST_GATE_H

#include <linux/ip.h>

#include "arp.h"
#include "ccp.h"
#include "ip6.h"
#include "steer.h"

/* Functions of their own, so that what they keep on the stack is not there while other frames are looked at. */
static __noinline int ccp_xdp(struct xdp_md *ctx, const struct iface *ifc, struct words *w, __u64 now)
{
	struct frame f = { .ctx = ctx, .xdp = true };

	return frame_parse(&f) ? gate_ccp(&f, ifc, w, now) : GATE_DROP;
}

static __noinline int ccp_skb(struct __sk_buff *ctx, const struct iface *ifc, struct words *w, __u64 now)
{
	struct frame f = { .ctx = ctx };

	return frame_parse(&f) ? gate_ccp(&f, ifc, w, now) : GATE_DROP;
}

static __noinline int arp_xdp(struct xdp_md *ctx, const struct iface *ifc, struct words *w, __u32 ifindex, __u64 now)
{
	struct frame f = { .ctx = ctx, .xdp = true };

	if (!frame_parse(&f))
		return -1;
	f.quiet = is_quiet(w, ifc->slot, now);
	return gate_arp(&f, ifc, w, ifindex, now);
}

static __noinline int arp_skb(struct __sk_buff *ctx, const struct iface *ifc, struct words *w, __u32 ifindex, __u64 now)
{
	struct frame f = { .ctx = ctx };

	if (!frame_parse(&f))
		return -1;
	f.quiet = is_quiet(w, ifc->slot, now);
	return gate_arp(&f, ifc, w, ifindex, now);
}

/* ICMPv6 on an interface that may be quiet; -1 if it is none of neighbour discovery's business. */
static __always_inline int gate_icmp6(struct frame *f, const struct iface *ifc, struct words *w, __u32 ifindex, __u64 now)
{
	struct ipv6hdr *ip;
	__u32 off;

	if (!frame_parse(f))
		return -1;
	f->quiet = is_quiet(w, ifc->slot, now);
	ip = frame_at(f, f->net, sizeof(*ip));
	if (!ip)
		return -1;
	off = icmp6_offset(f, ip->nexthdr);
	return off ? gate_nd(f, ifc, w, ifindex, off) : -1;
}

static __noinline int icmp6_xdp(struct xdp_md *ctx, const struct iface *ifc, struct words *w, __u32 ifindex, __u64 now)
{
	struct frame f = { .ctx = ctx, .xdp = true };

	return gate_icmp6(&f, ifc, w, ifindex, now);
}

static __noinline int icmp6_skb(struct __sk_buff *ctx, const struct iface *ifc, struct words *w, __u32 ifindex, __u64 now)
{
	struct frame f = { .ctx = ctx };

	return gate_icmp6(&f, ifc, w, ifindex, now);
}

/*
 * A packet to a VIP is for whoever serves it, whatever MAC it came by. In load sharing those for the gateway's VIPs have been steered
 * before, but for what was sent to this member's own MAC: then it is meant.
 */
static __always_inline int gate_local(struct frame *f, const struct iface *ifc, struct words *w, const struct vip *vip,
				      __u64 now)
{
	__u32 bits = BIT_ANSWER;

	if (!vip || vip->flags & VIP_PROXY)
		return -1;
	if (steer_mode(w) && !vip->group && mac_equal(f->dst, mac_own(ifc)))
		bits = BIT_FORWARD;
	if (may(f, vip->group, now, bits))
		return -1;
	return closed_rx(w, f, ifc, vip->group, CLOSED_VIP);
}

static __always_inline int gate_ip4(struct frame *f, const struct iface *ifc, struct words *w, __u64 now, bool serves)
{
	struct iphdr *ip;

	if (serves)
		return -1;
	ip = frame_at(f, f->net, sizeof(*ip));
	return ip ? gate_local(f, ifc, w, vip4(&ip->daddr), now) : -1;
}

static __always_inline int gate_ip6(struct frame *f, const struct iface *ifc, struct words *w, __u32 ifindex, __u64 now,
				    bool serves)
{
	struct ipv6hdr *ip = frame_at(f, f->net, sizeof(*ip));
	const struct vip *vip = 0;
	int v;

	if (!ip)
		return -1;
	if (!serves)
		vip = vip6((const __u8 *)&ip->daddr, ifindex);
	if (ip->nexthdr == IPPROTO_ICMPV6 || is_extension(ip->nexthdr)) {
		v = f->xdp ? icmp6_xdp(f->ctx, ifc, w, ifindex, now) : icmp6_skb(f->ctx, ifc, w, ifindex, now);
		if (v >= 0)
			return v;
	}
	return gate_local(f, ifc, w, vip, now);
}

/*
 * What most packets are in mode ha: IP, while this member serves all that is served. None of their addresses can matter then, and the MAC says
 * the rest. -1 for all others; IPv6 may be neighbour discovery.
 */
static __always_inline int gate_usual(struct frame *f, const struct iface *ifc, const struct words *w, __u64 now)
{
	bool own = mac_equal(f->dst, mac_own(ifc));

	if (f->proto == bpf_htons(ETH_P_IPV6)) {
		const __u8 *next = f->data + f->net + __builtin_offsetof(struct ipv6hdr, nexthdr);

		barrier_var(next);
		if ((void *)(next + 1) > f->end || *next == IPPROTO_ICMPV6 || is_extension(*next))
			return -1;
	} else if (f->proto != bpf_htons(ETH_P_IP)) {
		return -1;
	}
	if (READ_ONCE(w->groups) != 1 || (!own && vmac_group(ifc, f->dst)) || !is_open(w, &w->group[0], now))
		return -1;
	note_let_in(w, now);
	if (own)
		return GATE_PASS;
	count(VMAC_ADMITTED);
	return GATE_ADMIT;
}

/* Copies what is known of an interface; false if it is none of the gate's. */
static __always_inline bool iface_of(const struct words *w, __u32 ifindex, struct iface *ifc)
{
	const struct port *port = &w->port[ifindex & (PORTS - 1)];
	const struct iface *known;

	if (READ_ONCE(port->ifindex) == ifindex) {
		*ifc = port->iface;
		return true;
	}
	known = bpf_map_lookup_elem(&ifaces, &ifindex);
	if (!known)
		return false;
	*ifc = *known;
	return true;
}

/* Decides about a frame that came in. f is not parsed yet. */
static __always_inline int gate_ingress(struct frame *f, __u32 ifindex)
{
	struct words *w = the_words();
	struct iface here, *ifc = &here;
	int v = -1, group;
	bool serves;
	__u64 now;

	if (!w || !iface_of(w, ifindex, ifc) || !frame_parse(f))
		return GATE_PASS;
	if (f->proto == ifc->ethertype) {
		now = bpf_ktime_get_boot_ns();
		return f->xdp ? ccp_xdp(f->ctx, ifc, w, now) : ccp_skb(f->ctx, ifc, w, now);
	}
	now = f->proto == bpf_htons(ETH_P_IP) || f->proto == bpf_htons(ETH_P_IPV6) ? about_now(w) : bpf_ktime_get_boot_ns();
	f->quiet = is_quiet(w, ifc->slot, now);
	if (steer_mode(w) && !f->quiet && (f->proto == bpf_htons(ETH_P_IP) || f->proto == bpf_htons(ETH_P_IPV6))) {
		v = gate_steer(f, ifc, w, ifindex, now);
		if (v >= 0) {
			if (v == GATE_ADMIT)
				count(VMAC_ADMITTED);
			return v;
		}
	}
	if (!steer_mode(w) && !f->quiet) {
		v = gate_usual(f, ifc, w, now);
		if (v >= 0)
			return v;
	}
	/* A member that serves everything lets everything in: no need to look addresses up. */
	serves = !f->quiet && all_answer(now);
	if (f->proto == bpf_htons(ETH_P_IP))
		v = gate_ip4(f, ifc, w, now, serves);
	else if (f->proto == bpf_htons(ETH_P_IPV6))
		v = gate_ip6(f, ifc, w, ifindex, now, serves);
	else if (f->proto == bpf_htons(ETH_P_ARP))
		v = f->xdp ? arp_xdp(f->ctx, ifc, w, ifindex, now) : arp_skb(f->ctx, ifc, w, ifindex, now);
	if (v >= 0)
		return v;
	group = vmac_group(ifc, f->dst);
	if (group < 0)
		return GATE_PASS;
	if (!(serves && READ_ONCE(w->groups) >> group & 1) && !may(f, group, now, BIT_FORWARD))
		return closed_rx(w, f, ifc, group, CLOSED_VMAC);
	/* Not every member that forwards is the one that is meant. */
	if (!group && steer_mode(w) == STEER_UNICAST && !is_decider(w, STEER_UNICAST, now))
		return closed_rx(w, f, ifc, group, CLOSED_VMAC);
	count(VMAC_ADMITTED);
	return GATE_ADMIT;
}

/*
 * Transit is stopped here rather than at ingress, where nobody knows yet whether a packet for the own MAC is for this host.
 * docs/decisions/002.
 */
static __always_inline int egress_transit(struct frame *f, struct words *w, __u32 came_in)
{
	const struct iface *in = bpf_map_lookup_elem(&ifaces, &came_in);

	/* Without a VMAC, packets for the own MAC that are to be forwarded are those that a neighbour should send elsewhere. */
	if (in && in->flags & IFACE_GATED && !(in->flags & IFACE_VMAC) && !f->quiet)
		__sync_fetch_and_add(&w->group[0].closed_rx, 1);
	return closed_tx(w, f, 0, EGRESS_TRANSIT);
}

/* Was it passed on to a member? A pivot does that without a share, too. */
static __always_inline bool egress_given(const struct frame *f, const struct iface *ifc)
{
	__u32 slot = ifc->slot;
	const struct neighbours *n = bpf_map_lookup_elem(&neighbours, &slot);

	return n && mac_equal(f->src, mac_own(ifc)) && member_of(n, f->dst) >= 0;
}

static __always_inline int egress_arp(struct frame *f, struct words *w, __u64 now)
{
	struct arp *arp = arp_at(f);
	const struct vip *vip;

	if (!arp)
		return GATE_PASS;
	vip = vip4((const __be32 *)arp->spa);
	if (!vip || may(f, vip->group, now, BIT_ANSWER))
		return GATE_PASS;
	return closed_tx(w, f, vip->group, EGRESS_ARP);
}

/* Router and neighbour advertisements; -1 for all else. */
static __always_inline int egress_nd(struct frame *f, struct words *w, __u32 ifindex, __u64 now, __u32 off)
{
	__u8 *type = frame_at(f, off, 1);
	const struct vip *vip;
	struct nd *na;

	if (!type)
		return -1;
	if (*type == ICMP6_RA && !may(f, 0, now, BIT_ANSWER))
		return closed_tx(w, f, 0, EGRESS_RA);
	if (*type != ICMP6_NA)
		return -1;
	na = frame_at(f, off, sizeof(*na));
	if (!na)
		return -1;
	vip = vip6(na->target, ifindex);
	if (!vip)
		return -1;
	if (!may(f, vip->group, now, BIT_ANSWER))
		return closed_tx(w, f, vip->group, EGRESS_NA);
	return GATE_PASS;
}

/* Decides about a frame that goes out of a gated interface while some group does not serve, or some interface only listens. */
static __always_inline int egress_closed(struct frame *f, struct words *w, const struct iface *ifc, __u32 ifindex,
					 __u32 came_in, __u64 now)
{
	/* What is forwarded may leave as long as frames are let in to be forwarded; our own may not speak for the VIP any more. */
	__u32 bits = came_in ? BIT_FORWARD : BIT_ANSWER;
	const struct vip *vip = 0;
	int group;

	group = vmac_group(ifc, f->src);
	if (group >= 0 && !may(f, group, now, BIT_ANSWER))
		return closed_tx(w, f, group, EGRESS_VMAC);
	if (f->proto == bpf_htons(ETH_P_ARP))
		return egress_arp(f, w, now);
	if (f->proto == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = frame_at(f, f->net, sizeof(*ip));

		if (ip)
			vip = vip4(&ip->saddr);
	} else if (f->proto == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip = frame_at(f, f->net, sizeof(*ip));

		if (ip) {
			__u32 off;

			vip = vip6((const __u8 *)&ip->saddr, ifindex);
			off = icmp6_offset(f, ip->nexthdr);
			if (off) {
				int v = egress_nd(f, w, ifindex, now, off);

				if (v >= 0)
					return v;
			}
		}
	}
	if (came_in && !may(f, 0, now, BIT_FORWARD)) {
		if (steer_mode(w) && came_in == ifindex && egress_given(f, ifc))
			return GATE_PASS;
		return egress_transit(f, w, came_in);
	}
	/* In load sharing everybody who carries a share speaks for the gateway. */
	if (vip && !vip->group && steer_mode(w))
		bits = BIT_FORWARD;
	if (vip && !(vip->flags & VIP_PROXY) && !may(f, vip->group, now, bits))
		return closed_tx(w, f, vip->group, EGRESS_VIP);
	return GATE_PASS;
}

/* Does the interface of this index only listen? */
static __always_inline bool quiet_at(const struct words *w, __u32 ifindex, __u64 now)
{
	const struct iface *ifc = bpf_map_lookup_elem(&ifaces, &ifindex);

	return ifc && is_quiet(w, ifc->slot, now);
}

static __always_inline int gate_egress(struct frame *f, __u32 ifindex, __u32 came_in)
{
	struct words *w = the_words();
	const struct iface *ifc;
	__u64 now;

	if (!w || (came_in && was_let_in(w)))
		return GATE_PASS;
	now = bpf_ktime_get_boot_ns();
	if (now < READ_ONCE(w->quiet_last))
		f->quiet = quiet_at(w, ifindex, now) || (came_in && quiet_at(w, came_in, now));
	if (!f->quiet) {
		/* Most of what a member carries without answering for the cluster: nothing of it can be wrong. */
		if (steer_mode(w) && came_in && READ_ONCE(w->groups) == 1 && is_sharing(w, now))
			return GATE_PASS;
		if (all_answer(now))
			return GATE_PASS;
	}
	ifc = bpf_map_lookup_elem(&ifaces, &ifindex);
	if (!ifc || !frame_parse(f) || f->proto == ifc->ethertype)
		return GATE_PASS;
	return egress_closed(f, w, ifc, ifindex, came_in, now);
}

#endif
