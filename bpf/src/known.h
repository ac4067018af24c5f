/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the kernel's own connection table knows of a packet. It can be asked about TCP and UDP only (Linux 5.18 and later); of the others' answers
 * that NAT has changed the daemon notes whose they are.
 */
#ifndef HOLDFAST_KNOWN_H
#define HOLDFAST_KNOWN_H

#include "packet.h"

#define KNOWN_BLIND 0 /* cannot be asked */
#define KNOWN_NOT 1
#define KNOWN_SAME 2 /* its slot is the packet's */
#define KNOWN_NATED 3 /* the packet was replaced by the first of its connection */
#define KNOWN_HERE 4 /* besides the latter two: this kernel saw it begin, it is no copy of another member's */

#define IPS_NAT_MASK 0x30 /* linux/netfilter/nf_conntrack_common.h */
#define IP_CT_TCP_FLAG_BE_LIBERAL 0x08 /* linux/netfilter/nf_conntrack_tcp.h */
#define COPIES_LAST (1 << 21) /* ticks: copies live for longer (12 h), and what UDP refreshes for less */
#define ENOENT 2

/* The parts of the kernel's structures that are read, wherever they lie in the running one. */
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

union nf_inet_addr {
	__be32 all[4];
};

union nf_conntrack_man_proto {
	__be16 all;
};

struct nf_conntrack_man {
	union nf_inet_addr u3;
	union nf_conntrack_man_proto u;
};

struct nf_conntrack_tuple {
	struct nf_conntrack_man src;
	struct {
		union nf_inet_addr u3;
		union {
			__be16 all;
		} u;
	} dst;
};

struct nf_conntrack_tuple_hash {
	struct nf_conntrack_tuple tuple;
};

struct ip_ct_tcp_state {
	__u8 flags;
};

struct ip_ct_tcp {
	struct ip_ct_tcp_state seen[2];
};

union nf_conntrack_proto {
	struct ip_ct_tcp tcp;
};

struct nf_conn {
	__u32 timeout;
	struct nf_conntrack_tuple_hash tuplehash[2];
	unsigned long status;
	union nf_conntrack_proto proto;
};

#pragma clang attribute pop

struct bpf_ct_opts___gate {
	__s32 netns_id, error;
	__u8 l4proto, dir, reserved[2];
};

extern struct nf_conn *bpf_xdp_ct_lookup(struct xdp_md *ctx, struct bpf_sock_tuple *tuple, __u32 tuple_size,
					 struct bpf_ct_opts___gate *opts, __u32 opts_size) __ksym __weak;
extern struct nf_conn *bpf_skb_ct_lookup(struct __sk_buff *ctx, struct bpf_sock_tuple *tuple, __u32 tuple_size,
					 struct bpf_ct_opts___gate *opts, __u32 opts_size) __ksym __weak;
extern void bpf_ct_release(struct nf_conn *ct) __ksym __weak;

/*
 * Are the functions above there? The loader puts 0 or 1 in the place of the number (../blind.go), and the verifier leaves out what is never
 * reached. Taking their addresses would say so too, but those of a module's functions are not loaded rightly.
 */
static __always_inline bool can_ask(void)
{
	__u32 yes;

	asm volatile("%0 = 0x6b6e6f77" : "=r"(yes));
	return yes;
}

/* Did it begin here? Copies are liberal, of TCP, and last for longer than the kernel gives UDP: package record. */
static __always_inline bool is_begun_here(const struct nf_conn *ct, __u8 proto)
{
	if (proto == IPPROTO_TCP)
		return !(ct->proto.tcp.seen[0].flags & IP_CT_TCP_FLAG_BE_LIBERAL);
	return (__s32)(ct->timeout - (__u32)bpf_jiffies64()) < COPIES_LAST;
}

/* Can the kernel be asked about connections of its protocol? */
static __always_inline bool is_asked(const struct packet *p)
{
	return p->proto == IPPROTO_TCP || p->proto == IPPROTO_UDP;
}

static __always_inline __u32 known(void *ctx, bool xdp, struct packet *p)
{
	struct bpf_ct_opts___gate opts = { .netns_id = BPF_F_CURRENT_NETNS };
	struct bpf_sock_tuple tuple = {};
	struct nf_conn *ct;
	__u32 size, result = KNOWN_SAME;

	if (!p || !is_asked(p) || !can_ask())
		return KNOWN_BLIND;
	if (p->family == 6) {
		__builtin_memcpy(tuple.ipv6.saddr, p->src, 16);
		__builtin_memcpy(tuple.ipv6.daddr, p->dst, 16);
		tuple.ipv6.sport = bpf_htons(p->sport);
		tuple.ipv6.dport = bpf_htons(p->dport);
		size = sizeof(tuple.ipv6);
	} else {
		tuple.ipv4.saddr = p->src[0];
		tuple.ipv4.daddr = p->dst[0];
		tuple.ipv4.sport = bpf_htons(p->sport);
		tuple.ipv4.dport = bpf_htons(p->dport);
		size = sizeof(tuple.ipv4);
	}
	opts.l4proto = p->proto;
	ct = xdp ? bpf_xdp_ct_lookup(ctx, &tuple, size, &opts, sizeof(opts)) : bpf_skb_ct_lookup(ctx, &tuple, size, &opts, sizeof(opts));
	if (!ct)
		return opts.error == -ENOENT ? KNOWN_NOT : KNOWN_BLIND;
	if (opts.dir && ct->status & IPS_NAT_MASK) {
		const struct nf_conntrack_tuple *first = &ct->tuplehash[0].tuple;

#pragma unroll
		for (int i = 0; i < 4; i++) {
			p->src[i] = first->src.u3.all[i];
			p->dst[i] = first->dst.u3.all[i];
		}
		p->sport = bpf_ntohs(first->src.u.all);
		p->dport = bpf_ntohs(first->dst.u.all);
		p->flags = 0;
		result = KNOWN_NATED;
	}
	if (is_begun_here(ct, p->proto))
		result |= KNOWN_HERE;
	bpf_ct_release(ct);
	return result;
}

#define NOTED_KNOWN(n) ((n) >> 16) /* KNOWN_BLIND if nothing is noted */
#define NOTED_SLOT(n) ((n) & ANSWER_SLOT)

/* The same of what the kernel cannot be asked about. ICMP has answers to echoes alone. */
__noinline __u32 answer_noted(const struct packet *p)
{
	struct answer_key key = {};
	const __u32 *note;

	if (!p || ((p->proto == IPPROTO_ICMP || p->proto == IPPROTO_ICMPV6) && !(p->flags & PACKET_ECHO_REPLY)))
		return KNOWN_BLIND;
	__builtin_memcpy(key.src, p->src, 16);
	__builtin_memcpy(key.dst, p->dst, 16);
	key.sport = p->sport;
	key.dport = p->proto == IPPROTO_GRE ? p->call : p->dport;
	key.family = p->family;
	key.proto = p->proto;
	note = bpf_map_lookup_elem(&answers, &key);
	if (!note)
		return KNOWN_BLIND;
	return (KNOWN_NATED | (*note & ANSWER_HERE ? KNOWN_HERE : 0)) << 16 | (*note & ANSWER_SLOT);
}

__noinline __u32 known_xdp(struct xdp_md *ctx, struct packet *p)
{
	return known(ctx, true, p);
}

__noinline __u32 known_skb(struct __sk_buff *ctx, struct packet *p)
{
	return known(ctx, false, p);
}

#endif
