// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"errors"
	"testing"
)

// FuzzDecode: a file may come from anybody. Nothing of it makes the reader panic or allocate more than a body; what it takes, it writes
// again with the same digest, and every refusal is typed.
func FuzzDecode(f *testing.F) {
	file := seal(f, sample()).Encode()
	f.Add(file)
	f.Add(file[:70])
	f.Add(rebody([]byte("\x05\x00\x00\x00\x01x\x07\x00\x00\x00\x07\x02ip\x01t\x01s"), nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Decode(b)
		if err != nil {
			var e *FormatError
			if !errors.As(err, &e) {
				t.Fatalf("untyped: %v", err)
			}
			return
		}
		again, err := Decode(s.Encode())
		if err != nil || again.Head().Digest() != s.Head().Digest() || !bytes.Equal(again.body, s.body) {
			t.Fatalf("written again: %v", err)
		}
	})
}

// FuzzBody: a body that management signed is still read strictly, and has one form only.
func FuzzBody(f *testing.F) {
	f.Add(seal(f, sample()).body)
	f.Fuzz(func(t *testing.T, body []byte) {
		b := &Bundle{Cluster: 7, Generation: 1 << 62}
		if _, err := b.parseBody(body); err != nil || b.check() != nil {
			return
		}
		if again, _ := b.canonical().appendBody(nil); !bytes.Equal(again, body) {
			t.Fatalf("%x is written as %x", body, again)
		}
	})
}

// FuzzPiece: what unpacks does so to exactly the piece.
func FuzzPiece(f *testing.F) {
	f.Add(pack([]byte("some text, some text, some text")), 31)
	f.Fuzz(func(t *testing.T, packed []byte, n int) {
		if n < 0 || n > PieceSize {
			return
		}
		piece := make([]byte, n)
		if unpack(piece, packed) == nil && unpack(make([]byte, n+1), packed) == nil {
			t.Fatal("unpacks to two lengths")
		}
	})
}
