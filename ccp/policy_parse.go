// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"encoding/binary"
	"fmt"
)

// ParsePolicy reads the body of a TypePolicy (Opened.Body): the first MaxPolicyParts parts of the kinds that it knows. The bytes of a
// PolicyData point into the body. The error wraps ErrMalformed, and there are no parts then.
func ParsePolicy(body []byte) (Policy, error) {
	var p Policy
	for len(body) > 0 && body[0] != 0 && len(p) < MaxPolicyParts {
		if len(body) < SyncPartHead {
			return nil, fmt.Errorf("policy: %w: %d bytes after the last part", ErrMalformed, len(body))
		}
		kind, n := PolicyKind(body[0]), int(binary.BigEndian.Uint16(body[2:]))
		if len(body) < SyncPartHead+n {
			return nil, fmt.Errorf("policy: %w: part %d of %d bytes, %d are left", ErrMalformed, kind, n, len(body)-SyncPartHead)
		}
		part, err := parsePolicyPart(kind, body[SyncPartHead:SyncPartHead+n:SyncPartHead+n])
		if err != nil {
			return nil, fmt.Errorf("policy: %w", err)
		}
		if part != nil {
			p = append(p, part)
		}
		body = body[SyncPartHead+n:]
	}
	return p, nil
}

// leastPolicyLen is the length of each part's value as its first version had it.
var leastPolicyLen = [...]int{
	PolicyWantPart: policyWantLen, PolicyDataPart: policyDataLen, PolicyNonePart: policyNoneLen, PolicyAskedPart: policyAskedLen,
	PolicyToldPart: policyToldLen,
}

// parsePolicyPart reads a part, or returns nil for one of a version after this one.
func parsePolicyPart(kind PolicyKind, value []byte) (PolicyPart, error) {
	if int(kind) >= len(leastPolicyLen) {
		return nil, nil
	}
	if len(value) < leastPolicyLen[kind] {
		return nil, fmt.Errorf("%w: part %d has %d bytes, not %d", ErrMalformed, kind, len(value), leastPolicyLen[kind])
	}
	r := reader(value)
	switch kind {
	case PolicyWantPart:
		w := PolicyWant{Digest: [32]byte(r.take(32)), What: r.u16()}
		if len(r)%policyRangeLen != 0 || len(r) > MaxPolicyRanges*policyRangeLen {
			return nil, fmt.Errorf("%w: %d bytes of ranges", ErrMalformed, len(r))
		}
		for len(r) > 0 {
			w.Ranges = append(w.Ranges, PolicyRange{Offset: r.u32(), Length: r.u32()})
		}
		return w, nil
	case PolicyDataPart:
		d := PolicyData{Digest: [32]byte(r.take(32)), What: r.u16(), Total: r.u32(), Offset: r.u32(), Bytes: r}
		if uint64(d.Offset)+uint64(len(d.Bytes)) > uint64(d.Total) {
			return nil, fmt.Errorf("%w: bytes %d to %d of %d", ErrMalformed, d.Offset, int(d.Offset)+len(d.Bytes), d.Total)
		}
		return d, nil
	case PolicyNonePart:
		return PolicyNone{Digest: [32]byte(r.take(32))}, nil
	case PolicyAskedPart:
		return PolicyAsked{Attempt: r.policyAttempt()}, nil
	}
	t := PolicyTold{Attempt: r.policyAttempt(), Decision: PolicyDecision(r.u8())}
	r.u8()
	t.Generation, t.Digest = r.u64(), [32]byte(r.take(32))
	return t, nil
}

func (r *reader) policyAttempt() PolicyAttempt {
	return PolicyAttempt{Number: r.u64(), Generation: r.u64(), Digest: [32]byte(r.take(32))}
}

// parsePolicyView reads the value of a HELLO's TLV.
func parsePolicyView(r reader) PolicyView {
	v := PolicyView{Digest: [32]byte(r.take(32)), Attempt: r.policyAttempt(), State: PolicyState(r.u8()), Decision: PolicyDecision(r.u8())}
	r.u8()
	v.Highest = r.u64()
	return v
}
