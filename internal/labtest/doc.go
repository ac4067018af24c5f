// SPDX-License-Identifier: Apache-2.0

// Package labtest lets a test say what it needs of the machine, so that a missing thing is a skip on a
// developer's laptop and a failure where the laboratory is required (HOLDFAST_LAB=required, as in CI).
package labtest

import (
	"os"
	"os/exec"
	"testing"
)

// Require skips tb unless the test runs as root and every named tool is on PATH. With HOLDFAST_LAB=required it fails instead:
// a skip must not hide on CI.
func Require(tb testing.TB, tools ...string) {
	tb.Helper()
	if os.Geteuid() != 0 {
		Missing(tb, "root")
	}
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err != nil {
			Missing(tb, tool)
		}
	}
}

// Missing skips tb because the machine has no what, or fails it where the laboratory is required.
func Missing(tb testing.TB, what string) {
	tb.Helper()
	if os.Getenv("HOLDFAST_LAB") == "required" {
		tb.Fatalf("HOLDFAST_LAB=required, but %s is missing", what)
	}
	tb.Skipf("needs %s (HOLDFAST_LAB=required makes this a failure)", what)
}
