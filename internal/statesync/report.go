// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"cmp"
	"fmt"
	"maps"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/flow"
)

// Times in ns.
const (
	// heardFor is for how long an interface counts as one on which a member is heard.
	heardFor = 15e9
	// lossShown is for how long lost events and refused records are said.
	lossShown = 10e9
)

// shown is what Changes was told of last.
type shown struct {
	status  Status
	reason  string
	role    Role
	owner   uint8
	current bool
	idle    bool
}

// current says whether this member's table is fit to serve with.
func (p *Plane) current() bool {
	if p.role == RoleOwner && !p.share.on || p.cfg.Disabled || p.cfg.Members < 2 {
		return true
	}
	if p.share.on {
		return p.shareCurrent()
	}
	if a := p.askers[0]; a.current() {
		return true
	}
	return p.knowPeers && p.askers[0].source == ccp.Nobody && !p.ownerTold()
}

// ownerTold says whether a HELLO names an owner that may not be bound yet.
func (p *Plane) ownerTold() bool {
	for i := range p.peers {
		if t := p.peers[i].told; t.ID != ccp.Nobody && t.Role == RoleOwner {
			return true
		}
	}
	return false
}

// show tells Changes if there is something to tell.
func (p *Plane) show(now int64) {
	status, reason := p.health(now).judge()
	s := shown{status, reason, p.role, p.owner(), p.current(), p.idle()}
	p.showAt, p.shownAt = never, now
	if status == StatusAtRisk && (now-p.lost < lossShown && p.lost != 0 || p.refusedNow(now)) {
		p.showAt = now + lossShown/10
	}
	for i := range p.peers {
		p.showAt = min(p.showAt, p.peers[i].showAt(now, p.copies()))
	}
	p.showAt = min(p.showAt, p.shareShowAt(now))
	if s == p.shown {
		return
	}
	if s.status != p.shown.status || s.current != p.shown.current {
		p.log.Info("state synchronisation", "status", status.String(), "reason", reason, "current", s.current)
	}
	if s.current != p.shown.current {
		p.tellAll(now)
	}
	p.shown = s
	select {
	case p.changes <- struct{}{}:
	default:
	}
}

// showAt is when what is to be said of a peer changes by time alone.
func (q *peer) showAt(now int64, copies bool) int64 {
	at := int64(never)
	if q.bound != 0 && q.told.Incarnation != q.bound && now-q.heard < reachFor {
		at = q.heard + reachFor
	}
	if q.inVain(now) {
		at = min(at, q.vainAt+vainFor)
	}
	if copies && q.ownerSince != 0 && q.bound != 0 && q.bound == q.told.Incarnation {
		if left := silentFor - q.silent(now); left > 0 {
			at = min(at, now+left)
		} else {
			at = min(at, now+lossShown)
		}
	}
	return at
}

// refusedNow says whether the kernel has refused a record a moment ago.
func (p *Plane) refusedNow(now int64) bool {
	return p.refusedAt != never && now-p.refusedAt < lossShown
}

func (p *Plane) health(now int64) health {
	h := health{disabled: p.cfg.Disabled, members: int(p.cfg.Members), interfaces: p.interfaces(now), role: p.role, current: p.current(),
		owner: p.owned(), syncing: p.asking(), kernel: cmp.Or(p.problem, p.jobs.unswept, p.jobs.untold), sets: p.sets.problem,
		lostEvents: p.lost != 0 && now-p.lost < lossShown || p.lost != 0 && !p.tallyGood,
		backlog:    float64(len(p.inject.data)) / injectBytes,
	}
	if p.refusedNow(now) {
		h.refused = p.refusedWhy
	}
	for i := range p.peers {
		q := &p.peers[i]
		if q.reached(now) && q.status.Role != ccp.SyncOff {
			h.peers++
			h.awaited++
		} else if q.told.ID != ccp.Nobody && q.told.Incarnation != 0 && q.told.Role != RoleOff && q.told.Incarnation != q.gone {
			h.awaited++
		}
		if d := q.silent(now); p.copies() && d >= silentFor {
			h.silent = append(h.silent, fmt.Sprintf("nothing heard from member %d for more than %v", q.id, atLeast(d)))
		}
		if q.evicted && q.reached(now) {
			h.evicted = append(h.evicted, q.id)
		}
		if q.inVain(now) && q.reached(now) {
			h.vain = append(h.vain, q.id)
		}
		if q.serving.active() && q.serving.request.Want == ccp.SyncWantRepair && q.serving.progress.Full {
			h.serving = append(h.serving, q.id)
		}
	}
	for _, a := range p.askers {
		if q := a.source; q != ccp.Nobody && p.peers[q].compared && !p.peers[q].equal {
			h.unequal = h.unequal || a.doubt || a.differs >= doubtDiffers || a.stage != stageIdle
		}
	}
	h.backlog = max(h.backlog, float64(p.sender.Held())/flow.DefaultBytes)
	return h
}

func (p *Plane) interfaces(now int64) []InterfaceState {
	list := make([]InterfaceState, 0, len(p.cfg.Interfaces))
	anybody := false
	for _, t := range p.ports {
		s := InterfaceState{Name: t.Name, Up: t.Up, MTU: t.MTU, Error: t.err, SentBytes: t.sentBytes, SentFrames: t.sentFrames,
			ReceivedBytes: t.receivedBytes, ReceivedFrames: t.receivedFrames}
		for m, at := range t.heard {
			if at != 0 && now-at < heardFor {
				s.Heard = append(s.Heard, uint8(m))
				anybody = true
			}
		}
		list = append(list, s)
	}
	for i, t := range p.ports {
		if s := &list[i]; anybody && len(s.Heard) == 0 && s.Up && s.Error == "" && now-t.since > heardFor {
			s.Error = "no member is heard on it, as on another"
		}
	}
	if p.group == nil {
		for _, i := range p.cfg.Interfaces {
			list = append(list, InterfaceState{Name: i.Name, Up: i.Up})
		}
	}
	return list
}

// State returns what the plane knows now.
func (p *Plane) State() State {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := boottime()
	sum := p.tally.Sum()
	s := State{Role: p.role, Term: p.term, Owner: p.owner(), Current: p.current(), Incarnation: p.inc,
		Entries: uint64(max(0, sum.Entries)), Digest: sum.Xor, Expectations: uint64(max(0, p.expected)), SetElements: p.sets.elements, Delta: p.sender.Newest(), Held: p.held.Len(),
		Interfaces: p.interfaces(now), FullSync: p.progress(now)}
	s.Status, s.Reason = p.health(now).judge()
	if p.role == RoleOwner {
		s.Owner = p.cfg.Self
	}
	p.shareState(&s)
	if p.idle() {
		s.Incarnation, s.Role, s.Owner = 0, RoleOff, ccp.Nobody
	}
	lanes := p.sender.Peers(now, nil)
	for i := range p.peers {
		q := &p.peers[i]
		if uint8(i) == p.cfg.Self || uint8(i) >= p.cfg.Members {
			continue
		}
		s.Peers = append(s.Peers, p.peerState(now, q, lanes))
	}
	for _, a := range p.askers {
		if a.source != ccp.Nobody && p.peers[a.source].receiver != nil {
			records, age := p.lag(now, &p.peers[a.source])
			s.LagRecords, s.Lag = max(s.LagRecords, records), max(s.Lag, age)
		}
	}
	return s
}

// lag is how many records of a member are known to be sent and not in the kernel's table, and how old the oldest is. Of batches that are
// held for one that is missing it is taken that they are like those before. A member that marks its lane and is not heard may have sent
// anything since.
func (p *Plane) lag(now int64, q *peer) (records uint64, age time.Duration) {
	batches, oldest := q.receiver.Held(now)
	records = uint64(batches) * max(1, p.stats.Received/max(1, p.stats.ReceivedBatches))
	if j := &p.inject; j.busy {
		records += j.under
		oldest = max(oldest, now-j.underAt)
	}
	for i, l := range p.inject.lots {
		records += uint64(l.records)
		if i == 0 {
			oldest = max(oldest, now-l.at)
		}
	}
	if silent := now - q.heard; silent > markRest+markBusy {
		oldest = max(oldest, silent)
	}
	return records, nanoseconds(oldest)
}

func (p *Plane) peerState(now int64, q *peer, lanes []flow.PeerState) PeerState {
	s := PeerState{ID: q.id, Bound: q.reached(now), Heard: -1, Buckets: p.share.taken[q.id]}
	if q.told.ID != ccp.Nobody {
		s.Role, s.Term, s.Current = q.told.Role, q.told.Term, q.told.Current
	}
	if q.bound == 0 {
		return s
	}
	if s.Bound {
		s.Role, s.Term, s.Current = roleOf(q.status.Role), q.status.Term, q.status.Current
	}
	s.Entries, s.Digest, s.Evicted = uint64(q.status.Entries), q.status.Digest, q.evicted
	s.Compared, s.Equal = q.compared, q.compared && q.equal
	if a := p.askerFrom(q.id); q.marked && a != nil {
		s.Owned = uint64(max(0, q.mark.Entries))
		if s.Copying = a.progressNow(now); !p.share.on {
			s.Entries, s.Digest = s.Owned, q.mark.Xor
		}
	}
	s.Heard = nanoseconds(now - q.heard)
	for _, l := range lanes {
		if l.ID == q.id && p.tells(now) {
			s.Unacked, s.Lag = uint64(l.Items), nanoseconds(l.Lag)
		}
	}
	if v := q.serving; v != nil {
		s.Serving = v.progress
		s.Serving.Done = v.records
		if v.active() {
			s.Serving.Took = nanoseconds(now - v.began)
		}
	}
	return s
}

// Stats returns the counters.
func (p *Plane) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rates.second(boottime())
	s := p.stats
	s.EventsSkipped, s.Dropped = map[string]uint64{}, map[string]uint64{}
	for i, n := range p.skipped {
		if n > 0 {
			s.EventsSkipped[record.Skip(i).String()] = n
		}
	}
	for i, n := range p.dropped {
		if n > 0 {
			s.Dropped[ccp.DropReason(i).String()] = n
		}
	}
	s.Refused, s.Errors = maps.Clone(p.refused), maps.Clone(p.errnos)
	if p.events != nil {
		if e, err := p.events.Stats(); err == nil {
			s.EventBuffer, s.EventQueue = uint64(e.Size), uint64(e.Queued)
		}
	}
	s.NotesRefused = p.answers.missed
	n := p.sender.Counters()
	s.Coalesced, s.Annihilated, s.DroppedFresh = n.Coalesced, n.Annulled, n.Refreshes
	s.Batches, s.Retransmitted, s.Evictions = n.Batches, n.Requested+n.TimedOut, n.Evictions
	s.PeakQueue, s.PeakLog = uint64(n.PeakItems), uint64(n.PeakBytes)
	s.Log, s.LogSize = uint64(p.sender.Held()), flow.DefaultBytes
	for i := range p.peers {
		if r := p.peers[i].receiver; r != nil {
			c := r.Counters()
			s.Duplicates += c.Duplicates
			s.Gaps += c.Gaps
			s.Requested += c.Requests
		}
	}
	s.InjectQueue, s.PeakInjectQueue = uint64(len(p.inject.data)), p.inject.peak
	for _, a := range p.askers {
		s.Repairs, s.FullSyncs = s.Repairs+a.completed, s.FullSyncs+a.full
	}
	s.Queue = uint64(p.sender.Queued())
	s.RecordRate, s.InjectRate = p.rates.records, p.rates.injects
	return s
}

// ResetStats sets the counters to zero.
func (p *Plane) ResetStats() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats = Stats{Since: time.Now()}
	p.marks.added = 0
	p.skipped, p.dropped = [record.Skips]uint64{}, [ccp.DropReasons]uint64{}
	clear(p.refused)
	clear(p.errnos)
	p.answers.missed = 0
	p.sender.ResetCounters()
	p.inject.peak = 0
	for _, a := range p.askers {
		a.completed, a.full = 0, 0
	}
	for i := range p.peers {
		if r := p.peers[i].receiver; r != nil {
			r.ResetCounters()
			p.peers[i].bulkIn.ResetCounters()
		}
	}
	for _, t := range p.ports {
		t.sentBytes, t.sentFrames, t.receivedBytes, t.receivedFrames, t.failed = 0, 0, 0, 0, 0
	}
}
