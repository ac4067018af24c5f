/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One view of a packet for both entry points. `xdp` is a constant wherever these are inlined, so that each program keeps its own
 * branch only. frame_at and the writers may move the packet: pointers into it taken before are gone afterwards.
 */
#ifndef HOLDFAST_FRAME_H
#define HOLDFAST_FRAME_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "maps.h"

#define VLAN_STACKED 0xffff /* more than one tag: no VIP is there */

struct frame {
	void *ctx; /* struct xdp_md or struct __sk_buff */
	void *data, *end;
	bool xdp;
	bool quiet; /* an interface that it uses only listens */
	__u16 vlan; /* 0 untagged (or only a priority tag) */
	__be16 proto; /* behind the tags */
	__u32 net; /* offset of the network header */
	struct mac dst, src;
};

struct vlan_tag {
	__be16 tci, proto;
};

static __always_inline void frame_reload(struct frame *f)
{
	if (f->xdp) {
		f->data = (void *)(long)((struct xdp_md *)f->ctx)->data;
		f->end = (void *)(long)((struct xdp_md *)f->ctx)->data_end;
	} else {
		f->data = (void *)(long)((struct __sk_buff *)f->ctx)->data;
		f->end = (void *)(long)((struct __sk_buff *)f->ctx)->data_end;
	}
}

static __always_inline __u32 frame_len(struct frame *f)
{
	return f->xdp ? (__u32)bpf_xdp_get_buff_len(f->ctx) : ((struct __sk_buff *)f->ctx)->len;
}

/* A pointer to len bytes at off, or null if the packet has not that many. */
static __always_inline void *frame_at(struct frame *f, __u32 off, const __u32 len)
{
	void *p = f->data + off;

	/* The pointer that is checked must be the one that is used: the compiler may not add up another one later. */
	barrier_var(p);
	if (p + len <= f->end)
		return p;
	/* The rest of an skb may lie in pages that were not looked at yet. */
	if (f->xdp || ((struct __sk_buff *)f->ctx)->len < off + len || bpf_skb_pull_data(f->ctx, off + len))
		return 0;
	frame_reload(f);
	p = f->data + off;
	barrier_var(p);
	return p + len <= f->end ? p : 0;
}

static __always_inline bool is_vlan(__be16 proto)
{
	return proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD);
}

/* Copies words out of a packet. There everything may lie anywhere, but whole words may be loaded nevertheless. */
#define PACKET_COPY(to, from, len) __builtin_memcpy(to, __builtin_assume_aligned(from, 8), len)

static __always_inline struct mac mac_load(const void *p)
{
	return (struct mac){ .head = *(const __u32 *)p, .tail = *(const __be16 *)(p + 4) };
}

static __always_inline void mac_store(void *p, struct mac mac)
{
	*(__u32 *)p = mac.head;
	*(__be16 *)(p + 4) = mac.tail;
}

static __always_inline bool mac_equal(struct mac a, struct mac b)
{
	return a.head == b.head && a.tail == b.tail;
}

static __always_inline struct mac mac_own(const struct iface *ifc)
{
	return (struct mac){ .head = ifc->mac_head, .tail = ifc->mac_tail };
}

static __always_inline struct mac mac_virtual(const struct iface *ifc, __u8 group)
{
	return (struct mac){ .head = ifc->vmac_head, .tail = (ifc->vmac_tail & bpf_htons(0xff00)) | bpf_htons(group) };
}

/* The group whose VMAC this is, or -1. */
static __always_inline int vmac_group(const struct iface *ifc, struct mac mac)
{
	__u8 group = bpf_ntohs(mac.tail);

	if (!(ifc->flags & IFACE_VMAC) || group >= GROUPS || !mac_equal(mac, mac_virtual(ifc, group)))
		return -1;
	return group;
}

/* Reads the Ethernet header and its tags. False if there is no whole one. */
static __always_inline bool frame_parse(struct frame *f)
{
	struct ethhdr *eth;
	int tags = 0;

	frame_reload(f);
	f->vlan = 0;
	f->net = sizeof(*eth);
	eth = frame_at(f, 0, sizeof(*eth));
	if (!eth)
		return false;
	f->dst = mac_load(eth->h_dest);
	f->src = mac_load(eth->h_source);
	f->proto = eth->h_proto;
	if (!f->xdp) {
		struct __sk_buff *skb = f->ctx;

		if (skb->vlan_present) {
			f->vlan = skb->vlan_tci & 0xfff;
			tags++;
		}
	}
#pragma unroll
	for (int i = 0; i < 2; i++) {
		struct vlan_tag *tag;

		if (!is_vlan(f->proto))
			break;
		tag = frame_at(f, f->net, sizeof(*tag));
		if (!tag)
			return false;
		f->vlan = tags++ ? VLAN_STACKED : bpf_ntohs(tag->tci) & 0xfff;
		f->proto = tag->proto;
		f->net += sizeof(*tag);
	}
	return true;
}

/* Overwrites len bytes at off. Anything behind the Ethernet header keeps a checksum right that the hardware has computed. */
static __always_inline bool frame_store(struct frame *f, __u32 off, const void *from, const __u32 len)
{
	if (f->xdp)
		return !bpf_xdp_store_bytes(f->ctx, off, (void *)from, len);
	return !bpf_skb_store_bytes(f->ctx, off, from, len, off < ETH_HLEN ? 0 : BPF_F_RECOMPUTE_CSUM);
}

/* Cuts or grows the packet to len bytes. */
static __always_inline bool frame_resize(struct frame *f, __u32 len)
{
	if (f->xdp)
		return !bpf_xdp_adjust_tail(f->ctx, (int)len - (int)frame_len(f));
	return !bpf_skb_change_tail(f->ctx, len, 0);
}

/* Addresses the packet anew. */
static __always_inline bool frame_turn(struct frame *f, struct mac to, struct mac from)
{
	struct {
		__u32 to_head;
		__be16 to_tail, from_half[2], from_tail;
	} macs = { .to_head = to.head, .to_tail = to.tail, .from_tail = from.tail };

	__builtin_memcpy(macs.from_half, &from.head, 4);
	return frame_store(f, 0, &macs, sizeof(macs));
}

#endif
