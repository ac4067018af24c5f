// SPDX-License-Identifier: Apache-2.0

package traffic

import "time"

// Gap is a time in which nothing arrived, between two arrivals that follow each other.
type Gap struct {
	// From is the arrival before, To the arrival after, also when these are outside the window. An Open gap has no arrival after
	// it: To is the moment up to which arrivals are known. Before the first arrival a flow's first send stands in for an arrival.
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
	Open bool      `json:"open"`
	// Arrival is To - From: what the receiver saw. On a perfect path it is the sending interval.
	Arrival time.Duration `json:"arrival_ns"`
	// Corrected is Arrival less what the sender stalled in it: for every pause between two sends that overlaps the gap, the part
	// that exceeds the sending interval. This is the outage of the path; Arrival also contains the laboratory's own stalls.
	Corrected time.Duration `json:"corrected_ns"`
	// AfterSeq and BeforeSeq are the packets that arrived before and after it; Lost is how many between them never arrived.
	AfterSeq  uint64 `json:"after_seq"`
	BeforeSeq uint64 `json:"before_seq"`
	Lost      int    `json:"lost"`
}

// FlowReport is what became of one flow in a window.
type FlowReport struct {
	// Flow is "client>server v4". Family is 4 or 6; Forward is true from A to B.
	Flow    string `json:"flow"`
	Family  int    `json:"family"`
	Forward bool   `json:"forward"`
	// Sent counts packets sent in the window; Received and Lost say what became of these. SendErrors of them the host's own
	// stack refused (no route, for one): they count as sent, and as lost.
	Sent       int `json:"sent"`
	Received   int `json:"received"`
	Lost       int `json:"lost"`
	SendErrors int `json:"send_errors"`
	// LostAt is when each lost packet was sent.
	LostAt []time.Time `json:"-"`
	// Duplicated counts copies beyond the first, Reordered arrivals with a lower number than one before them, Corrupt packets
	// with a wrong checksum (over the whole run).
	Duplicated int `json:"duplicated"`
	Reordered  int `json:"reordered"`
	Corrupt    int `json:"corrupt"`
	// LongestArrival and Longest are the gaps that overlap the window with the longest Arrival and the longest Corrected time.
	LongestArrival Gap `json:"longest_arrival"`
	Longest        Gap `json:"longest"`
	// Gaps are all gaps that overlap the window whose Arrival exceeds the threshold, in order.
	Gaps []Gap `json:"gaps,omitempty"`
	// SenderLate is the worst lateness of a send against its deadline in the window; Skipped how many deadlines were left out
	// because the one before was served too late (they are not packets and not lost).
	SenderLate time.Duration `json:"sender_late_ns"`
	Skipped    int           `json:"skipped"`
	// Unjudged is how many of the window's packets were sent too recently to be called lost (a live window only).
	Unjudged int `json:"unjudged"`
}

// Report is what became of all flows in a window.
type Report struct {
	From      time.Time     `json:"from"`
	To        time.Time     `json:"to"`
	Threshold time.Duration `json:"threshold_ns"`
	Flows     []FlowReport  `json:"flows,omitempty"`
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
