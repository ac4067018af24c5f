// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/ed25519"
	"net/netip"
	"slices"
	"strings"

	"github.com/holdfast-project/holdfast/policy"
)

// Policy says that the members' rulesets come as signed policies, and from whom.
type Policy struct {
	KeysFile string              // management's public keys; absolute path, or relative to the directory of cluster.yaml (Load makes it absolute)
	Keys     []ed25519.PublicKey // Load reads them; Parse does not
	// Management are the URLs of the management servers, in the order in which they are tried; none: policies come by hand and from other
	// members. Member-local.
	Management []string
	Enforce    bool // what somebody else changes in the ruleset in force is put back
	// SSHFrom are networks from which SSH is possible while no policy is in force. Member-local.
	SSHFrom []netip.Prefix
}

// Defaults and bounds of the section.
const (
	defaultPolicyKeys = "policy.pub"
	maxManagement     = 8
	maxSSHFrom        = 64
	maxPolicyKeyFile  = 64 << 10
)

// sharedPolicy is what must be the same on all members: two with different keys do not believe the same policies.
type sharedPolicy struct {
	Keys    []string
	Enforce bool
}

func (p *Policy) shared() *sharedPolicy {
	if p == nil {
		return nil
	}
	return &sharedPolicy{p.Fingerprints(), p.Enforce}
}

// Fingerprints are those of the trusted keys, sorted; none before Load has read them.
func (p *Policy) Fingerprints() []string {
	all := make([]string, len(p.Keys))
	for i, k := range p.Keys {
		all[i] = policy.Fingerprint(k)
	}
	slices.Sort(all)
	return all
}

const whyPolicy = "whether a member serves without a policy is decided at its start; install the file everywhere, then restart one member after the " +
	"other: holdfast restart (the gate goes on serving)"

// policy compares the sections.
func (d *differ) policy(a, b *Policy) {
	if a == nil || b == nil {
		word := map[bool]string{true: "none", false: "there"}
		d.refuse("policy", word[a == nil], word[b == nil], whyPolicy)
		return
	}
	d.live("policy.keys", a.keysText(), b.keysText())
	d.refuse("policy.management", strings.Join(a.Management, ", "), strings.Join(b.Management, ", "), whyLocal)
	d.live("policy.enforce", a.Enforce, b.Enforce)
	d.live("policy.ssh-from", prefixes(a.SSHFrom), prefixes(b.SSHFrom))
}

// keysText shows the keys, or before they are read the file.
func (p *Policy) keysText() string {
	if len(p.Keys) == 0 {
		return p.KeysFile
	}
	return strings.Join(p.Fingerprints(), ", ")
}
