// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
)

// leastWait keeps a timer that is always due from being a busy loop.
const leastWait = 200e3

// runTimer does what is due by time alone.
func (p *Plane) runTimer(ctx context.Context) error {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.mu.Lock()
		now := boottime()
		p.tick(now)
		masters := p.masters.take(now)
		at := p.wake()
		p.armed = at
		p.mu.Unlock()
		p.readMasters(masters)
		wait := time.Hour
		if at != never {
			wait = time.Duration(max(at-now, leastWait))
		}
		timer.Reset(min(wait, time.Hour))
		select {
		case <-ctx.Done():
			return nil
		case <-p.kick:
		case <-timer.C:
		}
	}
}

// rearm has the timer look again if something is due sooner than it knows.
func (p *Plane) rearm(now int64) {
	at := p.wake()
	if at >= p.armed || at >= p.armed-leastWait && p.armed > now {
		return
	}
	p.armed = at
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// tick does what is due at now.
func (p *Plane) tick(now int64) {
	p.ticks++
	p.rates.second(now)
	p.matured(now)
	p.settle(now)
	p.reopenPorts(now)
	if p.markWake() <= now {
		p.mark(now)
		p.sender.Flush()
	}
	for _, a := range p.askers {
		p.do(now, a, a.tick(now))
	}
	for i := range p.peers {
		q := &p.peers[i]
		if q.greetAt <= now {
			q.say(now, 1)
			q.greetAt = now + greetFast
			if now-q.greetSince > greetFor {
				q.greetAt = now + greetSlow
			}
		}
		if q.bound != 0 && q.statusAt == never && now-q.addressesAt >= addressesAgain {
			q.say(now, 1)
		}
		p.forgetAddresses(now, q)
		if s := q.serving; s.active() && s.bulk.Silent(now) > servedTimeout {
			p.stopServing(now, q)
		}
		p.sayAccepted(now, q)
	}
	p.glance(now)
}

// wake is when tick is due.
func (p *Plane) wake() int64 {
	if len(p.ports) == 0 || p.cfg.Disabled {
		return never
	}
	at := min(p.sender.Wake(), p.markWake(), p.held.Wake(), p.masters.wake(), p.settleWake(), p.showAt, p.reopenWake())
	for _, a := range p.askers {
		at = min(at, a.wake())
	}
	for i := range p.peers {
		q := &p.peers[i]
		at = min(at, q.greetAt, q.statusAt)
		if q.bound == 0 {
			continue
		}
		at = min(at, q.receiver.Wake(), q.bulkIn.Wake(), q.addressesAt+addressesAgain)
		if s := q.serving; s.active() && q.id != ccp.Nobody {
			at = min(at, s.bulk.Wake())
			if s.waits() {
				at = min(at, s.saidAt+acceptedAgain)
			}
		}
	}
	return at
}
