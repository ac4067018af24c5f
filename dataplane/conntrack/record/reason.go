// SPDX-License-Identifier: Apache-2.0

package record

import (
	"errors"
	"fmt"
)

// Reason says what is wrong with a record, or with a message of the kernel. It is a label of metrics: ONLY APPEND.
type Reason uint8

// The reasons.
const (
	// ReasonNone: nothing is wrong.
	ReasonNone Reason = iota
	// ReasonTable: a table that is not checked here, or a message of the kernel that is about neither connections nor expectations.
	ReasonTable
	// ReasonOp: an op that does not exist.
	ReasonOp
	// ReasonFamily: neither IPv4 nor IPv6.
	ReasonFamily
	// ReasonLength: longer than MaxLen, or shorter than its header.
	ReasonLength
	// ReasonStructure: an attribute that runs over the end of what holds it.
	ReasonStructure
	// ReasonUnknown: an attribute that no such record has.
	ReasonUnknown
	// ReasonDuplicate: the same attribute twice.
	ReasonDuplicate
	// ReasonMissing: without an attribute that every such record has.
	ReasonMissing
	// ReasonSize: a value of the wrong length.
	ReasonSize
	// ReasonNesting: an attribute flagged as holding others that holds none, or in the network's byte order.
	ReasonNesting
	// ReasonAddress: an address that no copied connection has: loopback, multicast, broadcast or unspecified.
	ReasonAddress
	// ReasonProtocol: a protocol that differs between tuples, or ports where the protocol has none.
	ReasonProtocol
	// ReasonReply: a reply tuple that does not answer the original one.
	ReasonReply
	// ReasonZone: a zone that is not copied here, or one said in two ways.
	ReasonZone
	// ReasonStatus: a status with bits that cannot be set.
	ReasonStatus
	// ReasonTimeout: a time-out of zero or beyond the bound.
	ReasonTimeout
	// ReasonState: a state that the protocol has not, or TCP without liberal flags.
	ReasonState
	// ReasonHelper: a helper's or a function's name that cannot be one.
	ReasonHelper
	// ReasonNAT: a translation to nothing, or of something that the protocol has not.
	ReasonNAT
	// ReasonExpectation: flags, class, direction or mask that no expectation has.
	ReasonExpectation

	// Reasons is how many reasons there are: the length of an array of counters.
	Reasons = int(iota)
)

var reasons = [Reasons]string{
	"none", "table", "op", "family", "length", "structure", "unknown", "duplicate", "missing", "size", "nesting", "address", "protocol",
	"reply", "zone", "status", "timeout", "state", "helper", "nat", "expectation",
}

// String returns the reason as metrics label it.
func (r Reason) String() string {
	if int(r) < Reasons {
		return reasons[r]
	}
	return fmt.Sprintf("reason-%d", uint8(r))
}

// Refusal is the error of everything in this package that reads attributes. It wraps ErrRecord.
type Refusal struct {
	// Reason is what is wrong.
	Reason Reason
	// Attribute is the type of the outermost attribute in which it is wrong; 0: in none.
	Attribute uint16
}

// Error says it in a line.
func (r Refusal) Error() string {
	if r.Attribute == 0 {
		return fmt.Sprintf("record: refused (%s)", r.Reason)
	}
	return fmt.Sprintf("record: refused (%s) because of attribute %d", r.Reason, r.Attribute)
}

// Unwrap returns ErrRecord.
func (r Refusal) Unwrap() error { return ErrRecord }

// ReasonOf returns why err was returned: ReasonNone for nil, ReasonStructure for what is not of this package or Parse's.
func ReasonOf(err error) Reason {
	if err == nil {
		return ReasonNone
	}
	if r, ok := errors.AsType[Refusal](err); ok {
		return r.Reason
	}
	return ReasonStructure
}

// refuse makes a Refusal, or nil for ReasonNone.
func refuse(r Reason, attribute uint16) error {
	if r == ReasonNone {
		return nil
	}
	return Refusal{Reason: r, Attribute: attribute}
}
