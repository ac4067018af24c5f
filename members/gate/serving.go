// SPDX-License-Identifier: Apache-2.0

package gate

// Serving returns what the gate of group g lets through at the boot time now, with the bits that explain it. HearsYou is never
// set: only a prober can say it. A group beyond the last is never served.
func (w *Words) Serving(g int, now int64) Bits {
	if g < 0 || g >= Groups {
		return 0
	}
	var b Bits
	group := &w.Group[g]
	if w.open(group, now) {
		b |= Answer | Forward
	}
	if now < group.Linger {
		b |= Forward
	}
	if group.Alone != 0 {
		b |= Alone
	}
	if now < w.Restarting {
		b |= Restarting
	}
	if w.watched(now) {
		b |= Watched
	}
	return b
}

// ServingOn is Serving as it is on the interface of a slot: there the gate neither answers nor forwards before it has listened.
// What it says of itself in frames is Serving, on every interface.
func (w *Words) ServingOn(slot uint8, g int, now int64) Bits {
	b := w.Serving(g, now)
	if slot < Slots && now < w.Quiet[slot] {
		b &^= Answer | Forward
	}
	return b
}

// Renew renews the lease of group g for a term, as the pulse does.
func (w *Words) Renew(g int, term uint32, now int64) { w.Group[g].Lease = NewLease(term, now) }

// Revoke ends the lease of group g at once.
func (w *Words) Revoke(g int) { w.Group[g].Lease = 0 }

// Grant asks this gate to grant a term of group g to a member, as a YIELD with a claim does, and returns the fence that stands
// afterwards and whether the term was granted.
func (w *Words) Grant(g int, term uint32, member uint8) (Fence, bool) {
	fence, granted := w.Group[g].Fence.Grant(term, member)
	w.Group[g].Fence = fence
	return fence, granted
}

func (w *Words) open(group *Group, now int64) bool {
	if !group.Fence.Permits(group.Lease.Term(), w.Self) {
		return false
	}
	age := group.Lease.Age(now)
	if age < int64(w.Soft) {
		return true
	}
	// Late. Somebody who hears us would take over knowingly, and somebody who is not there, or never was, cannot.
	return age < int64(w.Hard) && (w.watched(now) || w.unprobed(group.Alone) || w.unprobed(w.Single))
}

// unprobed reports whether no member has sent a probe since this was marked.
func (w *Words) unprobed(marked int64) bool { return marked != 0 && w.Probed <= marked }

func (w *Words) watched(now int64) bool {
	return w.Watched != 0 && now-w.Watched < int64(w.Watch)
}
