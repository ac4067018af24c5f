// SPDX-License-Identifier: Apache-2.0

package node

import (
	"reflect"
	"slices"

	"github.com/holdfast-project/holdfast/dataplane/link"
	"github.com/holdfast-project/holdfast/internal/config"
	"github.com/holdfast-project/holdfast/internal/policyplane"
	"github.com/holdfast-project/holdfast/internal/statesync"
)

// syncConfig is what the plane is to do by the configuration and the devices that there are.
func (n *node) syncConfig() statesync.Config {
	c := statesync.Config{
		Cluster: n.cfg.ID, Self: n.local.Self.ID, EtherType: n.cfg.CCP.EtherType, Members: uint8(len(n.cfg.Members)),
		Disabled: !n.cfg.Sync.Enabled, FullSyncRate: n.cfg.Sync.FullSyncRate, Buffer: n.cfg.Sync.Buffer,
		Services: syncServices(n.services()), Zones: n.cfg.Sync.Zones, Tables: syncTables(n.policy.state),
	}
	for _, s := range n.cfg.Sync.Sets {
		c.Sets = append(c.Sets, s.String())
	}
	c.Interfaces = n.planeInterfaces(nil)
	c.Own, c.Virtual, c.Networks = syncAddresses(n.cfg)
	c.Local = n.sync.local.besides(c.Own, c.Virtual)
	return c
}

// planeInterfaces appends the devices by which the plane's frames go.
func (n *node) planeInterfaces(all []statesync.Interface) []statesync.Interface {
	for _, p := range n.ports {
		if n.cfg.Sync.Enabled && p.Role.Sync() && p.Monitored && p.index != 0 {
			all = append(all, statesync.Interface{Name: p.Name, Index: p.index, MAC: p.mac, Up: p.carrier && p.fault == "", MTU: p.mtu})
		}
	}
	return all
}

// syncInputs is what syncConfig depends on beside the devices. What it points to is replaced when it changes, not changed.
type syncInputs struct {
	cfg    *config.Cluster
	policy *policyplane.Snapshot
	moved  uint64
}

func (n *node) syncInputs() syncInputs {
	return syncInputs{cfg: n.cfg, policy: n.policy.state, moved: n.sync.moved}
}

// syncConfigured returns what the plane is to do, and whether that is news. Mostly nothing it depends on has changed.
func (n *node) syncConfigured() (statesync.Config, bool) {
	s := &n.sync
	var room [config.MaxInterfaces]statesync.Interface
	by := n.syncInputs()
	if by == s.by && slices.Equal(n.planeInterfaces(room[:0]), s.told.Interfaces) {
		return s.told, false
	}
	c := n.syncConfig()
	s.by = by
	return c, !reflect.DeepEqual(c, s.told)
}

// take takes one change of the host's addresses and says whether there was one.
func (s *syncing) take(a link.AddressChanged) bool {
	if !s.local.take(a) {
		return false
	}
	s.moved++
	return true
}
