// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
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

// TestAttachWithoutPinDir: a gate whose pins were all removed is attached again before they are back.
func TestAttachWithoutPinDir(t *testing.T) {
	for way := range waysOnVeth {
		t.Run(string(way), func(t *testing.T) {
			o := attachOptions(newPinDir(t), way)
			s := newMember(t)
			g := openGate(t, o)
			s.cast(t, g)
			if err := os.RemoveAll(o.PinDir); err != nil {
				t.Fatal(err)
			}
			for until := time.Now().Add(10 * time.Second); ; { // a link whose pin is removed ends a moment later
				err := g.Attach(s.iface())
				if err == nil {
					break
				}
				if !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EBUSY) || time.Now().After(until) {
					t.Fatal(err)
				}
			}
			if got := g.Missing(s.index(), true); got != "" {
				t.Errorf("missing %q", got)
			}
			if _, err := g.KeepPins(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestKeepPins: pins that somebody removes come back, each time, also those of a gate that was adopted, and are those of the gate that runs.
func TestKeepPins(t *testing.T) {
	o := testOptions(newPinDir(t))
	keep := func(g *Gate, what string, remove func() error, want int) {
		t.Helper()
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		if got, err := g.KeepPins(); err != nil || len(got) != want {
			t.Fatalf("%s: restored %v, %v; want %d", what, got, err, want)
		}
		for _, name := range append(ourPins(), pinWords) {
			if path := filepath.Join(o.PinDir, name); !strings.HasSuffix(name, pinNew) && !exists(path) {
				t.Errorf("%s: %s was not put back", what, path)
			}
		}
	}
	nothing := func() error { return nil }
	keys := func() error { return os.Remove(filepath.Join(o.PinDir, kernelMapKeys)) }
	everything := func() error { return os.RemoveAll(o.PinDir) }

	g := openGate(t, o)
	all := len(g.maps()) + len(g.programs())
	g.Words().Renew(0, 5, Boottime())
	keep(g, "all pins are there", nothing, 0)
	keep(g, "one pin was removed", keys, 1)
	keep(g, "the same once more", keys, 1)
	keep(g, "all were removed", everything, all)
	keep(g, "all were removed once more", everything, all)

	want := g.Words().Snapshot()
	next := reopen(t, o, buildOf(t))
	defer next.Close()
	if !next.Adopted() || next.Words().Snapshot() != want {
		t.Errorf("adopted %v: %+v, want %+v", next.Adopted(), next.Words().Snapshot(), want)
	}
	keep(next, "all pins of an adopted gate were removed", everything, all)
	keep(next, "and once more", everything, all)
}

// TestOrphan: filters of a gate whose pins were removed, and whose daemon died before it could put them back, give way to those of the next one.
func TestOrphan(t *testing.T) {
	o := attachOptions(newPinDir(t), AttachClassic)
	s := newMember(t)
	orphan := reopen(t, o, buildOf(t))
	s.cast(t, orphan)
	if err := errors.Join(os.RemoveAll(o.PinDir), orphan.Close()); err != nil {
		t.Fatal(err)
	}
	g := openGate(t, o)
	if g.Adopted() {
		t.Fatal("a gate without pins was adopted")
	}
	if got := g.AttachedAs(s.index()); got != "" {
		t.Errorf("attached as %q by the filter of another gate", got)
	}
	if got, want := g.Missing(s.index(), true), "ingress and egress"; got != want {
		t.Errorf("missing %q, want %q", got, want)
	}
	s.cast(t, g)
	if got := g.AttachedAs(s.index()); got != asClassic {
		t.Errorf("attached as %q, want %q", got, asClassic)
	}
	if got := g.Missing(s.index(), true); got != "" {
		t.Errorf("missing %q once attached", got)
	}
	g.in(serves)
	echo(t, netip.AddrPortFrom(vip4, 4000))
	if c := s.dial(t, netip.AddrPortFrom(vip4, 4000)); !answers(t, c, true) {
		t.Error("the VIP does not answer by the words of the gate that was opened last")
	}
}
