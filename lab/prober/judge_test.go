// SPDX-License-Identifier: Apache-2.0

package prober

import (
	"net/netip"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/lab/traffic"
)

// asked builds a prober that sent one probe every 10 ms; each string says who answered: "1", "2", "12" (both at once),
// "1..2" (2 answered 5 ms after 1), "" (nobody).
func asked(rounds ...string) *Prober {
	p := &Prober{start: time.Now(), cfg: Config{Every: 10 * time.Millisecond, Ports: []Port{{Member: "m1"}, {Member: "m2"}, {Member: "m3"}}}}
	t := target{vip: vip4}
	for i, who := range rounds {
		q := probe{sent: int64(i) * int64(p.cfg.Every), round: int32(i)}
		at := q.sent + 1000
		for _, c := range who {
			if c == '.' {
				at += int64(2500 * time.Microsecond)
				continue
			}
			if q.by == 0 {
				q.first, q.firstBy = at, 1<<(c-'1')
			}
			q.by |= 1 << (c - '1')
			q.answered = at
		}
		t.probes = append(t.probes, q)
	}
	p.targets = []target{t}
	return p
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name                   string
		rounds                 []string
		contested, interleaved int
		episodes               int
		dual                   time.Duration // in whole ms
		unanswered, services   int
	}{
		{name: "one serves", rounds: []string{"1", "1", "1"}, services: 1},
		{name: "a hand-over", rounds: []string{"1", "1", "2", "2"}, services: 2},
		{name: "a hand-over with a hole", rounds: []string{"1", "", "", "2"}, unanswered: 2, services: 2},
		{name: "one question, two answers", rounds: []string{"1", "12", "2"}, contested: 1, episodes: 1, dual: 10, services: 2},
		{name: "two for a while", rounds: []string{"1", "12", "12", "12", "12", "1"}, contested: 4, episodes: 1, dual: 30, services: 1},
		{name: "two whiles", rounds: []string{"12", "1", "1", "1", "1", "12"}, contested: 2, episodes: 2, dual: 20, services: 1},
		{name: "a late answer to an old question", rounds: []string{"1", "1..2", "2", "2"}, services: 2},
		{name: "a late answer of one that does not serve", rounds: []string{"1", "1..2", "1", "1"}, interleaved: 1, episodes: 1, dual: 10, services: 3},
		{name: "each is asked by itself", rounds: []string{"1", "2", "1", "2"}, interleaved: 2, episodes: 1, dual: 20, services: 4},
		{name: "there and back later", rounds: []string{"1", "2", "2", "2", "1"}, services: 3},
		{name: "three serve in turn", rounds: []string{"1", "2", "3"}, services: 3},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := asked(tt.rounds...)
			rep := p.Window(p.start, p.start.Add(time.Second))
			if rep.Probes != len(tt.rounds) || rep.Contested != tt.contested || rep.Interleaved != tt.interleaved || rep.Unanswered != tt.unanswered {
				t.Errorf("probes %d contested %d interleaved %d unanswered %d, want %d %d %d %d",
					rep.Probes, rep.Contested, rep.Interleaved, rep.Unanswered, len(tt.rounds), tt.contested, tt.interleaved, tt.unanswered)
			}
			if got := rep.Dual.Truncate(time.Millisecond); got != tt.dual*time.Millisecond || len(rep.Episodes) != tt.episodes {
				t.Errorf("dual %v in %d episodes, want %d ms in %d: %+v", got, len(rep.Episodes), tt.dual, tt.episodes, rep.Episodes)
			}
			if len(rep.Services) != tt.services {
				t.Errorf("services %+v, want %d", rep.Services, tt.services)
			}
		})
	}
}

func TestWatchFindsPacketsForwardedTwice(t *testing.T) {
	w := &Watch{start: time.Now(), byName: map[flowName]*track{}, cfg: ForwardConfig{Ports: []Port{{Member: "m1"}, {Member: "m2"}}}}
	pkt := func(n uint64) traffic.Packet { return traffic.Packet{Run: 1, Sequence: n} }
	w.file(0, pkt(0), 0)
	w.file(0, pkt(1), 1)
	w.file(0, pkt(1), 2) // repeated
	w.file(1, pkt(2), 3) // handed over
	w.file(0, pkt(2), 4) // twice
	rep := w.Window(w.start, w.start.Add(time.Second))
	if rep.TwiceCount != 1 || len(rep.Twice) != 1 || rep.Twice[0].First != "m2" || rep.Twice[0].Second != "m1" || rep.Twice[0].Sequence != 2 {
		t.Errorf("twice %+v", rep.Twice)
	}
	if rep.Repeated != 1 || rep.Forwarded["m1"] != 2 || rep.Forwarded["m2"] != 1 {
		t.Errorf("%+v", rep)
	}
	if len(rep.Handovers) != 1 || rep.Handovers[0].From != "m1" || rep.Handovers[0].To != "m2" {
		t.Errorf("handovers %+v", rep.Handovers)
	}
	if m, _ := w.Server(); m != "m1" {
		t.Errorf("server %s, want the one that forwarded last", m)
	}
}

func TestNewest(t *testing.T) {
	for _, tt := range []struct{ probes, slot, want int }{
		{0, 0, -1}, {1, 0, 0}, {1, 1, -1}, {slots, slots - 1, slots - 1}, {slots + 1, 0, slots}, {slots + 1, 1, 1}, {3*slots + 5, 4, 3*slots + 4},
	} {
		if got := newest(tt.probes, tt.slot); got != tt.want {
			t.Errorf("of %d probes the newest in slot %d is %d, want %d", tt.probes, tt.slot, got, tt.want)
		}
	}
}

// An answer that was read late belongs to the probe before it, not to a later one that used the same hardware address.
func TestHearFindsTheProbeBefore(t *testing.T) {
	rounds := make([]string, slots+3)
	p := asked(rounds...)
	p.index = map[netip.Addr]int{vip4: 0}
	p.hear(1, said{vip: vip4, to: [6]byte{0, 0, 0, 0, 0, 2}}, p.start.Add(25*time.Millisecond))
	if probes := p.targets[0].probes; probes[2].by != 2 || probes[slots+2].by != 0 {
		t.Errorf("probe 2 answered by %b, probe %d by %b, want 10 and 0", probes[2].by, slots+2, probes[slots+2].by)
	}
}

func TestStrip(t *testing.T) {
	p := asked("1", "", "12", "2", "1..2")
	p.index = map[netip.Addr]int{vip4: 0}
	if got, want := p.Strip(vip4, p.start, 10*time.Millisecond, 7), "1.!21  "; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got := p.Strip(vip6, p.start, 10*time.Millisecond, 2); got != "  " {
		t.Errorf("%q for an address that is not asked for", got)
	}
}
