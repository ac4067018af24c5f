// SPDX-License-Identifier: Apache-2.0

package traffic

import "time"

// Arrivals counts a flow's arrivals in n cells of time from from on; flow is the index in Flows. It is for displays: judge
// with Window.
func (r *Run) Arrivals(flow int, from time.Time, cell time.Duration, n int) []int {
	counts := make([]int, n)
	v := r.flows[flow].got.view()
	begin := int64(from.Sub(r.start))
	for i := v.search(begin); i < v.n; i++ {
		c := (v.at(i).at - begin) / int64(cell)
		if c >= int64(n) {
			break
		}
		if c >= 0 {
			counts[c]++
		}
	}
	return counts
}
