// SPDX-License-Identifier: Apache-2.0

package recovery

import (
	"bufio"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/policy"
)

var update = flag.Bool("update", false, "write the answers into the scenarios")

func config() Config {
	return Config{Peers: []string{"b", "c"}, PeerWait: 3 * time.Second, ManagementWait: 2 * time.Second, Retry: 5 * time.Second}
}

// offer reads "7", "7x" (another digest) or "-".
func offer(source, s string) policy.Offer {
	if s == "-" {
		return policy.Offer{Source: source}
	}
	g, err := strconv.ParseUint(strings.TrimSuffix(s, "x"), 10, 64)
	if err != nil {
		panic(err)
	}
	d := policy.Digest{byte(g)}
	if strings.HasSuffix(s, "x") {
		d[1] = 1
	}
	return policy.Offer{Source: source, Generation: g, Digest: d}
}

func show(o policy.Offer) string {
	if o.None() {
		return "-"
	}
	s := fmt.Sprint(o.Generation)
	if o.Digest[1] != 0 {
		s += "x"
	}
	return s
}

func tell(effects []Effect) string {
	var all []string
	for _, e := range effects {
		switch e := e.(type) {
		case Ask:
			all = append(all, "ask management")
		case Fetch:
			all = append(all, "fetch "+show(e.What)+" from "+e.What.Source)
		case Use:
			all = append(all, "use "+show(e.What))
		case Problem:
			s := fmt.Sprintf("problem %q", e.Reason)
			if e.Pending {
				s += ", pending"
			}
			all = append(all, s)
		case WakeAt:
			all = append(all, "wake "+time.Duration(e.Time).String())
		}
	}
	if len(all) == 0 {
		return "  nothing"
	}
	return "  " + strings.Join(all, "\n  ")
}

func event(w []string) Event {
	switch w[0] {
	case "peer": // NAME active|standby GENERATION
		return Peer{w[1], w[2] == "active", offer(w[1], w[3])}
	case "gone":
		return PeerGone{w[1]}
	case "management":
		return Answered{offer(Management, w[1])}
	case "unreachable":
		return Unreachable{"no route"}
	case "fetched":
		return Fetched{offer("", w[1])}
	case "failed":
		return Failed{Source: w[1], What: offer(w[1], w[2]), Why: "time-out", Forged: len(w) > 3}
	case "in-force":
		return InForce{offer(Local, w[1])}
	case "not-in-force":
		return NotInForce{offer(Local, w[1]), "nft refuses"}
	case "unloaded":
		return Unloaded{}
	case "resume":
		return Resume{}
	case "declined": // GENERATION LOCAL INFORCE
		e := Declined{Local: offer(Local, w[2]), InForce: offer(Local, w[3])}
		if w[1] != "-" {
			e.All = []policy.Digest{offer("", w[1]).Digest}
		}
		return e
	case "tick":
		return Tick{}
	}
	panic(w[0])
}

// TestScenarios plays testdata/*.txt. A scenario begins with "start LOCAL INFORCE"; each line is a time and an event, what follows indented is
// the answer. If it fails, run it with -update and look at the difference before committing.
func TestScenarios(t *testing.T) {
	files, _ := filepath.Glob("testdata/*.txt")
	if len(files) == 0 {
		t.Fatal("no scenarios")
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		var m *Machine
		for in := bufio.NewScanner(strings.NewReader(string(text))); in.Scan(); {
			line := in.Text()
			if strings.HasPrefix(line, "  ") {
				continue
			}
			out.WriteString(line + "\n")
			w := strings.Fields(line)
			var effects []Effect
			switch {
			case len(w) == 0 || w[0] == "#":
				continue
			case w[0] == "start":
				m, effects = New(config(), offer(Local, w[1]), offer(Local, w[2]), 0)
			default:
				at, err := time.ParseDuration(w[0])
				if err != nil {
					t.Fatal(err)
				}
				effects = m.Step(int64(at), event(w[1:]))
			}
			out.WriteString(tell(effects) + "\n")
		}
		if *update {
			if err := os.WriteFile(file, []byte(out.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		} else if out.String() != string(text) {
			t.Errorf("%s:\n%s\nwant:\n%s", file, out.String(), text)
		}
	}
}

// TestAnyOrder: whatever happens in whatever order, never two things are under way, nothing is used that is not on disk, a member with a
// policy in force does not go back to an older one, and when all is well at last it has the newest.
func TestAnyOrder(t *testing.T) {
	for seed := range uint64(20000) {
		r := rand.New(rand.NewPCG(seed, 1))
		gen := func() string { return []string{"-", "3", "4", "5"}[r.IntN(4)] }
		local := gen()
		m, effects := New(config(), offer(Local, local), policy.Offer{}, 0)
		var doing Effect
		disk := map[policy.Digest]bool{offer(Local, local).Digest: local != "-"}
		var inForce policy.Offer
		now, wake := int64(0), never
		take := func(effects []Effect) {
			wake = never
			for _, e := range effects {
				switch e := e.(type) {
				case Fetch:
					if doing != nil {
						t.Fatalf("seed %d: fetch %v during %v", seed, e, doing)
					}
					doing = e
				case Use:
					if doing != nil || !disk[e.What.Digest] || e.What.Generation < inForce.Generation {
						t.Fatalf("seed %d: use %v, %v is under way, in force %v", seed, e, doing, inForce)
					}
					doing = e
				case WakeAt:
					if wake = e.Time; wake <= now {
						t.Fatalf("seed %d: to be woken at %d, at %d", seed, wake, now)
					}
				}
			}
		}
		end := func(ok bool) Event {
			d := doing
			doing = nil
			switch d := d.(type) {
			case Fetch:
				if !ok {
					return Failed{d.What.Source, d.What, "x", false}
				}
				disk[d.What.Digest] = true
				return Fetched(d)
			case Use:
				if !ok {
					return NotInForce{d.What, "x"}
				}
				inForce = d.What
				return InForce(d)
			}
			return Tick{}
		}
		take(effects)
		for range 40 {
			now += int64(r.IntN(1500)) * 1e6
			switch r.IntN(6) {
			case 0:
				n := []string{"b", "c"}[r.IntN(2)]
				take(m.Step(now, Peer{n, r.IntN(2) == 0, offer(n, gen())}))
			case 1:
				take(m.Step(now, PeerGone{[]string{"b", "c"}[r.IntN(2)]}))
			case 2:
				take(m.Step(now, Answered{offer(Management, gen())}))
			case 3:
				take(m.Step(now, Unreachable{"x"}))
			default:
				take(m.Step(now, end(r.IntN(4) != 0)))
			}
		}
		// Peer b has 6 and gives it.
		take(m.Step(now, Peer{"b", true, offer("b", "6")}))
		for i := 0; inForce.Generation != 6; i++ {
			if i > 50 {
				t.Fatalf("seed %d: has %v in the end, %v under way", seed, inForce, doing)
			}
			if doing == nil && wake > now && wake != never {
				now = wake
			}
			take(m.Step(now, end(true)))
		}
	}
}
