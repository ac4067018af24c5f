// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"encoding/binary"
	"fmt"
)

// echo tells a member which of its incarnations the sender has heard, and up to which sequence.
type echo struct {
	member      uint8
	incarnation uint64
	sequence    uint64
}

// Wire lengths of the echo list that every sealed plaintext begins with: a count, then the entries.
const (
	echoLen  = 1 + 8 + 8
	maxEchos = (MaxMembers - 1) * (1 + candidates)
	// MaxEchoListLen is the longest echo list: what AppendEcho adds at most.
	MaxEchoListLen = 1 + maxEchos*echoLen
)

func appendEchoEntry(b []byte, e echo) []byte {
	b = append(b, e.member)
	b = binary.BigEndian.AppendUint64(b, e.incarnation)
	return binary.BigEndian.AppendUint64(b, e.sequence)
}

// splitEchos checks the echo list at the start of plaintext and returns its entries' bytes and what follows the list. An older
// reader takes more entries than it would write itself.
func splitEchos(plaintext []byte) (entries, body []byte, err error) {
	if len(plaintext) == 0 {
		return nil, nil, fmt.Errorf("%w: no echo list", ErrMalformed)
	}
	n := int(plaintext[0]) * echoLen
	if len(plaintext) < 1+n {
		return nil, nil, fmt.Errorf("%w: %d echoes in %d bytes", ErrMalformed, plaintext[0], len(plaintext)-1)
	}
	return plaintext[1 : 1+n], plaintext[1+n:], nil
}

// findEcho returns the highest sequence that entries echo for the incarnation of member.
func findEcho(entries []byte, member uint8, incarnation uint64) (sequence uint64, ok bool) {
	for ; len(entries) >= echoLen; entries = entries[echoLen:] {
		if entries[0] == member && binary.BigEndian.Uint64(entries[1:9]) == incarnation {
			sequence, ok = max(sequence, binary.BigEndian.Uint64(entries[9:17])), true
		}
	}
	return sequence, ok
}

// Echo is one entry of an echo list, for tools that show frames.
type Echo struct {
	Member                uint8
	Incarnation, Sequence uint64
}

// ParseEchoes reads the echo list at the start of an opened frame's plaintext, for tools that show frames; the rest is the body of
// the frame's type. The error wraps ErrMalformed.
func ParseEchoes(plaintext []byte) (list []Echo, body []byte, err error) {
	entries, body, err := splitEchos(plaintext)
	if err != nil {
		return nil, nil, err
	}
	for ; len(entries) >= echoLen; entries = entries[echoLen:] {
		list = append(list, Echo{
			Member: entries[0], Incarnation: binary.BigEndian.Uint64(entries[1:9]), Sequence: binary.BigEndian.Uint64(entries[9:17]),
		})
	}
	return list, body, nil
}
