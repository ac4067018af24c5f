// SPDX-License-Identifier: Apache-2.0

package flow

// BulkReceiver is the receiving end of the bulk lane from one peer: of one session after the other. Create it with NewBulkReceiver; it is not safe
// for concurrent use. It is used as a Receiver is; besides, it is told what was applied ([BulkReceiver.Consumed]), and sends what
// [BulkReceiver.Credit] returns.
type BulkReceiver struct {
	inbox
	taken    uint64 // bytes handed out in this session
	consumed uint64 // of these, applied
	told     uint64 // the last limit that was sent
	creditAt int64  // when it is to be sent again, or never
}

// NewBulkReceiver returns a receiver without a session: it takes nothing. The error wraps ErrConfig.
func NewBulkReceiver(cfg ReceiverConfig) (*BulkReceiver, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return &BulkReceiver{inbox: newInbox(LaneBulk, cfg), creditAt: never}, nil
}

// Open begins a session under a number never used before between the two, not zero, and drops what is left of the one before. The credit for
// it is due at once.
func (r *BulkReceiver) Open(now int64, session uint64) {
	r.call()
	r.begin(session, 1)
	r.taken, r.consumed, r.told, r.creditAt = 0, 0, 0, now
}

// Shut ends the session: whatever still comes of it is stale.
func (r *BulkReceiver) Shut() {
	r.call()
	r.begin(0, 1)
	r.creditAt = never
}

// Receive takes a batch. Missed and Started of what it returns are never set.
func (r *BulkReceiver) Receive(now int64, b Batch) (got Received) {
	r.call()
	r.n.Received++
	switch {
	case !r.wellFormed(b) || (b.Log == r.log && b.Floor > r.next):
		r.n.Malformed++
		return Received{Verdict: Malformed}
	case b.Log != r.log:
		r.n.Stale++
		return Received{Verdict: Stale}
	case b.Sequence == 0:
		r.n.Floors++
		r.ackAt, r.creditAt = now, now
		return got
	case r.taken+uint64(r.bytes+len(b.Payload)) > r.limit() && b.Sequence >= r.next:
		r.n.Beyond++
		return Received{Verdict: Beyond}
	}
	got.Verdict = r.take(now, b)
	for _, b := range r.ready {
		r.taken += uint64(len(b.Payload))
	}
	got.Ready = r.ready
	return got
}

func (r *BulkReceiver) limit() uint64 { return r.consumed + uint64(r.cfg.Credit) }

// Consumed says that so many bytes of payload that were handed out are applied, and so may be followed by others.
func (r *BulkReceiver) Consumed(now int64, bytes int) {
	r.consumed = min(r.consumed+uint64(max(bytes, 0)), r.taken)
	if r.limit()-r.told >= uint64(r.cfg.Credit)/4 {
		r.creditAt = min(r.creditAt, now)
	}
}

// Ack returns the acknowledgement that is due; ok is false if none is. Its ranges are good until the next call of any method.
func (r *BulkReceiver) Ack(now int64) (a Ack, ok bool) { return r.ack(now) }

// Gap returns the request that is due; ok is false if none is. Its ranges are good until the next call of any method.
func (r *BulkReceiver) Gap(now int64) (g Gap, ok bool) { return r.gap(now) }

// Credit returns the credit that is due; ok is false if none is.
func (r *BulkReceiver) Credit(now int64) (c Credit, ok bool) {
	if now < r.creditAt {
		return Credit{}, false
	}
	r.creditAt, r.told = never, r.limit()
	return Credit{Log: r.log, Limit: r.told}, true
}

// Wake returns when something is to be sent, if nothing comes before: a time, perhaps past, or math.MaxInt64.
func (r *BulkReceiver) Wake() int64 { return min(r.wake(), r.creditAt) }

// Session returns the number of the session, 0 if there is none.
func (r *BulkReceiver) Session() uint64 { return r.log }

// Counters returns what was counted since the receiver was made, or ResetCounters called.
func (r *BulkReceiver) Counters() ReceiverCounters { return r.n }

// ResetCounters sets all counters to zero.
func (r *BulkReceiver) ResetCounters() { r.n = ReceiverCounters{} }
