// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// mortal is a main process of its own, which can be killed: mortalMain.
type mortal struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Writer
	out io.Reader
}

// newMortal starts the program at path as a main process for the gate in a pin directory. It is killed at the end of the test.
func newMortal(t *testing.T, path, pinDir string) *mortal {
	t.Helper()
	m := &mortal{t: t, cmd: exec.Command(path, "main", pinDir)}
	var err error
	if m.in, err = m.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if m.out, err = m.cmd.StdoutPipe(); err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.kill)
	return m
}

// startPulse has it start a pulse, and returns that one's process number.
func (m *mortal) startPulse() (pid int) {
	m.t.Helper()
	fmt.Fprintln(m.in)
	line, err := bufio.NewReader(m.out).ReadString('\n')
	if err != nil {
		m.t.Fatal(err)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(line)); err != nil {
		m.t.Fatal(err)
	}
	return pid
}

// kill ends it without a word.
func (m *mortal) kill() {
	_ = m.cmd.Process.Kill() // it may have been killed before
	_ = m.cmd.Wait()
}
