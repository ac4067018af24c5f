// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/members/gate"
)

// share is what main wants of this member's share of the traffic, and what it knows of its word. A share is renewed like a lease, by the
// terms from the fence's on.
type share struct {
	term    uint32 // to renew; 0: none
	number  uint32 // of the table of slots by which main asked for it
	stored  bool   // the word holds it
	renewed int64  // when last; until it is stored, when main asked
	lost    Lost
	expired [2]uint32 // term and number of what was lost to LostExpired last: nothing that is not newer than that opens the gate again
	watched bool      // main has asked for a share or dropped it, and is told of changes
	told    ShareChanged
	toldAny bool
}

// newer reports whether a request by the table number of term may open a gate whose share has expired: the one that expired may have been
// given to others meanwhile, and only a table that says otherwise gives it back.
func (s *share) newer(term, number uint32) bool {
	return term > s.expired[0] || term == s.expired[0] && number > s.expired[1]
}

// openShare has the share renewed from now on; main asked for it at the boot time asked, by the table number of the term. What the gate holds
// already is not touched but for the time of renewal, and its age counts.
func (e *engine) openShare(now, asked int64, term, number uint32) {
	s := &e.share
	s.watched, s.toldAny = true, false
	held := e.words.Share()
	switch {
	case s.term == term: // renewed already, or about to be
	case held.Term() == term:
		s.stored, s.renewed = true, now-held.Age(now)
	case s.stored && s.term != 0 && !e.shareLapsed(now):
		s.renewed = now // the next term of a share that is open: no moment between the two is missed
	default:
		s.stored, s.renewed = false, min(asked, now)
	}
	s.term, s.number, s.lost = term, number, LostNot
	switch {
	case term == 0 || term > gate.MaxTerm:
		e.loseShare(LostOvertaken)
	case !s.newer(term, number):
		e.loseShare(LostExpired)
	default:
		e.renewShare(now)
	}
}

// dropShare ends the share because main says so. One that lingers is left to the gate.
func (e *engine) dropShare(now int64, lingers bool) {
	s := &e.share
	s.watched, s.toldAny = true, false
	if !lingers {
		e.loseShare(LostNot)
		return
	}
	s.term, s.number, s.stored, s.lost = 0, 0, false, LostNot
	e.words.EndShare(now)
}

func (e *engine) loseShare(why Lost) {
	s := &e.share
	if why == LostExpired && s.newer(s.term, s.number) {
		s.expired = [2]uint32{s.term, s.number}
	}
	s.term, s.number, s.stored, s.lost = 0, 0, false, why
	if why != LostOvertaken { // that one is closed already, and may linger
		e.words.RevokeShare()
	}
}

func (e *engine) shareLapsed(now int64) bool {
	s := &e.share
	return now-s.renewed >= int64(hardExpiry) || s.stored && e.words.Share().Term() == s.term && e.words.Share().Age(now) >= int64(hardExpiry)
}

// renewShare renews the share that main wants, if main lives and the fence permits it, whoever that was granted to.
func (e *engine) renewShare(now int64) {
	s := &e.share
	switch {
	case s.term == 0:
	case s.term < e.words.Fence(0).Term:
		e.loseShare(LostOvertaken)
	case e.shareLapsed(now):
		e.loseShare(LostExpired)
	case e.fresh(now):
		e.words.RenewShare(s.term, now)
		s.stored, s.renewed = true, now
	}
}

// watchShare tells main of a share that has changed.
func (e *engine) watchShare(now int64) {
	s := &e.share
	if !s.watched {
		return
	}
	event := ShareChanged{
		Open: e.words.ShareOpen(now), Forward: ccp.Bits(e.words.Serving(0, now))&ccp.BitForward != 0, Term: e.words.Share().Term(),
		FenceTerm: e.words.Fence(0).Term, Leased: s.term, Number: s.number, Lost: s.lost,
	}
	if s.toldAny && event == s.told {
		return
	}
	key := event
	event.At = now
	if e.say(appendShare(e.message[:0], &event)) {
		s.told, s.toldAny = key, true
	}
}
