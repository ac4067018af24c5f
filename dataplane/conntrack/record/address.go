// SPDX-License-Identifier: Apache-2.0

package record

// kind is what sort of address it is.
type kind uint8

const (
	kindUnicast kind = iota
	kindLoopback
	kindBroadcast // multicast, limited broadcast or unspecified
)

// kind looks at the address alone: which addresses are broadcast in a network it cannot know.
func (a address) kind(family uint8) kind {
	if family == IPv4 {
		switch {
		case a.hi>>24 == 127:
			return kindLoopback
		case a.hi>>24 == 0, a.hi>>28 == 0xe, a.hi == 0xffffffff:
			return kindBroadcast
		}
		return kindUnicast
	}
	switch {
	case a.hi == 0 && a.lo == 1:
		return kindLoopback
	case a.hi>>56 == 0xff, a.hi == 0 && a.lo == 0:
		return kindBroadcast
	}
	return kindUnicast
}

// linkLocal reports an IPv6 link-local unicast address.
func (a address) linkLocal(family uint8) bool { return family == IPv6 && a.hi>>54 == 0xfe80>>6 }

// full is the mask that compares a whole address.
func full(family uint8) address {
	if family == IPv4 {
		return address{hi: 0xffffffff}
	}
	return address{hi: ^uint64(0), lo: ^uint64(0)}
}
