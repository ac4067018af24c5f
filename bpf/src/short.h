/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What most packets need, in as little code as there can be: a packet that is forwarded runs through more of the kernel than the processor's caches hold, and
 * so a program costs what it takes to fetch it besides its instructions. gate.h decides the same at length, and tests compare the two.
 */
#ifndef HOLDFAST_SHORT_H
#define HOLDFAST_SHORT_H

#include "steer.h"

/* Gives a frame to a member, as gate_steer() does. */
static __noinline int give_xdp(struct xdp_md *ctx, __u32 slot, __u32 member)
{
	const struct neighbours *n = bpf_map_lookup_elem(&neighbours, &slot);
	__u32 ifindex = ctx->ingress_ifindex;
	const struct iface *ifc = bpf_map_lookup_elem(&ifaces, &ifindex);
	struct frame f = { .ctx = ctx, .xdp = true };

	return n && ifc ? steer_give(&f, ifc, n, member) : GATE_DROP;
}

static __noinline int give_skb(struct __sk_buff *ctx, __u32 slot, __u32 member)
{
	const struct neighbours *n = bpf_map_lookup_elem(&neighbours, &slot);
	__u32 ifindex = ctx->ifindex;
	const struct iface *ifc = bpf_map_lookup_elem(&ifaces, &ifindex);
	struct frame f = { .ctx = ctx };

	return n && ifc ? steer_give(&f, ifc, n, member) : GATE_DROP;
}

/* Multicast: what came for the gateway. -1: it must be looked at closely. */
static __always_inline int short_share(void *ctx, bool xdp, bool six, const struct port *port, struct let_in *l)
{
	__u32 slot = port->iface.slot, r;

	r = xdp ? usual_xdp(ctx, ETH_HLEN, six, l->now) : usual_skb(ctx, ETH_HLEN, six, l->now);
	if (r == STEER_DROP) {
		l->left--;
		return GATE_DROP;
	}
	if (r == STEER_TAKE) {
		let_in_as_before(l);
		count(VMAC_ADMITTED);
		return GATE_ADMIT;
	}
	if ((r & 0xff) != STEER_GIVE)
		return -1;
	l->left--;
	return xdp ? give_xdp(ctx, slot, r >> 8) : give_skb(ctx, slot, r >> 8);
}

/*
 * IP packets for this host's MAC or for its VMAC, in mode ha and in multicast, at an interface whose place is its own, a moment after another one was let in.
 * What is looked at, and in which order, does not matter: nothing changes before all has been found. -1: none of those.
 */
static __always_inline int gate_short(void *ctx, bool xdp, __u32 ifindex)
{
	const struct words *w = the_words();
	struct let_in *l = the_let_in();
	const struct port *port;
	__u32 steer, head;
	__be16 tail, proto;
	void *data, *end;
	int v = GATE_PASS;

	if (!w || !l)
		return -1;
	port = &w->port[ifindex & (PORTS - 1)];
	if (xdp) {
		data = (void *)(long)((struct xdp_md *)ctx)->data;
		end = (void *)(long)((struct xdp_md *)ctx)->data_end;
	} else {
		data = (void *)(long)((struct __sk_buff *)ctx)->data;
		end = (void *)(long)((struct __sk_buff *)ctx)->data_end;
	}
	if (data + ETH_HLEN + sizeof(struct iphdr) > end || READ_ONCE(port->ifindex) != ifindex)
		return -1;
	/* Not by struct ethhdr, which compilers take apart into bytes. */
	head = *(const __u32 *)data;
	tail = *(const __be16 *)(data + 4);
	proto = *(const __be16 *)(data + 2 * ETH_ALEN);
	steer = READ_ONCE(w->steer) & STEER_MODE;
	if (head == port->iface.vmac_head && tail == (port->iface.vmac_tail & bpf_htons(0xff00)) && port->iface.flags & IFACE_VMAC)
		v = GATE_ADMIT;
	else if (head != port->iface.mac_head || tail != port->iface.mac_tail)
		return -1;
	if (steer == STEER_MULTICAST) {
		bool six = proto == bpf_htons(ETH_P_IPV6);

		if (v != GATE_ADMIT || (!six && proto != bpf_htons(ETH_P_IP)) || !is_let_in_as_before(w, l, READ_ONCE(w->share)))
			return -1;
		return short_share(ctx, xdp, six, port, l);
	}
	if (proto == bpf_htons(ETH_P_IPV6)) {
		__u8 next = *(const __u8 *)(data + ETH_HLEN + __builtin_offsetof(struct ipv6hdr, nexthdr));

		if (next == IPPROTO_ICMPV6 || is_extension(next)) /* neighbour discovery, perhaps */
			return -1;
	} else if (proto != bpf_htons(ETH_P_IP)) {
		return -1;
	}
	if (steer != STEER_HA || !is_let_in_as_before(w, l, READ_ONCE(w->group[0].lease)))
		return -1;
	let_in_as_before(l);
	if (v == GATE_ADMIT)
		count(VMAC_ADMITTED);
	return v;
}

#endif
