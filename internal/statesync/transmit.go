// SPDX-License-Identifier: Apache-2.0

package statesync

import (
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/ccp/segment"
	"github.com/holdfast-project/holdfast/dataplane/flow"
)

// frames collects sealed frames, so that many leave by one call.
type frames struct {
	plain  []byte // of the frame that is being made
	target uint8
	empty  int // length of plain without a part in it
	out    [][]byte
	to     []uint8
	n      int
	ranges []ccp.SyncRange
	events []flow.Event
}

// framesAtOnce is how many frames are collected before they are sent.
const framesAtOnce = 64

// Bytes that a status and a request take at most.
const (
	statusRoom  = 41
	requestRoom = 174
)

// frameRoom is room for the longest frame.
const frameRoom = ccp.HeaderLen + ccp.MaxBodyLen

// transmit sends everything that is due to anybody.
func (p *Plane) transmit(now int64) {
	if len(p.ports) == 0 || p.cfg.Disabled {
		return
	}
	for {
		id, b, ok := p.sender.Next(now)
		if !ok {
			break
		}
		p.begin(id)
		p.frames.plain = batchPart(b).Append(p.frames.plain)
		p.seal(now)
	}
	for i := range p.peers {
		if q := &p.peers[i]; q.bound != 0 {
			p.transmitTo(now, q)
		} else if q.statusAt <= now {
			p.begin(q.id)
			p.status(q)
			p.seal(now)
		}
		if q := &p.peers[i]; q.statusAt <= now {
			q.said(now)
		}
	}
	p.flush()
	p.senderEvents(now)
}

// said notes that the status was sent.
func (q *peer) said(now int64) {
	q.statusAt = never
	if q.statusLeft--; q.statusLeft > 0 {
		q.statusAt = now + statusAgain
	}
}

// say has the status sent to a peer, or to all of them, at once and some times again.
func (q *peer) say(now int64, times int) {
	q.statusAt, q.statusLeft = now, times
}

// tellAll has the status sent to everybody.
func (p *Plane) tellAll(now int64) {
	for i := range p.peers {
		if q := &p.peers[i]; q.bound != 0 {
			q.say(now, statusTimes)
		}
	}
}

// transmitTo sends what is due to one peer besides the delta lane.
func (p *Plane) transmitTo(now int64, q *peer) {
	p.begin(q.id)
	if q.statusAt <= now {
		p.status(q)
		p.room(now, 4+18*min(len(p.cfg.Local), ccp.MaxSyncAddresses))
		p.frames.plain = ccp.SyncAddresses(p.cfg.Local).Append(p.frames.plain)
		q.addressesAt = now
	}
	if a, ok := q.receiver.Ack(now); ok {
		p.room(now, 20+16*len(a.Ranges))
		p.frames.plain = ccp.SyncAck{Lane: ccp.LaneDelta, Log: a.Log, Next: a.Next, Ranges: p.ranges(a.Ranges)}.Append(p.frames.plain)
	}
	if g, ok := q.receiver.Gap(now); ok {
		p.room(now, 12+16*len(g.Missing))
		p.frames.plain = ccp.SyncGap{Lane: ccp.LaneDelta, Log: g.Log, Ranges: p.ranges(g.Missing)}.Append(p.frames.plain)
	}
	if a, ok := q.bulkIn.Ack(now); ok {
		p.room(now, 20+16*len(a.Ranges))
		p.frames.plain = ccp.SyncAck{Lane: ccp.LaneBulk, Log: a.Log, Next: a.Next, Ranges: p.ranges(a.Ranges)}.Append(p.frames.plain)
	}
	if g, ok := q.bulkIn.Gap(now); ok {
		p.room(now, 12+16*len(g.Missing))
		p.frames.plain = ccp.SyncGap{Lane: ccp.LaneBulk, Log: g.Log, Ranges: p.ranges(g.Missing)}.Append(p.frames.plain)
	}
	if c, ok := q.bulkIn.Credit(now); ok {
		p.room(now, 20)
		p.frames.plain = ccp.SyncCredit{Log: c.Log, Limit: c.Limit}.Append(p.frames.plain)
	}
	if q.request != nil {
		p.room(now, requestRoom)
		p.frames.plain = q.request.Append(p.frames.plain)
		q.request = nil
	}
	if q.answer != nil {
		p.room(now, 17)
		p.frames.plain = q.answer.Append(p.frames.plain)
		q.answer = nil
	}
	if len(p.frames.plain) > p.frames.empty {
		if q.statusAt > now && len(p.frames.plain)+statusRoom <= ccp.MaxPlainLen {
			p.status(q) // there is room for it anyway
		}
		p.seal(now)
	}
	if q.serving == nil || q.serving.bulk == nil {
		return
	}
	for {
		b, ok := q.serving.bulk.Next(now)
		if !ok {
			return
		}
		p.begin(q.id)
		p.frames.plain = batchPart(b).Append(p.frames.plain)
		p.seal(now)
	}
}

func batchPart(b flow.Batch) ccp.SyncBatch {
	return ccp.SyncBatch{Lane: ccp.Lane(b.Lane), Log: b.Log, Sequence: b.Sequence, Floor: b.Floor, Records: b.Payload}
}

// ranges translates, without allocating.
func (p *Plane) ranges(list []flow.Range) []ccp.SyncRange {
	p.frames.ranges = p.frames.ranges[:0]
	for _, r := range list {
		p.frames.ranges = append(p.frames.ranges, ccp.SyncRange(r))
	}
	return p.frames.ranges
}

// status appends what this plane says of itself.
func (p *Plane) status(q *peer) {
	sum := p.tally.Sum()
	role := wireRole(p.role)
	if p.cfg.Disabled {
		role = ccp.SyncOff
	}
	p.frames.plain = ccp.SyncStatus{
		Role: role, Current: p.current(), Stopping: p.stopping, Evicted: q.evicted, Unpacks: true, Losses: p.losses, Term: p.term,
		Entries: uint32(sum.Entries), Digest: sum.Xor, Table: p.share.table(),
	}.Append(p.frames.plain)
}

// begin begins a frame.
func (p *Plane) begin(target uint8) {
	f := &p.frames
	f.target = target
	f.plain = p.opener.AppendEcho(f.plain[:0], target)
	f.empty = len(f.plain)
}

// room sees to it that n more bytes fit into the frame: what it holds is sent first if they do not.
func (p *Plane) room(now int64, n int) {
	if len(p.frames.plain)+n > ccp.MaxPlainLen {
		p.seal(now)
		p.begin(p.frames.target)
	}
}

// seal completes the frame.
func (p *Plane) seal(now int64) {
	f := &p.frames
	if f.n == len(f.out) {
		f.out, f.to = append(f.out, make([]byte, 0, frameRoom)), append(f.to, 0)
	}
	echo := p.echoes[f.target]
	h := ccp.Header{Type: ccp.TypeSync, Target: f.target, Sequence: uint64(now), EchoIncarnation: echo.Incarnation, EchoStamp: echo.Stamp}
	f.out[f.n], f.to[f.n] = p.sealer.Seal(f.out[f.n][:0], h, f.plain), f.target
	if f.n++; f.n >= framesAtOnce {
		p.flush()
	}
}

// flush sends what was collected: the same frames on every interface, so that the loss of one loses nothing.
func (p *Plane) flush() {
	f := &p.frames
	if f.n == 0 {
		return
	}
	for _, t := range p.ports {
		if t.conn == nil || !t.Up {
			continue
		}
		t.batch = t.batch[:0]
		for i, frame := range f.out[:f.n] {
			mac, known := p.peers[f.to[i]].macs[t.Index]
			if !known {
				mac = segment.Group(p.cfg.Cluster)
			}
			t.batch = append(t.batch, segment.Frame{MAC: mac, Bytes: frame})
		}
		for rest := t.batch; len(rest) > 0; {
			n, err := t.conn.SendBatch(rest)
			for _, sent := range rest[:n] {
				t.sentBytes += uint64(len(sent.Bytes))
			}
			t.sentFrames += uint64(n)
			if err == nil {
				break
			}
			// What the device has no room for is lost, as it may be on any wire; what comes after it may well fit.
			t.failed++
			rest = rest[min(n+1, len(rest)):]
		}
	}
	f.n = 0
}

// senderEvents takes note of who was evicted and who is back.
func (p *Plane) senderEvents(now int64) {
	p.frames.events = p.sender.Events(p.frames.events[:0])
	for _, e := range p.frames.events {
		q := &p.peers[e.Peer]
		switch e.Kind {
		case flow.Evicted:
			q.evicted = true
			p.log.Warn("a member does not keep up and is not waited for", "member", e.Peer, "reason", e.Reason.String(), "batches", e.Lost)
		case flow.Returned:
			q.evicted = false
			p.sets.listAll()
			p.log.Info("a member that was not waited for is back", "member", e.Peer)
		}
		q.say(now, statusTimes)
		p.show(now)
	}
}

// sayGoodbye tells the peers that this plane ends.
func (p *Plane) sayGoodbye() {
	now := boottime()
	p.stopping = true
	for i := range p.peers {
		if q := &p.peers[i]; q.bound != 0 {
			q.say(now, 1)
		}
	}
	p.transmit(now)
}
