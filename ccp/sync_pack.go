// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"encoding/binary"
	"fmt"
	"math/bits"
)

const (
	// packMark is the first byte of packed records. Records that are not begin with the upper byte of a length, which is 4 at most.
	packMark = 0xff
	// packSlots is by how many classes of length a record's model is found.
	packSlots = 64
	// MaxSyncUnpacked bounds what the records of one batch take unpacked: a batch of a frame's length could claim thirty times as much.
	MaxSyncUnpacked = 16 << 10
)

// SyncPacker lays the records of a batch out so that each says only the words in which it differs from one before it, its model: connections
// to one service, and the two directions of each, are much alike. What it makes is a SyncBatch's Records for a peer whose SyncStatus
// says Unpacks. The zero value is ready for Begin.
type SyncPacker struct {
	models [packSlots][]byte // by the length in words, modulo packSlots
	last   []byte
	raw    int
}

// Begin begins a batch: dst is what Append appends to.
func (p *SyncPacker) Begin(dst []byte) []byte {
	*p = SyncPacker{}
	return append(dst, packMark)
}

// Append appends a record that dst, size bytes long at most, has room for. It keeps the record, which must not change before the next Begin. False: it does not
// fit, or is none that can be packed, and dst is as before.
func (p *SyncPacker) Append(dst, record []byte, size int) ([]byte, bool) {
	words := len(record) / 4
	if words == 0 || len(record)%4 != 0 || len(record) > MaxSyncRecord || p.raw+len(record) > MaxSyncUnpacked {
		return dst, false
	}
	slot := &p.models[words%packSlots]
	model := *slot
	if model == nil {
		model = p.last
	}
	le := binary.LittleEndian
	begin := len(dst)
	dst = append(dst, byte(words-1))
	at := len(dst)
	for range (words + 7) / 8 {
		dst = append(dst, 0)
	}
	for i := 0; i < len(record); i += 4 {
		if i+8 <= len(record) && i+8 <= len(model) && le.Uint64(record[i:]) == le.Uint64(model[i:]) {
			i += 4
			continue
		}
		w, m := le.Uint32(record[i:]), uint32(0)
		if i < len(model) {
			m = le.Uint32(model[i:])
		}
		if w != m {
			dst[at+i/32] |= 1 << (i / 4 % 8)
			dst = le.AppendUint32(dst, w)
		}
	}
	if len(dst) > size {
		return dst[:begin], false
	}
	*slot, p.last = record, record
	p.raw += len(record)
	return dst, true
}

// UnpackSync appends the records of a batch to dst as they were before they were packed; those that are not are appended as they are. The
// error wraps ErrMalformed; what came before the mistake is appended all the same.
func UnpackSync(dst, b []byte) ([]byte, error) {
	if len(b) == 0 || b[0] != packMark {
		return append(dst, b...), nil
	}
	type span struct{ from, to int }
	var models [packSlots]span
	var last span
	begin := len(dst)
	for b = b[1:]; len(b) > 0; {
		words := int(b[0]) + 1
		n := (words + 7) / 8
		if len(b) < 1+n {
			return dst, fmt.Errorf("%w: packed record of %d words, %d bytes are left", ErrMalformed, words, len(b))
		}
		differs, given := b[1:1+n], b[1+n:]
		said := 0
		for _, d := range differs {
			said += bits.OnesCount8(d)
		}
		at := len(dst)
		if len(given) < 4*said || differs[n-1]>>(words-8*(n-1)) != 0 || at-begin+4*words > MaxSyncUnpacked {
			return dst, fmt.Errorf("%w: packed record of %d words behind %d bytes, %d of them given by %d bytes", ErrMalformed, words, at-begin, said, len(given))
		}
		kind := words % packSlots
		model := models[kind]
		if model.to == model.from {
			model = last
		}
		// What it has in common with its model, zeros behind that, and then the words in which it differs.
		dst = append(dst, dst[model.from:min(model.to, model.from+4*words)]...)
		for len(dst) < at+4*words {
			dst = append(dst, 0, 0, 0, 0)
		}
		for i, d := range differs {
			for ; d != 0; d &= d - 1 {
				copy(dst[at+32*i+4*bits.TrailingZeros8(d):][:4], given)
				given = given[4:]
			}
		}
		last, b = span{at, at + 4*words}, given
		models[kind] = last
	}
	return dst, nil
}
