// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// onThread runs f on a thread that is thrown away, with what f did to it.
func onThread(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		f()
	}()
	<-done
}

func TestRaise(t *testing.T) {
	labtest.Require(t)
	onThread(func() {
		if err := raise(7); err != nil {
			t.Errorf("as root: %v", err)
		}
		attr, err := unix.SchedGetAttr(0, 0)
		if err != nil || attr.Policy != unix.SCHED_FIFO || attr.Priority != 7 {
			t.Errorf("scheduling %+v, %v", attr, err)
		}
	})
}

// Whoever may not raise a thread is told what to grant, and goes on.
func TestRaiseRefused(t *testing.T) {
	labtest.Require(t)
	onThread(func() {
		if err := dropCapabilities(unix.CAP_SYS_NICE, unix.CAP_SYS_RESOURCE); err != nil {
			t.Error(err)
			return
		}
		err := raise(7)
		if err == nil || !strings.Contains(err.Error(), "CAP_SYS_NICE") || !strings.Contains(err.Error(), "SCHED_FIFO 7") {
			t.Errorf("without capabilities: %v", err)
		}
	})
}

// dropCapabilities takes capabilities below 32 from the calling thread.
func dropCapabilities(caps ...int) error {
	head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&head, &data[0]); err != nil {
		return err
	}
	for _, c := range caps {
		data[0].Effective &^= 1 << c
		data[0].Permitted &^= 1 << c
	}
	return unix.Capset(&head, &data[0])
}

func TestStayingAtNormalPriorityIsSaid(t *testing.T) {
	a, _ := newPair(t)
	a.config.Priority = -1
	a.start()
	if n := await(a, "notice", func(n Notice) bool { return n.Code == NoticeRealtime }); n.Text != "switched off by the configuration" {
		t.Errorf("notice %+v", n)
	}
	if s := await(a, "stats", func(Stats) bool { return true }); s.Realtime || !s.Locked {
		t.Errorf("stats: real time %v, locked %v", s.Realtime, s.Locked)
	}
}
