// SPDX-License-Identifier: Apache-2.0

package server

import (
	"sync"
	"time"
)

// Rates of requests, a client each. A member that is well reports once a second, and a few times more during an install.
var (
	memberRate  = rate{perSecond: 20, burst: 60}
	personRate  = rate{perSecond: 50, burst: 200}
	unknownRate = rate{perSecond: 2, burst: 20}       // by address: who enrols, and who is not let in
	renewRate   = rate{perSecond: 1.0 / 60, burst: 2} // of a member's certificates: each is kept
	// Of entries that strangers' requests leave, all of them together.
	strangersRate = rate{perSecond: 1, burst: 200}
	auditRate     = rate{perSecond: 1, burst: 20} // of entries that refusals leave, by address: the log is not to be filled by strangers
)

type rate struct {
	perSecond float64
	burst     float64
}

// limits counts by client. Safe for concurrent use.
type limits struct {
	members, persons, unknown, audited, renewals, strangers *buckets
}

func newLimits(now func() time.Time) limits {
	return limits{newBuckets(memberRate, now), newBuckets(personRate, now), newBuckets(unknownRate, now), newBuckets(auditRate, now),
		newBuckets(renewRate, now), newBuckets(strangersRate, now)}
}

// maxBuckets bounds what strangers can make the server remember.
const maxBuckets = 20000

type buckets struct {
	rate rate
	now  func() time.Time

	mu  sync.Mutex
	all map[string]*bucket
}

type bucket struct {
	left    float64
	at      time.Time
	refused uint64 // since it was last taken from
}

func newBuckets(r rate, now func() time.Time) *buckets {
	return &buckets{rate: r, now: now, all: map[string]*bucket{}}
}

// take takes one of key's; it reports whether there was one, and how many were refused since the last one that was there.
func (b *buckets) take(key string) (ok bool, refused uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	one := b.all[key]
	if one == nil {
		if len(b.all) >= maxBuckets {
			b.sweep(now)
		}
		one = &bucket{left: b.rate.burst, at: now}
		b.all[key] = one
	}
	if d := now.Sub(one.at).Seconds(); d > 0 {
		one.left = min(one.left+d*b.rate.perSecond, b.rate.burst)
	}
	one.at = now
	if one.left < 1 {
		one.refused++
		return false, one.refused
	}
	one.left--
	refused, one.refused = one.refused, 0
	return true, refused
}

// sweep forgets those that are full again, and if that is not enough, whichever the map gives first.
func (b *buckets) sweep(now time.Time) {
	for key, one := range b.all {
		if one.left+now.Sub(one.at).Seconds()*b.rate.perSecond >= b.rate.burst {
			delete(b.all, key)
		}
	}
	for key := range b.all {
		if len(b.all) < maxBuckets/2 {
			return
		}
		delete(b.all, key)
	}
}
