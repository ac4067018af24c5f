// SPDX-License-Identifier: Apache-2.0

package steer

// adopt takes in what a restarted member found in its gate. It goes on with it: that the daemon was away is no reason to disturb what the
// gate forwards. Who made the table and what the others' shares are comes with the leader's next table.
func (a *Agreement) adopt(e Adopted) {
	a.returning = true
	if e.Term == 0 {
		return
	}
	t := &Table{Version: Version{Term: e.Term, Number: e.Number, Phase: PhaseCommit}, Leader: Nobody, Entry: e.Entry}
	for i, entry := range t.Entry {
		if !entry.Valid() {
			t.Entry[i] = entryNobody
			continue
		}
		if entry.Moving() {
			t.Phase = PhasePrepare
		}
		if !entry.Nobody() {
			t.Share[entry.Taker()], t.Share[entry.Next()] = e.Term, e.Term
		}
	}
	if e.Share != 0 {
		t.Share[a.cfg.Self] = e.Share
		a.share = e.Share
		a.emit(Share{Term: e.Share})
	}
	a.table, a.adopted = t, true
}

// settleIn ends a restart: once this member goes by a leader's table again, holds what that gives it, and has said so for as long as HELLOs
// may be missed. From then on it is judged as any other.
func (a *Agreement) settleIn(now int64) {
	if !a.returning {
		return
	}
	holds := a.share == 0 || a.own.Fit && a.own.Open && a.own.Share == a.share
	switch {
	case a.table.Leader == Nobody || !a.own.Renewed || !holds:
		a.returned = 0
	case a.returned == 0:
		a.returned = now
	case now-a.returned >= int64(a.cfg.Timing.Hello):
		a.returning = false
		a.emit(Restarted{})
	}
}

// authority is the term under which a table speaks to a member: that of its share, if it has one.
func (t *Table) authority(member uint8) uint32 { return max(t.Term, t.Share[member]) }

// received takes a table, or not. Only from a leader that the own gate does not contradict: what a gate has granted to another, or at a
// higher term, is not to be had by a table; but who holds the fence may say that this member has no share. And only a newer one, unless the
// present one is another leader's, and void because the gate has granted more since.
func (a *Agreement) received(e TableReceived) {
	t, self := e.Table, a.cfg.Self
	if a.own.Leads != 0 || e.From != t.Leader || e.From >= a.cfg.Members || e.From == self {
		return
	}
	switch auth := t.authority(self); {
	case auth > a.own.Fence:
	case a.own.Grantee != e.From, auth < a.own.Fence && t.Share[self] != 0:
		return
	}
	same := t.Version == a.table.Version && (t.Leader == a.table.Leader || a.adopted)
	// Of one leader the newer table counts, always.
	void := a.table.authority(self) < a.own.Fence && t.Leader != a.table.Leader
	switch {
	case same && !a.adopted:
		// Our confirmation was lost, or the share since.
		a.hold(t)
		a.emit(Tell{})
	case same, void, t.Version.Compare(a.table.Version) > 0:
		a.apply(t)
	}
}

// apply brings a table into force.
func (a *Agreement) apply(t *Table) {
	self := a.cfg.Self
	if t.Share[self] == 0 && a.share != 0 {
		a.share = 0
		takes, _ := a.table.Takes()
		a.emit(DropShare{InOrder: t.Leader == a.table.Leader && a.table.Phase == PhaseCommit && takes[self] == 0})
	}
	drained := a.drained
	a.drained, a.flushed, a.flushing = false, false, false
	// A flag that was about other slots must not meet slots that are moving now; one that passes on what is given away stays till it is given.
	if drained && t.Phase == PhasePrepare {
		a.emit(Drain{On: false})
	}
	a.table, a.adopted = t, false
	if a.known != nil && a.known.Version.Compare(t.Version) <= 0 {
		a.known = nil
	}
	a.emit(Apply{Table: t})
	if drained && t.Phase != PhasePrepare {
		a.emit(Drain{On: false})
	}
	a.hold(t)
	if t.Phase == PhasePrepare {
		if _, lose := t.moving(); lose[self] {
			a.flushing = true
			a.emit(Flush{Version: t.Version})
		}
	}
}

// hold opens the share that a table gives this member, unless it is not fit to have one. The pulse may have given it up: then again.
func (a *Agreement) hold(t *Table) {
	term := t.Share[a.cfg.Self]
	if term == 0 || a.dropped || a.share == term && a.own.Open && a.own.Share == term {
		return
	}
	a.share = term
	a.emit(Share{Term: term})
}

// flushDone: what is moving may be passed on whole now.
func (a *Agreement) flushDone(e FlushDone) {
	if !a.flushing || e.Version != a.table.Version {
		return
	}
	a.flushing = false
	if e.Complete {
		a.flushed, a.drained = true, true
		a.emit(Drain{On: true})
	}
}

// follow looks whom to follow, and gives the share up where it must not be kept.
func (a *Agreement) follow(now int64) {
	a.follows = Nobody
	var term uint32
	if a.own.Leads != 0 {
		a.follows = a.cfg.Self
	} else {
		for i := range a.cfg.Members {
			if p := &a.peers[i]; i != a.cfg.Self && p.Heard && p.Leads > term {
				a.follows, term = i, p.Leads
			}
		}
	}
	switch {
	case a.follows != Nobody:
		a.orphan = 0
	case a.orphan == 0:
		a.orphan = now
	}
	switch {
	case a.own.Leads != 0 || !a.own.Broken:
		a.dropped = false
	case !a.dropped:
		a.dropped = true
		a.drop("its interfaces do not carry")
	}
	if a.orphan != 0 && a.share != 0 && now-a.orphan >= int64(a.cfg.Timing.Orphan) {
		a.drop("nobody leads")
	}
}

func (a *Agreement) drop(reason string) {
	if a.share == 0 {
		return
	}
	a.share = 0
	a.emit(DropShare{})
	a.emit(Record{Kind: RecordDropped, Version: a.table.Version, Member: a.cfg.Self, Reason: reason})
}

// moving returns who gains and who loses slots by a prepare.
func (t *Table) moving() (gain, lose [Members]bool) {
	for _, e := range t.Entry {
		if e.Moving() {
			gain[e.Next()], lose[e.Taker()] = true, true
		}
	}
	return gain, lose
}
