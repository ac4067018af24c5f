// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"crypto/cipher"
	"encoding/binary"
)

// Implementation constants of the Opener: the wire format does not depend on them (but for candidates, through MaxEchoListLen).
const (
	// candidates is how many incarnations of a peer, beside the current one, can be asked at once to prove themselves.
	candidates = 2
	// retiredKept is how many replaced incarnations of a peer are remembered. A recording of one that was forgotten can become a
	// candidate and no more: it cannot know a sequence that this member sends later.
	retiredKept = 8
	// candidateTurn is for how long in ns the lottery among candidates without proof holds (see merit).
	candidateTurn = 500e6
	// freshStay is how long in ns a candidate that was shown to be no recording goes before those that may be.
	freshStay = 5e9
	// freshAge is how old in ns an echoed stamp of this member's gate may be to prove that a frame is no recording.
	freshAge = 1e9
)

// Key is a cluster key and its number, 1..255.
type Key struct {
	Number uint8
	Key    ClusterKey
}

// Opened is a sealed frame that was taken.
type Opened struct {
	Header Header
	// Body is what the frame's type puts after the echo list, zeros of padding included. It points into Open's scratch.
	Body []byte
	// Bound says that the frame is from the sender's current incarnation, which has proved itself, and was made after the sender
	// heard the current incarnation of this member. A frame that is not bound may be a recording: IT MUST NOT CHANGE STATE.
	Bound bool
	// New says that with this frame its incarnation became the sender's current one: first contact, or a restart of the sender.
	New bool
	// Introduce says that the sender may be waiting for an echo: send it a frame at once, whatever the schedule.
	Introduce bool
	// Age is, in a bound frame, how many ns ago this member sent the newest frame that the sender had heard when it made this
	// one: the frame is no older than that.
	Age int64
}

// Opener opens sealed frames for one incarnation of the daemon of one member: it holds, per peer, the current incarnation with its
// replay window, the candidates to succeed it and those it has replaced. Not safe for concurrent use.
type Opener struct {
	cluster     uint16
	self        uint8
	incarnation uint64
	gate        uint64
	keys        [2]openKey
	peers       [MaxMembers]peer
	nonce       [nonceLen]byte
}

type openKey struct {
	Key
	held bool
	gate GateKey
}

type peer struct {
	current    *incarnation // nil before the first one has proved itself
	candidates [candidates]*incarnation
	retired    [retiredKept]uint64 // a ring; 0 is no incarnation
	nextSlot   int
}

// incarnation is one life of a peer's daemon.
type incarnation struct {
	id     uint64
	aead   [2]cipher.AEAD // by place in Opener.keys; nil until used
	newest uint64
	window *Window // of the current one; a candidate's frames must come in order
	since  int64   // when it became a candidate
	// Until freshUntil it goes before candidates that may be recordings: a frame of it has proved to be none.
	freshUntil int64
}

// NewOpener makes an Opener for the given incarnation, not 0, of the daemon of member self.
func NewOpener(cluster uint16, self uint8, incarnation uint64, keys ...Key) *Opener {
	o := &Opener{cluster: cluster, self: self, incarnation: incarnation}
	o.SetKeys(keys...)
	return o
}

// SetKeys replaces the keys that frames may be sealed under: one or, during a rotation, two (more are ignored). Incarnations and
// windows stay.
func (o *Opener) SetKeys(keys ...Key) {
	for i := range o.keys {
		next := openKey{}
		if i < len(keys) {
			next = openKey{Key: keys[i], held: true, gate: keys[i].Key.GateKey(o.cluster)}
		}
		if next == o.keys[i] {
			continue
		}
		o.keys[i] = next
		for p := range o.peers {
			for _, inc := range o.peers[p].all() {
				if inc != nil {
					inc.aead[i] = nil
				}
			}
		}
	}
}

// SetGate names the incarnation of this member's own gate, so that frames which echo it can prove that they are no recordings (and
// so take a candidate's place at once under a flood of recordings). Without it, or with 0, nothing but patience is lost.
func (o *Opener) SetGate(incarnation uint64) { o.gate = incarnation }

// Incarnation returns the incarnation of member that has proved itself, false before the first has.
func (o *Opener) Incarnation(member uint8) (uint64, bool) {
	if int(member) >= len(o.peers) || o.peers[member].current == nil {
		return 0, false
	}
	return o.peers[member].current.id, true
}

// AppendEcho appends the echo list for a frame to target (All for every peer): which incarnations of it were heard, up to which
// sequence. Every plaintext given to Sealer.Seal begins with it. At most MaxEchoListLen bytes.
func (o *Opener) AppendEcho(b []byte, target uint8) []byte {
	start := len(b)
	b = append(b, 0)
	for m := range o.peers {
		if target != All && int(target) != m {
			continue
		}
		for _, inc := range o.peers[m].all() {
			if inc != nil {
				b = appendEchoEntry(b, echo{uint8(m), inc.id, inc.newest})
				b[start]++
			}
		}
	}
	return b
}

// Open checks and opens frame, which begins with the CCP header, at CLOCK_BOOTTIME now in ns (the clock of this member's sequences).
// The plaintext is put into scratch, which must not overlap frame; nothing is allocated if it has room for MaxPlainLen bytes and the
// incarnation is a known one. When the reason is not DropNone, of Opened only the Header may be filled, for counting, and nothing in
// it is proved.
func (o *Opener) Open(now int64, frame, scratch []byte) (Opened, DropReason) {
	h, err := ParseHeader(frame)
	if err != nil {
		return Opened{}, dropReason(err)
	}
	out := Opened{Header: h}
	slot, reason := o.admit(h)
	if reason == DropNone && !VerifyTag(frame, o.keys[slot].gate) {
		reason = DropTag
	}
	if reason != DropNone {
		return out, reason
	}
	p := &o.peers[h.Source]
	inc, known := p.find(h.Incarnation)
	if !known {
		if p.isRetired(h.Incarnation) {
			return out, DropRetired
		}
		inc = &incarnation{id: h.Incarnation, since: now}
	}
	if reason := inc.check(h.Sequence); reason != DropNone {
		return out, reason
	}
	plain, ok := o.unseal(inc, slot, h, frame, scratch)
	if !ok {
		return out, DropSeal
	}
	entries, body, err := splitEchos(plain)
	if err != nil {
		return out, DropMalformed
	}
	inc.accept(h.Sequence)
	out.Body = body
	if o.isFresh(now, h) {
		inc.freshUntil = now + freshStay
	}
	if !known {
		out.Introduce = p.nominate(inc, now)
		return out, DropNone
	}
	seq, echoed := findEcho(entries, o.self, o.incarnation)
	if inc != p.current && echoed && seq > uint64(inc.since) {
		// Only the living can echo what this member sent after it first heard of them.
		p.promote(inc)
		out.New, out.Introduce = true, true
	}
	if inc == p.current && echoed {
		out.Bound, out.Age = true, now-int64(seq)
	}
	return out, DropNone
}

// admit checks the header's addresses and finds the place of its key.
func (o *Opener) admit(h Header) (slot int, reason DropReason) {
	switch {
	case !h.Type.Sealed():
		return 0, DropType
	case h.Cluster != o.cluster:
		return 0, DropCluster
	case h.Source >= MaxMembers || h.Incarnation == 0:
		return 0, DropSource
	case h.Source == o.self:
		return 0, DropOwn
	case h.Target != o.self && h.Target != All:
		return 0, DropTarget
	}
	for i, k := range o.keys {
		if k.held && k.Number == h.Key {
			return i, DropNone
		}
	}
	return 0, DropKey
}

func (o *Opener) unseal(inc *incarnation, slot int, h Header, frame, scratch []byte) ([]byte, bool) {
	if inc.aead[slot] == nil {
		inc.aead[slot] = newAEAD(o.keys[slot].Key.Key, o.cluster, h.Source, h.Incarnation)
	}
	binary.BigEndian.PutUint64(o.nonce[nonceLen-8:], h.Sequence)
	plain, err := inc.aead[slot].Open(scratch[:0], o.nonce[:], h.Body(frame), frame[:TagOffset])
	return plain, err == nil
}

// isFresh reports whether h proves that its frame was made within the last second: it echoes a stamp of this member's own gate.
func (o *Opener) isFresh(now int64, h Header) bool {
	age := now - int64(h.EchoStamp)
	return o.gate != 0 && h.EchoIncarnation == o.gate && age >= 0 && age < freshAge
}
