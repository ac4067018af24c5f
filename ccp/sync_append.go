// SPDX-License-Identifier: Apache-2.0

package ccp

import "encoding/binary"

// The Append methods append one part each to b, which holds the echo list and the parts before by then, and allocate nothing if b has
// room. That all fits into a frame is the caller's care: see the lengths beside each.

// beginPart appends the head of a part and returns where its value begins; endTLV completes it.
func beginPart(b []byte, kind SyncKind, lane Lane) ([]byte, int) {
	b = append(b, byte(kind), byte(lane), 0, 0)
	return b, len(b)
}

// append appends the slot table, if there is one.
func (t SyncTable) append(b []byte) []byte {
	if t.Rules == 0 {
		return b
	}
	b = binary.BigEndian.AppendUint64(b, t.Rules)
	b = binary.BigEndian.AppendUint32(b, t.Term)
	b = binary.BigEndian.AppendUint32(b, t.Number)
	return append(b, flag(t.Commit, flagTableCommit))
}

// Append appends the status: 24 bytes, 41 with a slot table.
func (s SyncStatus) Append(b []byte) []byte {
	be := binary.BigEndian
	b, at := beginPart(b, SyncStatusPart, 0)
	b = append(b, byte(s.Role), flag(s.Current, flagStatusCurrent)|flag(s.Stopping, flagStatusStopping)|flag(s.Evicted, flagStatusEvicted)|
		flag(s.Unpacks, flagStatusUnpacks))
	b = be.AppendUint16(b, s.Losses)
	b = be.AppendUint32(b, s.Term)
	b = be.AppendUint32(b, s.Entries)
	b = be.AppendUint64(b, s.Digest)
	return endTLV(s.Table.append(b), at)
}

// Append appends the addresses: 4 bytes and 18 for each at most, of which MaxSyncAddresses are sent.
func (s SyncAddresses) Append(b []byte) []byte {
	b, at := beginPart(b, SyncAddressesPart, 0)
	for _, a := range s[:min(len(s), MaxSyncAddresses)] {
		raw := a.Addr.Unmap().AsSlice()
		b = append(b, byte(len(raw)), flag(a.Shared, flagShared))
		b = append(b, raw...)
	}
	return endTLV(b, at)
}

// Append appends the batch: SyncBatchHead and its records, MaxSyncRecords at most.
func (s SyncBatch) Append(b []byte) []byte {
	b, at := beginPart(b, SyncBatchPart, s.Lane)
	b = binary.BigEndian.AppendUint64(b, s.Log)
	b = binary.BigEndian.AppendUint64(b, s.Sequence)
	b = binary.BigEndian.AppendUint64(b, s.Floor)
	b = append(b, s.Records...)
	return endTLV(b, at)
}

// Append appends the acknowledgement: 20 bytes and 16 for each range, of which MaxSyncRanges are sent.
func (a SyncAck) Append(b []byte) []byte {
	b, at := beginPart(b, SyncAckPart, a.Lane)
	b = binary.BigEndian.AppendUint64(b, a.Log)
	b = binary.BigEndian.AppendUint64(b, a.Next)
	return endTLV(appendRanges(b, a.Ranges), at)
}

// Append appends the gap: 12 bytes and 16 for each range, of which MaxSyncRanges are sent.
func (g SyncGap) Append(b []byte) []byte {
	b, at := beginPart(b, SyncGapPart, g.Lane)
	b = binary.BigEndian.AppendUint64(b, g.Log)
	return endTLV(appendRanges(b, g.Ranges), at)
}

func appendRanges(b []byte, ranges []SyncRange) []byte {
	for _, r := range ranges[:min(len(ranges), MaxSyncRanges)] {
		b = binary.BigEndian.AppendUint64(b, r.First)
		b = binary.BigEndian.AppendUint64(b, r.Last)
	}
	return b
}

// Append appends the credit: 20 bytes.
func (c SyncCredit) Append(b []byte) []byte {
	b, at := beginPart(b, SyncCreditPart, LaneBulk)
	b = binary.BigEndian.AppendUint64(b, c.Log)
	b = binary.BigEndian.AppendUint64(b, c.Limit)
	return endTLV(b, at)
}

// Append appends the request: 157 bytes, 174 with a slot table.
func (r *SyncRequest) Append(b []byte) []byte {
	b, at := beginPart(b, SyncRequestPart, LaneBulk)
	b = binary.BigEndian.AppendUint64(b, r.Log)
	b = append(b, byte(r.Want))
	b = binary.BigEndian.AppendUint64(b, r.Through)
	b = binary.BigEndian.AppendUint64(b, r.Limit)
	b = append(b, r.Buckets[:]...)
	return endTLV(r.Table.append(b), at)
}

// Append appends the answer: 17 bytes.
func (a SyncAnswer) Append(b []byte) []byte {
	b, at := beginPart(b, SyncAnswerPart, LaneBulk)
	b = binary.BigEndian.AppendUint64(b, a.Log)
	b = append(b, byte(a.Result))
	b = binary.BigEndian.AppendUint32(b, a.Records)
	return endTLV(b, at)
}

// AppendSyncWords appends a record of SyncTableWords, 12 bytes long and 12 more for each word: the words of the buckets
// from first on, MaxSyncWords at most.
func AppendSyncWords(b []byte, first int, words []SyncWord) []byte {
	b, at := beginRecord(b, SyncTableWords)
	b = binary.BigEndian.AppendUint16(b, uint16(first))
	for _, w := range words {
		b = binary.BigEndian.AppendUint64(b, w.Xor)
		b = binary.BigEndian.AppendUint32(b, w.Count)
	}
	return endRecord(b, at)
}

// Append appends a record of SyncTableEnd: 24 bytes.
func (e SyncEnd) Append(b []byte) []byte {
	b, at := beginRecord(b, SyncTableEnd)
	b = binary.BigEndian.AppendUint64(b, e.Position)
	b = binary.BigEndian.AppendUint32(b, e.Records)
	return endRecord(append(b, flag(e.Complete, flagEndComplete)), at)
}

// beginRecord appends a record's head and returns where the record begins; endRecord completes it.
func beginRecord(b []byte, table uint8) ([]byte, int) {
	at := len(b)
	return append(b, 0, 0, table, recordNew, 0, 0, 0, 0), at
}

func endRecord(b []byte, at int) []byte {
	n := len(b) - at
	binary.BigEndian.PutUint16(b[at:], uint16(n))
	for range -n & 3 {
		b = append(b, 0)
	}
	return b
}

// append appends the value of a HELLO's TLV.
func (s SyncView) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, s.Incarnation)
	b = append(b, byte(s.Role), flag(s.Current, flagSyncCurrent)|flag(s.AtRisk, flagSyncAtRisk))
	b = binary.BigEndian.AppendUint32(b, s.Entries)
	b = binary.BigEndian.AppendUint64(b, s.Digest)
	b = binary.BigEndian.AppendUint32(b, s.LagRecords)
	b = binary.BigEndian.AppendUint32(b, s.LagMs)
	return binary.BigEndian.AppendUint64(b, s.Sequence)
}
