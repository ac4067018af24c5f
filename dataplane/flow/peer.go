// SPDX-License-Identifier: Apache-2.0

package flow

import "slices"

// peer is one receiver of the delta lane, as its sender sees it.
type peer struct {
	id          uint8
	incarnation uint64
	track
	evicted  bool
	reason   Reason
	evictAt  int64 // when it was evicted last
	pause    int64 // how long it then has to stay away
	announce int64 // when it is told the floor next, or never
	interval int64 // and how long after that again
	told     uint64
}

// Reason says why a peer was evicted.
type Reason uint8

// The reasons. Zero is none.
const (
	// Silent: it acknowledged nothing for the deadline.
	Silent Reason = iota + 1
	// Lagging: it acknowledges, but too slowly.
	Lagging
	// Full: memory ran out, and it was the slowest.
	Full
)

// String returns the reason in words, as status and events show it.
func (r Reason) String() string {
	switch r {
	case Silent:
		return "silent"
	case Lagging:
		return "lagging behind"
	case Full:
		return "queue full"
	}
	return "none"
}

// EventKind says what became of a peer.
type EventKind uint8

// The kinds. Zero is none of them.
const (
	// Evicted: nothing is kept for it any more; it needs a repair once it returns.
	Evicted EventKind = iota + 1
	// Returned: it answered after an eviction. From here on it gets everything; what came before it must ask for.
	Returned
)

// Event is something that the caller should know of.
type Event struct {
	Kind   EventKind
	Peer   uint8
	Reason Reason // of Evicted
	Lost   uint64 // batches that it was never sent or did not acknowledge, of Evicted
}

// PeerState is what is known of a peer.
type PeerState struct {
	ID          uint8
	Incarnation uint64
	Evicted     bool
	Reason      Reason // of the last eviction
	// Confirmed: it has answered since it joined or returned.
	Confirmed bool
	// Acked is the sequence up to which it has everything.
	Acked uint64
	// Batches, Items and Bytes that it has not acknowledged; those that wait to be batched are included.
	Batches, Items, Bytes int
	// Lag is how old the oldest of these is, in ns; 0 if there are none.
	Lag int64
	// RoundTrip from a batch to its acknowledgement, smoothed, in ns; 0 before the first.
	RoundTrip int64
}

// SetPeer adds a peer, or says that its incarnation is another, that is: that it has forgotten everything. Either way it gets what is added from
// now on, and is told at once where that begins. With the same incarnation as before nothing changes.
func (s *Sender) SetPeer(now int64, id uint8, incarnation uint64) {
	i, ok := s.find(id)
	if !ok {
		s.peers = slices.Insert(s.peers, i, &peer{id: id, track: newTrack(s.cfg.Window)})
	} else if s.peers[i].incarnation == incarnation {
		return
	}
	p := s.peers[i]
	p.incarnation = incarnation
	p.rtt = rtt{}
	p.pause, p.evictAt, p.reason = 0, 0, 0
	s.include(now, p)
}

// include has a peer get everything from here on.
func (s *Sender) include(now int64, p *peer) {
	// What waits was added before, and the peer must not miss what is merged with it: it gets all of it.
	if s.silence {
		s.log.burn()
		s.silence = false
	}
	p.evicted = false
	p.restart(now, s.log.next)
	p.announce, p.interval, p.told = now, announceFast, s.log.next
	s.trim()
}

// RemovePeer forgets a peer that is not configured any more, or has left.
func (s *Sender) RemovePeer(id uint8) {
	if i, ok := s.find(id); ok {
		s.peers = slices.Delete(s.peers, i, i+1)
		s.gone()
	}
}

// gone drops what nobody waits for any more.
func (s *Sender) gone() {
	if !s.heard() {
		s.silence = s.silence || s.queue.items > 0
		s.n.Unheard += uint64(s.queue.items)
		s.queue.reset()
	}
	s.trim()
}

// confirmed says whether the peer has acknowledged the floor it was told.
func (p *peer) confirmed() bool { return !p.evicted && p.announce == never }

// announced notes that the peer is told its floor.
func (p *peer) announced(now int64, floor uint64) {
	p.told = floor
	p.announce = now + p.interval
	p.interval = min(2*p.interval, announceMax)
}

// overdue is when a peer is evicted unless it acknowledges something, or never.
func (s *Sender) overdue(p *peer) int64 {
	if p.evicted || p.una == s.log.next {
		return never
	}
	cut := s.log.at(p.una).cut
	return max(s.lenity, min(max(p.progress, cut)+s.cfg.Deadline, cut+s.cfg.Lag))
}

// watch evicts who is late, and has sent again what is overdue.
func (s *Sender) watch(now int64) {
	if now-s.asked > ownStall {
		s.lenity = now + s.cfg.Deadline
	}
	s.asked = now
	for _, p := range s.peers {
		if p.evicted {
			continue
		}
		if now >= s.overdue(p) {
			reason := Lagging
			if now >= p.progress+s.cfg.Deadline {
				reason = Silent
			}
			s.evict(now, p, reason)
			continue
		}
		p.tick(now)
	}
}

// relieve makes room: first refreshes go, then the slowest peers.
func (s *Sender) relieve(now int64) {
	s.queue.giveUpRefreshes()
	for s.held() > s.cfg.Bytes {
		var slowest *peer
		for _, p := range s.peers {
			if !p.evicted && (slowest == nil || p.una < slowest.una) {
				slowest = p
			}
		}
		if slowest == nil {
			return
		}
		s.evict(now, slowest, Full)
	}
}

func (s *Sender) evict(now int64, p *peer, why Reason) {
	lost := s.log.next - p.una
	if now-p.evictAt < calmAfter && p.evictAt != 0 {
		p.pause = min(max(2*p.pause, returnPause), returnMax)
	} else {
		p.pause = 0
	}
	p.evicted, p.reason, p.evictAt = true, why, now
	p.announce, p.interval, p.told = now+p.pause, announceFast, 0
	p.restart(now, s.log.next)
	s.n.Evictions++
	s.n.Lost += lost
	s.events = append(s.events, Event{Kind: Evicted, Peer: p.id, Reason: why, Lost: lost})
	s.gone()
}

// ackedEvicted lets a peer return that acknowledges at least the floor that it was told last.
func (s *Sender) ackedEvicted(now int64, p *peer, a Ack) Verdict {
	if a.Next > s.log.next {
		s.n.Malformed++
		return Malformed
	}
	if p.told == 0 || a.Next < p.told {
		s.n.Stale++
		return Stale
	}
	s.n.Acks++
	s.n.Returns++
	s.include(now, p)
	s.events = append(s.events, Event{Kind: Returned, Peer: p.id})
	return Taken
}

// Events appends to dst what happened since it was called last, in order, and returns it.
func (s *Sender) Events(dst []Event) []Event {
	dst = append(dst, s.events...)
	s.events = s.events[:0]
	return dst
}

// Peers appends to dst the state of all peers, by number, and returns it.
func (s *Sender) Peers(now int64, dst []PeerState) []PeerState {
	for _, p := range s.peers {
		st := PeerState{ID: p.id, Incarnation: p.incarnation, Evicted: p.evicted, Reason: p.reason,
			Confirmed: p.confirmed(), Acked: p.una - 1, RoundTrip: p.rtt.smooth}
		if !p.evicted {
			s.backlog(now, p, &st)
		}
		dst = append(dst, st)
	}
	return dst
}

func (s *Sender) backlog(now int64, p *peer, st *PeerState) {
	st.Items, st.Bytes = s.queue.items, s.queue.bytes
	oldest := s.queue.oldest()
	for seq := p.una; seq < s.log.next; seq++ {
		if seq < p.end && p.at(seq).acked {
			continue
		}
		b := s.log.at(seq)
		st.Batches++
		st.Items += b.items
		st.Bytes += len(b.payload)
		oldest = min(oldest, b.cut)
	}
	if oldest != never {
		st.Lag = max(0, now-oldest)
	}
}
