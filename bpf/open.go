// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"

	"github.com/holdfast-project/holdfast/members/gate"
)

// ccpEtherType is IEEE's "local experimental 1".
const ccpEtherType = 0x88b5

// Open loads the gate, or adopts the one that is pinned in o.PinDir. What is adopted keeps its words, VIPs, keys, counters and
// attachments; its programs are replaced if they are not those of this build, and its timers are set to those of o. Pins of a gate without
// its words, which nobody can adopt, are removed with what they hold; see Orphans.
func Open(o Options) (*Gate, error) {
	spec, err := loadKernel()
	if err != nil {
		return nil, fmt.Errorf("open gate: %w", err)
	}
	return open(o, spec)
}

func open(o Options, spec *ebpf.CollectionSpec) (*Gate, error) {
	if err := o.complete(); err != nil {
		return nil, fmt.Errorf("open gate: %w", err)
	}
	if err := checkPinDir(o.PinDir); err != nil {
		return nil, fmt.Errorf("open gate: %w", err)
	}
	if err := checkClock(spec); err != nil {
		return nil, fmt.Errorf("open gate: %w", err)
	}
	g := &Gate{options: o, adopted: exists(filepath.Join(o.PinDir, pinWords))}
	spec = spec.Copy()
	for _, name := range []string{kernelProgHoldfastClock, kernelProgHoldfastPlaceXdp, kernelProgHoldfastPlaceSkb} {
		delete(spec.Programs, name)
	}
	start := g.load
	if g.adopted {
		start = g.adopt
	}
	if err := start(spec); err != nil {
		if g.words != nil {
			err = errors.Join(err, g.words.Close())
		}
		return nil, errors.Join(fmt.Errorf("open gate in %s: %w", o.PinDir, err), g.objects.Close())
	}
	return g, nil
}

func (o *Options) complete() error {
	if o.EtherType == 0 {
		o.EtherType = ccpEtherType
	}
	if o.Attach == "" {
		o.Attach = AttachAuto
	}
	if _, ok := candidates[o.Attach]; !ok {
		return fmt.Errorf("attach %q: want auto, xdp or tcx", o.Attach)
	}
	switch {
	case o.Members == 0 || o.Members > gate.Members:
		return fmt.Errorf("%d members: want 1 to %d", o.Members, gate.Members)
	case o.Self >= o.Members:
		return fmt.Errorf("member %d of %d: they are numbered from 0", o.Self, o.Members)
	case o.Incarnation == 0:
		return errors.New("incarnation 0: want a random number")
	case o.Soft <= 0 || o.Hard < o.Soft || o.Watch <= 0 || o.Linger < 0:
		return fmt.Errorf("soft %v, hard %v, watch %v, linger %v: want 0 < soft <= hard, 0 < watch, 0 <= linger",
			o.Soft, o.Hard, o.Watch, o.Linger)
	}
	return nil
}

// load loads everything anew, and publishes it with one rename: nobody ever finds half a gate.
func (g *Gate) load(spec *ebpf.CollectionSpec) error {
	var err error
	if g.orphans, err = clearOrphans(g.options.PinDir); err != nil {
		return err
	}
	if err := g.loadObjects(spec, nil); err != nil {
		return err
	}
	if g.words, err = mapWords(g.objects.Words); err != nil {
		return err
	}
	o := g.options
	g.words.u64(offIncarnation).Store(o.Incarnation)
	g.words.setIdentity(o.Self, o.Members, o.Cluster)
	g.words.u32(offGroups).Store(1)
	g.words.setTimers(o.Soft, o.Hard, o.Watch, o.Linger)
	for i := range uint8(gate.Groups) {
		g.words.word(i, offFence).Store(gate.Fence{Grantee: gate.Nobody}.Word())
	}
	g.words.u32(offBlind).Store(g.loadedBlind)
	if err := g.noteBuild(spec); err != nil {
		return err
	}
	g.words.u32(offVersion).Store(wordsVersion)
	g.words.u32(offMagic).Store(wordsMagic)
	return g.publish()
}

// clearOrphans removes what is pinned of a gate whose words are not, and returns the names: nobody can open or close that one any more. What
// is none of a gate's it leaves alone.
func clearOrphans(dir string) ([]string, error) {
	names, err := readDir(dir)
	if err != nil || len(names) == 0 {
		return nil, err
	}
	ours := ourPins()
	for _, name := range names {
		if _, link := parseLinkPin(name); !link && !slices.Contains(ours, name) {
			return nil, fmt.Errorf("no gate is pinned here, but %q is: remove it, or choose another directory", name)
		}
	}
	return names, Remove(dir)
}

func (g *Gate) publish() error {
	dir := g.options.PinDir
	unpublished := dir + pinNew
	if err := clearDir(unpublished); err != nil {
		return err
	}
	if err := os.MkdirAll(unpublished, 0o700); err != nil {
		return fmt.Errorf("make pin directory: %w", err)
	}
	for name, m := range g.maps() {
		if err := m.Pin(filepath.Join(unpublished, name)); err != nil {
			return errors.Join(err, clearDir(unpublished))
		}
	}
	for name, p := range g.programs() {
		if err := p.Pin(filepath.Join(unpublished, pinProgram+name)); err != nil {
			return errors.Join(err, clearDir(unpublished))
		}
	}
	if err := os.Remove(dir); err != nil && !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("publish pins: %w", err), clearDir(unpublished))
	}
	if err := os.Rename(unpublished, dir); err != nil {
		return errors.Join(fmt.Errorf("publish pins: %w", err), clearDir(unpublished))
	}
	return nil
}

func (g *Gate) loadObjects(spec *ebpf.CollectionSpec, pinned map[string]*ebpf.Map) error {
	coll, blind, err := loadSeeing(spec, ebpf.CollectionOptions{MapReplacements: pinned})
	if err != nil {
		return fmt.Errorf("load programs: %w", err)
	}
	defer coll.Close()
	g.loadedBlind = blind
	for name, slot := range g.mapSlots() {
		*slot = coll.DetachMap(name)
	}
	for name, slot := range g.programSlots() {
		*slot = coll.DetachProgram(name)
	}
	// Only the programs need them, and they keep them: they are not pinned (see src/maps.h).
	g.objects.Streams = coll.DetachMap(kernelMapStreams)
	g.objects.LetIn, g.objects.Flows = coll.DetachMap(kernelMapLetIn), coll.DetachMap(kernelMapFlows)
	for name, slot := range g.keptSlots() {
		*slot = coll.DetachMap(name)
	}
	return nil
}

// keptSlots are the maps of load sharing: no pins, but the programs keep them.
func (g *Gate) keptSlots() map[string]**ebpf.Map {
	m := &g.objects.kernelMaps
	return map[string]**ebpf.Map{
		kernelMapSlots: &m.Slots, kernelMapNeighbours: &m.Neighbours, kernelMapPublished: &m.Published,
		kernelMapFragments: &m.Fragments, kernelMapSlotCounts: &m.SlotCounts, kernelMapMemberCounts: &m.MemberCounts,
		kernelMapAnswers: &m.Answers,
	}
}

func (g *Gate) mapSlots() map[string]**ebpf.Map {
	m := &g.objects.kernelMaps
	return map[string]**ebpf.Map{
		kernelMapWords: &m.Words, kernelMapVips: &m.Vips, kernelMapIfaces: &m.Ifaces,
		kernelMapKeys: &m.Keys, kernelMapSources: &m.Sources, kernelMapCounters: &m.Counters,
	}
}

func (g *Gate) programSlots() map[string]**ebpf.Program {
	p := &g.objects.kernelPrograms
	return map[string]**ebpf.Program{
		kernelProgHoldfastXdp: &p.HoldfastXdp, kernelProgHoldfastIngress: &p.HoldfastIngress,
		kernelProgHoldfastEgress: &p.HoldfastEgress,
	}
}

func (g *Gate) maps() map[string]*ebpf.Map { return deref(g.mapSlots()) }

func (g *Gate) programs() map[string]*ebpf.Program { return deref(g.programSlots()) }

func deref[T any](slots map[string]**T) map[string]*T {
	values := make(map[string]*T, len(slots))
	for name, slot := range slots {
		values[name] = *slot
	}
	return values
}
