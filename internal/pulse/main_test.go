// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"go.uber.org/goleak"
)

const inNamespaces = "HOLDFAST_PULSE_TEST_NAMESPACES"

// TestMain is the pulse when a test starts it as one, a main process when a test needs one to kill, and otherwise the tests, in
// a mount and a network namespace of their own: one that is killed leaves nothing behind.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "pulse":
			os.Exit(Main())
		case "main":
			os.Exit(mortalMain(os.Args[2]))
		}
	}
	if os.Geteuid() != 0 || os.Getenv(inNamespaces) != "" {
		goleak.VerifyTestMain(m)
		return
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inNamespaces+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	err := cmd.Run()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		os.Exit(exit.ExitCode())
	case err != nil:
		fmt.Fprintln(os.Stderr, "run tests in namespaces of their own:", err)
		os.Exit(1)
	}
}

// mortalMain waits for a line, starts a pulse for the gate in a pin directory, says its process number and waits to be killed.
func mortalMain(pinDir string) int {
	c := testConfig()
	c.PinDir, c.Interfaces, c.Peers = pinDir, nil, nil
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	p, err := Start(context.Background(), "", *c, slog.Default())
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println(p.cmd.Process.Pid)
	for range p.Events() {
		p.Word()
	}
	return 1
}
