/* SPDX-License-Identifier: GPL-2.0-only */
/* IPv6 and neighbour discovery (RFC 4861): solicitations for a VIP are answered here, or nowhere. */
#ifndef HOLDFAST_IP6_H
#define HOLDFAST_IP6_H

#include <linux/in.h>
#include <linux/ipv6.h>

#include "address.h"

#define ICMP6_RA 134
#define ICMP6_NS 135
#define ICMP6_NA 136

#define NA_ROUTER 0x80
#define NA_SOLICITED 0x40
#define NA_OVERRIDE 0x20

#define EXTENSIONS 4 /* headers to look behind; nobody sends more */

/* A neighbour solicitation or advertisement up to its options. */
struct nd {
	__u8 type, code;
	__be16 checksum;
	__u8 flags, reserved[3];
	__u8 target[16];
};

struct nd_answer {
	struct ipv6hdr ip;
	struct nd nd;
	__u8 option, option_len, mac[ETH_ALEN];
};

_Static_assert(sizeof(struct nd) == 24, "nd");
_Static_assert(sizeof(struct nd_answer) == 72, "nd answer");

static __always_inline bool is_extension(__u8 next)
{
	return next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING || next == IPPROTO_DSTOPTS || next == IPPROTO_FRAGMENT ||
	       next == IPPROTO_AH;
}

/* Walks extension headers from off on: the offset of the ICMPv6 header behind them, or 0. Copies, so that nothing moves. */
static __always_inline __u32 walk(void *ctx, bool xdp, __u32 off, __u8 next)
{
	for (int i = 0; i < EXTENSIONS && is_extension(next); i++) {
		__u8 h[4]; /* next header, length, and for a fragment its offset */

		if (xdp ? bpf_xdp_load_bytes(ctx, off, h, sizeof(h)) : bpf_skb_load_bytes(ctx, off, h, sizeof(h)))
			return 0;
		if (next == IPPROTO_FRAGMENT) {
			if (h[2] || h[3] & 0xf8)
				return 0; /* not the first */
			off += 8;
		} else {
			off += next == IPPROTO_AH ? (h[1] + 2) * 4 : (h[1] + 1) * 8;
		}
		next = h[0];
	}
	return next == IPPROTO_ICMPV6 ? off : 0;
}

/* Functions of their own: few packets come here. */
__noinline __u32 walk_xdp(struct xdp_md *ctx, __u32 off, __u8 next)
{
	return walk(ctx, true, off, next);
}

__noinline __u32 walk_skb(struct __sk_buff *ctx, __u32 off, __u8 next)
{
	return walk(ctx, false, off, next);
}

/* The offset of the ICMPv6 header, which may hide behind extension headers; 0 if there is none. */
static __always_inline __u32 icmp6_offset(struct frame *f, __u8 next)
{
	__u32 off = f->net + sizeof(struct ipv6hdr);

	if (next == IPPROTO_ICMPV6)
		return off;
	if (!is_extension(next))
		return 0;
	off = f->xdp ? walk_xdp(f->ctx, off, next) : walk_skb(f->ctx, off, next);
	barrier_var(off);
	return off & 0x3fff; /* which four headers cannot exceed; the verifier wants to be told */
}

static __always_inline __be16 icmp6_checksum(struct nd_answer *a)
{
	__be32 tail[2] = { bpf_htonl(sizeof(*a) - sizeof(a->ip)), bpf_htonl(IPPROTO_ICMPV6) };
	__u64 sum = bpf_csum_diff(0, 0, (__be32 *)&a->ip.saddr, sizeof(*a) - 8, 0);

	sum = bpf_csum_diff(0, 0, tail, sizeof(tail), sum);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* Is a solicitation for the target in order? Who asks from the unspecified address (DAD) may ask by multicast only. */
static __always_inline bool nd_valid(const struct ipv6hdr *ip, const struct nd *ns, bool plain)
{
	const __u32 *src = (const __u32 *)&ip->saddr, *dst = (const __u32 *)&ip->daddr, *target = (const __u32 *)ns->target;
	bool solicited = dst[0] == bpf_htonl(0xff020000) && !dst[1] && dst[2] == bpf_htonl(1) &&
			 dst[3] == (bpf_htonl(0xff000000) | (target[3] & bpf_htonl(0xffffff)));
	bool direct = dst[0] == target[0] && dst[1] == target[1] && dst[2] == target[2] && dst[3] == target[3];
	bool unspecified = !src[0] && !src[1] && !src[2] && !src[3];

	return plain && !ns->code && ip->hop_limit == 255 && bpf_ntohs(ip->payload_len) >= sizeof(*ns) &&
	       (solicited || (direct && !unspecified));
}

/* Answers a valid solicitation. The packet is written anew: whatever options it had, the answer has one. */
static __always_inline int nd_answer(struct frame *f, const struct iface *ifc, const struct vip *vip,
				     const struct ipv6hdr *ip, const struct nd *ns)
{
	struct nd_answer a = {
		.ip = { .version = 6, .payload_len = bpf_htons(sizeof(a) - sizeof(a.ip)), .nexthdr = IPPROTO_ICMPV6, .hop_limit = 255 },
		.nd = { .type = ICMP6_NA, .flags = NA_OVERRIDE },
		.option = 2, /* target link-layer address */
		.option_len = 1,
	};
	const __u32 *src = (const __u32 *)&ip->saddr;
	struct mac mac = answer_mac(ifc, vip), to = f->src;

	/* The cluster is a router, and a host drops a default router that says it is none. A proxied host speaks for itself. */
	if (!(vip->flags & VIP_PROXY))
		a.nd.flags |= NA_ROUTER;
	PACKET_COPY(&a.ip.saddr, ns->target, 16);
	PACKET_COPY(a.nd.target, ns->target, 16);
	if (src[0] || src[1] || src[2] || src[3]) {
		a.nd.flags |= NA_SOLICITED;
		a.ip.daddr = ip->saddr;
	} else {
		a.ip.daddr.in6_u.u6_addr32[0] = bpf_htonl(0xff020000);
		a.ip.daddr.in6_u.u6_addr32[3] = bpf_htonl(1);
		to = (struct mac){ .head = bpf_htonl(0x33330000), .tail = bpf_htons(1) };
	}
	__builtin_memcpy(a.mac, &mac, ETH_ALEN);
	a.nd.checksum = icmp6_checksum(&a);
	if (!frame_resize(f, f->net + sizeof(a)) || !frame_turn(f, to, speaker(ifc, mac)) || !frame_store(f, f->net, &a, sizeof(a))) {
		count(ANSWER_FAILED);
		return GATE_DROP;
	}
	count(ND_ANSWERED);
	return GATE_ANSWER;
}

/* -1 if the packet is no solicitation for an address of the cluster's here. */
static __always_inline int gate_nd(struct frame *f, const struct iface *ifc, struct words *w, __u32 ifindex, __u32 off)
{
	struct nd *ns = frame_at(f, off, sizeof(*ns));
	struct ipv6hdr *ip = f->data + f->net;
	const struct vip *vip;
	bool plain = off == f->net + sizeof(*ip);

	if (!ns || (void *)(ip + 1) > f->end || ns->type != ICMP6_NS)
		return -1;
	vip = vip6(ns->target, ifindex);
	if (!vip)
		return -1;
	if (!is_here(f, vip, ifindex)) {
		if (vip->flags & VIP_PROXY)
			return -1;
		count(ELSEWHERE_ND);
		return GATE_DROP;
	}
	if (!may(f, vip->group, bpf_ktime_get_boot_ns(), BIT_ANSWER)) /* about_now() is for other packets */
		return closed_rx(w, f, ifc, vip->group, CLOSED_ND);
	if (!to_many(f) && !for_us(f, ifc))
		return -1;
	if (!nd_valid(ip, ns, plain)) {
		count(ND_MALFORMED);
		return GATE_DROP;
	}
	return nd_answer(f, ifc, vip, ip, ns);
}

#endif
