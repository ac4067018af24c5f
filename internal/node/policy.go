// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/build"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/defines"
	"github.com/holdfast-project/holdfast/internal/manager"
	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/policy/nft"
	"github.com/holdfast-project/holdfast/policy/ruleset"
)

// policies is the node's end of the policy plane: the plane itself runs beside the loop, which tells it what it hears and reads what it
// publishes. Without a section policy there is none.
type policies struct {
	plane   *policyplane.Plane
	manager *manager.Manager // nil without a management server

	state *policyplane.Snapshot // as read last
	told  policyplane.Config    // what the plane was given last
	said  members.PolicyReady   // what the machine was told last
	desc  policyplane.Description

	frozen int64                                 // until when the plane's freeze lasts, 0: it has ordered none
	peers  [ccp.MaxMembers]policyplane.PeerState // as told to the plane
	heard  [ccp.MaxMembers]bool

	out      chan policyFrame // frames that the plane wants to send
	turn     int              // of the interfaces that they go by
	services policyServices
}

// policyFrame is the body of a POLICY frame to a peer.
type policyFrame struct {
	to   uint8
	body []byte
}

// Places below the state directory.
const (
	policyDir   = "policies"
	managerDir  = "management"
	maxOutgoing = 256 // frames: about as many as a window of a transfer
)

// openPolicy makes the plane, which says at once what the kernel has: a daemon that comes up again knows its policy before it begins.
func (n *node) openPolicy() error {
	p := n.cfg.Policy
	if p == nil {
		return nil
	}
	n.policy.out = make(chan policyFrame, maxOutgoing)
	n.policy.told = n.policyConfig()
	o := policyplane.Options{
		Cluster: n.cfg.ID, Self: n.local.Self.ID, Dir: filepath.Join(n.local.StateDir, policyDir), Send: n.policy.send,
		Log: n.log.With("task", "policy"), Clock: bpf.Boottime, Config: n.policy.told,
	}
	if len(p.Management) > 0 {
		m, err := manager.Open(manager.Options{URLs: p.Management, Dir: filepath.Join(n.local.StateDir, managerDir), Cluster: n.cfg.Name,
			Member: n.local.Self.Name, Log: n.log.With("task", "management")})
		if err != nil {
			return fmt.Errorf("the way to management: %w", err)
		}
		n.policy.manager, o.Management = m, m
	}
	plane, err := policyplane.New(o)
	if err != nil {
		return fmt.Errorf("policies: %w", err)
	}
	n.policy.plane, n.policy.state = plane, plane.Snapshot()
	return nil
}

// servePolicy runs the plane. A member whose plane has given up goes on serving with what is in force.
func (n *node) servePolicy(ctx context.Context) error {
	if err := n.policy.plane.Run(ctx); err != nil && ctx.Err() == nil {
		n.log.Error("the policy plane has ended", "error", err)
	}
	return nil
}

// serveManager runs the way to management.
func (n *node) serveManager(ctx context.Context) error {
	if err := n.policy.manager.Run(ctx); err != nil && ctx.Err() == nil {
		n.log.Error("the way to management has ended", "error", err)
	}
	return nil
}

// policyConfig is what the plane is to do by the configuration.
func (n *node) policyConfig() policyplane.Config {
	p, all := n.cfg.Policy, defines.Cluster(n.cfg)
	c := policyplane.Config{Keys: slices.Clone(p.Keys), Enforce: p.Enforce, BootFilter: defines.BootFilter(n.cfg), Definitions: all.Definitions(int(n.local.Self.ID))}
	for _, m := range n.cfg.Members {
		c.Members = append(c.Members, policyplane.Member{ID: m.ID, Name: m.Name})
	}
	for name, addresses := range defines.Links(&all.Members[n.local.Self.ID]) {
		c.Links = append(c.Links, nft.Link{Name: name, Addresses: addresses})
	}
	slices.SortFunc(c.Links, func(a, b nft.Link) int { return strings.Compare(a.Name, b.Name) })
	return c
}

// followPolicy tells the plane what has changed around it. The loop calls it with each tick.
func (n *node) followPolicy(now int64) {
	s := &n.policy
	if s.plane == nil {
		return
	}
	v := n.machine.View(now)
	for _, m := range n.local.Peers {
		silent := v.Members[m.ID].State == members.StateLost || time.Duration(now-n.wire.newest[m.ID].at) >= 10*n.cfg.Timers.Hello
		if s.heard[m.ID] && silent {
			s.heard[m.ID], s.peers[m.ID] = false, policyplane.PeerState{}
			s.plane.PeerGone(m.ID)
		}
	}
	digest := n.cfg.Digest()
	if d := (policyplane.Description{State: n.shownState(&v, v.Self), Version: build.Version, ConfigDigest: shortDigest(digest)}); d != s.desc {
		s.desc = d
		s.plane.Describe(d)
	}
}

// reloadPolicy gives the plane the new configuration.
func (n *node) reloadPolicy() {
	if n.policy.plane == nil {
		return
	}
	if c := n.policyConfig(); !reflect.DeepEqual(c, n.policy.told) {
		n.policy.told = c
		n.policy.plane.Reconfigure(c)
	}
}

// policyChanged takes what the plane has published: the machine hears of it, and the others.
func (n *node) policyChanged() {
	s := &n.policy
	if s.plane == nil {
		return
	}
	before := s.state
	s.state = s.plane.Snapshot()
	now := bpf.Boottime()
	events := n.policyFreeze(nil, now)
	if r := policyReady(s.state); r != s.said {
		s.said = r
		events = append(events, r)
	}
	if len(events) > 0 {
		n.step(events...)
	}
	if before != s.state && before.View != s.state.View {
		if err := n.wire.sendHello(now); err != nil {
			n.log.Debug("tell of policies", "error", err)
		}
	}
	n.followSync(now) // rules of synchronisation and names of tables may be others
}

// policyReady is what the machine is to know of it.
func policyReady(s *policyplane.Snapshot) members.PolicyReady {
	r := members.PolicyReady{Ready: s.Status == policyplane.StatusOK, Unknown: s.Status == policyplane.StatusInit, Reason: s.Reason}
	if g := s.InForce; r.Ready && g != nil {
		r.Reason, r.Policy = "", members.Generation{Number: g.Generation, Digest: g.Digest}
	}
	return r
}

// policyFreeze appends to batch what the plane wants of voluntary moves: none while a policy is installed. An operator's freeze that lasts
// longer stays as it is.
func (n *node) policyFreeze(batch []members.Event, now int64) []members.Event {
	s := &n.policy
	until, until0 := s.state.Frozen, s.frozen
	here := now + int64(n.machine.Hello(now).Frozen)
	const same = int64(100 * time.Millisecond)
	switch {
	case until > now && until-until0 > same:
		s.frozen = until
		if here < until-same {
			batch = append(batch, members.Admin{Kind: members.AdminFreeze, For: time.Duration(until - now).Round(100 * time.Millisecond)})
		}
	case until <= now && until0 != 0:
		s.frozen = 0
		if until0 > now && here-until0 < same && until0-here < same {
			batch = append(batch, members.Admin{Kind: members.AdminUnfreeze})
		}
	}
	return batch
}

// policyServices are the rules of synchronisation of the policy in force, in the words of the configuration.
type policyServices struct {
	of  string
	all []config.SyncService
}

// services are the rules that hold: the policy's, if it has some, else those of cluster.yaml.
func (n *node) services() []config.SyncService {
	if n.policy.state == nil || len(n.policy.state.Services) == 0 {
		return n.cfg.Sync.Services
	}
	text, rules := "", map[string]string{}
	for _, r := range n.policy.state.Services {
		text += r.String() + " "
		rules[r.Service] = r.After.String()
		if r.Never {
			rules[r.Service] = "never"
		}
	}
	if s := &n.policy.services; s.of != text {
		s.of = text
		var err error
		if s.all, err = config.SyncServices("policy", rules); err != nil { // pack and verify look at them; another version may know less
			n.log.Error("synchronisation rules of the policy; those of cluster.yaml hold", "error", err)
			s.all = n.cfg.Sync.Services
		}
	}
	return n.policy.services.all
}

// syncTables are the names in the kernel of the tables that sets are in, by the operator's names; nil without a policy in force: they are the same.
func syncTables(s *policyplane.Snapshot) map[string]string {
	if s == nil || s.InForce == nil {
		return nil
	}
	all := make(map[string]string, len(s.Tables))
	for _, t := range s.Tables {
		if _, name, ok := strings.Cut(t, " "); ok {
			all[t] = ruleset.TableName(name, s.InForce.Generation)
		}
	}
	return all
}

// errNoPolicies is what everything about policies answers without the section.
var errNoPolicies = errors.New("this cluster has no section policy in cluster.yaml")
