// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"math"
	"testing"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/hook"
	"github.com/holdfast-project/holdfast/lab/netns"
)

// TestBothHooks sends frames through a port whose programs sit at the old hook and at the new one.
func TestBothHooks(t *testing.T) {
	labtest.Require(t)
	for name, way := range map[string]hook.Way{"best": hook.Best, "classic": hook.Classic} {
		t.Run(name, func(t *testing.T) {
			ns, err := netns.New("test")
			if err != nil {
				t.Fatal(err)
			}
			defer ns.Close()
			a, b := pair(t, ns)
			p, err := attach(ns, a, 5, way)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Set(In, Harm{Loss: 1, EtherType: 0x88b6}); err != nil {
				t.Fatal(err)
			}
			if err := p.Set(Out, Harm{}); err != nil {
				t.Fatal(err)
			}
			send(t, ns, b, 7)
			send(t, ns, a, 3)
			for side, want := range map[Side]Count{In: {Seen: 7, Dropped: 7}, Out: {Seen: 3}} {
				if got, err := p.Count(side); err != nil || got.Dropped != want.Dropped || got.Seen < want.Seen {
					t.Errorf("side %d: %+v, %v, want %+v", side, got, err, want)
				}
			}
			if err := p.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAttachRefusesPortNumber(t *testing.T) {
	for _, n := range []uint8{0, 64} {
		if _, err := Attach(nil, 1, n); err == nil {
			t.Errorf("port number %d was accepted", n)
		}
	}
}

func TestThreshold(t *testing.T) {
	for p, want := range map[float64]uint32{-1: 0, 0: 0, 0.5: math.MaxUint32 / 2, 1: math.MaxUint32, 2: math.MaxUint32} {
		if got := threshold(p); got != want {
			t.Errorf("threshold(%v) = %d, want %d", p, got, want)
		}
	}
}
