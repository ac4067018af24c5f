// SPDX-License-Identifier: Apache-2.0

package gate

import "time"

// Limits that the layout of the words and the frames fixes.
const (
	Members = 8         // members of a cluster, numbered from 0
	Groups  = 16        // VIP groups; group 0 is the gateway itself
	Slots   = 64        // interfaces of a cluster, numbered from 0
	MaxTerm = 1<<24 - 1 // the highest term that a lease can hold
	Nobody  = 0xff      // the grantee of a fence that was raised for no one
)

// Bits says in one byte how a member stands to a group: what its gate lets through and why. The numbers are those of the frame.
type Bits uint8

// The bits. Answer and Forward are decisions; the others explain them to whoever reads a reply.
const (
	Answer     Bits = 1 << iota // ARP and ND answered, packets to VIPs delivered: at most one member of a cluster
	Forward                     // frames for the VMAC and transit let through; in load sharing by everybody with an open share
	Alone                       // serving was claimed while no other member could be heard
	HearsYou                    // in a probe: its sender got a reply from the receiver within the dead interval
	Restarting                  // the daemon announced that it is restarting
	Watched                     // a probe said not long ago that its sender hears this gate
)

// Has reports whether all of want are set.
func (b Bits) Has(want Bits) bool { return b&want == want }

// Words is everything the gate's decisions depend on. The zero value is a gate that never serves. It is not safe for concurrent
// use; the live words, shared with the kernel, are bpf.Words, and Words is a copy of them.
type Words struct {
	Incarnation uint64        // chosen at random when the gate was loaded; survives daemon restarts
	Self        uint8         // this member's number
	Members     uint8         // how many members the cluster has
	Cluster     uint16        // cluster id
	GroupsInUse uint32        // bit g is set if group g has VIPs; bit 0 always
	Soft        time.Duration // a lease of this age no longer serves unless watched or alone
	Hard        time.Duration // a lease of this age never serves
	Watch       time.Duration // how long the stamp of a probe that hears us counts, from when this gate made the stamp
	Linger      time.Duration // how long Forward outlives a courteous or graceful hand-over, in load sharing any
	Sharing     bool          // load sharing: Forward of group 0 is the share's business, not the lease's

	Watched     int64          // the newest own stamp that a probe with HearsYou echoed; 0 none
	Probed      int64          // when the last authentic probe arrived; 0 never
	Single      int64          // since when no other member answers; 0 one does, or it is not known
	Restarting  int64          // until when the daemon is announced as restarting
	Share       Lease          // this member's right to carry a share of the gateway's traffic, packed as a lease; term 0 none
	ShareLinger int64          // Forward of group 0 stays open until then, whatever the share says
	Heard       [Members]int64 // when a probe of each member that echoed a newer stamp than before last arrived
	Echo        [Members]int64 // the newest own stamp that each member echoed
	Group       [Groups]Group
	Quiet       [Slots]int64 // until when the gate only listens on the interface of a slot; 0 not
}

// Group is the part of the words that each VIP group has of its own.
type Group struct {
	Lease    Lease
	Fence    Fence
	Linger   int64  // Forward stays open until then, whatever the lease says
	Alone    int64  // when serving was marked as alone; 0 not
	ClosedRx uint64 // frames for a VIP or VMAC of the group that met a closed gate
	ClosedTx uint64 // frames of this host that a closed gate stopped on their way out
}

// Closed returns how many frames for VIPs or VMACs met a closed gate in all groups, modulo 2^32, as replies carry it.
func (w *Words) Closed() uint32 {
	var sum uint64
	for i := range w.Group {
		sum += w.Group[i].ClosedRx
	}
	return uint32(sum)
}
