// SPDX-License-Identifier: Apache-2.0

package sim

import "testing"

// BenchmarkSim runs seeds on one core. An operation is a whole run.
func BenchmarkSim(b *testing.B) {
	var steps, life int64
	for i := range b.N {
		r := run(uint64(i%2000+1), Options{})
		steps += r.Steps
		life += int64(r.Time)
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
	b.ReportMetric(float64(life)/1e9/b.Elapsed().Seconds(), "lifetime-s/s")
}
