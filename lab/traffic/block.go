// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"bytes"
	"encoding/binary"
)

// blockLen is the length of a block of a stream in bytes: its number, then filling that follows from the number.
const blockLen = 1024

// putBlock fills b, which is blockLen long, with block n.
func putBlock(b []byte, n uint64) {
	binary.BigEndian.PutUint64(b, n)
	x := n
	for i := 8; i < blockLen; i += 8 {
		// splitmix64: cheap, and no two blocks look alike
		x += 0x9e3779b97f4a7c15
		z := (x ^ x>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(b[i:], z^z>>31)
	}
}

// checkBlock returns the number of the block in b and whether the rest of b belongs to it.
func checkBlock(b []byte) (n uint64, intact bool) {
	n = binary.BigEndian.Uint64(b)
	var want [blockLen]byte
	putBlock(want[:], n)
	return n, bytes.Equal(b, want[:])
}
