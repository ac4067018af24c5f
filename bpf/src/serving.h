/* SPDX-License-Identifier: GPL-2.0-only */
/* What may pass, and how authentic frames change that. members/gate is the same in Go; tests keep the two equal. */
#ifndef HOLDFAST_SERVING_H
#define HOLDFAST_SERVING_H

#include "words.h"

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

static __always_inline bool is_open(const struct words *w, const struct group *g, __u64 now)
{
	__u64 lease = READ_ONCE(g->lease), alone = READ_ONCE(g->alone), age;

	if (!permits(READ_ONCE(g->fence), lease >> LEASE_BITS, w->self))
		return false;
	age = lease_age(lease, now);
	if (age < READ_ONCE(w->soft))
		return true;
	/* Late. Somebody who hears us would take over knowingly, and somebody who never was there cannot. */
	return age < READ_ONCE(w->hard) && (is_watched(w, now) || (alone && READ_ONCE(w->probed) <= alone));
}

static __noinline __u32 serving(const struct words *w, __u32 group, __u64 now)
{
	const struct group *g = &w->group[group & (GROUPS - 1)];
	__u32 bits = 0;

	if (is_open(w, g, now))
		bits |= BIT_ANSWER | BIT_FORWARD;
	if (now < READ_ONCE(g->linger))
		bits |= BIT_FORWARD;
	return bits;
}

/* The closing rule: what a probe whose sender serves with `term` does to our fence. */
static __always_inline void meet(const struct words *w, struct group *g, __u64 term, __u8 src, bool they_alone)
{
	bool we_alone = READ_ONCE(g->alone) != 0;

#pragma unroll
	for (int i = 0; i < RETRIES; i++) {
		__u64 fence = READ_ONCE(g->fence), ft = fence >> 8, mine = READ_ONCE(g->lease) >> LEASE_BITS, next;

		if (!permits(fence, mine, w->self)) {
			if (term <= ft || they_alone)
				return;
			next = term << 8 | src;
		} else {
			if (they_alone && !we_alone)
				return;
			if (they_alone == we_alone && !(term > mine || (term == mine && src < w->self)))
				return;
			if (term > ft && term > mine) {
				next = term << 8 | src;
			} else {
				__u64 high = term > mine ? term : mine;

				next = ((high > ft ? high : ft) + 1) << 8 | NOBODY;
			}
		}
		if (__sync_val_compare_and_swap(&g->fence, fence, next) == fence)
			return;
	}
}

#define YIELD_COURTESY 1
#define YIELD_CLAIM 2
#define YIELD_GRACEFUL 3

#define RESULT_NONE 0
#define RESULT_GRANTED 1
#define RESULT_REFUSED 2
#define RESULT_TOO_YOUNG 3
#define RESULT_WRONG_INCARNATION 4

/* Grants a term, or says why not. */
static __always_inline __u8 yield(const struct words *w, struct group *g, __u64 now, __u64 term, __u8 src, __u8 kind,
				  __u64 min_age)
{
#pragma unroll
	for (int i = 0; i < RETRIES; i++) {
		__u64 fence = READ_ONCE(g->fence), lease = READ_ONCE(g->lease), next = term << 8 | src;
		bool open;

		/* The same asker gets the same answer again: its first reply may have been lost. */
		if (fence == next)
			return RESULT_GRANTED;
		if (kind == YIELD_COURTESY && (!permits(fence, lease >> LEASE_BITS, w->self) ||
					       lease_age(lease, now) < min_age || now < READ_ONCE(w->restarting)))
			return RESULT_TOO_YOUNG;
		if (term <= fence >> 8)
			return RESULT_REFUSED;
		open = is_open(w, g, now);
		if (__sync_val_compare_and_swap(&g->fence, fence, next) != fence)
			continue;
		if (open && kind != YIELD_CLAIM)
			WRITE_ONCE(g->linger, now + READ_ONCE(w->linger));
		return RESULT_GRANTED;
	}
	return RESULT_REFUSED;
}

#endif
