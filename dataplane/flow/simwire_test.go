// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"encoding/binary"
	"slices"
)

// send puts a frame on all links.
func (w *world) send(f frame) {
	w.id++
	f.id = w.id
	for link := range w.links {
		for n := 0; n == 0 || (n < 3 && w.rng.Float64() < w.dup); n++ {
			if w.now < w.down[link] || (w.now < w.end+500*ms && w.rng.Float64() < w.loss) {
				continue
			}
			at := w.now + 30_000
			if w.delay > 0 {
				at += w.rng.Int64N(w.delay)
			}
			w.wire.Add(at, f)
		}
	}
}

// sendAll has everybody send what is due.
func (w *world) sendAll() {
	for {
		id, b, ok := w.snd.Next(w.now)
		if !ok {
			break
		}
		w.sendBatch(int(id), b)
	}
	for _, e := range w.snd.Events(nil) {
		if e.Kind == Evicted && e.Reason == 0 {
			w.fail("an eviction without a reason: %+v", e)
		}
	}
	for i := 0; i < len(w.sessions); i++ {
		s := w.sessions[i]
		w.dump(s)
		for {
			b, ok := s.s.Next(w.now)
			if !ok {
				break
			}
			w.sendBatch(s.peer, b)
		}
		if s.s.Done() {
			w.sessions = slices.Delete(w.sessions, i, i+1)
			i--
		}
	}
	for _, m := range w.members {
		w.answer(m)
	}
}

func (w *world) sendBatch(peer int, b Batch) {
	b.Payload = slices.Clone(b.Payload)
	w.send(frame{toPeer: true, peer: peer, from: w.log, to: w.members[peer].incarnation, what: b})
}

// answer has a peer send what is due.
func (w *world) answer(m *member) {
	back := frame{peer: m.id, from: m.incarnation, to: w.log}
	if a, ok := m.r.Ack(w.now); ok {
		a.Ranges = slices.Clone(a.Ranges)
		back.what = a
		w.send(back)
	}
	if g, ok := m.r.Gap(w.now); ok {
		g.Missing = slices.Clone(g.Missing)
		back.what = g
		w.send(back)
	}
	if a, ok := m.b.Ack(w.now); ok {
		a.Ranges = slices.Clone(a.Ranges)
		back.what = a
		w.send(back)
	}
	if g, ok := m.b.Gap(w.now); ok {
		g.Missing = slices.Clone(g.Missing)
		back.what = g
		w.send(back)
	}
	if c, ok := m.b.Credit(w.now); ok {
		back.what = c
		w.send(back)
	}
	if m.dirty && w.now >= m.askAt {
		if m.asking == 0 {
			m.asking = w.rng.Uint64() | 1
			m.touched, m.listed, m.endAt = map[uint64]bool{}, map[uint64]bool{}, 0
			m.b.Open(w.now, m.asking)
		}
		m.askAt = w.now + 50*ms
		back.what = ask(m.asking)
		w.send(back)
	}
	w.finish(m)
}

// arrive hands a frame to whom it is for.
func (w *world) arrive(f frame) {
	m := w.members[f.peer]
	if f.toPeer {
		if f.to != m.incarnation || m.seen[f.id] {
			return
		}
		m.seen[f.id] = true
		b := f.what.(Batch)
		if w.onBatch != nil {
			w.onBatch(&b)
		}
		if b.Lane == LaneDelta {
			w.delta(m, m.r.Receive(w.now, b))
		} else {
			w.bulk(m, m.b.Receive(w.now, b))
		}
		return
	}
	if f.to != w.log || w.seen[f.id] {
		return
	}
	w.seen[f.id] = true
	switch what := f.what.(type) {
	case Ack:
		if what.Lane == LaneDelta {
			if w.snd.Acked(w.now, uint8(f.peer), f.from, what) == Malformed {
				w.fail("the acknowledgement %+v of peer %d is malformed", what, f.peer)
			}
		} else if s := w.session(what.Log); s != nil {
			s.s.Acked(w.now, what)
		}
	case Gap:
		if what.Lane == LaneDelta {
			if w.snd.Requested(w.now, uint8(f.peer), f.from, what) == Malformed {
				w.fail("the request %+v of peer %d is malformed", what, f.peer)
			}
		} else if s := w.session(what.Log); s != nil {
			s.s.Requested(w.now, what)
		}
	case Credit:
		if s := w.session(what.Log); s != nil {
			s.s.Credit(w.now, what)
		}
	case ask:
		w.asked(f.peer, uint64(what))
	}
}

func (w *world) session(id uint64) *session {
	for _, s := range w.sessions {
		if s.s.Session() == id {
			return s
		}
	}
	return nil
}

// asked begins a repair, and ends the one before for that peer.
func (w *world) asked(peer int, id uint64) {
	if w.served[id] || w.members[peer].asking != id {
		return
	}
	w.served[id] = true
	w.sessions = slices.DeleteFunc(w.sessions, func(s *session) bool { return s.peer == peer })
	b, err := NewBulkSender(w.now, BulkConfig{Session: id, Payload: 200 + w.rng.IntN(1000), Window: 4 << w.rng.IntN(5)})
	if err != nil {
		w.fail("repair: %v", err)
		return
	}
	s := &session{s: b, peer: peer}
	for k := range w.table {
		s.keys = append(s.keys, k)
	}
	slices.Sort(s.keys)
	w.sessions = append(w.sessions, s)
	w.keepDeletes()
}

func (w *world) keepDeletes() {
	w.snd.KeepDeletes(slices.ContainsFunc(w.sessions, func(s *session) bool { return !s.read }))
}

// dump reads on in the table, as a dump does: as it is by then.
func (w *world) dump(s *session) {
	for n := 0; n < 5; n++ {
		if s.next == nil && s.read {
			return
		}
		if s.next == nil {
			if len(s.keys) == 0 {
				s.read = true
				w.keepDeletes()
				s.next = encode(opEnd, 0, value{}, w.snd.Position(w.now), 0)
			} else {
				key := s.keys[0]
				s.keys = s.keys[1:]
				v, ok := w.table[key]
				if !ok {
					continue
				}
				s.next = encode(opCreate, key, v, 0, w.rng.IntN(60))
			}
		}
		ok, err := s.s.Offer(w.now, s.next)
		if err != nil {
			w.fail("offer: %v", err)
		}
		if !ok {
			return
		}
		if s.next = nil; s.read {
			s.s.Close()
		}
	}
}

// delta applies what the delta lane hands out.
func (w *world) delta(m *member, got Received) {
	if got.Started || got.Missed > 0 {
		w.soil(m)
	}
	for _, b := range got.Ready {
		for p := b.Payload; len(p) > 0; p = p[p[0]:] {
			w.apply(m, p, false)
		}
	}
}

// bulk applies what the bulk lane hands out.
func (w *world) bulk(m *member, got Received) {
	for _, b := range got.Ready {
		for p := b.Payload; len(p) > 0; p = p[p[0]:] {
			w.apply(m, p, true)
		}
		m.b.Consumed(w.now, len(b.Payload))
	}
}

func (w *world) apply(m *member, p []byte, bulk bool) {
	key := binary.BigEndian.Uint64(p[2:])
	v := value{place: binary.BigEndian.Uint32(p[10:]), gen: binary.BigEndian.Uint32(p[14:])}
	number := binary.BigEndian.Uint64(p[18:])
	old, ok := m.copy[key]
	switch op := p[1]; {
	case op == opMark:
		if m.dirty {
			return
		}
		if m.copy.digest() != number {
			w.fail("peer %d differs at a mark", m.id)
		}
		m.marks++
		return
	case op == opEnd:
		m.endAt = number + 1
		return
	case bulk:
		m.listed[key] = true
		if m.touched[key] {
			return
		}
	default:
		if m.touched != nil {
			m.touched[key] = true
		}
		if op == opDelete {
			delete(m.copy, key)
			if m.places[old.place] == key {
				delete(m.places, old.place)
			}
			return
		}
		if op == opUpdate && ok && old.place != v.place && !m.dirty {
			w.fail("peer %d: an update would have to move a key", m.id)
		}
	}
	if other, taken := m.places[v.place]; taken && other != key {
		if !m.dirty {
			w.fail("peer %d: the place of a new key is not free yet", m.id)
		}
		delete(m.copy, other)
	}
	if ok && m.places[old.place] == key {
		delete(m.places, old.place)
	}
	m.copy[key] = v
	m.places[v.place] = key
}

// finish ends a repair once the delta lane has come as far.
func (w *world) finish(m *member) {
	if !m.dirty || m.asking == 0 || m.endAt == 0 || m.r.Log() != w.log || m.r.Position()+1 < m.endAt {
		return
	}
	for k, v := range m.copy {
		if !m.listed[k] && !m.touched[k] {
			delete(m.copy, k)
			if m.places[v.place] == k {
				delete(m.places, v.place)
			}
		}
	}
	m.dirty, m.asking, m.touched, m.listed = false, 0, nil, nil
	m.repairs++
}
