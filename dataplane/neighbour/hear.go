// SPDX-License-Identifier: Apache-2.0

package neighbour

import (
	"time"

	"golang.org/x/sys/unix"
)

// deliver passes an answer on; the lock is held.
func (a *Asker) deliver(answer Answer) {
	select {
	case a.answers <- answer:
	default:
		a.dropped++
		a.log.Debug("answer dropped: nobody reads", "interface", answer.Index, "dropped", a.dropped)
	}
}

// heard takes what an ear understood and answers the questions that it fits.
func (a *Asker) heard(index int, h heard) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := boottime()
	kinds := [...]Kind{VIP, Neighbour}
	list := kinds[:]
	if h.echo {
		if h.id != a.id {
			return // to somebody else's ping
		}
		list = []Kind{Echo}
	}
	for _, kind := range list {
		q := question{kind, index, h.addr}
		o := a.questions[q]
		if o == nil || o.answered[h.mac] {
			continue
		}
		asked := o.asked
		if kind == Echo {
			sent, ours := o.sent[h.sequence]
			if !ours {
				continue // the reply to a request that was given up
			}
			asked = sent
		}
		o.answered[h.mac] = true
		if kind == Neighbour {
			a.macs[place{index, h.addr}] = seen{h.mac, now}
		}
		by, member := a.classify(h.mac)
		a.deliver(Answer{Kind: kind, Index: index, Addr: h.addr, By: by, Member: member, MAC: h.mac, At: now, RTT: time.Duration(now - asked)})
		if o.then != nil && o.then.to != h.mac {
			wait := o.then.wait
			o.then = nil
			if err := a.sendEcho(a.segments[index], h.addr, h.mac, wait, now); err != nil {
				a.log.Debug("echo not sent", "interface", index, "reason", err)
			}
		}
		if kind != VIP {
			delete(a.questions, q) // a VIP may be answered by two, and that is what we want to know
			a.signal()             // an ear may be in the traffic's way for nothing now
		}
	}
}

func (a *Asker) classify(mac [6]byte) (By, uint8) {
	if owner, known := a.table[mac]; known {
		return owner.By, owner.Member
	}
	return Stranger, 0
}

// boottime is CLOCK_BOOTTIME in ns.
func boottime() int64 {
	var t unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
		return 0 // cannot fail with a valid clock and pointer
	}
	return t.Nano()
}
