// SPDX-License-Identifier: Apache-2.0

package node

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/steer"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/members"
)

// sharing is the node's end of load sharing: what the agreement about slots is told and what it wants, and how the gate, the sync plane and
// the other members stand to it. The loop owns it.
type sharing struct {
	agreement *steer.Agreement // nil in mode ha
	// key is the secret of the hash that sorts packets into slots; it goes with the tables.
	key [16]byte
	// offered are the secrets that came with tables which are not in force yet.
	offered map[*steer.Table][16]byte
	rules   steer.Rules // as the gate and the sync plane have been told
	// untranslated are the families of which the gate looks no connection up.
	untranslated bpf.Families
	print        uint64 // of the settings that they come from
	// table is in force at the gate, since tableAt.
	table   *steer.Table
	tableAt int64
	// told, peers, weights and frozen are what the agreement was told last.
	told    steer.Own
	began   int64 // when this daemon looked at the gate first
	adopted bool  // there was a table in it
	peers   [ccp.MaxMembers]steer.Peer
	weights [steer.Members]uint16
	frozen  bool
	replies [ccp.MaxMembers]gateReply
	// leaving: this member is to be without slots, in order; until leaveBy at the latest, when leave is done.
	leaving bool
	leaveBy int64
	leave   []func()

	wakeAt int64
	// perform carries out an effect, own tells the sync plane who takes what: the node's, in tests others.
	perform func(now int64, e steer.Effect)
	own     func(*steer.Table) <-chan struct{}
	// doing are effects that wait for the sync plane to have applied what came in, until doneBy at the latest.
	doing   []steer.Effect
	applied <-chan struct{}
	doneBy  int64
	drained bool
	flushed chan steer.FlushDone
	share   uint32 // term that the pulse was asked for last, 0: none
	// gaveUp: the share that the table in force may give was dropped; at closeAt, if it is not 0, the sync plane is to learn that nothing is carried.
	gaveUp  bool
	closeAt int64
	block   bool // new connections are dropped now

	traffic ccp.TrafficView // of the own gate, as read last
	meter   trafficMeter

	adaptive *steer.Adaptive // nil unless weights follow load
	// adaptEvery is the interval that it was made for, as configured.
	adaptEvery time.Duration

	news         shareNews
	definesError string
}

// gateReply is the newest answer of a peer's gate, whatever interface it came by.
type gateReply struct {
	at    int64
	reply ccp.Reply
}

// openShare prepares load sharing, or its absence, at a gate that is loaded or was adopted. Everything of it that is in force stays so.
func (n *node) openShare() error {
	l := n.cfg.LoadSharing
	if l == nil {
		if n.words.Sharing() { // left by an earlier configuration
			return n.gate.SetSteering(bpf.Steering{})
		}
		return nil
	}
	s := &n.share
	s.flushed = make(chan steer.FlushDone, 1)
	s.perform, s.own, s.began = n.sharePerform, n.ownSlots, bpf.Boottime()
	s.table = &steer.Table{}
	adopted := n.words.Sharing()
	if adopted {
		s.key = keyBytes(n.words.HashKey())
	}
	for s.key == ([16]byte{}) {
		s.key = keyBytes([2]uint64{random64(), random64()})
	}
	s.weights = n.configuredWeights(n.local.Self.ID)
	c := steer.Config{Self: n.local.Self.ID, Members: uint8(len(n.cfg.Members)), Mode: shareMode(l.Method), Weight: s.weights,
		Timing: steer.DefaultTiming(n.cfg.Timers.Probe)}
	c.Timing.Linger = n.cfg.Timers.Linger
	s.agreement = steer.New(c)
	if err := n.steer(); err != nil {
		return err
	}
	for _, p := range n.ports {
		n.shareMACs(p.Slot)
	}
	if !adopted {
		return nil
	}
	found, err := n.gate.Slots()
	if err != nil {
		return err
	}
	s.table, s.tableAt, s.adopted = tableOf(found), bpf.Boottime(), true
	s.own(s.table)
	// What follows from it waits for the loop: there is no pulse yet.
	s.doing, s.applied = s.agreement.Step(s.tableAt, adoption(s.table, n.words)), closed
	return nil
}

// closed is a channel on which nobody waits.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// adoption is what a daemon finds in a gate that goes by a table.
func adoption(t *steer.Table, w *bpf.Words) steer.Adopted {
	a := steer.Adopted{Term: t.Term, Number: t.Number, Entry: t.Entry}
	if w.ShareOpen(bpf.Boottime()) {
		a.Share = w.Share().Term()
	}
	return a
}

// steer tells the gate and the sync plane the rules by which packets are sorted and passed on.
func (n *node) steer() error {
	l, s := n.cfg.LoadSharing, &n.share
	s.rules = n.steerRules()
	s.print, s.rules.Blind = n.settings(&s.rules), n.gate.Blind()
	g := bpf.Steering{Mode: bpf.SteerMode(s.rules.Mode), Key: bpf.SteerKey(s.rules.Kind), HashKey: s.rules.Key,
		SNATFirst: l.SNATPorts.First, SNATLast: l.SNATPorts.Last, Published: s.rules.Published, BlockNew: s.block}
	if err := n.gate.SetSteering(g); err != nil {
		return fmt.Errorf("steering: %w", err)
	}
	n.gate.SetDrained(s.drained)
	n.gate.SetUntranslated(s.untranslated)
	n.sync.plane.SetSlots(syncSlots(s.rules, n.fingerprint(&s.rules), n.gate))
	return nil
}

// steerRules are the rules of the configuration, for the Go twin of the gate's decision.
func (n *node) steerRules() steer.Rules {
	l := n.cfg.LoadSharing
	r := steer.Rules{
		Kind: map[config.HashKey]steer.Kind{config.KeyIPs: steer.ByIPs, config.KeyPorts: steer.ByPorts, config.KeySPI: steer.ByPortsAndSPI}[l.Key],
		Key:  keyWords(n.share.key), Mode: shareMode(l.Method), VIP: n.vipSet(),
		SNATFirst: l.SNATPorts.First, SNATLast: l.SNATPorts.Last, Members: len(n.cfg.Members), Published: l.Published,
	}
	r.Published = append(r.Published[:len(r.Published):len(r.Published)], n.proxied()...)
	return r
}

func shareMode(m config.Method) steer.Mode {
	if m == config.MethodMulticast {
		return steer.ModeMulticast
	}
	return steer.ModeUnicast
}

func keyBytes(w [2]uint64) (key [16]byte) {
	binary.LittleEndian.PutUint64(key[:8], w[0])
	binary.LittleEndian.PutUint64(key[8:], w[1])
	return key
}

func keyWords(key [16]byte) [2]uint64 {
	return [2]uint64{binary.LittleEndian.Uint64(key[:8]), binary.LittleEndian.Uint64(key[8:])}
}

// configuredWeights are those of the configuration, or their defaults, which depend on who leads.
func (n *node) configuredWeights(leader uint8) (w [steer.Members]uint16) {
	for _, m := range n.cfg.Members {
		w[m.ID] = n.cfg.LoadSharing.Weight(m.ID, leader, len(n.cfg.Members))
	}
	return w
}

// slotsHeard takes a table that another member has sent.
func (n *node) slotsHeard(now int64, from uint8, s *ccp.Slots) {
	if n.share.agreement == nil {
		return
	}
	t := tableFromWire(from, s)
	if !t.Valid() {
		n.wire.dropped[ccp.DropMalformed]++
		return
	}
	n.share.offer(t, s.Key)
	n.shareStep(now, steer.TableReceived{From: from, Table: t})
	n.share.refused(t)
}

// offer keeps the secret that came with a table until the table is in force, refused forgets it if the agreement has not accepted the table.
func (s *sharing) offer(t *steer.Table, key [16]byte) {
	if s.offered == nil {
		s.offered = map[*steer.Table][16]byte{}
	}
	s.offered[t] = key
}

func (s *sharing) refused(t *steer.Table) {
	if s.agreement.Table() != t {
		delete(s.offered, t)
	}
}

// leaveOrderly lets this member be without slots first, if others can take them, and then do what it was about to do.
func (n *node) leaveOrderly(now int64, then func()) {
	s := &n.share
	if s.agreement == nil || !n.takesSlots() || !n.othersFit() {
		then()
		return
	}
	s.leaving, s.leave = true, append(s.leave, then)
	if s.leaveBy == 0 {
		s.leaveBy = now + int64(leaveWithin)
	}
	n.shareFollow(now)
}

// leaveWithin is how long a member that leaves waits for its slots to be taken by others.
const leaveWithin = 500 * time.Millisecond

// order gives the machine an operator's order. One that takes a member out waits until it is without slots, if all is well.
func (n *node) order(e members.Event) {
	now := bpf.Boottime()
	if a, is := e.(members.Admin); is && n.share.agreement != nil {
		switch a.Kind {
		case members.AdminDown:
			n.leaveOrderly(now, func() { n.step(e) })
			return
		case members.AdminUp:
			n.shareStay(now)
		}
	}
	n.step(e)
}

// reloadShare brings load sharing in line with a new configuration.
func (n *node) reloadShare() error {
	if n.share.agreement == nil {
		return nil
	}
	n.writeDefines()
	err := n.steer()
	n.resetWeights(bpf.Boottime())
	return err
}
