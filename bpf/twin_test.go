// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/members/gate"
)

// pair is the C gate and its twin in Go, which see the same frames and the same pulse.
type pair struct {
	g    *Gate
	twin gate.Words
	rng  *rand.Rand
	e    entry
}

// ask sends a frame to both and compares replies and words. The twin's clock is the one that the C gate read: it is in the reply.
func (p *pair) ask(t *testing.T, f ccpFrame) gate.Reply {
	t.Helper()
	p.g.forget(t)
	packet := f.bytes()
	v, out := p.e.run(t, p.g, packet, nil)
	if v != answer {
		t.Fatalf("verdict %v, want answer", v)
	}
	header, err := ccp.ParseHeader(out[14:])
	if err != nil {
		t.Fatal(err)
	}
	if !ccp.VerifyTag(out[14:], testKey) {
		t.Fatal("the reply's tag is wrong")
	}
	reply, err := ccp.ParseReply(header.Body(out[14:]))
	if err != nil {
		t.Fatal(err)
	}
	asked, err := ccp.ParseHeader(packet[14:])
	if err != nil {
		t.Fatal(err)
	}
	now := int64(header.Sequence)
	var want gate.Reply
	if f.yield != nil {
		want = p.twin.Yield(now, gate.Yield{
			Source: asked.Source, Incarnation: asked.Incarnation, Sequence: int64(asked.Sequence), EchoIncarnation: asked.EchoIncarnation,
			Nonce: f.yield.Nonce, Term: f.yield.Term, Group: f.yield.Group, Kind: gate.Kind(f.yield.Kind), MinAgeMs: f.yield.MinAgeMs,
		})
	} else {
		want = p.twin.Probe(now, gate.Probe{
			Source: asked.Source, Incarnation: asked.Incarnation, Sequence: int64(asked.Sequence), EchoIncarnation: asked.EchoIncarnation,
			EchoStamp: int64(asked.EchoStamp), Nonce: f.probe.Nonce, Term: f.probe.Term, Group: f.probe.Group, Bits: gate.Bits(f.probe.Bits),
		})
	}
	got := gate.Reply{
		Incarnation: header.Incarnation, Sequence: now, EchoIncarnation: header.EchoIncarnation, EchoStamp: int64(header.EchoStamp),
		Nonce: reply.Nonce, Term: reply.Term, Group: reply.Group, Bits: gate.Bits(reply.Bits), LeaseAgeMs: reply.LeaseAgeMs,
		Fence: gate.Fence{Term: reply.FenceTerm, Grantee: reply.Grantee}, Result: gate.Result(reply.Result), Heard: reply.Heard, Closed: reply.Closed,
	}
	if got != want {
		t.Fatalf("replies differ:\n C %+v\nGo %+v", got, want)
	}
	p.compare(t)
	return got
}

func (p *pair) compare(t *testing.T) {
	t.Helper()
	if words := p.g.Words().Snapshot(); words != p.twin {
		t.Fatalf("words differ:\n C %+v\nGo %+v", words, p.twin)
	}
	w, now := p.g.Words(), Boottime()
	for _, g := range []uint8{0, 15} {
		if got, want := w.Serving(g, now), p.twin.Serving(int(g), now); got != want {
			t.Fatalf("group %d: the live words say %06b, the twin %06b of\n%+v", g, got, want, p.twin)
		}
	}
	if got, want := w.ShareOpen(now), p.twin.ShareOpen(now); got != want {
		t.Fatalf("the live words say of the share %v, the twin %v of\n%+v", got, want, p.twin)
	}
}

// about returns a time some way from now, most of them near the limits that matter.
func (p *pair) about(now int64) int64 {
	near := []int64{0, 5e6, 19e6, 21e6, 24e6, 26e6, 99e6, 101e6, 254e6, 256e6, 999e6, 1001e6, 1e10, 1e14}
	at := now - near[p.rng.IntN(len(near))] - p.rng.Int64N(2e6)
	if p.rng.IntN(12) == 0 {
		at = now + p.rng.Int64N(3e6)*p.rng.Int64N(1000)
	}
	return max(at, 0)
}

func (p *pair) term(g uint8) uint32 {
	terms := []uint32{p.twin.Group[g].Fence.Term, p.twin.Group[g].Lease.Term(), 1 + p.rng.Uint32N(4), gate.MaxTerm}
	weights := p.rng.IntN(40)
	term := terms[min(weights%5, 2)]
	if weights == 39 {
		term = terms[3]
	}
	return min(term+p.rng.Uint32N(3), gate.MaxTerm)
}

// pulse does what the pulse and the daemon do to the words, to both.
func (p *pair) pulse(g uint8) {
	w, now := p.g.Words(), Boottime()
	switch p.rng.IntN(13) {
	case 10, 11:
		term, at := p.term(0), p.about(now)
		if p.rng.IntN(2) == 0 { // as it is most of the time: by the leader's term
			term = max(p.twin.Group[0].Fence.Term, 1)
		}
		w.RenewShare(term, at)
		p.twin.RenewShare(term, at)
	case 12:
		if p.rng.IntN(4) > 0 {
			p.twin.Sharing = !p.twin.Sharing
			w.u32(offSteer).Store(map[bool]uint32{true: uint32(SteerMulticast), false: 0}[p.twin.Sharing])
			return
		}
		w.RevokeShare()
		p.twin.RevokeShare()
	case 0, 1, 2:
		term, at := p.term(g), p.about(now)
		w.Renew(g, term, at)
		p.twin.Renew(int(g), term, at)
	case 3:
		w.Revoke(g)
		p.twin.Revoke(int(g))
	case 4:
		at := int64(0)
		if p.rng.IntN(2) == 0 {
			at = p.about(now)
		}
		w.SetAlone(g, at)
		p.twin.Group[g].Alone = at
	case 5:
		until := int64(0)
		if p.rng.IntN(2) == 0 {
			until = now + p.rng.Int64N(10e9)
		}
		w.SetRestarting(until)
		p.twin.Restarting = until
	case 6:
		term, member := p.term(g), uint8(p.rng.IntN(testMembers))
		w.Grant(g, term, member)
		p.twin.Grant(int(g), term, member, now)
		// The live words read the clock themselves, a moment after us.
		if got := w.ShareLinger(); got >= p.twin.ShareLinger && got-p.twin.ShareLinger <= Boottime()-now {
			p.twin.ShareLinger = got
		}
	case 7: // a probe that came earlier
		at := p.about(now)
		w.u64(offProbed).Store(uint64(at))
		p.twin.Probed = at
	case 9:
		at := int64(0)
		if p.rng.IntN(2) == 0 {
			at = p.about(now)
		}
		w.SetSingle(at)
		p.twin.Single = at
	case 8:
		until := int64(0)
		if p.rng.IntN(2) == 0 {
			until = p.about(now + 30e6)
		}
		w.SetQuiet(testSlot, until)
		p.twin.Quiet[testSlot] = until
	}
}

// verdict compares what becomes of a request for a VIP. Where the twin changes its mind between the moment before and the moment after,
// either is right.
func (p *pair) verdict(t *testing.T) (quiet bool) {
	t.Helper()
	before := p.twin.ServingOn(testSlot, 0, Boottime()).Has(gate.Answer)
	v, _ := p.e.run(t, p.g, padded(whoHas(vip4).bytes()), nil)
	now := Boottime()
	after := p.twin.ServingOn(testSlot, 0, now).Has(gate.Answer)
	if got := v == answer; before == after && got != before {
		t.Fatalf("verdict %v, the twin answers: %v", v, before)
	}
	return p.twin.Serving(0, now).Has(gate.Answer) && !after
}

func (p *pair) frame(g uint8) ccpFrame {
	source := []uint8{0, 2}[p.rng.IntN(2)]
	echo, stamp := uint64(testIncarnation), p.about(Boottime())
	if p.rng.IntN(10) == 0 {
		echo = p.rng.Uint64N(3)
	}
	f := ccpFrame{header: func(h *ccp.Header) {
		h.Source, h.EchoIncarnation, h.EchoStamp = source, echo, uint64(stamp)
		h.Incarnation, h.Sequence = p.rng.Uint64(), p.rng.Uint64()
	}}
	if p.rng.IntN(3) == 0 {
		f.yield = &ccp.Yield{
			Nonce: p.rng.Uint64(), Term: max(p.term(g), 1), Group: g, Bits: ccp.Bits(p.rng.IntN(64)), Kind: ccp.YieldKind(1 + p.rng.IntN(4)),
			MinAgeMs: []uint32{0, 20, 100, 500, 1<<32 - 1}[p.rng.IntN(5)],
		}
		if p.twin.Sharing && g == 0 && p.rng.IntN(3) == 0 { // one that is granted
			f.yield.Kind, f.yield.Term = ccp.YieldShare, min(p.twin.Group[0].Fence.Term+1, gate.MaxTerm)
		}
	} else {
		f.probe = ccp.Probe{Nonce: p.rng.Uint64(), Term: p.term(g), Group: g, Bits: ccp.Bits(p.rng.IntN(64))}
	}
	// The header function runs once per bytes(): fix what it draws.
	header := ccp.Header{Version: 1, Key: testKeyNumber, Cluster: testCluster, Target: testSelf}
	f.header(&header)
	f.header = func(h *ccp.Header) { *h = header }
	return f
}

// TestTwin runs random sequences of probes, YIELDs and renewals through the C gate and through members/gate.
func TestTwin(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if fixed := testSeed; fixed != 0 {
		seed = fixed
	}
	t.Logf("seed %d (run again with -gate.seed)", seed)
	g := newTestGate(t, true)
	var reached [64]int
	results := map[gate.Result]int{}
	fences, quiet, shared, surrendered := 0, 0, 0, 0
	for round := range 40 {
		for _, e := range entries {
			t.Run(fmt.Sprintf("%d/%s", round, e.name), func(t *testing.T) {
				g.clear()
				if round%2 == 1 {
					g.Words().u32(offSteer).Store(uint32(SteerMulticast))
				}
				p := &pair{g: g, twin: g.Words().Snapshot(), rng: rand.New(rand.NewPCG(seed, uint64(round))), e: e}
				for range 100 {
					if p.verdict(t) {
						quiet++
					}
					group := uint8(p.rng.IntN(2) * 15)
					if p.rng.IntN(2) == 0 {
						p.pulse(group)
						p.compare(t)
						continue
					}
					fence := p.twin.Group[group].Fence
					f := p.frame(group)
					sharing := group == 0 && p.twin.Sharing && p.twin.Serving(0, Boottime()).Has(gate.Forward)
					r := p.ask(t, f)
					if sharing {
						shared++
						if f.yield != nil && f.yield.Kind == ccp.YieldShare && r.Result == gate.Granted && !r.Bits.Has(gate.Forward) {
							surrendered++
						}
					}
					reached[r.Bits]++
					results[r.Result]++
					if r.Fence != fence {
						fences++
						if r.Fence.Term <= fence.Term {
							t.Fatalf("the fence's term went from %d to %d", fence.Term, r.Fence.Term)
						}
					}
				}
			})
		}
	}
	// A comparison that only ever saw closed gates would compare nothing.
	for _, r := range []gate.Result{gate.None, gate.Granted, gate.Refused, gate.TooYoung, gate.WrongIncarnation} {
		if results[r] == 0 {
			t.Errorf("no sequence led to result %d", r)
		}
	}
	open, linger := 0, 0
	for bits, n := range reached {
		if gate.Bits(bits).Has(gate.Answer) {
			open += n
		} else if gate.Bits(bits).Has(gate.Forward) {
			linger += n
		}
	}
	if open < 100 || linger < 10 || fences < 100 || quiet < 10 || shared < 100 || surrendered < 5 {
		t.Errorf("too little was reached: %d replies open, %d lingering, %d changes of a fence, %d quiet, %d shares open, %d of them surrendered",
			open, linger, fences, quiet, shared, surrendered)
	}
	t.Logf("%v; %d open, %d lingering, %d changes of a fence, %d quiet, %d shares open, %d of them surrendered",
		results, open, linger, fences, quiet, shared, surrendered)
}
