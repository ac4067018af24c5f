// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

func TestOpenSweepsKilledOnly(t *testing.T) {
	root := t.TempDir()
	own, err := Open(root, "mine")
	if err != nil {
		t.Fatal(err)
	}
	// A record of this process's number but another start is of a process that is gone.
	killed := own.Record
	killed.ID, killed.Start = "hfl1", own.Start+1
	text, err := json.Marshal(killed)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"hfl1.json": string(text), "hfl2.json": "{half"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(root, "hfl1", "fw1", "state"), 0o700); err != nil {
		t.Fatal(err)
	}
	swept, err := Sweep(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(swept) != 2 {
		t.Errorf("swept %+v, want hfl1 and hfl2", swept)
	}
	left, err := List(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(left) != 1 || left[0].ID != own.ID || !left[0].Running {
		t.Errorf("left are %+v, want this process's only", left)
	}
	if err := own.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 0 {
		t.Errorf("left in %s: %v", root, entries)
	}
}

// A process that was killed is there as a zombie until its parent collects it, which may take its time, or never come in a container.
func TestSweepTakesAZombieForDead(t *testing.T) {
	labtest.Require(t, "cat")
	cmd := exec.Command("cat") // until its input ends
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Wait() }()
	start, err := startOf(cmd.Process.Pid)
	if err := errors.Join(err, in.Close()); err != nil {
		t.Fatal(err)
	}
	if err := unix.Waitid(unix.P_PID, cmd.Process.Pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	record(t, root, Record{ID: "hfl1", PID: cmd.Process.Pid, Start: start})
	swept, err := Sweep(root)
	if err != nil || len(swept) != 1 {
		t.Errorf("swept %+v, %v", swept, err)
	}
}

func TestSweepKillsMarkedProcesses(t *testing.T) {
	labtest.Require(t, "sleep")
	root := t.TempDir()
	// A process number that no process has: beyond the kernel's limit.
	text, err := json.Marshal(Record{PID: 1 << 23})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(root, "hfl1.json"), text, 0o600); err != nil {
		t.Fatal(err)
	}
	left, other := exec.Command("sleep", "1000"), exec.Command("sleep", "1000")
	left.Env = []string{marker + strconv.Itoa(1<<23)}
	other.Env = []string{marker + strconv.Itoa(1<<23+1)}
	for _, cmd := range []*exec.Cmd{left, other} {
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Sweep(root); err != nil {
		t.Fatal(err)
	}
	if err := left.Wait(); err == nil {
		t.Error("the marked process ended well")
	}
	if err := other.Process.Kill(); err != nil {
		t.Errorf("a process of another laboratory was killed: %v", err)
	}
	_ = other.Wait()
}
