// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"fmt"
	"runtime/debug"
)

// ownProgram is the program that runs, whatever a package upgrade has put in its place.
const ownProgram = "/proc/self/exe"

// layout is the version of the messages between main and pulse (wire.go), for programs that nothing else tells apart. Raise it with
// every change of them.
const layout = 2

// build names the program that runs: what it was built from, and the linker's hash of it. Any two builds differ, unless they are the
// same to the byte, or were stripped of both.
func build() string {
	h := sha256.New()
	fmt.Fprintln(h, layout)
	version := "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version = info.Main.Version
		fmt.Fprintln(h, info)
	}
	if id, err := linkerID(); err == nil { // without: both ends are without, or differ as they should
		h.Write(id)
	}
	return version + " " + hex.EncodeToString(h.Sum(nil)[:8])
}

// linkerID returns Go's build id of the program, as its ELF note holds it.
func linkerID() ([]byte, error) {
	file, err := elf.Open(ownProgram)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	s := file.Section(".note.go.buildid")
	if s == nil {
		return nil, nil
	}
	return s.Data()
}

// checkBuild says why a pulse of this build does not understand a main of that one, or nil.
func checkBuild(main string) error {
	if own := build(); main != own {
		return fmt.Errorf("this program is build %q, the daemon that started it is build %q: the file was replaced while the daemon ran; "+
			"restart the daemon (the gate goes on serving)", own, main)
	}
	return nil
}
