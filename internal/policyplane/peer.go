// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/policy"
)

// PeerState is what a peer's HELLO says of its policy.
type PeerState struct {
	// Active says that the peer serves.
	Active bool
	// Generation is that of its policy in force, 0 for none; View is the rest.
	Generation uint64
	View       ccp.PolicyView
}

// InForce is the peer's policy.
func (s *PeerState) InForce(name string) policy.Offer {
	if s.Generation == 0 || s.View.Digest == ([32]byte{}) {
		return policy.Offer{}
	}
	return policy.Offer{Source: name, Generation: s.Generation, Digest: s.View.Digest}
}
