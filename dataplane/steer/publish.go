// SPDX-License-Identifier: Apache-2.0

package steer

// publish makes a commit for all out of owners: those of members that do not stay are given to the others, and no other moves.
func (a *Agreement) publish(now int64, number uint32, owners *[Slots]uint8, stays [Members]bool) {
	l := a.lead
	t := &Table{Version: Version{Term: l.term, Number: number, Phase: PhaseCommit}, Leader: a.cfg.Self}
	takes := stays
	for i := range takes {
		// Who restarts keeps what it has, but cannot be told of more; who leaves needs none.
		p := &a.peers[i]
		if uint8(i) != a.cfg.Self && (p.Restarting || p.Leaving) || uint8(i) == a.cfg.Self && a.own.Leaving {
			takes[i] = false
		}
	}
	before := *owners
	orphans := before
	for i, o := range before {
		if o >= Members || !stays[o] {
			orphans[i] = Nobody
		}
	}
	given := Fill(&orphans, a.whole(a.shares(takes)))
	l.moved = 0
	for i, o := range given {
		t.Entry[i] = Taken(o)
		if o != before[i] {
			l.moved++
			if before[i] < Members {
				l.upset = now
			}
		}
	}
	for i, s := range stays {
		if s {
			t.Share[i] = l.follow[i].share
		}
	}
	a.stage(t, stageCommitAll)
}

// stage makes a table the newest, and begins to spread it.
func (a *Agreement) stage(t *Table, s stage) {
	l := a.lead
	l.table = t
	l.enter(s)
	for i := range l.follow {
		f := &l.follow[i]
		f.next = 0
		if t.Share[i] == 0 {
			f.since = 0
		}
	}
	a.applyOwn()
}

// applyOwn brings the leader's table into its own gate, if it is its turn.
func (a *Agreement) applyOwn() {
	l := a.lead
	if a.table != l.table && a.reached(a.cfg.Self) {
		a.apply(l.table)
	}
}

// reached reports whether the present stage is for a member.
func (a *Agreement) reached(i uint8) bool {
	l := a.lead
	switch l.stage {
	case stageSettle:
		return false
	case stagePrepareGain, stageCommitGain:
		gain, _ := l.change()
		return gain[i]
	}
	return true
}

// change returns who gains and who loses by the planned change under way.
func (l *lead) change() (gain, lose [Members]bool) { return l.prep.moving() }
