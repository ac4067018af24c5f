// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// testSeed makes TestTwin run one sequence again.
var testSeed uint64

func init() {
	flag.Uint64Var(&testSeed, "gate.seed", 0, "seed of the random sequences; 0 takes one from the clock")
}

// TestMain runs the tests in a mount and a network namespace of their own, with a BPF file system of their own.
func TestMain(m *testing.M) {
	// Programs that were loaded before the kernel tracks connections, which may take a module, cannot ask for them.
	_ = exec.Command("conntrack", "-C").Run()
	labtest.InNamespaces(func(bool) { os.Exit(m.Run()) })
}

// Identity and timers of the gate under test.
const (
	testSelf        = 1
	testMembers     = 3
	testCluster     = 0x1234
	testIncarnation = 0x1122334455667788
)

func testOptions(pinDir string) Options {
	return Options{
		PinDir: pinDir, Self: testSelf, Members: testMembers, Cluster: testCluster, Incarnation: testIncarnation,
		Soft: 20 * time.Millisecond, Hard: time.Second, Watch: 25 * time.Millisecond, Linger: 200 * time.Millisecond,
	}
}

// newPinDir returns the name of a directory, not made yet, on a BPF file system that goes with the test.
func newPinDir(tb testing.TB) string {
	tb.Helper()
	labtest.Require(tb)
	dir := tb.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		tb.Fatalf("mount a BPF file system: %v", err)
	}
	tb.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			tb.Errorf("unmount the BPF file system: %v", err)
		}
	})
	return dir + "/cluster-1-alpha"
}

func openGate(tb testing.TB, o Options) *Gate {
	tb.Helper()
	g, err := Open(o)
	if err != nil {
		if verifier := (*ebpf.VerifierError)(nil); errors.As(err, &verifier) {
			tb.Fatalf("%v\n%+v", err, verifier)
		}
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := g.Close(); err != nil {
			tb.Errorf("close gate: %v", err)
		}
		if err := Remove(o.PinDir); err != nil {
			tb.Errorf("%v", err)
		}
	})
	return g
}

// serve opens a group's gate for so long that no test outlives it.
func serve(g *Gate, group uint8) {
	w := g.Words()
	w.setTimers(time.Hour, time.Hour, 25*time.Millisecond, 200*time.Millisecond)
	w.Renew(group, w.Fence(group).Term+1, Boottime())
}
