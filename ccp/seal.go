// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
)

// Lengths of sealed bodies. Part of the wire format.
const (
	// SealOverhead is what sealing adds to a body: the AES-256-GCM tag.
	SealOverhead = 16
	// MaxPlainLen is the longest plaintext of a sealed body.
	MaxPlainLen = MaxBodyLen - SealOverhead
	// minPlainLen is what shorter plaintexts are padded to with zeros, which is how a TLV list ends.
	minPlainLen = MinBodyLen - SealOverhead
)

// nonceLen is AES-GCM's: four zero bytes and the sequence.
const nonceLen = 12

// newAEAD makes the cipher that one incarnation of source seals with.
func newAEAD(k ClusterKey, cluster uint16, source uint8, incarnation uint64) cipher.AEAD {
	block, err := aes.NewCipher(k.sealKey(cluster, source, incarnation))
	if err != nil {
		panic("ccp: AES: " + err.Error()) // only for a key of the wrong length
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic("ccp: GCM: " + err.Error()) // only for a block of the wrong size
	}
	return aead
}

// Sealer seals the frames of one incarnation of one member. It never uses a sequence twice, which is what AES-GCM stands or falls
// with: make one Sealer per incarnation, and a new random incarnation per start of the daemon. Not safe for concurrent use.
type Sealer struct {
	aead        cipher.AEAD
	gate        GateKey
	key         uint8
	cluster     uint16
	self        uint8
	incarnation uint64
	last        uint64
	nonce       [nonceLen]byte
}

// NewSealer makes a Sealer for the given incarnation of the daemon of member self under key number keyNumber.
func NewSealer(k ClusterKey, keyNumber uint8, cluster uint16, self uint8, incarnation uint64) *Sealer {
	s := &Sealer{cluster: cluster, self: self, incarnation: incarnation}
	s.Rekey(k, keyNumber)
	return s
}

// Rekey seals from now on under another cluster key; sequences go on, so that the receivers' replay windows stay good.
func (s *Sealer) Rekey(k ClusterKey, keyNumber uint8) {
	s.aead = newAEAD(k, s.cluster, s.self, s.incarnation)
	s.gate = k.GateKey(s.cluster)
	s.key = keyNumber
}

// KeyNumber is the number of the key that frames are sealed under.
func (s *Sealer) KeyNumber() uint8 { return s.key }

// Seal appends to dst a frame with the sealed plaintext: what Opener.AppendEcho wrote, and then the body of h.Type. A plaintext longer than
// MaxPlainLen is not sealed: dst comes back as it was. Of h, Type, Flags, Target, Sequence (the clock), EchoIncarnation and EchoStamp are
// the caller's. A sequence that is not above the last one's becomes its successor.
// It allocates nothing if dst has room for HeaderLen + len(plaintext) + SealOverhead (GateFrameLen at least).
func (s *Sealer) Seal(dst []byte, h Header, plaintext []byte) []byte {
	if len(plaintext) > MaxPlainLen {
		return dst
	}
	start := len(dst)
	if h.Sequence <= s.last {
		h.Sequence = s.last + 1
	}
	s.last = h.Sequence
	n := max(len(plaintext), minPlainLen)
	h.Key, h.Cluster, h.Source, h.Incarnation = s.key, s.cluster, s.self, s.incarnation
	h.Length = uint16(n + SealOverhead)
	dst = appendHeader(dst, h)
	dst = append(dst, plaintext...)
	for len(dst) < start+HeaderLen+n {
		dst = append(dst, 0)
	}
	binary.BigEndian.PutUint64(s.nonce[nonceLen-8:], h.Sequence)
	body := dst[start+HeaderLen:]
	sealed := s.aead.Seal(body[:0], s.nonce[:], body, dst[start:start+TagOffset])
	// Seal works in place when there is room for its tag, and has moved the body elsewhere when there was not.
	dst = append(dst[:start+HeaderLen], sealed...)
	setTag(dst[start:], s.gate)
	return dst
}

// Unseal opens one frame for tools that show captures: nothing but tag and seal are checked, so what it says may be a recording. The
// plaintext, echo list first (ParseEchoes), is appended to dst. Errors are ParseHeader's, or ErrSeal.
func (k ClusterKey) Unseal(dst, frame []byte) ([]byte, error) {
	h, err := ParseHeader(frame)
	if err != nil {
		return nil, err
	}
	if !h.Type.Sealed() || !VerifyTag(frame, k.GateKey(h.Cluster)) {
		return nil, ErrSeal
	}
	var nonce [nonceLen]byte
	binary.BigEndian.PutUint64(nonce[nonceLen-8:], h.Sequence)
	plain, err := newAEAD(k, h.Cluster, h.Source, h.Incarnation).Open(dst, nonce[:], h.Body(frame), frame[:TagOffset])
	if err != nil {
		return nil, ErrSeal
	}
	return plain, nil
}
