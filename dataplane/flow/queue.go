// SPDX-License-Identifier: Apache-2.0

package flow

// entry is one item that waits to be batched.
type entry struct {
	key        uint64
	number     uint64 // counts entries: where in the queue
	added      int64
	data       []byte // its capacity stays with the entry when that is used again
	prev, next int32  // neighbours in the queue; next also chains the free ones
	class      Class
	fresh      bool // no peer can have the key: a deletion annuls it
}

const (
	// entrySlab is how many entries are made at once, entryBytes what each has room for at first: more than most records of a connection.
	entrySlab  = 64
	entryBytes = 256
	// entriesKept is how many entries an empty queue keeps; the others are left to the collector.
	entriesKept = 4096
	// entryCost is what an entry costs besides its data, in bytes: itself and its share of the index.
	entryCost = 200
)

// queue holds the items that wait, in order, and merges those of one key. Entry 0 is the head and tail of the list.
type queue struct {
	entries []entry
	free    int32
	byKey   index
	items   int
	bytes   int // of data
	number  uint64
	barrier uint64 // the number of the last mark: nothing merges with an entry below
	solid   uint64 // nothing up to this number is annulled
	mark    int32  // the mark that waits, or 0

	keepDeletes bool
	packing     bool // batches are laid out by the packer
	tight       bool // no refresh is taken that would need room
	cfg         SenderConfig
	merged      []byte // what Merge made last
	n           *SenderCounters
}

func newQueue(cfg SenderConfig, n *SenderCounters) queue {
	return queue{entries: make([]entry, 1, entrySlab+1), byKey: newIndex(), cfg: cfg, n: n}
}

// cost is what the queue holds, in bytes.
func (q *queue) cost() int { return q.bytes + q.items*entryCost }

// oldest returns when the first item was added, or never.
func (q *queue) oldest() int64 {
	if q.items == 0 {
		return never
	}
	return q.entries[q.entries[0].next].added
}

// add takes one valid item. What becomes of it depends on what waits of the same key since the last mark.
func (q *queue) add(now int64, it Item) {
	if it.Class == Mark {
		q.addMark(now, it)
		return
	}
	at := q.byKey.get(it.Key)
	if at == 0 {
		q.addFirst(now, it, it.Class == News)
		return
	}
	old := &q.entries[at]
	if old.number < q.barrier {
		// If what waits before the mark is no deletion, the deletion was lost, and peers have the key.
		q.addFirst(now, it, it.Class == News && old.class == Delete)
		return
	}
	switch {
	case old.class == Delete && it.Class == Delete:
		q.n.Coalesced++
	case old.class == Delete:
		// Both are sent: what a peer has of the key may differ from what is created now in more than can be changed.
		q.push(now, it, it.Class == News)
	case it.Class == News:
		// The deletion between was lost. Both are sent: what was created since may need what the first has given up.
		q.push(now, it, false)
	case it.Class == Delete && old.fresh && old.number > q.solid && !q.keepDeletes:
		q.n.Annulled += 2
		q.remove(at)
	case it.Class == Delete:
		// At its own place, not the earlier one's: an item between may need the key to exist.
		if old.class != News || old.fresh {
			q.n.Coalesced++
			q.remove(at)
		}
		q.push(now, it, false)
	default:
		// At the earlier one's place: an item between may need the key to exist.
		if q.cfg.Merge != nil {
			q.merged = q.cfg.Merge(q.merged[:0], old.data, it.Data)
			if len(q.merged) > q.cfg.Payload {
				// Both are sent, one after the other.
				q.push(now, it, false)
				return
			}
			it.Data = q.merged
		}
		q.n.Coalesced++
		q.replace(at, it)
	}
}

// addFirst takes an item that nothing waits for it to merge with.
func (q *queue) addFirst(now int64, it Item, fresh bool) {
	if it.Class == Refresh && q.tight {
		q.n.Refreshes++
		return
	}
	q.push(now, it, fresh)
}

// addMark takes a mark, which displaces the one that waits.
func (q *queue) addMark(now int64, it Item) {
	if q.mark != 0 {
		q.n.Marks++
		q.remove(q.mark)
	}
	q.mark = q.push(now, it, false)
	q.barrier = q.number
}

func (q *queue) replace(at int32, it Item) {
	old := &q.entries[at]
	q.bytes += len(it.Data) - len(old.data)
	old.data = append(old.data[:0], it.Data...)
	switch {
	case old.class == News:
		if q.cfg.Created != nil {
			q.cfg.Created(old.data)
		}
	case it.Class == Change:
		old.class = Change
	}
}

// push appends an item to the list and returns its entry.
func (q *queue) push(now int64, it Item, fresh bool) int32 {
	if q.free == 0 {
		q.more()
	}
	at := q.free
	e := &q.entries[at]
	q.free = e.next
	q.number++
	last := q.entries[0].prev
	e.key, e.number, e.added, e.class, e.fresh = it.Key, q.number, now, it.Class, fresh
	e.data = append(e.data[:0], it.Data...)
	e.prev, e.next = last, 0
	q.entries[last].next = at
	q.entries[0].prev = at
	if it.Class != Mark {
		q.byKey.put(it.Key, at)
	}
	q.items++
	q.bytes += len(it.Data)
	return at
}

// more makes a slab of free entries.
func (q *queue) more() {
	slab := make([]byte, entrySlab*entryBytes)
	for range entrySlab {
		q.entries = append(q.entries, entry{data: slab[:0:entryBytes], next: q.free})
		q.free = int32(len(q.entries) - 1)
		slab = slab[entryBytes:]
	}
}

// remove takes an entry out of the list.
func (q *queue) remove(at int32) {
	e := &q.entries[at]
	if e.class == Mark {
		q.mark = 0
	} else {
		q.byKey.remove(e.key, at)
	}
	q.entries[e.prev].next = e.next
	q.entries[e.next].prev = e.prev
	q.items--
	q.bytes -= len(e.data)
	e.next, q.free = q.free, at
	if q.items == 0 && len(q.entries) > entriesKept {
		q.reset()
	}
}

// reset drops everything, and the memory that it took.
func (q *queue) reset() {
	fresh := newQueue(q.cfg, q.n)
	fresh.number, fresh.barrier, fresh.solid = q.number, q.barrier, q.solid
	fresh.keepDeletes, fresh.packing, fresh.tight = q.keepDeletes, q.packing, q.tight
	*q = fresh
}

// take moves items from the front into payload, which is empty, as many as its room of size bytes holds, and returns it and how many they were.
func (q *queue) take(payload []byte, size int) ([]byte, int) {
	var b layout
	if q.packing {
		b.packer = q.cfg.Packer
	}
	for q.items > 0 {
		at := q.entries[0].next
		var ok bool
		// Entries are not used again before the next item is added, so that their data stays as the packer may want it.
		if payload, ok = b.add(payload, q.entries[at].data, size); !ok {
			break
		}
		q.remove(at)
	}
	return payload, b.items
}

// giveUpRefreshes drops every refresh that waits.
func (q *queue) giveUpRefreshes() {
	for at := q.entries[0].next; at != 0; {
		next := q.entries[at].next
		if q.entries[at].class == Refresh {
			q.n.Refreshes++
			q.remove(at)
		}
		at = next
		if q.items == 0 {
			return // the entries may be others now
		}
	}
}

// setKeepDeletes switches whether deletions are sent even if their creation was not.
func (q *queue) setKeepDeletes(on bool) {
	if q.keepDeletes && !on {
		q.solid = q.number
	}
	q.keepDeletes = on
}
