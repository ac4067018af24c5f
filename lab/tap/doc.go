// SPDX-License-Identifier: Apache-2.0

// Package tap reads frames at one port of a switch of the laboratory, with the kernel's timestamps, through an AF_PACKET socket.
//
// At the switch's end of a member's cable "incoming" is what that member really sent. This is how the laboratory tells members
// apart that all speak with the same virtual MAC.
//
// It imports lab/stamp and nothing else of the laboratory.
package tap
