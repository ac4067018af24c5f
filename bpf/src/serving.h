/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What may pass, and how authentic frames change that. members/gate is the same in Go; tests keep the two equal.
 *
 * The functions that are not static are verified once each, on their own, with nothing but numbers going in and out: what they
 * branch on inside does not multiply with the branches of their callers, which keeps loading the programs fast.
 */
#ifndef HOLDFAST_SERVING_H
#define HOLDFAST_SERVING_H

#include "maps.h"

#define RETRIES 4 /* of a compare-and-swap that another processor won */

static __always_inline bool permits(__u64 fence, __u64 term, __u8 self)
{
	return term && (term > fence >> 8 || (term == fence >> 8 && (__u8)fence == self));
}

/* ns since the lease was renewed; one from the future is hundreds of days old, and does not serve. */
static __always_inline __u64 lease_age(__u64 lease, __u64 now)
{
	__u64 age = ((now >> LEASE_UNIT) - lease) & LEASE_MASK;

	return age >= LEASE_MASK + 1 - LEASE_RACED ? 0 : age << LEASE_UNIT;
}

static __always_inline bool is_watched(const struct words *w, __u64 now)
{
	__u64 watched = READ_ONCE(w->watched);

	return watched && (__s64)(now - watched) < (__s64)READ_ONCE(w->watch);
}

/* Has no member sent a probe since this was marked? */
static __always_inline bool unprobed(const struct words *w, __u64 marked)
{
	return marked && READ_ONCE(w->probed) <= marked;
}

static __always_inline bool is_fresh(const struct words *w, const struct group *g, __u64 lease, __u64 now)
{
	__u64 age = lease_age(lease, now);

	if (age < READ_ONCE(w->soft))
		return true;
	/* Late. Somebody who hears us would take over knowingly, and somebody who is not there, or never was, cannot. */
	return age < READ_ONCE(w->hard) &&
	       (is_watched(w, now) || unprobed(w, READ_ONCE(g->alone)) || unprobed(w, READ_ONCE(w->single)));
}

static __always_inline bool is_open(const struct words *w, const struct group *g, __u64 now)
{
	__u64 lease = READ_ONCE(g->lease);

	return permits(READ_ONCE(g->fence), lease >> LEASE_BITS, w->self) && is_fresh(w, g, lease, now);
}

/* Do the members share load? */
static __always_inline __u32 steer_mode(const struct words *w)
{
	return READ_ONCE(w->steer) & STEER_MODE;
}

/* May this member carry a share of the gateway's traffic? Whom the fence's term was granted to does not matter. */
static __always_inline bool is_share_open(const struct words *w, __u64 now)
{
	__u64 share = READ_ONCE(w->share);

	return share >> LEASE_BITS && share >> LEASE_BITS >= READ_ONCE(w->group[0].fence) >> 8 &&
	       is_fresh(w, &w->group[0], share, now);
}

/* Does it carry one? The mode is asked first: without load sharing nothing else is looked at. */
static __always_inline bool is_sharing(const struct words *w, __u64 now)
{
	return is_share_open(w, now) || now < READ_ONCE(w->share_linger);
}

/* Does the gate only listen on the interface, because it came up a moment ago or has no carrier? */
static __always_inline bool is_quiet(const struct words *w, __u32 slot, __u64 now)
{
	asm volatile("" : "+r"(slot)); /* as in group_at */
	return now < READ_ONCE(w->quiet[slot & (SLOTS - 1)]);
}

static __always_inline struct words *the_words(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&words, &zero);
}

#define TOKEN_NS 1000000ULL /* token bucket: one packet per ms, */
#define BURST_NS (100 * TOKEN_NS) /* and a hundred at once */

/* Takes a token for what costs more than others: a frame that may be a recording, or a packet that everybody gets. */
static __always_inline bool spend(__u64 *arrival, __u64 now)
{
#pragma unroll
	for (int i = 0; i < RETRIES; i++) {
		__u64 old = READ_ONCE(*arrival), at = (__s64)(old - now) > 0 ? old : now;

		if (at - now >= BURST_NS)
			return false;
		if (__sync_val_compare_and_swap(arrival, old, at + TOKEN_NS) == old)
			return true;
	}
	return false;
}

static __always_inline struct let_in *the_let_in(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&let_in, &zero);
}

/* The word by whose time this member forwards. */
static __always_inline __u64 forwards_by(const struct words *w)
{
	return steer_mode(w) ? READ_ONCE(w->share) : READ_ONCE(w->group[0].lease);
}

/* How many may be on their way through the host at once, unlooked at, and how many may go by one reading of the clock: a receiver's budget of one turn. */
#define MAX_LET_IN 64

#define TICK_NS 10000000ULL /* the longest that the kernel's clock has; one that is late is decision 002's */

/*
 * What has changed since packets were let in last: 0 if the words are as they were, it is still the same tick, and nothing else depends on the time. `by`
 * is forwards_by(). Bits, rather than one question after the other: every packet runs this twice, and the less there is of it the less has to be fetched.
 */
static __always_inline __u64 since_noted(const struct words *w, const struct let_in *l, __u64 by)
{
	__u64 changed = bpf_jiffies64() ^ l->tick;

	changed |= l->lease ^ by;
	changed |= l->fence ^ READ_ONCE(w->group[0].fence);
	changed |= l->quiet_last ^ READ_ONCE(w->quiet_last);
	changed |= l->steer ^ READ_ONCE(w->steer);
	changed |= READ_ONCE(w->groups) ^ 1;
	return changed;
}

/* Is the gate as open a tick later as it is now, whatever it is asked, unless a word of since_noted() changes? One that only serves because it is alone is not. */
static __always_inline bool is_steady(const struct words *w, __u64 now)
{
	const struct group *g = &w->group[0];

	if (now < READ_ONCE(g->linger) || (lease_age(forwards_by(w), now + TICK_NS) >= READ_ONCE(w->soft) && !is_watched(w, now + TICK_NS)))
		return false;
	if (!steer_mode(w))
		return is_open(w, g, now + TICK_NS);
	return is_share_open(w, now + TICK_NS) && is_open(w, g, now) == is_open(w, g, now + TICK_NS);
}

/*
 * The time, to decide about an IP packet that comes in. Reading the clock costs as much as all else that most packets need, and so a few go by one
 * reading, within a tick and under the same words: only what time alone closes could differ, and that has been asked about beforehand. What speaks for
 * the cluster, CCP and answers to neighbours, always reads it.
 */
static __always_inline __u64 about_now(const struct words *w)
{
	struct let_in *l = the_let_in();

	if (!l)
		return bpf_ktime_get_boot_ns();
	if (!l->left || since_noted(w, l, forwards_by(w))) {
		l->read = bpf_jiffies64();
		barrier(); /* no later than the clock */
		return bpf_ktime_get_boot_ns();
	}
	l->left--;
	return l->now;
}

/*
 * Notes that a packet was let in by an open gate, so that it may leave by one. Nowhere may an interface only listen. `now` is what about_now() has
 * said of this packet; it counts for the tick in which it was read, and no other.
 */
static __always_inline void note_let_in(const struct words *w, __u64 now)
{
	struct let_in *l = the_let_in();
	__u64 tick = bpf_jiffies64(), lease = forwards_by(w), fence = READ_ONCE(w->group[0].fence), quiet = READ_ONCE(w->quiet_last);
	__u32 steer = READ_ONCE(w->steer);

	if (!l || l->read != tick || now < quiet)
		return;
	if (l->tick != tick || l->lease != lease || l->fence != fence || l->quiet_last != quiet || l->steer != steer) {
		l->packets = l->left = 0;
		l->tick = tick;
		l->lease = lease;
		l->fence = fence;
		l->quiet_last = quiet;
		l->steer = steer;
		barrier();
		/* Asked again, of words not older than those just noted: a gate that closed between the caller's look and here gets no credit. */
		if (!(steer_mode(w) ? is_share_open(w, now) : is_open(w, &w->group[0], now)))
			return;
	}
	if (l->packets < MAX_LET_IN)
		l->packets++;
	/* What is no new reading of the clock is not used for longer. */
	if (!l->left && now != l->now && is_steady(w, now)) {
		l->now = now;
		l->left = MAX_LET_IN;
	}
}

/*
 * May a forwarded packet leave because it, or one before it, has just been let in? Then it need not read the clock, which costs more than all else
 * at egress. What closes a gate otherwise changes a word. A gate that is closed by time alone lets out what it let in within a tick.
 */
static __always_inline bool was_let_in(const struct words *w)
{
	struct let_in *l = the_let_in();

	if (!l || !l->packets || since_noted(w, l, forwards_by(w)))
		return false;
	l->packets--;
	return true;
}

/*
 * Lets a packet in as the one before it was, without asking anything again; false: all must be asked. Nobody else may have been promised more meanwhile:
 * what could have closed the gate since is a word of since_noted(), or time, which has been looked ahead for (is_steady).
 */
static __always_inline bool is_let_in_as_before(const struct words *w, struct let_in *l, __u64 by)
{
	return l->left && !(since_noted(w, l, by) | (l->read ^ l->tick));
}

/* That it was, and may leave. */
static __always_inline void let_in_as_before(struct let_in *l)
{
	l->left--;
	if (l->packets < MAX_LET_IN)
		l->packets++;
}

/* All bits but HEARS_YOU, which only a prober can say. */
__noinline __u32 serving(__u32 group, __u64 now)
{
	struct words *w = the_words();
	const struct group *g;
	__u32 bits = 0;

	if (!w)
		return 0;
	g = group_at(w, group);
	if (is_open(w, g, now))
		bits |= BIT_ANSWER | BIT_FORWARD;
	if (now < READ_ONCE(g->linger))
		bits |= BIT_FORWARD;
	if (!group && steer_mode(w)) {
		bits &= ~BIT_FORWARD;
		if (is_sharing(w, now))
			bits |= BIT_FORWARD;
	}
	if (READ_ONCE(g->alone))
		bits |= BIT_ALONE;
	if (now < READ_ONCE(w->restarting))
		bits |= BIT_RESTARTING;
	if (is_watched(w, now))
		bits |= BIT_WATCHED;
	return bits;
}

/* Do all groups in use answer, and forward? Then nothing that goes out needs a look. */
__noinline __u32 all_answer(__u64 now)
{
	const struct words *w = the_words();

	if (!w)
		return 1;
	for (__u32 g = 0; g < GROUPS; g++) {
		__u32 rest = READ_ONCE(w->groups) >> g;

		if (!rest)
			break;
		if (rest & 1 && !(is_open(w, &w->group[g], now)))
			return 0;
	}
	return !steer_mode(w) || is_sharing(w, now);
}

/*
 * The closing rule: what a probe whose sender serves with `term` does to our fence. `how` is MEET_ALONE if the sender serves alone, and
 * MEET_NEWER if the probe is newer than all before it: only then it counts that a sender with a lower term has company.
 */
#define MEET_ALONE 1
#define MEET_NEWER 2
__noinline __u32 meet(__u32 group, __u64 term, __u32 src, __u32 how)
{
	struct words *w = the_words();
	struct group *g;
	bool we_alone, they_alone = how & MEET_ALONE, newer = how & MEET_NEWER;

	if (!w)
		return 0;
	g = group_at(w, group);
	we_alone = READ_ONCE(g->alone) != 0;

#pragma unroll
	for (int i = 0; i < RETRIES; i++) {
		__u64 fence = READ_ONCE(g->fence), ft = fence >> 8, mine = READ_ONCE(g->lease) >> LEASE_BITS, next;

		if (!permits(fence, mine, w->self)) {
			if (term <= ft || they_alone)
				return 0;
			next = term << 8 | src;
		} else {
			if (they_alone && !we_alone)
				return 0;
			if (!(term > mine || (newer && ((we_alone && !they_alone) || (term == mine && src < w->self)))))
				return 0;
			if (term > ft && term > mine) {
				next = term << 8 | src;
			} else {
				__u64 high = term > mine ? term : mine;

				next = ((high > ft ? high : ft) + 1) << 8 | NOBODY;
			}
		}
		if (__sync_val_compare_and_swap(&g->fence, fence, next) == fence)
			return 1;
	}
	return 0;
}

#define YIELD_COURTESY 1
#define YIELD_CLAIM 2
#define YIELD_GRACEFUL 3
#define YIELD_SURRENDER 4 /* the share too */

#define RESULT_NONE 0
#define RESULT_GRANTED 1
#define RESULT_REFUSED 2
#define RESULT_TOO_YOUNG 3
#define RESULT_WRONG_INCARNATION 4

/* Grants `term` to src (low byte of kind_src), or says why not. min_age in ns. */
__noinline __u32 yield(__u32 group, __u64 now, __u64 term, __u32 kind_src, __u64 min_age)
{
	struct words *w = the_words();
	__u8 kind = kind_src >> 8, src = kind_src;
	struct group *g;

	if (!w)
		return RESULT_REFUSED;
	g = group_at(w, group);
#pragma unroll
	for (int i = 0; i < RETRIES; i++) {
		__u64 fence = READ_ONCE(g->fence), lease = READ_ONCE(g->lease), next = term << 8 | src;
		bool open, shares;

		/* The same asker gets the same answer again: its first reply may have been lost. */
		if (fence == next)
			return RESULT_GRANTED;
		if (kind == YIELD_COURTESY && (!permits(fence, lease >> LEASE_BITS, w->self) ||
					       lease_age(lease, now) < min_age || now < READ_ONCE(w->restarting)))
			return RESULT_TOO_YOUNG;
		if (term <= fence >> 8)
			return RESULT_REFUSED;
		open = is_open(w, g, now);
		shares = !group && steer_mode(w) && is_share_open(w, now);
		if (__sync_val_compare_and_swap(&g->fence, fence, next) != fence)
			continue;
		if (open && (kind == YIELD_COURTESY || kind == YIELD_GRACEFUL))
			WRITE_ONCE(g->linger, now + READ_ONCE(w->linger));
		if (!group && kind == YIELD_SURRENDER) {
			WRITE_ONCE(w->share_linger, 0);
		} else if (shares) {
			/* Another processor may grant a surrender meanwhile. An exchange, so that the fence is read after it. */
			__sync_lock_test_and_set(&w->share_linger, now + READ_ONCE(w->linger));
			if (READ_ONCE(g->fence) != next)
				WRITE_ONCE(w->share_linger, 0);
		}
		return RESULT_GRANTED;
	}
	return RESULT_REFUSED;
}

#endif
