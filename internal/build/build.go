// SPDX-License-Identifier: Apache-2.0

// Package build holds what the linker knows about this binary.
package build

import (
	"fmt"
	"strconv"
)

// Version is the version of the sources, set by the linker (see the Makefile).
var Version = "unknown"

// Protocol is the version of the cluster's protocol that this build speaks, and OldestProtocol the oldest one of a peer that it works
// with. They are numbers in text, so that the linker can set others: the laboratory builds a member of the next version that way.
var (
	Protocol       = "1"
	OldestProtocol = "1"
)

// ProtocolVersion is Protocol as a number. It panics when the linker set something else: such a binary must not serve.
func ProtocolVersion() uint32 { return number("Protocol", Protocol) }

// OldestProtocolVersion is OldestProtocol as a number; it panics as ProtocolVersion does.
func OldestProtocolVersion() uint32 { return number("OldestProtocol", OldestProtocol) }

func number(name, text string) uint32 {
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		panic(fmt.Sprintf("built with -X build.%s=%q: give it a number", name, text))
	}
	return uint32(n)
}
