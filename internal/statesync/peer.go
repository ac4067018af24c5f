// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"math"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack/record"
	"github.com/holdfast-project/holdfast/dataplane/flow"
)

// Times in ns.
const (
	// greetFast and greetSlow are how often a peer that is not bound is greeted, in its first second and later.
	greetFast = 100e6
	greetSlow = 1e9
	greetFor  = 1e9
	// statusAgain and statusTimes: a status that changed is said so often again, since frames may be lost.
	statusAgain = 100e6
	statusTimes = 3
	// linger is for how long after a change of owner the former one's new connections still count: its gate forwards what is on its way.
	linger = 5e9
	// reachFor is for how long a frame shows that a peer is reached which no HELLO tells of; silentFor is how long an owner, which marks its
	// lane every markRest, may say nothing before that is said.
	reachFor  = 5e9
	silentFor = 12e9
	// stepBackLinger is for how long a former owner tells of what begins in its table: its gate forwards for 200 ms at most.
	stepBackLinger = 500e6
	// flushedFor is how long ago everything may have been flushed for a hand-over to be one that the others were ready for.
	flushedFor = 1e9
)

// peer is another member.
type peer struct {
	id   uint8
	told Peer // by the node; ID is Nobody before

	bound        uint64 // incarnation whose frames are bound, 0 for none
	key          uint8  // number of the key that it seals under, and identifies entries with
	keyAt        int64  // when that changed
	status       ccp.SyncStatus
	heard        int64 // when the last bound frame came
	lastSequence uint64
	through      uint64          // batches of its delta lane that are applied
	macs         map[int][6]byte // by ifindex

	receiver *flow.Receiver
	bulkIn   *flow.BulkReceiver
	serving  *serving // what this member sends to it
	vain     int      // how often in a row that was in vain, and when last
	vainAt   int64

	greetAt, greetSince int64
	statusAt            int64
	statusLeft          int
	addressesAt         int64            // when it was told the own host's addresses last
	request             *ccp.SyncRequest // due to it
	answer              *ccp.SyncAnswer

	gone           uint64 // incarnation that has said goodbye, 0 for none, and the sequence of that frame
	goneAt         uint64
	ownerSince     int64             // when HELLO said first that its table counts, 0 while it does not
	idleSince      int64             // when it said first that it does not, 0 while it does
	addresses      []ccp.SyncAddress // of its host
	addressesHeard int64             // when it told them last

	table   version // the slot table by which its delta lane speaks, where it is applied up to
	behind  int64   // since when that is older than this member's, 0 if it is not
	drained drained

	skipped  bool // changes of it were not applied, since its table does not count as far as is known
	lossy    bool // it has missed changes itself
	evicted  bool
	mark     record.Sum
	marked   bool
	equal    bool
	compared bool
}

func (q *peer) init(id uint8) {
	*q = peer{id: id, told: Peer{ID: ccp.Nobody}, macs: map[int][6]byte{}, greetAt: never, statusAt: never, heard: math.MinInt64 / 2}
}

// rebind forgets what belongs to another life of the peer.
func (q *peer) rebind(incarnation uint64) {
	q.bound, q.key, q.keyAt = incarnation, 0, 0
	q.status = ccp.SyncStatus{}
	q.receiver, _ = flow.NewReceiver(flow.ReceiverConfig{})
	q.bulkIn, _ = flow.NewBulkReceiver(flow.ReceiverConfig{Credit: bulkCredit})
	q.serving, q.request, q.answer, q.through, q.vain = nil, nil, nil, 0, 0
	q.marked, q.equal, q.compared, q.evicted, q.skipped, q.lossy = false, false, false, false, false, false
	q.table, q.behind, q.drained = version{}, 0, drained{}
	q.greetAt = never
}

// bulkCredit is how many bytes of a full sync may be on their way.
const bulkCredit = 2 << 20

// reached says whether frames go both ways: its HELLO tells that the plane is there whose frames are bound, or one has come just now.
func (q *peer) reached(now int64) bool {
	return q.bound != 0 && (q.told.Incarnation == q.bound || now-q.heard < reachFor)
}

// silent is for how long in ns nothing has come from a peer whose HELLO says that its table counts, and which marks its lane every few
// seconds; 0 for another.
func (q *peer) silent(now int64) int64 {
	if q.ownerSince == 0 || q.bound == 0 || q.bound != q.told.Incarnation {
		return 0
	}
	return now - max(q.heard, q.ownerSince)
}

// left takes note that a peer's plane has ended, by its own word: nobody waits for it, and what it had said counts.
func (p *Plane) left(now int64, q *peer) {
	p.log.Info("state synchronisation with another member ends: it stops", "member", q.id)
	if a := p.askerFrom(q.id); a != nil {
		ready, missed := q.receiver.Drain(now)
		p.stats.Lost += missed
		p.deliver(now, q, ready)
		p.do(now, a, a.setSource(ccp.Nobody))
		a.missed() // what happens to its table meanwhile it will not tell
	}
	p.stopServing(now, q)
	p.sender.RemovePeer(q.id)
	q.gone, q.goneAt = q.bound, q.lastSequence
	q.rebind(0)
	p.packing()
	q.statusAt = never
}

// isOwner says whether the peer says that its table counts.
func (q *peer) isOwner() bool { return q.bound != 0 && q.status.Role == ccp.SyncOwner }

// SetPeers tells all that the HELLOs say of the other members.
func (p *Plane) SetPeers(list []Peer) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := boottime()
	p.knowPeers = true
	var there [ccp.MaxMembers]bool
	for _, t := range list {
		if t.ID >= p.cfg.Members || t.ID == p.cfg.Self {
			continue
		}
		there[t.ID] = true
		q := &p.peers[t.ID]
		before := q.told
		q.told = t
		switch {
		case t.Role != RoleOwner:
			if q.ownerSince != 0 || q.idleSince == 0 {
				q.ownerSince, q.idleSince = 0, now
			}
		case q.ownerSince == 0:
			q.ownerSince, q.idleSince = now, 0
		}
		if t.Incarnation != q.gone {
			q.gone = 0
		}
		// HELLO may know of a role that the peer's own frames have not told yet, or that got lost.
		if q.bound != 0 && q.bound == t.Incarnation && t.Role != before.Role {
			q.status.Role, q.status.Term, q.status.Current = wireRole(t.Role), t.Term, t.Current
		}
		if t.Incarnation != 0 && t.Incarnation != q.bound && q.gone == 0 && (q.greetAt == never || before.Incarnation != t.Incarnation) {
			q.greetAt, q.greetSince = now, now
		}
	}
	for i := range p.peers {
		if !there[i] {
			if q := &p.peers[i]; q.ownerSince != 0 {
				q.idleSince = now
			}
			p.peers[i].told, p.peers[i].ownerSince, p.peers[i].gone = Peer{ID: ccp.Nobody}, 0, 0
			p.peers[i].greetAt = never
		}
	}
	p.review(now)
}

func wireRole(r Role) ccp.SyncRole {
	switch r {
	case RoleOwner:
		return ccp.SyncOwner
	case RoleCopy:
		return ccp.SyncCopy
	}
	return ccp.SyncOff
}

func roleOf(r ccp.SyncRole) Role {
	switch r {
	case ccp.SyncOwner:
		return RoleOwner
	case ccp.SyncCopy:
		return RoleCopy
	}
	return RoleOff
}

// forgetPeers removes those that are not configured any more.
func (p *Plane) forgetPeers() {
	for i := range p.peers {
		if q := &p.peers[i]; uint8(i) >= p.cfg.Members && (q.bound != 0 || q.told.ID != ccp.Nobody) {
			p.stopServing(boottime(), q)
			p.sender.RemovePeer(uint8(i))
			q.init(uint8(i))
			p.packing()
		}
	}
}

// source is, in mode ha, the member whose table this one copies: the owner with the highest term, Nobody for an owner itself.
func (p *Plane) source() uint8 {
	if p.role == RoleOwner || p.cfg.Disabled {
		return ccp.Nobody
	}
	best := ccp.Nobody
	for i := range p.peers {
		if q := &p.peers[i]; q.isOwner() && (best == ccp.Nobody || q.status.Term > p.peers[best].status.Term) {
			best = uint8(i)
		}
	}
	return best
}

// review draws the conclusions from what is new about roles and peers, sends what is due, and says so if the state changed.
func (p *Plane) review(now int64) {
	if p.group != nil {
		p.follow(now)
		p.transmit(now)
	}
	p.show(now)
	p.rearm(now)
}

// showEvery is how often in ns the state is looked at for what came in and was applied: under load that happens thousands of times a second,
// and judging it costs as much as several records.
const showEvery = 10e6

// glance is review for what happens often: it looks at the state only if that was some time ago or another member's table counts now, and
// has the timer do it otherwise.
func (p *Plane) glance(now int64) {
	owner := p.owner()
	if p.group != nil {
		p.follow(now)
		p.transmit(now)
	}
	if due := p.shownAt + showEvery; now >= due || now >= p.showAt || p.owner() != owner || p.current() != p.shown.current {
		p.show(now)
	} else {
		p.showAt = min(p.showAt, due)
	}
	p.rearm(now)
}

// follow turns to the member whose table counts now.
func (p *Plane) follow(now int64) {
	if p.share.on {
		p.followOwners(now)
		return
	}
	a := p.askers[0]
	source := p.source()
	if source == ccp.Nobody && p.role == RoleCopy {
		// Until another one says that it serves, the former owner's table is what counts.
		if old := a.source; old != ccp.Nobody && p.peers[old].bound != 0 && p.peers[old].status.Role != ccp.SyncOff {
			return
		}
	}
	if source == a.source {
		return
	}
	if old := a.source; old != ccp.Nobody {
		p.peers[old].equal, p.peers[old].compared = false, false
	}
	if old := a.source; old != ccp.Nobody && source != ccp.Nobody && p.role == RoleCopy {
		p.former, p.formerUntil = old, now+linger
	}
	p.do(now, a, a.setSource(source))
	if source != ccp.Nobody {
		q := &p.peers[source]
		p.log.Info("copying the table of another member", "member", source, "term", q.status.Term, "skipped", q.skipped)
		switch ready := now < p.lingerUntil && p.lingerUntil-stepBackLinger-p.flushedAt <= flushedFor; {
		case q.skipped && !ready:
			a.lost(true)
		case q.skipped || q.lossy:
			// After a hand-over that everybody was ready for, what was skipped are the first milliseconds of the other one's: a repair
			// makes up for them, and this table goes on being as good as any.
			a.missed()
		}
		q.skipped, q.lossy = false, false
	}
	p.do(now, a, a.tick(now))
}
