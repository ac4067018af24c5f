// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/flow"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

func (m *member) nft(script string) string {
	m.t.Helper()
	out, err := exec.Command("ip", "netns", "exec", m.name, "nft", script).CombinedOutput()
	if err != nil {
		m.t.Fatalf("nft %s: %v: %s", script, err, out)
	}
	return string(out)
}

// blocked are the elements of the set of the tests, as nft lists them.
func (m *member) blocked() string { return m.blockedIn("filter") }

func (m *member) blockedIn(table string) string {
	var all []string
	for _, word := range strings.FieldsFunc(m.nft("list set inet "+table+" blocked"), func(r rune) bool { return strings.ContainsRune(" ,{}\n\t", r) }) {
		if strings.HasPrefix(word, "192.0.2.") {
			all = append(all, word)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// TestSets: elements that rules or people add are on every member within seconds, whoever serves, and heal.
func TestSets(t *testing.T) {
	t.Parallel()
	labtest.Require(t, "nft")
	const table = "table inet filter { set blocked { type ipv4_addr; flags timeout; }; }"
	w := newWorld(t, 3, 1, func(c *Config) { c.Sets = []string{"inet filter blocked"} })
	w.eventually("the missing set is said", 5*time.Second, func() bool {
		s := w.members[0].plane.State()
		return s.Status == StatusAtRisk && strings.Contains(s.Reason, "there is no set inet filter blocked on this member")
	})
	for _, m := range w.members {
		m.nft(table)
	}
	w.ready()
	everywhere := func(want string) {
		t.Helper()
		w.eventually(fmt.Sprintf("everybody has %q", want), 6*time.Second, func() bool {
			for _, m := range w.members {
				if m.stop != nil && (m.blocked() != want || m.plane.State().SetElements != uint64(len(strings.Fields(want)))) {
					return false
				}
			}
			return true
		})
	}
	w.members[0].nft("add element inet filter blocked { 192.0.2.1 timeout 1h, 192.0.2.2 }")
	everywhere("192.0.2.1 192.0.2.2")
	w.members[0].nft("delete element inet filter blocked { 192.0.2.2 }")
	everywhere("192.0.2.1")
	if s := w.members[0].plane.State(); s.Status != StatusOK {
		t.Errorf("%v: %s", s.Status, s.Reason)
	}

	// The member that takes over goes on with what it has.
	w.serve(1)
	w.ready()
	w.members[1].nft("add element inet filter blocked { 192.0.2.3 timeout 1h }")
	everywhere("192.0.2.1 192.0.2.3")

	// A joiner gets all, and loses what only it has.
	w.members[2].halt()
	w.members[2].nft("flush set inet filter blocked; add element inet filter blocked { 192.0.2.9 }")
	w.members[1].nft("delete element inet filter blocked { 192.0.2.1 }")
	w.members[2].start()
	w.hello()
	everywhere("192.0.2.3")
}

// TestSetsGoOnWhileSomebodyCompares: a member that asks for the elements and then takes none of them keeps nobody else from getting changes.
func TestSetsGoOnWhileSomebodyCompares(t *testing.T) {
	t.Parallel()
	labtest.Require(t, "nft")
	w := newWorld(t, 3, 1, func(c *Config) { c.Sets = []string{"inet filter blocked"} })
	for _, m := range w.members {
		m.nft("table inet filter { set blocked { type ipv4_addr; flags timeout; }; }")
	}
	w.ready()
	w.members[0].nft("add element inet filter blocked { 192.0.2.1 }")
	w.eventually("the copy has it", 6*time.Second, func() bool { return w.members[1].blocked() == "192.0.2.1" })
	p := w.members[0].plane
	request := ccp.SyncRequest{Log: 1 << 62, Want: ccp.SyncWantSets, Limit: 10}
	p.mu.Lock()
	p.takeRequest(boottime(), &p.peers[2], request)
	s := p.peers[2].serving
	p.mu.Unlock()
	waits := func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		if s.active() && s.bulk.Silent(boottime()) > servedTimeout/4 { // its patience must not end before the test's
			request.Limit++
			s.bulk.Credit(boottime(), flow.Credit{Log: request.Log, Limit: request.Limit})
		}
		return s.active() && s.dumping && !s.fed
	}
	w.eventually("it is waited for who asked", 6*time.Second, waits)
	w.members[0].nft("add element inet filter blocked { 192.0.2.2 }")
	w.eventually("the copy has the next", 6*time.Second, func() bool {
		if !waits() {
			t.Fatal("who asked is not waited for any more: this shows nothing")
		}
		return w.members[1].blocked() == "192.0.2.1 192.0.2.2"
	})
}

// TestSetsOfGenerations: while an install changes the generation of one member after the other, and with it the names of its tables, elements go
// on being the same everywhere, whoever is first.
func TestSetsOfGenerations(t *testing.T) {
	t.Parallel()
	labtest.Require(t, "nft")
	table := func(n int) string {
		return fmt.Sprintf("table inet filter.g%d { set blocked { type ipv4_addr; flags timeout; }; }", n)
	}
	names := func(n int) map[string]string { return map[string]string{"inet filter": fmt.Sprintf("filter.g%d", n)} }
	w := newWorld(t, 3, 1, func(c *Config) { c.Sets, c.Tables = []string{"inet filter blocked"}, names(1) })
	for _, m := range w.members {
		m.nft(table(1))
	}
	w.ready()
	in := [3]int{1, 1, 1}
	everywhere := func(want string) {
		t.Helper()
		w.eventually(fmt.Sprintf("everybody has %q", want), 6*time.Second, func() bool {
			for i, m := range w.members {
				if m.blockedIn(fmt.Sprintf("filter.g%d", in[i])) != want {
					return false
				}
			}
			return true
		})
	}
	w.members[0].nft("add element inet filter.g1 blocked { 192.0.2.1 timeout 1h, 192.0.2.2 }")
	everywhere("192.0.2.1 192.0.2.2")
	for step, i := range []int{1, 0, 2} {
		m := w.members[i]
		m.nft(table(2))
		if i == 0 { // as a kept set, whose elements are carried over
			m.nft("add element inet filter.g2 blocked { 192.0.2.1 timeout 1h, 192.0.2.2, 192.0.2.3 }")
		}
		c := m.cfg
		c.Tables = names(2)
		if err := m.plane.Reconfigure(c); err != nil {
			t.Fatal(err)
		}
		in[i] = 2
		if step == 0 {
			everywhere("192.0.2.1 192.0.2.2")
			w.members[0].nft("add element inet filter.g1 blocked { 192.0.2.3 }")
		}
		everywhere("192.0.2.1 192.0.2.2 192.0.2.3")
	}
	w.members[0].nft("delete element inet filter.g2 blocked { 192.0.2.2 }")
	everywhere("192.0.2.1 192.0.2.3")
	if s := w.members[0].plane.State(); s.Status != StatusOK || s.SetElements != 2 {
		t.Errorf("%v: %s, %d elements", s.Status, s.Reason, s.SetElements)
	}
}

// TestVerifySets: a comparison of two members compares their sets too.
func TestVerifySets(t *testing.T) {
	t.Parallel()
	labtest.Require(t, "nft")
	w := newWorld(t, 2, 1, func(c *Config) { c.Sets = []string{"inet filter blocked", "inet filter absent"} })
	for _, m := range w.members {
		m.nft("table inet filter { set blocked { type ipv4_addr; flags timeout; timeout 1h; }; }")
	}
	w.ready()
	w.members[0].nft("add element inet filter blocked { 192.0.2.1, 192.0.2.2 timeout 2h, 192.0.2.3 timeout 3h }")
	w.eventually("the copy has them", 6*time.Second, func() bool { return w.members[1].blocked() == w.members[0].blocked() })
	compare := func(of, with int) *SetsReport {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		r, err := w.members[of].plane.Verify(ctx, uint8(with))
		if err != nil || r.Sets == nil {
			t.Fatalf("%+v, %v", r, err)
		}
		if r.Equal() != r.Sets.Equal() {
			t.Errorf("equal %v, the sets %v", r.Equal(), r.Sets.Equal())
		}
		return r.Sets
	}
	for i := range 2 {
		if r := compare(i, 1-i); !r.Equal() || r.Local != 3 || r.Remote != 3 {
			t.Errorf("%d with %d: %+v", i, 1-i, r)
		}
	}
	// By hand on the copy, which the next round would mend.
	w.members[1].nft("delete element inet filter blocked { 192.0.2.1, 192.0.2.3 }; add element inet filter blocked { 192.0.2.3 timeout 3h expires 1h, 192.0.2.9 }")
	r := compare(0, 1)
	if r.Counted != [3]uint64{1, 1, 1} || !strings.Contains(r.OnlyLocal[0], "192.0.2.1)") || !strings.Contains(r.OnlyRemote[0], "192.0.2.9)") ||
		!strings.Contains(r.Different[0], "192.0.2.3)") {
		t.Errorf("%+v", r)
	}
	// An older member does not know what it is asked for.
	ask := &w.members[1].plane.peers[0]
	if got := w.members[1].plane.mayServe(ask, 99, ccp.SyncTable{}); got != ccp.SyncUnfit {
		t.Errorf("what is not known is answered %v", got)
	}
}
