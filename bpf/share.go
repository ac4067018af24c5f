// SPDX-License-Identifier: Apache-2.0

package bpf

import "github.com/holdfast-project/holdfast/members/gate"

// Sharing reports whether the gate shares load: whether [Gate.SetSteering] was last given another mode than SteerHA. It outlives the daemon.
func (w *Words) Sharing() bool { return w.u32(offSteer).Load()&steerMode != 0 }

// RenewShare stores this member's share of the gateway's traffic: term (1 to gate.MaxTerm) renewed at the boot time now. Only the pulse
// may call it. One store, no system call, no allocation. Without load sharing a share means nothing.
func (w *Words) RenewShare(term uint32, now int64) {
	w.u64(offShare).Store(uint64(gate.NewLease(term, now)))
}

// RevokeShare ends the share at once, whether it is open or lingers: what comes in with the next packet is dropped.
func (w *Words) RevokeShare() {
	w.u64(offShare).Store(0)
	w.u64(offShareLinger).Store(0)
}

// EndShare ends the share in order: if it is open it lingers, for what is on its way.
func (w *Words) EndShare(now int64) {
	fence := w.word(0, offFence)
	before := fence.Load()
	if w.ShareOpen(now) {
		// The gate may grant a surrender meanwhile. An exchange, so that the fence is read after it.
		w.u64(offShareLinger).Swap(uint64(now + int64(w.duration(offLinger))))
		if fence.Load() != before {
			w.u64(offShareLinger).Store(0)
		}
	}
	w.u64(offShare).Store(0)
}

// Share returns this member's share, packed as a lease: its term, 0 for none, and when it was last renewed.
func (w *Words) Share() gate.Lease { return gate.Lease(w.u64(offShare).Load()) }

// HashKey returns the secret of the hash that sorts packets into slots, as [Gate.SetSteering] was given it last. It outlives the daemon.
func (w *Words) HashKey() [2]uint64 {
	return [2]uint64{w.u64(offHashKey).Load(), w.u64(offHashKey + 8).Load()}
}

// ShareLinger returns until which boot time the gate forwards whatever the share says: a term was granted while it was open.
func (w *Words) ShareLinger() int64 { return w.time(offShareLinger) }

// ShareOpen reports whether the gate forwards under the share at the boot time now: it is not below the fence of group 0, and was renewed
// not too long ago, by the lease's rules. A share that lingers is not open.
func (w *Words) ShareOpen(now int64) bool {
	s := w.judged(0)
	return s.ShareOpen(now)
}
