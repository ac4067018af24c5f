// SPDX-License-Identifier: Apache-2.0

// Package pcap records a segment of the laboratory as a pcapng file that Wireshark and tshark read.
//
// There is one interface description per port of the switch, named after who is at the other end, and a frame is recorded where
// it entered the switch: so it is in the file once, and its interface says who really sent it, whatever MAC it carries.
// The newest frames are kept, up to a bound, and written when the recording stops.
//
// It imports lab/tap and nothing else of the laboratory.
package pcap
