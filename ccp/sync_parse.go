// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// The methods of SyncPart read its value. Each wants a part of its own kind; errors wrap ErrMalformed and the result is zero then.

// least checks that p is of kind and has the n bytes that its first version had.
func (p SyncPart) least(kind SyncKind, n int) (reader, error) {
	if p.Kind != kind {
		return nil, fmt.Errorf("%w: a %v is no %v", ErrMalformed, p.Kind, kind)
	}
	if len(p.Value) < n {
		return nil, fmt.Errorf("%w: %v has %d bytes, not %d", ErrMalformed, kind, len(p.Value), n)
	}
	return reader(p.Value), nil
}

// log checks that the part is about a log of a lane. Lanes that this version does not know are the caller's to leave alone.
func (p SyncPart) log(log uint64) error {
	if p.Lane == 0 || log == 0 {
		return fmt.Errorf("%w: %v of log %d of the %v", ErrMalformed, p.Kind, log, p.Lane)
	}
	return nil
}

// Status reads a SyncStatusPart.
func (p SyncPart) Status() (SyncStatus, error) {
	r, err := p.least(SyncStatusPart, statusLen)
	if err != nil {
		return SyncStatus{}, err
	}
	s := SyncStatus{Role: SyncRole(r.u8())}
	f := r.u8()
	s.Current, s.Stopping, s.Evicted = f&flagStatusCurrent != 0, f&flagStatusStopping != 0, f&flagStatusEvicted != 0
	s.Unpacks = f&flagStatusUnpacks != 0
	s.Losses, s.Term, s.Entries, s.Digest = r.u16(), r.u32(), r.u32(), r.u64()
	s.Table = readSyncTable(&r)
	return s, nil
}

// readSyncTable reads the slot table that a value may end with.
func readSyncTable(r *reader) (t SyncTable) {
	if len(*r) >= syncTableLen {
		t.Rules, t.Term, t.Number = r.u64(), r.u32(), r.u32()
		t.Commit = r.u8()&flagTableCommit != 0
	}
	return t
}

// Addresses reads a SyncAddressesPart: the first MaxSyncAddresses of them.
func (p SyncPart) Addresses() (SyncAddresses, error) {
	r, err := p.least(SyncAddressesPart, 0)
	if err != nil {
		return nil, err
	}
	var list SyncAddresses
	for len(r) >= 2 && len(list) < MaxSyncAddresses {
		n, shared := int(r.u8()), r.u8()&flagShared != 0
		if n != 4 && n != 16 || n > len(r) {
			return nil, fmt.Errorf("%w: an address of %d bytes", ErrMalformed, n)
		}
		a, _ := netip.AddrFromSlice(r.take(n))
		list = append(list, SyncAddress{Addr: a.Unmap(), Shared: shared})
	}
	return list, nil
}

// Batch reads a SyncBatchPart. Whether the records are well formed is package record's business.
func (p SyncPart) Batch() (SyncBatch, error) {
	r, err := p.least(SyncBatchPart, batchLen)
	if err != nil {
		return SyncBatch{}, err
	}
	s := SyncBatch{Lane: p.Lane, Log: r.u64(), Sequence: r.u64(), Floor: r.u64(), Records: r}
	if err := p.log(s.Log); err != nil {
		return SyncBatch{}, err
	}
	if s.Floor == 0 || (s.Sequence != 0 && s.Floor > s.Sequence) || (s.Sequence == 0 && len(s.Records) != 0) {
		return SyncBatch{}, fmt.Errorf("%w: batch %d above floor %d, %d bytes", ErrMalformed, s.Sequence, s.Floor, len(s.Records))
	}
	return s, nil
}

// Ack reads a SyncAckPart. The ranges are appended to ranges[:0], and nothing is allocated if it has room for MaxSyncRanges.
func (p SyncPart) Ack(ranges []SyncRange) (SyncAck, error) {
	r, err := p.least(SyncAckPart, ackLen)
	if err != nil {
		return SyncAck{}, err
	}
	s := SyncAck{Lane: p.Lane, Log: r.u64(), Next: r.u64()}
	if err := p.log(s.Log); err != nil {
		return SyncAck{}, err
	}
	if s.Ranges, err = p.ranges(r, s.Next, ranges); err != nil {
		return SyncAck{}, err
	}
	return s, nil
}

// Gap reads a SyncGapPart, its ranges as Ack does.
func (p SyncPart) Gap(ranges []SyncRange) (SyncGap, error) {
	r, err := p.least(SyncGapPart, gapLen)
	if err != nil {
		return SyncGap{}, err
	}
	s := SyncGap{Lane: p.Lane, Log: r.u64()}
	if err := p.log(s.Log); err != nil {
		return SyncGap{}, err
	}
	if s.Ranges, err = p.ranges(r, 0, ranges); err != nil {
		return SyncGap{}, err
	}
	return s, nil
}

// ranges reads ranges that ascend from beyond above.
func (p SyncPart) ranges(r reader, above uint64, dst []SyncRange) ([]SyncRange, error) {
	if n := len(r); n%rangeLen != 0 || n > MaxSyncRanges*rangeLen {
		return nil, fmt.Errorf("%w: %v with %d bytes of ranges", ErrMalformed, p.Kind, n)
	}
	dst = dst[:0]
	for len(r) > 0 {
		s := SyncRange{r.u64(), r.u64()}
		if s.First <= above || s.First > s.Last {
			return nil, fmt.Errorf("%w: %v of %d to %d after %d", ErrMalformed, p.Kind, s.First, s.Last, above)
		}
		dst, above = append(dst, s), s.Last
	}
	return dst, nil
}

// Credit reads a SyncCreditPart.
func (p SyncPart) Credit() (SyncCredit, error) {
	r, err := p.least(SyncCreditPart, creditLen)
	if err != nil {
		return SyncCredit{}, err
	}
	s := SyncCredit{Log: r.u64(), Limit: r.u64()}
	if err := p.log(s.Log); err != nil {
		return SyncCredit{}, err
	}
	return s, nil
}

// Request reads a SyncRequestPart. What is wanted may be something that this version does not know.
func (p SyncPart) Request() (SyncRequest, error) {
	r, err := p.least(SyncRequestPart, requestLen)
	if err != nil {
		return SyncRequest{}, err
	}
	s := SyncRequest{Log: r.u64(), Want: SyncWant(r.u8()), Through: r.u64(), Limit: r.u64()}
	copy(s.Buckets[:], r.take(len(s.Buckets)))
	s.Table = readSyncTable(&r)
	if err := p.log(s.Log); err != nil {
		return SyncRequest{}, err
	}
	return s, nil
}

// Answer reads a SyncAnswerPart.
func (p SyncPart) Answer() (SyncAnswer, error) {
	r, err := p.least(SyncAnswerPart, answerLen)
	if err != nil {
		return SyncAnswer{}, err
	}
	s := SyncAnswer{Log: r.u64(), Result: SyncResult(r.u8()), Records: r.u32()}
	if err := p.log(s.Log); err != nil {
		return SyncAnswer{}, err
	}
	return s, nil
}

// NextSyncRecord takes the first record off a batch's Records, or off what the last call left of it; an empty b has none, which is
// for the caller to see. Only its head is looked at. The error wraps ErrMalformed.
func NextSyncRecord(b []byte) (r SyncRecord, rest []byte, err error) {
	if len(b) < SyncRecordHead {
		return SyncRecord{}, nil, fmt.Errorf("%w: %d bytes after the last record", ErrMalformed, len(b))
	}
	n := int(binary.BigEndian.Uint16(b))
	padded := n + -n&3
	if n < SyncRecordHead || padded > MaxSyncRecord || padded > len(b) {
		return SyncRecord{}, nil, fmt.Errorf("%w: record of %d bytes, %d are left", ErrMalformed, n, len(b))
	}
	return SyncRecord{Table: b[2], Bytes: b[:padded:padded], Attrs: b[SyncRecordHead:n:n]}, b[padded:], nil
}

// ParseSyncWords reads the attributes of a record of SyncTableWords into words, and returns the range of buckets that it told.
func ParseSyncWords(attrs []byte, words *[SyncBuckets]SyncWord) (first, end int, err error) {
	if len(attrs) < 2 || (len(attrs)-2)%syncWordLen != 0 {
		return 0, 0, fmt.Errorf("%w: words of %d bytes", ErrMalformed, len(attrs))
	}
	r := reader(attrs)
	first = int(r.u16())
	end = first + len(r)/syncWordLen
	if end > SyncBuckets {
		return 0, 0, fmt.Errorf("%w: words of buckets %d to %d", ErrMalformed, first, end)
	}
	for i := first; i < end; i++ {
		words[i] = SyncWord{Xor: r.u64(), Count: r.u32()}
	}
	return first, end, nil
}

// ParseSyncEnd reads the attributes of a record of SyncTableEnd.
func ParseSyncEnd(attrs []byte) (SyncEnd, error) {
	if len(attrs) < syncEndLen {
		return SyncEnd{}, fmt.Errorf("%w: end of %d bytes, not %d", ErrMalformed, len(attrs), syncEndLen)
	}
	r := reader(attrs)
	return SyncEnd{Position: r.u64(), Records: r.u32(), Complete: r.u8()&flagEndComplete != 0}, nil
}

// parseSyncView reads the value of a HELLO's TLV.
func parseSyncView(r reader) SyncView {
	s := SyncView{Incarnation: r.u64(), Role: SyncRole(r.u8())}
	f := r.u8()
	s.Current, s.AtRisk = f&flagSyncCurrent != 0, f&flagSyncAtRisk != 0
	s.Entries, s.Digest, s.LagRecords, s.LagMs, s.Sequence = r.u32(), r.u64(), r.u32(), r.u32(), r.u64()
	return s
}
