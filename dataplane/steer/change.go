// SPDX-License-Identifier: Apache-2.0

package steer

// exclude publishes a table without those who are to lose their shares, if there are any.
func (a *Agreement) exclude(now int64) {
	l := a.lead
	var stays [Members]bool
	any := false
	for i := range a.cfg.Members {
		stays[i] = l.table.Share[i] != 0
		if f := &l.follow[i]; stays[i] && f.out != "" {
			any, stays[i] = true, false
		}
	}
	if !any && !l.renew {
		return
	}
	if l.table.Number == maxNumber {
		a.exhausted(l)
		return
	}
	l.renew = false
	planned := l.stage != stageIdle && l.stage != stageCommitAll
	owners := l.table.Owners()
	for i, e := range l.table.Entry {
		owners[i] = e.Taker() // what has only been prepared is taken back
	}
	for i := range a.cfg.Members {
		if f := &l.follow[i]; l.table.Share[i] != 0 && !stays[i] {
			if planned {
				planned = false
				a.emit(Record{Kind: RecordAborted, Version: l.table.Version, Member: i, Reason: f.out})
			}
			a.strike(i, now, f.out)
			f.out, f.fence = "", nil
		}
	}
	a.publish(now, l.table.Number+1, &owners, stays)
}

// all reports whether a condition holds for all members of a set.
func all(set [Members]bool, holds func(uint8) bool) bool {
	for i, in := range set {
		if in && !holds(uint8(i)) {
			return false
		}
	}
	return true
}

func (t *Table) sharers() (s [Members]bool) {
	for i, term := range t.Share {
		s[i] = term != 0
	}
	return s
}

// flushedBy reports whether a loser of the change under way has told everything.
func (a *Agreement) flushedBy(i uint8) bool {
	if i == a.cfg.Self {
		return a.flushed
	}
	return a.peers[i].Status.Flushed
}

// advance takes a change to its next step when the present one has been confirmed.
func (a *Agreement) advance(now int64) {
	for l := a.lead; ; {
		s := l.stage
		switch s {
		case stagePrepareGain:
			if gain, _ := l.change(); all(gain, a.confirmed) {
				l.enter(stagePrepareAll)
			}
		case stagePrepareAll:
			a.prepared(now)
		case stageCommitGain:
			if gain, _ := l.change(); all(gain, a.confirmed) {
				l.enter(stageCommitAll)
			}
		case stageCommitAll:
			if all(l.table.sharers(), a.confirmed) {
				l.enter(stageIdle)
				a.emit(Record{Kind: RecordTable, Version: l.table.Version, Member: Nobody, Moved: l.moved})
			}
		}
		a.applyOwn()
		if l.stage == s {
			return
		}
	}
}

// prepared goes on to the commit once the losers have flushed, or have had their time for it.
func (a *Agreement) prepared(now int64) {
	l := a.lead
	gain, lose := l.change()
	// A loser whose daemon restarts cannot flush, and could not be told that it has lost.
	if !all(lose, a.confirmed) || !all(gain, a.confirmed) || !all(lose, func(i uint8) bool { return i == a.cfg.Self || !a.peers[i].Restarting }) {
		l.ready = 0
		return
	}
	if l.ready == 0 {
		l.ready = now
	}
	// Losers that have flushed pass all on until they have the commit: those who gain may have it first. Otherwise all get it at once.
	next := stageCommitGain
	if !all(lose, a.flushedBy) {
		if !a.since(l.ready, now, a.cfg.Timing.Flush) {
			return
		}
		next = stageCommitAll
		for i := range a.cfg.Members {
			if lose[i] && !a.flushedBy(i) {
				a.emit(Record{Kind: RecordUnflushed, Version: l.table.Version, Member: i, Reason: "it had not told everything in time"})
			}
		}
	}
	t := *l.table
	t.Phase = PhaseCommit
	for i, e := range t.Entry {
		t.Entry[i] = Taken(e.Next())
	}
	a.stage(&t, next)
}

// plan begins a planned change if there is reason for one.
func (a *Agreement) plan(now int64) {
	l := a.lead
	rested := a.rested(now) // first: it ends what keeps the leader busy, whatever else a change waits for
	if l.stage != stageIdle || a.frozen || !a.calm() || !rested {
		return
	}
	old := l.table.Owners()
	weights := a.shares(a.candidates(now))
	owners, _ := Assign(&old, weights)
	moved := a.spare(&old, &owners, weights)
	if moved == 0 {
		a.release(now, &old, weights)
		return
	}
	if l.table.Number >= lastPlanned {
		a.exhausted(l)
		return
	}
	t := *l.table
	t.Number++
	t.Phase = PhasePrepare
	for i, o := range owners {
		t.Entry[i] = Moves(old[i], o)
	}
	gain, _ := t.moving()
	for i, g := range gain {
		if g && t.Share[i] == 0 {
			t.Share[i] = l.follow[i].share
			a.emit(Record{Kind: RecordAdmitted, Version: t.Version, Member: uint8(i)})
		}
	}
	l.moved, l.prep = moved, &t
	a.stage(&t, stagePrepareGain)
}

// rested reports whether nothing was taken from a member a moment ago that it had not told everybody about. What it told last may have come to some: its
// heirs compare what they have first, and who lacks something says so. Who wants to leave is not kept waiting.
func (a *Agreement) rested(now int64) bool {
	l := a.lead
	leaves := a.own.Leaving
	for i := range a.cfg.Members {
		leaves = leaves || l.table.Share[i] != 0 && a.peers[i].Leaving
	}
	if l.upset != 0 && a.since(l.upset, now, a.cfg.Timing.Confirm) {
		l.upset = 0
	}
	return l.upset == 0 || leaves
}

// lacks reports whether a member's connection table is not whole.
func (a *Agreement) lacks(i uint8) bool {
	if i == a.cfg.Self {
		return a.own.Lacks
	}
	return a.peers[i].Lacks
}

// whole leaves those out of a set of weights whose connection tables are not whole, unless nobody is left.
func (a *Agreement) whole(weights [Members]uint16) [Members]uint16 {
	all := weights
	for i := range a.cfg.Members {
		if a.lacks(i) {
			weights[i] = 0
		}
	}
	if weights == ([Members]uint16{}) {
		return all
	}
	return weights
}

// spare takes out of an assignment what members would gain that lack connections, and returns how many slots move then. Who is to go on with
// something keeps its slots; those of who is not go to members that lack nothing or, as long as there are none, stay.
func (a *Agreement) spare(old, owners *[Slots]uint8, weights [Members]uint16) (moved int) {
	able := a.whole(weights)
	for i, o := range owners {
		switch was := old[i]; {
		case o == was || o >= Members || !a.lacks(o):
		case was < Members && (weights[was] != 0 || able[o] != 0):
			owners[i] = was
		default:
			owners[i] = Nobody
		}
	}
	*owners = Fill(owners, able)
	for i, o := range owners {
		if o != old[i] {
			moved++
		}
	}
	return moved
}

func (a *Agreement) exhausted(l *lead) {
	if !l.spent {
		l.spent = true
		a.emit(Record{Kind: RecordExhausted, Version: l.table.Version, Member: Nobody, Reason: "table numbers of this term run out: hand over to another member"})
	}
}

// calm reports whether everybody with a share has confirmed, and nobody's is in question.
func (a *Agreement) calm() bool {
	for i := range a.cfg.Members {
		f := &a.lead.follow[i]
		if f.fence != nil || a.lead.table.Share[i] != 0 && (!a.confirmed(i) || f.foreign != 0 || i != a.cfg.Self && a.peers[i].Restarting) {
			return false
		}
	}
	return true
}

// candidates are those who are to have slots: sharers that stay, and who may join.
func (a *Agreement) candidates(now int64) (set [Members]bool) {
	l := a.lead
	for i := range a.cfg.Members {
		switch {
		case i == a.cfg.Self:
			set[i] = !a.own.Leaving
		case l.table.Share[i] != 0:
			set[i] = !a.peers[i].Leaving
		default:
			set[i] = !a.held(i, now) && a.confirmed(i) && l.follow[i].foreign == 0
		}
	}
	return set
}

// shares returns the weights of a set of members, as load changes them. If none of them has any, the leader takes all.
func (a *Agreement) shares(set [Members]bool) (w [Members]uint16) {
	sum := 0
	for i, weight := range a.Weights() {
		if i >= int(a.cfg.Members) || !set[i] || weight == 0 {
			continue
		}
		factor := uint32(a.factor[i])
		if factor == 0 {
			factor = 1000
		}
		w[i] = uint16(max(1, min(uint32(weight)*factor/10, 1<<16-1)))
		sum += int(w[i])
	}
	if sum == 0 {
		w[a.cfg.Self] = 1
	}
	return w
}

// release takes their shares from those who have no slots any more and are not to have any: they leave, or have no weight.
func (a *Agreement) release(now int64, owners *[Slots]uint8, weights [Members]uint16) {
	l := a.lead
	stays := l.table.sharers()
	takes, _ := l.table.Takes()
	any := false
	for i := range stays {
		if stays[i] && uint8(i) != a.cfg.Self && takes[i] == 0 && weights[i] == 0 {
			any, stays[i] = true, false
		}
	}
	if any && l.table.Number < lastPlanned {
		a.publish(now, l.table.Number+1, owners, stays)
	}
}

// send spreads the newest table to those whose turn it is, until they confirm.
func (a *Agreement) send(now int64) {
	l := a.lead
	for i := range a.cfg.Members {
		p, f := &a.peers[i], &l.follow[i]
		if i == a.cfg.Self || now < f.next || !a.reached(i) || a.confirmed(i) {
			continue
		}
		// Who is silent may hear nevertheless, and take what is others' until it does.
		lately := f.struck != 0 && now-f.struck < int64(a.cfg.Timing.Hold)
		if !p.Heard && !lately {
			continue
		}
		f.next = now + int64(a.cfg.Timing.Probe)
		if !lately && (l.table.Share[i] == 0 || p.Restarting) {
			f.next += 9 * int64(a.cfg.Timing.Probe)
		}
		a.emit(SendTable{To: i, Table: l.table})
	}
}
