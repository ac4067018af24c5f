// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"strings"
	"testing"
)

// FuzzParse: an operator's file may be anything. Parse never panics, every refusal has a way out, and what is accepted differs from
// itself in nothing.
func FuzzParse(f *testing.F) {
	reference, err := os.ReadFile(referencePath)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(reference)
	f.Add([]byte(sound))
	f.Add([]byte(strings.Replace(sound, "id: 7", "id: 7\nmode: load-sharing\nload-sharing: {method: multicast, key: ips, weights: {gw-a: 1, gw-b: 0}, snat-ports: 2000-9000, "+
		"published: [10.1.0.0/24], adaptive: true, multicast-mac: \"03:bf:0a:00:01\"}", 1)))
	for _, k := range refusals {
		f.Add([]byte(k.new))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := Parse("cluster.yaml", data)
		if err != nil {
			for _, p := range Problems(err) {
				if p.What == "" || p.WayOut == "" || p.Line < 0 {
					t.Errorf("%+v", p)
				}
			}
			return
		}
		again, err := Parse("cluster.yaml", data)
		if err != nil {
			t.Fatal(err)
		}
		if live, refused := Diff(c, again); len(live)+len(refused) > 0 || c.Digest() != again.Digest() {
			t.Errorf("the same file differs: %v %v", live, refused)
		}
	})
}

// FuzzParseKeys: a key file may be anything too.
func FuzzParseKeys(f *testing.F) {
	f.Add([]byte("0:" + key(1) + "\n1:" + key(2)))
	f.Add([]byte("# comment\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if keys, err := ParseKeys(data); err == nil && (len(keys) < 1 || len(keys) > 2) {
			t.Errorf("%d keys", len(keys))
		}
	})
}
