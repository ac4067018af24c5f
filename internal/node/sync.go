// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/dataplane/conntrack"
	"github.com/holdfast-project/holdfast/dataplane/link"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/statesync"
	"github.com/holdfast-project/holdfast/members"
)

// Bounds of what a hand-over waits for.
const (
	// applyWithin is how long the gate stays closed at most for records that have come in to get into the kernel's table. A full queue may
	// take longer than that: then the rest comes behind.
	applyWithin = 50 * time.Millisecond
	// flushWithin is how long a member that takes over by order waits at most for the others to have all records (members.Flush).
	flushWithin = 50 * time.Millisecond
)

// syncing is the node's end of the sync plane: the plane itself runs beside the loop, which tells it roles and peers and reads its states.
type syncing struct {
	plane *statesync.Plane
	state statesync.State  // as read last
	told  statesync.Config // what the plane was given last
	by    syncInputs       // what that was made from, but for the devices
	peers []statesync.Peer // likewise
	owner uint32           // term under which the plane was told that this member is the owner, 0: it is not
	said  members.SyncReady
	local localAddresses
	moved uint64 // counts changes of local

	agreed int64 // since when a copy, this member's or another's, has had all of the owner's connections, 0: none has
	strict bool  // one has for long enough: what no member knows is not picked up in the middle any more

	flushed chan uint32 // questions that have been answered

	opening <-chan struct{} // closed once the table has all that came in: the lease waits for it; nil if none does
	openBy  int64           // until when at the latest

	noted   int    // translated connections that the gate has a note of
	unnoted string // why the newest is not, empty if it is

	meters meters
	news   syncNews
}

// openSync makes the sync plane. Its sockets are opened by its task.
func (n *node) openSync() error {
	n.sync.local.list()
	n.sync.strict = strictBefore()
	c := n.syncConfig()
	held, use := n.wire.ring.Held(), n.wire.ring.Use()
	c.Keys, c.UseKey = slices.Clone(held), use.Number
	plane, err := statesync.New(c, n.log)
	if err != nil {
		return fmt.Errorf("state synchronisation: %w", err)
	}
	c.Keys, c.UseKey = nil, 0 // they go their own way
	n.sync.by = n.syncInputs()
	n.sync.plane, n.sync.told, n.sync.flushed = plane, c, make(chan uint32, 1)
	n.sync.state = plane.State()
	return nil
}

// serveSync runs the plane. A member whose plane has given up goes on serving, and says that a hand-over would break connections.
func (n *node) serveSync(ctx context.Context) error {
	if err := n.sync.plane.Serve(ctx); err != nil && ctx.Err() == nil {
		n.log.Error("state synchronisation has ended", "error", err)
	}
	return nil
}

// syncServices translates the rules of the configuration.
func syncServices(rules []config.SyncService) []statesync.Service {
	var all []statesync.Service
	for _, r := range rules {
		s := statesync.Service{Name: r.String(), Protocol: r.Protocol, From: r.First, To: r.Last, Never: r.Never, After: r.After}
		if r.First == 0 {
			s.To = 65535 // all, and what has no ports counts as 0
		}
		all = append(all, s)
	}
	return all
}

// followSync tells the plane what has changed around it, and the machine what has changed in it. It costs little: the loop calls it with
// each tick and with each HELLO that says something new of state synchronisation.
func (n *node) followSync(now int64) {
	s := &n.sync
	if c, news := n.syncConfigured(); news {
		s.told = c
		held, use := n.wire.ring.Held(), n.wire.ring.Use()
		c.Keys, c.UseKey = slices.Clone(held), use.Number
		if err := s.plane.Reconfigure(c); err != nil {
			n.log.Error("reconfigure state synchronisation", "error", err)
		}
	}
	if p := n.syncPeers(now); !slices.Equal(p, s.peers) {
		s.peers = p
		s.plane.SetPeers(p)
	}
	var echoes [ccp.MaxMembers]statesync.Echo
	for id, e := range n.wire.gates {
		echoes[id] = statesync.Echo{Incarnation: e.incarnation, Stamp: e.stamp}
	}
	s.plane.SetEchoes(echoes)
	switch {
	case !n.cfg.Sync.Enabled:
		s.agreed, s.strict = 0, false
	case !s.strict && s.agree(now, synchronises(s.plane.State())):
		n.log.Info("connections are synchronised: TCP connections that no member knows are not picked up in the middle from now on")
		_ = n.applyHost() // the worker's errors come as results
	}
}

// agreeFor is how long a copy must have been current. One that has not heard of the owner yet counts as current, for a moment.
const agreeFor = 2 * time.Second

// agree takes note of whether a copy is current, and says whether it has just been so for long enough.
func (s *syncing) agree(now int64, current bool) bool {
	switch {
	case !current:
		s.agreed = 0
	case s.agreed == 0:
		s.agreed = now
	default:
		s.strict = now-s.agreed >= int64(agreeFor)
	}
	return s.strict
}

// synchronises says whether there is a copy that has all: this member's own of an owner's table, or another's of this member's.
func synchronises(s statesync.State) bool {
	for _, p := range s.Peers {
		switch {
		case !p.Bound:
		case s.Sharing: // everybody owns a part and has a copy of the others'
			if s.Current && p.Current && !p.Evicted && p.Role != statesync.RoleOff {
				return true
			}
		case s.Role == statesync.RoleCopy && s.Current && p.ID == s.Owner && p.Role == statesync.RoleOwner,
			s.Role == statesync.RoleOwner && p.Current && p.Role == statesync.RoleCopy && !p.Evicted:
			return true
		}
	}
	return false
}

// strictBefore says whether a connection in the middle is not picked up already: a daemon before this one had it so, and what it knew is
// in the kernel's table; or the host has. After a reboot it is not.
func strictBefore() bool {
	for _, s := range conntrack.Sysctls(false) {
		if !strings.HasSuffix(s.Path, "tcp_loose") {
			continue
		}
		b, err := os.ReadFile("/proc/sys/net/" + s.Path)
		return err == nil && strings.TrimSpace(string(b)) == s.Value
	}
	return false
}

// syncPeers is what the HELLOs say of the others. One that is not heard any more has no plane.
func (n *node) syncPeers(now int64) []statesync.Peer {
	v := n.machine.View(now)
	peers := make([]statesync.Peer, 0, len(n.local.Peers))
	for _, m := range n.local.Peers {
		p := statesync.Peer{ID: m.ID}
		told, state := n.wire.told[m.ID], v.Members[m.ID].State
		if told != nil && state != members.StateLost && time.Duration(now-n.wire.newest[m.ID].at) < 10*n.cfg.Timers.Hello {
			p.Incarnation, p.Role, p.Current = told.Sync.Incarnation, syncRole(told.Sync.Role), told.Sync.Current
			p.Term = told.Term
		}
		peers = append(peers, p)
	}
	return peers
}

func syncRole(r ccp.SyncRole) statesync.Role {
	switch r {
	case ccp.SyncOwner:
		return statesync.RoleOwner
	case ccp.SyncCopy:
		return statesync.RoleCopy
	default:
		return statesync.RoleOff
	}
}

// syncChanged takes a new state of the plane.
func (n *node) syncChanged() {
	before := n.sync.state
	n.sync.state = n.syncState()
	now := bpf.Boottime()
	events := n.syncReady(nil)
	s := n.sync.state
	if before.Incarnation != s.Incarnation || before.Role != s.Role || before.Current != s.Current || (before.Status == statesync.StatusAtRisk) != (s.Status == statesync.StatusAtRisk) {
		if err := n.wire.sendHello(now); err != nil { // what the others' tables are to be is their business too
			n.log.Debug("tell of state synchronisation", "error", err)
		}
	}
	if len(events) > 0 {
		n.step(events...)
	}
	if before.Status == statesync.StatusOff && s.Status != statesync.StatusOff {
		_ = n.applyHost() // connection tracking is loaded now, and has settings
	}
}

// syncReady appends to batch what the machine is to know of this member's table, if that is news.
func (n *node) syncReady(batch []members.Event) []members.Event {
	r, known := readiness(n.sync.state, n.ownerTold(), n.name)
	if !known || r == n.sync.said {
		return batch
	}
	n.sync.said = r
	return append(batch, r)
}

// ownerTold is what the member that serves says of its state synchronisation, nil if that is not known, or it is this one.
func (n *node) ownerTold() *ccp.SyncView {
	active := n.machine.View(bpf.Boottime()).Active
	if int(active) >= len(n.wire.told) || n.wire.told[active] == nil {
		return nil
	}
	return &n.wire.told[active].Sync
}

// readiness says whether this member has the connections of the one that serves. It is not known while the plane knows of no owner: then
// what was said last stays, since an owner that has just died had connections that a member lacks which had not received them all. A
// server that does not synchronise has nothing to wait for, and a plane that does not run nothing to wait with.
func readiness(s statesync.State, owner *ccp.SyncView, name func(uint8) string) (r members.SyncReady, known bool) {
	none := owner != nil && (owner.Incarnation == 0 || owner.Role == ccp.SyncOff)
	switch {
	case s.Incarnation == 0, none:
		return members.SyncReady{Ready: true}, true
	case s.Current && s.Owner == ccp.Nobody:
		return r, false
	case s.Current:
		return members.SyncReady{Ready: true}, true
	}
	return members.SyncReady{Reason: progressText(s.FullSync, name)}, true
}

// unanswered is how long a full sync asks before something is in the way of the answer.
const unanswered = 3 * time.Second

// progressText says in words how far the full sync is, in steps that are worth telling.
func progressText(p statesync.Progress, name func(uint8) string) string {
	from := ""
	if p.Peer != ccp.Nobody && name(p.Peer) != "" {
		from = " from " + name(p.Peer)
	}
	switch {
	case !p.Running:
		return "waits for a full sync" + from
	case p.Stage == "asking" && (p.Took >= unanswered || p.Tries > 2):
		// Small frames go both ways, or there would be nobody to ask.
		return "full sync" + from + ": no answer comes through; compare the MTU of the sync interfaces of both members and of what is between them"
	case p.Total < 1000 || p.Done == 0:
		return "full sync" + from + " is running"
	}
	return fmt.Sprintf("full sync%s: %d %% of about %s connections", from, min(p.Done*10/p.Total*10, 100), rounded(p.Total))
}

// rounded writes a number with two significant digits: a text that changes with each packet is news with each packet.
func rounded(v uint64) string {
	unit := uint64(1)
	for v/unit >= 100 {
		unit *= 10
	}
	return fmt.Sprint(v / unit * unit)
}

// syncView is what HELLOs say of the plane.
func (n *node) syncView() ccp.SyncView {
	s := &n.sync.state
	v := ccp.SyncView{Incarnation: s.Incarnation, Role: ccp.SyncOff, Current: s.Current, AtRisk: s.Status == statesync.StatusAtRisk,
		Entries: uint32(min(s.Entries, 1<<32-1)), Digest: s.Digest, Sequence: s.Delta}
	switch s.Role {
	case statesync.RoleOwner:
		v.Role = ccp.SyncOwner
	case statesync.RoleCopy:
		v.Role = ccp.SyncCopy
	}
	for _, p := range s.Peers {
		v.LagRecords, v.LagMs = max(v.LagRecords, uint32(min(p.Unacked, 1<<32-1))), max(v.LagMs, millis(p.Lag))
	}
	return v
}

// syncState is the plane's state, with the members' names in its reason.
func (n *node) syncState() statesync.State {
	s := n.sync.plane.State()
	s.Reason = withNames(s.Reason, n.names())
	return untracked(s, n.tracking.is.lost)
}

// withNames puts names in the place of members' numbers, which are all that the plane knows.
func withNames(text string, names []string) string {
	for id, name := range names {
		text = strings.ReplaceAll(text, fmt.Sprintf("member %d", id), name)
	}
	return text
}

// trackingSettings are those of connection tracking that synchronisation needs. Only where there has been a copy of the owner's table is it
// right to refuse TCP connections that are not known (strict): before, on a member that took over from an older build, say, those are all.
func trackingSettings(s config.Sync, strict bool) []link.Sysctl {
	if !s.Enabled {
		return nil
	}
	var all []link.Sysctl
	missing := func(s link.Sysctl) bool {
		_, err := os.Stat("/proc/sys/net/" + s.Path)
		return err != nil
	}
	for _, s := range conntrack.Sysctls(s.TCPLoose || !strict) {
		all = append(all, link.Sysctl{Path: s.Path, Value: s.Value})
	}
	if slices.ContainsFunc(all, missing) {
		_ = conntrack.Load() // the plane, which needs it as well, says what is wrong
	}
	return slices.DeleteFunc(all, missing)
}
