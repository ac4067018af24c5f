// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// TestMain is the pulse when a test starts it as one, a main process when a test needs one to kill, and otherwise the
// tests, in a mount and a network namespace of their own.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "pulse":
			os.Exit(Main())
		case "main":
			os.Exit(mortalMain(os.Args[2]))
		}
	}
	labtest.InNamespaces(func(bool) { goleak.VerifyTestMain(m) })
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
