// SPDX-License-Identifier: Apache-2.0

package ccp

import "fmt"

// Bounds of a POLICY body. Part of the wire format.
const (
	// MaxPolicyLen is how many bytes of parts one POLICY frame holds behind its echo list.
	MaxPolicyLen = MaxPlainLen - MaxEchoOneLen
	// PolicyDataHead is the length of a PolicyData's head, its part's included; MaxPolicyData how many bytes one has at most.
	PolicyDataHead = SyncPartHead + policyDataLen
	MaxPolicyData  = MaxPolicyLen - PolicyDataHead
	// MaxPolicyRanges is how many ranges one PolicyWant has at most.
	MaxPolicyRanges = 16
	// MaxPolicyParts is how many parts one frame has at most; what follows is not read.
	MaxPolicyParts = 32
)

// PolicyDecision is what was decided on an install. ONLY APPEND; zero is unknown: not decided, or the sender does not know.
type PolicyDecision uint8

// The decisions.
const (
	// PolicyCommit: it comes into force everywhere.
	PolicyCommit PolicyDecision = 1
	// PolicyAbort: it does nowhere.
	PolicyAbort PolicyDecision = 2
	// PolicyConfirmed: it stays.
	PolicyConfirmed PolicyDecision = 3
	// PolicyRolledBack: it was in force, and what was before it is again.
	PolicyRolledBack PolicyDecision = 4
)

// String returns the decision as operators read it.
func (d PolicyDecision) String() string {
	words := [...]string{"unknown", "commit", "abort", "confirmed", "rolled back"}
	if int(d) < len(words) {
		return words[d]
	}
	return fmt.Sprintf("decision-%d", uint8(d))
}

// PolicyState is where a member is in an install. ONLY APPEND; zero is none.
type PolicyState uint8

// The states.
const (
	PolicyLoading         PolicyState = 1
	PolicyPrepared        PolicyState = 2
	PolicyCommitting      PolicyState = 3
	PolicyStateCommitted  PolicyState = 4
	PolicyStateAborted    PolicyState = 5
	PolicyRefused         PolicyState = 6
	PolicyStateConfirmed  PolicyState = 7
	PolicyRollingBack     PolicyState = 8
	PolicyStateRolledBack PolicyState = 9
)

// String returns the state as operators read it.
func (s PolicyState) String() string {
	words := [...]string{"idle", "loading", "prepared", "committing", "committed", "aborted", "refused", "confirmed", "rolling back", "rolled back"}
	if int(s) < len(words) {
		return words[s]
	}
	return fmt.Sprintf("state-%d", uint8(s))
}

// PolicyAttempt is one install of one policy; zero is none.
type PolicyAttempt struct {
	// Number is management's; the higher is the newer.
	Number uint64
	// Generation and Digest are the policy's.
	Generation uint64
	Digest     [32]byte
}

// PolicyView is what a HELLO says of the sender's policies, beside Hello.PolicyGeneration.
type PolicyView struct {
	// Digest is that of the policy in force, zero for none.
	Digest [32]byte
	// Attempt is the newest install that the sender knows of, State where it is in that, and Decision what was decided on it, as far as
	// it knows.
	Attempt  PolicyAttempt
	State    PolicyState
	Decision PolicyDecision
	// Highest is the highest generation that the sender has on its disk.
	Highest uint64
}

// PolicyKind says what a part of a POLICY body is. ONLY APPEND: the numbers are the protocol. Zero ends the list of parts.
type PolicyKind uint8

// The kinds of parts.
const (
	PolicyWantPart  PolicyKind = 1
	PolicyDataPart  PolicyKind = 2
	PolicyNonePart  PolicyKind = 3
	PolicyAskedPart PolicyKind = 4
	PolicyToldPart  PolicyKind = 5
)

// Policy is the body of a TypePolicy: parts in their order, MaxPolicyLen bytes of them at most (Len).
type Policy []PolicyPart

// PolicyPart is a part of a POLICY body: one of PolicyWant, PolicyData, PolicyNone, PolicyAsked and PolicyTold.
type PolicyPart interface {
	kind() PolicyKind
	length() int
	appendValue(b []byte) []byte
}

// PolicyRange is a range of bytes.
type PolicyRange struct{ Offset, Length uint32 }

// PolicyWant asks the target for bytes of a policy's head or of one of its pieces.
type PolicyWant struct {
	Digest [32]byte
	// What is 0 for the head, and n for piece n-1.
	What uint16
	// Ranges are MaxPolicyRanges at most; those after them are not sent.
	Ranges []PolicyRange
}

// PolicyData is bytes of a policy's head or of one of its pieces.
type PolicyData struct {
	Digest [32]byte
	What   uint16 // as in PolicyWant
	// Total is the length of the whole head or piece.
	Total uint32
	// Offset is where Bytes begin, of which there are MaxPolicyData at most.
	Offset uint32
	Bytes  []byte
}

// PolicyNone says that the sender has no policy with this digest.
type PolicyNone struct{ Digest [32]byte }

// PolicyAsked asks what the target knows of an install.
type PolicyAsked struct{ Attempt PolicyAttempt }

// PolicyTold is what the sender knows of an install.
type PolicyTold struct {
	Attempt  PolicyAttempt
	Decision PolicyDecision
	// Generation and Digest are those of the policy in force at the sender, zero for none.
	Generation uint64
	Digest     [32]byte
}

// Lengths of the values of this version, which may grow at their end: a list's is that of the list without entries.
const (
	policyAttemptLen = 8 + 8 + 32
	policyViewLen    = 32 + policyAttemptLen + 1 + 1 + 1 + 8
	policyWantLen    = 32 + 2
	policyRangeLen   = 4 + 4
	policyDataLen    = 32 + 2 + 4 + 4
	policyNoneLen    = 32
	policyAskedLen   = policyAttemptLen
	policyToldLen    = policyAttemptLen + 1 + 1 + 8 + 32
)
