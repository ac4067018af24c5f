// SPDX-License-Identifier: Apache-2.0

package bpf

// Counter names something that the gate counts: what it answered, let in, or dropped and why. The numbers are those of enum
// counter in src/maps.h; a test compares the names. Append only.
type Counter uint32

// The counters. "Closed" ones mean that the group's gate was closed.
const (
	ArpAnswered      Counter = iota // ARP requests answered
	NdAnswered                      // neighbour solicitations answered
	VmacAdmitted                    // frames for a VMAC let in
	ProbeAnswered                   // probes answered
	YieldGranted                    // YIELDs granted, repeated ones included
	YieldRefused                    // YIELDs answered with any other result
	ReplyPassed                     // replies passed up to the pulse
	SealedPassed                    // sealed frames passed up to the daemon, but for those of state synchronisation
	ClosedVmac                      // dropped: frame for a VMAC, closed
	ClosedVip                       // dropped: packet to a VIP, closed
	ClosedArp                       // dropped: ARP request for a VIP, closed
	ClosedNd                        // dropped: neighbour solicitation for a VIP, closed
	ElsewhereArp                    // dropped: ARP request for a VIP of another interface or VLAN
	ElsewhereNd                     // dropped: neighbour solicitation for a VIP of another interface or VLAN
	NdMalformed                     // dropped: neighbour solicitation for a VIP against RFC 4861 or RFC 6980
	AnswerFailed                    // dropped: a frame could not be turned into its answer
	EgressTransit                   // dropped on the way out: forwarded packet, closed
	EgressVmac                      // dropped on the way out: VMAC as source, closed
	EgressVip                       // dropped on the way out: VIP as source, closed
	EgressArp                       // dropped on the way out: ARP whose sender is a VIP, closed
	EgressNa                        // dropped on the way out: neighbour advertisement for a VIP, closed
	EgressRa                        // dropped on the way out: router advertisement, closed
	FrameTruncated                  // CCP dropped: shorter than it says or than it must be
	FrameVersion                    // CCP dropped: another version
	FrameType                       // CCP dropped: type that the gate does not know
	FrameCluster                    // CCP dropped: another cluster
	FrameSource                     // CCP dropped: from ourselves or from no member
	FrameTarget                     // CCP dropped: for another member
	FrameKey                        // CCP dropped: key number without a key
	FrameTag                        // CCP dropped: forged or damaged
	FrameMalformed                  // CCP dropped: authentic, but its body makes no sense
	FrameStale                      // CCP dropped: reply to nothing we asked lately, or replayed
	FrameLimited                    // CCP dropped: not provably fresh, and too many of those from this member
	QuietRx                         // dropped: for a VIP or VMAC, on an interface that only listens
	QuietTx                         // dropped on the way out: of or for the cluster, by an interface that only listens
	SyncPassed                      // frames of state synchronisation passed up to the daemon
	SyncLimited                     // frames of state synchronisation dropped: not provably fresh, and too many of those from this member
	SteerTaken                      // load sharing: packets that this member decided about and took
	SteerForeign                    // load sharing, multicast: dropped, another member decides about the packet
	SteerPassed                     // load sharing, unicast: packets that the pivot passed on to the member that takes them
	SteerCorrected                  // load sharing, multicast: packets passed on to the member that takes their connection
	SteerPassedIn                   // load sharing: packets taken that another member passed on
	SteerDuplicate                  // load sharing, multicast: dropped, passed on by another member although this one takes them by itself
	SteerUnknown                    // load sharing: dropped, an answer to nothing that is known
	SteerBlocked                    // load sharing: dropped, would have begun a connection while those are blocked
	SteerNobody                     // load sharing: dropped, nobody takes the slot
	SteerNoMac                      // load sharing: dropped, no MAC is known of the member that should take it
	FragmentFollowed                // load sharing: later fragments that went where their first had gone
	FragmentKept                    // load sharing, multicast: later fragments that overtook their first, which everybody keeps
	FragmentFlooded                 // load sharing, unicast: later fragments that overtook their first, given to everybody
	FragmentGuessed                 // load sharing, unicast with XDP: the same, given to one member, which the first will follow
	numCounters
)

var counterNames = [numCounters]string{
	ArpAnswered: "arp-answered", NdAnswered: "nd-answered", VmacAdmitted: "vmac-admitted",
	ProbeAnswered: "probe-answered", YieldGranted: "yield-granted", YieldRefused: "yield-refused",
	ReplyPassed: "reply-passed", SealedPassed: "sealed-passed",
	ClosedVmac: "closed-vmac", ClosedVip: "closed-vip", ClosedArp: "closed-arp", ClosedNd: "closed-nd",
	ElsewhereArp: "elsewhere-arp", ElsewhereNd: "elsewhere-nd", NdMalformed: "nd-malformed", AnswerFailed: "answer-failed",
	EgressTransit: "egress-transit", EgressVmac: "egress-vmac", EgressVip: "egress-vip", EgressArp: "egress-arp",
	EgressNa: "egress-na", EgressRa: "egress-ra",
	FrameTruncated: "frame-truncated", FrameVersion: "frame-version", FrameType: "frame-type", FrameCluster: "frame-cluster",
	FrameSource: "frame-source", FrameTarget: "frame-target", FrameKey: "frame-key", FrameTag: "frame-tag",
	FrameMalformed: "frame-malformed", FrameStale: "frame-stale", FrameLimited: "frame-limited",
	QuietRx: "quiet-rx", QuietTx: "quiet-tx", SyncPassed: "sync-passed", SyncLimited: "sync-limited",
	SteerTaken: "steer-taken", SteerForeign: "steer-foreign", SteerPassed: "steer-passed", SteerCorrected: "steer-corrected",
	SteerPassedIn: "steer-passed-in", SteerDuplicate: "steer-duplicate", SteerUnknown: "steer-unknown", SteerBlocked: "steer-blocked",
	SteerNobody: "steer-nobody", SteerNoMac: "steer-no-mac",
	FragmentFollowed: "fragment-followed", FragmentKept: "fragment-kept", FragmentFlooded: "fragment-flooded",
	FragmentGuessed: "fragment-guessed",
}

// String returns the counter's name as metrics and the CLI show it.
func (c Counter) String() string {
	if c >= numCounters {
		return "unknown"
	}
	return counterNames[c]
}
