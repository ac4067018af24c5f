// SPDX-License-Identifier: Apache-2.0

package ccp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// likeness makes n records of some lengths, each with a few words of its own.
func likeness(seed uint64, n int) [][]byte {
	random := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // a test
	list := make([][]byte, n)
	for i := range list {
		words := []int{28, 32, 48, 20, 36}[random.IntN(5)]
		r := bytes.Repeat([]byte{byte(words)}, 4*words)
		binary.BigEndian.PutUint16(r, uint16(len(r)))
		for range random.IntN(9) {
			r[8+random.IntN(len(r)-8)] = byte(random.Uint32())
		}
		list[i] = r
	}
	return list
}

func TestSyncPackGolden(t *testing.T) {
	var p SyncPacker
	b := p.Begin(nil)
	for _, r := range []string{
		"000c 01 01 02 000000 0a000001", // the first: all that is not zero
		"000c 01 02 02 000000 0a000002", // its last word and the op
		"000a 03 01 00 000000 0a00 0000",
		"0010 01 01 02 000000 0a000001 00000007",          // another length, modelled on the last one
		"000c 01 01 02 000000 0a000001",                   // on the last one of its own length
		"0014 01 01 02 000000 0a000001 00000000 00000009", // what it has in common with the last one, and zeros behind that
	} {
		var ok bool
		if b, ok = p.Append(b, unhex(t, r), 200); !ok {
			t.Fatal(r)
		}
	}
	want := unhex(t, `ff
		02 07 000c0101 02000000 0a000001
		02 05 000c0102 0a000002
		02 07 000a0301 00000000 0a000000
		03 0f 00100101 02000000 0a000001 00000007
		02 07 000c0101 02000000 0a000001
		04 11 00140101 00000009`)
	if !bytes.Equal(b, want) {
		t.Fatalf("packed\n%x\nwant\n%x", b, want)
	}
	out, err := UnpackSync(nil, want)
	if end := unhex(t, "00140101 02000000 0a000001 00000000 00000009"); err != nil || !bytes.HasSuffix(out, end) {
		t.Fatalf("unpacked\n%x, %v, want at its end\n%x", out, err, end)
	}
}

// TestSyncPacks: whatever goes in comes out, in as many batches as it takes, and takes less.
func TestSyncPacks(t *testing.T) {
	var p SyncPacker
	for seed := range uint64(50) {
		list := likeness(seed, 200)
		var out []byte
		batches := 0
		for rest := list; len(rest) > 0; batches++ {
			b := p.Begin(nil)
			n := 0
			for n < len(rest) {
				var ok bool
				before := len(b)
				if b, ok = p.Append(b, rest[n], MaxSyncRecords); !ok {
					if len(b) != before {
						t.Fatal("what did not fit was left behind")
					}
					break
				}
				n++
			}
			if n == 0 || len(b) > MaxSyncRecords {
				t.Fatalf("%d records in %d bytes", n, len(b))
			}
			var err error
			if out, err = UnpackSync(out, b); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		all := bytes.Join(list, nil)
		if !bytes.Equal(out, all) {
			t.Fatalf("seed %d: not what went in", seed)
		}
		if plain := len(all) / MaxSyncRecords; 2*batches > plain {
			t.Errorf("seed %d: %d batches, %d without packing", seed, batches, plain)
		}
	}
}

func TestSyncPackRefuses(t *testing.T) {
	var p SyncPacker
	b := p.Begin(nil)
	for _, n := range []int{0, 1, 7, MaxSyncRecord + 4} {
		if got, ok := p.Append(b, make([]byte, n), 1<<20); ok || len(got) != len(b) {
			t.Errorf("a record of %d bytes was packed", n)
		}
	}
	n := 0
	for ok := true; ok; n++ {
		b, ok = p.Append(b, make([]byte, MaxSyncRecord), 1<<20)
	}
	if n-1 != MaxSyncUnpacked/MaxSyncRecord {
		t.Errorf("%d records of %d bytes in a batch", n-1, MaxSyncRecord)
	}
	if out, err := UnpackSync(nil, b); err != nil || len(out) != MaxSyncUnpacked {
		t.Errorf("%d bytes, %v", len(out), err)
	}
	for _, bad := range []string{
		"ff 02", "ff 02 01", "ff 02 01 0a0000", // cut
		"ff 02 08 0a000001", // a word beyond its end
		"ff" + strings.Repeat("ff"+strings.Repeat("00", 32), 17), // more than a batch has
	} {
		if out, err := UnpackSync([]byte("before"), unhex(t, bad)); !errors.Is(err, ErrMalformed) || !bytes.HasPrefix(out, []byte("before")) {
			t.Errorf("%.20s: %q, %v", bad, out, err)
		}
	}
	if out, err := UnpackSync(nil, []byte{0, 8, 1, 1, 2, 0, 0, 0}); err != nil || len(out) != 8 {
		t.Errorf("records as they are: %x, %v", out, err)
	}
}

func TestSyncPackAllocatesNothing(t *testing.T) {
	list := likeness(1, 20)
	var p SyncPacker
	b, out := make([]byte, 0, 4096), make([]byte, 0, MaxSyncUnpacked)
	if n := testing.AllocsPerRun(20, func() {
		b = p.Begin(b[:0])
		for _, r := range list {
			b, _ = p.Append(b, r, 4096)
		}
		out, _ = UnpackSync(out[:0], b)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzSyncPack(f *testing.F) {
	var p SyncPacker
	b := p.Begin(nil)
	for _, r := range likeness(3, 10) {
		b, _ = p.Append(b, r, MaxSyncRecords)
	}
	f.Add(b)
	f.Add([]byte{packMark})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > MaxSyncRecords {
			return
		}
		out, err := UnpackSync(nil, b)
		if len(out) > max(MaxSyncUnpacked, len(b)) {
			t.Fatalf("%d bytes of %d", len(out), len(b))
		}
		if err != nil || len(b) == 0 || b[0] != packMark {
			return
		}
		// What was unpacked can be packed: whole records again, since lengths are all that was kept of them.
		var p SyncPacker
		again := p.Begin(nil)
		for at, rest := 0, b[1:]; len(rest) > 0; {
			n := 4 * (int(rest[0]) + 1)
			var ok bool
			if again, ok = p.Append(again, out[at:at+n], 1<<20); !ok {
				t.Fatalf("record of %d bytes", n)
			}
			said := 0
			for i := range n / 4 {
				said += int(rest[1+i/8] >> (i % 8) & 1)
			}
			at, rest = at+n, rest[1+(n/4+7)/8+4*said:]
		}
		if back, err := UnpackSync(nil, again); err != nil || !slices.Equal(back, out) {
			t.Fatalf("%x, then %x, %v", out, back, err)
		}
	})
}

func BenchmarkSyncPack(b *testing.B) {
	list := likeness(1, 30)
	var p SyncPacker
	buf, out := make([]byte, 0, 4096), make([]byte, 0, MaxSyncUnpacked)
	b.Run("pack", func(b *testing.B) {
		for b.Loop() {
			buf = p.Begin(buf[:0])
			for _, r := range list {
				buf, _ = p.Append(buf, r, 4096)
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(list)), "ns/record")
	})
	b.Run("unpack", func(b *testing.B) {
		for b.Loop() {
			out, _ = UnpackSync(out[:0], buf)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(list)), "ns/record")
	})
}
