// SPDX-License-Identifier: Apache-2.0

package prober

import (
	"math/bits"
	"net/netip"
	"time"
)

// Limits of the judgement (package comment).
const (
	// near is the number of rounds within which probes belong together.
	near = 3
	// together is how far apart two answers to one probe may be to be given at once. A member whose receive queue is late sees an
	// old probe after a hand-over, and rightly answers it.
	together = time.Millisecond
)

// Window judges the probes sent from from until to. Those sent within the last round of a running prober may still be answered.
func (p *Prober) Window(from, to time.Time) Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	rep := Report{Segment: p.cfg.Segment, From: from, To: to, Missed: p.missed}
	for i := range p.targets {
		t := &p.targets[i]
		j := judge{prober: p, vip: t.vip, rep: &rep}
		for _, q := range t.probes {
			if sent := p.start.Add(time.Duration(q.sent)); !sent.Before(from) && sent.Before(to) {
				j.step(q)
			}
		}
		j.close()
	}
	return rep
}

// judge goes through the probes of one address in order.
type judge struct {
	prober *Prober
	vip    netip.Addr
	rep    *Report
	// episode is open when members is not 0.
	episode   Episode
	members   uint8
	lastRound int32
	last      int64
	// recent are the probes of the last rounds that one member answered.
	recent []probe
}

func (j *judge) step(q probe) {
	j.rep.Probes++
	switch {
	case q.by == 0:
		j.rep.Unanswered++
	case bits.OnesCount8(q.by) == 1:
		j.alone(q)
	case q.answered-q.first <= int64(together):
		j.rep.Contested++
		j.contest(q)
		j.episode.Contested++
	default: // one after the other: a hand-over, unless the first one answers again
		later := q
		q.by, later.by = q.firstBy, q.by&^q.firstBy
		j.alone(q)
		if bits.OnesCount8(later.by) == 1 {
			j.alone(later)
		}
	}
}

// alone judges a probe that one member answered.
func (j *judge) alone(q probe) {
	if between, ok := j.interleaved(q); ok {
		j.rep.Interleaved++
		j.contest(between)
		j.contest(q)
		j.episode.Interleaved++
	}
	j.serve(q)
}

// interleaved tells whether q's member answered within the last rounds, and another one since. between is the other's probe.
func (j *judge) interleaved(q probe) (between probe, ok bool) {
	for len(j.recent) > 0 && q.round-j.recent[0].round > near {
		j.recent = j.recent[1:]
	}
	defer func() { j.recent = append(j.recent, q) }()
	for i := len(j.recent) - 1; i >= 0; i-- {
		switch same := j.recent[i].by == q.by; {
		case same && !ok: // q goes on where its own member was the last to answer
			return probe{}, false
		case same:
			return between, true
		case !ok:
			between, ok = j.recent[i], true
		}
	}
	return probe{}, false
}

// contest adds a probe to the open episode, or to a new one when the last contested probe is too far back.
func (j *judge) contest(q probe) {
	if j.members != 0 && q.round-j.lastRound > near {
		j.close()
	}
	at := func(ns int64) time.Time { return j.prober.start.Add(time.Duration(ns)) }
	if j.members == 0 {
		j.episode = Episode{VIP: j.vip, From: at(q.sent), To: at(q.answered)}
		j.last = q.answered
	}
	j.members |= q.by
	j.lastRound = max(j.lastRound, q.round)
	if q.answered > j.last {
		j.last, j.episode.To = q.answered, at(q.answered)
	}
}

// close ends the open episode.
func (j *judge) close() {
	if j.members == 0 {
		return
	}
	e := j.episode
	for i, port := range j.prober.cfg.Ports {
		if j.members&(1<<i) != 0 {
			e.Members = append(e.Members, port.Member)
		}
	}
	lasted := max(e.To.Sub(e.From), j.prober.cfg.Every)
	j.rep.Dual += lasted
	j.rep.LongestDual = max(j.rep.LongestDual, lasted)
	j.rep.Episodes = append(j.rep.Episodes, e)
	j.members, j.lastRound = 0, 0
}

// serve notes that one member answered alone.
func (j *judge) serve(q probe) {
	at := j.prober.start.Add(time.Duration(q.answered))
	member := j.prober.cfg.Ports[bits.TrailingZeros8(q.by)].Member
	if n := len(j.rep.Services); n > 0 {
		if last := &j.rep.Services[n-1]; last.VIP == j.vip && last.Member == member {
			last.To = at
			last.Answers++
			return
		}
	}
	j.rep.Services = append(j.rep.Services, Service{VIP: j.vip, Member: member, From: at, To: at, Answers: 1})
}
