// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"bytes"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/ccp/segment"
	"github.com/holdfast-project/holdfast/members/gate"
)

const ms = int64(time.Millisecond)

// bench is an engine whose machine is a variable: time stands still until the test moves it, frames and events are kept.
type bench struct {
	*engine
	t      *testing.T
	at     int64
	frames []benchFrame
	events []Event
	fate   map[int]fate
	deaf   bool // main's socket is full
	own    *twin
}

type benchFrame struct {
	iface int
	bytes []byte
}

func newBench(t *testing.T, spoil ...func(*Config)) *bench {
	t.Helper()
	c := testConfig()
	for _, f := range spoil {
		f(c)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, at: 100000 * ms, fate: map[int]fate{}, own: newTwin(0, 100)}
	b.engine = newEngine(b, b.own, [32]byte{1})
	b.configure(c, b.at)
	b.do(command{kind: msgWord, at: b.at})
	return b
}

func (b *bench) now() int64 { return b.at }

func (b *bench) transmit(iface int, frame []byte) fate {
	if f := b.fate[iface]; f != left {
		return f
	}
	b.frames = append(b.frames, benchFrame{iface, bytes.Clone(frame)})
	return left
}

func (b *bench) tell(msg []byte) bool {
	if b.deaf {
		return false
	}
	e, err := decodeEvent(msg)
	if err != nil {
		b.t.Errorf("told main %x: %v", msg, err)
	}
	b.events = append(b.events, e)
	return true
}

func (b *bench) later(msg []byte) bool { return b.tell(msg) }

func (b *bench) do(c command) { b.engine.command(b.at, &c) }

// sent returns the frames since the last call, parsed.
func (b *bench) sent() (out []benchSent) {
	b.t.Helper()
	for _, f := range b.frames {
		h, err := ccp.ParseHeader(f.bytes[ethernetLen:])
		if err != nil || !ccp.VerifyTag(f.bytes[ethernetLen:], b.cfg.Key) {
			b.t.Fatalf("frame %x: %v", f.bytes, err)
		}
		out = append(out, benchSent{f.iface, [6]byte(f.bytes[:6]), h, h.Body(f.bytes[ethernetLen:])})
	}
	b.frames = nil
	return out
}

type benchSent struct {
	iface int
	to    [6]byte
	head  ccp.Header
	body  []byte
}

// step moves the clock and does what is due; peers answer what was sent within 100 µs.
func (b *bench) step(d int64, peers ...*twin) {
	b.t.Helper()
	b.at += d
	b.advance(b.at)
	b.answer(peers...)
}

func (b *bench) answer(peers ...*twin) {
	frames := b.sent()
	b.at += ms / 10
	for _, f := range frames {
		for _, p := range peers {
			if p.w.Self == f.head.Target && !p.mute[f.iface] {
				b.receive(b.at, f.iface, p.reply(b.t, b.at, f, b.cfg.Key))
			}
		}
	}
	b.at -= ms / 10
}

// take returns the events of type T since the last take, and forgets all others.
func take[T Event](b *bench) (out []T) {
	for _, e := range b.events {
		if e, ok := e.(T); ok {
			out = append(out, e)
		}
	}
	b.events = nil
	return out
}

// twin is a gate in Go.
type twin struct {
	w    gate.Words
	skew int64 // its clock is ahead of the bench's by this
	mute map[int]bool
}

func newTwin(self uint8, incarnation uint64) *twin {
	return &twin{mute: map[int]bool{}, skew: int64(self) * 1e9, w: gate.Words{
		Incarnation: incarnation, Self: self, Members: 3, Cluster: 7, GroupsInUse: 1,
		Soft: 20 * time.Millisecond, Hard: time.Second, Watch: 25 * time.Millisecond, Linger: 200 * time.Millisecond,
	}}
}

func (t *twin) mac(iface int) [6]byte { return [6]byte{2, 0, 0, t.w.Self, 0, byte(iface)} }

// reply is what the gate answers to a frame at the bench's time at.
func (t *twin) reply(tb *testing.T, at int64, f benchSent, key ccp.GateKey) []byte {
	tb.Helper()
	now := at + t.skew
	var r gate.Reply
	kind := ccp.TypeReply
	switch f.head.Type {
	case ccp.TypeProbe:
		p, _ := ccp.ParseProbe(f.body)
		r = t.w.Probe(now, gate.Probe{
			Source: f.head.Source, Incarnation: f.head.Incarnation, Sequence: int64(f.head.Sequence),
			EchoIncarnation: f.head.EchoIncarnation, EchoStamp: int64(f.head.EchoStamp),
			Nonce: p.Nonce, Term: p.Term, Group: p.Group, Bits: gate.Bits(p.Bits),
		})
	case ccp.TypeYield:
		y, _ := ccp.ParseYield(f.body)
		kind = ccp.TypeYieldReply
		r = t.w.Yield(now, gate.Yield{
			Source: f.head.Source, Incarnation: f.head.Incarnation, Sequence: int64(f.head.Sequence), EchoIncarnation: f.head.EchoIncarnation,
			Nonce: y.Nonce, Term: y.Term, Group: y.Group, Kind: gate.Kind(y.Kind), MinAgeMs: y.MinAgeMs,
		})
	default:
		tb.Fatalf("the engine sent a %v", f.head.Type)
	}
	mac := t.mac(f.iface)
	b := append(make([]byte, 6), mac[:]...)
	b = append(b, 0x88, 0xb5)
	return ccp.AppendReply(b, ccp.Header{
		Type: kind, Key: f.head.Key, Cluster: f.head.Cluster, Source: t.w.Self, Target: f.head.Source, Incarnation: r.Incarnation,
		Sequence: uint64(r.Sequence), EchoIncarnation: r.EchoIncarnation, EchoStamp: uint64(r.EchoStamp),
	}, ccp.Reply{
		Nonce: r.Nonce, Term: r.Term, Group: r.Group, Bits: ccp.Bits(r.Bits), LeaseAgeMs: r.LeaseAgeMs, FenceTerm: r.Fence.Term,
		Grantee: r.Fence.Grantee, Result: ccp.Result(r.Result), Heard: r.Heard, Closed: r.Closed,
	}, key)
}

// The engine's view of a twin as its own gate.
func (t *twin) Incarnation() uint64                   { return t.w.Incarnation }
func (t *twin) Serving(g uint8, now int64) gate.Bits  { return t.w.Serving(int(g), now) }
func (t *twin) Lease(g uint8) gate.Lease              { return t.w.Group[g].Lease }
func (t *twin) Fence(g uint8) gate.Fence              { return t.w.Group[g].Fence }
func (t *twin) Alone(g uint8) int64                   { return t.w.Group[g].Alone }
func (t *twin) Single() int64                         { return t.w.Single }
func (t *twin) Probed() int64                         { return t.w.Probed }
func (t *twin) SetSingle(at int64)                    { t.w.Single = at }
func (t *twin) Renew(g uint8, term uint32, now int64) { t.w.Renew(int(g), term, now) }
func (t *twin) Revoke(g uint8)                        { t.w.Revoke(int(g)) }
func (t *twin) SetAlone(g uint8, at int64)            { t.w.Group[g].Alone = at }
func (t *twin) Snapshot() gate.Words                  { return t.w }
func (t *twin) Share() gate.Lease                     { return t.w.Share }
func (t *twin) ShareOpen(now int64) bool              { return t.w.ShareOpen(now) }
func (t *twin) RenewShare(term uint32, now int64)     { t.w.RenewShare(term, now) }
func (t *twin) RevokeShare()                          { t.w.RevokeShare() }
func (t *twin) EndShare(now int64)                    { t.w.EndShare(now) }
func (b *bench) word()                                { b.do(command{kind: msgWord, at: b.at}) }
func (b *bench) own0() (lease gate.Lease, bits gate.Bits) {
	return b.own.Lease(0), b.own.Serving(0, b.at)
}

func TestProbesCarryWhatThePeerNeeds(t *testing.T) {
	b, p := newBench(t), newTwin(1, 111)
	b.advance(b.at)
	first := b.sent()
	if len(first) != 4 {
		t.Fatalf("%d probes, want one to each of 2 peers on each of 2 interfaces", len(first))
	}
	var last uint64
	for _, f := range first {
		if f.to != segment.Group(7) {
			t.Errorf("to %x, want the multicast group while no MAC is known", f.to)
		}
		if f.head.Sequence <= last {
			t.Errorf("sequence %d after %d at one instant: must increase strictly", f.head.Sequence, last)
		}
		last = f.head.Sequence
		if f.head.EchoIncarnation != 0 || f.head.Incarnation != 100 || f.head.Source != 0 || f.head.Key != 1 {
			t.Errorf("header %+v", f.head)
		}
		if pr, _ := ccp.ParseProbe(f.body); pr.Bits != 0 {
			t.Errorf("bits %b before anything was heard", pr.Bits)
		}
	}
	b.step(10*ms, p) // the next round is answered by member 1
	b.at += 10 * ms
	b.advance(b.at)
	for _, f := range b.sent() {
		pr, _ := ccp.ParseProbe(f.body)
		if f.head.Target != 1 {
			if pr.Bits != 0 || f.to != segment.Group(7) {
				t.Errorf("probe to silent member 2: bits %b, to %x", pr.Bits, f.to)
			}
			continue
		}
		if f.to != p.mac(f.iface) || f.head.EchoIncarnation != 111 || f.head.EchoStamp != uint64(b.at-10*ms+ms/10+p.skew) {
			t.Errorf("probe to %x echoes incarnation %d stamp %d", f.to, f.head.EchoIncarnation, f.head.EchoStamp)
		}
		if pr.Bits != ccp.BitHearsYou {
			t.Errorf("bits %b, want hears-you", pr.Bits)
		}
	}
}

func TestTransport(t *testing.T) {
	for transport, want := range map[string]func(p *twin, iface int) [6]byte{
		"":        (*twin).mac,
		Unicast:   (*twin).mac,
		Multicast: func(*twin, int) [6]byte { return segment.Group(7) },
		Broadcast: func(*twin, int) [6]byte { return segment.Broadcast },
	} {
		b, p := newBench(t, func(c *Config) { c.Transport = transport; c.Peers = []uint8{1} }), newTwin(1, 111)
		b.step(0, p)
		b.at += 10 * ms
		b.advance(b.at)
		for _, f := range b.sent() {
			if f.to != want(p, f.iface) {
				t.Errorf("%q: to %x", transport, f.to)
			}
		}
	}
}

// A peer whose card was replaced has another MAC: while it is silent some probes go to the group.
func TestSilentPeerIsSoughtByMulticast(t *testing.T) {
	b, p := newBench(t, func(c *Config) { c.Peers = []uint8{1}; c.Interfaces = c.Interfaces[:1] }), newTwin(1, 111)
	b.step(0, p)
	var group, unicast int
	for range 16 {
		b.at += 10 * ms
		b.advance(b.at)
		for _, f := range b.sent() {
			if f.to == p.mac(0) {
				unicast++
			} else {
				group++
			}
		}
	}
	if group != 2 || unicast != 14 {
		t.Errorf("%d of 16 probes to the group, %d unicast; want every 8th to the group", group, unicast)
	}
}

func TestLateTicksAreSkippedNotBurst(t *testing.T) {
	b := newBench(t)
	b.advance(b.at)
	b.sent()
	b.at += 57 * ms
	b.advance(b.at)
	if n := len(b.sent()); n != 4 {
		t.Errorf("%d probes after a stall of five intervals, want one round of 4", n)
	}
	if b.stats.Skipped != 4 || b.stats.MaxLate != 47*time.Millisecond || b.nextTick != 100060*ms {
		t.Errorf("skipped %d, worst %v, next at %d ms", b.stats.Skipped, b.stats.MaxLate, b.nextTick/ms)
	}
}

func TestReconfigureKeepsWhatStays(t *testing.T) {
	b, p := newBench(t), newTwin(1, 111)
	b.step(0, p)
	c := testConfig()
	c.Peers = []uint8{1}
	c.Interfaces[0], c.Interfaces[1] = c.Interfaces[1], c.Interfaces[0]
	c.KeyNumber, c.Key = 2, ccp.GateKey{9}
	b.at += 10 * ms
	b.advance(b.at)
	before := b.sent()
	b.configure(c, b.at)
	// An answer under the old key to a probe from before still counts, on the interface's new position.
	for _, f := range before {
		if f.head.Target == 1 && f.iface == 0 {
			b.receive(b.at, 1, p.reply(t, b.at, f, testConfig().Key))
		}
	}
	if l := b.links[b.linkOf[1][1]]; l.stats.Answered != 2 || l.slot != 1 || b.stats.Dropped != [DropCount]uint64{} {
		t.Errorf("link %+v, drops %v", l.stats, b.stats.Dropped)
	}
	b.at += 10 * ms
	b.advance(b.at)
	for _, f := range b.sent() {
		if f.head.Key != 2 || f.head.EchoIncarnation != 111 {
			t.Errorf("probe after the change: key %d, echo %d", f.head.Key, f.head.EchoIncarnation)
		}
	}
}
