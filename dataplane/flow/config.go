// SPDX-License-Identifier: Apache-2.0

package flow

import "fmt"

// Defaults of SenderConfig, ReceiverConfig and BulkConfig. Times are in nanoseconds.
const (
	// DefaultPayload fits a frame of 1400 bytes (ccp.MaxFrameLen) with its header, seal, echoes and the batch's own words.
	DefaultPayload = 1200
	// DefaultBatchDelay is how long an item waits for company.
	DefaultBatchDelay = int64(1e6)
	// DefaultWindow is how many batches are under way to one peer at once: below half of what receivers hold, and about 1 MB of socket
	// buffer on the peer.
	DefaultWindow = 512
	// DefaultBytes bounds what a sender holds. Two seconds of 20,000 connections a second are about 20 MB.
	DefaultBytes = 64 << 20
	// DefaultDeadline is how long a peer may be silent while something waits for its acknowledgement. An outage of two seconds must
	// not cost a repair.
	DefaultDeadline = int64(4e9)
	// DefaultLag is how far a peer that does acknowledge may fall behind.
	DefaultLag = int64(10e9)
	// DefaultReorder is how long a receiver waits for what is missing before it asks: frames on two interfaces overtake each other.
	DefaultReorder = int64(1e6)
	// DefaultAckDelay and DefaultAckEvery are after how long, and after how many batches, a receiver acknowledges.
	DefaultAckDelay = int64(2e6)
	DefaultAckEvery = 32
	// DefaultHold is how many batches from the first missing one on a receiver holds.
	DefaultHold = 1024
	// DefaultCredit is how many bytes a bulk sender may be ahead of what the receiver has consumed.
	DefaultCredit = 1 << 20
)

// How retransmission behaves; not configurable. Times are in nanoseconds.
const (
	firstRTO     = int64(50e6)  // before there is any measurement
	minRTO       = int64(10e6)  // several times the delay of an acknowledgement
	maxRTO       = int64(200e6) // so that the end of an outage is noticed soon
	minWindow    = 4            // batches under way after time-outs: enough for a request to arise
	againAfter   = int64(2e6)   // a request does not repeat what was repeated so recently, unless the round trip is longer
	askAgain     = int64(5e6)   // how soon a request is repeated; doubling
	askAgainMax  = int64(80e6)  // up to this
	announceMax  = int64(1e9)   // how rarely a silent peer is told its floor
	announceFast = int64(50e6)  // and how often at first
	returnPause  = int64(1e9)   // a peer evicted again waits so long before it may return; doubling
	returnMax    = int64(16e9)  // up to this
	calmAfter    = int64(60e9)  // a peer not evicted for so long is as good as one that never was
	leftFor      = int64(1e9)   // a log that was left is stale while the present one was heard so lately; if not, leaving it was the mistake
	ownStall     = int64(250e6) // not having been asked for so long, a sender with work blames itself, not its peers
)

// SenderConfig says how a Sender behaves. The zero value of every field but Log means its default.
type SenderConfig struct {
	// Log is the sender's incarnation. It must never have been used before. Not zero.
	Log uint64
	// Payload is the most bytes one batch carries.
	Payload int
	// BatchDelay is how long an item waits for others, in ns.
	BatchDelay int64
	// Window is how many unacknowledged batches are under way to one peer; at most the receivers' Hold.
	Window int
	// Bytes is the most that may be held, waiting or unacknowledged. Above three quarters of it no refresh is taken; above all of it the
	// refreshes that wait are given up, then the slowest peer is evicted, and so on.
	Bytes int
	// Deadline is how long a peer may leave everything unacknowledged before it is evicted, in ns.
	Deadline int64
	// Lag is how old the oldest batch may get that a peer has not acknowledged, though it acknowledges others, in ns.
	Lag int64
	// Merge, if not nil, appends to dst, which is empty, the data that stands for older and newer, one after the other, and returns it: what a
	// change or refresh makes of what waits of its key. Without it the newer one's data stands for both. It must not keep any of them.
	Merge func(dst, older, newer []byte) []byte
	// Created, if not nil, is called when a change or refresh takes the place of a creation that is not batched yet, with the sender's own copy
	// of its data: it is to make that say that it creates. It must not keep or lengthen it.
	Created func(data []byte)
	// Packer, if not nil, lays out the items of the batches that are made while [Sender.SetPacking] is on.
	Packer Packer
}

// Packer lays out a batch's items so that they take less room than one behind the other. What it makes is opaque here.
type Packer interface {
	// Begin begins a batch: dst is what Append appends to.
	Begin(dst []byte) []byte
	// Append appends an item unless dst, size bytes long at most, has no room for it: false, and dst as it was. The item does not change
	// before the next Begin.
	Append(dst, data []byte, size int) ([]byte, bool)
}

// ReceiverConfig says how a Receiver or BulkReceiver behaves. The zero value means the defaults.
type ReceiverConfig struct {
	// Reorder is how long something may be missing before it is asked for, in ns.
	Reorder int64
	// AckDelay is how long what was received waits for its acknowledgement, in ns.
	AckDelay int64
	// AckEvery is after how many batches an acknowledgement goes out at once.
	AckEvery int
	// Hold is how many batches from the first missing one on are held.
	Hold int
	// Credit is how many bytes a bulk sender may be ahead of what was consumed. The delta lane does not use it.
	Credit int
}

// BulkConfig says how a BulkSender behaves. The zero value of every field but Session means its default.
type BulkConfig struct {
	// Session numbers this transfer: the receiver's choice, never used before between the two. Not zero. A request for it that comes again
	// after it was done must not begin it again.
	Session uint64
	// Payload is the most bytes one batch carries.
	Payload int
	// Window is how many unacknowledged batches are under way; at most the receiver's Hold.
	Window int
	// Packer, if not nil, lays out the batches' items. What it makes is what the receiver's credit counts.
	Packer Packer
}

func orElse[T int | int64](v *T, def T) {
	if *v == 0 {
		*v = def
	}
}

func (c SenderConfig) complete() (SenderConfig, error) {
	orElse(&c.Payload, DefaultPayload)
	orElse(&c.BatchDelay, DefaultBatchDelay)
	orElse(&c.Window, DefaultWindow)
	orElse(&c.Bytes, DefaultBytes)
	orElse(&c.Deadline, DefaultDeadline)
	orElse(&c.Lag, DefaultLag)
	switch {
	case c.Log == 0:
		return c, fmt.Errorf("%w: the log is 0; it must be the sender's incarnation", ErrConfig)
	case c.Payload < 1 || c.Payload > 1<<16:
		return c, fmt.Errorf("%w: a payload of %d bytes; it must be 1 to 65536", ErrConfig, c.Payload)
	case c.Window < minWindow || c.Window > maxSpan:
		return c, fmt.Errorf("%w: a window of %d batches; it must be %d to %d", ErrConfig, c.Window, minWindow, maxSpan)
	case c.BatchDelay < 0 || c.Deadline < 0 || c.Lag < 0:
		return c, fmt.Errorf("%w: a delay of %d, deadline of %d, lag of %d ns; none may be negative", ErrConfig, c.BatchDelay, c.Deadline, c.Lag)
	case c.Bytes < 4*c.Payload:
		return c, fmt.Errorf("%w: %d bytes are less than four batches of %d", ErrConfig, c.Bytes, c.Payload)
	}
	return c, nil
}

func (c ReceiverConfig) complete() (ReceiverConfig, error) {
	orElse(&c.Reorder, DefaultReorder)
	orElse(&c.AckDelay, DefaultAckDelay)
	orElse(&c.AckEvery, DefaultAckEvery)
	orElse(&c.Hold, DefaultHold)
	orElse(&c.Credit, DefaultCredit)
	switch {
	case c.Reorder < 0 || c.AckDelay < 0:
		return c, fmt.Errorf("%w: a reordering allowance of %d, acknowledgement delay of %d ns; neither may be negative", ErrConfig, c.Reorder, c.AckDelay)
	case c.AckEvery < 1:
		return c, fmt.Errorf("%w: an acknowledgement every %d batches; it must be 1 or more", ErrConfig, c.AckEvery)
	case c.Hold < minWindow || c.Hold > maxSpan:
		return c, fmt.Errorf("%w: %d batches held; it must be %d to %d", ErrConfig, c.Hold, minWindow, maxSpan)
	case c.Credit < 1:
		return c, fmt.Errorf("%w: a credit of %d bytes; it must be 1 or more", ErrConfig, c.Credit)
	}
	return c, nil
}

func (c BulkConfig) complete() (BulkConfig, error) {
	orElse(&c.Payload, DefaultPayload)
	orElse(&c.Window, DefaultWindow)
	switch {
	case c.Session == 0:
		return c, fmt.Errorf("%w: the session is 0; it must be the number that the receiver chose", ErrConfig)
	case c.Payload < 1 || c.Payload > 1<<16:
		return c, fmt.Errorf("%w: a payload of %d bytes; it must be 1 to 65536", ErrConfig, c.Payload)
	case c.Window < minWindow || c.Window > maxSpan:
		return c, fmt.Errorf("%w: a window of %d batches; it must be %d to %d", ErrConfig, c.Window, minWindow, maxSpan)
	}
	return c, nil
}
