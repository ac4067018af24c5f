// SPDX-License-Identifier: Apache-2.0

package members

// Severity is how bad an event is. The zero value is invalid; a greater one is worse.
type Severity uint8

const (
	_ Severity = iota
	// SeverityInfo: something changed as it should.
	SeverityInfo
	// SeverityWarning: something is not as it should be, and the cluster copes.
	SeverityWarning
	// SeverityError: the cluster serves worse than it should, or might not the next time.
	SeverityError
)

// String returns the word that events, logs and the configuration use.
func (s Severity) String() string {
	switch s {
	case SeverityInfo:
		return "info"
	case SeverityWarning:
		return "warning"
	case SeverityError:
		return "error"
	}
	return "none"
}

// Severity returns how bad events of this code are. It belongs to the code: docs/EVENTS.md lists it, and filters rely on it.
func (c Code) Severity() Severity {
	switch c {
	case CodeConflict, CodeIsolated, CodeGateRemoved, CodeVIPStranger, CodeVIPAnswered, CodeAttention, CodeLeaseLost, CodeSlotsUnassigned,
		CodePolicyRolledBack, CodePolicyForged, CodePolicyConflict, CodePolicyDiskFull, CodePolicyMissing, CodePolicyFailed:
		return SeverityError
	case CodePeerLost, CodeDown, CodeDeviceProblem, CodeLinkDown, CodePeerInterface, CodeUndecided, CodeDamped, CodeClaimRefused,
		CodeMarginThin, CodeSinkFailed, CodeHistoryFailed, CodeOverrun, CodeCommandFailed,
		CodeSyncAtRisk, CodeSyncOff, CodeSyncEventsLost, CodeSyncEvicted,
		CodeShareLost, CodeMemberExcluded, CodeNewBlocked, CodeDefinesFailed,
		CodePolicyRefused, CodePolicyAborted, CodePolicyInDoubt, CodePolicyDrift, CodePolicyDamaged, CodePolicyUnloaded:
		return SeverityWarning
	}
	return SeverityInfo
}
