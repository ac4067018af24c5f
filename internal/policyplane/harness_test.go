// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/bootfilter"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var signer = ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))

const cluster = 7

// bundle makes a policy that accepts a port of the generation's own.
func bundle(t testing.TB, generation uint64, more ...func(*policy.Bundle)) *policy.Sealed {
	t.Helper()
	b := &policy.Bundle{Cluster: cluster, Generation: generation, Author: "anna", File: "edge.nft",
		Ruleset: fmt.Sprintf("table inet filter {\n\tchain input {\n\t\ttype filter hook input priority filter; policy accept;\n\t\ttcp dport %d accept\n\t\tip saddr $holdfast_own counter\n\t}\n}\n", generation)}
	for _, f := range more {
		f(b)
	}
	s, err := policy.Seal(b, signer)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// world is some members, management, and what is between them.
type world struct {
	t       testing.TB
	members []*member
	server  *server

	mu   sync.Mutex
	cut  map[[2]string]bool
	loss float64
	rand *rand.Rand
}

// member is a machine: its disk and its kernel outlive the plane.
type member struct {
	w     *world
	id    uint8
	name  string
	dir   string
	ns    *os.File
	own   string
	cfg   func(*Options)
	plane *Plane // nil: it is down
	stop  context.CancelFunc
	done  chan error
	line  *line

	mu     sync.Mutex
	events []Event
	coming bool // it is waited for, though it is down
}

func newWorld(t testing.TB, n int, cfg ...func(*Options)) *world {
	w := &world{t: t, cut: map[[2]string]bool{}, rand: rand.New(rand.NewPCG(1, 2))}
	w.server = &server{w: w, files: map[policy.Digest][]byte{}}
	for i := range n {
		m := &member{w: w, id: uint8(i), name: string(rune('a' + i)), dir: t.TempDir(), ns: labtest.Namespace(t), own: "10.0.0.1"}
		if len(cfg) > 0 {
			m.cfg = func(o *Options) {
				for _, c := range cfg {
					c(o)
				}
			}
		}
		w.members = append(w.members, m)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.hellos(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		for _, m := range w.members {
			m.down()
		}
	})
	return w
}

func (w *world) connected(a, b string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.cut[[2]string{a, b}]
}

// sever cuts what is between two, or mends it.
func (w *world) sever(a, b string, yes bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[[2]string{a, b}], w.cut[[2]string{b, a}] = yes, yes
}

// hellos tells members of each other.
func (w *world) hellos(ctx context.Context) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	type link struct {
		to, from *Plane
	}
	heard := map[[2]string]link{}
	told := map[[2]string]PeerState{}
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, a := range w.members {
			for _, b := range w.members {
				pa, pb := a.running(), b.running()
				k := [2]string{a.name, b.name}
				if a == b || pb == nil {
					delete(heard, k)
					continue
				}
				if pa == nil || !w.connected(a.name, b.name) {
					if l, was := heard[k]; was && l.to == pb {
						pb.PeerGone(a.id)
					}
					delete(heard, k)
					continue
				}
				s := pa.Snapshot()
				h := PeerState{Active: a.id == 0, View: s.View}
				if s.InForce != nil {
					h.Generation = s.InForce.Generation
				}
				if l := heard[k]; l != (link{pb, pa}) || told[k] != h {
					heard[k], told[k] = link{pb, pa}, h
					pb.Peer(a.id, h)
				}
			}
		}
	}
}

func (m *member) running() *Plane {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.plane
}

// up starts the member's daemon.
func (m *member) up() *member {
	m.w.t.Helper()
	if err := m.start(nil); err != nil {
		m.w.t.Fatal(err)
	}
	return m
}

// options are what the member's daemon is started with.
func (m *member) options() Options {
	o := Options{
		Cluster: cluster, Self: m.id, Dir: filepath.Join(m.dir, "policies"), Namespace: int(m.ns.Fd()), Management: m.line, Send: m.send,
		Times: Times{PeerWait: 300 * time.Millisecond, ManagementWait: 300 * time.Millisecond, Retry: 100 * time.Millisecond,
			Doubt: 150 * time.Millisecond, Ask: 100 * time.Millisecond, Freeze: 5 * time.Second},
		Config: Config{
			Keys:        []ed25519.PublicKey{signer.Public().(ed25519.PublicKey)},
			Definitions: []ruleset.Definition{{Name: "holdfast_own", Value: m.own}},
			BootFilter:  &bootfilter.Filter{},
		},
	}
	for _, x := range m.w.members {
		o.Members = append(o.Members, Member{x.id, x.name})
	}
	if m.cfg != nil {
		m.cfg(&o)
	}
	return o
}

func (m *member) start(crash func(string) bool) error {
	line := &line{m: m, orders: make(chan Orders, 1)}
	o := m.options()
	if o.Management != nil {
		o.Management = line
	}
	p, err := New(o)
	if err != nil {
		return err
	}
	m.mu.Lock()
	m.line = line
	m.mu.Unlock()
	p.crash = crash
	m.launch(p)
	return nil
}

func (m *member) launch(p *Plane) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	m.mu.Lock()
	m.plane, m.stop, m.done = p, cancel, done
	m.mu.Unlock()
	m.w.server.attach(m.line)
	go func() {
		err := p.Run(ctx)
		m.drain(p)
		done <- err
	}()
	go func() { // events are read as they come
		for {
			select {
			case e := <-p.Events():
				m.note(e)
			case <-ctx.Done():
				return
			}
		}
	}()
}

func (m *member) drain(p *Plane) {
	for {
		select {
		case e := <-p.Events():
			m.note(e)
		default:
			return
		}
	}
}

func (m *member) note(e Event) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, e)
}

// saw reports whether there was an event.
func (m *member) saw(k Kind) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, e := range m.events {
		if e.Kind == k {
			return true
		}
	}
	return false
}

func (m *member) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = nil
}

// down ends the daemon.
func (m *member) down() {
	m.mu.Lock()
	stop, done := m.stop, m.done
	m.plane, m.stop, m.done = nil, nil, nil
	m.mu.Unlock()
	if stop == nil {
		return
	}
	m.w.server.detach(m.line)
	stop()
	<-done
}

// reboot ends the daemon and empties the kernel.
func (m *member) reboot() {
	m.down()
	labtest.Require(m.w.t, "nft")
	m.ns = labtest.Namespace(m.w.t)
}

func (m *member) send(to uint8, f ccp.Policy) {
	w, body := m.w, f.Append(nil)
	if len(body) > ccp.MaxPolicyLen {
		w.t.Errorf("%s sends %d bytes of parts, %d fit", m.name, len(body), ccp.MaxPolicyLen)
	}
	x := w.members[to]
	w.mu.Lock()
	lost := w.cut[[2]string{m.name, x.name}] || w.rand.Float64() < w.loss
	w.mu.Unlock()
	if p := x.running(); !lost && p != nil {
		got, err := ccp.ParsePolicy(body)
		if err != nil {
			w.t.Errorf("%s sends what cannot be read: %v", m.name, err)
		}
		p.Frame(m.id, got)
	}
}

// nft runs nft(8) in the member's namespace.
func (m *member) nft(args ...string) string {
	m.w.t.Helper()
	out, err := nftIn(m.ns, args...)
	if err != nil {
		m.w.t.Fatalf("%s: nft %s: %v\n%s", m.name, strings.Join(args, " "), err, out)
	}
	return out
}

func nftIn(ns *os.File, args ...string) (string, error) {
	type result struct {
		out []byte
		err error
	}
	done := make(chan result)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- result{nil, err}
			return
		}
		out, err := exec.Command("nft", args...).CombinedOutput()
		done <- result{out, err}
	}()
	r := <-done
	return string(r.out), r.err
}

// tables is what the kernel has, by nft's word: "filter.g2 awake, filter.g1 asleep".
func (m *member) tables() string {
	var all []string
	for _, l := range strings.Split(strings.TrimSpace(m.nft("list", "tables")), "\n") {
		w := strings.Fields(l)
		if len(w) != 3 {
			continue
		}
		word := "awake"
		// It may be gone between the two.
		if text, _ := nftIn(m.ns, "list", "table", w[1], w[2]); strings.Contains(text, "flags dormant") {
			word = "asleep"
		}
		all = append(all, w[2]+" "+word)
	}
	return strings.Join(all, ", ")
}

// in is the generation in force, by what the plane shows; 0: none.
func (m *member) in() uint64 {
	if p := m.running(); p != nil {
		if g := p.Snapshot().InForce; g != nil {
			return g.Generation
		}
	}
	return 0
}

func (m *member) snap() *Snapshot {
	if p := m.running(); p != nil {
		return p.Snapshot()
	}
	return &Snapshot{}
}

// slow is how many times longer than an idle host a busy one may take, and patience what it gets at least.
const (
	slow     = 4
	patience = 30 * time.Second
)

// moment is how much of the time between two looks counts: a process that others keep from its processor for longer has not waited for what is looked at.
const moment = 50 * time.Millisecond

// within waits until something is so; d is what an idle host needs at most.
func (w *world) within(d time.Duration, what string, is func() bool) {
	w.t.Helper()
	left, last := max(slow*d, patience), time.Now()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !is() {
		<-tick.C
		now := time.Now()
		left, last = left-min(now.Sub(last), moment), now
		if left < 0 {
			for _, m := range w.members {
				s := m.snap()
				w.t.Logf("%s: in force %d, %v %q, attempt %+v, doubt %v, drift %q, filter %v", m.name, m.in(), s.Status, s.Reason, s.Attempt, s.InDoubt, s.Drift, s.BootFilter)
				w.t.Logf("   kernel: %s", m.tables())
				m.mu.Lock()
				events := slices.Clone(m.events)
				m.mu.Unlock()
				for _, e := range events {
					w.t.Logf("   %v %d attempt %d from %q: %s", e.Kind, e.Policy.Generation, e.Attempt, e.Source, e.Text)
				}
			}
			w.t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// every is within for all members.
func (w *world) every(d time.Duration, what string, is func(*member) bool) {
	w.t.Helper()
	w.within(d, what, func() bool { return !slices.ContainsFunc(w.members, func(m *member) bool { return !is(m) }) })
}

// all waits until all that run have a generation in force, and nothing is under way.
func (w *world) all(generation uint64) {
	w.t.Helper()
	w.every(10*time.Second, fmt.Sprintf("generation %d everywhere", generation), func(m *member) bool {
		s := m.snap()
		return m.running() == nil || m.in() == generation && s.Status == StatusOK && s.Prepared == nil
	})
}
