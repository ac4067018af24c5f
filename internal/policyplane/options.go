// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"crypto/ed25519"
	"log/slog"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/policy/bootfilter"
	"github.com/holdfast-project/holdfast/policy/nft"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// Options are what a plane is made from, for its whole life.
type Options struct {
	// Cluster and Self are those of CCP: the cluster's id, this member's number.
	Cluster uint16
	Self    uint8
	// Dir is where policies rest, and what must outlive a crash of an install: a directory of the plane's own, made if need be.
	Dir string
	// Namespace is a descriptor of the network namespace whose nf_tables the plane owns; 0: the process's own. Command is nft(8), "" finds it.
	Namespace int
	Command   string
	// Management is the way to the management server; nil: there is none, and policies come from peers and the disk.
	Management Management
	// Send gives the parts of a POLICY frame to the network, to one peer. It does not wait: what cannot be sent is lost. It keeps nothing of f.
	Send func(to uint8, f ccp.Policy)
	// Log gets what happens, as events do.
	Log *slog.Logger
	// Clock is CLOCK_BOOTTIME in ns; nil: the system's. Timers run by it.
	Clock func() int64
	// Times are how long to wait for what; zero ones are the defaults.
	Times Times
	Config
}

// Config is what may change while the plane runs: see Reconfigure.
type Config struct {
	// Members are all members, this one too.
	Members []Member
	// Keys are management's public keys, at least one.
	Keys []ed25519.PublicKey
	// Definitions are what rulesets may refer to on this member. When they change, the policy in force is loaded again with the new ones.
	Definitions []ruleset.Definition
	// Links are this member's devices, for a scratch namespace in which it is found out what the kernel must have.
	Links []nft.Link
	// Enforce puts back what somebody else changed in the policy in force; without it that is told only.
	Enforce bool
	// BootFilter holds while no policy is in force; nil: nothing does.
	BootFilter *bootfilter.Filter
}

// Member is one machine of the cluster.
type Member struct {
	ID   uint8
	Name string
}

// Times are how long to wait for what. Zero is the default.
type Times struct {
	PeerWait       time.Duration // for peers to be heard, at start: 2 s
	ManagementWait time.Duration // for management's answer, at start: 3 s
	Retry          time.Duration // between two tries of a source that failed: 2 s
	Doubt          time.Duration // of a prepared member that hears nothing, until it asks: 2 s
	Ask            time.Duration // between two rounds of asking: 1 s
	Freeze         time.Duration // of voluntary moves during an install: 30 s
}

func (t Times) filled() Times {
	for _, f := range []struct {
		to   *time.Duration
		want time.Duration
	}{
		{&t.PeerWait, 2 * time.Second},
		{&t.ManagementWait, 3 * time.Second},
		{&t.Retry, 2 * time.Second},
		{&t.Doubt, 2 * time.Second},
		{&t.Ask, time.Second},
		{&t.Freeze, 30 * time.Second},
	} {
		if *f.to <= 0 {
			*f.to = f.want
		}
	}
	return t
}
