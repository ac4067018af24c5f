// SPDX-License-Identifier: Apache-2.0

package node

import (
	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/members/gate"
)

// listenFirst keeps the gate quiet on a port without carrier, and for a dead interval after the carrier came: whoever serves on the
// other side of the cable that was just put in is heard before this member answers there. The mark is made when the carrier goes, not
// when it comes: nothing is answered before this process has seen it come. docs/decisions/006.
func (n *node) listenFirst(p *port) {
	if !p.Role.Gated() {
		return
	}
	quiet := n.words.Quiet(p.Slot) == bpf.QuietForGood
	switch {
	case !p.carrier && !quiet:
		n.words.SetQuiet(p.Slot, bpf.QuietForGood)
	case p.carrier && quiet:
		until := bpf.Boottime() + int64(n.cfg.Timers.Dead)
		n.words.SetQuiet(p.Slot, until)
		n.due.quiet = max(n.due.quiet, until)
	}
}

// forgetQuiet takes back what an earlier configuration's interfaces left in the words: a slot whose interface is not gated is never quiet.
func (n *node) forgetQuiet() {
	for slot := range uint8(gate.Slots) {
		gated := int(slot) < len(n.ports) && n.ports[slot].Role.Gated()
		if !gated && n.words.Quiet(slot) != 0 {
			n.words.SetQuiet(slot, 0)
		}
	}
}

// attachQuietly attaches the gate to a port. Where it was not attached before, it listens first.
func (n *node) attachQuietly(p *port, i bpf.Iface) error {
	if p.Role.Gated() && n.gate.AttachedAs(p.index) == "" {
		n.words.SetQuiet(p.Slot, bpf.QuietForGood)
	}
	err := n.gate.Attach(i)
	n.listenFirst(p)
	return err
}

// listened announces again when a port has ended its listening: what was announced before did not leave by it.
func (n *node) listened(now int64) {
	if n.due.quiet == 0 || now < n.due.quiet {
		return
	}
	n.due.quiet = 0
	if n.serve.open {
		n.announceNow(gateway)
	}
}
