// SPDX-License-Identifier: Apache-2.0

package node

import (
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/members/gate"
)

// settledAfter is for how long a daemon that has adopted its gate must have been on time to be judged as any other: as long as a member must
// have been that asks another one to yield.
const settledAfter = time.Second

// endRestart takes back that this daemon is restarting, which the gate it adopted says, once it has found its feet. From then on a lease that
// ages is a fault again, which a peer relieves before the gate closes. A daemon that comes up late, or by fits and starts, is waited for
// as long as the gate says.
func (n *node) endRestart(now int64) {
	if !n.settling || n.leave != staying { // else the word is for the daemon that follows
		return
	}
	if settled(n.words.Lease(gateway), now, n.boot.Now, n.onTime) {
		n.settling = false
		n.words.SetRestarting(0)
	}
}

// settled reports whether a daemon that began at a time does what the lease in its gate needs.
func settled(lease gate.Lease, now, began, onTimeSince int64) bool {
	renewed := lease.Term() == 0 || now-lease.Age(now) > began
	return renewed && onTimeSince != 0 && now-onTimeSince >= int64(settledAfter)
}

// boundRestart ends the announcement of a restart before the lease that nobody renews any more is over. A daemon that is back by then finds
// the gate serving. One that takes longer (its gate is another one, which a slow machine's kernel takes seconds to verify), or never comes,
// is relieved by a peer while its gate still forwards; else the gate would close, and packets be lost until a peer has seen that.
func (n *node) boundRestart() {
	if n.leave == stopping {
		return // it is taken back, or nothing of it serves
	}
	words := n.words.Snapshot()
	if lease := words.Group[gateway].Lease; lease.Term() != 0 {
		now := bpf.Boottime()
		n.words.SetRestarting(restartUntil(words.Restarting, now, lease.Age(now), int64(words.Hard)))
	}
}

// restartUntil is until when a restart is announced whose lease has an age, if it was announced until some time already.
func restartUntil(announced, now, age, hard int64) int64 {
	return min(announced, now-age+hard*4/5)
}
