// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/simtest"
	"github.com/holdfast-project/holdfast/policy"
)

const ms = int64(time.Millisecond)

var (
	key      = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, 32))
	stranger = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{2}, 32))
	trust    = policy.Trust{Cluster: 7, Keys: []ed25519.PublicKey{key.Public().(ed25519.PublicKey)}}
)

// sealed is a policy whose pieces travel in about so many bytes in all.
func sealed(t testing.TB, generation uint64, length int, with ed25519.PrivateKey) *policy.Sealed {
	t.Helper()
	r := rand.New(rand.NewPCG(generation, 9))
	var text strings.Builder
	for text.Len() < length*2 { // hexadecimal packs to a half
		fmt.Fprintf(&text, "# %016x%016x\n", r.Uint64(), r.Uint64())
	}
	s, err := policy.Seal(&policy.Bundle{Cluster: 7, Generation: generation, Created: 1, Ruleset: text.String() + "table ip t {}\n"}, with)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// source is a member that is asked.
type source struct {
	name  string
	holds *policy.Sealed // nil: nothing
	as    policy.Digest  // what it says that it is
	mood  string         // "", "dead", "drip", "forge piece", "forge total", "forge head"
	a     *Answerer
}

// world is an asker, who asks the sources in turns, and the frames between them.
type world struct {
	t           *testing.T
	r           *rand.Rand
	now         int64
	agenda      simtest.Agenda[func()]
	a           *Asker
	sources     []*source
	next        int
	loss, again float64
	delay       int64 // one way
	jitter      int64
	wake        int64
	got         *policy.Sealed
	fails       []Failed
	frames      int // data frames sent
	bytes       int
	wants       int
}

func (w *world) after(d int64, do func()) {
	w.agenda.Add(w.now+d, do)
}

func (w *world) send(deliver func()) {
	if w.r.Float64() >= w.loss {
		w.after(w.delay+w.r.Int64N(w.jitter+1), deliver)
	}
	if w.r.Float64() < w.again {
		w.after(w.delay+w.r.Int64N(50*ms), deliver)
	}
}

func (w *world) step(e Event) {
	for _, e := range w.a.Step(w.now, e) {
		switch e := e.(type) {
		case Send:
			length := 0
			for _, want := range e.Wants {
				length += 38 + 8*len(want.Ranges)
			}
			if len(e.Wants) > MaxWants || length > 1276 {
				w.t.Fatalf("%d wants of %d bytes", len(e.Wants), length)
			}
			w.wants++
			for _, s := range w.sources {
				if s.name == e.To {
					w.send(func() { w.answer(s, e.Wants) })
				}
			}
		case Done:
			w.got = e.Policy
		case Failed:
			w.fails = append(w.fails, e)
			w.after(ms, w.begin)
		case WakeAt:
			if e.Time <= w.now {
				w.t.Fatalf("to be woken at %d, at %d", e.Time, w.now)
			}
			w.wake = e.Time
			w.after(e.Time-w.now, func() {
				if w.wake == w.now {
					w.step(Tick{})
				}
			})
		}
	}
}

func (w *world) begin() {
	s := w.sources[w.next%len(w.sources)]
	w.next++
	w.step(Begin{s.name})
}

func (w *world) answer(s *source, wants []Want) {
	if s.mood == "dead" || s.mood == "drip" && w.r.IntN(10) > 0 {
		return
	}
	data, none := s.a.Answer(w.now, s.name, wants, func(d policy.Digest) *policy.Sealed {
		if s.holds != nil && (d == s.holds.Head().Digest() || d == s.as) {
			return s.holds
		}
		return nil
	})
	for _, d := range none {
		w.send(func() { w.step(Lacks{s.name, d}) })
	}
	if s.mood == "drip" && len(data) > 1 {
		data = data[:1]
	}
	for i, d := range data {
		d.Bytes = bytes.Clone(d.Bytes)
		switch {
		case s.mood == "forge piece" && d.What != Head, s.mood == "forge head" && d.What == Head:
			d.Bytes[w.r.IntN(len(d.Bytes))] ^= 1
		case s.mood == "forge total" && d.What != Head:
			d.Total = 1 << 30
		}
		w.frames++
		w.bytes += len(d.Bytes)
		w.after(int64(i)*10_000, func() { w.send(func() { w.step(Got{s.name, d}) }) }) // a frame each 10 us
	}
}

func (w *world) run(until int64) {
	w.begin()
	for w.now < until && w.got == nil {
		at, do := w.agenda.Take()
		w.now = at
		do()
	}
}

func newWorld(t *testing.T, seed uint64, s *policy.Sealed, moods ...string) *world {
	w := &world{t: t, r: rand.New(rand.NewPCG(seed, 3)), delay: ms / 2, a: NewAsker(Config{}, trust, s.Head().Offer("x"))}
	for i, m := range moods {
		x := &source{name: "m" + strconv.Itoa(i), mood: m, holds: s, a: NewAnswerer(Config{})}
		if m == "none" {
			x.holds = nil
		}
		w.sources = append(w.sources, x)
	}
	return w
}

// TestClean: without losses it takes little more than its bytes, and hardly a second.
func TestClean(t *testing.T) {
	for _, tc := range []struct {
		length int
		most   time.Duration
	}{
		{10, 5 * time.Millisecond}, {300 << 10, 100 * time.Millisecond}, {4 << 20, 800 * time.Millisecond},
	} {
		s := sealed(t, 5, tc.length, key)
		w := newWorld(t, 1, s, "")
		w.run(10 * int64(time.Second))
		if w.got == nil || w.got.Head().Digest() != s.Head().Digest() || !bytes.Equal(w.got.Encode(), s.Encode()) {
			t.Fatalf("%d bytes: not there after %v: %v", tc.length, time.Duration(w.now), w.fails)
		}
		t.Logf("%d bytes in %v: %d frames, %d bytes, asked with %d", len(s.Encode()), time.Duration(w.now), w.frames, w.bytes, w.wants)
		if time.Duration(w.now) > tc.most || w.bytes > len(s.Encode())+1000 {
			t.Errorf("%v and %d bytes for %d", time.Duration(w.now), w.bytes, len(s.Encode()))
		}
	}
}

// TestSimulation: whatever is lost, comes twice or is forged, the policy comes if one source gives it, byte for byte; the others are given up for
// the right reason; and what is sent stays in proportion. HOLDFAST_SIM_RUNS is how many seeds.
func TestSimulation(t *testing.T) {
	runs := simtest.Runs(t, 100)
	moods := []string{"", "dead", "none", "drip", "forge piece", "forge total", "forge head"}
	why := map[string]error{"dead": ErrSilent, "none": ErrNone, "forge piece": ErrForged, "forge total": ErrForged, "forge head": ErrForged}
	policies := []*policy.Sealed{sealed(t, 5, 100, key), sealed(t, 6, 50<<10, key), sealed(t, 7, 300<<10, key)}
	var worst int64
	for seed := range uint64(runs) {
		r := rand.New(rand.NewPCG(seed, 4))
		s := policies[r.IntN(len(policies))]
		var all []string
		for range r.IntN(4) {
			all = append(all, moods[r.IntN(len(moods))])
		}
		all = append(all, "")
		w := newWorld(t, seed, s, all...)
		w.loss, w.again, w.delay, w.jitter = r.Float64()*0.2, r.Float64()*0.2, r.Int64N(20*ms), r.Int64N(20*ms)
		w.run(120 * int64(time.Second))
		if w.got == nil || !bytes.Equal(w.got.Encode(), s.Encode()) {
			t.Fatalf("seed %d: not there after %v: %v, %+v", seed, time.Duration(w.now), all, w.fails)
		}
		for _, f := range w.fails {
			mood := all[f.From[1]-'0']
			if want := why[mood]; want != nil && !errors.Is(f.Err, want) && !errors.Is(f.Err, ErrSilent) {
				t.Errorf("seed %d: %q was given up for %v", seed, mood, f.Err)
			}
			if mood == "" {
				t.Errorf("seed %d: a good one was given up: %v, loss %.2f, delay %v", seed, f.Err, w.loss, time.Duration(w.delay))
			}
		}
		if limit := (len(s.Encode()) + 100_000) * (3 + len(w.fails)); w.bytes > limit {
			t.Errorf("seed %d: %d bytes were sent for %d, from %v", seed, w.bytes, len(s.Encode()), all)
		}
		worst = max(worst, w.now/int64(1+len(w.fails)))
	}
	t.Logf("at worst %v a source", time.Duration(worst))
}
