// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
)

// BenchmarkUpdate is one change of three keys, as a record with its audit entry makes it, alone and beside 63 others; BenchmarkView reads one key.
func BenchmarkUpdate(b *testing.B) {
	eachStore(b, func(b *testing.B, s Store) {
		for i := 0; b.Loop(); i++ {
			if err := s.Update(b.Context(), change(i)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkUpdateBeside(b *testing.B) {
	eachStore(b, func(b *testing.B, s Store) {
		var n atomic.Int64
		b.SetParallelism(64 / runtime.GOMAXPROCS(0))
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := s.Update(b.Context(), change(int(n.Add(1)))); err != nil {
					b.Error(err)
				}
			}
		})
	})
}

// change is one of three keys.
func change(i int) func(Tx) error {
	return func(tx Tx) error {
		if err := tx.Put("record", make([]byte, 2000)); err != nil {
			return err
		}
		if err := tx.Put(fmt.Sprintf("audit/%020d", i), make([]byte, 400)); err != nil {
			return err
		}
		return increment(tx, "head")
	}
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
