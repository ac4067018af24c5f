// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"
)

// FuzzBackup: a backup may come from anywhere. Reading one never panics nor allocates for what is not there, and one that is taken is what Backup would
// write of what was read.
func FuzzBackup(f *testing.F) {
	write := func(items ...Item) []byte {
		var b bytes.Buffer
		b.WriteString(backupMagic)
		for _, item := range items {
			if err := writeItem(&b, item); err != nil {
				f.Fatal(err)
			}
		}
		b.Write(binary.BigEndian.AppendUint64(make([]byte, 4), uint64(len(items))))
		sum := sha256.Sum256(b.Bytes())
		return append(b.Bytes(), sum[:]...)
	}
	f.Add(write())
	f.Add(write(Item{"!blob/00/000000", []byte("x")}, Item{"a", nil}, Item{"b", []byte("2")}))
	f.Add(write(Item{"b", nil}, Item{"a", nil}))
	f.Add(write(Item{stateKey, nil}))
	f.Fuzz(func(t *testing.T, b []byte) {
		in := &backupReader{r: bufio.NewReader(bytes.NewReader(b)), sum: sha256.New()}
		if in.magic() != nil {
			return
		}
		var items []Item
		for {
			batch, end, err := in.batch()
			if err != nil {
				return
			}
			for _, w := range batch {
				items = append(items, Item{w.key, w.value})
			}
			if end {
				break
			}
		}
		if again := write(items...); !bytes.Equal(again, b) {
			t.Fatalf("%x was read, and is written as %x", b, again)
		}
	})
}
