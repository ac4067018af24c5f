// SPDX-License-Identifier: Apache-2.0

package slack

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// slackOf reads a thread's slack.
func slackOf(t *testing.T, tid int) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/timerslack_ns", tid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestSlack(t *testing.T) {
	labtest.Require(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own := slackOf(t, unix.Gettid())
	others, err := threads()
	if err != nil || len(others) == 0 {
		t.Fatalf("threads %v, %v: the runtime's monitor at least", others, err)
	}
	keeper, err := Monitor(3 * time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for i, tid := range others {
		if got := slackOf(t, tid); (got == "3000000") != (i == 0) {
			t.Errorf("thread %d of %v: %s ns", tid, others, got)
		}
	}
	// Goroutines that are in system calls for long have the monitor begin threads for the rest.
	var in, out [2]int
	if err := errors.Join(unix.Pipe(in[:]), unix.Pipe(out[:])); err != nil {
		t.Fatal(err)
	}
	const sleepers = 30
	var b [1]byte
	for range sleepers {
		go func() {
			var b [1]byte
			_, _ = unix.Read(in[0], b[:])
			_, _ = unix.Write(out[1], b[:])
		}()
	}
	began := func() (late, usual int) {
		tids, err := threads()
		if err != nil {
			t.Fatal(err)
		}
		for _, tid := range tids {
			switch d, err := get(tid); {
			case err != nil || tid == others[0]:
			case d == keeper.late:
				late++
			default:
				usual++
			}
		}
		return late, usual
	}
	late, usual := began()
	for ; late+usual < sleepers; late, usual = began() {
		runtime.Gosched()
	}
	t.Logf("%d threads are late as the monitor is, %d are not", late, usual)
	for keeper.Keep(); ; keeper.Keep() { // another may begin any time
		if late, _ := began(); late == 0 {
			break
		}
	}
	if got := slackOf(t, others[0]); got != "3000000" {
		t.Errorf("the monitor's slack is %s ns after Keep", got)
	}
	if _, err := unix.Write(in[1], make([]byte, sleepers)); err != nil {
		t.Fatal(err)
	}
	for range sleepers {
		if _, err := unix.Read(out[0], b[:]); err != nil {
			t.Fatal(err)
		}
	}
	(*Keeper)(nil).Keep()
	if err := Others(2 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for _, tid := range others {
		if got := slackOf(t, tid); (got == "2000000") != (tid != unix.Gettid()) {
			t.Errorf("thread %d: %s ns", tid, got)
		}
	}
	if got := slackOf(t, unix.Gettid()); got != own {
		t.Errorf("the calling thread: %s ns, want %s", got, own)
	}
	if err := set(1<<22+1, time.Second); err == nil || !strings.Contains(err.Error(), "CAP_SYS_NICE") {
		t.Errorf("a thread that there is not: %v", err)
	}
}
