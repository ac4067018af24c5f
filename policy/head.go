// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"time"
)

// Digest is a SHA-256.
type Digest [sha256.Size]byte

// String is the whole digest in hexadecimal.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// Short is as much of it as people compare: 16 digits.
func (d Digest) Short() string { return hex.EncodeToString(d[:8]) }

// MarshalText writes String's form.
func (d Digest) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads String's form, as ParseDigest does.
func (d *Digest) UnmarshalText(text []byte) error {
	parsed, err := ParseDigest(string(text))
	if err == nil {
		*d = parsed
	}
	return err
}

// ParseDigest reads String's form.
func ParseDigest(text string) (d Digest, err error) {
	b, err := hex.DecodeString(text)
	if err != nil || len(b) != len(d) {
		return d, bad(ErrContent, "digest", "%q; write %d hexadecimal digits", text, 2*len(d))
	}
	return Digest(b), nil
}

// Layout of the head; numbers are big-endian. The signature is over signContext and the digest of everything before the key.
//
//	0   magic       [8]byte   89 'H' 'F' 'P' 0d 0a 1a 0a: a transfer in text mode breaks it
//	8   version     uint16    1
//	10  cluster     uint16    not 0
//	12  generation  uint64    not 0
//	20  created     int64     seconds since 1970
//	28  length      uint32    of the body, uncompressed, 1 to MaxBody
//	32  content     [32]byte  SHA-256 of the body from the ruleset on
//	64  pieces      [n][32]byte  SHA-256 of each PieceSize bytes of the body, the last piece being shorter; n = ceil(length/PieceSize)
//	..  key         [32]byte  Ed25519 public key
//	..  signature   [64]byte
const (
	magic         = "\x89HFP\r\n\x1a\n"
	formatVersion = 1
	fixedHead     = 64
	tailHead      = ed25519.PublicKeySize + ed25519.SignatureSize

	// PieceSize is the length of a piece of the body.
	PieceSize = 64 << 10
	// MaxHead is the length of the longest head.
	MaxHead = fixedHead + MaxBody/PieceSize*sha256.Size + tailHead

	signContext = "holdfast policy bundle 1\x00"
)

// Head is the signed part of a bundle. One that ParseHead returned is well formed; whether it is to be trusted is Verify's to say.
type Head struct {
	Cluster    uint16
	Generation uint64
	Created    int64
	Length     int    // of the body, in bytes
	Content    Digest // of what is in force: equal for equal rulesets, synchronisation rules and sets, whatever their generation
	Key        [ed25519.PublicKeySize]byte
	Signature  [ed25519.SignatureSize]byte

	pieces []Digest
}

// Pieces is how many pieces the body has.
func (h *Head) Pieces() int { return len(h.pieces) }

// Time is when the bundle was made, by management's clock.
func (h *Head) Time() time.Time { return time.Unix(h.Created, 0).UTC() }

// Digest is the bundle's.
func (h *Head) Digest() Digest { return sha256.Sum256(h.signed()) }

// Offer is the head as one of several copies.
func (h *Head) Offer(source string) Offer {
	return Offer{Source: source, Generation: h.Generation, Digest: h.Digest()}
}

func (h *Head) signed() []byte {
	out := make([]byte, 0, fixedHead+len(h.pieces)*sha256.Size+tailHead)
	out = append(out, magic...)
	out = binary.BigEndian.AppendUint16(out, formatVersion)
	out = binary.BigEndian.AppendUint16(out, h.Cluster)
	out = binary.BigEndian.AppendUint64(out, h.Generation)
	out = binary.BigEndian.AppendUint64(out, uint64(h.Created)) //nolint:gosec // two's complement
	out = binary.BigEndian.AppendUint32(out, uint32(h.Length))  //nolint:gosec // at most MaxBody
	out = append(out, h.Content[:]...)
	for i := range h.pieces {
		out = append(out, h.pieces[i][:]...)
	}
	return out
}

// Encode writes the head.
func (h *Head) Encode() []byte {
	return append(append(h.signed(), h.Key[:]...), h.Signature[:]...)
}

// sign sets Key and Signature.
func (h *Head) sign(key ed25519.PrivateKey) {
	copy(h.Key[:], key.Public().(ed25519.PublicKey)) //nolint:errcheck,forcetypeassert // crypto/ed25519 says so
	d := h.Digest()
	copy(h.Signature[:], ed25519.Sign(key, append([]byte(signContext), d[:]...)))
}

// ParseHead reads a head at the beginning of b and returns its length. It trusts nothing: the signature is not looked at.
func ParseHead(b []byte) (*Head, int, error) {
	switch {
	case len(b) >= len(magic) && string(b[:len(magic)]) != magic, len(b) < len(magic) && !bytes.HasPrefix([]byte(magic), b):
		return nil, 0, bad(ErrMagic, "head", "a bundle begins with %x", magic)
	case len(b) < fixedHead:
		return nil, 0, bad(ErrTruncated, "head", "%d bytes of at least %d", len(b), fixedHead+sha256.Size+tailHead)
	}
	if v := binary.BigEndian.Uint16(b[8:]); v != formatVersion {
		return nil, 0, bad(ErrVersion, "head", "version %d; this program knows %d", v, formatVersion)
	}
	h := &Head{
		Cluster:    binary.BigEndian.Uint16(b[10:]),
		Generation: binary.BigEndian.Uint64(b[12:]),
		Created:    int64(binary.BigEndian.Uint64(b[20:])), //nolint:gosec // two's complement
		Content:    Digest(b[32:64]),
	}
	length := binary.BigEndian.Uint32(b[28:])
	switch {
	case h.Cluster == 0 || h.Generation == 0:
		return nil, 0, bad(ErrContent, "head", "cluster %d, generation %d", h.Cluster, h.Generation)
	case length == 0 || length > MaxBody:
		return nil, 0, bad(ErrOversized, "head", "a body of %d bytes; 1 to %d are allowed", length, MaxBody)
	}
	h.Length = int(length)
	n := (h.Length + PieceSize - 1) / PieceSize
	whole := fixedHead + n*sha256.Size + tailHead
	if len(b) < whole {
		return nil, 0, bad(ErrTruncated, "head", "%d bytes of %d", len(b), whole)
	}
	h.pieces = make([]Digest, n)
	at := fixedHead
	for i := range h.pieces {
		at += copy(h.pieces[i][:], b[at:])
	}
	at += copy(h.Key[:], b[at:])
	copy(h.Signature[:], b[at:])
	return h, whole, nil
}

// Trust is what a reader demands of a bundle.
type Trust struct {
	Cluster uint16              // its own id; 0: of any
	Keys    []ed25519.PublicKey // management's; several while one follows another
	// Floor is the lowest generation that is taken, commonly the newest that this reader has seen: an older one is a replay.
	Floor uint64
}

// Verify checks cluster, key, signature and generation, in this order. Errors wrap ErrCluster, ErrKey, ErrSignature, ErrOlder.
func (h *Head) Verify(t Trust) error {
	what := "generation " + itoa(h.Generation)
	if t.Cluster != 0 && h.Cluster != t.Cluster {
		return bad(ErrCluster, what, "of cluster %d, this is %d", h.Cluster, t.Cluster)
	}
	if !slices.ContainsFunc(t.Keys, func(k ed25519.PublicKey) bool { return bytes.Equal(k, h.Key[:]) }) {
		return bad(ErrKey, what, "%s; known are %s", Fingerprint(h.Key[:]), fingerprints(t.Keys))
	}
	d := h.Digest()
	if !ed25519.Verify(h.Key[:], append([]byte(signContext), d[:]...), h.Signature[:]) {
		return bad(ErrSignature, what, "key %s", Fingerprint(h.Key[:]))
	}
	if h.Generation < t.Floor {
		return bad(ErrOlder, what, "generation %d is known already", t.Floor)
	}
	return nil
}
