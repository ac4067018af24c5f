// SPDX-License-Identifier: Apache-2.0

package store

import (
	"strings"
	"sync"
)

// Bounds of what is remembered of the store.
const (
	cachedKeys  = 20_000
	cachedBytes = 16 << 10 // of one value: larger ones are files, which are read once
)

// etcdCache remembers what was read and written as long as nobody else wrote: every change goes through turnKey and gives itself a name there, so that
// what was read when a change was the newest is right while it is. A change reads some five records, each of which would be a request.
type etcdCache struct {
	mu     sync.Mutex
	newest string            // change; "": nothing is remembered
	number int64             // how many changes there were, with that one
	values map[string][]byte // nil: there is no such key
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

// get is what a key has while a change is the newest; known says whether that is known.
func (c *etcdCache) get(newest, key string) (value []byte, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if newest == "" || c.newest != newest {
		return nil, false
	}
	value, known = c.values[key]
	return value, known
}

// put remembers what a key has while a change is the newest. Who reads a state that is not the newest any more does not make it forget what is: with many
// changes beside each other most reads are such.
func (c *etcdCache) put(newest string, number int64, key string, value []byte) {
	if newest == "" || len(value) > cachedBytes || !cacheable(key) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.newest != newest && c.newest != "" && number <= c.number {
		return
	}
	if c.newest != newest || len(c.values) >= cachedKeys {
		c.newest, c.number, c.values = newest, number, map[string][]byte{}
	}
	c.values[key] = value
}

// changed follows a change that this process made right after another one; what else was known still holds.
func (c *etcdCache) changed(before, newest string, writes []write) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before == "" || c.newest != before {
		return
	}
	c.newest = newest
	c.number++
	for _, w := range writes {
		if len(w.value) <= cachedBytes && len(c.values) < cachedKeys {
			c.values[w.key] = w.value
		} else {
			delete(c.values, w.key)
		}
	}
}
