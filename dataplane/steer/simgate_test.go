// SPDX-License-Identifier: Apache-2.0

package steer

// pulse renews and probes. It lives with the daemon.
func (nd *simNode) pulse(epoch int) {
	w, g := nd.w, &nd.gate
	if !nd.up || nd.epoch != epoch {
		return
	}
	w.after(10*ms, func() { nd.pulse(epoch) })
	if nd.paused > w.now || !nd.alive {
		return
	}
	if w.now-nd.ran < 500*ms && !nd.noPulse {
		if nd.wantShare != 0 && nd.wantShare >= g.fence {
			g.share, g.shareAt = nd.wantShare, w.now
		}
		if nd.wantLease != 0 && g.permits(nd.wantLease, nd.id) {
			g.lease, g.leaseAt = nd.wantLease, w.now
		}
	}
	for i := range w.n {
		if i != nd.id {
			nd.probe(i)
		}
	}
}

func (nd *simNode) leads() uint32 {
	g := &nd.gate
	if nd.up && g.permits(g.lease, nd.id) && g.fresh(g.leaseAt, nd.w.now) {
		return g.lease
	}
	return 0
}

func (nd *simNode) open() bool {
	g := &nd.gate
	return nd.up && g.share != 0 && g.share >= g.fence && g.fresh(g.shareAt, nd.w.now)
}

func (nd *simNode) forwards() bool { return nd.open() || nd.up && nd.w.now < nd.gate.linger }

// grant raises the fence, as YIELD does.
func (nd *simNode) grant(term uint32, to uint8, close bool) bool {
	g := &nd.gate
	if g.fence == term && g.grantee == to {
		return true
	}
	if term <= g.fence {
		return false
	}
	if nd.open() && !close {
		g.linger = nd.w.now + simLinger
	}
	if close {
		g.linger, g.share = 0, 0
	}
	if to != nd.id && nd.claim == 0 {
		nd.leaderless = nd.w.now // whoever claims is given time
	}
	g.fence, g.grantee = term, to
	return true
}

func (nd *simNode) probe(to uint8) {
	w := nd.w
	term := nd.leads()
	src := nd.id
	life := nd.life
	w.frame(src, to, func() {
		t := w.nodes[to]
		g := &t.gate
		g.watched = w.now
		if term != 0 {
			if mine := g.lease; !g.permits(mine, to) {
				if term > g.fence {
					g.fence, g.grantee = term, src
				}
			} else if term > mine || term == mine && src < to {
				if term > g.fence && term > mine {
					g.fence, g.grantee = term, src
				} else {
					g.fence, g.grantee = max(term, mine, g.fence)+1, Nobody
				}
			}
		}
		rep := Peer{Heard: true, Leads: t.leads(), Restarting: w.now < g.restarting, Open: t.forwards(), Share: g.share, ShareAge: w.now - g.shareAt,
			Fence: g.fence, Grantee: g.grantee}
		if g.share == 0 {
			rep.ShareAge = 0
		}
		w.frame(to, src, func() {
			if nd.life != life {
				return
			}
			at := w.now
			nd.tell(func() {
				p := &nd.peers[to]
				if at < p.RepliedAt {
					return
				}
				p.ID, p.Leads, p.Restarting, p.Open, p.Share, p.ShareAge, p.Fence, p.Grantee, p.RepliedAt =
					to, rep.Leads, rep.Restarting, rep.Open, rep.Share, rep.ShareAge, rep.Fence, rep.Grantee, at
				nd.stepPeer(to)
			})
		})
	})
}

// simGate is a gate's words as far as sharing goes.
type simGate struct {
	incarnation uint64
	fence       uint32
	grantee     uint8
	lease       uint32
	leaseAt     int64
	share       uint32
	shareAt     int64
	linger      int64
	watched     int64
	restarting  int64
	table       *Table // Term, Number and Entry only
	drained     bool
}

func (g *simGate) fresh(at, now int64) bool {
	age := now - at
	return age < simSoft || age < simHard && now-g.watched < simWatch
}

func (g *simGate) permits(term uint32, self uint8) bool {
	return term != 0 && (term > g.fence || term == g.fence && g.grantee == self)
}
