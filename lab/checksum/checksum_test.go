// SPDX-License-Identifier: Apache-2.0

package checksum

import "testing"

func TestFold(t *testing.T) {
	for _, c := range []struct {
		name string
		b    []byte
		want uint16
	}{
		{"nothing", nil, 0},
		{"the example of RFC 1071", []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0xddf2},
		{"an odd byte is the upper half of a word", []byte{0x12, 0x34, 0x56}, 0x6834},
		{"a carry that carries again", []byte{0xff, 0xff, 0xff, 0xff, 0x00, 0x01}, 0x0001},
	} {
		if got := Fold(Sum(c.b)); got != c.want {
			t.Errorf("%s: %#04x, want %#04x", c.name, got, c.want)
		}
	}
}
