// SPDX-License-Identifier: Apache-2.0

package record

import (
	"testing"
	"time"
)

// TestBegunHere: what a kernel says of traffic that it has seen begin is told from what it says of a copy.
func TestBegunHere(t *testing.T) {
	seen := map[uint8]int{}
	for _, c := range load(t) {
		for _, m := range c.dump {
			r, err := FromMessage(nil, m.typ, m.flags, m.payload)
			if err != nil || r.Table != TableConnections {
				continue
			}
			orig, err := Original(r)
			if err != nil {
				t.Fatal(err)
			}
			copied := append(append([]byte(nil), m.payload[:nfgenmsgLen]...), r.Attrs...)
			for _, tick := range []time.Duration{time.Millisecond, 4 * time.Millisecond, 10 * time.Millisecond} {
				want := orig.Proto == protoTCP || orig.Proto == protoUDP
				if got := BegunHere(m.payload, tick); got != want {
					t.Errorf("%s: %+v: begun here %v, want %v", c.name, orig, got, want)
				}
				if BegunHere(copied, tick) {
					t.Errorf("%s: the copy of %+v has begun here", c.name, orig)
				}
				for n := range m.payload {
					BegunHere(m.payload[:n], tick) // what is cut off is read no further
				}
			}
			seen[orig.Proto]++
		}
	}
	if seen[protoTCP] == 0 || seen[protoUDP] == 0 || seen[protoICMP] == 0 {
		t.Errorf("protocols seen: %v", seen)
	}
}
