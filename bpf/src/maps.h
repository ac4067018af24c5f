/* SPDX-License-Identifier: GPL-2.0-only */
/* The maps that the gate shares with its loader. A changed layout cannot be adopted by a running gate: change nothing lightly. */
#ifndef HOLDFAST_MAPS_H
#define HOLDFAST_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

#include "words.h"

#define KEYS 4
#define VIPS 65536
#define COUNTERS 64 /* room to append */

/* ../counter.go names and explains them in the same order. Append only. */
enum counter {
	ARP_ANSWERED,
	ND_ANSWERED,
	VMAC_ADMITTED,
	PROBE_ANSWERED,
	YIELD_GRANTED,
	YIELD_REFUSED,
	REPLY_PASSED,
	SEALED_PASSED,
	CLOSED_VMAC,
	CLOSED_VIP,
	CLOSED_ARP,
	CLOSED_ND,
	ELSEWHERE_ARP,
	ELSEWHERE_ND,
	ND_MALFORMED,
	ANSWER_FAILED,
	EGRESS_TRANSIT,
	EGRESS_VMAC,
	EGRESS_VIP,
	EGRESS_ARP,
	EGRESS_NA,
	EGRESS_RA,
	FRAME_TRUNCATED,
	FRAME_VERSION,
	FRAME_TYPE,
	FRAME_CLUSTER,
	FRAME_SOURCE,
	FRAME_TARGET,
	FRAME_KEY,
	FRAME_TAG,
	FRAME_MALFORMED,
	FRAME_STALE,
	FRAME_LIMITED,
	QUIET_RX,
	QUIET_TX,
	SYNC_PASSED,
	SYNC_LIMITED,
	STEER_TAKEN,
	STEER_FOREIGN,
	STEER_PASSED,
	STEER_CORRECTED,
	STEER_PASSED_IN,
	STEER_DUPLICATE,
	STEER_UNKNOWN,
	STEER_BLOCKED,
	STEER_NOBODY,
	STEER_NO_MAC,
	FRAGMENT_FOLLOWED,
	FRAGMENT_KEPT,
	FRAGMENT_FLOODED,
	FRAGMENT_GUESSED,
};

#define IFACE_GATED 1 /* carries VIPs */
#define IFACE_VMAC 2 /* answers with its VMAC, and takes frames for it in */

/* A MAC as it lies in a packet, in two words that the compiler keeps in registers. */
struct mac {
	__u32 head;
	__be16 tail;
};

struct vip_key {
	__u32 ifindex; /* 0 unless the address is link-local */
	__u32 family; /* 4 or 6 */
	__u8 addr[16]; /* an IPv4 address in the first four bytes */
};

#define VIP_PROXY 1 /* answered only: not a local address */

struct vip {
	__u32 ifindex; /* at which it is answered */
	__u16 vlan; /* tag of those who may ask, 0 untagged */
	__u8 group;
	__u8 flags;
};

struct key {
	__u64 k0, k1; /* as SipHash reads them: little-endian */
	__u32 valid;
	__u32 reserved;
};

#define CLASSES 5 /* PROBE, REPLY, YIELD, YIELD-REPLY, sealed */

struct newest {
	__u64 incarnation, sequence;
};

/* What is remembered of one member at one interface slot, to tell fresh frames from recorded ones. */
struct source {
	__u64 arrival; /* token bucket: theoretical arrival time of the next frame, boot ns */
	struct newest newest[CLASSES];
};

/*
 * The same for SYNC frames. They come from another part of the daemon, with an incarnation of its own, and so many that nothing of
 * theirs may be in the way of the others. In a map of its own, because an older build's sources are adopted as they are, and not
 * pinned, because an older build would not know how to remove it; what a newer program forgets costs nothing.
 */
struct stream {
	__u64 arrival;
	struct newest newest;
};

/*
 * Packets that ingress has let in to be forwarded on this processor, and egress has not seen yet: they need not ask again. It holds for
 * one tick of the kernel's clock, and while the words are as they were. Not pinned, like streams.
 */
struct let_in {
	__u64 tick, lease, fence, quiet_last;
	__u32 packets;
	__u32 steer; /* a word as well */
	__u64 now; /* a reading of the clock within that tick, */
	__u64 left; /* and how many packets may go by it still, and by what was decided then */
	__u64 read; /* the tick before the clock was read last: the processor may be taken away at any moment after that */
};

/*
 * What the connection table has said of flows: the slot of the first packet of each one's connection, which is the same as long as that lives.
 * By the flow's keyed hash. A word each, several to a place, and one array for all processors: what this costs is the memory that it has to
 * come from. Not pinned either.
 */
#define FLOW_PLACES 2048

struct flows {
	__u64 way[4];
};

/*
 * Load sharing. These maps are not pinned: an older build would not know how to remove them. A restarted daemon finds them by the
 * programs, which keep them.
 */
#define STEER_SLOTS 1024 /* of the traffic; SLOTS are those of interfaces */

#define ENTRY_TAKER(e) ((e) & 7)
#define ENTRY_NEXT(e) ((e) >> 3 & 7)
#define ENTRY_MOVING 0x40
#define ENTRY_NOBODY 0x80

/* A slot table. There are two, so that a new one is written whole before one store puts it in force. */
struct bank {
	__u32 term, number;
	__u8 phase; /* 0: nothing is known, nobody takes anything */
	__u8 leader;
	__u16 takers; /* bit mask of members that take any slot */
	__u32 share[MEMBERS]; /* the daemon's */
	__u8 entry[STEER_SLOTS];
};

/* The MACs of the members at an interface slot, as they lie in a frame; head 0 and tail 0: not known. */
struct neighbours {
	struct {
		__u32 head;
		__be16 tail, reserved;
	} mac[MEMBERS];
};

struct published_key {
	__u32 prefix; /* 32 bits of family, then those of the address */
	__be32 family; /* 4 or 6 */
	__u8 addr[16]; /* an IPv4 address in the first four bytes */
};

struct fragment_key {
	__u8 src[16], dst[16]; /* IPv4 addresses in the first four bytes */
	__be32 id;
	__u8 family, proto;
	__u16 reserved;
};

struct fragment {
	__u64 at; /* boot ns */
	__u8 to; /* the member that takes the datagram; NOBODY: it is dropped here */
	__u8 guessed; /* by a later fragment that overtook the first */
	__u8 reserved[6];
};

/*
 * How the answers of a translated connection come in that the kernel cannot be asked about (known.h), for user space to write down: the daemon, which
 * hears of connections that begin and end here or at other members. Its memory is taken as it fills.
 */
#define ANSWERS 65536

struct answer_key {
	__u8 src[16], dst[16]; /* IPv4 addresses in the first four bytes */
	__u16 sport, dport; /* of protocols that have ports; the identifier of an echo, twice; of version 1 of GRE 0 and the call */
	__u8 family, proto;
	__u16 reserved;
};

#define ANSWER_SLOT (STEER_SLOTS - 1) /* of the connection's first packet */
#define ANSWER_HERE 0x8000 /* it has begun at this member, and is no copy of another's */

/* What this member has decided about a slot. */
struct slot_count {
	__u64 taken, taken_bytes, passed, passed_bytes;
};

/* What went to another member at layer 2, and what came from it. */
struct member_count {
	__u64 to, to_bytes, from, from_bytes;
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct bank);
} slots SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS);
	__type(key, __u32);
	__type(value, struct neighbours);
} neighbours SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct published_key);
	__type(value, __u32);
} published SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, struct fragment_key);
	__type(value, struct fragment);
} fragments SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, ANSWERS);
	__type(key, struct answer_key);
	__type(value, __u32);
} answers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, STEER_SLOTS);
	__type(key, __u32);
	__type(value, struct slot_count);
} slot_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, MEMBERS);
	__type(key, __u32);
	__type(value, struct member_count);
} member_counts SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct words);
} words SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, VIPS);
	__type(key, struct vip_key);
	__type(value, struct vip);
} vips SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__type(key, __u32); /* interface index */
	__type(value, struct iface);
} ifaces SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, KEYS);
	__type(key, __u32);
	__type(value, struct key);
} keys SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS * MEMBERS);
	__type(key, __u32);
	__type(value, struct source);
} sources SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLOTS * MEMBERS);
	__type(key, __u32);
	__type(value, struct stream);
} streams SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct let_in);
} let_in SEC(".maps");

/* What can be mapped begins with a page: otherwise half of the places would lie in two lines of the processor's cache each. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, FLOW_PLACES);
	__type(key, __u32);
	__type(value, struct flows);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS);
	__type(key, enum counter);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count(enum counter reason)
{
	__u64 *n = bpf_map_lookup_elem(&counters, &reason);

	if (n)
		*n += 1; /* per processor, and programs do not preempt each other here */
}

#endif
