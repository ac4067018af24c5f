// SPDX-License-Identifier: Apache-2.0

package xtcluster

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/lab/conntrackd"
	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// RestoreCommand loads all rules of a chain at once; it is in Debian's package iptables.
const RestoreCommand = "iptables-nft-restore"

// SyncedOptions say how the whole is configured.
type SyncedOptions struct {
	// Name is the system's name in reports.
	Name string
	// Dir is an existing directory for configurations, logs and sockets, of a short path.
	Dir string
	// Advert is keepalived's advertisement interval: a member is dead after three of them, and a part of one.
	Advert time.Duration
}

// Synced is xt_cluster on two members with conntrackd and keepalived: each knows the other's connections in its kernel, and takes the other's share when it
// is silent. Who comes back gets its share back. It is safe for concurrent use.
type Synced struct {
	lab  *topology.Lab
	dir  string
	pair *conntrackd.Cluster
}

// NewSynced makes the end stations of a topology of two members send to both of them, and writes the members' files; members are off until Boot. Close must
// be called if there is no error.
func NewSynced(lab *topology.Lab, o SyncedOptions) (*Synced, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	s := &Synced{lab: lab, dir: dir}
	s.pair, err = conntrackd.New(lab, conntrackd.Options{
		Name: o.Name, Dir: dir, Advert: o.Advert, Direct: true, Share: s.scriptFile, Prepare: s.prepare,
	})
	if err != nil {
		return nil, err
	}
	err = point(lab)
	for _, n := range lab.OfKind(topology.Member) {
		err = errors.Join(err, s.writeFiles(n.Name))
	}
	if err != nil {
		return nil, errors.Join(err, s.pair.Close())
	}
	return s, nil
}

// prepare makes a member that has just booted receive what is sent to all, and report connections from their beginning on.
func (s *Synced) prepare(m *machine.Machine) error {
	if err := m.Node().NS.Sysctl("netfilter/nf_conntrack_events", "1"); err != nil {
		return err
	}
	if err := os.Remove(s.heldFile(m.Node().Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return listen(s.lab, m.Node())
}

// Boot starts both members.
func (s *Synced) Boot(ctx context.Context) error { return s.pair.Boot(ctx) }

// readyEvery is how often a share that is waited for is looked at.
const readyEvery = 5 * time.Millisecond

// Ready returns when each member holds its own share and no other.
func (s *Synced) Ready(ctx context.Context) error {
	for _, n := range s.lab.OfKind(topology.Member) {
		if err := s.AwaitHeld(ctx, n.Name, 1<<n.Index); err != nil {
			return err
		}
	}
	return nil
}

// AwaitHeld returns when a member holds exactly these shares, a bit each.
func (s *Synced) AwaitHeld(ctx context.Context, member string, want uint) error {
	for {
		held, err := s.Held(member)
		if err != nil {
			return err
		}
		if held == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s holds the shares %#b, not %#b: %w", member, held, want, ctx.Err())
		case <-time.After(readyEvery):
		}
	}
}

// Held is which shares a member has last loaded the rules for, a bit each; 0 before it has.
func (s *Synced) Held(member string) (uint, error) {
	text, err := os.ReadFile(s.heldFile(member))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	held, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", s.heldFile(member), err)
	}
	return uint(held), nil
}

func (s *Synced) heldFile(member string) string { return filepath.Join(s.dir, member, "held") }

// Machines are the members', in order.
func (s *Synced) Machines() []*machine.Machine { return s.pair.Machines() }

// PowerOff takes a member's power away.
func (s *Synced) PowerOff(member string) error { return s.pair.PowerOff(member) }

// PowerOn boots a member that has no power.
func (s *Synced) PowerOn(ctx context.Context, member string) error {
	return s.pair.PowerOn(ctx, member)
}

// Close ends both.
func (s *Synced) Close() error { return s.pair.Close() }
