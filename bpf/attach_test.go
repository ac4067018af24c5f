// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"os/exec"
	"strings"
	"testing"

	"github.com/cilium/ebpf/features"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// asTC is how this kernel attaches to tc: Linux has TCX since 6.6.
var asTC = func() string {
	if v, err := features.LinuxVersionCode(); err == nil && v < 6<<16|6<<8 {
		return asClassic
	}
	return asTCX
}()

// waysOnVeth are the attachments that work on a veth: in native mode it loses what XDP sends back.
var waysOnVeth = map[Attach]string{AttachAuto: asTC, AttachClassic: asClassic, AttachXDPGeneric: asXDPGeneric}

func attachOptions(pinDir string, a Attach) Options {
	o := testOptions(pinDir)
	o.Attach = a
	return o
}

// checkBare asks bpftool and tc's own tables whether anything is left at a member's interfaces.
func checkBare(t *testing.T, s *station) {
	t.Helper()
	labtest.Require(t, "bpftool")
	out, err := exec.Command("bpftool", "-j", "net", "show").CombinedOutput()
	if err != nil {
		t.Fatalf("bpftool: %v: %s", err, out)
	}
	if strings.Contains(string(out), s.port) {
		t.Errorf("bpftool still sees %s", out)
	}
	qdiscs, err := netlink.QdiscList(s.member)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range qdiscs {
		if q.Type() == "clsact" {
			t.Errorf("a clsact qdisc is left at %s", s.port)
		}
	}
}

// TestChangeOfAttachment: another configuration attaches otherwise, and leaves nothing of the way before.
func TestChangeOfAttachment(t *testing.T) {
	o := testOptions(newPinDir(t))
	s := newMember(t)
	steps := []struct {
		way Attach
		as  string
	}{
		{AttachTCX, asTC}, {AttachXDPGeneric, asXDPGeneric}, {AttachClassic, asClassic}, {AttachTCX, asClassic}, {AttachXDP, asXDPGeneric},
		{AttachAuto, asTC},
	}
	for _, step := range steps {
		o.Attach = step.way
		g := reopen(t, o, buildOf(t))
		s.cast(t, g)
		if got := g.AttachedAs(s.index()); got != step.as {
			t.Errorf("%s: attached as %q, want %q", step.way, got, step.as)
		}
		for _, as := range []string{asXDPNative, asXDPGeneric, asTCX, asClassic} {
			if there, err := g.attached(s.index(), as); err != nil || there != (as == step.as) {
				t.Errorf("%s: attached as %s: %v, %v", step.way, as, there, err)
			}
		}
		if err := g.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if err := Remove(o.PinDir); err != nil {
		t.Fatal(err)
	}
	checkBare(t, s)
}

// TestUngated: an interface without VIPs gets no egress program, and loses the one it had.
func TestUngated(t *testing.T) {
	for _, way := range []Attach{AttachTCX, AttachClassic} {
		t.Run(string(way), func(t *testing.T) {
			o := attachOptions(newPinDir(t), way)
			s := newMember(t)
			g := openGate(t, o)
			egressThere := func() bool {
				classic, err := g.classicAttached(s.index(), netlink.HANDLE_MIN_EGRESS)
				if err != nil {
					t.Fatal(err)
				}
				linked, err := g.attached(s.index(), asEgress)
				if err != nil {
					t.Fatal(err)
				}
				return classic || linked
			}
			s.cast(t, g)
			if !egressThere() {
				t.Error("a gated interface has no egress program")
			}
			i := s.iface()
			i.Gated = false
			if err := g.Attach(i); err != nil {
				t.Fatal(err)
			}
			if egressThere() {
				t.Error("an interface without VIPs has an egress program")
			}
			frames := s.raw(t, ccpEtherType)
			frames.send(t, ccpFrame{}.bytes())
			frames.receive(t, ccpEtherType)
		})
	}
}

// TestDetachWhatIsGone: an interface that went with its links can be taken off, and so can the whole gate.
func TestDetachWhatIsGone(t *testing.T) {
	for way := range waysOnVeth {
		t.Run(string(way), func(t *testing.T) {
			o := attachOptions(newPinDir(t), way)
			s := newMember(t)
			g := reopen(t, o, buildOf(t))
			s.cast(t, g)
			s.unplug()
			if err := g.Detach(s.index()); err != nil {
				t.Error(err)
			}
			if err := g.Detach(s.index()); err != nil {
				t.Errorf("again: %v", err)
			}
			s.plug(t)
			s.cast(t, g)
			s.unplug()
			if err := errors.Join(g.Close(), Remove(o.PinDir)); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestXDPMakesWay: an interface has room for one XDP program, so one in the other mode goes first.
func TestXDPMakesWay(t *testing.T) {
	o := attachOptions(newPinDir(t), AttachXDPGeneric)
	s := newMember(t)
	g := openGate(t, o)
	if err := g.attachAs(s.index(), asXDPNative); err != nil {
		t.Fatal(err)
	}
	if got := g.AttachedAs(s.index()); got != asXDPNative {
		t.Fatalf("attached as %q, want %q", got, asXDPNative)
	}
	s.cast(t, g)
	if got := g.AttachedAs(s.index()); got != asXDPGeneric {
		t.Errorf("attached as %q, want %q", got, asXDPGeneric)
	}
}

// TestAttachKeepsWhatIsThere: a change that cannot be made leaves the gate as it was.
func TestAttachKeepsWhatIsThere(t *testing.T) {
	o := testOptions(newPinDir(t))
	s := newMember(t)
	g := openGate(t, o)
	s.cast(t, g)
	foreign, err := link.AttachXDP(link.XDPOptions{Program: g.objects.HoldfastXdp, Interface: s.index(), Flags: link.XDPGenericMode})
	if err != nil {
		t.Fatal(err)
	}
	defer foreign.Close()
	g.options.Attach = AttachXDP
	if err := g.Attach(s.iface()); err == nil {
		t.Error("attached beside another XDP program")
	}
	if got := g.AttachedAs(s.index()); got != asTC {
		t.Errorf("attached as %q, want still %q", got, asTC)
	}
}
