// SPDX-License-Identifier: Apache-2.0

package flow

// SenderCounters count what a Sender did since it was made or reset. Numbers of items, unless they say otherwise.
type SenderCounters struct {
	Added     uint64 // taken by Add
	Unheard   uint64 // added or waiting while no peer was there to hear of it
	Coalesced uint64 // merged into, or displaced by, a later one of their key
	Annulled  uint64 // creations that never left because their deletion followed, and those deletions
	Refreshes uint64 // refreshes given up under overload
	Marks     uint64 // marks displaced by a later mark
	Refused   uint64 // that Add returned an error for

	Batches       uint64 // batches made
	BatchedItems  uint64 // items in them
	BatchedBytes  uint64 // bytes of payload in them
	Sent          uint64 // batches sent to peers, each transmission counted
	Requested     uint64 // of these, again because the peer asked
	TimedOut      uint64 // of these, again because no acknowledgement came
	Announcements uint64 // floors told to peers that join or return
	Lost          uint64 // batches that evicted peers never got

	Acks      uint64 // acknowledgements that counted
	Gaps      uint64 // requests that counted
	Stale     uint64 // either, of another log, incarnation or peer
	Malformed uint64 // either, of what was never sent

	Evictions uint64
	Returns   uint64

	PeakItems   int // the most items that ever waited
	PeakBytes   int // the most bytes that ever were held, waiting or unacknowledged
	PeakBatches int // the most batches that ever were unacknowledged
}

// ReceiverCounters count what a Receiver or BulkReceiver did since it was made or reset. Numbers of batches, unless they say otherwise.
type ReceiverCounters struct {
	Received   uint64 // given to Receive, of whatever verdict
	Delivered  uint64 // handed out
	Bytes      uint64 // bytes of payload handed out
	Reordered  uint64 // held because something before them was missing
	Duplicates uint64
	Stale      uint64
	Beyond     uint64
	Malformed  uint64
	Floors     uint64 // without payload
	Gaps       uint64 // times that something was missing
	Requests   uint64 // requests for what was missing
	Missed     uint64 // sequences that will never come: the sender gave them up
	Logs       uint64 // logs begun
	Acks       uint64 // acknowledgements sent
	PeakHeld   int    // the most that ever were held
}

// count counts a transmission of what has fared so far as sl says.
func (n *SenderCounters) count(sl slot) {
	n.Sent++
	switch {
	case sl.asked:
		n.Requested++
	case sl.tries > 0:
		n.TimedOut++
	}
}
