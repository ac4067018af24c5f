// SPDX-License-Identifier: Apache-2.0

package traffic

import "time"

// Arrivals counts a flow's arrivals in n cells of time from from on; flow is the index in Flows. It is for displays: judge
// with Window.
func (r *Run) Arrivals(flow int, from time.Time, cell time.Duration, n int) []int {
	return r.flows[flow].got.view().cells(int64(from.Sub(r.start)), cell, n)
}

// Sends counts what the flow's sender sent, likewise: a cell in which it stalled is no outage.
func (r *Run) Sends(flow int, from time.Time, cell time.Duration, n int) []int {
	return r.flows[flow].sent.view().cells(int64(from.Sub(r.start)), cell, n)
}

func (v view) cells(begin int64, cell time.Duration, n int) []int {
	counts := make([]int, n)
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
