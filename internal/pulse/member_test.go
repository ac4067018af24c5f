// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/netns"
)

// member is a namespace with a gate on each of its interfaces, and a pulse.
type member struct {
	t      *testing.T
	ns     *netns.NS
	gate   *bpf.Gate
	pulse  *Pulse
	config Config
	seen   []Event // every event so far
}

// slots are the interfaces of every member: slot 1 is port1, slot 2 is port2.
const slots = 2

// newPair returns two members whose interfaces of one slot are the two ends of a veth pair. Their gates are attached, their
// pulses not started.
func newPair(t *testing.T) (a, b *member) {
	t.Helper()
	labtest.Require(t)
	bpffs := t.TempDir()
	if err := unix.Mount("bpf", bpffs, "bpf", 0, "mode=0700"); err != nil {
		t.Fatalf("mount a BPF file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(bpffs, 0); err != nil {
			t.Errorf("unmount the BPF file system: %v", err)
		}
	})
	pair := [2]*member{newMember(t, bpffs, 0), newMember(t, bpffs, 1)}
	for slot := 1; slot <= slots; slot++ {
		plug(t, pair, slot)
	}
	for _, m := range pair {
		for slot := 1; slot <= slots; slot++ {
			m.attach(slot)
		}
	}
	return pair[0], pair[1]
}

func newMember(t *testing.T, bpffs string, self uint8) *member {
	t.Helper()
	ns, err := netns.New(fmt.Sprintf("pulse-%d", self))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ns.Close() })
	m := &member{t: t, ns: ns, config: *testConfig()}
	m.config.Self, m.config.Peers = self, []uint8{1 - self}
	m.config.PinDir = fmt.Sprintf("%s/m%d", bpffs, self)
	m.config.Interfaces = nil
	if err := m.ns.Do(func() (err error) {
		m.gate, err = bpf.Open(bpf.Options{
			PinDir: m.config.PinDir, Attach: bpf.AttachTCX, Self: self, Members: 2, Cluster: m.config.Cluster, Incarnation: uint64(100 + self),
			Soft: 20 * time.Millisecond, Hard: time.Second, Watch: 25 * time.Millisecond, Linger: 200 * time.Millisecond,
		})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		m.gate.Close()
		if err := bpf.Remove(m.config.PinDir); err != nil {
			t.Error(err)
		}
	})
	if err := m.gate.SetKey(m.config.KeyNumber&3, m.config.Key, true); err != nil {
		t.Fatal(err)
	}
	return m
}

// plug joins two members by a new veth pair.
func plug(t *testing.T, pair [2]*member, slot int) {
	t.Helper()
	name := fmt.Sprintf("port%d", slot)
	h, err := pair[0].ns.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name, PeerNamespace: netlink.NsFd(pair[1].ns.FD())}
	if err := h.LinkAdd(veth); err != nil {
		t.Fatal(err)
	}
	for _, m := range pair {
		m.setUp(slot, true)
	}
}

// link looks an interface of the member up.
func (m *member) link(slot int) netlink.Link {
	m.t.Helper()
	h, err := m.ns.Handle()
	if err != nil {
		m.t.Fatal(err)
	}
	defer h.Close()
	l, err := h.LinkByName(fmt.Sprintf("port%d", slot))
	if err != nil {
		m.t.Fatal(err)
	}
	return l
}

func (m *member) setUp(slot int, up bool) {
	m.t.Helper()
	l := m.link(slot)
	h, err := m.ns.Handle()
	if err != nil {
		m.t.Fatal(err)
	}
	defer h.Close()
	set := h.LinkSetDown
	if up {
		set = h.LinkSetUp
	}
	if err := set(l); err != nil {
		m.t.Fatal(err)
	}
}

// attach attaches the gate to an interface and adds it to the pulse's configuration.
func (m *member) attach(slot int) {
	m.t.Helper()
	a := m.link(slot).Attrs()
	mac := [6]byte(a.HardwareAddr)
	if err := m.ns.Do(func() error {
		return m.gate.Attach(bpf.Iface{Index: a.Index, Slot: uint8(slot), MAC: mac})
	}); err != nil {
		m.t.Fatal(err)
	}
	i := Interface{Slot: uint8(slot), Index: a.Index, Name: a.Name, MAC: mac}
	if slot <= len(m.config.Interfaces) {
		m.config.Interfaces[slot-1] = i
		return
	}
	m.config.Interfaces = append(m.config.Interfaces, i)
}

// start starts the member's pulse.
func (m *member) start() {
	m.t.Helper()
	if err := m.ns.Do(func() (err error) {
		m.pulse, err = Start(context.Background(), "", m.config, slog.New(slog.DiscardHandler))
		return err
	}); err != nil {
		m.t.Fatal(err)
	}
	p := m.pulse
	m.t.Cleanup(func() { p.Close() })
}

// speak says the member's word until the returned function is called.
func (m *member) speak() (stop func()) {
	done, p := make(chan struct{}), m.pulse
	go func() {
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for {
			p.Word()
			select {
			case <-tick.C:
			case <-done:
				return
			}
		}
	}()
	return func() { close(done) }
}

// await returns the next event of type T that want accepts, and keeps all events before it in m.seen.
func await[T Event](m *member, what string, want func(T) bool) T {
	m.t.Helper()
	limit := time.After(30 * time.Second)
	for {
		select {
		case e, ok := <-m.pulse.Events():
			if !ok {
				m.t.Fatalf("%s: the events ended; the last were %+v", what, m.last())
			}
			m.seen = append(m.seen, e)
			if e, ok := e.(T); ok && want(e) {
				return e
			}
		case <-limit:
			m.t.Fatalf("%s: not in 30 s; the last events were %+v", what, m.last())
		}
	}
}

// last returns the last few events.
func (m *member) last() []Event { return m.seen[max(0, len(m.seen)-5):] }

// grantOwn raises the member's own fence for a new term.
func (m *member) grantOwn(term uint32) {
	m.t.Helper()
	if f, ok := m.gate.Words().Grant(0, term, m.config.Self); !ok {
		m.t.Fatalf("own gate refused term %d: fence %+v", term, f)
	}
}

// serving waits until the member's own gate answers for the VIPs under the term.
func (m *member) serving(term uint32) {
	m.t.Helper()
	await(m, "serving", func(g GateChanged) bool { return g.Lease == term && g.Leased == term && g.Bits&ccp.BitAnswer != 0 })
}
