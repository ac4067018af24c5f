// SPDX-License-Identifier: Apache-2.0

package steer

const maxTerm = 1<<24 - 1 // a gate's terms have 24 bits

// watch looks at each member, and asks gates to give up what must not go on.
func (a *Agreement) watch(now int64) {
	for i := range a.cfg.Members {
		if i == a.cfg.Self {
			continue
		}
		a.note(i, now)
		if a.lead.table.Share[i] != 0 {
			a.watchSharer(i, now)
		} else {
			a.watchOther(i, now)
		}
		a.fencing(i, now)
	}
}

// note keeps since when what a member is, it is.
func (a *Agreement) note(i uint8, now int64) {
	l, p := a.lead, &a.peers[i]
	f := &l.follow[i]
	keep := func(since *int64, holds bool) {
		switch {
		case !holds:
			*since = 0
		case *since == 0:
			*since = now
		}
	}
	if v := p.Status.Version; p.Status.Leader == a.cfg.Self && v.Term == l.term && v.Compare(f.seen) > 0 {
		f.seen, f.since = v, 0 // behind, but it follows
	}
	sharer := l.table.Share[i] != 0
	keep(&f.fit, a.eligible(i, now))
	keep(&f.since, sharer && a.reached(i) && !a.confirmed(i))
	keep(&f.unfit, sharer && !p.Fit && !p.Leaving && p.HelloAt != 0)
	keep(&f.foreign, a.foreign(i))
	keep(&f.stray, !sharer && p.Heard && p.Leads == 0 && p.Open && p.Share != 0 && p.Share >= p.Fence)
}

// confirmed reports whether a member has the newest table in force, and its share as the table says.
func (a *Agreement) confirmed(i uint8) bool {
	t := a.lead.table
	if i == a.cfg.Self {
		return a.table == t && a.own.Version == t.Version && a.own.Open && a.own.Share == t.Share[i]
	}
	s := &a.peers[i].Status
	return s.Version == t.Version && s.Leader == a.cfg.Self && s.Share == t.Share[i] && s.Open == (t.Share[i] != 0)
}

// foreign reports whether a member would refuse this leader's table: its gate was granted to another, or it follows another's table that is
// not void.
func (a *Agreement) foreign(i uint8) bool {
	p, share := &a.peers[i], a.lead.follow[i].share
	if p.RepliedAt != 0 && (p.Fence > share || p.Fence == share && p.Grantee != a.cfg.Self) {
		return true
	}
	held := max(p.Status.Version.Term, p.Status.Share)
	switch p.Status.Leader {
	case a.cfg.Self:
		return false
	case Nobody:
		return held > share
	}
	return held >= share
}

// strays reports whether a member follows another leader, as far as its daemon has said.
func (a *Agreement) strays(i uint8) bool {
	follows := a.peers[i].Status.Follows
	return follows != a.cfg.Self && follows != Nobody
}

// silentDaemon reports whether a member's HELLOs have ceased.
func (a *Agreement) silentDaemon(i uint8, now int64) bool {
	return a.since(max(a.peers[i].HelloAt, a.lead.began), now, a.cfg.Timing.Hello)
}

// watchSharer finds what makes a member lose its share.
func (a *Agreement) watchSharer(i uint8, now int64) {
	p, f, times := &a.peers[i], &a.lead.follow[i], &a.cfg.Timing
	switch {
	case !p.Heard:
		f.out = "it is silent"
	case p.Status.Dropped && p.Status.Leader == a.cfg.Self:
		f.out = "it gave its share up"
	case f.foreign != 0 && a.strays(i):
		// Its gate was granted to the other: what it holds under us has lingered out.
		if a.since(f.foreign, now, times.Linger) {
			f.out = "it follows another leader"
		}
	case p.Restarting && p.Open: // it is waited for as long as its gate holds what is its
	case a.since(now-p.ShareAge, now, times.Confirm) && p.Share == f.share && now-p.RepliedAt < 5*int64(times.Probe):
		a.fence(i, now, "its share is not renewed")
	case a.silentDaemon(i, now):
		a.fence(i, now, "its daemon is silent")
	case f.unfit != 0 && a.since(f.unfit, now, unfitGrace*times.Probe):
		a.fence(i, now, "its state")
	case f.foreign != 0:
		// A claim that came to nothing, or the leader that it followed is gone.
		if a.since(f.foreign, now, foreignGrace*times.Probe) {
			a.fence(i, now, "")
		}
	case f.since != 0 && a.since(f.since, now, times.Confirm):
		a.fence(i, now, "it does not confirm")
	}
}

// watchOther sees to it that who has no share does not forward, and that who may have one again can be told.
func (a *Agreement) watchOther(i uint8, now int64) {
	p, f, times := &a.peers[i], &a.lead.follow[i], &a.cfg.Timing
	f.out = ""
	if !p.Heard || p.Leads != 0 || a.strays(i) && !a.silentDaemon(i, now) {
		return
	}
	switch {
	case f.stray != 0 && a.since(f.stray, now, times.Confirm):
		a.fence(i, now, "it forwards without a share")
	case f.foreign != 0 && p.Fit && a.since(f.foreign, now, foreignGrace*times.Probe):
		a.fence(i, now, "")
	}
}

// fence begins to ask a member's gate for its share.
func (a *Agreement) fence(i uint8, now int64, reason string) {
	f := &a.lead.follow[i]
	if f.fence != nil && (f.fence.reason != "" || reason == "") {
		return
	}
	// A member that was to keep its share under a new term may have been granted that, and lingers: only another term closes it.
	if term := a.higher(); term <= maxTerm {
		f.fence = &fencing{term: term, next: now, reason: reason}
	}
}

// higher returns a term above all that are known.
func (a *Agreement) higher() uint32 {
	term := max(a.own.Fence, a.lead.term)
	for i := range a.cfg.Members {
		p, f := &a.peers[i], &a.lead.follow[i]
		term = max(term, p.Fence, p.Leads, p.Status.Version.Term, p.Status.Share, f.share)
		if f.fence != nil {
			term = max(term, f.fence.term)
		}
	}
	return term + 1
}

// fencing goes on with a YIELD that has begun. It is not taken back: the gate may have granted it already.
func (a *Agreement) fencing(i uint8, now int64) {
	p, f := &a.peers[i], &a.lead.follow[i]
	switch {
	case f.fence == nil:
	case !p.Heard || f.out != "":
		f.fence = nil
	case p.Fence == f.fence.term && p.Grantee == a.cfg.Self:
		a.granted(i)
	case now >= f.fence.next:
		f.fence.next = now + int64(a.cfg.Timing.Probe)
		a.emit(YieldShare{To: i, Term: f.fence.term, Keeps: f.fence.reason == "" && a.lead.table.Share[i] != 0})
	}
}

// granted: from now on the member's gate obeys this leader only.
func (a *Agreement) granted(i uint8) {
	f := &a.lead.follow[i]
	f.share, f.foreign, f.since, f.stray = f.fence.term, 0, 0, 0
	if a.lead.table.Share[i] != 0 {
		f.out = f.fence.reason
		a.lead.renew = true
	}
	f.fence = nil
}

func (a *Agreement) yielded(now int64, e YieldResult) {
	if a.lead == nil || a.lead.stage == stageSettle || e.To >= a.cfg.Members {
		return
	}
	f := &a.lead.follow[e.To]
	if f.fence == nil || f.fence.term != e.Term {
		return
	}
	if e.Granted {
		a.granted(e.To)
		return
	}
	// Somebody asks for more than we do: in time it is clear who leads.
	p := &a.peers[e.To]
	p.Fence = max(p.Fence, e.Fence)
	if p.Fence == e.Fence {
		p.Grantee = Nobody
	}
	if term := a.higher(); term <= maxTerm {
		f.fence.term = term
	}
	f.fence.next = now + foreignGrace*int64(a.cfg.Timing.Probe)
}

// eligible reports whether a member could carry a share.
func (a *Agreement) eligible(i uint8, now int64) bool {
	p := &a.peers[i]
	return p.Heard && p.Fit && !p.Leaving && !p.Restarting && p.Leads == 0 && !p.Status.Dropped && p.HelloAt != 0 && !a.silentDaemon(i, now)
}

// strike notes that a member lost its share otherwise than as planned.
func (a *Agreement) strike(i uint8, now int64, reason string) {
	f := &a.lead.follow[i]
	if now-f.struck > int64(a.cfg.Timing.HoldMax) {
		f.strikes = 0
	}
	f.strikes++
	f.struck, f.fit = now, 0
	a.emit(Record{Kind: RecordExcluded, Version: a.lead.table.Version, Member: i, Reason: reason})
}

// held reports whether a member that could carry a share has to wait nevertheless.
func (a *Agreement) held(i uint8, now int64) bool {
	f := &a.lead.follow[i]
	return f.fit == 0 || now-f.fit < a.holdFor(i)
}

// holdFor returns for how long a member must have been fit.
func (a *Agreement) holdFor(i uint8) int64 {
	f, times := &a.lead.follow[i], &a.cfg.Timing
	if f.strikes == 0 {
		return 0
	}
	return min(int64(times.Hold)<<min(f.strikes-1, 16), int64(times.HoldMax))
}
