// SPDX-License-Identifier: Apache-2.0

package link

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/dataplane/link/linktest"
	"github.com/holdfast-project/holdfast/internal/labtest"
)

// thread makes e0 of n run threaded NAPI. Only sysfs of the namespace can do that, so it is mounted for the one command.
func thread(t *testing.T, n *linktest.Namespace) {
	t.Helper()
	n.Run("ethtool", "-K", "e0", "gro", "on") // a veth has NAPI only then
	n.Do(func() error {
		runtime.LockOSThread()
		if err := unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return err
		}
		if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return err
		}
		if err := unix.Mount("none", "/sys", "sysfs", 0, ""); err != nil {
			return err
		}
		return exec.Command("sh", "-c", "echo 1 > /sys/class/net/e0/threaded").Run()
	})
}

// classes are the scheduling classes and priorities of e0's threads.
func classes(t *testing.T, h *Host) (all []string) {
	t.Helper()
	err := h.conn.eachNAPI(item{Link: "e0", Index: indexOf(t, h)}, func(pid int, now *unix.SchedAttr) error {
		free, err := isFree(pid)
		if err != nil {
			return err
		}
		if pinned := now.Policy == unix.SCHED_FIFO; pinned == free && runtime.NumCPU() > 1 {
			t.Errorf("thread %d: policy %d, free to run on every processor: %t", pid, now.Policy, free)
		}
		all = append(all, strings.Repeat("R", int(now.Policy))+string(rune('0'+now.Priority)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func indexOf(t *testing.T, h *Host) int {
	t.Helper()
	l, err := h.conn.handle.LinkByName("e0")
	if err != nil {
		t.Fatal(err)
	}
	return l.Attrs().Index
}

func TestNAPIThreadsAreRaised(t *testing.T) {
	labtest.Require(t, "ethtool")
	member, _ := segment(t)
	d := desired()
	d.NAPIPriority = 5
	h := apply(t, member, filepath.Join(t.TempDir(), "host.json"), d) // without threads there is nothing to do
	thread(t, member)
	before := classes(t, h)
	if len(before) == 0 || before[0] != "0" {
		t.Fatalf("threads %q, want normal ones", before)
	}
	member.Do(func() error { return h.Apply(d) })
	if got := classes(t, h); got[0] != "R5" {
		t.Errorf("threads %q, want SCHED_FIFO 5", got)
	}
	member.Do(func() error { return h.Apply(desired()) })
	if got := classes(t, h); got[0] != "0" {
		t.Errorf("threads %q, want normal ones again", got)
	}

	// With a list it is that list, also without a cluster interface.
	d.NAPIDevices = []string{}
	member.Do(func() error { return h.Apply(d) })
	if got := classes(t, h); got[0] != "0" {
		t.Errorf("threads %q of a device that is not listed", got)
	}
	member.Do(func() error { return h.Apply(Desired{NAPIPriority: 5, NAPIDevices: []string{"gone", "e0"}}) })
	if got := classes(t, h); got[0] != "R5" {
		t.Errorf("threads %q of a device without VIPs, want SCHED_FIFO 5", got)
	}
	restore(t, member, h)
	h = apply(t, member, filepath.Join(t.TempDir(), "host.json"), Desired{})
	if got := classes(t, h); got[0] != "0" {
		t.Errorf("threads %q after Restore", got)
	}
	restore(t, member, h)
}

func TestPlanOfNAPIDevices(t *testing.T) {
	index := func(name string) (int, bool) { return map[string]int{"e0": 2, "s0": 3}[name], name != "gone" }
	for _, tt := range []struct {
		d    Desired
		want string
	}{
		{Desired{Interfaces: []Interface{{Name: "e0"}}, NAPIPriority: 5}, "e0"},
		{Desired{Interfaces: []Interface{{Name: "e0"}}, NAPIDevices: []string{"e0", "s0"}}, ""},
		{Desired{Interfaces: []Interface{{Name: "e0"}}, NAPIPriority: 5, NAPIDevices: []string{"s0", "gone", "s0", "e0"}}, "s0 e0"},
		{Desired{Interfaces: []Interface{{Name: "e0"}}, NAPIPriority: 5, NAPIDevices: []string{}}, ""},
	} {
		var got []string
		for _, w := range plan(tt.d, index) {
			if w.Kind == kindNAPI {
				got = append(got, w.Link)
			}
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%+v: %v, want %s", tt.d, got, tt.want)
		}
	}
}
