// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// TestMissing: what somebody takes off an interface by hand is found, and Attach puts it back.
func TestMissing(t *testing.T) {
	labtest.Require(t, "bpftool", "tc")
	for way, as := range waysOnVeth {
		t.Run(string(way), func(t *testing.T) {
			o := attachOptions(newPinDir(t), way)
			s := newMember(t)
			g := openGate(t, o)
			s.cast(t, g)
			check := func(what, want string) {
				t.Helper()
				if got := g.Missing(s.index(), true); got != want {
					t.Errorf("%s: missing %q, want %q", what, got, want)
				}
			}
			run := func(arg ...string) {
				t.Helper()
				if out, err := exec.Command(arg[0], arg[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%v: %v: %s", arg, err, out)
				}
			}
			check("attached", "")
			if as == asClassic {
				run("tc", "qdisc", "del", "dev", s.port, "clsact")
				check("qdisc deleted", "ingress and egress")
			} else {
				run("bpftool", "link", "detach", "pinned", linkPin(o.PinDir, s.index(), as))
				check("link detached", "ingress")
				if asTC == asClassic { // where there is no TCX, a filter is at egress whatever is at ingress
					run("tc", "qdisc", "del", "dev", s.port, "clsact")
					check("qdisc deleted too", "ingress and egress")
				} else {
					run("rm", linkPin(o.PinDir, s.index(), asEgress))
					check("the other pin removed", "ingress and egress")
				}
			}
			// A link whose pin is removed ends a moment later, however long that is on a busy host.
			for until := time.Now().Add(10 * time.Second); ; {
				err := g.Attach(s.iface())
				if err == nil {
					break
				}
				if !errors.Is(err, unix.EEXIST) || time.Now().After(until) {
					t.Fatal(err)
				}
			}
			check("attached again", "")
			if got := g.AttachedAs(s.index()); got != as {
				t.Errorf("attached again as %q, want %q", got, as)
			}
		})
	}
}

// TestKeepPins: pins that somebody removes come back, and are those of the gate that runs.
func TestKeepPins(t *testing.T) {
	o := testOptions(newPinDir(t))
	g := openGate(t, o)
	if got, err := g.KeepPins(); err != nil || len(got) != 0 {
		t.Fatalf("all pins are there: restored %v, %v", got, err)
	}
	g.Words().Renew(0, 5, Boottime())
	if err := os.Remove(filepath.Join(o.PinDir, kernelMapKeys)); err != nil {
		t.Fatal(err)
	}
	if got, err := g.KeepPins(); err != nil || len(got) != 1 || got[0] != kernelMapKeys {
		t.Fatalf("one pin was removed: restored %v, %v", got, err)
	}
	if err := os.RemoveAll(o.PinDir); err != nil {
		t.Fatal(err)
	}
	if got, err := g.KeepPins(); err != nil || len(got) != len(g.maps())+len(g.programs()) {
		t.Fatalf("all were removed: restored %v, %v", got, err)
	}
	want := g.Words().Snapshot()
	next := reopen(t, o, buildOf(t))
	defer next.Close()
	if !next.Adopted() || next.Words().Snapshot() != want {
		t.Errorf("adopted %v: %+v, want %+v", next.Adopted(), next.Words().Snapshot(), want)
	}
}
