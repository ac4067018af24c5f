/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The gate's words: one array entry, mapped by user space too. Layout version 1, frozen; ../words.go is the same table in Go. What
 * is reserved is 0, and what takes its place must mean nothing while it is 0: a gate of an earlier build is adopted with that.
 * Times are ns of CLOCK_BOOTTIME. Every word is written whole.
 */
#ifndef HOLDFAST_WORDS_H
#define HOLDFAST_WORDS_H

#include <linux/types.h>
#include <stdbool.h>

#define MEMBERS 8
#define SLOTS 64 /* interface slots */
#define GROUPS 16
#define MAX_TERM ((1ULL << 24) - 1)
#define NOBODY 0xff

#define LEASE_BITS 40
#define LEASE_MASK ((1ULL << LEASE_BITS) - 1)
#define LEASE_UNIT 16 /* a lease counts time in units of 2^16 ns */
#define LEASE_RACED (1 << 14) /* units (one second) ahead of the clock that a store after our reading of it explains */

struct group {
	__u64 lease; /* term << 40 | renewed >> 16; user space only */
	__u64 fence; /* term << 8 | grantee; compare-and-swap only */
	__u64 linger; /* forward stays open until then */
	__u64 alone; /* since when marked as serving alone, 0 not */
	__u64 closed_rx; /* frames for us that met a closed gate */
	__u64 closed_tx; /* frames of ours that did */
	__u64 reserved[10];
};

struct iface {
	__u32 mac_head;
	__be16 mac_tail;
	__be16 ethertype; /* of CCP */
	__u32 vmac_head;
	__be16 vmac_tail; /* its low byte is the group's */
	__u8 slot;
	__u8 flags;
};

/* The loader's copy of an entry of ifaces, at its index modulo PORTS: most hosts need no other look. */
#define PORTS 32
struct port {
	__u32 ifindex, reserved; /* 0: none */
	struct iface iface;
};

#define VIP_WORDS 8

struct words {
	__u32 magic, version;
	__u64 incarnation;
	__u8 self, members;
	__u16 cluster;
	__u32 groups; /* bit mask of those in use */
	__u64 soft, hard, watch, linger; /* ns */
	__u64 watched; /* newest own stamp echoed by a probe that hears us */
	__u64 probed; /* when the last authentic probe came */
	__u64 restarting; /* until when the daemon is announced as restarting */
	__u64 heard[MEMBERS]; /* when each member last echoed a stamp newer than before */
	__u64 echo[MEMBERS]; /* that stamp */
	__u64 build; /* of the pinned programs, 0 not known; user space only */
	__u64 single; /* since when no other member answers, 0 not; user space only */
	__u8 reserved[32];
	struct group group[GROUPS];
	__u64 quiet_last; /* the latest of quiet: from then on no interface is */
	__u64 quiet[SLOTS]; /* until when the gate only listens on an interface, 0 not; one without carrier is quiet for good */
	/* Load sharing: */
	__u64 share; /* as a lease; user space only */
	__u64 share_linger; /* forward stays open until then */
	__u64 table; /* its lowest bit is the bank that holds the slot table in force, the others since when, in units of 2^20 ns; user space only */
	__u64 hash_k0, hash_k1;
	__u32 steer; /* STEER_*; user space only */
	__u32 snat; /* first port << 16 | last, cut for all members; 0 no range */
	__u32 blind; /* the pinned programs were loaded while there was no connection table to ask; user space only */
	__u32 reserved2;
	__u64 flood; /* token bucket of later fragments for everybody: theoretical arrival time of the next; the programs only */
	struct port port[PORTS];
	__u64 no_vip[VIP_WORDS]; /* a set bit: no VIP has this hash (vip_hash) */
	__u8 rest[4096 - 256 - GROUPS * 128 - 8 - SLOTS * 8 - 64 - PORTS * 24 - VIP_WORDS * 8];
};

#define STEER_MODE 3 /* mask */
#define STEER_HA 0
#define STEER_MULTICAST 1
#define STEER_UNICAST 2
#define STEER_KEY (3 << 2) /* mask */
#define STEER_IPS (0 << 2)
#define STEER_PORTS (1 << 2)
#define STEER_SPI (2 << 2) /* ports, and the SPI of IPsec */
#define STEER_PUBLISHED (1 << 4) /* the map has entries */
#define STEER_BLOCK_NEW (1 << 5) /* drop what would begin a connection */
#define STEER_DRAINED (1 << 6) /* of moving slots others know all that we know: pass on what we would take */
#define STEER_UNTRANSLATED(six) ((1 << 7) << (six)) /* no connection of IPv4, of IPv6, is translated: none has to be asked for */


_Static_assert(sizeof(struct group) == 128, "group");
_Static_assert(__builtin_offsetof(struct words, group) == 256, "header");
_Static_assert(__builtin_offsetof(struct words, quiet) == 2312, "quiet");
_Static_assert(__builtin_offsetof(struct words, share) == 2824, "share");
_Static_assert(__builtin_offsetof(struct words, port) == 2888, "port");
_Static_assert(sizeof(struct words) == 4096, "words");

/* The bits of a member for a group, as frames carry them. */
#define BIT_ANSWER 1
#define BIT_FORWARD 2
#define BIT_ALONE 4
#define BIT_HEARS_YOU 8
#define BIT_RESTARTING 16
#define BIT_WATCHED 32

/*
 * The group of that number. The mask must stay in the code even where the compiler knows the bound: verifiers before Linux 6.8 forget
 * it when the number has been spilled to the stack.
 */
static __always_inline struct group *group_at(struct words *w, __u32 number)
{
	asm volatile("" : "+r"(number));
	return &w->group[number & (GROUPS - 1)];
}

/* Other processors and user space write these words while we read them. */
#define READ_ONCE(x) (*(const volatile typeof(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile typeof(x) *)&(x) = (v))

#endif
