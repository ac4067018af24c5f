// SPDX-License-Identifier: Apache-2.0

// Package flow carries the changes of one member's connection table to the others: in order, without loss, in bounded memory, and
// without ever waiting for anybody. It is pure: no clock, socket, goroutine or randomness; time is an int64 of CLOCK_BOOTTIME
// nanoseconds that comes in as an argument, frames come in and go out as values. What is in an item it does not know.
//
// # Lanes
//
// Between each ordered pair of members there are two lanes. On both, items travel in batches, numbered from 1 within a log, each
// as large as one frame carries; the receiver acknowledges them by ranges, asks for what is missing, and hands them out in order.
//
//   - The delta lane ([Sender], [Receiver]) carries what changes. There is one log for all peers, each of which has a cursor of its
//     own: a batch is made once and sealed once for each. Nothing that was added is lost to a peer that keeps up. One that does not is
//     evicted, so that it costs the others nothing, and told when it returns that it missed something.
//   - The bulk lane ([BulkSender], [BulkReceiver]) carries what is asked for: a full sync, a repair. There is a log for each asking, the
//     session, and it goes no faster than the receiver's credit.
//
// # Logs, floors and restarts
//
// A [Batch] names its log (the sender's incarnation on the delta lane, the session's number on the bulk lane) and its floor: the
// lowest sequence that the sender still owes this receiver. One rule about the floor covers all beginnings and losses of memory: a
// receiver waits for nothing below the floor. One that knows nothing of the log begins there; one that lacks something
// below it, because it was evicted or has forgotten, goes on from there and reports what it missed, which only a repair can
// make good. A batch with sequence 0 carries nothing but the floor: it tells a peer that joins or returns where it stands,
// and asks it to answer.
//
// Acknowledgements are facts, and never taken back: what was acknowledged by a range is kept until it is handed out. They count
// only for the peer's present incarnation, and only for the log they name.
//
// # Overload
//
// Items wait, unbatched, until some peer has room for them (or 1 ms, for company). While they wait:
//
//   - a change or refresh of a key takes the place of what still waits of that key, with what only that one says if the caller merges them;
//   - a deletion removes it, and is itself not sent if the creation was not sent either;
//   - a deletion that waits is never overtaken by anything later of the same key, nor anything earlier of it sent after the deletion;
//   - a mark divides: nothing after it merges with anything before it, so that it stands for exactly the state at which it was added.
//
// When memory runs short, first refreshes are given up, then the slowest peer. Creations, changes and deletions are never given up
// for a peer that is not evicted.
package flow
