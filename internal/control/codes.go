// SPDX-License-Identifier: Apache-2.0

package control

// Codes of events. They are part of the product: new ones may be added, old ones keep their meaning.
const (
	CodeStateChange    = "state-change"    // Member went From -> To for Reason
	CodeFailover       = "failover"        // the gateway moved From -> To
	CodePeerLost       = "peer-lost"       // Member fell silent on all interfaces
	CodePeerHeard      = "peer-heard"      // Member answers again
	CodeInterfaceDown  = "interface-down"  // Interface of Member is not well, for Reason
	CodeInterfaceUp    = "interface-up"    // it is again
	CodeDevice         = "device"          // critical Device went From -> To for Reason
	CodeConflict       = "conflict"        // Member serves too
	CodeForcedEnd      = "forced-end"      // a forced hand-over has ended, for Reason
	CodeFlapping       = "flapping"        // the budget of moves is used up, or has room again
	CodeStranger       = "stranger"        // somebody unknown answers for a virtual address
	CodeConfig         = "config"          // a reload was applied or refused
	CodeConfigMismatch = "config-mismatch" // Member has another configuration
	CodeKey            = "key"             // a cluster key was introduced, agreed on, dropped
	CodePulse          = "pulse"           // the pulse process died or was late
	CodeGate           = "gate"            // the gate was attached, adopted, upgraded, lost
	CodeDaemon         = "daemon"          // the daemon started, restarts, stops
	CodeWarning        = "warning"         // a thin margin, something that cannot be done here
	CodeOverrun        = "overrun"         // the reader missed Lost events
)
