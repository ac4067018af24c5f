// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
)

// lose has every switch lose so many frames of a hundred.
func (w *world) lose(percent string) {
	w.t.Helper()
	rules := "table bridge loss { chain forward { type filter hook forward priority 0; ether type 0x88b5 numgen random mod 100 < " + percent + " drop; }; }"
	cmd := exec.Command("ip", "netns", "exec", w.name, "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("lose frames: %v: %s", err, out)
	}
}

// TestChurn: connections come and go fast, frames are lost all the time, and for a while no frame arrives at all. In the end the tables
// are equal, and nothing had to be repaired.
func TestChurn(t *testing.T) {
	w := newWorld(t, 2, 2)
	w.ready()
	before := w.members[1].plane.Stats().Repairs // the full sync at the beginning
	w.lose("1")
	owner := w.members[0]
	began := time.Now()
	const step, live, rounds = 200, 4000, 150 // 10,000 a second
	outage := false
	for i := range rounds {
		owner.flows(record.OpNew, i*step, (i+1)*step)
		if gone := i*step - live; gone >= 0 {
			owner.flows(record.OpDelete, gone, gone+step)
		}
		if cut := i > rounds/3 && i < rounds/2; cut != outage {
			outage = cut
			w.cut(w.members[1], 0, !cut)
			w.cut(w.members[1], 1, !cut)
		}
		<-time.After(time.Until(began.Add(time.Duration(i) * 20 * time.Millisecond)))
	}
	n := live + step - step
	w.eventually("tables are equal", 5*time.Second, func() bool {
		s := owner.plane.State()
		return s.Entries >= uint64(n) && w.equal(int(s.Entries))()
	})
	w.same()
	w.verified(1, 0)
	s := w.members[1].plane.Stats()
	if s.Gaps == 0 {
		t.Error("no gap: this test shows nothing")
	}
	if s.Repairs != before || s.Lost != 0 {
		t.Errorf("%d repairs more, %d batches lost", s.Repairs-before, s.Lost)
	}
}

// TestFullSyncUnderChurn: a joiner gets a table that goes on changing, through a network that loses frames.
func TestFullSyncUnderChurn(t *testing.T) {
	w := newWorld(t, 2, 1)
	w.ready()
	w.lose("1")
	owner := w.members[0]
	owner.flows(record.OpNew, 0, 20_000)
	w.members[1].halt()
	w.members[1].flows(record.OpNew, 50_000, 51_000)
	w.members[1].start()
	w.hello()
	for i := range 50 {
		owner.flows(record.OpNew, 20_000+i*100, 20_100+i*100)
		owner.flows(record.OpDelete, i*100, 100+i*100)
		<-time.After(10 * time.Millisecond)
	}
	w.eventually("the joiner has the owner's table", 10*time.Second, w.equal(20_000))
	w.same()
	if s := w.members[1].plane.State(); !s.Current {
		t.Error("not current")
	}
}

// TestHostileRecords: what a member with the key could send to do harm is refused and counted, and what comes after it is applied.
func TestHostileRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1)
	w.ready()
	w.members[0].flows(record.OpNew, 0, 10)
	w.eventually("all is well", 3*time.Second, w.equal(10))
	p := w.members[0].plane
	p.mu.Lock()
	p.now = boottime()
	for n := 100; n < 300; n++ {
		r := udp(n, record.OpNew)
		b := append([]byte(nil), r.Attrs...)
		switch n % 4 {
		case 0:
			b = b[:len(b)-n%40-1] // cut
		case 1:
			b[0] = byte(n) // a length that lies
		case 2:
			b = append(b, attr(7, []byte{0xff, 0xff, 0xff, 0xff})...) // a second, absurd time-out
		case 3:
			b = append(b, attr(18, []byte{0, byte(n), 0, 0, 0})...) // a zone of a wrong size
		}
		r.Attrs = b
		p.wireBuf = r.Append(p.wireBuf[:0])
		if err := p.sender.Add(p.now, flowItem(uint64(n), p.wireBuf)); err != nil {
			t.Error(err)
		}
	}
	junk := []byte{0, 12, 77, 1, 2, 0, 0, 0, 1, 2, 3, 4}
	_ = p.sender.Add(p.now, flowItem(7777, junk))
	p.sender.Flush()
	p.mu.Unlock()
	w.members[0].flows(record.OpNew, 10, 20)
	w.eventually("what is good arrives", 3*time.Second, w.equal(20))
	w.same()
	refused := uint64(0)
	for why, n := range w.members[1].plane.Stats().Refused {
		t.Logf("%s: %d", why, n)
		refused += n
	}
	if refused < 200 {
		t.Errorf("%d refused", refused)
	}
}

// TestRest: without traffic nobody wakes up but for a mark every five seconds and what answers it.
func TestRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 2, 1)
	w.ready()
	<-time.After(7 * time.Second) // what follows a beginning has passed
	frames := func() (n uint64) {
		for _, m := range w.members {
			for _, i := range m.plane.State().Interfaces {
				n += i.SentFrames
			}
		}
		return n
	}
	ticks := func() (n uint64) {
		for _, m := range w.members {
			m.plane.mu.Lock()
			n += m.plane.ticks
			m.plane.mu.Unlock()
		}
		return n
	}
	f, k := frames(), ticks()
	<-time.After(6 * time.Second)
	if f, k = frames()-f, ticks()-k; f > 12 || k > 22 { // twice what it is, for a host that stands still at times
		t.Errorf("%d frames, %d looks of the timer in six seconds", f, k)
	}
	if w.members[1].plane.State().Owner == ccp.Nobody {
		t.Error("no owner known")
	}
}
