/* SPDX-License-Identifier: GPL-2.0-only */
/* The programs: one core, entered from XDP or tc at ingress, and from tc at egress. */
#include "gate.h"
#include "short.h"

char LICENSE[] SEC("license") = "GPL";

/* Linux 6.1 headers have no TCX_*. NEXT lets programs behind this one have their say; to a classic filter it means the same. */
#define TCX_NEXT -1
#define TCX_DROP 2

/* Functions of their own, so that short.h has neither their stack to set up nor their registers to save. */
static __noinline int whole_xdp(struct xdp_md *ctx)
{
	struct frame f = { .ctx = ctx, .xdp = true };

	return gate_ingress(&f, ctx->ingress_ifindex);
}

static __noinline int whole_skb(struct __sk_buff *skb)
{
	struct frame f = { .ctx = skb };

	return gate_ingress(&f, skb->ifindex);
}

SEC("xdp.frags")
int holdfast_xdp(struct xdp_md *ctx)
{
	struct frame f = { .ctx = ctx, .xdp = true };
	const struct iface *ifc;
	__u32 ifindex = ctx->ingress_ifindex;
	int v = gate_short(ctx, true, ifindex);

	if (v < 0)
		v = whole_xdp(ctx);
	switch (v) {
	case GATE_DROP:
		return XDP_DROP;
	case GATE_ANSWER:
		return XDP_TX;
	case GATE_ADMIT:
		/* The stack looks at the address only afterwards. */
		ifc = bpf_map_lookup_elem(&ifaces, &ifindex);
		frame_reload(&f);
		if (!ifc || f.data + ETH_HLEN > f.end)
			return XDP_DROP;
		mac_store(f.data, mac_own(ifc));
	}
	return XDP_PASS;
}

SEC("tc")
int holdfast_ingress(struct __sk_buff *skb)
{
	int v = gate_short(skb, false, skb->ifindex);

	if (v < 0)
		v = whole_skb(skb);
	switch (v) {
	case GATE_DROP:
		return TCX_DROP;
	case GATE_ANSWER:
		return bpf_redirect(skb->ifindex, 0);
	case GATE_ADMIT:
		bpf_skb_change_type(skb, 0 /* PACKET_HOST */);
	}
	return TCX_NEXT;
}

SEC("tc")
int holdfast_egress(struct __sk_buff *skb)
{
	struct frame f = { .ctx = skb };

	return gate_egress(&f, skb->ifindex, skb->ingress_ifindex) == GATE_DROP ? TCX_DROP : TCX_NEXT;
}

/* Tells the loader which boot time the programs see. */
SEC("syscall")
int holdfast_clock(__u64 *now)
{
	*now = bpf_ktime_get_boot_ns();
	return 0;
}

/* Tell tests where a packet belongs: bit 31 is set if it is not steered, otherwise it is what place() returns. */
#define UNPLACED 0x80000000

SEC("xdp.frags")
int holdfast_place_xdp(struct xdp_md *ctx)
{
	struct frame f = { .ctx = ctx, .xdp = true };
	struct packet p = {};

	if (!frame_parse(&f) || packet_read(ctx, true, f.net, f.proto == bpf_htons(ETH_P_IP) ? 4 : 6, &p) != READ_OK)
		return UNPLACED;
	return place(&p, ctx->ingress_ifindex);
}

SEC("tc")
int holdfast_place_skb(struct __sk_buff *skb)
{
	struct frame f = { .ctx = skb };
	struct packet p = {};

	if (!frame_parse(&f) || packet_read(skb, false, f.net, f.proto == bpf_htons(ETH_P_IP) ? 4 : 6, &p) != READ_OK)
		return UNPLACED;
	return place(&p, skb->ifindex);
}
