// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"net/netip"
	"slices"
)

// Digest is SHA-256 over the canonical cluster-wide part: what must be the same on all members. Member-local keys (notify, metrics, control,
// sync.buffer, policy.management, policy.ssh-from, state-dir, pin-dir, log-level, key-file), descriptions, comments, and the order of addresses within a list do not enter it; a
// default that is written out gives the same digest as one that is left out. What a later version adds must be left out of the digest
// while it is at its default (omitzero), or members of two versions never agree and no upgrade can go member by member.
func (c *Cluster) Digest() [32]byte {
	type member struct {
		Name       string
		Interfaces map[string]MemberInterface
	}
	canonical := struct {
		ID         uint16
		Name       string
		Mode       Mode
		Recovery   Recovery
		Timers     Timers
		Flap       Flap
		Devices    Devices `json:",omitzero"`
		Attach     Attach
		CCP        CCP
		Members    []member
		Interfaces []Interface
		Trunks     []Trunk   `json:",omitzero"`
		Groups     []Group   `json:",omitzero"`
		Monitors   []Monitor `json:",omitzero"`
		Routing    *Routing  `json:",omitzero"`
		Sync       *Sync     `json:",omitzero"`

		LoadSharing *LoadSharing  `json:",omitzero"`
		Policy      *sharedPolicy `json:",omitzero"`
		OwnTraffic  OwnTraffic    `json:",omitzero"`
	}{c.ID, c.Name, c.Mode, c.Recovery, c.Timers, c.Flap, c.Devices, c.Attach, c.CCP, nil, slices.Clone(c.Interfaces), c.Trunks, c.Groups, c.Monitors, c.Routing.used(), c.Sync.shared(len(c.SyncInterfaces()) > 0), c.LoadSharing, c.Policy.shared(), c.OwnTraffic.used()}
	for _, m := range c.Members {
		canonical.Members = append(canonical.Members, member{m.Name, m.Interfaces})
	}
	for k := range canonical.Interfaces {
		i := &canonical.Interfaces[k]
		i.Description = ""
		i.VIPs = sortedVIPs(i.VIPs)
		i.ProxyARP = slices.SortedFunc(slices.Values(i.ProxyARP), netip.Addr.Compare)
		i.Neighbours = slices.SortedFunc(slices.Values(i.Neighbours), netip.Addr.Compare)
	}
	text, err := json.Marshal(canonical) // sorts the keys of maps; nothing in it can fail to marshal
	if err != nil {
		panic("config: " + err.Error())
	}
	return sha256.Sum256(text)
}

// used is what enters the digest: nothing while it is the default.
func (o OwnTraffic) used() OwnTraffic {
	if o == OwnStays {
		return ""
	}
	return o
}

// sortedVIPs is for comparing sets of virtual addresses.
func sortedVIPs(v []VIP) []VIP {
	return slices.SortedFunc(slices.Values(v), func(a, b VIP) int {
		return cmp.Or(a.Addr.Compare(b.Addr), cmp.Compare(a.Prefix.String(), b.Prefix.String()))
	})
}
