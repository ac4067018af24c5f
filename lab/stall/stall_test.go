// SPDX-License-Identifier: Apache-2.0

package stall_test

import (
	"os/exec"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/stall"
)

// A thread of higher priority takes a processor until the watch has said so.
func TestTellsWhatCouldNotBeHad(t *testing.T) {
	labtest.Require(t, "chrt", "taskset")
	var may unix.CPUSet
	if err := unix.SchedGetaffinity(0, &may); err != nil {
		t.Fatal(err)
	}
	cpu := 0
	for !may.IsSet(cpu) {
		cpu++
	}
	type stood struct {
		cpu int
		at  time.Time
		d   time.Duration
	}
	told := make(chan stood, 1000)
	w, err := stall.Start(func(cpu int, at time.Time, d time.Duration) {
		select {
		case told <- stood{cpu, at, d}:
		default:
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Stop()
	begin := time.Now()
	// A thread of this process would be stopped by its scheduler in between. The count bounds it: a tenth of a second, about.
	hog := exec.Command("chrt", "-f", "2", "taskset", "-c", strconv.Itoa(cpu), "sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	if out, err := hog.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	patience := time.NewTimer(30 * time.Second)
	defer patience.Stop()
	for {
		select {
		case s := <-told:
			if s.d < stall.Least {
				t.Errorf("told of %v, less than %v", s.d, stall.Least)
			}
			if s.cpu == cpu && s.at.After(begin) { // the host may have stood still by itself as well
				return
			}
		case <-patience.C:
			t.Fatal("the watch told of nothing")
		}
	}
}
