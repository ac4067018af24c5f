// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// anotherBuild returns the programs with another tag, as a newer release would have them: each begins with an instruction more.
func anotherBuild(tb testing.TB) *ebpf.CollectionSpec {
	tb.Helper()
	spec, err := loadKernel()
	if err != nil {
		tb.Fatal(err)
	}
	for _, p := range spec.Programs {
		first := p.Instructions[0]
		nop := asm.Mov.Imm(asm.R0, 0).WithMetadata(first.Metadata)
		p.Instructions[0].Metadata = asm.Metadata{}
		p.Instructions = append(asm.Instructions{nop}, p.Instructions...)
	}
	return spec
}

func reopen(tb testing.TB, o Options, spec *ebpf.CollectionSpec) *Gate {
	tb.Helper()
	g, err := open(o, spec)
	if err != nil {
		tb.Fatal(err)
	}
	return g
}

func buildOf(tb testing.TB) *ebpf.CollectionSpec {
	tb.Helper()
	spec, err := loadKernel()
	if err != nil {
		tb.Fatal(err)
	}
	return spec
}

func ingressID(tb testing.TB, g *Gate) ebpf.ProgramID {
	tb.Helper()
	id, err := programID(g.objects.HoldfastIngress)
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

// TestOpenAdopts: words, VIPs, keys and programs outlive the daemon.
func TestOpenAdopts(t *testing.T) {
	o := testOptions(newPinDir(t))
	g := reopen(t, o, buildOf(t))
	if g.Adopted() {
		t.Error("a fresh gate says that it was adopted")
	}
	if err := errors.Join(g.SetVIPs(testVIPs()), g.SetKey(1, testKey, true)); err != nil {
		t.Fatal(err)
	}
	g.Words().Renew(0, 5, Boottime())
	g.Words().Grant(0, 4, 2)
	want, id := g.Words().Snapshot(), ingressID(t, g)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}

	o.Incarnation++ // of the next fresh load
	g = openGate(t, o)
	if !g.Adopted() || g.Incarnation() != testIncarnation {
		t.Errorf("adopted %v with incarnation %#x, want true and the old one", g.Adopted(), g.Incarnation())
	}
	if got := g.Words().Snapshot(); got != want {
		t.Errorf("words changed from\n%+v to\n%+v", want, got)
	}
	if got := ingressID(t, g); got != id {
		t.Errorf("program %d was loaded again as %d, although it is the same", id, got)
	}
	var value kernelVip
	key, _, err := VIP{Addr: vip4, Index: testIface}.entry()
	if err != nil {
		t.Fatal(err)
	}
	if err := g.objects.Vips.Lookup(key, &value); err != nil {
		t.Errorf("VIP %v: %v", vip4, err)
	}
}

// TestOpenUpgrades: other programs replace those that are pinned, over the same maps.
func TestOpenUpgrades(t *testing.T) {
	o := testOptions(newPinDir(t))
	g := reopen(t, o, buildOf(t))
	g.Words().Grant(0, 4, 2)
	id := ingressID(t, g)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g = reopen(t, o, anotherBuild(t))
	upgraded := ingressID(t, g)
	if upgraded == id {
		t.Error("the old program is still there")
	}
	if f := g.Words().Fence(0); f.Term != 4 {
		t.Errorf("fence %+v after the upgrade, want term 4", f)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g = reopen(t, o, anotherBuild(t))
	if got := ingressID(t, g); got != upgraded {
		t.Errorf("program %d was loaded again as %d, although it is the same", upgraded, got)
	}
	if err := errors.Join(g.Close(), Remove(o.PinDir)); err != nil {
		t.Fatal(err)
	}
}

// TestOpenAfterUnfinishedUpgrade: a gate that does not say which build its programs are of is compared with this one, and says so then.
func TestOpenAfterUnfinishedUpgrade(t *testing.T) {
	o := testOptions(newPinDir(t))
	g := reopen(t, o, buildOf(t))
	id, build := ingressID(t, g), g.Words().u64(offBuild).Load()
	g.Words().u64(offBuild).Store(0)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g = reopen(t, o, buildOf(t))
	if got := ingressID(t, g); got != id {
		t.Errorf("program %d was replaced by %d, although it is the same", id, got)
	}
	if got := g.Words().u64(offBuild).Load(); got != build || got == 0 {
		t.Errorf("the words say build %#x, want %#x", got, build)
	}
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}

	// An older build, which does not know of the number, replaces the programs and leaves it.
	g = reopen(t, o, anotherBuild(t))
	other := ingressID(t, g)
	g.Words().u64(offBuild).Store(build)
	if err := g.Close(); err != nil {
		t.Fatal(err)
	}
	g = reopen(t, o, buildOf(t))
	if got := ingressID(t, g); got == other {
		t.Error("the programs of another build were kept because of the number")
	}
	if got := g.Words().u64(offBuild).Load(); got != build {
		t.Errorf("the words say build %#x, want %#x again", got, build)
	}
}

// TestOpenAfterCrash: what an interrupted upgrade or removal leaves can be adopted and removed.
func TestOpenAfterCrash(t *testing.T) {
	for _, missing := range [][]string{
		{pinProgram + kernelProgHoldfastIngress},
		{pinProgram + kernelProgHoldfastXdp, pinProgram + kernelProgHoldfastEgress, pinProgram + kernelProgHoldfastIngress},
		{pinProgram + kernelProgHoldfastXdp, pinProgram + kernelProgHoldfastEgress, pinProgram + kernelProgHoldfastIngress, kernelMapVips, kernelMapKeys},
	} {
		t.Run(strings.Join(missing, " "), func(t *testing.T) {
			o := testOptions(newPinDir(t))
			g := reopen(t, o, buildOf(t))
			g.Words().Grant(0, 4, 2)
			if err := g.Close(); err != nil {
				t.Fatal(err)
			}
			for _, name := range missing {
				if err := os.Remove(filepath.Join(o.PinDir, name)); err != nil {
					t.Fatal(err)
				}
			}
			g = openGate(t, o)
			if !g.Adopted() || g.Words().Fence(0).Term != 4 {
				t.Errorf("adopted %v, fence %+v", g.Adopted(), g.Words().Fence(0))
			}
			for _, name := range missing {
				if !exists(filepath.Join(o.PinDir, name)) {
					t.Errorf("%s is not pinned again", name)
				}
			}
		})
	}
}

// TestOpenWithoutWords: what is left of a gate whose words somebody has removed makes way for a new one, and what is none of a gate's stays.
func TestOpenWithoutWords(t *testing.T) {
	o := testOptions(newPinDir(t))
	s := newMember(t)
	orphan := reopen(t, o, buildOf(t))
	s.cast(t, orphan)
	orphan.in(serves)
	if err := errors.Join(orphan.Close(), os.Remove(filepath.Join(o.PinDir, pinWords))); err != nil {
		t.Fatal(err)
	}
	foreign := filepath.Join(o.PinDir, "theirs")
	if err := os.Mkdir(foreign, 0o700); err != nil {
		t.Fatal(err)
	}
	if g, err := Open(o); err == nil {
		g.Close()
		t.Fatal("a directory with what is none of a gate's was taken")
	} else if !strings.Contains(err.Error(), "theirs") {
		t.Errorf("error %q does not say what is there", err)
	}
	if err := os.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	o.Incarnation++
	g := openGate(t, o)
	if g.Adopted() || g.Incarnation() != o.Incarnation {
		t.Errorf("adopted %v with incarnation %#x, want a new gate", g.Adopted(), g.Incarnation())
	}
	if got := g.Orphans(); !slices.Contains(got, kernelMapVips) || !slices.Contains(got, filepath.Base(linkPin(o.PinDir, s.index(), asEgress))) {
		t.Errorf("orphans %v", got)
	}
	if got, want := g.Missing(s.index(), true), "ingress and egress"; got != want {
		t.Errorf("missing %q, want %q", got, want)
	}
	s.cast(t, g)
	if got := g.Missing(s.index(), true); got != "" {
		t.Errorf("missing %q once attached", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	pinDir := newPinDir(t)
	openGate(t, testOptions(pinDir))
	with := func(f func(*Options)) Options {
		o := testOptions(pinDir)
		f(&o)
		return o
	}
	otherLayout := buildOf(t)
	otherLayout.Maps[kernelMapVips].ValueSize = 16
	tests := []struct {
		name    string
		options Options
		spec    *ebpf.CollectionSpec
		is      error
		says    string
	}{
		{"another layout", testOptions(pinDir), otherLayout, ErrLayout, "stop this member"},
		{"another member", with(func(o *Options) { o.Self = 0 }), buildOf(t), ErrIdentity, "member 1 of cluster 4660"},
		{"another cluster", with(func(o *Options) { o.Cluster = 9 }), buildOf(t), ErrIdentity, "cluster 9"},
		{"no BPF file system", with(func(o *Options) { o.PinDir = t.TempDir() + "/pins" }), buildOf(t), ErrNotBPFFS, "mount -t bpf"},
		{"relative directory", with(func(o *Options) { o.PinDir = "pins" }), buildOf(t), nil, "absolute"},
		{"dotted directory", with(func(o *Options) { o.PinDir = pinDir + ".1" }), buildOf(t), nil, "dots"},
		{"foreign pins", with(func(o *Options) { o.PinDir = filepath.Dir(pinDir) }), buildOf(t), nil, "cluster-1-alpha"},
		{"no members", with(func(o *Options) { o.Members = 0 }), buildOf(t), nil, "members"},
		{"nine members", with(func(o *Options) { o.Members = 9 }), buildOf(t), nil, "members"},
		{"member beyond the last", with(func(o *Options) { o.Self = 3 }), buildOf(t), nil, "member 3"},
		{"no incarnation", with(func(o *Options) { o.Incarnation = 0 }), buildOf(t), nil, "incarnation"},
		{"soft above hard", with(func(o *Options) { o.Soft = time.Hour }), buildOf(t), nil, "soft"},
		{"unknown attachment", with(func(o *Options) { o.Attach = "afxdp" }), buildOf(t), nil, "afxdp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := open(tt.options, tt.spec)
			if err == nil {
				g.Close()
				t.Fatal("no error")
			}
			if tt.is != nil && !errors.Is(err, tt.is) {
				t.Errorf("error %q is not %q", err, tt.is)
			}
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("error %q does not say %q", err, tt.says)
			}
		})
	}
}

func TestOpenWords(t *testing.T) {
	o := testOptions(newPinDir(t))
	if _, err := OpenWords(o.PinDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("words of no gate: error %v, want that there is none", err)
	}
	g := openGate(t, o)
	w, err := OpenWords(o.PinDir)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	w.Renew(2, 9, Boottime())
	if got := g.Words().Lease(2).Term(); got != 9 {
		t.Errorf("the gate sees lease term %d, the pulse wrote 9", got)
	}
	g.Words().u32(offVersion).Store(2)
	if w, err := OpenWords(o.PinDir); !errors.Is(err, ErrLayout) {
		t.Errorf("words of version 2: %v, error %v, want ErrLayout", w, err)
	}
	g.Words().u32(offVersion).Store(wordsVersion)
}

func TestRemoveNothing(t *testing.T) {
	if err := Remove(newPinDir(t)); err != nil {
		t.Error(err)
	}
}

// TestRemoveLeavesNothing asks bpftool what is left.
func TestRemoveLeavesNothing(t *testing.T) {
	o := testOptions(newPinDir(t))
	labtest.Require(t, "bpftool")
	g := reopen(t, o, buildOf(t))
	listed := func() string {
		out, err := exec.Command("bpftool", "prog", "show", "pinned", filepath.Join(o.PinDir, pinProgram+kernelProgHoldfastIngress)).CombinedOutput()
		if err != nil {
			return ""
		}
		return string(out)
	}
	if !strings.Contains(listed(), "holdfast_ingres") {
		t.Errorf("bpftool does not see the pinned program: %q", listed())
	}
	if err := errors.Join(g.Close(), Remove(o.PinDir)); err != nil {
		t.Fatal(err)
	}
	if exists(o.PinDir) || listed() != "" {
		t.Error("something is left in the pin directory")
	}
}

// verifierBounds is how much the verifier may look at in one program, by the kernel from which on that holds, newest first: a tenth above what it looks at in
// the larger of the two ingress programs, for each kernel that the tests have run on (docs/benchmarks/gate.md). How soon a verifier recognises what it has
// seen already differs from kernel to kernel, so a bound for all of them would be loose on most.
var verifierBounds = []struct {
	since uint32
	most  uint32
}{
	{6<<16 | 18<<8, 86_000},
	{6<<16 | 12<<8, 90_000},
	{6<<16 | 1<<8, 94_000},
}

// TestVerifierEffort keeps loading fast: a daemon that is upgraded has the kernel verify three programs in the second for which the gate serves
// by itself, on slow processors too. Linux itself would allow a million.
func TestVerifierEffort(t *testing.T) {
	kernel, err := features.LinuxVersionCode()
	if err != nil {
		t.Fatal(err)
	}
	most := uint32(0)
	for _, b := range verifierBounds {
		if kernel >= b.since {
			most = b.most
			break
		}
	}
	g := openGate(t, testOptions(newPinDir(t)))
	for name, p := range g.programs() {
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		n, ok := info.VerifiedInstructions()
		if !ok {
			labtest.Missing(t, "a kernel that tells how much the verifier looked at")
		}
		size, err := info.TranslatedSize()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d instructions, %d verified", name, size/8, n)
		if n > most {
			t.Errorf("%s: the verifier of Linux %d.%d looked at %d instructions, want at most %d", name, kernel>>16, kernel>>8&0xff, n, most)
		}
	}
}
