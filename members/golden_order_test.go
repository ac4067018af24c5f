// SPDX-License-Identifier: Apache-2.0

package members_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-project/holdfast/members"
	"github.com/holdfast-project/holdfast/members/device"
	"github.com/holdfast-project/holdfast/members/sim"
)

// settings are what one member is told that the others are not.
type settings struct {
	digest       byte
	mode         string
	version, min uint32
	capabilities uint64
	policy, sync bool // to wait for
}

func (s *script) cluster(w []string) {
	weights := map[string]int{}
	for _, word := range strings.Split(option(w, "weights"), ",") {
		if name, n, ok := strings.Cut(word, ":"); ok {
			weights[name] = s.number(n)
		}
	}
	budget, window := option(w, "budget"), s.duration(option(w, "window"))
	s.opt = sim.Options{Members: s.number(option(w, "members")), Interfaces: s.number(option(w, "interfaces")),
		Sync: slices.Contains(w, "sync"), Neighbours: slices.Contains(w, "neighbours"), Echo: slices.Contains(w, "echo"), OneByOne: slices.Contains(w, "onebyone"), OnRecord: s.record,
		DelayMin: 50 * time.Microsecond, DelayMax: 50 * time.Microsecond, Timers: members.DefaultTimers(),
		Configure: func(id uint8, c *members.Config) {
			t := s.told[id]
			c.Digest[0], c.WaitPolicy, c.WaitSync, c.Capabilities = t.digest, t.policy, t.sync, t.capabilities
			c.Version, c.MinVersion = max(c.Version, t.version), max(c.MinVersion, t.min)
			if t.mode != "" {
				c.Mode = t.mode
			}
			c.Weights, c.FlapWindow = weights, window
			s.interfaces(w, c)
			if budget != "" {
				c.FlapBudget = s.number(budget)
			}
		}}
	if option(w, "recovery") == members.RecoveryHighestPriority.String() {
		s.opt.Recovery = members.RecoveryHighestPriority
	}
	if option(w, "profile") == "fast" {
		s.opt.Timers.Probe, s.opt.Timers.Dead = 3*time.Millisecond, 9*time.Millisecond
	}
	s.opt.Timers.RecoveryDelay = s.duration(option(w, "recovery-delay"))
	s.w, s.began = sim.NewWorld(1, s.opt), 0
}

func (s *script) config(w []string) {
	t := &s.told[s.member(w[1])]
	number := func(key string, old uint64) uint64 {
		v := option(w, key)
		if v == "" {
			return old
		}
		n, err := strconv.ParseUint(v, 0, 64)
		if err != nil {
			s.t.Fatal(err)
		}
		return n
	}
	t.digest = byte(number("digest", uint64(t.digest)))
	t.version, t.min = uint32(number("version", uint64(t.version))), uint32(number("min", uint64(t.min)))
	t.capabilities = number("caps", t.capabilities)
	if v := option(w, "mode"); v != "" {
		t.mode = v
	}
	if v := option(w, "wait"); v != "" {
		t.policy, t.sync = strings.Contains(v, "policy"), strings.Contains(v, "sync")
	}
}

var statuses = map[string]device.Status{"ok": device.OK, "init": device.Init, "problem": device.Problem}

func (s *script) order(w []string) {
	switch w[0] {
	case "key":
		s.w.WrongKey(s.member(w[1]), w[2] == "wrong")
	case "stranger":
		s.w.Stranger(w[1] == "on")
	case "loss":
		s.w.Loss(uint32(s.number(w[1])<<16/100), 0)
	case "device":
		s.w.Device(s.member(w[1]), w[2], statuses[w[3]], strings.Join(w[4:], " "))
	case "register":
		s.w.Tell(s.member(w[1]), members.Device{Op: members.DeviceRegister, Name: w[2], Status: device.OK, Timeout: s.duration(option(w, "timeout"))})
	case "report":
		s.w.Tell(s.member(w[1]), members.Device{Op: members.DeviceRegister, Name: w[2], Reporter: option(w, "by"), Status: statuses[w[4]],
			Reason: strings.Join(w[5:], " ")})
	case "unregister":
		s.w.Tell(s.member(w[1]), members.Device{Op: members.DeviceUnregister, Name: w[2]})
	case "policy":
		r := members.PolicyReady{Ready: !slices.Contains(w, "none") && !slices.Contains(w, "init"), Unknown: slices.Contains(w, "init")}
		if gen := option(w, "gen"); gen != "" {
			r.Policy = members.Generation{Number: uint64(s.number(gen))}
		}
		s.w.Tell(s.member(w[1]), r)
	case "sync":
		s.w.Tell(s.member(w[1]), members.SyncReady{Ready: !slices.Contains(w, "none")})
	case "admin":
		kind := map[string]members.AdminKind{"down": members.AdminDown, "up": members.AdminUp, "reset": members.AdminResetFailovers,
			"freeze": members.AdminFreeze, "unfreeze": members.AdminUnfreeze}[w[2]]
		s.w.Admin(s.member(w[1]), members.Admin{Kind: kind, For: s.duration(option(w, "for"))})
	case "force":
		if w[2] == "end" {
			s.w.Admin(s.member(w[1]), members.Admin{Kind: members.AdminForceEnd})
			return
		}
		s.w.Admin(s.member(w[1]), members.Admin{Kind: members.AdminForceTo, Target: s.member(w[3]), For: s.duration(option(w, "for"))})
	default:
		s.t.Fatalf("unknown command %q", strings.Join(w, " "))
	}
}

// tell prints what a member says of its flap budget, or its devices that are not ok.
func (s *script) tell(w []string) {
	v, _ := s.w.View(s.member(w[1]))
	if w[0] == "budget" {
		b := s.w.Machine(s.member(w[1])).Hello(0).Budget
		fmt.Fprintf(&s.out, "%s has %d of %d voluntary moves left, %d failovers counted\n", w[1], b.Left, b.Limit, v.Failovers)
		return
	}
	for _, d := range v.Devices {
		if d.Status != device.OK {
			fmt.Fprintf(&s.out, "%s %-22s %-8v %s\n", w[1], d.Name, d.Status, d.Reason)
		}
	}
}
