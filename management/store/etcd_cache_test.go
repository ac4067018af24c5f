// SPDX-License-Identifier: Apache-2.0

package store

import (
	"strings"
	"testing"
)

// at is the head of a state after changes of these names, the first of them the store's first.
func at(names ...string) head { return head{turn: turn{Recent: names}, turnVersion: int64(len(names))} }

// TestCacheOfStates: what is remembered is given to who reads a state in which it is so, and to nobody else.
func TestCacheOfStates(t *testing.T) {
	type step struct {
		do    func(c *etcdCache)
		in    head
		key   string
		value string // "": not known
	}
	put := func(h head, key, value string) func(*etcdCache) {
		return func(c *etcdCache) { c.put(h, key, []byte(value)) }
	}
	wrote := func(before, name, key, value string) func(*etcdCache) {
		return func(c *etcdCache) { c.expect(before, name, []write{{key, []byte(value)}}); c.made(name) }
	}
	expect := func(before, name, key, value string) func(*etcdCache) {
		return func(c *etcdCache) { c.expect(before, name, []write{{key, []byte(value)}}) }
	}
	nothing := func(*etcdCache) {}
	large := strings.Repeat("x", cachedBytes+1)
	for name, steps := range map[string][]step{
		"it was read, and somebody here wrote something else": {
			{put(at("a"), "k", "1"), at("a"), "k", "1"},
			{wrote("a", "b", "j", "2"), at("a", "b"), "k", "1"},
			{nothing, at("a"), "k", "1"},
			{nothing, at("a", "b"), "j", "2"},
			{nothing, at("a"), "j", ""},
		},
		"it was written: who reads an older state is not told the newer value": {
			{put(at("a"), "k", "1"), at("a"), "k", "1"},
			{wrote("a", "b", "k", "2"), at("a"), "k", ""},
			{put(at("a"), "k", "1"), at("a", "b"), "k", "2"},
		},
		"who read a later state does not tell who reads an earlier one": {
			{put(at("a"), "j", "1"), at("a"), "j", "1"},
			{wrote("a", "b", "j", "2"), at("a", "b"), "j", "2"},
			{put(at("a", "b"), "k", "3"), at("a"), "k", ""},
			{nothing, at("a", "b"), "k", "3"},
		},
		"who read an earlier state tells who reads a later one": {
			{put(at("a"), "j", "1"), at("a"), "j", "1"},
			{wrote("a", "b", "j", "2"), at("a", "b"), "j", "2"},
			{put(at("a"), "k", "3"), at("a", "b"), "k", "3"},
		},
		"a change is found in the store before its answer came": {
			{put(at("a"), "k", "1"), at("a"), "k", "1"},
			{expect("a", "b", "j", "2"), at("a"), "j", ""},
			{nothing, at("a", "b"), "j", "2"},
			{nothing, at("a", "b"), "k", "1"},
		},
		"a change that was not made": {
			{put(at("a"), "k", "1"), at("a"), "k", "1"},
			{expect("a", "b", "k", "2"), at("a"), "k", "1"},
			{wrote("a", "c", "j", "2"), at("a", "c"), "k", "1"},
		},
		"somebody else wrote": {
			{put(at("a"), "k", "1"), at("a"), "k", "1"},
			{nothing, at("a", "x"), "k", ""},
			{put(at("a", "x"), "j", "2"), at("a", "x"), "k", ""},
			{put(at("a"), "k", "1"), at("a", "x"), "k", ""},
			{nothing, at("a", "x"), "j", "2"},
		},
		"somebody else wrote between": {
			{put(at("a"), "k", "1"), at("a"), "k", "1"},
			{wrote("x", "b", "j", "2"), at("a", "x", "b"), "k", ""},
			{put(at("a", "x", "b"), "j", "2"), at("a", "x", "b"), "k", ""},
		},
		"what is too large is forgotten": {
			{put(at("a"), "k", "1"), at("a"), "k", "1"},
			{wrote("a", "b", "k", large), at("a", "b"), "k", ""},
			{put(at("a"), "k", "1"), at("a", "b"), "k", ""},
		},
		"a lease ends by itself": {{put(at("a"), leases+"k", "1"), at("a"), leases + "k", ""}},
	} {
		c := &etcdCache{}
		for i, s := range steps {
			s.do(c)
			if v, known := c.get(s.in, s.key); known != (s.value != "") || string(v) != s.value {
				t.Errorf("%s: step %d: %s is %.20q, %v; want %q", name, i, s.key, v, known, s.value)
			}
		}
	}
}
