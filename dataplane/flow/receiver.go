// SPDX-License-Identifier: Apache-2.0

package flow

// Receiver is the receiving end of the delta lane from one peer. Create it with NewReceiver; it is not safe for concurrent use.
//
// Its caller gives it every batch that comes ([Receiver.Receive]) and applies what is handed out. After each lot, and when [Receiver.Wake] is due, it
// sends what [Receiver.Ack] and [Receiver.Gap] return. What was acknowledged has been handed out or will be: acknowledge after applying.
type Receiver struct {
	inbox
	left  [8]uint64 // logs that are not gone back to while the present one is heard
	turn  int
	heard int64 // when the present log was heard last
}

// Received is what a batch has led to.
type Received struct {
	Verdict Verdict
	// Ready is what is to be applied, in order, whatever the verdict: a floor may have let go of what was held. The payloads are the receiver's, or the given batch's: they are good until the next call
	// of any of its methods.
	Ready []Batch
	// Started: the batch is the first of its log. Of what the sender said before its floor nothing is known.
	Started bool
	// Missed is how many batches never come: the sender gave them up. What is held of them, and after them, is in Ready. Only a
	// repair makes it good.
	Missed uint64
}

// NewReceiver returns a receiver that knows of no log yet. The error wraps ErrConfig.
func NewReceiver(cfg ReceiverConfig) (*Receiver, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	return &Receiver{inbox: newInbox(LaneDelta, cfg)}, nil
}

// Receive takes a batch. It must have come in a frame that its sender sealed for the receiver's present incarnation.
func (r *Receiver) Receive(now int64, b Batch) (got Received) {
	r.call()
	r.n.Received++
	if !r.wellFormed(b) {
		r.n.Malformed++
		return Received{Verdict: Malformed}
	}
	if b.Log != r.log {
		if r.hasLeft(b.Log) && now-r.heard < leftFor {
			r.n.Stale++
			return Received{Verdict: Stale}
		}
		got.Started = true
		got.Missed = r.leave(b.Log, b.Floor)
	}
	r.heard = now
	if b.Floor > r.next {
		got.Missed += r.skip(b.Floor)
		r.look(now)
	}
	if b.Sequence == 0 {
		r.n.Floors++
		r.ackAt = now
	} else {
		got.Verdict = r.take(now, b)
	}
	got.Ready = r.ready
	return got
}

func (r *Receiver) hasLeft(log uint64) bool {
	for _, l := range r.left {
		if l == log {
			return true
		}
	}
	return false
}

// leave turns to another log, and hands out what is held of the old one.
func (r *Receiver) leave(log, floor uint64) (missed uint64) {
	if r.log != 0 {
		missed = r.skip(r.end)
		r.left[r.turn] = r.log
		r.turn = (r.turn + 1) % len(r.left)
	}
	r.begin(log, floor)
	return missed
}

// Drain hands out everything that is held, though something before it is missing, as when its sender may be gone. Missing is how many batches that is:
// nothing is given up for it. They are asked for as ever, and handed out if they come after all; what was handed out here is not again. The
// payloads are good until the next call of any method.
func (r *Receiver) Drain(now int64) (ready []Batch, missing uint64) {
	r.call()
	if r.count > 0 {
		missing = r.drain()
		r.ackAt = now
	}
	return r.ready, missing
}

// Ack returns the acknowledgement that is due; ok is false if none is. Its ranges are good until the next call of any method.
func (r *Receiver) Ack(now int64) (a Ack, ok bool) { return r.ack(now) }

// Gap returns the request that is due; ok is false if none is. Its ranges are good until the next call of any method.
func (r *Receiver) Gap(now int64) (g Gap, ok bool) { return r.gap(now) }

// Wake returns when an acknowledgement or a request is due, if nothing comes before: a time, perhaps past, or math.MaxInt64.
func (r *Receiver) Wake() int64 { return r.wake() }

// Log returns the number of the log, 0 before the first batch.
func (r *Receiver) Log() uint64 { return r.log }

// Position returns the sequence of the last batch that was handed out, or given up; 0 before the first.
func (r *Receiver) Position() uint64 {
	if r.log == 0 {
		return 0
	}
	return r.next - 1
}

// Held returns how many batches are held because something before them is missing, and for how long that has been missing, in ns.
func (r *Receiver) Held(now int64) (batches int, missing int64) {
	if r.count == 0 {
		return 0, 0
	}
	return r.count, max(0, now-r.since)
}

// Counters returns what was counted since the receiver was made, or ResetCounters called.
func (r *Receiver) Counters() ReceiverCounters { return r.n }

// ResetCounters sets all counters to zero.
func (r *Receiver) ResetCounters() { r.n = ReceiverCounters{} }
