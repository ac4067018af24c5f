// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"context"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// wire is a member with an Asker on e0, and a segment of hosts h0, h1 on a bridge.
type wire struct {
	t      *testing.T
	member *linktest.Namespace
	bridge *linktest.Namespace
	hosts  [2]*linktest.Namespace
	index  int
	asker  *Asker
}

func newWire(t *testing.T, table func(w *wire) Table) *wire {
	t.Helper()
	w := &wire{t: t, member: linktest.New(t)}
	bridge := linktest.New(t)
	w.bridge = bridge
	w.index, _ = linktest.Veth(w.member, "e0", bridge, "p0")
	ports := []string{"p0"}
	for i := range w.hosts {
		w.hosts[i] = linktest.New(t)
		name := []string{"p1", "p2"}[i]
		linktest.Veth(w.hosts[i], "h0", bridge, name)
		w.hosts[i].Addr("h0", []string{"10.0.0.2/24", "10.0.0.3/24"}[i])
		w.hosts[i].Addr("h0", []string{"2001:db8::2/64", "2001:db8::3/64"}[i])
		ports = append(ports, name)
	}
	bridge.Bridge("br0", ports...)
	w.member.Addr("e0", "10.0.0.1/24")
	w.member.Addr("e0", "2001:db8::1/64")
	w.asker = New(nil)
	in := Iface{Index: w.index, Name: "e0", MAC: w.member.MAC("e0"),
		Own: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("2001:db8::1/64")}}
	var owners Table
	if table != nil {
		owners = table(w)
	}
	if err := w.asker.Configure([]Iface{in}, owners); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := w.member.Go(func() error { return w.asker.Serve(ctx) })
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *wire) ask(kind Kind, addr string, wait time.Duration) {
	w.t.Helper()
	w.member.Do(func() error { return w.asker.Ask(kind, w.index, netip.MustParseAddr(addr), wait) })
}

func (w *wire) answer() Answer {
	w.t.Helper()
	select {
	case a := <-w.asker.Answers():
		return a
	case <-time.After(30 * time.Second):
		w.t.Fatal("no answer for 30 s")
		return Answer{}
	}
}

// askUntil repeats the question until somebody answers: a host joins the group of a new address a little later.
func (w *wire) askUntil(vip string) Answer {
	w.t.Helper()
	for range 100 {
		w.ask(VIP, vip, 50*time.Millisecond)
		if a := w.answer(); a.By != Nobody {
			return a
		}
	}
	w.t.Fatalf("nobody answers for %s", vip)
	return Answer{}
}

func TestAskVIPClassifiesTheAnswer(t *testing.T) {
	vmac := [6]byte{0x02, 0x48, 0, 1, 0, 0}
	for _, tt := range []struct {
		name  string
		owner *Owner
		want  By
	}{
		{"vmac", &Owner{By: VMAC}, VMAC},
		{"member", &Owner{By: Member, Member: 1}, Member},
		{"stranger", nil, Stranger},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, func(w *wire) Table {
				w.hosts[0].Run("ip", "link", "set", "h0", "address", "02:48:00:01:00:00")
				if tt.owner == nil {
					return nil
				}
				return Table{vmac: *tt.owner}
			})
			w.hosts[0].Addr("h0", "10.0.0.100/24")
			w.hosts[0].Addr("h0", "2001:db8::100/64")
			for _, vip := range []string{"10.0.0.100", "2001:db8::100"} {
				got := w.askUntil(vip)
				if got.By != tt.want || got.MAC != vmac || got.Addr.String() != vip || got.Index != w.index || got.Kind != VIP ||
					got.Member != map[By]uint8{Member: 1}[tt.want] {
					t.Errorf("%s: %+v", vip, got)
				}
				t.Logf("%s answered after %v", vip, got.RTT)
			}
		})
	}
}

func TestAskVIPReportsTwoAnswers(t *testing.T) {
	w := newWire(t, nil)
	for _, h := range w.hosts {
		h.Addr("h0", "10.0.0.100/24")
	}
	w.ask(VIP, "10.0.0.100", 10*time.Second)
	if a, b := w.answer(), w.answer(); a.By != Stranger || b.By != Stranger || a.MAC == b.MAC {
		t.Errorf("got %+v and %+v", a, b)
	}
}

func TestNobodyAnswers(t *testing.T) {
	w := newWire(t, nil)
	for _, addr := range []string{"10.0.0.100", "2001:db8::100"} {
		w.ask(VIP, addr, 20*time.Millisecond)
		if got := w.answer(); got.By != Nobody || got.Addr.String() != addr {
			t.Errorf("%s: %+v", addr, got)
		}
		w.ask(Echo, addr, 20*time.Millisecond)
		if a, b := w.answer(), w.answer(); a.Kind != Neighbour || a.By != Nobody || b.Kind != Echo || b.By != Nobody {
			t.Errorf("%s: %+v, %+v", addr, a, b)
		}
	}
}

func TestEchoResolvesFirst(t *testing.T) {
	w := newWire(t, nil)
	for _, addr := range []string{"10.0.0.2", "2001:db8::2"} {
		w.member.Run("ping", "-c1", "-W20", addr) // h0 is ready
		w.ask(Echo, addr, 10*time.Second)
		if a, b := w.answer(), w.answer(); a.Kind != Neighbour || a.By != Stranger || b.Kind != Echo || b.By != Stranger || b.MAC != w.hosts[0].MAC("h0") {
			t.Errorf("%s: %+v, %+v", addr, a, b)
		}
		w.ask(Echo, addr, 10*time.Second) // the MAC is known now: both at once, in either order
		kinds := map[Kind]bool{}
		for range 2 {
			a := w.answer()
			kinds[a.Kind] = a.By == Stranger
		}
		if !kinds[Echo] || !kinds[Neighbour] {
			t.Errorf("%s again: %v", addr, kinds)
		}
	}
}

// TestAskingTeachesNobodyTheVIP: neighbours must not learn a VIP from a question (a known product did that).
func TestAskingTeachesNobodyTheVIP(t *testing.T) {
	w := newWire(t, nil)
	w.hosts[0].Addr("h0", "10.0.0.100/24")
	w.hosts[1].Run("ping", "-c1", "-W2", "10.0.0.100") // h1 knows the VIP
	before := w.hosts[1].Run("ip", "neigh", "show", "to", "10.0.0.100")
	w.askUntil("10.0.0.100")
	after := w.hosts[1].Run("ip", "neigh", "show", "to", "10.0.0.100")
	if strings.Fields(before)[4] != strings.Fields(after)[4] {
		t.Errorf("before: %s after: %s", before, after)
	}
}

func TestListLearned(t *testing.T) {
	w := newWire(t, nil)
	w.member.Run("ping", "-c1", "-W2", "10.0.0.2")
	w.member.Run("ping", "-c1", "-W2", "10.0.0.3")
	list := func(exclude Table) (addrs []string) {
		w.member.Do(func() error {
			l, err := learnedHere(w.index)
			for _, n := range without(l, exclude) {
				if !n.Reachable {
					t.Errorf("%v is not reachable", n)
				}
				addrs = append(addrs, n.Addr.String())
			}
			return err
		})
		return addrs
	}
	if got := strings.Join(list(nil), " "); !strings.Contains(got, "10.0.0.2") || !strings.Contains(got, "10.0.0.3") {
		t.Errorf("learned %s", got)
	}
	if got := list(Table{w.hosts[0].MAC("h0"): {By: Member, Member: 1}}); len(got) != 1 || got[0] != "10.0.0.3" {
		t.Errorf("without members: %v", got)
	}
}

// TestHearsAgainAfterAnError: whatever reading a socket says, the next questions are answered again.
func TestHearsAgainAfterAnError(t *testing.T) {
	w := newWire(t, nil)
	w.askUntil("10.0.0.2")
	w.asker.mu.Lock()
	deaf := w.asker.segments[w.index].ears[etherTypeARP]
	w.asker.mu.Unlock()
	if err := deaf.conn.SetReadDeadline(time.Unix(1, 0)); err != nil { // every read gives an error from now on
		t.Fatal(err)
	}
	for replaced := false; !replaced; { // an answer may have come before
		w.ask(Neighbour, "10.0.0.2", 50*time.Millisecond)
		w.answer()
		select {
		case <-deaf.closed:
			replaced = true
		default:
		}
	}
	w.askUntil("10.0.0.2")
}

// TestHearsAgainAfterASpell: what passes by itself costs no socket.
func TestHearsAgainAfterASpell(t *testing.T) {
	w := newWire(t, nil)
	w.askUntil("10.0.0.2")
	w.asker.mu.Lock()
	e := w.asker.segments[w.index].ears[etherTypeARP]
	e.opened = math.MaxInt64 // never old enough to be replaced
	w.asker.mu.Unlock()
	if err := e.conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	for !e.failing.Load() {
		w.ask(Neighbour, "10.0.0.2", time.Millisecond)
		w.answer()
	}
	if err := e.conn.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	for e.failing.Load() {
		w.ask(Neighbour, "10.0.0.2", 50*time.Millisecond)
		w.answer()
	}
}

// TestHearsAgainWhenTheDeviceReturns: with the index that it had, and nobody said that it was gone.
func TestHearsAgainWhenTheDeviceReturns(t *testing.T) {
	w := newWire(t, nil)
	w.askUntil("10.0.0.2")
	elsewhere := linktest.New(t)
	move := func(from, to *linktest.Namespace) {
		var there netns.NsHandle
		to.Do(func() (err error) { there, err = netns.Get(); return err })
		defer there.Close()
		from.Do(func() error {
			l, err := netlink.LinkByName("e0")
			if err != nil {
				return err
			}
			return netlink.LinkSetNsFd(l, int(there))
		})
	}
	move(w.member, elsewhere)
	move(elsewhere, w.member)
	if index := w.member.Index("e0"); index != w.index {
		t.Fatalf("the device came back as %d, was %d", index, w.index)
	}
	w.member.SetUp("e0", true)
	for w.ask(Neighbour, "10.0.0.2", 50*time.Millisecond); w.answer().By == Nobody; {
		w.ask(Neighbour, "10.0.0.2", 50*time.Millisecond)
	}
}

func TestAskRefuses(t *testing.T) {
	a := New(nil)
	if err := a.Ask(VIP, 7, netip.MustParseAddr("10.0.0.1"), time.Second); err == nil || !strings.Contains(err.Error(), "not a configured interface") {
		t.Errorf("unknown interface: %v", err)
	}
	if err := a.Configure([]Iface{{Index: 7, Name: "e0"}}, nil); err != nil {
		t.Fatal(err)
	}
	if err := a.Ask(0, 7, netip.MustParseAddr("10.0.0.1"), time.Second); err == nil {
		t.Error("kind 0 is accepted")
	}
	if err := a.Ask(VIP, 7, netip.Addr{}, time.Second); err == nil {
		t.Error("the zero address is accepted")
	}
}

// listening lists the EtherTypes, in hexadecimal digits, that packet sockets of the member's namespace are open for.
func (w *wire) listening() (types []string) {
	w.t.Helper()
	w.member.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/packet")
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 3 && f[0] != "sk" {
				types = append(types, f[3])
			}
		}
		return err
	})
	slices.Sort(types)
	return types
}

// TestAnswersAreHeardForAsLongAsTheyMayCome: a socket for IP stands in the way of all traffic, and is there for questions only.
func TestAnswersAreHeardForAsLongAsTheyMayCome(t *testing.T) {
	w := newWire(t, nil)
	for range 2 { // the second time an ear is opened again
		for addr, etherType := range map[string]string{"10.0.0.2": "0800", "2001:db8::2": "86dd"} {
			w.member.Run("ping", "-c1", "-W20", addr) // h0 is ready
			w.ask(Echo, addr, 10*time.Second)
			got := map[Kind]By{}
			for range 2 {
				a := w.answer()
				got[a.Kind] = a.By
			}
			if got[Neighbour] != Stranger || got[Echo] != Stranger {
				t.Errorf("%s: %v", addr, got)
			}
			for end := time.Now().Add(30 * time.Second); slices.Contains(w.listening(), etherType); {
				if time.Now().After(end) {
					t.Fatalf("nothing is asked, and sockets listen for %v", w.listening())
				}
			}
		}
	}
	// Nobody is there: the question stays open, and so does the ear.
	w.ask(Echo, "10.0.0.99", time.Second)
	if got := w.listening(); !slices.Equal(got, []string{"0800", "0806"}) {
		t.Errorf("with an open question sockets listen for %v", got)
	}
	if a := w.answer(); a.By != Nobody {
		t.Errorf("%+v", a)
	}
}
