// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// adopt takes over what is pinned. Programs of another tag are replaced: first behind the links, then in the pins, so that a crash
// in between leaves something that can be adopted again.
func (g *Gate) adopt(spec *ebpf.CollectionSpec) error {
	pinned, missing, err := g.pinnedMaps(spec)
	current, steers := false, false
	if err == nil {
		steers, err = g.keptMaps(spec, pinned)
	}
	if err == nil && !missing {
		current, err = g.adoptPrograms(pinned, spec)
	}
	if err == nil && !current {
		// Only the kernel knows the tag that it gives a program: this build's are loaded to be compared.
		err = g.loadObjects(spec, pinned)
	}
	closeAll(pinned) // the programs have their own references
	if err != nil {
		return err
	}
	if g.words, err = mapWords(g.objects.Words); err != nil {
		return err
	}
	if err := g.takeWords(); err != nil {
		return err
	}
	if !steers {
		// Whatever the words say of load sharing, the table that they mean is gone: an older build has been here.
		g.words.u32(offSteer).Store(0)
		g.words.RevokeShare()
		g.words.u64(offTable).Store(0)
	}
	if current {
		return g.updateLinks() // a crash may have come before an update
	}
	g.words.u64(offBuild).Store(0) // until all are replaced
	g.words.u32(offBlind).Store(g.loadedBlind)
	if !missing {
		if current, err = g.keepPinnedPrograms(); err != nil {
			return err
		}
	}
	if err := g.updateLinks(); err != nil {
		return err
	}
	if !current {
		if err := g.repin(); err != nil {
			return err
		}
	}
	return g.noteBuild(spec)
}

// pinnedMaps opens the pinned maps, and says whether one that this build has is not there (an older build's gate).
func (g *Gate) pinnedMaps(spec *ebpf.CollectionSpec) (pinned map[string]*ebpf.Map, missing bool, err error) {
	pinned = make(map[string]*ebpf.Map)
	for name := range g.mapSlots() {
		path := filepath.Join(g.options.PinDir, name)
		m, err := ebpf.LoadPinnedMap(path, nil)
		if errors.Is(err, os.ErrNotExist) {
			missing = true
			continue
		}
		if err != nil {
			return pinned, false, err
		}
		pinned[name] = m
		if err := spec.Maps[name].Compatible(m); err != nil {
			return pinned, false, fmt.Errorf("%s: %w: %w; stop this member, which removes the gate, and start it again", path, err, ErrLayout)
		}
	}
	return pinned, missing, nil
}

// keptMaps adds the maps of load sharing that the pinned programs keep, and reports whether all are there. Without them, or with
// another layout, the new programs get empty ones.
func (g *Gate) keptMaps(spec *ebpf.CollectionSpec, pinned map[string]*ebpf.Map) (all bool, err error) {
	for name := range g.programSlots() {
		p, err := ebpf.LoadPinnedProgram(filepath.Join(g.options.PinDir, pinProgram+name), nil)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return false, err
		}
		err = g.keptMapsOf(p, spec, pinned)
		if err := errors.Join(err, p.Close()); err != nil {
			return false, fmt.Errorf("find the maps of program %s: %w", name, err)
		}
	}
	for name := range g.keptSlots() {
		// Builds before the notes of answers had all else; the daemon notes them anew.
		if pinned[name] == nil && name != kernelMapAnswers {
			for name := range g.keptSlots() {
				if m := pinned[name]; m != nil {
					m.Close()
					delete(pinned, name)
				}
			}
			return false, nil
		}
	}
	return true, nil
}

func (g *Gate) keptMapsOf(p *ebpf.Program, spec *ebpf.CollectionSpec, pinned map[string]*ebpf.Map) error {
	info, err := p.Info()
	if err != nil {
		return err
	}
	ids, _ := info.MapIDs()
	for _, id := range ids {
		m, err := ebpf.NewMapFromID(id)
		if err != nil {
			return err
		}
		about, err := m.Info()
		if err != nil {
			return errors.Join(err, m.Close())
		}
		if _, kept := g.keptSlots()[about.Name]; !kept || pinned[about.Name] != nil || spec.Maps[about.Name].Compatible(m) != nil {
			m.Close()
			continue
		}
		pinned[about.Name] = m
	}
	return nil
}

// keepPinnedPrograms puts the pinned programs in the place of those just loaded if all of them have the same tags.
func (g *Gate) keepPinnedPrograms() (bool, error) {
	current := make(map[string]*ebpf.Program)
	for name, loaded := range g.programs() {
		p, err := ebpf.LoadPinnedProgram(filepath.Join(g.options.PinDir, pinProgram+name), nil)
		if errors.Is(err, os.ErrNotExist) {
			closeAll(current)
			return false, nil
		}
		if err == nil {
			current[name] = p
			var same bool
			if same, err = sameTag(p, loaded); err == nil && !same {
				closeAll(current)
				return false, nil
			}
		}
		if err != nil {
			closeAll(current)
			return false, fmt.Errorf("compare program %s with the pinned one: %w", name, err)
		}
	}
	for name, slot := range g.programSlots() {
		(*slot).Close()
		*slot = current[name]
	}
	return true, nil
}

func sameTag(a, b *ebpf.Program) (bool, error) {
	x, err := a.Info()
	if err != nil {
		return false, err
	}
	y, err := b.Info()
	if err != nil {
		return false, err
	}
	return x.Tag == y.Tag, nil
}

// takeWords checks that the words are ours, and brings in line what the options may change.
func (g *Gate) takeWords() error {
	if err := g.words.check(); err != nil {
		return err
	}
	o, s := g.options, g.words.Snapshot()
	if s.Self != o.Self || s.Cluster != o.Cluster {
		return fmt.Errorf("%w: member %d of cluster %d, this is member %d of cluster %d; stop that one, or choose another directory",
			ErrIdentity, s.Self, s.Cluster, o.Self, o.Cluster)
	}
	g.words.setIdentity(o.Self, o.Members, o.Cluster)
	g.words.setTimers(o.Soft, o.Hard, o.Watch, o.Linger)
	g.words.forgetCopies()
	return g.copyMaps()
}

// updateLinks puts the programs behind every link that has others. Severed links are left to Attach.
func (g *Gate) updateLinks() error {
	names, err := pinnedLinks(g.options.PinDir)
	if err != nil {
		return err
	}
	for _, name := range names {
		as, _ := parseLinkPin(name)
		l, err := link.LoadPinnedLink(filepath.Join(g.options.PinDir, name), nil)
		if err != nil {
			return fmt.Errorf("adopt link %s: %w", name, err)
		}
		if err := errors.Join(updateLink(l, g.programFor(as)), l.Close()); err != nil {
			return fmt.Errorf("adopt link %s: %w", name, err)
		}
	}
	return g.updateClassic()
}

func updateLink(l link.Link, program *ebpf.Program) error {
	info, err := l.Info()
	if err != nil {
		return err
	}
	want, err := programID(program)
	if err != nil || info.Program == want || linkIndex(info) == 0 {
		return err
	}
	return l.Update(program)
}

func programID(p *ebpf.Program) (ebpf.ProgramID, error) {
	info, err := p.Info()
	if err != nil {
		return 0, err
	}
	id, ok := info.ID()
	if !ok {
		return 0, errors.New("the kernel tells no program id")
	}
	return id, nil
}

// repin replaces the pinned programs, and pins maps that were not there.
func (g *Gate) repin() error {
	dir := g.options.PinDir
	for name, m := range g.maps() {
		if path := filepath.Join(dir, name); !exists(path) {
			if err := m.Pin(path); err != nil {
				return err
			}
		}
	}
	for name, p := range g.programs() {
		path := filepath.Join(dir, pinProgram+name)
		if err := os.Remove(path + pinNew); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("replace pinned program: %w", err)
		}
		if err := p.Pin(path + pinNew); err != nil {
			return err
		}
		if err := os.Rename(path+pinNew, path); err != nil {
			return fmt.Errorf("replace pinned program: %w", err)
		}
	}
	return nil
}

func closeAll[T interface{ Close() error }](m map[string]T) {
	for _, c := range m {
		c.Close()
	}
}
