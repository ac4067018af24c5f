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
	if g == 0 && w.Sharing {
		b &^= Forward
		if w.ShareOpen(now) || now < w.ShareLinger {
			b |= Forward
		}
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

// RenewShare renews the share for a term, as the pulse does.
func (w *Words) RenewShare(term uint32, now int64) { w.Share = NewLease(term, now) }

// RevokeShare ends the share at once, whether it lingers or not.
func (w *Words) RevokeShare() { w.Share, w.ShareLinger = 0, 0 }

// EndShare ends a share in order: if it is open it lingers, for what is on its way.
func (w *Words) EndShare(now int64) {
	if w.ShareOpen(now) {
		w.ShareLinger = now + int64(w.Linger)
	}
	w.Share = 0
}

// ShareOpen reports whether this member may carry a share of the gateway's traffic at the boot time now, by the rules that a lease
// serves by: not below the fence of group 0, whoever that was granted to, and renewed not too long ago. It may still carry one for a
// while after that (ShareLinger). Without load sharing there is no share.
func (w *Words) ShareOpen(now int64) bool {
	group := &w.Group[0]
	return w.Sharing && group.Fence.Shares(w.Share.Term()) && w.fresh(group, w.Share, now)
}

// Grant is what a YIELD with a claim does at the boot time now: it grants a term of group g to a member, unless the fence forbids it. It returns
// the fence that stands afterwards, and whether the term was granted.
func (w *Words) Grant(g int, term uint32, member uint8, now int64) (Fence, bool) {
	group := &w.Group[g]
	shares := g == 0 && w.ShareOpen(now)
	fence, granted := group.Fence.Grant(term, member)
	if fence != group.Fence && shares {
		w.ShareLinger = now + int64(w.Linger)
	}
	group.Fence = fence
	return fence, granted
}

func (w *Words) open(group *Group, now int64) bool {
	return group.Fence.Permits(group.Lease.Term(), w.Self) && w.fresh(group, group.Lease, now)
}

func (w *Words) fresh(group *Group, lease Lease, now int64) bool {
	age := lease.Age(now)
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
