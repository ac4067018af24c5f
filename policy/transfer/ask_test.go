// SPDX-License-Identifier: Apache-2.0

package transfer

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

// talk brings every frame between an asker and one source, with nothing lost, until the asker wants no more; the source gives what holds says.
func talk(t *testing.T, a *Asker, source string, holds *policy.Sealed, forge func(*Data)) (*policy.Sealed, error) {
	t.Helper()
	give := NewAnswerer(Config{Rate: 1 << 40, Burst: 1 << 30})
	now := a.now
	effects := a.Step(now, Begin{source})
	for len(effects) > 0 {
		var next []Effect
		for _, e := range effects {
			switch e := e.(type) {
			case Done:
				return e.Policy, nil
			case Failed:
				return nil, e.Err
			case Send:
				data, none := give.Answer(now, "asker", e.Wants, func(policy.Digest) *policy.Sealed { return holds })
				for _, d := range none {
					next = append(next, a.Step(now, Lacks{source, d})...)
				}
				for _, d := range data {
					d.Bytes = bytes.Clone(d.Bytes)
					d.Digest = a.what.Digest
					if forge != nil {
						forge(&d)
					}
					now += 1000
					next = append(next, a.Step(now, Got{source, d})...)
				}
			}
		}
		effects = next
	}
	t.Fatal("neither done nor failed")
	return nil, nil
}

// Every forgery is told from what is merely missing, costs nothing that was verified, and the next source goes on from there.
func TestForged(t *testing.T) {
	s := sealed(t, 5, 200<<10, key)
	offer := s.Head().Offer("m")
	for _, tc := range []struct {
		name  string
		trust policy.Trust
		offer policy.Offer
		holds *policy.Sealed
		forge func(*Data)
		want  error
		also  error
	}{
		{"nothing there", trust, offer, nil, nil, ErrNone, ErrNone},
		{"another policy", trust, offer, sealed(t, 6, 100, key), nil, ErrForged, policy.ErrDigest},
		{"another key", trust, sealed(t, 5, 100, stranger).Head().Offer("m"), sealed(t, 5, 100, stranger), nil, ErrForged, policy.ErrKey},
		{"another cluster", policy.Trust{Cluster: 8, Keys: trust.Keys}, offer, s, nil, ErrForged, policy.ErrCluster},
		{"older than what is known", policy.Trust{Cluster: 7, Keys: trust.Keys, Floor: 6}, offer, s, nil, ErrForged, policy.ErrOlder},
		{"a generation that was not offered", trust, policy.Offer{Generation: 6, Digest: offer.Digest}, s, nil, ErrForged, policy.ErrDigest},
		{"a signature that was changed", trust, offer, s, func(d *Data) {
			if d.What == Head {
				d.Bytes[len(d.Bytes)-1] ^= 1
			}
		}, ErrForged, policy.ErrSignature},
		{"no head", trust, offer, s, func(d *Data) { d.Bytes[0] ^= 1 }, ErrForged, policy.ErrMagic},
		{"a head and more", trust, offer, s, func(d *Data) {
			if d.What == Head {
				d.Bytes, d.Total = append(d.Bytes, 1), d.Total+1
			}
		}, ErrForged, policy.ErrTrailing},
		{"a piece that was changed", trust, offer, s, func(d *Data) {
			if d.What == 3 && d.Offset == 0 {
				d.Bytes[9] ^= 1
			}
		}, ErrForged, policy.ErrDigest},
		{"a piece without end", trust, offer, s, func(d *Data) {
			if d.What == 2 {
				d.Total = maxPiece + 1
			}
		}, ErrForged, ErrForged},
		{"a head without end", trust, offer, s, func(d *Data) { d.Total = 1 << 31 }, ErrForged, ErrForged},
		{"a length that changes", trust, offer, s, func(d *Data) {
			if d.What == 2 && d.Offset > 0 {
				d.Total++
			}
		}, ErrForged, ErrForged},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := NewAsker(Config{}, tc.trust, tc.offer)
			got, err := talk(t, a, "m", tc.holds, tc.forge)
			if got != nil || !errors.Is(err, tc.want) || !errors.Is(err, tc.also) {
				t.Fatalf("%v, %v; want %v, %v", got, err, tc.want, tc.also)
			}
			if a.Source() != "" {
				t.Errorf("still asks %s", a.Source())
			}
			if tc.offer != offer || tc.trust.Cluster != 7 || tc.trust.Floor > 5 {
				return
			}
			before, _ := a.Progress()
			if got, err = talk(t, a, "n", s, nil); err != nil || !bytes.Equal(got.Encode(), s.Encode()) {
				t.Fatalf("from another one: %v", err)
			}
			if n, of := a.Progress(); n != of || before > of {
				t.Errorf("%d, then %d of %d", before, n, of)
			}
		})
	}
}

// What nobody asked for, and what comes from somebody else, changes nothing.
func TestUnasked(t *testing.T) {
	s := sealed(t, 5, 200<<10, key)
	a := NewAsker(Config{}, trust, s.Head().Offer("m"))
	head := s.Head().Encode()
	d := Data{Digest: s.Head().Digest(), Total: len(head), Bytes: head}
	a.Step(0, Got{"m", d}) // nobody is asked
	a.Step(0, Begin{"m"})
	bad := bytes.Clone(head)
	bad[0] ^= 1
	for _, e := range []Event{
		Got{"n", Data{Digest: d.Digest, Total: len(head), Bytes: bad}},
		Got{"m", Data{Digest: policy.Digest{1}, Total: len(head), Bytes: bad}},
		Got{"m", Data{Digest: d.Digest, What: 1, Total: 1 << 30, Bytes: bad}},                  // a piece, before the head
		Got{"m", Data{Digest: d.Digest, Total: len(head), Offset: 1, Bytes: bad[1:]}},          // no unit
		Got{"m", Data{Digest: d.Digest, Total: len(head), Bytes: bad[:len(bad)-1]}},            // half a unit
		Got{"m", Data{Digest: d.Digest, Total: 5000, Offset: 1230, Bytes: make([]byte, 1230)}}, // a unit that was not asked for
		Lacks{"n", d.Digest}, Lacks{"m", policy.Digest{1}}, Gone{"n"},
	} {
		a.Step(1, e)
	}
	if a.Source() != "m" || a.head != nil {
		t.Fatalf("asks %q, head %v", a.Source(), a.head)
	}
	a.Step(2, Got{"m", d})
	if a.head == nil {
		t.Fatal("the head was not taken")
	}
	effects := a.Step(3, Gone{"m"})
	if f, ok := effects[0].(Failed); !ok || !errors.Is(f.Err, ErrGone) || len(effects) != 1 {
		t.Fatalf("%+v", effects)
	}
	if effects := a.Step(4, Tick{}); len(effects) != 0 {
		t.Fatalf("%+v of nobody", effects)
	}
}

// Who asks for one policy after another makes an answerer read no more of them than it pays for.
func TestAnswerFinds(t *testing.T) {
	all := map[policy.Digest]*policy.Sealed{}
	var wants []Want
	for g := range uint64(3) {
		s := sealed(t, g+1, 1000, key)
		all[s.Head().Digest()] = s
		wants = append(wants, Want{s.Head().Digest(), Head, []Range{{0, 1}}})
	}
	calls := map[policy.Digest]int{}
	have := func(d policy.Digest) *policy.Sealed {
		calls[d]++
		return all[d]
	}
	a := NewAnswerer(Config{Burst: 10 * packCost})
	for i := range 1000 {
		a.Answer(0, "x", wants[i%3:i%3+1], have)
	}
	if n := len(calls); n != 3 || calls[wants[0].Digest] > 5 {
		t.Errorf("%d policies were looked for, one of them %d times", n, calls[wants[0].Digest])
	}
	for range 10 { // the latest cost nothing to find
		a.Answer(int64(time.Second), "y", wants[:1], have)
	}
	if data, _ := a.Answer(int64(time.Second), "y", wants[:1], have); len(data) != 1 {
		t.Errorf("%d data", len(data))
	}
}

// An answerer gives no more than was asked for, than a window, and than its rate.
func TestAnswer(t *testing.T) {
	s := sealed(t, 5, 400<<10, key)
	calls := 0
	have := func(d policy.Digest) *policy.Sealed {
		calls++
		if d == s.Head().Digest() {
			return s
		}
		return nil
	}
	ask := func(what int, ranges ...Range) Want { return Want{s.Head().Digest(), what, ranges} }
	all := Range{0, 1 << 30}
	a := NewAnswerer(Config{Rate: 100_000, Burst: 200_000})
	for _, tc := range []struct {
		name        string
		wants       []Want
		bytes, none int
	}{
		{"nothing", nil, 0, 0},
		{"no ranges", []Want{ask(0)}, 0, 0},
		{"a range", []Want{ask(1, Range{1230, 2460})}, 2460, 0},
		{"beyond the end", []Want{ask(0, Range{1 << 20, 5})}, 0, 0},
		{"before the beginning", []Want{ask(0, Range{-5, 1 << 20})}, len(s.Head().Encode()), 0},
		{"a length below nothing", []Want{ask(0, Range{0, -5})}, 0, 0},
		{"pieces that do not exist", []Want{ask(99, all), ask(-1, all)}, 0, 0},
		{"three policies", []Want{{policy.Digest{1}, 0, []Range{all}}, {policy.Digest{2}, 0, []Range{all}}, {policy.Digest{3}, 0, []Range{all}}}, 0, 2},
		{"the same again and again", []Want{ask(1, all, all, all, all), ask(1, all, all, all, all)}, 64 * 1230, 0},
	} {
		data, none := a.Answer(0, "x", tc.wants, have)
		n := 0
		for _, d := range data {
			n += len(d.Bytes)
		}
		if len(none) != tc.none || n > tc.bytes || n < tc.bytes*9/10 {
			t.Errorf("%s: %d bytes in %d, %d none; want %d, %d", tc.name, n, len(data), len(none), tc.bytes, tc.none)
		}
	}
	if calls > 9 {
		t.Errorf("%d policies were looked for", calls)
	}
	// What is left, then what a second fills up; and another asker has its own.
	drain := func(now int64, from string) (n int) {
		for {
			data, _ := a.Answer(now, from, []Want{ask(1, all), ask(2, all)}, have)
			if len(data) == 0 {
				return n
			}
			for _, d := range data {
				n += len(d.Bytes)
			}
		}
	}
	if n := drain(0, "x"); n > 110_000 {
		t.Errorf("%d bytes more", n)
	}
	if n := drain(int64(time.Second), "x"); n > 102_000 || n < 95_000-packCost {
		t.Errorf("%d bytes after a second", n)
	}
	if n := drain(int64(time.Second), "y"); n < 180_000 || n > 200_000 {
		t.Errorf("%d bytes for another one", n)
	}
	// Many who take what they can are too many, and so are those after them, until the first may have as much again.
	now := int64(time.Second)
	for i := range 40 {
		if n := drain(now, string(rune('A'+i))); (n > 0) != (i < maxAskers-2) {
			t.Errorf("%d bytes for asker %d of 40", n, i)
		}
	}
	if len(a.askers) != maxAskers {
		t.Errorf("%d askers are remembered", len(a.askers))
	}
	for i := range 3 * maxAskers {
		now += int64(2 * time.Second) // fills a bucket
		if n := drain(now, fmt.Sprintf("renamed %d", i)); n == 0 {
			t.Fatalf("nothing for one who asks under name %d", i)
		}
	}
	if n := drain(now, fmt.Sprintf("renamed %d", 3*maxAskers-1)); n > 0 {
		t.Errorf("%d bytes at once for one who was forgotten too early", n)
	}
	for i := range 200 {
		a.whole(&bucket{left: 1 << 62}, s, ask(i%(s.Head().Pieces()+1)))
	}
	if len(a.packed) > maxPacked || len(a.packed) != len(a.order) {
		t.Errorf("%d pieces are kept", len(a.packed))
	}
}
