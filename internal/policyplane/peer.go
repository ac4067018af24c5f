// SPDX-License-Identifier: Apache-2.0

package policyplane

import (
	"github.com/holdfast-project/holdfast/policy"
	"github.com/holdfast-project/holdfast/policy/install"
)

// PeerState is what a peer's HELLO says of its policy.
type PeerState struct {
	// Active says that the peer serves.
	Active bool
	// InForce is its policy; None: it has none.
	InForce policy.Offer
	// Highest is the highest generation that it ever saw.
	Highest uint64
	// Attempt is the newest install that it knows, 0 none; State is where it is in it.
	Attempt uint64
	State   install.State
	// Confirmed says that the attempt's policy stays, RolledBack that the peer went back.
	Confirmed, RolledBack bool
}
