// SPDX-License-Identifier: GPL-2.0-only
//
// One end of many short connections, at the ingress of a host's device. The server's end answers each datagram with the same one
// and each SYN and FIN in TCP's words; the client's end counts the answers and goes on with the handshake. Neither keeps anything
// of a connection. What it takes never reaches the host's stack.

#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define NEXT (-1) // TCX_NEXT and TC_ACT_UNSPEC
#define DROP 2    // TCX_DROP and TC_ACT_SHOT

#define FIN 0x01
#define SYN 0x02
#define RST 0x04
#define ACK 0x10

struct settings {
	__u16 first_port; // of the server's ports, host order
	__u16 last_port;
	__u8 server; // this is the server's end
	__u8 answer; // the server answers
	__u8 close;  // the client closes each TCP connection once it is open
	__u8 pad;
};

struct counts {
	__u64 taken;    // packets of the connections
	__u64 answered; // client: datagrams and SYN/ACKs that arrived
	__u64 closed;   // client: FIN/ACKs that arrived
	__u64 reset;    // RSTs that arrived
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} setting SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counts);
} count SEC(".maps");

// What a TCP header has between its ports and its checksum.
struct numbers {
	__be32 seq;
	__be32 ack;
	__u8 offset;
	__u8 flags;
	__be16 window;
};

// swap turns the packet around: a checksum does not mind, it is a sum.
static __always_inline int swap(struct __sk_buff *skb, bool six, __u32 l4)
{
	__be16 ports[2], turned[2];

	if (bpf_skb_load_bytes(skb, l4, ports, sizeof(ports)))
		return -1;
	turned[0] = ports[1];
	turned[1] = ports[0];
	if (bpf_skb_store_bytes(skb, l4, turned, sizeof(turned), 0))
		return -1;
	if (six) {
		struct in6_addr a[2], b[2];

		if (bpf_skb_load_bytes(skb, ETH_HLEN + 8, a, sizeof(a)))
			return -1;
		b[0] = a[1];
		b[1] = a[0];
		return bpf_skb_store_bytes(skb, ETH_HLEN + 8, b, sizeof(b), 0);
	}
	__be32 a[2], b[2];

	if (bpf_skb_load_bytes(skb, ETH_HLEN + 12, a, sizeof(a)))
		return -1;
	b[0] = a[1];
	b[1] = a[0];
	return bpf_skb_store_bytes(skb, ETH_HLEN + 12, b, sizeof(b), 0);
}

// reply sets a TCP segment's numbers and flags.
static __always_inline int reply(struct __sk_buff *skb, __u32 l4, struct numbers *was, __be32 seq, __be32 ack, __u8 flags)
{
	struct numbers is = {.seq = seq, .ack = ack, .offset = was->offset, .flags = flags, .window = was->window};
	__s64 diff = bpf_csum_diff((__be32 *)was, sizeof(*was), (__be32 *)&is, sizeof(is), 0);

	if (diff < 0 || bpf_skb_store_bytes(skb, l4 + 4, &is, sizeof(is), 0))
		return -1;
	return bpf_l4_csum_replace(skb, l4 + 16, 0, diff, 0);
}

static __always_inline __be32 plus(__be32 n, __u32 more)
{
	return bpf_htonl(bpf_ntohl(n) + more);
}

// segment answers a TCP segment in place; it returns 0 when there is something to send back.
static __always_inline int segment(struct __sk_buff *skb, struct settings *s, struct counts *c, __u32 l4)
{
	struct numbers n;

	if (bpf_skb_load_bytes(skb, l4 + 4, &n, sizeof(n)))
		return -1;
	if (n.flags & RST) {
		__sync_fetch_and_add(&c->reset, 1);
		return -1;
	}
	if (s->server) {
		if (!s->answer)
			return -1;
		if (n.flags & SYN) // the server's first number follows from the client's
			return reply(skb, l4, &n, ~n.seq, plus(n.seq, 1), SYN | ACK);
		if (n.flags & FIN)
			return reply(skb, l4, &n, n.ack, plus(n.seq, 1), FIN | ACK);
		return -1;
	}
	if (n.flags & SYN) {
		__sync_fetch_and_add(&c->answered, 1);
		return reply(skb, l4, &n, n.ack, plus(n.seq, 1), s->close ? FIN | ACK : ACK);
	}
	if (n.flags & FIN) {
		__sync_fetch_and_add(&c->closed, 1);
		return reply(skb, l4, &n, n.ack, plus(n.seq, 1), ACK);
	}
	return -1;
}

SEC("tcx/ingress")
int end_in(struct __sk_buff *skb)
{
	__u32 zero = 0, l4 = ETH_HLEN + sizeof(struct iphdr);
	struct settings *s = bpf_map_lookup_elem(&setting, &zero);
	struct counts *c = bpf_map_lookup_elem(&count, &zero);
	__be16 ports[2];
	__u8 protocol, first;
	__u16 port;
	bool six = false;

	if (!s || !c)
		return NEXT;
	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		if (bpf_skb_load_bytes(skb, ETH_HLEN, &first, 1) || first != 0x45 ||
		    bpf_skb_load_bytes(skb, ETH_HLEN + 9, &protocol, 1))
			return NEXT;
	} else if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		six = true;
		l4 = ETH_HLEN + sizeof(struct ipv6hdr);
		if (bpf_skb_load_bytes(skb, ETH_HLEN + 6, &protocol, 1))
			return NEXT;
	} else {
		return NEXT;
	}
	if ((protocol != IPPROTO_UDP && protocol != IPPROTO_TCP) || bpf_skb_load_bytes(skb, l4, ports, sizeof(ports)))
		return NEXT;
	port = bpf_ntohs(s->server ? ports[1] : ports[0]);
	if (port < s->first_port || port > s->last_port)
		return NEXT;
	__sync_fetch_and_add(&c->taken, 1);
	if (protocol == IPPROTO_UDP) {
		if (!s->server)
			__sync_fetch_and_add(&c->answered, 1);
		if (!s->server || !s->answer)
			return DROP;
	} else if (segment(skb, s, c, l4)) {
		return DROP;
	}
	if (swap(skb, six, l4))
		return DROP;
	// By the host's own route and neighbour, as the host would send it: not to whoever forwarded the packet.
	return bpf_redirect_neigh(skb->ifindex, NULL, 0, 0);
}

char LICENSE[] SEC("license") = "GPL";
