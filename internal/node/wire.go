// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/ccp/segment"
	"github.com/holdfast-project/holdfast/dataplane/neighbour"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/metrics"
	"github.com/holdfast-project/holdfast/members"
)

// frameRoom is room for the longest CCP frame.
const frameRoom = ccp.HeaderLen + ccp.MaxBodyLen

// frame is a sealed frame as it came in, copied out of its socket's buffer.
type frame struct {
	slot uint8
	src  [6]byte
	data []byte
}

// wire is the member's end of CCP between daemons: sealed frames on every monitored interface. The loop owns it, but for the sockets'
// readers, which only put frames into the channel.
type wire struct {
	n           *node
	incarnation uint64
	sealer      *ccp.Sealer
	opener      *ccp.Opener
	ring        *ccp.Keyring
	keyNumbers  string                     // of the key file, for people
	held        int                        // keys that gate and opener have been given
	told        [ccp.MaxMembers]*ccp.Hello // the last HELLO of each peer
	newest      [ccp.MaxMembers]echo       // its daemon's incarnation and sequence
	inAt        map[[2]uint8]int64         // by member and slot: when CCP of it came in there last

	conns  map[uint8]*socket    // by slot
	macs   map[[2]uint8][6]byte // by member and slot: where its authentic frames come from
	gates  [ccp.MaxMembers]echo // what the peers' gates said last, to be echoed
	frames chan frame
	launch func(name string, run func(context.Context) error) // starts a task; nil before start

	bootID         [16]byte
	plain, out, in []byte // reused
	rest           rest   // what was said last, and where
	sent, taken    uint64
	dropped        [ccp.DropReasons]uint64
	strange        strangers // whose frames were dropped
}

// echo is the newest stamp of a peer's gate: a frame that carries it is fresh to that gate.
type echo struct {
	incarnation, stamp uint64
	at                 int64 // when it was taken
}

// socket is an open segment and the interface that it was opened for.
type socket struct {
	conn  *segment.Conn
	index int
	mac   [6]byte
}

func newWire(n *node) *wire {
	w := &wire{n: n, incarnation: random64(), conns: map[uint8]*socket{}, macs: map[[2]uint8][6]byte{},
		inAt: map[[2]uint8]int64{}, frames: make(chan frame, 256),
		plain: make([]byte, 0, ccp.MaxPlainLen), out: make([]byte, 0, frameRoom), in: make([]byte, 0, frameRoom),
	}
	if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
		copy(w.bootID[:], hexBytes(id))
	}
	w.opener = ccp.NewOpener(n.cfg.ID, n.local.Self.ID, w.incarnation)
	w.opener.SetGate(n.gate.Incarnation())
	w.ring = ccp.NewKeyring(n.cfg.ID, n.local.Self.ID, uint8(len(n.cfg.Members)))
	return w
}

// hexBytes reads the digits of a UUID.
func hexBytes(text []byte) []byte {
	var out []byte
	var half, have = byte(0), false
	for _, c := range text {
		var d byte
		switch {
		case c >= '0' && c <= '9':
			d = c - '0'
		case c >= 'a' && c <= 'f':
			d = c - 'a' + 10
		default:
			continue
		}
		if have {
			out = append(out, half<<4|d)
		}
		half, have = d, !have
	}
	return out
}

// configure opens a socket on every monitored interface that has none for its present device. A device that went and came back while the
// kernel's word of it was lost has its old index and none of its sockets.
func (w *wire) configure() error {
	var errs []error
	for _, p := range w.n.ports {
		old := w.conns[p.Slot]
		if old != nil && old.index == p.index && old.conn.Bound() {
			if old.mac != p.mac {
				old.mac = p.mac
				old.conn.SetSource(p.mac)
			}
			continue
		}
		if old != nil {
			old.conn.Close()
			delete(w.conns, p.Slot)
		}
		if p.index == 0 || !p.Monitored {
			continue
		}
		conn, err := segment.Dial(p.index, w.n.cfg.CCP.EtherType, segment.Filter{Class: segment.Sealed, Cluster: w.n.cfg.ID})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		w.conns[p.Slot] = &socket{conn: conn, index: p.index, mac: p.mac}
		if w.launch != nil {
			w.read(p.Slot, conn)
		}
	}
	return errors.Join(errs...)
}

// start begins to read the sockets.
func (w *wire) start(launch func(string, func(context.Context) error)) {
	w.launch = launch
	for slot, s := range w.conns {
		w.read(slot, s.conn)
	}
}

func (w *wire) read(slot uint8, conn *segment.Conn) {
	w.launch(fmt.Sprintf("ccp on slot %d", slot), func(ctx context.Context) error {
		stop := context.AfterFunc(ctx, func() { conn.Close() })
		defer stop()
		buf := make([]byte, frameRoom)
		for {
			size, src, _, err := conn.Recv(buf)
			switch {
			case errors.Is(err, os.ErrClosed):
				return nil
			case err != nil:
				// The interface went down or away; the watcher tells the loop, which opens another socket if need be.
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(100 * time.Millisecond):
				}
				continue
			}
			select {
			case w.frames <- frame{slot, src, append([]byte(nil), buf[:size]...)}:
			case <-ctx.Done():
				return nil
			}
		}
	})
}

func (w *wire) close() {
	for _, s := range w.conns {
		s.conn.Close()
	}
}

// owners says whose MACs are known: the VMACs, and the members' as learned from authentic frames.
func (w *wire) owners() neighbour.Table {
	t := neighbour.Table{}
	for _, p := range w.n.ports {
		if p.VMAC != nil {
			t[*p.VMAC] = neighbour.Owner{By: neighbour.VMAC}
		}
		if p.index != 0 {
			t[p.mac] = neighbour.Owner{By: neighbour.Member, Member: w.n.local.Self.ID}
		}
	}
	for key, mac := range w.macs {
		t[mac] = neighbour.Owner{By: neighbour.Member, Member: key[0]}
	}
	return t
}

// received opens a frame and gives what it says to the machine.
func (w *wire) received(f frame) {
	now := bpf.Boottime()
	opened, drop := w.opener.Open(now, f.data, w.in)
	if drop != ccp.DropNone {
		w.dropped[drop]++
		w.strange.note(now, drop, w.n.ports[f.slot].Name, f.src)
		return
	}
	w.taken++
	from := opened.Header.Source
	if int(from) >= len(w.n.cfg.Members) {
		w.dropped[ccp.DropSource]++
		return
	}
	if opened.Bound && opened.Age < -int64(setBackBy) {
		w.n.setBack(from, -time.Duration(opened.Age))
		return
	}
	if key := [2]uint8{from, f.slot}; opened.Bound && w.macs[key] != f.src {
		w.macs[key] = f.src
		w.n.configureAsker()
		w.n.shareMACs(f.slot)
	}
	if opened.Bound {
		w.inAt[[2]uint8{from, f.slot}] = now
		if w.n.silent[[2]uint8{from, f.slot}] { // its gate does not answer there, but what it sends comes in
			w.n.step(members.CCPIn{Peer: from, Iface: f.slot})
		}
	}
	if opened.Introduce {
		if err := w.sendHelloTo(now, from); err != nil {
			w.n.log.Debug("introduce", "peer", w.n.name(from), "error", err)
		}
	}
	// An unbound frame may be a recording: it changes nothing.
	if !opened.Bound {
		return
	}
	switch opened.Header.Type {
	case ccp.TypeHello:
		w.hello(now, f.slot, &opened)
	case ccp.TypeSlots:
		s, err := ccp.ParseSlots(opened.Body)
		if err != nil {
			w.dropped[ccp.DropMalformed]++
			return
		}
		w.n.slotsHeard(now, from, &s)
	case ccp.TypePolicy:
		w.policyFrameIn(from, opened.Body)
	}
}

// hello gives the machine what a peer's daemon says.
func (w *wire) hello(now int64, slot uint8, opened *ccp.Opened) {
	from := opened.Header.Source
	// HELLOs come on several interfaces. What one says that was overtaken on its way is no news.
	if last := w.newest[from]; last.incarnation == opened.Header.Incarnation && opened.Header.Sequence < last.stamp {
		return
	}
	w.newest[from] = echo{opened.Header.Incarnation, opened.Header.Sequence, now}
	h, err := ccp.ParseHello(opened.Body)
	if err != nil {
		w.dropped[ccp.DropMalformed]++
		return
	}
	old := w.told[from]
	w.told[from] = &h
	w.n.heardKeys(from, opened.Header.Key, h.Keys)
	w.n.policyHeard(from, &h)
	w.n.step(members.HelloReceived{From: from, Iface: slot, Hello: fromWire(opened.Header.Incarnation, &h)})
	if old == nil || old.Sync.Incarnation != h.Sync.Incarnation || old.Sync.Role != h.Sync.Role || old.Sync.Current != h.Sync.Current || old.Term != h.Term {
		w.n.followSync(now)
	}
}

// sendHello sends a HELLO to every peer: on every interface what is new, and on one in turn what is not.
func (w *wire) sendHello(now int64) error {
	h := w.toWire(w.n.machine.Hello(now))
	only, turn := w.turn(&h)
	var errs []error
	for _, m := range w.n.local.Peers {
		if turn {
			errs = append(errs, w.sendOn(now, m.ID, only, &h))
			continue
		}
		errs = append(errs, w.sendEverywhere(now, m.ID, &h))
	}
	return errors.Join(errs...)
}

// sendHelloTo sends a HELLO to one peer on every interface.
func (w *wire) sendHelloTo(now int64, peer uint8) error {
	h := w.toWire(w.n.machine.Hello(now))
	return w.sendEverywhere(now, peer, &h)
}

func (w *wire) sendEverywhere(now int64, peer uint8, h *ccp.Hello) error {
	var errs []error
	for slot := range w.conns {
		errs = append(errs, w.sendOn(now, peer, slot, h))
	}
	return errors.Join(errs...)
}

func (w *wire) sendOn(now int64, peer, slot uint8, h *ccp.Hello) error {
	w.plain = h.Append(w.opener.AppendEcho(w.plain[:0], peer))
	return w.send(now, ccp.TypeHello, peer, slot)
}

// sendSlots sends a table of slots to a peer, on every interface for state synchronisation, else on all that carry the cluster's addresses.
func (w *wire) sendSlots(now int64, peer uint8, s *ccp.Slots) error {
	var errs []error
	for _, slot := range w.slotsOn() {
		w.plain = s.Append(w.opener.AppendEcho(w.plain[:0], peer))
		errs = append(errs, w.send(now, ccp.TypeSlots, peer, slot))
	}
	return errors.Join(errs...)
}

// slotsOn are the interfaces that tables of slots go by.
func (w *wire) slotsOn() []uint8 {
	var sync, cluster []uint8
	for slot := range w.conns {
		switch p := w.n.ports[slot]; {
		case !p.carrier:
		case p.Role.Sync():
			sync = append(sync, slot)
		case p.Role.Gated():
			cluster = append(cluster, slot)
		}
	}
	if len(sync) > 0 {
		return sync
	}
	return cluster
}

// send seals w.plain and sends it to a peer on an interface.
func (w *wire) send(now int64, typ ccp.Type, peer, slot uint8) error {
	w.out = w.sealer.Seal(w.out[:0], ccp.Header{Type: typ, Target: peer, Sequence: uint64(now),
		EchoIncarnation: w.gates[peer].incarnation, EchoStamp: w.gates[peer].stamp}, w.plain)
	if len(w.out) == 0 {
		return fmt.Errorf("%v of %d bytes is longer than a frame", typ, len(w.plain))
	}
	if err := w.conns[slot].conn.Send(w.out, w.destination(peer, slot)); err != nil && w.n.ports[slot].carrier {
		return fmt.Errorf("%v on %s: %w", typ, w.n.ports[slot].Name, err)
	} else if err == nil && typ == ccp.TypeHello {
		w.sent++
	}
	return nil
}

// destination is the peer's own MAC once it is known and as long as the peer is heard there: a replaced NIC has another.
func (w *wire) destination(peer, slot uint8) [6]byte {
	switch w.n.cfg.CCP.Transport {
	case config.Broadcast:
		return segment.Broadcast
	case config.Unicast:
		if mac, ok := w.macs[[2]uint8{peer, slot}]; ok && !w.n.silent[[2]uint8{peer, slot}] {
			return mac
		}
	}
	return segment.Group(w.n.cfg.ID)
}

// publish shows what was sent, taken and dropped.
func (w *wire) publish(m *metrics.Metrics) {
	m.SetFrames("hello", "out", w.sent)
	m.SetFrames("hello", "in", w.taken)
	for r := range w.dropped {
		if r != int(ccp.DropNone) {
			m.SetDrops(ccp.DropReason(r).String(), w.dropped[r])
		}
	}
}
