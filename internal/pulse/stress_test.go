// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/bpf"
	"github.com/holdfast-project/holdfast/ccp"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

// TestStress measures two pulses that share a machine with far more work than it has cores, for as long as HOLDFAST_STRESS says
// (20s). It takes the whole machine, so it runs on demand only; the laboratory has a scenario of the same for whole members.
func TestStress(t *testing.T) {
	d, err := time.ParseDuration(os.Getenv("HOLDFAST_STRESS"))
	if err != nil {
		t.Skip("HOLDFAST_STRESS says for how long, as in HOLDFAST_STRESS=20s")
	}
	labtest.Require(t, "stress-ng")
	for _, c := range []struct {
		profile     string
		probe, dead time.Duration
	}{{"appliance", 10 * time.Millisecond, 30 * time.Millisecond}, {"fast", 3 * time.Millisecond, 9 * time.Millisecond}} {
		t.Run(c.profile, func(t *testing.T) { stress(t, d, c.probe, c.dead) })
	}
}

func stress(t *testing.T, d, probe, dead time.Duration) {
	a, b := newPair(t)
	for _, m := range []*member{a, b} {
		m.config.Probe, m.config.Dead = probe, dead
		if err := m.gate.SetTimers(dead-probe, time.Second, dead-probe/2, 200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		m.start()
		defer m.speak()()
	}
	a.grantOwn(1)
	if err := a.pulse.Lease(0, 1, false); err != nil {
		t.Fatal(err)
	}
	a.serving(1)
	await(b, "the server", func(h Heard) bool { return h.Reply.Bits&ccp.BitAnswer != 0 })
	usage := cpuTime(t, a.pulse.cmd.Process.Pid)
	load := exec.Command("stress-ng", "--quiet", "--cpu", "16", "--vm", "2", "--vm-bytes", "2G", "--vm-keep", "--timeout", d.String())
	load.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := load.Start(); err != nil {
		t.Fatal(err)
	}
	end := bpf.Boottime() + int64(d)
	both := [2]chan []Event{until(a, end), until(b, end)}
	for i, m := range []*member{a, b} {
		var s Stats
		for _, e := range <-both[i] {
			switch e := e.(type) {
			case Stats:
				s = e
			case Silent:
				t.Errorf("member %d: false silence %+v", m.config.Self, e)
			case GateChanged:
				if m == a && e.Bits&ccp.BitAnswer == 0 {
					t.Errorf("the serving gate closed: %+v", e)
				}
			}
		}
		t.Logf("member %d: worst lateness %v of %d ticks (%v), skipped %d, worst renewal %v, faults %d, held %d",
			m.config.Self, s.MaxLate, s.Ticks, s.Late.Buckets, s.Skipped, s.WorstRenewal, s.Faults, s.Held)
		for _, l := range s.Links {
			t.Logf("  slot %d: sent %d answered %d unsent %d, RTT %v", l.Slot, l.Sent, l.Answered, l.Unsent, l.RTT.Buckets)
		}
	}
	if err := load.Wait(); err != nil {
		t.Error(err)
	}
	t.Logf("CPU %v in %v", cpuTime(t, a.pulse.cmd.Process.Pid)-usage, d)
}

// until collects a member's events up to the first Stats after end.
func until(m *member, end int64) chan []Event {
	out := make(chan []Event, 1)
	go func() {
		var seen []Event
		for e := range m.pulse.Events() {
			seen = append(seen, e)
			if s, ok := e.(Stats); ok && s.At > end {
				break
			}
		}
		out <- seen
	}()
	return out
}

// cpuTime returns the CPU time that a process has used.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	var ts unix.Timespec
	// The clock of a process: its number, inverted, and CPUCLOCK_SCHED.
	if err := unix.ClockGettime(int32(^pid<<3|2), &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}
