// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Announcer sends what the serving member has to say. All methods are safe for concurrent use.
type Announcer struct {
	log  *slog.Logger
	base time.Time     // monotonic origin of all times below
	wake chan struct{} // tells Serve that something became due

	counters counters

	mu       sync.Mutex
	refresh  time.Duration
	stations []*station
	socks    map[int]*socket
	ears     map[int]*ear // by interface index; opened by Configure, run by Serve
	closed   bool
}

// New returns an Announcer that announces nothing yet. log may be nil.
func New(log *slog.Logger) *Announcer {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Announcer{log: log, base: time.Now(), wake: make(chan struct{}, 1), refresh: defaultRefresh}
}

// now is the monotonic time since New in nanoseconds.
func (a *Announcer) now() int64 { return int64(time.Since(a.base)) }

// Configure opens a socket per interface and builds every frame, so that Announce has only to send. It replaces the
// former configuration: what is no longer named is withdrawn, groups that serve go on with the new frames (a new series
// begins for sets that changed). A set that is new in a group that serves is silent until Announce is called again. It must
// be called again when an interface's index or MAC changes. An interface that cannot be opened is left out and named in the
// error; the others work. So is a router advertisement that cannot be sent as it is; its interface's addresses are announced
// all the same. Sockets belong to the network namespace of the calling thread.
func (a *Announcer) Configure(sets []Set) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return errClosed
	}
	now := a.now()
	stations, socks, err := build(sets, a.socks)
	for _, s := range stations {
		s.refresh = a.refresh
		if old := a.find(key{s.set.Group, s.set.Index, s.set.VLAN}); old != nil {
			s.inherit(old, now)
		}
	}
	for index, sock := range a.socks {
		if socks[index] != sock {
			sock.close()
		}
	}
	a.stations, a.socks = stations, socks
	err = joinErrors(err, a.listen())
	a.signal()
	return err
}

// SetRefresh sets the time between rounds after the series: 60 s until it is called, and when d is not positive. It holds for
// what is being announced too.
func (a *Announcer) SetRefresh(d time.Duration) {
	if d <= 0 {
		d = defaultRefresh
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.refresh == d {
		return
	}
	a.refresh = d
	now := a.now()
	for _, s := range a.stations {
		s.setRefresh(d, now)
	}
	a.signal()
}

// Announce is called when group begins to serve, and again when it should repeat itself (the winner of a conflict, a
// closed gate that still sees traffic). Before it returns, the beacon has left on every interface of the group and after
// it the first frames of the first round; the rest goes to Serve, paced. Then the series runs: rounds 0.1, 1, 2, 5 and
// 10 s apart, and one every refresh (SetRefresh). It does not block on the network.
func (a *Announcer) Announce(group uint8) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := a.now()
	for _, s := range a.stations {
		if s.set.Group == group {
			s.begin(now)
			a.sendBeacon(s, now)
		}
	}
	for _, s := range a.stations {
		if s.set.Group == group {
			a.sendRound(s, firstFrames)
		}
	}
	a.signal()
}

// Withdraw stops everything for group at once, router advertisements included. No final advertisement with lifetime 0
// is sent: the virtual router goes on at another member.
func (a *Announcer) Withdraw(group uint8) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.stations {
		if s.set.Group == group {
			s.serving = false
		}
	}
}

// Serving says whether group is being announced.
func (a *Announcer) Serving(group uint8) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, s := range a.stations {
		if s.set.Group == group && s.serving {
			return true
		}
	}
	return false
}

// find returns the station for a set; the lock is held.
func (a *Announcer) find(k key) *station {
	for _, s := range a.stations {
		if (key{s.set.Group, s.set.Index, s.set.VLAN}) == k {
			return s
		}
	}
	return nil
}

// signal wakes Serve; one pending signal is enough.
func (a *Announcer) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

// Counters counts frames by kind.
type Counters struct {
	// Beacons are frames sent for the switches' sake.
	Beacons uint64
	// ARPRequests and ARPReplies are gratuitous ARP of either form.
	ARPRequests, ARPReplies uint64
	// NeighbourAdverts are unsolicited neighbour advertisements.
	NeighbourAdverts uint64
	// RouterAdverts are router advertisements, RouterSolicits the valid solicitations received.
	RouterAdverts, RouterSolicits uint64
	// Failed are frames that the kernel did not take (interface down, queue full).
	Failed uint64
	// Rounds are complete rounds of the series, one per interface and group.
	Rounds uint64
}

type counters struct {
	sent                     [kindRA + 1]atomic.Uint64
	solicits, failed, rounds atomic.Uint64
}

// Counters returns what was sent since New, by kind, and what failed.
func (a *Announcer) Counters() Counters {
	c := &a.counters
	return Counters{
		Beacons:          c.sent[kindBeacon].Load(),
		ARPRequests:      c.sent[kindRequest].Load(),
		ARPReplies:       c.sent[kindReply].Load(),
		NeighbourAdverts: c.sent[kindNA].Load(),
		RouterAdverts:    c.sent[kindRA].Load(),
		RouterSolicits:   c.solicits.Load(),
		Failed:           c.failed.Load(),
		Rounds:           c.rounds.Load(),
	}
}
