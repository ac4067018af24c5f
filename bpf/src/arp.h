/* SPDX-License-Identifier: GPL-2.0-only */
/* ARP (RFC 826, RFC 5227): requests for a VIP are answered here, or nowhere. */
#ifndef HOLDFAST_ARP_H
#define HOLDFAST_ARP_H

#include "address.h"

/* linux/if_arp.h drags the C library in. */
#define ARPHRD_ETHER 1
#define ARPOP_REQUEST 1
#define ARPOP_REPLY 2

struct arp {
	__be16 htype, ptype;
	__u8 hlen, plen;
	__be16 op;
	__u8 sha[ETH_ALEN], spa[4], tha[ETH_ALEN], tpa[4];
} __attribute__((packed, aligned(2)));

_Static_assert(sizeof(struct arp) == 28, "arp");

/* Everything behind plen. */
struct arp_answer {
	__be16 op;
	__u8 sha[ETH_ALEN], spa[4], tha[ETH_ALEN], tpa[4];
} __attribute__((packed, aligned(2)));

static __always_inline struct arp *arp_at(struct frame *f)
{
	struct arp *arp = frame_at(f, f->net, sizeof(*arp));

	if (!arp || arp->htype != bpf_htons(ARPHRD_ETHER) || arp->ptype != bpf_htons(ETH_P_IP) ||
	    arp->hlen != ETH_ALEN || arp->plen != 4)
		return 0;
	return arp;
}

/* -1 if the frame is none of the gate's business. */
static __always_inline int gate_arp(struct frame *f, const struct iface *ifc, struct words *w, __u32 ifindex, __u64 now)
{
	struct arp *arp = arp_at(f);
	struct arp_answer a = { .op = bpf_htons(ARPOP_REPLY) };
	const struct vip *vip;
	struct mac mac;

	/* An announcement asks nothing: neighbours' tables want it, and our stack does not answer it. */
	if (!arp || arp->op != bpf_htons(ARPOP_REQUEST) || *(__u32 *)arp->spa == *(__u32 *)arp->tpa)
		return -1;
	PACKET_COPY(a.spa, arp->tpa, 4);
	PACKET_COPY(a.tha, arp->sha, ETH_ALEN);
	PACKET_COPY(a.tpa, arp->spa, 4);
	vip = vip4((const __be32 *)a.spa);
	if (!vip)
		return -1;
	if (!is_here(f, vip, ifindex)) {
		if (vip->flags & VIP_PROXY)
			return -1; /* the host itself is asked here */
		count(ELSEWHERE_ARP);
		return GATE_DROP;
	}
	if (!may(f, vip->group, now, BIT_ANSWER))
		return closed_rx(w, f, ifc, vip->group, CLOSED_ARP);
	if (!to_many(f) && !for_us(f, ifc))
		return -1;
	mac = answer_mac(ifc, vip);
	__builtin_memcpy(a.sha, &mac, ETH_ALEN);
	if (!frame_turn(f, f->src, speaker(ifc, mac)) || !frame_store(f, f->net + __builtin_offsetof(struct arp, op), &a, sizeof(a))) {
		count(ANSWER_FAILED);
		return GATE_DROP;
	}
	count(ARP_ANSWERED);
	return GATE_ANSWER;
}

#endif
