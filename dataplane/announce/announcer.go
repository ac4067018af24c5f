// SPDX-License-Identifier: Apache-2.0

package announce

import (
	"context"
	"log/slog"
)

// Announcer sends what the serving member has to say. All methods are safe for concurrent use.
type Announcer struct{ log *slog.Logger }

// New returns an Announcer that announces nothing yet. log may be nil.
func New(log *slog.Logger) *Announcer { return &Announcer{log: log} }

// Configure opens a socket per interface and builds every frame, so that Announce has only to send. It replaces the
// former configuration: what is no longer named is withdrawn, groups that serve go on with the new frames (a full round
// is sent at once for sets that changed). It must be called again when an interface's index or MAC changes. An interface
// that cannot be opened is left out and named in the error; the others work.
func (a *Announcer) Configure(sets []Set) error { return nil }

// Announce is called when group begins to serve, and again when it should repeat itself (the winner of a conflict, a
// closed gate that still sees traffic). Before it returns, the beacon has left on every interface of the group and after
// it the first frames of the first round; what is more than a few frames goes to Serve. Then the series runs: rounds
// 0.1, 1, 2, 5 and 10 s apart, and one every 60 s. It does not block on the network.
func (a *Announcer) Announce(group uint8) {}

// Withdraw stops everything for group at once, router advertisements included. No final advertisement with lifetime 0
// is sent: the virtual router goes on at another member.
func (a *Announcer) Withdraw(group uint8) {}

// Serve sends series, beacons and router advertisements until ctx ends, then withdraws all and closes the sockets.
func (a *Announcer) Serve(ctx context.Context) error { <-ctx.Done(); return nil }

// Counters returns what was sent since New, by kind, and what failed.
func (a *Announcer) Counters() Counters { return Counters{} }

// Counters counts frames by kind.
type Counters struct {
	// Beacons are frames sent for the switches' sake.
	Beacons uint64
	// ARPRequests and ARPReplies are gratuitous ARP of either form.
	ARPRequests, ARPReplies uint64
	// NeighbourAdverts are unsolicited neighbour advertisements.
	NeighbourAdverts uint64
	// RouterAdverts are router advertisements, RouterSolicits the solicitations received.
	RouterAdverts, RouterSolicits uint64
	// Failed are frames that the kernel did not take (interface down, queue full).
	Failed uint64
	// Rounds are complete rounds of the series.
	Rounds uint64
}
