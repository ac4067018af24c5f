// SPDX-License-Identifier: Apache-2.0

package node

import "github.com/holdfast-project/holdfast/bpf"

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
