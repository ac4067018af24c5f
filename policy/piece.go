// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"errors"
	"io"
	"strconv"
)

// How a piece is packed.
const (
	packedStored  = 0 // as it is
	packedDeflate = 1 // RFC 1951

	// A piece that does not shrink is stored, so none is longer.
	maxPacked = 1 + PieceSize
	pieceHead = 4 + 1
)

func pack(piece []byte) []byte {
	var b bytes.Buffer
	b.WriteByte(packedDeflate)
	// Errors are those of the level, which is a constant, and of the writer, which has none.
	w, _ := flate.NewWriter(&b, flate.BestSpeed)
	_, _ = w.Write(piece)
	_ = w.Close()
	if b.Len() > len(piece) {
		return append([]byte{packedStored}, piece...)
	}
	return b.Bytes()
}

// unpack fills piece, and wants packed to hold exactly that much: what would unpack to more is never unpacked further.
func unpack(piece, packed []byte) error {
	if len(packed) == 0 || len(packed) > maxPacked {
		return bad(ErrOversized, "piece", "%d bytes packed, 1 to %d are allowed", len(packed), maxPacked)
	}
	switch packed[0] {
	case packedStored:
		if len(packed)-1 != len(piece) {
			return bad(ErrDigest, "piece", "%d bytes, not %d", len(packed)-1, len(piece))
		}
		copy(piece, packed[1:])
		return nil
	case packedDeflate:
	default:
		return bad(ErrVersion, "piece", "packed in way %d; this program knows 0 and 1", packed[0])
	}
	in := bytes.NewReader(packed[1:])
	r := flate.NewReader(in)
	if _, err := io.ReadFull(r, piece); err != nil {
		return bad(ErrDigest, "piece", "does not unpack to %d bytes: %v", len(piece), err)
	}
	var one [1]byte
	switch n, err := r.Read(one[:]); {
	case n > 0:
		return bad(ErrOversized, "piece", "unpacks to more than %d bytes", len(piece))
	case !errors.Is(err, io.EOF):
		return bad(ErrDigest, "piece", "does not end: %v", err)
	case in.Len() > 0:
		return bad(ErrTrailing, "piece", "%d bytes", in.Len())
	}
	return nil
}

// Assembler collects the pieces of a bundle, in any order, from anybody. Not safe for concurrent use.
type Assembler struct {
	head *Head
	body []byte
	have []bool
	left int
}

// NewAssembler begins a bundle whose head is known. Verify the head first: its pieces are as good as it is. It allocates the body.
func NewAssembler(h *Head) *Assembler {
	return &Assembler{head: h, body: make([]byte, h.Length), have: make([]bool, len(h.pieces)), left: len(h.pieces)}
}

// Put takes piece i as Piece made it. A piece that is not the one the head names is refused with an error that wraps ErrDigest,
// ErrOversized, ErrTrailing or ErrVersion, and changes nothing: ask somebody else for it. One that is there already is ignored.
func (a *Assembler) Put(i int, packed []byte) error {
	if i < 0 || i >= len(a.have) {
		return bad(ErrOversized, "piece "+strconv.Itoa(i), "the bundle has %d", len(a.have))
	}
	if a.have[i] {
		return nil
	}
	part := a.body[i*PieceSize : min((i+1)*PieceSize, len(a.body))]
	if err := unpack(part, packed); err != nil {
		f := err.(*FormatError) //nolint:errorlint,errcheck,forcetypeassert // unpack returns no other
		f.What = "piece " + strconv.Itoa(i)
		return f
	}
	if sha256.Sum256(part) != a.head.pieces[i] {
		return bad(ErrDigest, "piece "+strconv.Itoa(i), "not the one of generation %d", a.head.Generation)
	}
	a.have[i] = true
	a.left--
	return nil
}

// Missing lists at most limit pieces that are not there yet, in order.
func (a *Assembler) Missing(limit int) []int {
	var all []int
	for i := 0; i < len(a.have) && len(all) < limit && len(all) < a.left; i++ {
		if !a.have[i] {
			all = append(all, i)
		}
	}
	return all
}

// Left is how many pieces are missing.
func (a *Assembler) Left() int { return a.left }

// Finish reads the body that the pieces make. The error wraps ErrIncomplete, ErrSection, ErrContent, ErrOversized or ErrDigest.
func (a *Assembler) Finish() (*Sealed, error) {
	if a.left > 0 {
		return nil, bad(ErrIncomplete, "body", "%d of %d pieces", a.left, len(a.have))
	}
	b := &Bundle{Cluster: a.head.Cluster, Generation: a.head.Generation, Created: a.head.Created}
	content, err := b.parseBody(a.body)
	if err != nil {
		return nil, err
	}
	if err := b.check(); err != nil {
		return nil, err
	}
	if content != a.head.Content {
		return nil, bad(ErrDigest, "content", "%s, the head says %s", content.Short(), a.head.Content.Short())
	}
	return &Sealed{a.head, b, a.body}, nil
}
