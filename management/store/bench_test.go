// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"testing"
)

// BenchmarkUpdate is one change of three keys, as a record with its audit entry makes it; BenchmarkView reads one key.
func BenchmarkUpdate(b *testing.B) {
	eachStore(b, func(b *testing.B, s Store) {
		for i := 0; b.Loop(); i++ {
			err := s.Update(b.Context(), func(tx Tx) error {
				if err := tx.Put("record", make([]byte, 2000)); err != nil {
					return err
				}
				if err := tx.Put(fmt.Sprintf("audit/%020d", i), make([]byte, 400)); err != nil {
					return err
				}
				return increment(tx, "head")
			})
			if err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkView(b *testing.B) {
	eachStore(b, func(b *testing.B, s Store) {
		set(b, s, "record", "value")
		for b.Loop() {
			if _, err := value(b, s, "record"); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func eachStore(b *testing.B, fn func(b *testing.B, s Store)) {
	b.Helper()
	for _, w := range worlds() {
		b.Run(w.name, func(b *testing.B) { fn(b, mustOpen(b, w.target(b))) })
	}
}
