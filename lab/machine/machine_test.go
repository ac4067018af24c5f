// SPDX-License-Identifier: Apache-2.0

package machine_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

func boot(t *testing.T) *machine.Machine {
	t.Helper()
	lab := topologytest.Build(t, topology.DefaultSpec("test", 2), "sleep", "sh")
	m := machine.New(lab, lab.Nodes[0])
	if err := m.Boot(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

// output runs a command on the machine.
func output(t *testing.T, m *machine.Machine, name string, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	run, err := m.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if err := run.Wait(); err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out.String())
	}
	return strings.TrimSpace(out.String())
}

func TestBootGivesMountsOfItsOwn(t *testing.T) {
	m := boot(t)
	if got := output(t, m, "ls", "/sys/class/net"); got != "ext\nint\nlo\nsync" {
		t.Errorf("/sys/class/net has %q", got)
	}
	output(t, m, "mkdir", "/sys/fs/bpf/pins")
	if _, err := os.Stat("/sys/fs/bpf/pins"); err == nil {
		t.Error("the machine's bpffs is the host's")
	}
	if _, err := m.PowerOff(); err != nil {
		t.Fatal(err)
	}
	if err := m.Boot(); err != nil {
		t.Fatal(err)
	}
	if got := output(t, m, "ls", "/sys/fs/bpf"); strings.Contains(got, "pins") {
		t.Errorf("after a power cycle bpffs still has %q", got)
	}
}

func TestPowerOffKillsStoppedProcessesAndCables(t *testing.T) {
	m := boot(t)
	cmd := exec.Command("sleep", "1000")
	run, err := m.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := m.Signal(unix.SIGSTOP, nil); n != 1 || err != nil {
		t.Fatalf("stopped %d processes: %v", n, err)
	}
	if !run.Alive() {
		t.Error("a stopped process is said to have ended")
	}
	took, err := m.PowerOff()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("power-off took %v", took)
	if err := run.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("sleep ended with %v, want killed", err)
	}
	if run.Alive() || (*machine.Running)(nil).Alive() {
		t.Error("what has ended, or never began, is said to be alive")
	}
	h, err := m.Node().NS.Handle()
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	dev, err := h.LinkByName("ext")
	if err != nil {
		t.Fatal(err)
	}
	if dev.Attrs().OperState.String() == "up" || dev.Attrs().RawFlags&unix.IFF_RUNNING != 0 {
		t.Errorf("ext still runs: %v", dev.Attrs().OperState)
	}
	if _, err := m.Start(exec.Command("true")); err == nil || !strings.Contains(err.Error(), "the machine is off") {
		t.Errorf("starting on a machine that is off: %v", err)
	}
}

func TestInitCollectsOrphans(t *testing.T) {
	m := boot(t)
	// The shell's child outlives it and is dead some time after; init has to collect it, or it stays as a zombie.
	output(t, m, "sh", "-c", "sleep 0.05 & exit 0")
	deadline, stop := deadline(t)
	defer stop()
	for {
		if got := output(t, m, "sh", "-c", "grep -l 'State:.*Z' /proc/[0-9]*/status 2>/dev/null | wc -l; pgrep -c sleep || true"); got == "0\n0" {
			return
		}
		select {
		case <-deadline:
			t.Fatal("an orphan is left")
		default:
		}
	}
}

func TestThreadedNAPISharesProcessNumbers(t *testing.T) {
	spec := topology.DefaultSpec("test", 2)
	spec.ThreadedNAPI = true
	lab := topologytest.Build(t, spec, "setsid", "sleep", "sh")
	m := machine.New(lab, lab.Nodes[0])
	if err := m.Boot(); err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := output(t, m, "sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null | grep -c ^napi/ext-"); got == "0" {
		t.Error("the machine sees no NAPI thread")
	}
	// An orphan that is stopped: nothing but a signal by number reaches it.
	output(t, m, "sh", "-c", "setsid sleep 1000 >/dev/null 2>&1 &")
	if n, err := m.Signal(unix.SIGSTOP, nil); n != 1 || err != nil {
		t.Fatalf("stopped %d processes: %v", n, err)
	}
	procs, err := m.Processes()
	if err != nil || len(procs) != 1 || !slices.Contains(procs[0].Args, "sleep") {
		t.Fatalf("its processes are %v, %v", procs, err)
	}
	if _, err := m.PowerOff(); err != nil {
		t.Fatal(err)
	}
	if err := m.Boot(); err != nil { // waits for the end of the boot before
		t.Fatal(err)
	}
	if _, err := os.Stat(fmt.Sprintf("/proc/%d/exe", procs[0].PID)); err == nil {
		t.Error("the orphan outlived the power-off")
	}
}

func TestBootIDIsNew(t *testing.T) {
	m := boot(t)
	first := output(t, m, "cat", "/proc/sys/kernel/random/boot_id")
	if _, err := m.PowerOff(); err != nil {
		t.Fatal(err)
	}
	if err := m.Boot(); err != nil {
		t.Fatal(err)
	}
	if second := output(t, m, "cat", "/proc/sys/kernel/random/boot_id"); second == first || len(second) != 36 {
		t.Errorf("boot ids %s and %s", first, second)
	}
}
