// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

// TestKernelLeavesOtherInterfacesOut: a gateway's other interfaces may know thousands.
func TestKernelLeavesOtherInterfacesOut(t *testing.T) {
	member, peer := linktest.New(t), linktest.New(t)
	index, _ := linktest.Veth(member, "e0", peer, "p0")
	linktest.Veth(member, "e1", peer, "p1")
	fill := func(device string, count int) {
		member.Run("sh", "-c", fmt.Sprintf("for i in $(seq 1 %d); do echo neigh replace 10.0.$((i/250)).$((i%%250)) lladdr 02:00:00:00:00:01 "+
			"nud stale dev %s; done | ip -batch -", count, device))
	}
	fill("e0", 20)
	fill("e1", 200)
	member.Do(func() error {
		list, err := dumpHere(index, 1000)
		count := 0
		for _, n := range list {
			if n.LinkIndex != index {
				t.Fatalf("the kernel told of interface %d too", n.LinkIndex)
			}
			if n.State == netlink.NUD_STALE {
				count++
			}
		}
		if err != nil || count != 20 {
			t.Errorf("%d neighbours, %v", count, err)
		}
		if list, err = dumpHere(index, 7); err != nil || len(list) != 7 {
			t.Errorf("%d neighbours, %v, want the limit of 7", len(list), err)
		}
		return nil
	})
	fill("e0", mostLearned+10)
	member.Do(func() error {
		list, err := learnedHere(index)
		if list = without(list, nil); len(list) != mostLearned {
			t.Errorf("%d neighbours, want %d at most", len(list), mostLearned)
		}
		return err
	})
	if list, err := dumpIn(member, 4711); len(list) > 0 {
		t.Errorf("an interface that does not exist has neighbours %v, %v", list, err)
	}
}

func dumpIn(n *linktest.Namespace, index int) (list []netlink.Neigh, err error) {
	n.Do(func() error { list, err = dumpHere(index, 1000); return nil })
	return list, err
}

func dumpHere(index, limit int) ([]netlink.Neigh, error) {
	s, err := nl.GetNetlinkSocketAt(netns.None(), netns.None(), unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return dump(s, index, limit)
}

// learnedHere asks the kernel once.
func learnedHere(index int) ([]Learned, error) {
	ask, err := listLearned(index)
	if err != nil {
		return nil, err
	}
	return ask()
}

// TestMemory: the kernel is asked once a second at most, whatever is excluded.
func TestMemory(t *testing.T) {
	now, asked := time.Unix(1, 0), 0
	a := New(nil)
	a.learned.now = func() time.Time { return now }
	a.learned.patience = time.Minute
	a.learned.list = func(index int) (func() ([]Learned, error), error) {
		asked++
		return func() ([]Learned, error) {
			return []Learned{{Addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(index)}), MAC: [6]byte{2, 0, 0, 0, 0, 1}},
				{Addr: netip.AddrFrom4([4]byte{10, 0, 1, byte(index)}), MAC: [6]byte{2, 0, 0, 0, 0, 2}}}, nil
		}, nil
	}
	get := func(index int, exclude Table, want int) {
		t.Helper()
		if list, err := a.Learned(index, exclude); err != nil || len(list) != want {
			t.Errorf("%v, %v: want %d", list, err, want)
		}
	}
	for range 99 {
		get(1, nil, 2)
		get(2, Table{{2, 0, 0, 0, 0, 1}: Owner{}}, 1)
		now = now.Add(10 * time.Millisecond)
	}
	if asked != 2 {
		t.Errorf("the kernel was asked %d times within a second, want once for each interface", asked)
	}
	now = now.Add(10 * time.Millisecond)
	get(1, nil, 2)
	if asked != 3 || len(a.learned.known) != 1 {
		t.Errorf("asked %d times, %d interfaces remembered", asked, len(a.learned.known))
	}
	a.learned.forget(1)
	get(1, nil, 2)
	if asked != 4 {
		t.Errorf("asked %d times after the interface was made anew", asked)
	}
}

// TestAKernelThatDoesNotAnswer: who asks goes on with what was known before, and asks no second time meanwhile.
func TestAKernelThatDoesNotAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		lock, asked := make(chan struct{}), 0
		m.list = func(int) (func() ([]Learned, error), error) {
			asked++
			n := asked
			return func() ([]Learned, error) {
				if n == 2 {
					<-lock // some driver has it
				}
				return make([]Learned, n), nil
			}, nil
		}
		get := func(want int) {
			t.Helper()
			began := time.Now()
			if list, err := m.get(1); err != nil || len(list) != want {
				t.Errorf("%d neighbours, %v: want %d", len(list), err, want)
			}
			if took := time.Since(began); took > answerWithin {
				t.Errorf("whoever asks was held up for %v", took)
			}
		}
		get(1)
		time.Sleep(remembered)
		for range 100 { // at every probe
			get(1)
		}
		if asked != 2 {
			t.Errorf("the kernel was asked %d times", asked)
		}
		close(lock)
		synctest.Wait()
		get(2)
		time.Sleep(remembered)
		get(3)
	})
}
