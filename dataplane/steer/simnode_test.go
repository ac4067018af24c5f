// SPDX-License-Identifier: Apache-2.0

package steer

import (
	"fmt"
	"slices"
	"time"
)

// simNode is a member: its gate, its pulse and its daemon.
type simNode struct {
	w       *world
	id      uint8
	gate    simGate
	up      bool  // the machine runs
	alive   bool  // the daemon does
	epoch   int   // of the machine
	life    int   // of the daemon
	hung    int64 // until when the main loop stands still
	paused  int64 // until when the whole machine does
	inbox   []func()
	drainAt int64
	ran     int64 // when the main loop last ran
	began   int64 // when the daemon did
	a       *Agreement
	// what the pulse does
	wantShare, wantLease uint32
	// what the daemon knows
	incarnation uint64
	fit         bool
	leaving     bool
	inOrder     bool // its share was dropped last after it had left
	broken      bool
	stopLead    bool
	reading     bool // its inbox
	noPulse     bool // nothing is renewed
	peers       [Members]Peer
	helloSeq    [Members]uint64
	seq         uint64
	helloAt     int64
	wakeAt      int64
	claim       uint32
	granted     [Members]bool
	asked       [Members]bool
	claimAt     int64
	leaderless  int64
	own         Own
	doing       []Effect // behind a table that waits
	waits       bool
	ready       bool
	seen        *Table // what it published last
}

func (nd *simNode) boot() {
	w := nd.w
	nd.up, nd.epoch = true, nd.epoch+1
	nd.gate = simGate{incarnation: w.r.next(), grantee: Nobody, table: &Table{}}
	nd.hung, nd.paused = 0, 0
	w.logf("%d boots", nd.id)
	nd.start(false)
	nd.pulse(nd.epoch)
}

// start is that of the daemon.
func (nd *simNode) start(restarted bool) {
	w := nd.w
	nd.alive, nd.life = true, nd.life+1
	nd.incarnation = w.r.next()
	nd.seen, nd.doing, nd.waits, nd.ready = nil, nil, false, false
	nd.a = New(Config{Self: nd.id, Members: w.n, Mode: w.mode, Weight: w.weight, Timing: DefaultTiming(10 * time.Millisecond)})
	nd.peers, nd.helloSeq = [Members]Peer{}, [Members]uint64{}
	nd.inbox, nd.claim, nd.leaderless, nd.wakeAt, nd.own = nil, 0, w.now, 0, Own{Fence: 1}
	nd.ran, nd.drainAt, nd.began = w.now, 0, w.now
	nd.fit, nd.leaving, nd.broken, nd.stopLead = true, false, false, false
	nd.wantShare, nd.wantLease = 0, 0
	g := &nd.gate
	if restarted {
		ad := Adopted{Term: g.table.Term, Number: g.table.Number, Entry: g.table.Entry}
		if g.share != 0 && g.share >= g.fence && g.fresh(g.shareAt, w.now) {
			ad.Share = g.share
		}
		if g.permits(g.lease, nd.id) && g.fresh(g.leaseAt, w.now) {
			nd.wantLease = g.lease
		}
		nd.step(ad)
	}
	if w.frozen {
		nd.step(Freeze{On: true})
	}
	nd.main(nd.life)
}

func (nd *simNode) crash() {
	nd.w.logf("%d loses power", nd.id)
	nd.up, nd.alive = false, false
	nd.epoch++
	nd.life++
}

// restart takes the daemon away for a while. The gate stays.
func (nd *simNode) restart(d int64) {
	w := nd.w
	w.logf("%d restarts its daemon", nd.id)
	nd.alive = false
	nd.life++
	nd.gate.restarting = w.now + 3000*ms
	epoch := nd.epoch
	w.after(d, func() {
		if nd.epoch == epoch && nd.up && !nd.alive {
			nd.start(true)
		}
	})
}

// tell puts something into the main loop's inbox.
func (nd *simNode) tell(do func()) { nd.inbox = append(nd.inbox, do) }

// main is the loop, which looks at its inbox every so often.
func (nd *simNode) main(life int) {
	w := nd.w
	if nd.life != life || !nd.up || !nd.alive {
		return
	}
	stuck := max(nd.hung, nd.paused)
	if stuck > w.now {
		w.after(stuck-w.now, func() { nd.main(life) })
		return
	}
	w.after(ms/4+w.r.n(ms/2), func() { nd.main(life) })
	nd.ran = w.now
	in := nd.inbox
	nd.inbox = nil
	nd.stepOwn()
	nd.reading = true
	for _, do := range in {
		do()
	}
	nd.reading = false
	for i := range w.n {
		p := &nd.peers[i]
		if i != nd.id && p.RepliedAt != 0 && p.Heard && w.now-p.RepliedAt > w.dead {
			nd.stepPeer(i)
		}
	}
	if nd.wakeAt != 0 && w.now >= nd.wakeAt {
		nd.step(Tick{})
	}
	if w.now-nd.helloAt >= 100*ms {
		nd.hello()
	}
	nd.elect()
}

func (nd *simNode) stepOwn() {
	g := &nd.gate
	own := Own{Leads: nd.leads(), Fit: nd.fit, Lacks: nd.w.lacks[nd.id], Leaving: nd.leaving, Broken: nd.broken, Fence: g.fence, Grantee: g.grantee, Open: nd.open(), Share: g.share, Version: g.table.Version,
		Renewed: (g.share == 0 || g.shareAt > nd.began) && (nd.leads() == 0 || g.leaseAt > nd.began)}
	if own != nd.own || nd.a.lead == nil && own.Leads != 0 {
		if own.Leads != nd.own.Leads {
			nd.w.logf("%d leads with term %d (fence %d/%d)", nd.id, own.Leads, own.Fence, own.Grantee)
		}
		nd.own = own
		nd.step(own)
	}
}

func (nd *simNode) stepPeer(i uint8) {
	p := &nd.peers[i]
	p.ID = i
	// What waits in the inbox may say otherwise: silence is judged when it is empty.
	p.Heard = p.RepliedAt != 0 && (nd.reading || nd.w.now-p.RepliedAt <= nd.w.dead)
	if !p.Heard {
		p.Leads = 0
	}
	nd.step(*p)
}

func (nd *simNode) step(e Event) {
	w := nd.w
	effects := nd.a.Step(w.now, e)
	for _, x := range effects {
		if x, is := x.(Apply); is {
			w.taking(nd, x.Table)
		}
	}
	if l := nd.a.lead; l != nil && l.table != nd.seen {
		if nd.seen != nil {
			w.moves(nd.seen, l.table)
		}
		nd.seen = l.table
	}
	nd.perform(effects)
}

// perform carries effects out in order. A table may have to wait for the sync plane, and what follows it waits too.
func (nd *simNode) perform(effects []Effect) {
	w := nd.w
	for i, x := range effects {
		if nd.waits {
			switch x.(type) {
			case WakeAt, DropShare:
			default:
				nd.doing = append(nd.doing, x)
				continue
			}
		} else if _, is := x.(Apply); is && !nd.ready && w.r.chance(50) {
			nd.waits, nd.doing = true, []Effect{x}
			life := nd.life
			w.after(w.r.n(w.applySlow), func() {
				if nd.life != life {
					return
				}
				nd.tell(func() {
					doing := nd.doing
					nd.waits, nd.doing, nd.ready = false, nil, true
					nd.perform(doing)
					nd.stepOwn()
				})
			})
			continue
		}
		nd.ready = nd.ready && i == 0
		switch x := x.(type) {
		case DropShare:
			w.logf("%d drops its share", nd.id)
			nd.wantShare, nd.gate.share, nd.inOrder = 0, 0, x.InOrder
			nd.doing = slices.DeleteFunc(nd.doing, func(e Effect) bool { _, opens := e.(Share); return opens })
		case Apply:
			nd.ready = false
			w.logf("%d applies %v of %d, shares %v", nd.id, x.Table.Version, x.Table.Leader, x.Table.Share[:w.n])
			nd.gate.table = x.Table
		case Drain:
			nd.gate.drained = x.On
		case Share:
			nd.wantShare = x.Term
			if x.Term >= nd.gate.fence {
				nd.gate.share, nd.gate.shareAt = x.Term, w.now
			}
		case Flush:
			life, ok := nd.life, !w.r.chance(w.flushFail)
			w.after(ms/2+w.r.n(w.flushSlow), func() {
				if nd.life == life {
					nd.tell(func() { nd.step(FlushDone{Version: x.Version, Complete: ok}) })
				}
			})
		case SendTable:
			from := nd.id
			w.frame(from, x.To, func() {
				to := w.nodes[x.To]
				to.tell(func() {
					if !x.Table.Valid() {
						w.fail("%d made an invalid table", from)
					}
					to.stepOwn()
					to.step(TableReceived{From: from, Table: x.Table})
				})
			})
		case YieldShare:
			w.logf("%d asks %d for its share with %d", nd.id, x.To, x.Term)
			from, life := nd.id, nd.life
			w.frame(from, x.To, func() {
				ok := w.nodes[x.To].grant(x.Term, from, !x.Keeps)
				fence := w.nodes[x.To].gate.fence
				w.frame(x.To, from, func() {
					if nd.life == life {
						nd.tell(func() { nd.step(YieldResult{To: x.To, Term: x.Term, Granted: ok, Fence: fence}) })
					}
				})
			})
		case Restarted:
			w.logf("%d has restarted", nd.id)
			nd.gate.restarting = 0
		case Tell:
			nd.hello()
		case Record:
			if x.Kind == RecordExcluded {
				w.excluded[x.Member]++
			}
			w.logf("%d: %s", nd.id, describe(x))
		case WakeAt:
			nd.wakeAt = x.At
		}
	}
}

func describe(r Record) string {
	names := [...]string{"?", "table", "aborted", "excluded", "admitted", "dropped", "unflushed", "exhausted"}
	return fmt.Sprintf("%s %v member %d moved %d %s", names[r.Kind], r.Version, r.Member, r.Moved, r.Reason)
}

func (nd *simNode) hello() {
	w := nd.w
	nd.helloAt = w.now
	nd.seq++
	seq, status, fit, lacks, leaving := nd.seq, nd.a.Status(), nd.fit && !nd.broken, w.lacks[nd.id], nd.leaving
	inc, src, life := nd.incarnation, nd.id, nd.life
	if nd.waits {
		status.Version, status.Leader, status.Flushed = nd.gate.table.Version, nd.gate.table.Leader, false
	}
	for i := range w.n {
		if i == src {
			continue
		}
		w.frame(src, i, func() {
			to := w.nodes[i]
			at := w.now
			to.tell(func() {
				p := &to.peers[src]
				if p.Incarnation == inc && seq <= to.helloSeq[src] || life < w.nodes[src].life {
					return
				}
				to.helloSeq[src] = seq
				p.Incarnation, p.Status, p.Fit, p.Lacks, p.Leaving, p.HelloAt = inc, status, fit, lacks, leaving, at
				to.stepPeer(src)
			})
		})
	}
}

// carries reports whether the member takes any slot, or is still to be sent what belongs to one.
func (nd *simNode) carries() bool {
	a := nd.a
	if a.own.Leads != 0 {
		takes, then := a.table.Takes()
		return takes[a.cfg.Self]+then[a.cfg.Self] > 0
	}
	return a.share != 0
}

// elect is a poor member's state machine: who hears nobody lead claims, if all gates that answer grant.
func (nd *simNode) elect() {
	w, g := nd.w, &nd.gate
	if nd.leads() != 0 {
		nd.leaderless = w.now
		if stop := (!nd.fit || nd.broken || nd.leaving && !nd.carries()) && nd.relief(); stop != nd.stopLead {
			nd.stopLead = stop
			w.logf("%d hands over: %v", nd.id, stop)
		}
		return
	}
	nd.stopLead = false
	if nd.wantLease != 0 && !g.permits(nd.wantLease, nd.id) {
		nd.wantLease = 0
	}
	for i := range w.n {
		// That a leader wants to be relieved its HELLO says.
		if p := &nd.peers[i]; i != nd.id && p.Heard && p.Leads != 0 && !(w.nodes[i].stopLead && !w.cut[i][nd.id]) {
			nd.leaderless, nd.claim = w.now, 0
			return
		}
	}
	wait := (10 + 30*int64(nd.id)) * ms
	if !nd.fit || nd.leaving || nd.broken {
		wait += 500 * ms
	}
	if nd.claim == 0 {
		if w.now-nd.leaderless < wait {
			return
		}
		nd.claimTerm()
		return
	}
	done := true
	for i := range w.n {
		if nd.asked[i] && !nd.granted[i] && nd.peers[i].Heard {
			done = false
		}
	}
	if done {
		if nd.grant(nd.claim, nd.id, false) {
			nd.wantLease, g.lease, g.leaseAt = nd.claim, nd.claim, w.now
		}
		nd.claim = 0
		return
	}
	if w.now-nd.claimAt > 15*ms {
		nd.claim = 0
		nd.leaderless = w.now - wait + w.r.n(30*ms)
	}
}

func (nd *simNode) relief() bool {
	for i := range nd.w.n {
		if p := &nd.peers[i]; i != nd.id && p.Heard && p.Fit && !p.Leaving {
			return true
		}
	}
	return false
}

func (nd *simNode) claimTerm() {
	w := nd.w
	term := max(nd.gate.fence, nd.gate.share)
	for i := range w.n {
		term = max(term, nd.peers[i].Fence, nd.peers[i].Leads, nd.peers[i].Share)
	}
	term++
	nd.claim, nd.claimAt = term, w.now
	nd.asked, nd.granted = [Members]bool{}, [Members]bool{}
	for i := range w.n {
		if i == nd.id || !nd.peers[i].Heard {
			continue
		}
		nd.asked[i] = true
		life, src := nd.life, nd.id
		w.frame(src, i, func() {
			ok := w.nodes[i].grant(term, src, false)
			w.frame(i, src, func() {
				if nd.life == life {
					nd.tell(func() {
						if nd.claim == term && ok {
							nd.granted[i] = true
						}
					})
				}
			})
		})
	}
}
