// SPDX-License-Identifier: Apache-2.0

package steer

// Range returns the part, both ends included, of the ports first..last that member i of that many has for SNAT: parts are equal, or differ by
// one port. With more members than ports some parts are empty: to is then one less than from.
func Range(first, last uint16, members, i int) (from, to uint16) {
	size := int(last) - int(first) + 1
	if size <= 0 || members <= 0 || i < 0 || i >= members {
		return 1, 0
	}
	return first + uint16(i*size/members), first + uint16((i+1)*size/members-1)
}

// RangeMember returns the member whose part of first..last a port is in, Nobody if it is in none:
//
//	((port - first + 1) * members - 1) / (last - first + 1)
func RangeMember(first, last uint16, members int, port uint16) uint8 {
	if members <= 0 || members > Members || port < first || port > last {
		return Nobody
	}
	size := uint32(last) - uint32(first) + 1
	return uint8(((uint32(port)-uint32(first)+1)*uint32(members) - 1) / size)
}
