// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/members/gate"
)

// Timers that no stall of the test's machine reaches.
const (
	slowSoft   = 100 * time.Second
	slowHard   = 300 * time.Second
	slowWatch  = 50 * time.Second
	slowLinger = 200 * time.Second
)

// TestServing asks the C gate, by an ARP request and by a packet for the VMAC, under every rule that opens or closes it.
func TestServing(t *testing.T) {
	g := newTestGate(t, true)
	w := g.Words()
	if err := g.SetTimers(slowSoft, slowHard, slowWatch, slowLinger); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		words   func(now int64)
		answer  bool
		forward bool
	}{
		{"no lease", func(int64) {}, false, false},
		{"fresh lease", func(now int64) { w.Renew(0, 5, now) }, true, true},
		{"lease stored a moment ahead of the clock", func(now int64) { w.Renew(0, 5, now+1<<19) }, true, true},
		{"lease from the future", func(now int64) { w.Renew(0, 5, now+10e9) }, false, false},
		{"lease of term 0", func(now int64) { w.Renew(0, 0, now) }, false, false},
		{"revoked", func(now int64) { w.Renew(0, 5, now); w.Revoke(0) }, false, false},
		{"almost late", func(now int64) { w.Renew(0, 5, now-int64(slowSoft)+20e9) }, true, true},
		{"late", func(now int64) { w.Renew(0, 5, now-int64(slowSoft)-1e6) }, false, false},
		{"late, watched", func(now int64) {
			w.Renew(0, 5, now-int64(slowSoft)-1e6)
			w.u64(offWatched).Store(uint64(now))
		}, true, true},
		{"late, watched long ago", func(now int64) {
			w.Renew(0, 5, now-int64(slowSoft)-1e6)
			w.u64(offWatched).Store(uint64(now - int64(slowWatch)))
		}, false, false},
		{"too late, watched", func(now int64) {
			w.Renew(0, 5, now-int64(slowHard)-1e6)
			w.u64(offWatched).Store(uint64(now))
		}, false, false},
		{"late, alone, never probed", func(now int64) {
			w.Renew(0, 5, now-int64(slowSoft)-1e6)
			w.SetAlone(0, now)
		}, true, true},
		{"late, alone, probed before", func(now int64) {
			w.Renew(0, 5, now-int64(slowSoft)-1e6)
			w.SetAlone(0, now)
			w.u64(offProbed).Store(uint64(now - 1))
		}, true, true},
		{"late, alone, probed since", func(now int64) {
			w.Renew(0, 5, now-int64(slowSoft)-1e6)
			w.SetAlone(0, now-2)
			w.u64(offProbed).Store(uint64(now - 1))
		}, false, false},
		{"too late, alone", func(now int64) {
			w.Renew(0, 5, now-int64(slowHard)-1e6)
			w.SetAlone(0, now)
		}, false, false},
		{"fenced off", func(now int64) { w.Grant(0, 6, 0); w.Renew(0, 5, now) }, false, false},
		{"term granted to another", func(now int64) { w.Grant(0, 5, 0); w.Renew(0, 5, now) }, false, false},
		{"term granted to us", func(now int64) { w.Grant(0, 5, testSelf); w.Renew(0, 5, now) }, true, true},
		{"above the fence", func(now int64) { w.Grant(0, 4, 0); w.Renew(0, 5, now) }, true, true},
		{"lingers", func(now int64) { w.word(0, offLingering).Store(uint64(now + 100e9)) }, false, true},
		{"lingered", func(now int64) { w.word(0, offLingering).Store(uint64(now)) }, false, false},
		{"another group's lease", func(now int64) { w.Renew(3, 5, now) }, false, false},
	}
	through := udpFrame{dst: vmac, src: client, from: client4, to: far4}.bytes()
	for _, e := range entries {
		for _, tt := range tests {
			t.Run(e.name+"/"+tt.name, func(t *testing.T) {
				g.clear()
				now := Boottime()
				tt.words(now)
				if v, _ := e.run(t, g, whoHas(vip4).bytes(), nil); (v == answer) != tt.answer {
					t.Errorf("ARP request: %v, want an answer: %v", v, tt.answer)
				}
				if v, _ := e.run(t, g, through, nil); (v == pass) != tt.forward {
					t.Errorf("packet for the VMAC: %v, want it to pass: %v", v, tt.forward)
				}
				bits := w.Serving(0, Boottime())
				if bits.Has(gate.Answer) != tt.answer || bits.Has(gate.Forward) != tt.forward {
					t.Errorf("Words.Serving: %b, want answer %v, forward %v", bits, tt.answer, tt.forward)
				}
			})
		}
	}
}

// clear resets the words that sequences change.
func (g *Gate) clear() {
	w := g.Words()
	for group := range uint8(gate.Groups) {
		for _, off := range []int{offLease, offFence, offLingering, offAlone} {
			w.word(group, off).Store(0)
		}
	}
	for _, off := range []int{offWatched, offProbed, offRestarting, offShare, offShareLinger} {
		w.u64(off).Store(0)
	}
	w.u32(offSteer).Store(0)
	for slot := range uint8(gate.Slots) {
		w.SetQuiet(slot, 0)
	}
	for i := range gate.Members {
		w.u64(offHeard + 8*i).Store(0)
		w.u64(offEcho + 8*i).Store(0)
	}
}

// TestYield goes through the kinds of YIELD and what each of them finds.
func TestYield(t *testing.T) {
	g := newTestGate(t, true)
	w := g.Words()
	if err := g.SetTimers(slowSoft, slowHard, slowWatch, slowLinger); err != nil {
		t.Fatal(err)
	}
	serving := func(age time.Duration) func(int64) {
		return func(now int64) { w.Renew(0, 5, now-int64(age)) }
	}
	other := func(h *ccp.Header) { h.EchoIncarnation++ }
	tests := []struct {
		name    string
		words   func(now int64)
		yield   ccp.Yield
		header  func(*ccp.Header)
		result  ccp.Result
		fence   gate.Fence
		forward bool
	}{
		{"claim", serving(0), ccp.Yield{Term: 6, Kind: ccp.YieldClaim}, nil, ccp.ResultGranted, gate.Fence{Term: 6}, false},
		{"claim of the lease's term", serving(0), ccp.Yield{Term: 5, Kind: ccp.YieldClaim}, nil, ccp.ResultGranted, gate.Fence{Term: 5}, false},
		{"claim below the fence", func(now int64) { w.Grant(0, 7, 2) }, ccp.Yield{Term: 6, Kind: ccp.YieldClaim}, nil, ccp.ResultRefused, gate.Fence{Term: 7, Grantee: 2}, false},
		{"claim of another's term", func(now int64) { w.Grant(0, 7, 2) }, ccp.Yield{Term: 7, Kind: ccp.YieldClaim}, nil, ccp.ResultRefused, gate.Fence{Term: 7, Grantee: 2}, false},
		{"claim again", func(now int64) { w.Grant(0, 7, 0) }, ccp.Yield{Term: 7, Kind: ccp.YieldClaim}, nil, ccp.ResultGranted, gate.Fence{Term: 7}, false},
		{"claim meant for the gate before", serving(0), ccp.Yield{Term: 6, Kind: ccp.YieldClaim}, other, ccp.ResultWrongIncarnation, gate.Fence{}, true},
		{"graceful", serving(0), ccp.Yield{Term: 6, Kind: ccp.YieldGraceful}, nil, ccp.ResultGranted, gate.Fence{Term: 6}, true},
		{"graceful to who does not serve", func(int64) {}, ccp.Yield{Term: 6, Kind: ccp.YieldGraceful}, nil, ccp.ResultGranted, gate.Fence{Term: 6}, false},
		{"courtesy", serving(2 * time.Second), ccp.Yield{Term: 6, Kind: ccp.YieldCourtesy, MinAgeMs: 1000}, nil, ccp.ResultGranted, gate.Fence{Term: 6}, true},
		{"courtesy too early", serving(0), ccp.Yield{Term: 6, Kind: ccp.YieldCourtesy, MinAgeMs: 60000}, nil, ccp.ResultTooYoung, gate.Fence{}, true},
		{"courtesy without a lease", func(int64) {}, ccp.Yield{Term: 6, Kind: ccp.YieldCourtesy}, nil, ccp.ResultTooYoung, gate.Fence{}, false},
		{"courtesy while restarting", func(now int64) { serving(2 * time.Second)(now); w.SetRestarting(now + 100e9) }, ccp.Yield{Term: 6, Kind: ccp.YieldCourtesy, MinAgeMs: 1000}, nil, ccp.ResultTooYoung, gate.Fence{}, true},
		{"courtesy after a restart", func(now int64) { serving(2 * time.Second)(now); w.SetRestarting(now) }, ccp.Yield{Term: 6, Kind: ccp.YieldCourtesy, MinAgeMs: 1000}, nil, ccp.ResultGranted, gate.Fence{Term: 6}, true},
		{"courtesy again", func(now int64) { serving(2 * time.Second)(now); w.Grant(0, 6, 0) }, ccp.Yield{Term: 6, Kind: ccp.YieldCourtesy, MinAgeMs: 1000}, nil, ccp.ResultGranted, gate.Fence{Term: 6}, false},
		{"courtesy below the fence", func(now int64) { w.Grant(0, 7, testSelf); w.Renew(0, 7, now-2e9) }, ccp.Yield{Term: 6, Kind: ccp.YieldCourtesy, MinAgeMs: 1000}, nil, ccp.ResultRefused, gate.Fence{Term: 7, Grantee: testSelf}, true},
	}
	for _, e := range entries {
		for _, tt := range tests {
			t.Run(e.name+"/"+tt.name, func(t *testing.T) {
				g.clear()
				g.forget(t)
				tt.words(Boottime())
				_, out := e.run(t, g, ccpFrame{yield: &tt.yield, header: tt.header}.bytes(), nil)
				h, err := ccp.ParseHeader(out[14:])
				if err != nil || h.Type != ccp.TypeYieldReply {
					t.Fatalf("answer is %v, %v", h, err)
				}
				r, err := ccp.ParseReply(h.Body(out[14:]))
				if err != nil {
					t.Fatal(err)
				}
				if r.Result != tt.result {
					t.Errorf("result %v, want %v", r.Result, tt.result)
				}
				if f := w.Fence(0); f != tt.fence || r.FenceTerm != f.Term || r.Grantee != f.Grantee {
					t.Errorf("fence %+v (in the reply %d %d), want %+v", f, r.FenceTerm, r.Grantee, tt.fence)
				}
				if got := r.Bits&ccp.BitForward != 0; got != tt.forward {
					t.Errorf("forwards afterwards: %v, want %v", got, tt.forward)
				}
				if granted := tt.result == ccp.ResultGranted; granted && r.Bits&ccp.BitAnswer != 0 {
					t.Error("answers after the term was granted away")
				}
			})
		}
	}
}

// TestMeeting is the closing rule: who stays when two serve.
func TestMeeting(t *testing.T) {
	g := newTestGate(t, true)
	w := g.Words()
	const both = ccp.BitAnswer | ccp.BitForward
	recorded := func(h *ccp.Header) { h.EchoStamp -= 8e9 }
	tests := []struct {
		name   string
		alone  bool
		lease  uint32
		fence  gate.Fence
		source uint8
		probe  ccp.Probe
		header func(*ccp.Header)
		open   bool
		want   gate.Fence
	}{
		{"a standby's probe", false, 5, gate.Fence{}, 0, ccp.Probe{Term: 9}, nil, true, gate.Fence{}},
		{"a lower term", false, 5, gate.Fence{}, 0, ccp.Probe{Term: 4, Bits: both}, nil, true, gate.Fence{}},
		{"a higher term", false, 5, gate.Fence{}, 2, ccp.Probe{Term: 6, Bits: both}, nil, false, gate.Fence{Term: 6, Grantee: 2}},
		{"a higher term that only forwards", false, 5, gate.Fence{}, 2, ccp.Probe{Term: 6, Bits: ccp.BitForward}, nil, true, gate.Fence{}},
		{"the same term, lower number", false, 5, gate.Fence{}, 0, ccp.Probe{Term: 5, Bits: both}, nil, false, gate.Fence{Term: 6, Grantee: gate.Nobody}},
		{"the same term, higher number", false, 5, gate.Fence{}, 2, ccp.Probe{Term: 5, Bits: both}, nil, true, gate.Fence{}},
		{"they are alone, higher term", false, 5, gate.Fence{}, 0, ccp.Probe{Term: 9, Bits: both | ccp.BitAlone}, nil, true, gate.Fence{}},
		{"we are alone, lower term", true, 5, gate.Fence{}, 2, ccp.Probe{Term: 4, Bits: both}, nil, false, gate.Fence{Term: 6, Grantee: gate.Nobody}},
		{"both alone, lower term", true, 5, gate.Fence{}, 0, ccp.Probe{Term: 4, Bits: both | ccp.BitAlone}, nil, true, gate.Fence{}},
		{"both alone, higher term", true, 5, gate.Fence{}, 0, ccp.Probe{Term: 6, Bits: both | ccp.BitAlone}, nil, false, gate.Fence{Term: 6}},
		{"a closed gate learns", false, 0, gate.Fence{Term: 3}, 2, ccp.Probe{Term: 6, Bits: both}, nil, false, gate.Fence{Term: 6, Grantee: 2}},
		{"a closed gate learns nothing old", false, 0, gate.Fence{Term: 8}, 2, ccp.Probe{Term: 6, Bits: both}, nil, false, gate.Fence{Term: 8}},
		{"a closed gate learns nothing from who is alone", false, 0, gate.Fence{Term: 3}, 2, ccp.Probe{Term: 6, Bits: both | ccp.BitAlone}, nil, false, gate.Fence{Term: 3}},
		{"a recording of the same term, lower number", false, 5, gate.Fence{}, 0, ccp.Probe{Term: 5, Bits: both}, recorded, true, gate.Fence{}},
		{"a recording of a higher term", false, 5, gate.Fence{}, 2, ccp.Probe{Term: 6, Bits: both}, recorded, false, gate.Fence{Term: 6, Grantee: 2}},
		{"we are alone, a recording", true, 5, gate.Fence{}, 2, ccp.Probe{Term: 4, Bits: both}, recorded, true, gate.Fence{}},
		{"a recording from before the load", false, 5, gate.Fence{}, 2, ccp.Probe{Term: 6, Bits: both}, func(h *ccp.Header) { h.EchoIncarnation-- }, true, gate.Fence{}},
	}
	for _, e := range entries {
		for _, tt := range tests {
			t.Run(e.name+"/"+tt.name, func(t *testing.T) {
				g.clear()
				g.forget(t)
				w.setTimers(slowSoft, slowHard, slowWatch, slowLinger)
				w.word(0, offFence).Store(tt.fence.Word())
				w.Renew(0, tt.lease, Boottime())
				w.u64(offEcho + 8*int(tt.source)).Store(uint64(Boottime() - 4e9))
				if tt.alone {
					w.SetAlone(0, Boottime())
				}
				_, out := e.run(t, g, ccpFrame{probe: tt.probe, header: func(h *ccp.Header) {
					h.Source = tt.source
					if tt.header != nil {
						tt.header(h)
					}
				}}.bytes(), nil)
				r, err := ccp.ParseReply(out[14+ccp.HeaderLen:])
				if err != nil {
					t.Fatal(err)
				}
				if got := r.Bits&ccp.BitAnswer != 0; got != tt.open {
					t.Errorf("the reply says that it serves: %v, want %v", got, tt.open)
				}
				if f := w.Fence(0); f != tt.want {
					t.Errorf("fence %+v, want %+v", f, tt.want)
				}
			})
		}
	}
}

// TestStamps: what a probe's echo does to the stamps by which lateness is forgiven.
func TestStamps(t *testing.T) {
	g := newTestGate(t, true)
	w := g.Words()
	// The machine may have booted a moment ago: no stamp lies a fixed time in the past.
	recent := func(now int64) int64 { return now - 1e6 }
	tests := []struct {
		name            string
		stamp           func(now int64) int64
		bits            ccp.Bits
		header          func(*ccp.Header)
		heard, watching bool
	}{
		{"hears us", recent, ccp.BitHearsYou, nil, true, true},
		{"does not hear us", recent, 0, nil, true, false},
		{"stamp from the future", func(now int64) int64 { return now + 10e9 }, ccp.BitHearsYou, nil, false, false},
		{"stamp seen before", func(now int64) int64 { return now / 4 }, ccp.BitHearsYou, nil, false, false},
		{"stamp of the gate before", recent, ccp.BitHearsYou, func(h *ccp.Header) { h.EchoIncarnation-- }, false, false},
	}
	for _, e := range entries {
		for _, tt := range tests {
			t.Run(e.name+"/"+tt.name, func(t *testing.T) {
				g.clear()
				g.forget(t)
				start := Boottime()
				old := start / 2
				w.u64(offEcho).Store(uint64(old))
				w.u64(offWatched).Store(uint64(old))
				stamp := tt.stamp(start)
				e.run(t, g, ccpFrame{probe: ccp.Probe{Bits: tt.bits}, header: func(h *ccp.Header) {
					h.EchoStamp = uint64(stamp)
					if tt.header != nil {
						tt.header(h)
					}
				}}.bytes(), nil)
				s := w.Snapshot()
				if s.Probed < start {
					t.Error("the probe was not noted")
				}
				if got := s.Heard[0] >= start; got != tt.heard {
					t.Errorf("heard: %v, want %v", got, tt.heard)
				}
				wantEcho, wantWatched := old, old
				if tt.heard {
					wantEcho = stamp
				}
				if tt.watching {
					wantWatched = stamp // not the time of arrival: the way took its time
				}
				if s.Echo[0] != wantEcho || s.Watched != wantWatched {
					t.Errorf("echo %d, watched %d, want %d and %d", s.Echo[0], s.Watched, wantEcho, wantWatched)
				}
			})
		}
	}
}
