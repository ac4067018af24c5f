// SPDX-License-Identifier: Apache-2.0

package gate

// Probe is an authentic probe of another member, addressed to this gate.
type Probe struct {
	Source          uint8  // the member that sent it
	Incarnation     uint64 // of the sender's gate
	Sequence        int64  // the sender's boot time when it was sent
	EchoIncarnation uint64 // this gate's incarnation as the sender knows it; 0 unknown
	EchoStamp       int64  // the newest Sequence of this gate's replies that the sender has seen; 0 unknown
	Nonce           uint64
	Term            uint32 // the sender's lease
	Group           uint8
	Bits            Bits // of the sender, for the group
}

// Valid reports whether the gate looks at the probe at all; it drops others as malformed.
func (p Probe) Valid() bool { return p.Source < Members && p.Group < Groups && p.Term <= MaxTerm }

// Result is what became of a YIELD.
type Result uint8

// The results. None is what a reply to a probe carries.
const (
	None             Result = iota
	Granted                 // the term is the asker's, now or since an earlier frame
	Refused                 // the fence stands at a higher term, or at this one for another member
	TooYoung                // courtesy only: the lease was renewed lately, or the daemon is restarting
	WrongIncarnation        // meant for the gate that was loaded here before
)

// NoLease is a reply's LeaseAgeMs when there is no lease; ages saturate below it.
const NoLease = 0xffff

// Reply is the gate's answer to a probe or a YIELD. It describes the state after the frame took effect.
type Reply struct {
	Incarnation     uint64 // of this gate
	Sequence        int64  // when it was answered
	EchoIncarnation uint64 // the asker's
	EchoStamp       int64  // the asker's Sequence
	Nonce           uint64
	Term            uint32 // this member's lease; of one that has none in load sharing, its share
	Group           uint8
	Bits            Bits
	LeaseAgeMs      uint16 // NoLease if there is none
	Fence           Fence
	Result          Result
	Heard           [Members]uint8 // ms since each member was last heard, saturating at 255; 0 for this one
	Closed          uint32         // Words.Closed
}

// Probe takes a valid, authentic probe in at the boot time now and returns the reply. It may close the gate: on a serving member
// with a higher term, and on one that has company while this one serves alone.
func (w *Words) Probe(now int64, p Probe) Reply {
	w.Probed = now
	// Only a frame that echoes a stamp of this very gate says anything about the present: see docs/decisions/001.
	if p.EchoIncarnation == w.Incarnation {
		newer := p.EchoStamp > w.Echo[p.Source] && p.EchoStamp <= now
		if newer {
			w.Echo[p.Source], w.Heard[p.Source] = p.EchoStamp, now
		}
		if p.Bits.Has(HearsYou) && p.EchoStamp > w.Watched && p.EchoStamp <= now {
			w.Watched = p.EchoStamp
		}
		if p.Bits.Has(Answer) {
			w.meet(&w.Group[p.Group], p, newer)
		}
	}
	return w.reply(now, p.Group, p.Nonce, p.Incarnation, p.Sequence, None)
}

// meet applies the closing rule to a group whose probe says that its sender serves. That a higher term is served can be said by a
// recording too: it was true, and the present holder of a lower term has to learn it. That somebody with a lower term has company
// only counts from a probe that is newer than all before it: the recordings of a dead member all say so.
func (w *Words) meet(group *Group, p Probe, newer bool) {
	mine, fence := group.Lease.Term(), group.Fence
	theyAlone, weAlone := p.Bits.Has(Alone), group.Alone != 0
	if !fence.Permits(mine, w.Self) {
		if p.Term > fence.Term && !theyAlone {
			group.Fence = Fence{Term: p.Term, Grantee: p.Source}
		}
		return
	}
	switch {
	case theyAlone && !weAlone:
		return // they give way
	case weAlone && !theyAlone && newer:
	case p.Term > mine || p.Term == mine && p.Source < w.Self && newer:
	default:
		return
	}
	if p.Term > fence.Term && p.Term > mine {
		group.Fence = Fence{Term: p.Term, Grantee: p.Source}
		return
	}
	group.Fence = Fence{Term: max(p.Term, mine, fence.Term) + 1, Grantee: Nobody}
}

func (w *Words) reply(now int64, g uint8, nonce, incarnation uint64, sequence int64, result Result) Reply {
	group := &w.Group[g]
	lease := group.Lease
	if lease == 0 && g == 0 && w.Sharing {
		lease = w.Share
	}
	r := Reply{
		Incarnation: w.Incarnation, Sequence: now, EchoIncarnation: incarnation, EchoStamp: sequence,
		Nonce: nonce, Term: lease.Term(), Group: g, Bits: w.Serving(int(g), now), LeaseAgeMs: NoLease,
		Fence: group.Fence, Result: result, Closed: w.Closed(),
	}
	if lease != 0 {
		r.LeaseAgeMs = uint16(min(lease.Age(now)/1e6, NoLease-1))
	}
	for i, at := range w.Heard {
		if uint8(i) != w.Self {
			r.Heard[i] = sinceMs(at, now)
		}
	}
	return r
}

func sinceMs(at, now int64) uint8 {
	if at == 0 {
		return 255
	}
	return uint8(min(max(now-at, 0)/1e6, 255))
}
