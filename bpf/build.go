// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// buildNumber tells builds of the programs apart: it is made of their instructions, and of the tags that the kernel gave the programs
// that are pinned; it is never 0. The words keep it, so that a restarted daemon need not have the kernel verify its own programs to
// find out that they are the pinned ones: on a slow machine that takes longer than the lease lasts. An older build replaces the programs
// and leaves the number, which then fits them no more.
func buildNumber(spec *ebpf.CollectionSpec, programs map[string]*ebpf.Program) (uint64, error) {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(programs)) {
		info, err := programs[name].Info()
		if err != nil {
			return 0, fmt.Errorf("tag of program %s: %w", name, err)
		}
		h.Write([]byte(info.Tag))
	}
	for _, name := range slices.Sorted(maps.Keys(spec.Programs)) {
		h.Write([]byte(name))
		for _, ins := range spec.Programs[name].Instructions {
			hashInstruction(h, ins)
		}
	}
	return binary.BigEndian.Uint64(h.Sum(nil)) | 1, nil
}

func hashInstruction(h hash.Hash, ins asm.Instruction) {
	b := binary.BigEndian.AppendUint16(nil, uint16(ins.OpCode))
	b = append(b, byte(ins.Dst), byte(ins.Src))
	b = binary.BigEndian.AppendUint16(b, uint16(ins.Offset))
	b = binary.BigEndian.AppendUint64(b, uint64(ins.Constant))
	h.Write(append(b, ins.Reference()...))
}

// adoptPrograms takes the pinned maps and programs as they are, if they are those of this build and all there.
func (g *Gate) adoptPrograms(pinned map[string]*ebpf.Map, spec *ebpf.CollectionSpec) (bool, error) {
	words, err := mapWords(pinned[kernelMapWords])
	if err != nil {
		return false, err
	}
	build, blind := words.u64(offBuild).Load(), wasBlind(words)
	if err := words.Close(); err != nil || build == 0 || blind {
		return false, err
	}
	programs := make(map[string]*ebpf.Program)
	for name := range g.programSlots() {
		p, err := ebpf.LoadPinnedProgram(filepath.Join(g.options.PinDir, pinProgram+name), nil)
		if err != nil {
			closeAll(programs)
			if errors.Is(err, os.ErrNotExist) {
				err = nil
			}
			return false, err
		}
		programs[name] = p
	}
	if pinned, err := buildNumber(spec, programs); err != nil || pinned != build {
		closeAll(programs)
		return false, err
	}
	for name, slot := range g.programSlots() {
		*slot = programs[name]
	}
	for name, slot := range g.mapSlots() {
		if *slot, err = pinned[name].Clone(); err != nil {
			return false, err
		}
	}
	for name, slot := range g.keptSlots() {
		m, ok := pinned[name]
		if !ok {
			return false, fmt.Errorf("the pinned programs are this build's, but keep no map %s; stop this member, which removes the gate, and start it again", name)
		}
		if *slot, err = m.Clone(); err != nil {
			return false, err
		}
	}
	return true, nil
}

// noteBuild writes down which programs are pinned.
func (g *Gate) noteBuild(spec *ebpf.CollectionSpec) error {
	build, err := buildNumber(spec, g.programs())
	if err != nil {
		return err
	}
	g.words.u64(offBuild).Store(build)
	return nil
}
