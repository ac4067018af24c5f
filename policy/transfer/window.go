// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"fmt"
	"slices"

	"github.com/holdfast-project/holdfast/policy"
)

// maxPiece is the length of the longest piece as it travels.
const maxPiece = 1 + policy.PieceSize

// item is a head or a piece that is under way.
type item struct {
	what  int
	most  int // how long it may be
	total int // how long it is; 0: not known yet
	bytes []byte
	units []unit // before total is known, as many as are guessed
	left  int    // units that have not come, once total is known
}

// unit is Frame bytes of an item; the last one is shorter.
type unit struct {
	came  bool
	sent  int64 // when it was asked for last
	tries int   // how often
}

func (i *item) String() string {
	if i.what == Head {
		return "the head"
	}
	return fmt.Sprintf("piece %d", i.what-1)
}

// put takes a unit that is missing, and returns it as it was asked for.
func (i *item) put(d *Data, frame int) (unit, bool) {
	n := d.Offset / frame
	switch {
	case d.Offset < 0 || d.Offset%frame != 0 || d.Offset >= d.Total, len(d.Bytes) != min(frame, d.Total-d.Offset):
		return unit{}, false // no unit
	case n < len(i.units) && i.units[n].came, n >= len(i.units) || i.units[n].tries == 0: // nobody asked
		return unit{}, false
	}
	if i.total == 0 {
		i.total, i.bytes = d.Total, make([]byte, d.Total)
		i.left = (d.Total + frame - 1) / frame
		for len(i.units) < i.left {
			i.units = append(i.units, unit{})
		}
		i.units = i.units[:i.left]
	}
	u := &i.units[n]
	u.came = true
	i.left--
	copy(i.bytes[d.Offset:], d.Bytes)
	return *u, true
}

func (i *item) whole() bool { return i.total != 0 && i.left == 0 }

func (a *Asker) item(what int) *item {
	for _, i := range a.items {
		if i.what == what {
			return i
		}
	}
	return nil
}

func (a *Asker) drop(i *item) {
	a.items = slices.DeleteFunc(a.items, func(x *item) bool { return x == i })
}

// measured learns from a round trip, as RFC 6298 does.
func (a *Asker) measured(rtt int64) {
	if a.srtt == 0 {
		a.srtt, a.rttvar = max(rtt, 1), rtt/2
		return
	}
	a.rttvar += (max(a.srtt-rtt, rtt-a.srtt) - a.rttvar) / 4
	a.srtt += (rtt - a.srtt) / 8
}

// timeout is how long a unit is waited for that was asked for so often.
func (a *Asker) timeout(tries int) int64 {
	t := int64(a.cfg.Retry)
	if a.srtt != 0 {
		t = max(int64(a.cfg.MinRetry), a.srtt+4*a.rttvar)
	}
	return min(t<<min(tries-1, 4), int64(a.cfg.Patience)/8)
}

// ask asks for what the window leaves room for, and says when to look again.
func (a *Asker) ask() {
	room, fresh := int(a.window), true
	wake := min(a.news+int64(a.cfg.Patience), a.began+3*int64(a.cfg.Patience)+a.bytes*second/int64(a.cfg.MinRate))
	for _, i := range a.items {
		for n := range i.units {
			if u := &i.units[n]; !u.came && u.tries > 0 && a.now-u.sent < a.timeout(u.tries) {
				room--
				wake = min(wake, u.sent+a.timeout(u.tries))
			} else if !u.came && u.tries > 0 {
				fresh = false
			}
		}
	}
	// Not each that comes is worth a frame of its own to ask for the next.
	if fresh && room < int(a.window)/4 {
		a.out = append(a.out, WakeAt{max(wake, a.now+1)})
		return
	}
	a.more()
	var wants []Want
	asked := false
	for _, i := range a.items {
		w := Want{Digest: a.what.Digest, What: i.what}
		for n := 0; n < len(i.units) && room > 0; n++ {
			u := &i.units[n]
			if u.came || u.tries > 0 && a.now-u.sent < a.timeout(u.tries) {
				continue
			}
			if !w.add(n*a.cfg.Frame, a.cfg.Frame) {
				break
			}
			if u.tries > 0 {
				a.shrink()
			}
			u.sent, u.tries = a.now, u.tries+1
			room--
			asked = true
			wake = min(wake, a.now+a.timeout(u.tries))
		}
		if len(w.Ranges) > 0 {
			wants = append(wants, w)
		}
	}
	if asked {
		a.out = append(a.out, Send{a.source, wants})
	}
	a.out = append(a.out, WakeAt{max(wake, a.now+1)})
}

// add appends some bytes, if there is room for another range.
func (w *Want) add(offset, length int) bool {
	if k := len(w.Ranges); k > 0 && w.Ranges[k-1].Offset+w.Ranges[k-1].Length == offset {
		w.Ranges[k-1].Length += length
		return true
	}
	if len(w.Ranges) == MaxRanges {
		return false
	}
	w.Ranges = append(w.Ranges, Range{offset, length})
	return true
}

// shrink halves the window, once for what is lost together.
func (a *Asker) shrink() {
	if a.now-a.shrunk < a.timeout(1) && a.shrunk != 0 {
		return
	}
	a.shrunk = a.now
	a.slow = max(a.window/2, 8)
	a.window = a.slow
}

// more begins what is missing: as many pieces as the window may need.
func (a *Asker) more() {
	if a.head == nil {
		if len(a.items) == 0 {
			a.items = append(a.items, a.begun(Head, policy.MaxHead, a.cfg.Frame))
		}
		return
	}
	if len(a.items) == MaxWants {
		return
	}
	for _, n := range a.parts.Missing(MaxWants) {
		if len(a.items) == MaxWants {
			return
		}
		if a.item(n+1) == nil {
			a.items = append(a.items, a.begun(n+1, maxPiece, a.guess))
		}
	}
}

func (a *Asker) begun(what, most, guess int) *item {
	return &item{what: what, most: most, units: make([]unit, (min(guess, most)+a.cfg.Frame-1)/a.cfg.Frame)}
}
