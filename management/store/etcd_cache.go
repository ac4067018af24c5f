// SPDX-License-Identifier: Apache-2.0

package store

import (
	"slices"
	"strings"
	"sync"
)

// Bounds of what is remembered of the store.
const (
	cachedKeys  = 20_000
	cachedBytes = 16 << 10 // of one value: larger ones are files, which are read once
)

// etcdCache remembers what was read and written as long as nobody else wrote: every change goes through turnKey and gives itself a name there, so that
// what was read when a change was the newest is right while it is. What this process writes itself it follows, and knows of each value since which change
// it is so: most who read while others write have a state before their changes. A change reads some five records, each of which would be a request.
type etcdCache struct {
	mu     sync.Mutex
	chain  []string // the changes that are known, each right after the one before; the newest last
	number int64    // how many changes there were, with that one
	values map[string]cached
	coming *expected // of this process, on its way; nil: none
}

// cached is what a key has since a change, by its number.
type cached struct {
	value   []byte // nil: there is no such key
	since   int64
	unknown bool // it is too large to keep
}

// expected is a change of this process that may have been made.
type expected struct {
	before, name string
	writes       []write
}

// newest names the newest change; "": there was none.
func (t turn) newest() string {
	if len(t.Recent) == 0 {
		return ""
	}
	return t.Recent[len(t.Recent)-1]
}

// cacheable reports whether a key changes with turnKey only: a lease ends by itself.
func cacheable(key string) bool { return !strings.HasPrefix(key, leases) }

// last is the newest change that is known; "": none. The caller holds mu, as for all below.
func (c *etcdCache) last() string {
	if len(c.chain) == 0 {
		return ""
	}
	return c.chain[len(c.chain)-1]
}

// covers reports whether what is remembered is known to hold, or not to hold yet, in the state that h is the head of.
func (c *etcdCache) covers(h head) bool {
	c.arrived(h.turn.newest())
	at := int64(len(c.chain)) - 1 - (c.number - h.turnVersion)
	return at >= 0 && at < int64(len(c.chain)) && c.chain[at] == h.turn.newest()
}

// get is what a key has in a state; known says whether that is known.
func (c *etcdCache) get(h head, key string) (value []byte, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.covers(h) {
		return nil, false
	}
	v, there := c.values[key]
	if !there || v.unknown || v.since > h.turnVersion {
		return nil, false
	}
	return v.value, true
}

// put remembers what a key has in a state. Who reads one that is not the newest any more does not make it forget what is: with many changes beside each
// other most reads are such.
func (c *etcdCache) put(h head, key string, value []byte) {
	if h.turn.newest() == "" || len(value) > cachedBytes || !cacheable(key) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.covers(h) || len(c.values) >= cachedKeys {
		if c.last() != "" && h.turnVersion < c.number {
			return
		}
		c.begin(h.turn.newest(), h.turnVersion) // somebody else wrote
	}
	if _, there := c.values[key]; !there { // else it was written, or read, since
		c.values[key] = cached{value: value, since: h.turnVersion}
	}
}

// begin forgets everything.
func (c *etcdCache) begin(newest string, number int64) {
	c.chain, c.number, c.values = []string{newest}, number, map[string]cached{}
}

// expect notes a change that this process is about to make right after another one: who finds its name in the store knows that it was made, perhaps before
// its answer is here.
func (c *etcdCache) expect(before, name string, writes []write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.coming = &expected{before, name, writes}
}

// made follows a change that was made; what else was known still holds.
func (c *etcdCache) made(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arrived(name)
}

// arrived follows the change that was on its way, if that is the one of this name.
func (c *etcdCache) arrived(name string) {
	now := c.coming
	if now == nil || now.name != name {
		return
	}
	c.coming = nil
	if now.before == "" || c.last() != now.before {
		return
	}
	c.chain = append(c.chain, name)
	c.chain = slices.Clone(c.chain[max(0, len(c.chain)-remembered):])
	c.number++
	for _, w := range now.writes {
		v := cached{value: w.value, since: c.number}
		if len(w.value) > cachedBytes {
			v.value, v.unknown = nil, true
		}
		c.values[w.key] = v
	}
	if len(c.values) > cachedKeys {
		c.begin(name, c.number)
	}
}
