// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"net/netip"
	"sync"
	"time"
)

// Report is what became of a conversation.
type Report struct {
	Name string `json:"name"`
	Kind Kind   `json:"kind"`
	// Alive is false when the connection broke, or nothing has arrived for 3 s at the end of the window and it was not finished.
	// Why says what it died of.
	Alive bool `json:"alive"`
	// Broken says that it is over: a silent one may go on.
	Broken bool   `json:"broken,omitempty"`
	Why    string `json:"why,omitempty"`
	// Came is when something arrived last; zero while nothing has.
	Came time.Time `json:"came"`
	// Begun says that something was exchanged, Finished that a download has been read to its end, Holding that ftp has agreed on a
	// data connection and not opened it yet.
	Begun    bool `json:"begun"`
	Finished bool `json:"finished,omitempty"`
	Holding  bool `json:"holding,omitempty"`
	// Exchanges counts messages and datagrams that came back (one-way: arrived) and ftp's files, Bytes what downloads and ftp
	// brought, over the whole run. What does not come as it was sent ends the conversation.
	Exchanges int   `json:"exchanges"`
	Bytes     int64 `json:"bytes,omitempty"`
	// Lost counts datagrams of the whole run that were sent more than a second ago and have not come back, and web's connections
	// that broke or took longer than 2.5 s.
	Lost int `json:"lost"`
	// Resent counts segments that either end of an ssh conversation sent again within the window since they were lost, as their kernels tell: unlike
	// Gap it does not grow when the host is busy. What the server lost is told with its next echo.
	Resent int `json:"resent,omitempty"`
	// From is the client's end as it sees it itself, of web's latest connection, To where it turned to. A ping's port is its
	// identity.
	From netip.AddrPort `json:"from"`
	To   netip.AddrPort `json:"to"`
	// Gap is the longest time in the window in which nothing came. It is measured by a program: on a busy machine it includes the
	// waiting for a CPU, and TCP's own waiting before it sends again.
	Gap     time.Duration `json:"gap_ns"`
	GapFrom time.Time     `json:"gap_from"`
}

// Of what is noted.
const (
	// gapNoted is the least time without arrivals that is remembered.
	gapNoted = 5 * time.Millisecond
	// patience is how long a live conversation may be silent: TCP's waiting doubles, so three times half a second and more.
	patience = 3 * time.Second
	// maxGaps bounds the memory.
	maxGaps = 200_000
)

type gap struct{ from, to time.Time }

// resend says that so many segments had been sent again at a time.
type resend struct {
	at    time.Time
	total int
}

// progress is how a conversation goes. Its methods are safe for concurrent use; now is an argument for the tests' sake.
type progress struct {
	name string
	kind Kind

	mu        sync.Mutex
	last      time.Time // of the last arrival, or when nothing was due before
	latest    time.Time // of the last arrival
	idle      bool      // nothing is due at the moment
	gaps      []gap
	exchanges int
	bytes     int64
	why       string
	finished  bool
	holding   bool
	broken    int // connections of kind web
	resent    []resend
	local, to netip.AddrPort
	sent      []time.Time // of datagrams by number
	answered  []bool
}

// arrived notes an exchange that came through, and bytes.
func (p *progress) arrived(now time.Time, exchanges int, bytes int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.last.IsZero() && !p.idle && now.Sub(p.last) > gapNoted && len(p.gaps) < maxGaps {
		p.gaps = append(p.gaps, gap{p.last, now})
	}
	p.last, p.latest, p.idle = now, now, false
	p.exchanges += exchanges
	p.bytes += bytes
}

// rest says that nothing is due until the next arrival; hold, that it is so because ftp holds.
func (p *progress) rest(now time.Time, hold bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.idle, p.holding = now, true, hold
}

// due says that something is due again.
func (p *progress) due(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last, p.idle, p.holding = now, false, false
}

// asked notes that datagram n was sent, numbered from 0 without gaps.
func (p *progress) asked(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sent, p.answered = append(p.sent, now), append(p.answered, false)
}

// came notes that datagram n came through, once.
func (p *progress) came(now time.Time, n uint64) {
	p.mu.Lock()
	again := n >= uint64(len(p.answered)) || p.answered[n]
	if !again {
		p.answered[n] = true
	}
	p.mu.Unlock()
	if !again {
		p.arrived(now, 1, 0)
	}
}

// die notes the end; the first reason stays.
func (p *progress) die(why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why == "" {
		p.why = why
	}
}

// broke notes that a connection of kind web came to nothing.
func (p *progress) broke() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken++
}

// sentAgain notes how many segments have been sent again so far.
func (p *progress) sentAgain(now time.Time, total int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if before := len(p.resent); (total > 0 || before > 0) && (before == 0 || p.resent[before-1].total != total) {
		p.resent = append(p.resent, resend{now, total})
	}
}

// between notes the client's end.
func (p *progress) between(from netip.AddrPort) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.local = from
}

func (p *progress) finish() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished = true
}

// report judges the window from from until to, which is not in the future.
func (p *progress) report(from, to time.Time) Report {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := Report{
		Name: p.name, Kind: p.kind, Alive: true, Broken: p.why != "", Begun: p.exchanges > 0 || p.bytes > 0, Finished: p.finished, Holding: p.holding,
		Exchanges: p.exchanges, Bytes: p.bytes, Why: p.why, Lost: p.broken, From: p.local, To: p.to, Came: p.latest,
	}
	all := p.gaps
	if !p.last.IsZero() && !p.idle && !p.finished && p.why == "" && to.After(p.last) {
		all = append(all[:len(all):len(all)], gap{p.last, to})
	}
	for _, g := range all {
		if d := g.to.Sub(g.from); g.to.After(from) && g.from.Before(to) && d > r.Gap {
			r.Gap, r.GapFrom = d, g.from
		}
	}
	before := 0
	for _, s := range p.resent {
		if s.at.After(from) && !s.at.After(to) {
			r.Resent += s.total - before
		}
		before = s.total
	}
	r.Resent = max(0, r.Resent) // what was told late of those before the window
	for n, at := range p.sent {
		if !p.answered[n] && to.Sub(at) > time.Second {
			r.Lost++
		}
	}
	switch {
	case r.Why != "":
		r.Alive = false
	case !r.Begun:
		r.Alive, r.Why = false, "it has not begun"
	case !r.Finished && !p.idle && to.Sub(p.last) > patience:
		r.Alive, r.Why = false, "nothing has come for "+to.Sub(p.last).Round(time.Millisecond).String()
	}
	return r
}
