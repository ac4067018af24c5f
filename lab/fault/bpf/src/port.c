// SPDX-License-Identifier: GPL-2.0-only
//
// Harm at a switch port: random drops, cuts between groups of ports, and duplicates.

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define NEXT (-1) // TCX_NEXT and TC_ACT_UNSPEC
#define DROP 2    // TCX_DROP and TC_ACT_SHOT

// The mark of a frame inside the switch: 0x4c......, the port it came in by, and whether it is a copy.
#define MARK_MAGIC 0x4c000000u
#define MARK_MASK 0xff000000u
#define MARK_COPY 0x00010000u
#define MARK_PORT 0x000000ffu

// Harm of one side of one port. Probabilities are thresholds for a random 32-bit number; 2^32 - 1 is always.
struct harm {
	__u32 drop;       // probability of a loss
	__u32 duplicate;  // probability of a second copy
	__u16 ether_type; // harms this EtherType only, host order; 0: all
	__u8 port;        // number of this port, 1..63; marks what comes in
	__u8 frame_type;  // harms only frames with this in their second byte, where the cluster's protocol has its type; 0: all
	__u32 pad;
	__u64 cut;        // "out" only: bit n set drops what came in by port n
	__u64 seen;       // frames of that EtherType and type
	__u64 dropped;
	__u64 duplicated;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);           // 0 in, 1 out
	__type(value, struct harm);
} harms SEC(".maps");

static __always_inline int hit(__u32 probability)
{
	return probability && (probability == 0xffffffffu || bpf_get_prandom_u32() < probability);
}

static __always_inline int port(struct __sk_buff *skb, __u32 side, __u64 copy_flags)
{
	struct harm *h = bpf_map_lookup_elem(&harms, &side);
	__u32 mark = (skb->mark & MARK_MASK) == MARK_MAGIC ? skb->mark : 0;
	__u32 from = mark & MARK_PORT;

	if (!h)
		return NEXT;
	if (h->ether_type && h->ether_type != bpf_ntohs((__u16)skb->protocol))
		return NEXT;
	if (h->frame_type) {
		__u8 type = 0;

		if (bpf_skb_load_bytes(skb, ETH_HLEN + 1, &type, 1) || type != h->frame_type)
			return NEXT;
	}
	if (side == 0 && (mark & MARK_COPY)) // a copy that was put back in here
		return NEXT;
	__sync_fetch_and_add(&h->seen, 1);
	if (side == 1 && from && from < 64 && (h->cut >> from) & 1) {
		__sync_fetch_and_add(&h->dropped, 1);
		return DROP;
	}
	if (hit(h->drop)) {
		__sync_fetch_and_add(&h->dropped, 1);
		return DROP;
	}
	if (side == 0)
		skb->mark = MARK_MAGIC | h->port;
	if (!(mark & MARK_COPY) && hit(h->duplicate)) {
		__u32 before = skb->mark;

		skb->mark = MARK_MAGIC | MARK_COPY | (before & MARK_PORT);
		if (bpf_clone_redirect(skb, skb->ifindex, copy_flags) == 0)
			__sync_fetch_and_add(&h->duplicated, 1);
		skb->mark = before;
	}
	return NEXT;
}

SEC("tcx/ingress")
int port_in(struct __sk_buff *skb)
{
	return port(skb, 0, BPF_F_INGRESS);
}

SEC("tcx/egress")
int port_out(struct __sk_buff *skb)
{
	return port(skb, 1, 0);
}

char LICENSE[] SEC("license") = "GPL";
