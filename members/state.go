// SPDX-License-Identifier: Apache-2.0

package members

// Nobody is the member number that stands for no member.
const Nobody uint8 = 0xff

// MaxMembers is the largest number of members in a cluster.
const MaxMembers = 8

// MaxTerm is the highest term: terms have 24 bits, 0 means none.
const MaxTerm uint32 = 1<<24 - 1

// State is the state of a member. The zero value is invalid.
//
//	     boot
//	      |
//	    INIT ----------> READY <----.
//	      |               |         | held back: policy, sync, version
//	      '-> STANDBY <---'---------'
//	            |  ^  \
//	claim opens |  |   '-> DOWN <-.   a critical device has a problem, or admin down
//	            v  | closed       |
//	          ACTIVE ---> ACTIVE(!) a problem that no other member can relieve
type State uint8

const (
	_ State = iota
	// StateInit: the daemon has started and does not know enough to take part. It neither serves nor
	// claims: it listens until a peer is heard or boot-wait has passed, and until the segments carry frames.
	StateInit
	// StateReady: the member is whole but held back by design: it has no policy or no synchronised
	// connections yet, or it is newer or more capable than the members that serve. It takes over only
	// when nobody else is there who could.
	StateReady
	// StateStandby: fit to serve and not serving. It takes over when the active member falls silent,
	// becomes unfit, or is told to go. For the moment of its claim a member stays in this state.
	StateStandby
	// StateActive: holds the lease; the gate answers for the virtual addresses and forwards.
	StateActive
	// StateActiveAttention is ACTIVE(!): serves although a critical device has a problem, since no other
	// member could do it better. An operator should look; traffic flows as far as the problem lets it.
	StateActiveAttention
	// StateDown: a critical device has a problem, or the operator took the member down. It does not serve
	// and is chosen only if every member is broken and this one least.
	StateDown
	// StateLost is only ever a view of a peer: nothing is heard from it on any interface, or never was.
	StateLost
)

// String returns the state as operators read it.
func (s State) String() string {
	switch s {
	case StateInit:
		return "INIT"
	case StateReady:
		return "READY"
	case StateStandby:
		return "STANDBY"
	case StateActive:
		return "ACTIVE"
	case StateActiveAttention:
		return "ACTIVE(!)"
	case StateDown:
		return "DOWN"
	case StateLost:
		return "LOST"
	}
	return "invalid"
}

// Serves reports whether a member in this state holds the lease.
func (s State) Serves() bool { return s == StateActive || s == StateActiveAttention }

// Recovery says whether serving moves back to a member of higher priority that recovered.
type Recovery uint8

const (
	_ Recovery = iota
	// RecoveryMaintainCurrent: the member that serves goes on serving; nothing moves back by itself.
	RecoveryMaintainCurrent
	// RecoveryHighestPriority: serving moves to the fit member of the lowest number, once that one has been
	// fit for the hold-down time.
	RecoveryHighestPriority
)

// String returns the recovery mode as it is written in cluster.yaml.
func (r Recovery) String() string {
	switch r {
	case RecoveryMaintainCurrent:
		return "maintain-current"
	case RecoveryHighestPriority:
		return "highest-priority"
	}
	return "invalid"
}
