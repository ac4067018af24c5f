// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/netns"
)

// loopback sets the member's lo up or down.
func (m *member) loopback(up bool) {
	m.t.Helper()
	h, err := m.ns.Handle()
	if err != nil {
		m.t.Fatal(err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		m.t.Fatal(err)
	}
	set := h.LinkSetDown
	if up {
		set = h.LinkSetUp
	}
	if err := set(lo); err != nil {
		m.t.Fatal(err)
	}
}

// Without a loopback nothing is measured, which is said once, and all else goes on. With one it is, from then on.
func TestSoftirqNeedsLoopback(t *testing.T) {
	a, _ := newPair(t)
	a.loopback(false)
	a.start()
	await(a, "notice", func(n Notice) bool { return n.Code == NoticeSoftirq })
	s := await(a, "stats", func(Stats) bool { return true })
	if s.Softirq != 0 || s.MaxSoftirq != 0 || s.Ticks < 10 || s.Links[0].Answered < 10 {
		t.Errorf("stats %+v", s)
	}
	a.loopback(true)
	s = await(a, "a measurement", func(s Stats) bool { return s.Softirq != 0 })
	if s.Softirq < 0 || s.Softirq > time.Second || s.MaxSoftirq != s.Softirq {
		t.Errorf("waited %v, at most %v", s.Softirq, s.MaxSoftirq)
	}
	a.loopback(false)
	await(a, "no more", func(s Stats) bool { return s.Softirq == 0 && s.MaxSoftirq != 0 })
	notices := 0
	for _, e := range a.seen {
		if n, ok := e.(Notice); ok && n.Code == NoticeSoftirq {
			notices++
		}
	}
	if notices != 1 {
		t.Errorf("said %d times", notices)
	}
}

// What comes late, whoever brings it, is measured whole: here a queue holds each datagram back until it is paid for, a byte in two ms.
func TestSoftirqComesLate(t *testing.T) {
	a, _ := newPair(t)
	const rate, burst = 500, 60 // bytes a second, bytes; a datagram is 50 on the wire, and there is one every 50 ms
	h, err := a.ns.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if err := h.QdiscReplace(&netlink.Tbf{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: lo.Attrs().Index, Parent: netlink.HANDLE_ROOT, Handle: netlink.MakeHandle(1, 0)},
		Rate:       rate, Limit: 1000, Buffer: netlink.Xmittime(rate, burst),
	}); err != nil {
		t.Fatal(err)
	}
	a.start()
	await(a, "stats", func(Stats) bool { return true })
	s := await(a, "stats", func(Stats) bool { return true })
	if s.Softirq < 20*time.Millisecond || s.Softirq > 5*time.Second {
		t.Errorf("the longest wait was %v, want some 80 ms", s.Softirq)
	}
}

// quietLoop is a loop that nobody listens to.
func quietLoop(t *testing.T, at *int64) *loop {
	t.Helper()
	l, err := newLoop()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(int(l.set)) })
	l.engine = newEngine(quietKernel{at}, newTwin(0, 1), [32]byte{})
	return l
}

func TestMeasuringSoftirqAllocatesNothing(t *testing.T) {
	labtest.Require(t)
	ns, err := netns.New("pulse-softirq")
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	for _, up := range []bool{true, false} {
		if err := ns.Do(func() error {
			if !up {
				lo, err := netlink.LinkByName("lo")
				if err == nil {
					err = netlink.LinkSetDown(lo)
				}
				if err != nil {
					return err
				}
			}
			at := int64(0)
			l := quietLoop(t, &at)
			defer l.softirq.close()
			l.measureSoftirq(l.now())
			if n := testing.AllocsPerRun(1000, func() { l.softirq.again = 0; l.measureSoftirq(l.now()) }); n != 0 {
				t.Errorf("lo up %v: %v allocations", up, n)
			}
			if st := &l.engine.stats; (st.Softirq > 0) != up || st.Softirq != st.MaxSoftirq {
				t.Errorf("lo up %v: waited %v, at most %v", up, st.Softirq, st.MaxSoftirq)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFilteredDatagramIsGivenUp(t *testing.T) {
	at := int64(0)
	l := quietLoop(t, &at)
	l.softirq.sentAt = 1
	l.measureSoftirq(softirqLost)
	if l.softirq.told || l.softirq.sentAt != 1 {
		t.Error("given up too early")
	}
	l.measureSoftirq(softirqLost + 1)
	if s := &l.softirq; !s.told || s.sentAt != 0 || s.again != softirqLost+1+softirqRetry || l.engine.stats.Softirq != 0 {
		t.Errorf("after its time: %+v, waited %v", s, l.engine.stats.Softirq)
	}
}
