// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A daemon and a pulse of different builds do not try to understand each other, and say so.
func TestOtherBuildIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		first command
		want  string
	}{
		"another build":         {command{kind: msgBuild, text: "v0.9.0 0011223344556677"}, `is build "v0.9.0 0011223344556677"`},
		"from before there was": {command{kind: msgConfigure, config: testConfig()}, `is build ""`},
	} {
		p := &Pulse{ctx: context.Background()}
		if err := p.spawn(ownProgram); err != nil {
			t.Fatal(err)
		}
		if err := p.send(&c.first); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, maxMessage)
		n, err := p.receive(b)
		if err != nil {
			t.Fatal(err)
		}
		_, err = decodeEvent(b[:n])
		if !errors.Is(err, errFailed) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), build()) {
			t.Errorf("%s: %v", name, err)
		}
		if err := errors.Join(p.conn.Close(), p.cmd.Wait()); err == nil || err.Error() != "exit status 1" {
			t.Errorf("%s: ended with %v", name, err)
		}
	}
}

func TestBuildTellsPrograms(t *testing.T) {
	if first := build(); first != build() {
		t.Error("a build is not equal to itself")
	}
	if id, err := linkerID(); err != nil || len(id) < 20 {
		t.Errorf("the linker's id of this program: %x, %v", id, err)
	}
}

// The program that runs is started, not what has taken its place.
func TestOwnProgramIsStarted(t *testing.T) {
	a, _ := newPair(t)
	path := filepath.Join(t.TempDir(), "daemon")
	program, err := os.ReadFile(ownProgram)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, program, 0o700); err != nil {
		t.Fatal(err)
	}
	main := newMortal(t, path, a.config.PinDir)
	if err := os.Remove(path); err != nil { // as an upgrade does
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("#!/bin/false\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", main.startPulse()))
	if err != nil || exe != path+" (deleted)" {
		t.Errorf("the pulse runs %q, %v", exe, err)
	}
}
