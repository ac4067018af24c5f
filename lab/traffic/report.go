// SPDX-License-Identifier: Apache-2.0

package traffic

import "time"

// Gap is a time in which nothing arrived, between two arrivals that follow each other.
type Gap struct {
	// From is the arrival before, To the arrival after. An Open gap has no arrival after it: To is the end of the window.
	// A flow in which nothing at all arrived has one Open gap from the window's start, with AfterSeq 0.
	From, To time.Time
	Open     bool
	// Arrival is To - From: what the receiver saw. On a perfect path it is the sending interval.
	Arrival time.Duration
	// Corrected is Arrival less what the sender stalled in it: for every pause between two sends that overlaps the gap, the part
	// that exceeds the sending interval. This is the outage of the path; Arrival also contains the laboratory's own stalls.
	Corrected time.Duration
	// AfterSeq and BeforeSeq are the packets that arrived before and after it; Lost is how many between them never arrived.
	AfterSeq, BeforeSeq uint64
	Lost                int
}

// FlowReport is what became of one flow in a window.
type FlowReport struct {
	// Flow is "client>server v4". Family is 4 or 6; Forward is true from A to B.
	Flow    string
	Family  int
	Forward bool
	// Sent counts packets sent in the window; Received and Lost say what became of these. SendErrors of them the host's own
	// stack refused (no route, for one): they count as sent, and as lost.
	Sent, Received, Lost, SendErrors int
	// Duplicated counts copies beyond the first, Reordered arrivals with a lower number than one before them, Corrupt packets
	// with a wrong checksum (over the whole run).
	Duplicated, Reordered, Corrupt int
	// LongestArrival and Longest are the gaps that overlap the window with the longest Arrival and the longest Corrected time.
	LongestArrival, Longest Gap
	// Gaps are all gaps that overlap the window whose Arrival exceeds the threshold, in order.
	Gaps []Gap
	// SenderLate is the worst lateness of a send against its deadline in the window; Skipped how many deadlines were left out
	// because the one before was served too late (they are not packets and not lost).
	SenderLate time.Duration
	Skipped    int
	// Unjudged is how many of the window's packets were sent too recently to be called lost (a live window only).
	Unjudged int
}

// Report is what became of all flows in a window.
type Report struct {
	From, To  time.Time
	Threshold time.Duration
	Flows     []FlowReport
}

// Longest returns the gap with the longest Corrected time of all flows, and the name of its flow.
func (r Report) Longest() (Gap, string) {
	var g Gap
	var name string
	for _, f := range r.Flows {
		if name == "" || f.Longest.Corrected > g.Corrected {
			g, name = f.Longest, f.Flow
		}
	}
	return g, name
}

// Totals returns the sums over all flows.
func (r Report) Totals() (sent, received, lost, duplicated, reordered int) {
	for _, f := range r.Flows {
		sent += f.Sent
		received += f.Received
		lost += f.Lost
		duplicated += f.Duplicated
		reordered += f.Reordered
	}
	return sent, received, lost, duplicated, reordered
}

// Progress is a flow at this moment, for a live display.
type Progress struct {
	Flow           string
	Sent, Received uint64
	// LastArrival is when the newest packet arrived; zero when none has.
	LastArrival time.Time
}
