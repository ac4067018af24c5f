/* SPDX-License-Identifier: GPL-2.0-only */
/* The cluster's addresses, and who is meant by a frame. */
#ifndef HOLDFAST_ADDRESS_H
#define HOLDFAST_ADDRESS_H

#include "frame.h"
#include "serving.h"
#include "verdict.h"

/* Can an address with this hash be no VIP's? Most are none, and then need no look into the map. ../vips.go has the hash in Go. */
static __always_inline bool is_no_vip(__u32 hash)
{
	const struct words *w = the_words();

	hash = hash * 0x9e3779b1 >> 23;
	asm volatile("" : "+r"(hash)); /* as in group_at */
	return w && READ_ONCE(w->no_vip[hash >> 6 & (VIP_WORDS - 1)]) >> (hash & 63) & 1;
}

static __always_inline const struct vip *vip4(const __be32 *addr)
{
	struct vip_key key = { .family = 4 };

	PACKET_COPY(key.addr, addr, 4);
	if (is_no_vip(*(const __u32 *)key.addr))
		return 0;
	return bpf_map_lookup_elem(&vips, &key);
}

/* addr need not be aligned; it is copied before the lookup. */
static __always_inline const struct vip *vip6(const __u8 *addr, __u32 ifindex)
{
	struct vip_key key = { .family = 6 };

	PACKET_COPY(key.addr, addr, 16);
	if (is_no_vip(((const __u32 *)key.addr)[0] ^ ((const __u32 *)key.addr)[1] ^ ((const __u32 *)key.addr)[2] ^ ((const __u32 *)key.addr)[3]))
		return 0;
	if (key.addr[0] == 0xfe && (key.addr[1] & 0xc0) == 0x80)
		key.ifindex = ifindex;
	return bpf_map_lookup_elem(&vips, &key);
}

static __always_inline bool may(const struct frame *f, __u32 group, __u64 now, __u32 bits)
{
	return !f->quiet && serving(group, now) & bits;
}

/* Is the frame for this host or its VMAC, rather than for all or flooded by a switch? */
static __always_inline bool for_us(const struct frame *f, const struct iface *ifc)
{
	return mac_equal(f->dst, mac_own(ifc)) || vmac_group(ifc, f->dst) >= 0;
}

static __always_inline bool to_many(const struct frame *f)
{
	return ((const __u8 *)&f->dst.head)[0] & 1;
}

/*
 * Drops what met a closed gate. Broadcasts do not count there, nor do frames for a VMAC of many: every member sees them, wherever the
 * switch thinks we are. Nor does what meets a quiet interface: whether the switch is wrong about us will show when it has listened.
 */
static __always_inline int closed_rx(struct words *w, const struct frame *f, const struct iface *ifc, __u32 group,
				     enum counter reason)
{
	if (f->quiet) {
		count(QUIET_RX);
		return GATE_DROP;
	}
	if (!to_many(f) && for_us(f, ifc))
		__sync_fetch_and_add(&group_at(w, group)->closed_rx, 1);
	count(reason);
	return GATE_DROP;
}

static __always_inline int closed_tx(struct words *w, const struct frame *f, __u32 group, enum counter reason)
{
	if (f->quiet) {
		count(QUIET_TX);
		return GATE_DROP;
	}
	__sync_fetch_and_add(&group_at(w, group)->closed_tx, 1);
	count(reason);
	return GATE_DROP;
}

/* The MAC that answers for a VIP. */
static __always_inline struct mac answer_mac(const struct iface *ifc, const struct vip *vip)
{
	return ifc->flags & IFACE_VMAC ? mac_virtual(ifc, vip->group) : mac_own(ifc);
}

/* The MAC that says so: that of many, to which all members listen, is no source (IEEE 802.3). */
static __always_inline struct mac speaker(const struct iface *ifc, struct mac answer)
{
	return ((const __u8 *)&answer.head)[0] & 1 ? mac_own(ifc) : answer;
}

static __always_inline bool is_here(const struct frame *f, const struct vip *vip, __u32 ifindex)
{
	return vip->ifindex == ifindex && vip->vlan == f->vlan;
}

#endif
