// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"strconv"
)

// MaxFile is the length of the longest file.
const MaxFile = MaxHead + MaxBody + MaxBody/PieceSize*pieceHead

// Sealed is a bundle with its head, ready to be stored, sent or put into force. It is immutable and safe for concurrent use.
type Sealed struct {
	head   *Head
	bundle *Bundle
	body   []byte
}

// Seal makes a bundle's canonical form and signs it. The error wraps ErrContent or ErrOversized.
func Seal(b *Bundle, key ed25519.PrivateKey) (*Sealed, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, bad(ErrKey, "key", "%d bytes, an Ed25519 key has %d", len(key), ed25519.PrivateKeySize)
	}
	b = b.canonical()
	if err := b.check(); err != nil {
		return nil, err
	}
	body, content := b.appendBody(nil)
	if len(body) > MaxBody {
		return nil, bad(ErrOversized, "body", "%d bytes, at most %d", len(body), MaxBody)
	}
	h := &Head{Cluster: b.Cluster, Generation: b.Generation, Created: b.Created, Length: len(body), Content: sha256.Sum256(body[content:])}
	for at := 0; at < len(body); at += PieceSize {
		h.pieces = append(h.pieces, sha256.Sum256(body[at:min(at+PieceSize, len(body))]))
	}
	h.sign(key)
	return &Sealed{h, b, body}, nil
}

// Head is the signed part. It must not be changed.
func (s *Sealed) Head() *Head { return s.head }

// Bundle is what was sealed. It must not be changed.
func (s *Sealed) Bundle() *Bundle { return s.bundle }

// Piece returns piece i as it travels and as the file has it: a byte that says how it is packed, and the packed bytes.
func (s *Sealed) Piece(i int) []byte {
	return pack(s.body[i*PieceSize : min((i+1)*PieceSize, len(s.body))])
}

// Encode writes the file: the head, and each piece after its length.
func (s *Sealed) Encode() []byte {
	out := s.head.Encode()
	for i := range s.head.pieces {
		p := s.Piece(i)
		out = binary.BigEndian.AppendUint32(out, uint32(len(p))) //nolint:gosec // a piece
		out = append(out, p...)
	}
	return out
}

// Decode reads a file and checks everything but whom it is from: see Open.
func Decode(file []byte) (*Sealed, error) {
	h, n, err := ParseHead(file)
	if err != nil {
		return nil, err
	}
	return decode(h, file[n:])
}

// Open reads a file that must satisfy t. Nothing of the body is looked at before the signature is found good.
func Open(file []byte, t Trust) (*Sealed, error) {
	h, n, err := ParseHead(file)
	if err != nil {
		return nil, err
	}
	if err := h.Verify(t); err != nil {
		return nil, err
	}
	return decode(h, file[n:])
}

func decode(h *Head, rest []byte) (*Sealed, error) {
	a := NewAssembler(h)
	for i := range h.pieces {
		what := "piece " + strconv.Itoa(i)
		if len(rest) < 4 {
			return nil, bad(ErrTruncated, what, "the file ends before it; the bundle has %d", len(h.pieces))
		}
		length := int(binary.BigEndian.Uint32(rest))
		if length > maxPacked {
			return nil, bad(ErrOversized, what, "%d bytes, at most %d", length, maxPacked)
		}
		if len(rest)-4 < length {
			return nil, bad(ErrTruncated, what, "%d bytes of %d", len(rest)-4, length)
		}
		if err := a.Put(i, rest[4:4+length]); err != nil {
			return nil, err
		}
		rest = rest[4+length:]
	}
	if len(rest) > 0 {
		return nil, bad(ErrTrailing, "file", "%d bytes", len(rest))
	}
	return a.Finish()
}
