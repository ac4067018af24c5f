// SPDX-License-Identifier: Apache-2.0

package slack

import (
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
	if err := Monitor(3 * time.Millisecond); err != nil {
		t.Fatal(err)
	}
	for i, tid := range others {
		if got := slackOf(t, tid); (got == "3000000") != (i == 0) {
			t.Errorf("thread %d of %v: %s ns", tid, others, got)
		}
	}
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
