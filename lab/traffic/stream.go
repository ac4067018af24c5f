// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"time"
)

// StreamConfig says what TCP stream to run, from A (client) to B (server).
type StreamConfig struct {
	A, B Endpoint
	// Family is 4 or 6; 0 means 4.
	Family int
	// Port is the server's port; 0 means DefaultPort.
	Port uint16
	// Every is the time between two blocks of 1 KiB; 0 sends as fast as TCP lets it.
	Every time.Duration
}

// StreamReport is what became of a TCP stream.
type StreamReport struct {
	// Blocks of 1 KiB were sent and received; Corrupt of them had wrong content or a wrong place in the stream.
	Sent, Received, Corrupt int
	// Resets counts connections that ended before they should; each was followed by a new connection. Reasons has their errors.
	Resets  int
	Reasons []string
	// LongestStall is the longest time between two reads that brought data, from StallFrom on.
	LongestStall time.Duration
	StallFrom    time.Time
}

// Stream is a running TCP stream.
type Stream struct{}

// StartStream listens at B, connects from A and begins to send. It runs until Stop or until ctx ends; Stop must be called.
func StartStream(ctx context.Context, cfg StreamConfig) (*Stream, error) { return &Stream{}, ctx.Err() }

// Window tells the longest stall that overlaps the time from from until to; counts are of the whole run so far.
func (s *Stream) Window(from, to time.Time) StreamReport { return StreamReport{} }

// Stop ends the stream in order and returns the report of the whole run.
func (s *Stream) Stop() (StreamReport, error) { return StreamReport{}, nil }
