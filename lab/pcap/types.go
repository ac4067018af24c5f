// SPDX-License-Identifier: Apache-2.0

package pcap

import "github.com/holdfast-project/holdfast/lab/tap"

// Port is a port of the switch.
type Port struct {
	// Name says who is at the other end ("gw1", "client"); it becomes the interface's name in the file.
	Name string
	// Interface is the port's name in the switch's namespace.
	Interface string
}

// Config says what to record.
type Config struct {
	// Segment is the segment's name; it is in the file's comment.
	Segment string
	// Switch is the namespace of the switch; Ports are its ports, all of them for a complete record.
	Switch tap.Namespace
	Ports  []Port
	// MaxBytes bounds the memory and the file, as the sum of the frames' captured lengths and 64 bytes each; 0 means 64 MiB.
	// Beyond it the oldest frames go.
	MaxBytes int
	// Snap is how much of a frame is kept; 0 means 256 bytes.
	Snap int
}

// Stats is what became of the frames.
type Stats struct {
	// Recorded are in the file; Evicted were the oldest and made room; Missed were lost by the kernel for want of buffer.
	Recorded, Evicted int
	Missed            uint
}
