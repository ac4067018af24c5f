// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"
)

// Implementation constants: pacing. A switch's slow path and a host's ARP queue lose what comes faster.
const (
	// firstFrames are sent per interface within Announce itself.
	firstFrames = 32
	// chunk frames (100 IPv4 addresses in both forms) are sent on an interface before a pause.
	chunk = 200
	pause = time.Millisecond
	// hold bounds the frames sent in one go under the lock, so that Withdraw waits microseconds only.
	hold = 16
)

var errClosed = errors.New("announce: Serve has ended: make a new Announcer")

func joinErrors(errs ...error) error { return errors.Join(errs...) }

// Serve sends series, beacons and router advertisements until ctx ends, then withdraws all and closes the sockets.
func (a *Announcer) Serve(ctx context.Context) error {
	var ears sync.WaitGroup
	defer ears.Wait()
	defer a.close()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		a.startEars(&ears)
		next := a.work()
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return nil
		case <-a.wake:
		case <-timer.C:
		}
	}
}

// work sends what is due and returns the time until there is more.
func (a *Announcer) work() time.Duration {
	count := a.count()
	more := false
	for i := range count {
		for sent := 0; sent < chunk; sent += hold {
			unfinished := a.step(i)
			if !unfinished {
				break
			}
			more = more || sent+hold >= chunk
		}
	}
	if more {
		return pause
	}
	return a.untilDue()
}

func (a *Announcer) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.stations)
}

// step does a little of what station i has due, and says whether its round is unfinished.
func (a *Announcer) step(i int) (unfinished bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if i >= len(a.stations) || !a.stations[i].serving {
		return false
	}
	s := a.stations[i]
	now := a.now()
	if s.hasBeacon && now >= s.nextBeacon {
		a.sendBeacon(s, now)
	}
	if s.advert != nil && now >= s.advertiser.due {
		a.send(s, frame{kindRA, s.advert})
		s.advertiser.advertised(now, rand.Float64())
	}
	if now >= s.nextRound {
		s.beginRound(now)
	}
	return a.sendRound(s, hold)
}

// sendBeacon sends the beacon if there is one; the lock is held.
func (a *Announcer) sendBeacon(s *station, now int64) {
	s.nextBeacon = now + int64(beaconEvery)
	if s.hasBeacon {
		a.send(s, s.beacon)
	}
}

// sendRound sends up to n frames of the running round and says whether there are more; the lock is held.
func (a *Announcer) sendRound(s *station, n int) (unfinished bool) {
	if s.cursor == len(s.round) {
		return false
	}
	end := min(s.cursor+n, len(s.round))
	for _, f := range s.round[s.cursor:end] {
		a.send(s, f)
	}
	s.cursor = end
	if s.cursor < len(s.round) {
		return true
	}
	a.counters.rounds.Add(1)
	return false
}

// send sends a frame and counts it. A refusal is counted only: the series repeats the frame.
func (a *Announcer) send(s *station, f frame) {
	if err := s.sock.send(f.bytes); err != nil {
		a.counters.failed.Add(1)
		a.log.Debug("announcement not sent", "interface", s.set.Name, "reason", err)
		return
	}
	a.counters.sent[f.kind].Add(1)
}

// untilDue is the time until a station has something to send.
func (a *Announcer) untilDue() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := int64(time.Hour)
	now := a.now()
	for _, s := range a.stations {
		if s.serving {
			d = min(d, s.due()-now)
		}
	}
	return time.Duration(max(d, 0))
}

// close withdraws everything and closes every socket.
func (a *Announcer) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	a.stations = nil
	for _, sock := range a.socks {
		sock.close()
	}
	a.socks = nil
	for _, e := range a.ears {
		e.close()
	}
	a.ears = nil
}
