// SPDX-License-Identifier: Apache-2.0

package cgroup_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/lab/cgroup"
)

func TestRemoveEndsWhatIsInIt(t *testing.T) {
	labtest.Require(t, "sleep")
	for name, remove := range map[string]func(*cgroup.Group) error{
		"remove": (*cgroup.Group).Remove,
		"sweep":  func(*cgroup.Group) error { return cgroup.Sweep(os.Getpid()) },
	} {
		t.Run(name, func(t *testing.T) {
			g := cgroup.New("test")
			if g == nil {
				t.Skip("no cgroup v2 that this process may write")
			}
			cmd := exec.Command("sleep", "1000")
			cmd.SysProcAttr = &syscall.SysProcAttr{}
			g.Enter(cmd.SysProcAttr)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			path := dirOf(t, cmd.Process.Pid)
			if err := os.Mkdir(filepath.Join(path, "inner"), 0o755); err != nil {
				t.Error(err)
			}
			if err := remove(g); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
				t.Errorf("the process in it: %v", err)
			}
			if _, err := os.Stat(path); !os.IsNotExist(err) {
				t.Errorf("%s is left: %v", path, err)
			}
		})
	}
}

// TestSweepDead: what a process left that was killed goes; what one has that lives stays.
func TestSweepDead(t *testing.T) {
	labtest.Require(t, "sleep", "true")
	g := cgroup.New("test")
	if g == nil {
		t.Skip("no cgroup v2 that this process may write")
	}
	inside, ended := exec.Command("sleep", "1000"), exec.Command("true")
	inside.SysProcAttr = &syscall.SysProcAttr{}
	g.Enter(inside.SysProcAttr)
	if err := inside.Start(); err != nil {
		t.Fatal(err)
	}
	mine := dirOf(t, inside.Process.Pid)
	defer func() {
		if err := g.Remove(); err != nil {
			t.Error(err)
		}
		_ = inside.Wait() // killed with its group
	}()
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	left := strings.Replace(mine, strconv.Itoa(os.Getpid()), strconv.Itoa(ended.Process.Pid), 1)
	if err := os.Mkdir(left, 0o755); err != nil {
		t.Fatal(err)
	}
	swept, err := cgroup.SweepDead()
	if err != nil || !slices.Contains(swept, left) || slices.Contains(swept, mine) {
		t.Errorf("swept %v, %v, want %s and not %s", swept, err, left, mine)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", left, err)
	}
	if _, err := os.Stat(mine); err != nil {
		t.Error(err)
	}
}

func TestNoGroup(t *testing.T) {
	var g *cgroup.Group
	var a syscall.SysProcAttr
	g.Enter(&a)
	if err := g.Remove(); err != nil || a.UseCgroupFD {
		t.Errorf("%v, %+v", err, a)
	}
}

// dirOf is the directory of a process's group.
func dirOf(t *testing.T, pid int) string {
	t.Helper()
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	groups, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cgroup"))
	if err != nil {
		t.Fatal(err)
	}
	_, path, _ := strings.Cut(string(groups), "0::")
	path, _, _ = strings.Cut(path, "\n")
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); f[2] == "cgroup2" {
			return filepath.Join(f[1], path)
		}
	}
	t.Fatal("no cgroup v2 is mounted")
	return ""
}
