// SPDX-License-Identifier: Apache-2.0

package members_test

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/sim"
)

var update = flag.Bool("update", false, "write what happens into testdata; commit it only if you understand every change")

// TestScenarios plays the scenarios in testdata on simulated clusters and compares what the members
// record and say. A scenario is a sequence of paragraphs:
//
//	# comment
//	command
//	command
//	----
//	what is expected
//
// Times are counted from the first command of the paragraph. The commands are those of script.do, below.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios in testdata: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if got != string(want) {
				t.Errorf("%s differs; run go test ./members -run Scenarios -update and look at the difference.\n%s", file, firstDifference(got, string(want)))
			}
		})
	}
}

// firstDifference shows the first lines that differ.
func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d:\n got %s\nwant %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

// play runs a scenario and returns it with what really happens.
func play(t *testing.T, text string) string {
	s := &script{t: t}
	var out strings.Builder
	expected := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.TrimSpace(line) == "":
			expected = false
			out.WriteString("\n")
		case expected:
		case strings.HasPrefix(line, "#"):
			out.WriteString(line + "\n")
		case line == "----":
			expected = true
			out.WriteString(line + "\n" + s.take())
		default:
			out.WriteString(line + "\n")
			s.do(strings.Fields(line))
		}
	}
	return out.String()
}

// script is a scenario as it is played.
type script struct {
	t          *testing.T
	opt        sim.Options
	told       [8]settings
	w          *sim.World
	out        bytes.Buffer
	began      time.Duration
	idle       bool // no command since the last paragraph
	all, quiet bool
}

// take returns what happened since the last paragraph.
func (s *script) take() string {
	text := s.out.String()
	s.out.Reset()
	s.idle = true
	return text
}

// record prints a record, but for what members see of each other unless `events all` asked for it.
func (s *script) record(at int64, id uint8, r members.Record) {
	if s.quiet || !s.all && r.Code >= members.CodePeerHeard && r.Code <= members.CodePeerState && r.Code != members.CodePeerInterface {
		return
	}
	fmt.Fprintf(&s.out, "%10.1f ms  fw%d  %-16v", float64(at-int64(s.began))/1e6, id+1, r.Code)
	if r.From != r.To {
		fmt.Fprintf(&s.out, " %v to %v", r.From, r.To)
	}
	fmt.Fprintf(&s.out, ": %s", r.Reason)
	if r.Term != 0 {
		fmt.Fprintf(&s.out, " (term %d", r.Term)
		if r.Gap != 0 {
			fmt.Fprintf(&s.out, ", gap %.1f ms", float64(r.Gap)/1e6)
		}
		s.out.WriteString(")")
	}
	s.out.WriteString("\n")
}

// option returns the value of key=value among the words.
func option(words []string, key string) string {
	for _, w := range words {
		if v, ok := strings.CutPrefix(w, key+"="); ok {
			return v
		}
	}
	return ""
}

func (s *script) number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		s.t.Fatalf("%q is no number: %v", text, err)
	}
	return n
}

func (s *script) duration(text string) time.Duration {
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

// member reads fw1, fw2, ...; iface reads outside, inside, sync.
func (s *script) member(word string) uint8 {
	n, ok := strings.CutPrefix(word, "fw")
	if !ok {
		s.t.Fatalf("%q is no member", word)
	}
	return uint8(s.number(n) - 1)
}

func (s *script) iface(word string) uint8 {
	if word == "sync" {
		return uint8(s.opt.Interfaces - 1)
	}
	i := slices.Index([]string{"outside", "inside"}, word)
	if i < 0 {
		s.t.Fatalf("%q is no interface", word)
	}
	return uint8(i)
}

// do carries one command out:
//
//	cluster members=N interfaces=N [sync] [neighbours] [onebyone] [recovery=highest-priority] [profile=fast] [recovery-delay=T]
//	        [weights=NAME:N,...] [budget=N] [window=T] [echo] [groups=NAME:IFACE+IFACE:MIN] [private=IFACE] [targets=IFACE,...]
//	config fwN digest=D | mode=M | version=V | min=V | caps=BITS | wait=policy,sync     for the next start of its daemon
//	on fwN...            off fwN...          power, with what a cold start means
//	kill fwN [restart=T] start fwN           the daemon, as SIGKILL does
//	restart fwN after=T  stop fwN            the daemon, in an orderly way
//	hang fwN  wake fwN                       SIGSTOP and SIGCONT of the main process
//	stall fwN  unstall fwN                   the pulse
//	pause fwN  resume fwN                    the machine, with its clock
//	cable IFACE fwN out|in                   one cable;  switch IFACE out|in: all of them
//	cut IFACE fwN fwM [oneway]  heal IFACE fwN fwM
//	strand IFACE fwN  unstrand IFACE fwN     the member and the third stations of the segment
//	silence IFACE on|off                     the third stations answer nobody
//	proxy IFACE on|off                       only ARP is answered there
//	bond IFACE fwN short|well                whether enough links of its bond are up
//	key fwN wrong|right  stranger on|off  loss PERCENT
//	device fwN NAME ok|init|problem [reason...]   unregister fwN NAME
//	register fwN NAME timeout=T              report fwN NAME by=MONITOR ok|init|problem [reason...]
//	policy fwN [none|init] [gen=N]           whether it has its policy, and which
//	sync fwN [none]                          whether it has its connection table
//	admin fwN down|up|reset|freeze|unfreeze [for=T]  force fwN to fwM [for=T]   force fwN end
//	run T                                    lets time pass
//	state   why fwN   whynot fwN fwM   hello fwN   budget fwN   devices fwN   events all|own|none
//	pairs                                    breaks each pair of devices of two members, see there
func (s *script) do(w []string) {
	if s.idle && s.w != nil {
		s.began, s.idle = s.w.Now(), false
	}
	switch w[0] {
	case "cluster":
		s.cluster(w)
	case "config":
		s.config(w)
	case "run":
		if err := s.w.Run(s.duration(w[1])); err != nil {
			s.t.Fatalf("an invariant broke: %v", err)
		}
	case "on", "off", "kill", "start", "restart", "stop", "hang", "wake", "stall", "unstall", "pause", "resume":
		for _, m := range w[1:] {
			if strings.HasPrefix(m, "fw") {
				s.power(w, s.member(m))
			}
		}
	case "cable", "switch", "cut", "heal", "strand", "unstrand", "silence", "proxy", "bond":
		s.wire(w)
	case "pairs":
		s.pairs()
	case "state", "why", "whynot", "hello", "budget", "devices", "events":
		s.ask(w)
	default:
		s.order(w)
	}
}

func (s *script) power(w []string, id uint8) {
	switch w[0] {
	case "on":
		s.w.PowerOn(id)
	case "off":
		s.w.PowerOff(id)
	case "kill":
		s.w.Kill(id, s.duration(option(w, "restart")))
	case "start":
		s.w.Start(id)
	case "restart":
		s.w.Restart(id, s.duration(option(w, "after")))
	case "stop":
		s.w.StopDaemon(id)
	case "hang", "wake":
		s.w.SetMain(id, w[0] == "hang")
	case "stall", "unstall":
		s.w.SetPulse(id, w[0] == "stall")
	case "pause", "resume":
		s.w.SetPaused(id, w[0] == "pause")
	}
}

func (s *script) wire(w []string) {
	i := s.iface(w[1])
	switch w[0] {
	case "cable":
		s.w.Cable(i, s.member(w[2]), w[3] == "in")
	case "switch":
		for id := range s.opt.Members {
			s.w.Cable(i, uint8(id), w[2] == "in")
		}
	case "cut", "heal":
		a, b := s.member(w[2]), s.member(w[3])
		s.w.Cut(i, a, b, w[0] == "cut")
		if len(w) < 5 {
			s.w.Cut(i, b, a, w[0] == "cut")
		}
	case "strand", "unstrand":
		s.w.Strand(i, s.member(w[2]), w[0] == "strand")
	case "silence":
		s.w.SetSilent(i, w[2] == "on")
	case "proxy":
		s.w.NoEcho(i, w[2] == "on")
	case "bond":
		s.w.Bond(i, s.member(w[2]), w[3] == "well")
	}
}

func (s *script) ask(w []string) {
	switch w[0] {
	case "state":
		s.states()
	case "why":
		fmt.Fprintln(&s.out, s.w.Machine(s.member(w[1])).Why())
	case "whynot":
		fmt.Fprintln(&s.out, s.w.Machine(s.member(w[1])).WhyNot(s.member(w[2])))
	case "hello":
		h := s.w.Machine(s.member(w[1])).Hello(0)
		fmt.Fprintf(&s.out, "%s says %v, problems %v\n", w[1], h.State, h.Devices)
	case "budget", "devices":
		s.tell(w)
	case "events":
		s.all, s.quiet = w[1] == "all", w[1] == "none"
	}
}

// states prints a line per member: what it is, who serves in its view, and whether its gate answers.
func (s *script) states() {
	serving := s.w.Serving()
	for id := range uint8(s.opt.Members) {
		v, ok := s.w.View(id)
		if !ok {
			fmt.Fprintf(&s.out, "fw%d  -\n", id+1)
			continue
		}
		fmt.Fprintf(&s.out, "fw%d  %-9v", id+1, v.State)
		for _, m := range v.Members {
			if m.ID != id {
				fmt.Fprintf(&s.out, " %s=%v", m.Name, m.State)
			}
		}
		if slices.Contains(serving, id) {
			s.out.WriteString("  answers")
		}
		s.out.WriteString("\n")
	}
}
