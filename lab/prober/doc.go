// SPDX-License-Identifier: Apache-2.0

// Package prober finds out who serves: which member answers ARP and neighbour solicitations for each virtual address, and which
// member forwarded each numbered packet.
//
// All members speak with the same virtual MAC, so a frame does not say who sent it. The switch's port does: taps at the
// switch's end of every member's cable see what that member really sent, also when a frame never reaches the one who asked.
//
// A round of probes goes out every Config.Every: one frame per address, in turn broadcast (multicast for IPv6) and unicast to
// every MAC that answered within the last second. Each probe has a number, carried by the sender's hardware address (one of 64
// MACs of the prober's own), which the answer repeats; so a late answer is not mistaken for a second one.
//
// An address is contested when
//
//   - one probe is answered by two members within 1 ms of each other (Contested), or
//   - a member answers a probe sent between two that another member answered, all within three rounds (Interleaved): the only
//     trace that two answerers leave when each hears its own unicast only. Answers to one probe that are further apart count
//     here, as if two probes had been sent: the later member may have met an old probe in its queue after a rightful hand-over.
//
// An episode begins when the first contested probe is sent and ends with the last contested answer; episodes less than three
// rounds apart are one. It counts at least one round, since nothing finer was asked. dual_ms is the sum of the episodes.
//
// It imports lab/tap and lab/traffic (for the packet's format) and knows neither topologies nor members' software.
package prober
