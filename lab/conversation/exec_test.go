// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"bytes"
	"os/exec"

	"github.com/holdfast-project/holdfast/lab/netns"
)

// output runs a command in a namespace.
func output(ns *netns.NS, args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := netns.Start(netns.Place{Net: ns}, cmd); err != nil {
		return "", err
	}
	err := cmd.Wait()
	return out.String(), err
}
