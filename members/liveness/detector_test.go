// SPDX-License-Identifier: Apache-2.0

package liveness

import (
	"testing"
	"time"
)

const ms = int64(time.Millisecond)

// run sends a probe every interval from 0 to last and answers those up to answered.
func run(d *Detector, interval, answered, last int64) {
	for i := int64(0); i*interval <= last; i++ {
		at := 1 + i*interval
		d.Sent(at, uint64(i))
		if i*interval <= answered {
			d.Answered(at+ms/10, uint64(i))
		}
	}
}

func TestDeadAfterThreeProbesAndMargin(t *testing.T) {
	for _, tc := range []struct {
		name             string
		probe, dead      time.Duration
		answered, last   int64
		alive, dying     int64
		missedNo, missed int64
	}{
		{"appliance", 10 * time.Millisecond, 30 * time.Millisecond, 100 * ms, 130 * ms, 132*ms - 1, 132 * ms, 115*ms - 1, 115 * ms},
		{"fast", 3 * time.Millisecond, 9 * time.Millisecond, 30 * ms, 39 * ms, 39*ms + 6*ms/10 - 1, 39*ms + 6*ms/10, 34*ms + ms/2 - 1, 34*ms + ms/2},
		{"virtual", 50 * time.Millisecond, 150 * time.Millisecond, 100 * ms, 250 * ms, 252*ms - 1, 252 * ms, 175*ms - 1, 175 * ms},
		{"longer dead", 10 * time.Millisecond, 50 * time.Millisecond, 100 * ms, 150 * ms, 150*ms - 1, 150 * ms, 115*ms - 1, 115 * ms},
	} {
		t.Run(tc.name, func(t *testing.T) {
			d := New(tc.probe, tc.dead)
			run(&d, int64(tc.probe), tc.answered, tc.last)
			if d.Dead(1 + tc.alive) {
				t.Errorf("dead at %d ns, deadline %d", tc.alive, d.Deadline()-1)
			}
			if !d.Dead(1 + tc.dying) {
				t.Errorf("not dead at %d ns, deadline %d", tc.dying, d.Deadline()-1)
			}
			if d.Missed(1+tc.missedNo) || !d.Missed(1+tc.missed) {
				t.Errorf("missed not exactly at %d but at %d", tc.missed, d.MissedDeadline()-1)
			}
			if d.LastAnswered() != 1+tc.answered {
				t.Errorf("last answered %d, want %d", d.LastAnswered(), 1+tc.answered)
			}
		})
	}
}

func TestStalledProberAccusesNobody(t *testing.T) {
	d := New(10*time.Millisecond, 30*time.Millisecond)
	run(&d, 10*ms, 20*ms, 20*ms)
	now := 500 * ms
	if d.Dead(now) {
		t.Fatal("dead although no probe was sent after the answered one")
	}
	d.Sent(now, 100)
	d.Sent(now+1, 101)
	d.Sent(now+2, 102)
	if d.Dead(now + 20*ms) {
		t.Fatal("dead after one burst of probes")
	}
	d.Sent(now+10*ms, 103)
	d.Sent(now+20*ms, 104)
	if d.Dead(now+22*ms-1) || !d.Dead(now+22*ms) {
		t.Fatalf("deadline %d, want %d", d.Deadline(), now+22*ms)
	}
	if _, ok := d.Answered(now+23*ms, 103); !ok || d.Dead(now+24*ms) {
		t.Fatal("an answer does not bring the peer back")
	}
}

func TestOnlyOutstandingNoncesCount(t *testing.T) {
	d := New(10*time.Millisecond, 30*time.Millisecond)
	d.Sent(1, 7)
	if _, ok := d.Answered(2, 8); ok {
		t.Error("a nonce that was never sent is accepted")
	}
	if rtt, ok := d.Answered(5, 7); !ok || rtt != 4 {
		t.Errorf("rtt %d %v, want 4 true", rtt, ok)
	}
	if _, ok := d.Answered(6, 7); ok {
		t.Error("a repeated answer is accepted")
	}
	if _, ok := d.Answered(6, 0); ok {
		t.Error("nonce 0 of an unused entry is accepted")
	}
}

func TestAnswerOutOfOrderDoesNotGoBack(t *testing.T) {
	d := New(10*time.Millisecond, 30*time.Millisecond)
	run(&d, 10*ms, -1, 40*ms)
	d.Answered(41*ms, 3)
	d.Answered(42*ms, 1)
	if got := d.LastAnswered(); got != 1+30*ms {
		t.Errorf("last answered %d, want %d", got, 1+30*ms)
	}
	if d.MissedDeadline() != 1+45*ms {
		t.Errorf("missed deadline %d, want %d", d.MissedDeadline(), 1+45*ms)
	}
}

func TestNeverAnswered(t *testing.T) {
	d := New(10*time.Millisecond, 30*time.Millisecond)
	if d.Dead(1<<40) || d.Missed(1<<40) {
		t.Fatal("dead or missed before anything was sent")
	}
	run(&d, 10*ms, -1, 30*ms)
	if !d.Dead(1+32*ms) || d.LastAnswered() != 0 {
		t.Fatalf("deadline %d, last answered %d", d.Deadline(), d.LastAnswered())
	}
}

func TestNoAllocation(t *testing.T) {
	d := New(10*time.Millisecond, 30*time.Millisecond)
	n, now := uint64(0), int64(1)
	if a := testing.AllocsPerRun(200, func() {
		d.Sent(now, n)
		d.Answered(now+1, n)
		d.Dead(now + 2)
		n, now = n+1, now+10*ms
	}); a != 0 {
		t.Errorf("%v allocations a probe", a)
	}
}
