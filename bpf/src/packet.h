/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What steering looks at of a packet. dataplane/steer has the same in Go (Parse), and says what counts.
 *
 * Functions that are not static are verified on their own (see serving.h). They come in pairs, because an XDP context is none of tc.
 */
#ifndef HOLDFAST_PACKET_H
#define HOLDFAST_PACKET_H

#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>

#include "frame.h"
#include "ip6.h"

#define PACKET_FIRST 1 /* fragment */
#define PACKET_LATER 2
#define PACKET_ECHO 4 /* request */
#define PACKET_ECHO_REPLY 8
#define PACKET_ERROR 16 /* ends are those of the packet that an ICMP error is about, exchanged */

#define TCP_RST 4
#define TCP_ACK 16

#define PROTO_DCCP 33
#define PROTO_SCTP 132
#define PROTO_UDPLITE 136

#define WALK 8 /* extension headers */

struct packet {
	__be32 src[4], dst[4]; /* IPv4 in the first */
	__u32 spi;
	__be32 id; /* of a fragment */
	__u16 sport, dport; /* or the identifier of an echo, twice */
	__u32 inner; /* offset of the packet that an ICMP error is about, 0 if it is none */
	__u8 family; /* 4 or 6 */
	__u8 proto; /* behind extension headers; 0 if they are too many */
	__u8 part_proto; /* of a fragment, as its header says */
	__u8 flags, tcp;
	__u8 hops; /* IPv6 */
	__u16 call; /* of version 1 of GRE (PPTP): the identifier that the kernel tells its connections by */
	__u64 flow; /* place()'s: tells it from all other flows, and from its answers; 0 if nothing is to be remembered of it */
};

_Static_assert(__builtin_offsetof(struct packet, dst) == 16, "packet");
_Static_assert(__builtin_offsetof(struct packet, flow) == 56, "packet");

/* What became of reading it. */
#define READ_MALFORMED 0
#define READ_OK 1
#define READ_UNSTEERED 2 /* for many, or neighbour or listener discovery */

/* Copies len bytes at off; false if there are not that many. */
static __always_inline bool packet_load(void *ctx, bool xdp, __u32 off, void *to, const __u32 len)
{
	void *data, *end, *p;

	if (xdp) {
		data = (void *)(long)((struct xdp_md *)ctx)->data;
		end = (void *)(long)((struct xdp_md *)ctx)->data_end;
	} else {
		data = (void *)(long)((struct __sk_buff *)ctx)->data;
		end = (void *)(long)((struct __sk_buff *)ctx)->data_end;
	}
	off &= 0x3fff;
	barrier_var(off);
	p = data + off;
	barrier_var(p);
	if (p + len <= end) {
		PACKET_COPY(to, p, len);
		return true;
	}
	/* It may lie in pages that are not mapped here. */
	return xdp ? !bpf_xdp_load_bytes(ctx, off, to, len) : !bpf_skb_load_bytes(ctx, off, to, len);
}

static __always_inline bool has_ports(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == PROTO_UDPLITE || proto == PROTO_SCTP || proto == PROTO_DCCP;
}

/*
 * Neighbour or listener discovery, which is for every member that gets it? Only what cannot come from behind a router (RFC 4861, RFC 3810)
 * counts: of anything else to one address the cluster takes one copy.
 */
static __always_inline bool is_discovery(const struct packet *p, __u8 type)
{
	bool listeners = (type >= 130 && type <= 132) || type == 143;

	if (!listeners && (type < 133 || type > 137))
		return false;
	return p->hops == (listeners ? 1 : 255) || (p->dst[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* Reads what is behind the IP header and the extension headers. */
static __always_inline __u32 read_transport(void *ctx, bool xdp, __u32 off, struct packet *p)
{
	__be32 h[2];
	__u8 type;

	/* A whole header most of the time; what is not there counts as 0. */
	if (!packet_load(ctx, xdp, off, h, 8))
		return READ_OK;
	type = ((__u8 *)h)[0];
	if (has_ports(p->proto)) {
		p->sport = bpf_ntohl(h[0]) >> 16;
		p->dport = bpf_ntohl(h[0]);
		if (p->proto == IPPROTO_TCP && packet_load(ctx, xdp, off + 12, h, 2))
			p->tcp = ((__u8 *)h)[1];
	} else if (p->proto == IPPROTO_ICMP && p->family == 4) {
		if (type == 8 || !type)
			p->flags |= type ? PACKET_ECHO : PACKET_ECHO_REPLY;
		else if (type == 3 || type == 4 || type == 5 || type == 11 || type == 12)
			p->inner = off + 8;
	} else if (p->proto == IPPROTO_ICMPV6 && p->family == 6) {
		if (type == 128 || type == 129)
			p->flags |= type == 128 ? PACKET_ECHO : PACKET_ECHO_REPLY;
		else if (type && type <= 4)
			p->inner = off + 8;
		else if (is_discovery(p, type))
			return READ_UNSTEERED;
	} else if (p->proto == IPPROTO_ESP) {
		p->spi = bpf_ntohl(h[0]);
	} else if (p->proto == IPPROTO_AH) {
		p->spi = bpf_ntohl(h[1]);
	} else if (p->proto == IPPROTO_GRE && (bpf_ntohl(h[0]) >> 16 & 7) == 1) {
		p->call = bpf_ntohl(h[1]);
	}
	if (p->flags & (PACKET_ECHO | PACKET_ECHO_REPLY))
		p->sport = p->dport = bpf_ntohl(h[1]) >> 16;
	return READ_OK;
}

static __always_inline __u32 read_ip4(void *ctx, bool xdp, __u32 off, struct packet *p)
{
	struct iphdr ip;
	__u32 frag;

	if (!packet_load(ctx, xdp, off, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5)
		return READ_MALFORMED;
	p->src[0] = ip.saddr;
	p->dst[0] = ip.daddr;
	p->proto = p->part_proto = ip.protocol;
	if (bpf_ntohl(ip.daddr) >= 0xe0000000 && (bpf_ntohl(ip.daddr) < 0xf0000000 || !~ip.daddr))
		return READ_UNSTEERED;
	frag = bpf_ntohs(ip.frag_off);
	if (frag & 0x3fff) {
		p->flags |= frag & 0x1fff ? PACKET_LATER : PACKET_FIRST;
		p->id = bpf_htonl(bpf_ntohs(ip.id));
		if (p->flags & PACKET_LATER)
			return READ_OK;
	}
	return read_transport(ctx, xdp, off + ip.ihl * 4, p);
}

/* Walks the extension headers: the offset behind them, or 0 if there is nothing more to read. */
static __always_inline __u32 read_extensions(void *ctx, bool xdp, __u32 off, struct packet *p, bool spi)
{
	__u8 next = p->proto;

	for (int i = 0; i < WALK; i++) {
		__u8 h[8];

		if (!is_extension(next) || (next == IPPROTO_AH && spi))
			break;
		p->proto = 0;
		if (!packet_load(ctx, xdp, off, h, sizeof(h)))
			return 0;
		if (next == IPPROTO_FRAGMENT) {
			__u32 frag = h[2] << 8 | h[3];

			off += 8;
			if (frag & 0xfff9) {
				p->part_proto = h[0];
				__builtin_memcpy(&p->id, h + 4, 4);
				if (frag & 0xfff8) {
					p->flags |= PACKET_LATER;
					return 0;
				}
				p->flags |= PACKET_FIRST;
			}
		} else {
			off += next == IPPROTO_AH ? (h[1] + 2) * 4 : (h[1] + 1) * 8;
		}
		next = h[0];
		barrier_var(off);
	}
	if (is_extension(next) && !(next == IPPROTO_AH && spi)) {
		p->proto = 0;
		return 0;
	}
	p->proto = next;
	return off;
}

static __always_inline __u32 read_ip6(void *ctx, bool xdp, __u32 off, struct packet *p)
{
	const struct words *w = the_words();
	__u8 head[8];

	/* The addresses go where they belong at once: Linux 6.1 has too little stack for a copy. */
	if (!w || !packet_load(ctx, xdp, off, head, sizeof(head)) || head[0] >> 4 != 6 || !packet_load(ctx, xdp, off + 8, p->src, 32))
		return READ_MALFORMED;
	p->proto = head[6];
	p->hops = head[7];
	if (((__u8 *)p->dst)[0] == 0xff)
		return READ_UNSTEERED;
	off += sizeof(struct ipv6hdr);
	if (is_extension(p->proto)) {
		off = read_extensions(ctx, xdp, off, p, (READ_ONCE(w->steer) & STEER_KEY) == STEER_SPI);
		if (!off)
			return READ_OK;
	}
	return read_transport(ctx, xdp, off, p);
}

static __always_inline __u32 read_ip(void *ctx, bool xdp, __u32 off, __u32 family, struct packet *p)
{
	if (!p)
		return READ_MALFORMED;
	p->family = family;
	return family == 4 ? read_ip4(ctx, xdp, off, p) : read_ip6(ctx, xdp, off, p);
}

/* Reads one IP packet at off into p, which is all zero. */
__noinline __u32 read_xdp(struct xdp_md *ctx, __u32 off, __u32 family, struct packet *p)
{
	return read_ip(ctx, true, off, family, p);
}

__noinline __u32 read_skb(struct __sk_buff *ctx, __u32 off, __u32 family, struct packet *p)
{
	return read_ip(ctx, false, off, family, p);
}

/* Of an ICMP error counts the packet that it is about, as its answer would look. */
static __always_inline __u32 read_error(void *ctx, bool xdp, struct packet *p)
{
	struct packet in = {};

	if (!p)
		return 0;
	if ((xdp ? read_xdp(ctx, p->inner, p->family, &in) : read_skb(ctx, p->inner, p->family, &in)) == READ_MALFORMED ||
	    in.flags & PACKET_LATER)
		return 0;
	__builtin_memcpy(p->src, in.dst, 16);
	__builtin_memcpy(p->dst, in.src, 16);
	p->sport = in.dport;
	p->dport = in.sport;
	p->spi = in.spi;
	p->proto = in.proto;
	p->tcp = in.tcp;
	p->flags |= PACKET_ERROR;
	if (in.flags & PACKET_ECHO)
		p->flags |= PACKET_ECHO_REPLY;
	else if (in.flags & PACKET_ECHO_REPLY)
		p->flags |= PACKET_ECHO;
	return 1;
}

__noinline __u32 read_error_xdp(struct xdp_md *ctx, struct packet *p)
{
	return read_error(ctx, true, p);
}

__noinline __u32 read_error_skb(struct __sk_buff *ctx, struct packet *p)
{
	return read_error(ctx, false, p);
}

/* Reads the packet that decides where the one at off goes. */
static __always_inline __u32 packet_read(void *ctx, bool xdp, __u32 off, __u32 family, struct packet *p)
{
	__u32 r = xdp ? read_xdp(ctx, off, family, p) : read_skb(ctx, off, family, p);

	if (r == READ_OK && p->inner) {
		if (xdp)
			read_error_xdp(ctx, p);
		else
			read_error_skb(ctx, p);
	}
	return r;
}

#endif
