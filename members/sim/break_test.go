// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"strings"
	"testing"
)

// TestBrokenProtocolIsFound tests the tests: with a part of the protocol removed, an invariant breaks soon.
func TestBrokenProtocolIsFound(t *testing.T) {
	for _, tc := range []struct {
		name   string
		opt    Options
		broken string
		seeds  uint64
	}{
		{"the gate does not compare with its fence", Options{BreakFence: true}, "two serve", 20},
		{"claims do not wait for grants", Options{BreakGrants: true}, "two serve", 20},
		{"leases do not expire", Options{BreakLease: true}, "nobody stuck", 1000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for seed := uint64(1); seed <= tc.seeds; seed++ {
				if r := run(seed, tc.opt); r.Err != nil && strings.Contains(r.Err.Error(), tc.broken) {
					t.Logf("seed %d: %v", seed, r.Err)
					return
				}
			}
			t.Errorf("%d seeds did not find it", tc.seeds)
		})
	}
}

func TestSeedReproducesARun(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		var a, b []string
		ra := Run(seed, Options{Log: func(_ int64, text string) { a = append(a, text) }})
		rb := Run(seed, Options{Log: func(_ int64, text string) { b = append(b, text) }})
		ra.Err, rb.Err = nil, nil
		if ra != rb || strings.Join(a, "\n") != strings.Join(b, "\n") {
			t.Errorf("seed %d: two runs differ: %+v and %+v", seed, ra, rb)
		}
		if c := Run(seed+1000, Options{}); c.Events == ra.Events {
			t.Errorf("seeds %d and %d give the same run", seed, seed+1000)
		}
	}
}
