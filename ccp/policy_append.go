// SPDX-License-Identifier: Apache-2.0

package ccp

import "encoding/binary"

// Append appends the body of the POLICY to b, which holds the echo list by then. That it fits into a frame is the caller's care: see Len.
// It allocates nothing if b has room.
func (p Policy) Append(b []byte) []byte {
	for _, part := range p {
		b = append(b, byte(part.kind()), 0, 0, 0)
		at := len(b)
		b = endTLV(part.appendValue(b), at)
	}
	return b
}

// Len is how many bytes Append appends.
func (p Policy) Len() (n int) {
	for _, part := range p {
		n += SyncPartHead + part.length()
	}
	return n
}

func (w PolicyWant) kind() PolicyKind  { return PolicyWantPart }
func (d PolicyData) kind() PolicyKind  { return PolicyDataPart }
func (n PolicyNone) kind() PolicyKind  { return PolicyNonePart }
func (a PolicyAsked) kind() PolicyKind { return PolicyAskedPart }
func (t PolicyTold) kind() PolicyKind  { return PolicyToldPart }

func (w PolicyWant) length() int {
	return policyWantLen + min(len(w.Ranges), MaxPolicyRanges)*policyRangeLen
}
func (d PolicyData) length() int { return policyDataLen + len(d.Bytes) }
func (PolicyNone) length() int   { return policyNoneLen }
func (PolicyAsked) length() int  { return policyAskedLen }
func (PolicyTold) length() int   { return policyToldLen }

func (w PolicyWant) appendValue(b []byte) []byte {
	b = append(b, w.Digest[:]...)
	b = binary.BigEndian.AppendUint16(b, w.What)
	for _, r := range w.Ranges[:min(len(w.Ranges), MaxPolicyRanges)] {
		b = binary.BigEndian.AppendUint32(b, r.Offset)
		b = binary.BigEndian.AppendUint32(b, r.Length)
	}
	return b
}

func (d PolicyData) appendValue(b []byte) []byte {
	b = append(b, d.Digest[:]...)
	b = binary.BigEndian.AppendUint16(b, d.What)
	b = binary.BigEndian.AppendUint32(b, d.Total)
	b = binary.BigEndian.AppendUint32(b, d.Offset)
	return append(b, d.Bytes...)
}

func (n PolicyNone) appendValue(b []byte) []byte  { return append(b, n.Digest[:]...) }
func (a PolicyAsked) appendValue(b []byte) []byte { return a.Attempt.append(b) }

func (t PolicyTold) appendValue(b []byte) []byte {
	b = append(t.Attempt.append(b), byte(t.Decision), 0)
	b = binary.BigEndian.AppendUint64(b, t.Generation)
	return append(b, t.Digest[:]...)
}

func (a PolicyAttempt) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, a.Number)
	b = binary.BigEndian.AppendUint64(b, a.Generation)
	return append(b, a.Digest[:]...)
}

// append appends the value of a HELLO's TLV.
func (v *PolicyView) append(b []byte) []byte {
	b = v.Attempt.append(append(b, v.Digest[:]...))
	b = append(b, byte(v.State), byte(v.Decision), 0)
	return binary.BigEndian.AppendUint64(b, v.Highest)
}
