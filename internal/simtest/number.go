// SPDX-License-Identifier: Apache-2.0

package simtest

import (
	"os"
	"strconv"
	"testing"
)

// Number returns what an environment variable says, or another number if it is not set. What is set and is no number fails the test.
func Number(tb testing.TB, name string, otherwise int64) int64 {
	tb.Helper()
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		tb.Fatalf("%s=%q is no number: %v", name, s, err)
	}
	return n
}

// Runs returns HOLDFAST_SIM_RUNS, how many seeds a simulation is played from, or another number if it is not set.
func Runs(tb testing.TB, otherwise int) int {
	tb.Helper()
	return int(Number(tb, "HOLDFAST_SIM_RUNS", int64(otherwise)))
}
