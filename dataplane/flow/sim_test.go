// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/holdfast-project/holdfast/internal/simtest"
)

// The simulation: one sender with a table, one to three peers with copies of it, two links that lose, delay, double and go out, peers and the
// sender that restart, and repairs as internal/statesync makes them. Keys stand for connections; each has a place that no other may
// have at the same time (as a reply tuple) and cannot change without being deleted.

// simOptions say what a run is made of. The breaks remove a check; each must be found out.
type simOptions struct {
	peers     int
	loss, dup float64 // of each link
	delay     int64   // each frame takes up to this much longer
	links     int
	outages   bool
	restarts  bool
	squeeze   bool // little memory
	rate      float64
	// before is called before everything that happens.
	before func(w *world)
	// onBatch may spoil a batch on its way to a peer.
	onBatch func(b *Batch)
}

type value struct {
	place uint32
	gen   uint32 // counts changes; refreshes do not count
}

type table map[uint64]value

// digest is over what a mark promises to be equal.
func (t table) digest() (sum uint64) {
	for k, v := range t {
		sum ^= mix(k ^ mix(uint64(v.place)<<32|uint64(v.gen)))
	}
	return sum
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// The operations of the simulation's records.
const (
	opCreate = iota + 1
	opUpdate
	opDelete
	opMark
	opEnd
)

// A record is length, op, key, place, generation, number (digest or position), filling.
const recordLen = 26

func encode(op byte, key uint64, v value, number uint64, fill int) []byte {
	b := make([]byte, recordLen+fill)
	b[0], b[1] = byte(len(b)), op
	binary.BigEndian.PutUint64(b[2:], key)
	binary.BigEndian.PutUint32(b[10:], v.place)
	binary.BigEndian.PutUint32(b[14:], v.gen)
	binary.BigEndian.PutUint64(b[18:], number)
	return b
}

type frame struct {
	id     uint64
	toPeer bool
	peer   int
	from   uint64 // incarnation of the sender
	to     uint64 // and of whom it was sealed for
	what   any    // Batch, Ack, Gap, Credit, ask
}

// ask is a peer's request for a repair, under the number of a session.
type ask uint64

// member is a peer of the simulation.
type member struct {
	id          int
	incarnation uint64
	seen        map[uint64]bool // frames, as ccp's window
	r           *Receiver
	b           *BulkReceiver
	copy        table
	places      map[uint32]uint64
	dirty       bool // differs, and says so
	asking      uint64
	askAt       int64
	touched     map[uint64]bool
	listed      map[uint64]bool
	endAt       uint64 // the position to wait for, 0 if the end was not seen
	marks       int
	repairs     int
}

// session is the sender's side of a repair.
type session struct {
	s    *BulkSender
	peer int
	keys []uint64
	next []byte // what Offer refused
	read bool   // all of it
}

type world struct {
	simOptions
	rng      *rand.Rand
	now      int64
	end      int64 // of the faults
	snd      *Sender
	log      uint64
	seen     map[uint64]bool
	table    table
	taken    map[uint32]bool
	members  []*member
	sessions []*session
	served   map[uint64]bool // sessions that were begun
	wire     simtest.Agenda[frame]
	id       uint64
	down     [2]int64 // until when a link is out
	nextOp   int64
	nextMark int64
	nextBad  int64
	spins    int
	total    SenderCounters // of the senders before a restart
	marks    int
	repairs  int
	err      error
}

func (w *world) fail(format string, args ...any) {
	if w.err == nil {
		w.err = fmt.Errorf("at %.3f ms: %s", float64(w.now)/1e6, fmt.Sprintf(format, args...))
	}
}

func newWorld(seed uint64, o simOptions) *world {
	w := &world{simOptions: o, rng: rand.New(rand.NewPCG(seed, 1)), table: table{}, taken: map[uint32]bool{}, seen: map[uint64]bool{}}
	w.now = int64(1e9)
	w.end = w.now + int64(1500e6)
	w.nextOp, w.nextMark, w.nextBad = w.now, w.now+20*ms, w.now+w.rng.Int64N(300*ms)
	for i := range o.peers {
		m := &member{id: i}
		w.members = append(w.members, m)
		w.bootMember(m)
	}
	w.bootSender()
	return w
}

func (w *world) bootSender() {
	c := SenderConfig{Log: w.rng.Uint64() | 1, Payload: 200 + w.rng.IntN(1000), Window: 8 << w.rng.IntN(5), Deadline: 300 * ms, Lag: 900 * ms,
		Created: func(b []byte) { b[1] = opCreate }}
	if w.squeeze {
		c.Bytes = 40_000
	}
	if w.snd != nil {
		w.count()
	}
	w.log = c.Log
	var err error
	if w.snd, err = NewSender(c); err != nil {
		panic(err)
	}
	w.sessions, w.served = nil, map[uint64]bool{}
	for _, m := range w.members {
		w.snd.SetPeer(w.now, uint8(m.id), m.incarnation)
	}
}

func (w *world) count() {
	n := w.snd.Counters()
	w.total.Coalesced += n.Coalesced
	w.total.Annulled += n.Annulled
	w.total.Refreshes += n.Refreshes
	w.total.Evictions += n.Evictions
	w.total.Returns += n.Returns
	w.total.Requested += n.Requested
	w.total.TimedOut += n.TimedOut
	w.total.Malformed += n.Malformed
}

// bootMember starts a peer's daemon; its table stays.
func (w *world) bootMember(m *member) {
	m.incarnation = w.rng.Uint64()
	m.seen = map[uint64]bool{}
	c := ReceiverConfig{Reorder: ms + w.rng.Int64N(3*ms), AckEvery: 1 + w.rng.IntN(32), Hold: 128 << w.rng.IntN(3), Credit: 4096 << w.rng.IntN(4)}
	var err error
	if m.r, err = NewReceiver(c); err != nil {
		panic(err)
	}
	if m.b, err = NewBulkReceiver(c); err != nil {
		panic(err)
	}
	if m.copy == nil {
		m.copy, m.places = table{}, map[uint32]uint64{}
	}
	w.soil(m)
}

// soil notes that a peer may differ, and has it ask for a repair.
func (w *world) soil(m *member) {
	m.dirty = true
	m.asking = 0
	m.b.Shut()
	m.askAt = w.now + w.rng.Int64N(20*ms)
}

// run plays until all is calm and everything must be equal.
func (w *world) run() error {
	calm := w.end + 5_000*ms
	for w.err == nil && w.now < calm {
		if w.before != nil {
			w.before(w)
		}
		w.sendAll()
		if w.now > w.end && w.settled() {
			break
		}
		w.now = max(w.now, w.soonest())
		w.happen()
	}
	w.count()
	if w.err != nil {
		return w.err
	}
	for _, m := range w.members {
		w.marks += m.marks
		w.repairs += m.repairs
		if m.dirty {
			return fmt.Errorf("peer %d is still being repaired 5 s after the faults", m.id)
		}
		if !w.snd.Settled(uint8(m.id)) {
			return fmt.Errorf("peer %d has not acknowledged everything 5 s after the faults: %+v", m.id, w.snd.Peers(w.now, nil))
		}
		if m.copy.digest() != w.table.digest() {
			return fmt.Errorf("peer %d has %d entries, the sender %d, and they differ", m.id, len(m.copy), len(w.table))
		}
	}
	return nil
}

func (w *world) settled() bool {
	for _, m := range w.members {
		if m.dirty || !w.snd.Settled(uint8(m.id)) {
			return false
		}
	}
	return len(w.sessions) == 0
}

// soonest is when something happens next.
func (w *world) soonest() int64 {
	at := w.snd.Wake()
	if next, ok := w.wire.Next(); ok {
		at = min(at, next)
	}
	if w.now < w.end {
		at = min(at, w.nextOp, w.nextMark, w.nextBad)
	}
	for _, m := range w.members {
		at = min(at, m.r.Wake(), m.b.Wake())
		if m.dirty {
			at = min(at, m.askAt)
		}
	}
	for _, s := range w.sessions {
		at = min(at, s.s.Wake())
		if s.s.Room() > 0 && (s.next != nil || !s.read) {
			at = min(at, w.now+100_000) // the dump is read on
		}
	}
	if at == never {
		at = w.end + 5_000*ms
	}
	if at <= w.now {
		if w.spins++; w.spins > 10_000 {
			w.fail("something wakes without doing anything")
		}
	} else {
		w.spins = 0
	}
	return at
}

// happen lets everything happen that is due.
func (w *world) happen() {
	for w.wire.Due(w.now) && w.err == nil {
		_, f := w.wire.Take()
		w.arrive(f)
	}
	if w.now >= w.end {
		return
	}
	for w.nextOp <= w.now {
		w.nextOp += int64(w.rng.ExpFloat64() * 1e6 / w.rate)
		w.operate()
	}
	if w.nextMark <= w.now {
		w.nextMark += 5*ms + w.rng.Int64N(30*ms)
		w.add(Item{Class: Mark, Data: encode(opMark, 0, value{}, w.table.digest(), 0)})
	}
	if w.nextBad <= w.now {
		w.nextBad += w.rng.Int64N(400 * ms)
		w.harm()
	}
}

// harm makes a fault.
func (w *world) harm() {
	switch k := w.rng.IntN(10); {
	case k < 5 && w.outages:
		until := w.now + w.rng.Int64N(450*ms)
		w.down[w.rng.IntN(2)] = until
		if k < 3 {
			w.down = [2]int64{until, until}
		}
	case k == 5 && w.restarts:
		w.bootSender()
	case k < 8 && w.restarts:
		m := w.members[w.rng.IntN(len(w.members))]
		w.bootMember(m)
		w.snd.SetPeer(w.now, uint8(m.id), m.incarnation)
		w.sessions = slices.DeleteFunc(w.sessions, func(s *session) bool { return s.peer == m.id })
	}
}

func (w *world) add(it Item) {
	if err := w.snd.Add(w.now, it); err != nil {
		w.fail("add: %v", err)
	}
	if held := w.snd.held(); held > w.snd.cfg.Bytes {
		w.fail("%d bytes are held; %d are allowed", held, w.snd.cfg.Bytes)
	}
}

func (w *world) freePlace() uint32 {
	for {
		if p := uint32(w.rng.IntN(300)); !w.taken[p] {
			w.taken[p] = true
			return p
		}
	}
}

// waits says whether anything but a deletion waits of the key.
func (w *world) waits(key uint64) bool {
	at := w.snd.queue.byKey.get(key)
	return at != 0 && w.snd.queue.entries[at].class != Delete
}

// operate changes the sender's table.
func (w *world) operate() {
	key := mix(uint64(w.rng.IntN(150)))
	fill := w.rng.IntN(60)
	v, ok := w.table[key]
	switch k := w.rng.IntN(20); {
	case !ok:
		v = value{place: w.freePlace()}
		w.table[key] = v
		w.add(Item{key, News, encode(opCreate, key, v, 0, fill)})
	case k < 6:
		v.gen++
		w.table[key] = v
		w.add(Item{key, Change, encode(opUpdate, key, v, 0, fill)})
	case k < 11:
		w.add(Item{key, Refresh, encode(opUpdate, key, v, 0, fill)})
	case k < 12 && w.waits(key):
		// Deleted and created anew, and the deletion is lost. That nothing waits of the key would be for digests to find.
		old := v.place
		v = value{place: w.freePlace(), gen: v.gen}
		w.table[key] = v
		w.add(Item{key, News, encode(opCreate, key, v, 0, fill)})
		delete(w.taken, old)
	default:
		delete(w.table, key)
		w.add(Item{key, Delete, encode(opDelete, key, value{}, 0, 0)})
		delete(w.taken, v.place)
	}
}
