// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
)

// blobs are below it: "!blob/DIGEST/PIECE". A blob that nothing refers to does no harm, and is written over when it comes again.
const blobs = "!blob/"

// Blob names a file that rests in the store in pieces: the SHA-256 and the length of its content.
type Blob struct {
	Digest string `json:"digest"` // hexadecimal
	Size   int    `json:"size"`
}

// BlobOf names content.
func BlobOf(content []byte) Blob {
	sum := sha256.Sum256(content)
	return Blob{Digest: hex.EncodeToString(sum[:]), Size: len(content)}
}

func (b Blob) pieces() int          { return (b.Size + MaxPiece - 1) / MaxPiece }
func (b Blob) key(piece int) string { return fmt.Sprintf("%s%s/%06d", blobs, b.Digest, piece) }

// smallPiece is the longest last piece that goes along with what refers to it.
const smallPiece = 64 << 10

// PutBlob writes content piece by piece, before the transaction that refers to it: whoever finds the reference finds all of it. last is to be called
// in that one: it writes the last piece, if that is short, so that a short file costs no transaction of its own.
func PutBlob(ctx context.Context, s Store, content []byte) (b Blob, last func(Tx) error, err error) {
	b, last = BlobOf(content), func(Tx) error { return nil }
	if b.Size == 0 || b.Size > MaxBlob {
		return b, last, fmt.Errorf("store: a file of %d bytes: %w: 1 to %d", b.Size, ErrTooLarge, MaxBlob)
	}
	for i := range b.pieces() {
		piece := content[i*MaxPiece : min(len(content), (i+1)*MaxPiece)]
		write := func(tx Tx) error { return put(tx, b.key(i), piece) }
		if i == b.pieces()-1 && len(piece) <= smallPiece {
			return b, write, nil
		}
		if err := s.Update(ctx, write); err != nil {
			return b, last, err
		}
	}
	return b, last, nil
}

// Read reads the blob; the error wraps ErrNone if a piece is missing, and ErrDamaged if it is not what was written.
func (b Blob) Read(r Reader) ([]byte, error) {
	if b.Size <= 0 || b.Size > MaxBlob {
		return nil, fmt.Errorf("store: file %.16s of %d bytes: %w", b.Digest, b.Size, ErrDamaged)
	}
	content := make([]byte, 0, b.Size)
	for i := range b.pieces() {
		piece, err := get(r, b.key(i))
		if err != nil {
			return nil, fmt.Errorf("store: file %.16s, piece %d of %d: %w", b.Digest, i+1, b.pieces(), err)
		}
		content = append(content, piece...)
	}
	if BlobOf(content) != b {
		return nil, fmt.Errorf("store: file %.16s: %w", b.Digest, ErrDamaged)
	}
	return content, nil
}
