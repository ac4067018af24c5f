// SPDX-License-Identifier: Apache-2.0

// Package labtest lets a test say what it needs of the machine, so that a missing thing is a skip on a
// developer's laptop and a failure where the laboratory is required (HOLDFAST_LAB=required, as in CI).
package labtest

import (
	"bytes"
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

// RequireProcessor skips tb where the processor is emulated in software (qemu's TCG), in the guest that scripts/guest boots: what is measured
// there says nothing of any machine. That guest lets none but the skips through that it knows by name (lab/guest/testdata/run). Anywhere else
// such a processor is a thing that is missing.
func RequireProcessor(tb testing.TB) {
	tb.Helper()
	info, err := os.ReadFile("/proc/cpuinfo")
	switch {
	case err != nil:
		tb.Fatal(err)
	case !emulated(info):
	case os.Getenv("HOLDFAST_GUEST") != "":
		tb.Skip("the processor is emulated")
	default:
		Missing(tb, "a processor that is not emulated")
	}
}

// emulated reports whether /proc/cpuinfo is of a processor that qemu's TCG emulates: it says so in the model's name, whatever model it is
// but those that are named after a real one, which scripts/guest does not ask for.
func emulated(cpuinfo []byte) bool { return bytes.Contains(cpuinfo, []byte("QEMU TCG CPU")) }
