// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// ringNode is a member as a Keyring's owner runs it.
type ringNode struct {
	ring  *Keyring
	self  uint8
	sends Key
}

func newRing(t *testing.T, self uint8, keys ...Key) *ringNode {
	t.Helper()
	return newRingOf(t, 3, self, keys...)
}

func newRingOf(t *testing.T, members, self uint8, keys ...Key) *ringNode {
	t.Helper()
	n := &ringNode{ring: NewKeyring(openCluster, self, members), self: self}
	n.load(t, keys...)
	return n
}

func (n *ringNode) load(t *testing.T, keys ...Key) {
	t.Helper()
	if err := n.ring.Load(keys...); err != nil {
		t.Fatalf("member %d: %v", n.self, err)
	}
	n.settle()
}

// settle is when pulse and Sealer have changed to the key to use.
func (n *ringNode) settle() {
	n.sends = n.ring.Use()
	n.ring.Adopted(n.sends.Number)
}

// hello is a HELLO under way: what it says and the key it is sealed with.
type ringHello struct {
	from  uint8
	key   Key
	state KeyStatement
}

func (n *ringNode) hello() ringHello { return ringHello{n.self, n.sends, n.ring.Statement()} }

// take delivers h and reports whether n holds the key that it is sealed with.
func (n *ringNode) take(h ringHello) bool {
	if !slices.Contains(n.ring.Held(), h.key) {
		return false
	}
	n.ring.Opened(h.key.Number)
	n.ring.Heard(h.from, h.state)
	return true
}

// names are the members' for Rotation.Text.
func names(m uint8) string { return fmt.Sprintf("fw%d", m+1) }

func (n *ringNode) text() string { return n.ring.Rotation().Text(names) }

// TestRotation walks through one, step by step, as an operator sees it.
func TestRotation(t *testing.T) {
	nodes := []*ringNode{newRing(t, 0, oldKey), newRing(t, 1, oldKey), newRing(t, 2, oldKey)}
	talk := func(from, to int) {
		t.Helper()
		if !nodes[to].take(nodes[from].hello()) {
			t.Fatalf("member %d does not understand member %d: a gap", to, from)
		}
		nodes[to].settle()
	}
	expect := func(node int, use uint8, text string) {
		t.Helper()
		if got := nodes[node].ring.Use().Number; got != use || nodes[node].text() != text {
			t.Fatalf("member %d uses key %d, %q; want %d, %q", node, got, nodes[node].text(), use, text)
		}
	}
	expect(0, 1, "key 1")
	nodes[0].load(t, oldKey, newKey)
	expect(0, 1, "rotation open: waiting for fw2, fw3 to hold key 2")
	nodes[1].load(t, newKey, oldKey)
	talk(0, 1)
	talk(1, 0)
	expect(0, 1, "rotation open: waiting for fw3 to hold key 2")
	if err := nodes[0].ring.Load(newKey); !errors.Is(err, ErrKeyInUse) {
		t.Fatalf("the key in use was taken away: %v", err)
	}
	nodes[2].load(t, oldKey, newKey)
	talk(2, 0)
	expect(0, 2, "rotation open: waiting for fw2, fw3 to use key 2")
	if err := nodes[0].ring.Load(newKey); !errors.Is(err, ErrKeyInUse) {
		t.Fatalf("a key that others use was taken away: %v", err)
	}
	talk(0, 1) // sealed with the new key: member 1 has not heard member 2 and still knows that all agreed
	expect(1, 2, "rotation open: waiting for fw3 to use key 2")
	talk(1, 0)
	expect(0, 2, "rotation open: waiting for fw3 to use key 2")
	talk(0, 2)
	talk(2, 0)
	expect(0, 2, "key 2")
	if held := nodes[0].ring.Held(); len(held) != 1 || held[0] != newKey {
		t.Fatalf("after the rotation held: %v", held)
	}
	talk(2, 1)
	talk(0, 1)
	talk(1, 2)
	talk(0, 2)
	expect(1, 2, "key 2")
	expect(2, 2, "key 2")
	for _, n := range nodes {
		n.load(t, newKey)
		if n.ring.Use() != newKey || n.text() != "key 2" {
			t.Fatalf("with the new key alone in the file: %v, %s", n.ring.Use(), n.text())
		}
	}
}

// TestRestartInRotation: a member that starts with both keys in its file, when the others have dropped the old one already.
func TestRestartInRotation(t *testing.T) {
	a, b := newRingOf(t, 2, 0, oldKey, newKey), newRingOf(t, 2, 1, oldKey, newKey)
	for range 3 {
		a.take(b.hello())
		a.settle()
		b.take(a.hello())
		b.settle()
	}
	if a.text() != "key 2" {
		t.Fatalf("before the restart: %s", a.text())
	}
	b = newRingOf(t, 2, 1, oldKey, newKey)
	if a.take(b.hello()) {
		t.Fatal("the old key is still held: this tests nothing")
	}
	if !b.take(a.hello()) {
		t.Fatal("a restarted member understands nobody")
	}
	b.settle()
	if !a.take(b.hello()) {
		t.Fatal("a restarted member is shut out")
	}
}

func TestRotationShowsAnotherKey(t *testing.T) {
	a, b := newRing(t, 0, oldKey, newKey), newRing(t, 1, oldKey, Key{2, ClusterKey{9}})
	a.take(b.hello())
	if got, want := a.text(), "rotation open: waiting for fw2, fw3 to hold key 2 (another key 2 is held by fw2)"; got != want {
		t.Fatalf("%q, want %q", got, want)
	}
}

// TestRotationHasNoGap rotates twice with HELLOs that are lost and late (but in order between two members), and with key files that
// reach the members at any time: no member ever sends a frame that another does not hold the key of.
func TestRotationHasNoGap(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 0))
		third := Key{3, ClusterKey{7, 8, 9}}
		nodes := []*ringNode{newRing(t, 0, oldKey), newRing(t, 1, oldKey), newRing(t, 2, oldKey)}
		var wire [3][3][]ringHello
		files := [][]Key{{oldKey, newKey}, {newKey}, {newKey, third}, {third}}
		loaded := [3]int{}
		for step := 0; loaded != [3]int{4, 4, 4}; step++ {
			if step == 20000 {
				t.Fatalf("seed %d: stuck: %v, %s / %s / %s", seed, loaded, nodes[0].text(), nodes[1].text(), nodes[2].text())
			}
			i, j := r.IntN(3), r.IntN(3)
			if i == j {
				// The operator goes on with this member, if everybody is done with the step before.
				if next := loaded[i]; next < 4 && slices.Min(loaded[:]) >= next && nodes[i].ring.Load(files[next]...) == nil {
					loaded[i]++
				}
				continue
			}
			if r.IntN(20) == 0 {
				nodes[i].settle()
			}
			if r.IntN(2) == 0 {
				wire[i][j] = append(wire[i][j], nodes[i].hello())
			}
			if q := wire[i][j]; len(q) > 0 && r.IntN(2) == 0 {
				if r.IntN(5) > 0 && !nodes[j].take(q[0]) {
					t.Fatalf("seed %d, step %d: member %d cannot read member %d's frame under key %d", seed, step, j, i, q[0].key.Number)
				}
				wire[i][j] = q[1:]
			}
		}
		for _, n := range nodes {
			if n.ring.Use() != third || n.text() != "key 3" {
				t.Fatalf("seed %d: member %d ends with %s", seed, n.self, n.text())
			}
		}
	}
}

// TestRotationCalledOff: until the new key is used, the operator can take it back.
func TestRotationCalledOff(t *testing.T) {
	a, b := newRing(t, 0, oldKey, newKey), newRing(t, 1, oldKey, newKey)
	a.take(b.hello())
	a.load(t, oldKey)
	if a.text() != "key 1" || a.ring.Use() != oldKey {
		t.Fatalf("called off: %s", a.text())
	}
	a.load(t, oldKey, newKey)
	a.ring.Heard(1, KeyStatement{Using: 2, Held: b.ring.Statement().Held})
	if err := a.ring.Load(oldKey); !errors.Is(err, ErrKeyInUse) {
		t.Fatalf("called off while fw2 uses the new key: %v", err)
	}
}

// TestNoWayBackFromUse: what this member sends under by now stays, though no other has said yet that it does, too.
func TestNoWayBackFromUse(t *testing.T) {
	n := newRing(t, 0, oldKey, newKey)
	s := KeyStatement{Using: 1, Held: n.ring.Statement().Held}
	n.ring.Heard(1, s)
	n.ring.Heard(2, s)
	if n.settle(); n.ring.Use() != newKey {
		t.Fatal("all hold the new key, and it is not used")
	}
	if err := n.ring.Load(oldKey); !errors.Is(err, ErrKeyInUse) || n.ring.Use() != newKey {
		t.Fatalf("the key in use was taken: %v", err)
	}
}

// TestDropWaitsForOwnAdoption: the old key is held until this member's own pulse and Sealer have left it.
func TestDropWaitsForOwnAdoption(t *testing.T) {
	n := newRing(t, 0, oldKey, newKey)
	s := KeyStatement{Using: 2, Held: n.ring.Statement().Held}
	n.ring.Heard(1, s)
	n.ring.Heard(2, s)
	if len(n.ring.Held()) != 2 || n.text() != "rotation open: waiting for this member to use key 2" {
		t.Fatalf("before: %s", n.text())
	}
	n.settle()
	if len(n.ring.Held()) != 1 || n.text() != "key 2" {
		t.Fatalf("after: %s", n.text())
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		keys []Key
		want error
	}{
		{"none", nil, ErrKeySet},
		{"three", []Key{{1, ClusterKey{}}, {2, ClusterKey{}}, {3, ClusterKey{}}}, ErrKeySet},
		{"number zero", []Key{{0, ClusterKey{}}}, ErrKeySet},
		{"one slot of the gate", []Key{{1, ClusterKey{}}, {5, ClusterKey{}}}, ErrKeySet},
		{"same number, another key", []Key{{1, ClusterKey{42}}}, ErrKeySet},
		{"the key in use is missing", []Key{newKey}, ErrKeyInUse},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := newRing(t, 0, oldKey)
			if err := n.ring.Load(tc.keys...); !errors.Is(err, tc.want) {
				t.Fatalf("%v, want %v", err, tc.want)
			}
			if n.ring.Use() != oldKey {
				t.Fatal("a refused file changed the ring")
			}
		})
	}
}

func TestKeyNumbersGoRound(t *testing.T) {
	n := newRing(t, 0, Key{1, ClusterKey{1}}, Key{255, ClusterKey{255}})
	if rot := n.ring.Rotation(); rot.From != 255 || rot.To != 1 {
		t.Fatalf("from %d to %d", rot.From, rot.To)
	}
	if got := nextNumber(255); got != 1 {
		t.Fatalf("after 255 comes %d", got)
	}
}
