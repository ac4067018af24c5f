// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"encoding/binary"
	"testing"
)

// TestSipHashReference checks the reference implementation's vectors (vectors_sip64 of github.com/veorq/SipHash): key 00..0f,
// message 00, 01, 02 .. of growing length; expected bytes are the little-endian form of the result.
func TestSipHashReference(t *testing.T) {
	vectors := map[int]string{
		0:  "310e0edd47db6f72",
		1:  "fd67dc93c539f874",
		2:  "5a4fa9d909806c0d",
		3:  "2d7efbd796666785",
		7:  "37d1018bf50002ab",
		8:  "6224939a79f5f593",
		15: "e545be4961ca29a1",
		63: "724506eb4c328a95",
	}
	for n, want := range vectors {
		msg := make([]byte, n)
		for i := range msg {
			msg[i] = byte(i)
		}
		if got := SipHash24(testGateKey, msg); got != binary.LittleEndian.Uint64(unhex(t, want)) {
			t.Errorf("%d bytes: %016x, want %s in little-endian", n, got, want)
		}
	}
}
