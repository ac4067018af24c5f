// SPDX-License-Identifier: Apache-2.0

package steer

// View is what operators see of the agreement at a member. What only a leader knows is zero elsewhere.
type View struct {
	// Leader is who leads as far as this member hears, Nobody if nobody does.
	Leader  uint8
	Version Version
	// Stage is what a leader is at: "settled" if everybody has confirmed. Since is when that began.
	Stage  string
	Since  int64
	Frozen bool
	Member [Members]MemberView
}

// MemberView is what there is to say of a member.
type MemberView struct {
	// Share is the term of its share, 0 if it has none; Weight is what counts at present, before measured load; Slots is how many it takes,
	// and Then how many when nothing moves any more.
	Share       uint32
	Weight      uint16
	Slots, Then int
	// Of a leader: whether the member has confirmed the newest table; until when it has to wait although it is fit, 0 if it need not; and
	// why its gate is being asked for its share, "" if it is not.
	Confirmed bool
	Held      int64
	Fencing   string
}

// View returns the present state.
func (a *Agreement) View() View {
	v := View{Leader: a.follows, Version: a.table.Version, Frozen: a.frozen}
	takes, then := a.table.Takes()
	for i, weight := range a.Weights() {
		v.Member[i] = MemberView{Share: a.table.Share[i], Weight: weight, Slots: takes[i], Then: then[i]}
	}
	l := a.lead
	if l == nil {
		return v
	}
	v.Stage, v.Since = stageNames[l.stage], l.entered
	for i := range a.cfg.Members {
		m, f := &v.Member[i], &l.follow[i]
		m.Confirmed = l.stage != stageSettle && a.confirmed(i)
		if l.table.Share[i] == 0 && f.fit != 0 {
			m.Held = f.fit + a.holdFor(i)
		}
		if f.fence != nil {
			if m.Fencing = f.fence.reason; m.Fencing == "" {
				m.Fencing = "its gate obeys another"
			}
		}
	}
	return v
}

// Carries reports whether this member takes any slot, or is still to be sent what belongs to one. A member that stops as planned waits until
// it carries nothing, or leads and nobody else could carry anything.
func (a *Agreement) Carries() bool {
	takes, then := a.table.Takes()
	if a.own.Leads != 0 {
		return takes[a.cfg.Self]+then[a.cfg.Self] > 0
	}
	return a.share != 0
}
