// SPDX-License-Identifier: Apache-2.0

package bpf

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-project/holdfast/ccp"
)

// TestSipHash lets the C gate judge tags that Go made under random keys over random bytes, and each of them with one bit changed.
func TestSipHash(t *testing.T) {
	g := newTestGate(t, true)
	rng := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var key [16]byte
		binary.LittleEndian.PutUint64(key[:], rng.Uint64())
		binary.LittleEndian.PutUint64(key[8:], rng.Uint64())
		if err := g.SetKey(testKeyNumber, key, true); err != nil {
			t.Fatal(err)
		}
		packet := ccpFrame{header: func(h *ccp.Header) {
			h.Incarnation, h.Sequence, h.Flags = rng.Uint64(), rng.Uint64(), uint8(rng.Uint32())
		}}.bytes()
		for i := 14 + 56 + 14; i < len(packet); i++ { // what a probe's body reserves
			packet[i] = uint8(rng.Uint32())
		}
		covered := append(append([]byte(nil), packet[14:14+48]...), packet[14+56:]...)
		binary.BigEndian.PutUint64(packet[14+48:], ccp.SipHash24(key, covered))
		g.forget(t)
		for _, e := range entries {
			v, out := e.run(t, g, packet, nil)
			if v != answer {
				t.Fatalf("%s: key % x: verdict %v on % x", e.name, key, v, packet)
			}
			if !ccp.VerifyTag(out[14:], key) {
				t.Fatalf("%s: key % x: Go does not accept the tag of % x", e.name, key, out)
			}
			bit := rng.IntN(8 * (48 + 8 + 48))
			bad := changed(packet, func(b []byte) { b[14+bit/8] ^= 1 << (bit % 8) })
			if v, _ := e.run(t, g, bad, nil); v != drop {
				t.Fatalf("%s: key % x: verdict %v with bit %d changed", e.name, key, v, bit)
			}
		}
	}
}
