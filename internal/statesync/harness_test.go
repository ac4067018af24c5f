// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/flow"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

// TestMain lets more tests run side by side than there are processors: most of them wait for planes that wait for each other.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

var namespaces atomic.Int32

// inNS runs f on a thread of the namespace, which is thrown away.
func inNS(ns netns.NsHandle, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(ns); err != nil {
			done <- err
			return
		}
		done <- f()
	}()
	return <-done
}

// member is one gateway of a test.
type member struct {
	t     *testing.T
	id    uint8
	name  string
	ns    netns.NsHandle
	cfg   Config
	plane *Plane
	stop  context.CancelFunc
	ended chan error
	// sharing: its plane is one for load sharing.
	sharing bool
	table   *conntrack.Table // another socket than the plane's: what it writes is news
	notes   *gateNotes       // in load sharing
}

// world is some members joined by switches, one per sync interface.
type world struct {
	t        *testing.T
	name     string
	switches netns.NsHandle
	members  []*member
	owner    int
	term     uint32
}

type option func(*Config)

// newWorld makes members with planes that run, joined by links sync interfaces, and the first as owner.
func newWorld(t *testing.T, members, links int, options ...option) *world {
	t.Helper()
	labtest.Require(t, "conntrack")
	w := &world{t: t, owner: -1}
	swName := fmt.Sprintf("hfss%d-%dsw", os.Getpid(), namespaces.Add(1))
	w.name, w.switches = swName, newNS(t, swName)
	h, err := netlink.NewHandleAt(w.switches)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	for l := range links {
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: fmt.Sprintf("br%d", l)}}
		must(t, h.LinkAdd(br))
		must(t, h.LinkSetUp(br))
	}
	for id := range members {
		m := &member{t: t, id: uint8(id), name: fmt.Sprintf("%s-m%d", swName, id)}
		m.ns = newNS(t, m.name)
		m.cfg = Config{Cluster: 7, Self: uint8(id), EtherType: ccp.DefaultEtherType, Members: uint8(members), UseKey: 1,
			Keys: []ccp.Key{{Number: 1, Key: ccp.ClusterKey{1, 2, 3}}}, Within: func(f func() error) error { return inNS(m.ns, f) },
			Own: []netip.Addr{netip.MustParseAddr("192.0.2.250")}}
		for _, o := range options {
			o(&m.cfg)
		}
		m.sharing, m.notes = m.cfg.EtherType == sharingType, newGateNotes(m)
		m.cfg.EtherType = ccp.DefaultEtherType
		for l := range links {
			m.cfg.Interfaces = append(m.cfg.Interfaces, w.cable(h, m, l))
		}
		must(t, inNS(m.ns, func() (err error) {
			sysctls := conntrack.Sysctls(false)
			for _, path := range []string{"netfilter/nf_conntrack_udp_timeout", "netfilter/nf_conntrack_udp_timeout_stream"} {
				sysctls = append(sysctls, conntrack.Sysctl{Path: path, Value: "500"}) // no packet refreshes a test's connections: they outlive it
			}
			for _, s := range sysctls {
				if err := os.WriteFile("/proc/sys/net/"+s.Path, []byte(s.Value), 0o600); err != nil {
					return err
				}
			}
			m.table, err = conntrack.Open()
			return err
		}))
		t.Cleanup(func() { m.table.Close() })
		w.members = append(w.members, m)
	}
	for _, m := range w.members {
		m.start()
	}
	w.hello()
	if w.owner = 0; !w.members[0].sharing {
		w.owner = -1
		w.serve(0)
	}
	return w
}

// sharingType as the configured EtherType says that a plane is to be one for load sharing.
const sharingType = 0xffff

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newNS(t *testing.T, name string) netns.NsHandle {
	t.Helper()
	var ns netns.NsHandle
	var err error
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		ns, err = netns.NewNamed(name)
	}()
	<-done
	must(t, err)
	t.Cleanup(func() {
		ns.Close()
		if err := netns.DeleteNamed(name); err != nil {
			t.Errorf("delete namespace %s: %v", name, err)
		}
	})
	return ns
}

// cable joins a member to switch l.
func (w *world) cable(h *netlink.Handle, m *member, l int) Interface {
	t := w.t
	t.Helper()
	name := fmt.Sprintf("sync%d", l)
	port := fmt.Sprintf("p%d-%d", m.id, l)
	must(t, h.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: port}, PeerName: name, PeerNamespace: netlink.NsFd(m.ns)}))
	link, err := h.LinkByName(port)
	must(t, err)
	br, err := h.LinkByName(fmt.Sprintf("br%d", l))
	must(t, err)
	must(t, h.LinkSetMaster(link, br.(*netlink.Bridge)))
	must(t, h.LinkSetUp(link))
	in, err := netlink.NewHandleAt(m.ns)
	must(t, err)
	defer in.Close()
	own, err := in.LinkByName(name)
	must(t, err)
	must(t, in.LinkSetUp(own))
	return Interface{Name: name, Index: own.Attrs().Index, MAC: [6]byte(own.Attrs().HardwareAddr), Up: true}
}

// cut takes the switch's port of a member's link down, or up.
func (w *world) cut(m *member, l int, up bool) {
	w.t.Helper()
	h, err := netlink.NewHandleAt(w.switches)
	must(w.t, err)
	defer h.Close()
	link, err := h.LinkByName(fmt.Sprintf("p%d-%d", m.id, l))
	must(w.t, err)
	if up {
		must(w.t, h.LinkSetUp(link))
	} else {
		must(w.t, h.LinkSetDown(link))
	}
}

// away moves a member's link elsewhere and back, to the index that it had.
func (w *world) away(m *member, l int) {
	w.t.Helper()
	elsewhere := newNS(w.t, fmt.Sprintf("%s-x%d", w.name, namespaces.Add(1)))
	in := m.cfg.Interfaces[l]
	for _, from := range []struct{ here, there netns.NsHandle }{{m.ns, elsewhere}, {elsewhere, m.ns}} {
		h, err := netlink.NewHandleAt(from.here)
		must(w.t, err)
		link, err := h.LinkByName(in.Name)
		must(w.t, err)
		must(w.t, h.LinkSetNsFd(link, int(from.there)))
		h.Close()
	}
	h, err := netlink.NewHandleAt(m.ns)
	must(w.t, err)
	defer h.Close()
	link, err := h.LinkByName(in.Name)
	must(w.t, err)
	if link.Attrs().Index != in.Index {
		w.t.Fatalf("%s came back with index %d, had %d", in.Name, link.Attrs().Index, in.Index)
	}
	must(w.t, h.LinkSetUp(link))
}

// lines is a log that shows with -v.
func (m *member) logger() *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})).With("of", m.id)
}

// start makes a plane and runs it; stopped ends with the test.
func (m *member) start() {
	m.t.Helper()
	var err error
	m.plane, err = New(m.cfg, m.logger())
	must(m.t, err)
	if m.sharing {
		slots := bySourcePort
		slots.Notes = m.notes
		m.plane.SetSlots(slots)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.stop, m.ended = cancel, make(chan error, 1)
	plane, ended := m.plane, m.ended
	go func() { ended <- plane.Serve(ctx) }()
	m.t.Cleanup(func() { m.halt() })
}

func (m *member) halt() {
	if m.stop == nil {
		return
	}
	m.stop()
	m.stop = nil
	select {
	case err := <-m.ended:
		if err != nil {
			m.t.Errorf("member %d: %v", m.id, err)
		}
	case <-time.After(patience):
		buf := make([]byte, 1<<20)
		m.t.Fatalf("member %d does not end:\n%s", m.id, buf[:runtime.Stack(buf, true)])
	}
}

// hello tells every plane of the others, as HELLOs would.
func (w *world) hello() {
	for _, m := range w.members {
		var peers []Peer
		for _, o := range w.members {
			if o == m || o.stop == nil {
				continue
			}
			s := o.plane.State()
			peers = append(peers, Peer{ID: o.id, Incarnation: o.plane.Incarnation(), Role: s.Role, Term: s.Term, Current: s.Current})
		}
		if m.stop != nil {
			m.plane.SetPeers(peers)
		}
	}
}

// serve makes a member the owner.
func (w *world) serve(id int) {
	w.term++
	if w.owner >= 0 && w.members[w.owner].stop != nil {
		w.members[w.owner].plane.SetRole(false, w.term)
	}
	w.owner = id
	<-w.members[id].plane.SetRole(true, w.term)
	w.hello()
}

// slow is how many times longer than an idle host a busy one may take, and patience what it gets at least where nothing but a broken plane would take
// so long.
const (
	slow     = 4
	patience = 30 * time.Second
)

// eventually waits until f is true; within is what an idle host needs at most.
func (w *world) eventually(what string, within time.Duration, f func() bool) {
	w.t.Helper()
	w.soon(what, max(slow*within, patience), f)
}

// soon is eventually where what is waited for would come true by itself later: within is less than that.
func (w *world) soon(what string, within time.Duration, f func() bool) {
	w.t.Helper()
	began := time.Now()
	for !f() {
		if time.Since(began) > within {
			for _, m := range w.members {
				if m.stop != nil {
					s := m.plane.State()
					w.t.Logf("member %d: %v %q %v current %v entries %d digest %x full %+v", m.id, s.Status, s.Reason, s.Role, s.Current, s.Entries, s.Digest, s.FullSync)
					w.t.Logf("  ports %+v", s.Interfaces)
					w.t.Logf("  stats %+v", m.plane.Stats())
				}
			}
			w.t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
	w.t.Logf("%s after %v", what, time.Since(began).Round(time.Millisecond))
}

// equal says whether all planes that run have the same digest, of n entries.
func (w *world) equal(n int) func() bool {
	return func() bool {
		first := w.members[w.owner].plane.State()
		for _, m := range w.members {
			if m.stop == nil {
				continue
			}
			if s := m.plane.State(); s.Entries != uint64(n) || s.Digest != first.Digest {
				return false
			}
		}
		return true
	}
}

// list is what the kernel has, by the reference tool: one line per connection without what may differ between owner and copy.
func (m *member) list() []string {
	m.t.Helper()
	var all []string
	for _, family := range []string{"ipv4", "ipv6"} {
		out, err := exec.Command("ip", "netns", "exec", m.name, "conntrack", "-L", "-f", family).Output()
		if err != nil {
			m.t.Fatalf("conntrack -L: %v", err)
		}
		for line := range strings.Lines(string(out)) {
			var kept []string
			for i, f := range strings.Fields(line) {
				// The third field is the time-out.
				if i == 2 || strings.HasPrefix(f, "use=") || strings.HasPrefix(f, "id=") || strings.HasPrefix(f, "[") {
					continue
				}
				kept = append(kept, f)
			}
			all = append(all, strings.Join(kept, " "))
		}
	}
	slices.Sort(all)
	return all
}

// same compares the kernels' tables of all members that run by the reference tool.
func (w *world) same() {
	w.t.Helper()
	for _, m := range w.members {
		if m.stop == nil || int(m.id) == w.owner {
			continue
		}
		// The tool misses entries while the kernel's table, which all namespaces share, is resized.
		want, got := w.members[w.owner].list(), m.list()
		for tries := 0; tries < 5 && !slices.Equal(got, want); tries++ {
			want, got = w.members[w.owner].list(), m.list()
		}
		if !slices.Equal(got, want) {
			w.t.Fatalf("member %d has %d entries, the owner %d; the first that differ:\n%s", m.id, len(got), len(want), firstDifference(got, want))
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return got[i] + "\n" + want[i]
		}
	}
	return "one list is longer"
}

// tool runs the conntrack tool in a member's namespace.
func (m *member) tool(args ...string) {
	m.t.Helper()
	out, err := exec.Command("ip", append([]string{"netns", "exec", m.name, "conntrack"}, args...)...).CombinedOutput()
	if err != nil {
		m.t.Fatalf("conntrack %v: %v: %s", args, err, out)
	}
}

// udp is a record of a UDP connection number n.
func udp(n int, op record.Op) record.Record {
	src := netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)})
	dst := netip.AddrFrom4([4]byte{198, 51, 100, 7})
	tuple := func(typ uint16, src, dst netip.Addr, sport, dport uint16) []byte {
		ip := append(attr(1, src.AsSlice()), attr(2, dst.AsSlice())...)
		proto := append(attr(1, []byte{17}), attr(2, be16(sport))...)
		proto = append(proto, attr(3, be16(dport))...)
		return attr(typ|0x8000, append(attr(1|0x8000, ip), attr(2|0x8000, proto)...))
	}
	b := tuple(1, src, dst, uint16(n), 53)
	b = append(b, tuple(2, dst, src, 53, uint16(n))...)
	b = append(b, attr(3, []byte{0, 0, 0, 8 | 2})...) // confirmed, answered
	b = append(b, attr(7, []byte{0, 0, 2, 88})...)    // 600 s
	return record.Record{Table: record.TableConnections, Op: op, Family: record.IPv4, Attrs: b}
}

func flowItem(key uint64, data []byte) flow.Item {
	return flow.Item{Key: key * 0x9e3779b97f4a7c15, Class: flow.News, Data: data}
}

func be16(v uint16) []byte { return binary.BigEndian.AppendUint16(nil, v) }

func attr(typ uint16, value []byte) []byte {
	b := binary.LittleEndian.AppendUint16(nil, uint16(4+len(value)))
	b = append(binary.LittleEndian.AppendUint16(b, typ), value...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// flows gives the kernel of a member UDP connections from..to-1, as traffic would.
func (m *member) flows(op record.Op, from, to int) {
	m.t.Helper()
	var rs []record.Record
	out := make([]conntrack.Outcome, 256)
	for n := from; n < to; n++ {
		rs = append(rs, udp(n, op))
		if len(rs) == len(out) || n == to-1 {
			must(m.t, m.table.Apply(rs, out[:len(rs)]))
			for i, o := range out[:len(rs)] {
				if o.Result == conntrack.Refused {
					m.t.Fatalf("flow: %v %s", o.Errno, record.Text(rs[i]))
				}
			}
			rs = rs[:0]
		}
	}
}

// timeouts are those of all entries, in seconds.
func (m *member) timeouts() (all []int) {
	out, err := exec.Command("ip", "netns", "exec", m.name, "conntrack", "-L").Output()
	if err != nil {
		m.t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		var n int
		if f := strings.Fields(line); len(f) > 2 {
			fmt.Sscan(f[2], &n)
			all = append(all, n)
		}
	}
	return all
}

func (m *member) longest() int  { return slices.Max(append(m.timeouts(), 0)) }
func (m *member) shortest() int { return slices.Min(append(m.timeouts(), 1<<30)) }
