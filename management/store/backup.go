// SPDX-License-Identifier: Apache-2.0

package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
)

// A backup is the magic, then each key with its value in the order of keys, then a length of 0, the number of keys, and the SHA-256 of
// everything before it. Lengths and the number are 4 and 8 bytes, big-endian.
const backupMagic = "\x89HFB\r\n\x1a\n\x00\x00\x00\x01"

// backedUp leaves out what is this store's own and no record: its state, and leases.
func backedUp(key string) bool {
	return !strings.HasPrefix(key, "!") || strings.HasPrefix(key, blobs)
}

// Backup implements Store.
func (b base) Backup(ctx context.Context, w io.Writer) error {
	begun := false
	return b.view(ctx, func(s snapshot) error {
		if begun {
			return fmt.Errorf("store: backup: %w: the state to be written is no longer there; begin again", ErrUnavailable)
		}
		begun = true
		if _, err := ready(s); err != nil {
			return err
		}
		buffered := bufio.NewWriterSize(w, 256<<10)
		sum := sha256.New()
		out := io.MultiWriter(buffered, sum)
		if _, err := io.WriteString(out, backupMagic); err != nil {
			return fmt.Errorf("store: backup: %w", err)
		}
		var count uint64
		for item, err := range s.scan("", "") {
			if err != nil {
				return err
			}
			if !backedUp(item.Key) {
				continue
			}
			if err := writeItem(out, item); err != nil {
				return fmt.Errorf("store: backup: %w", err)
			}
			count++
		}
		end := binary.BigEndian.AppendUint64(make([]byte, 4), count)
		_, err := out.Write(end)
		if err == nil {
			_, err = buffered.Write(sum.Sum(nil))
		}
		if err == nil {
			err = buffered.Flush()
		}
		if err != nil {
			return fmt.Errorf("store: backup: %w", err)
		}
		return nil
	})
}

func writeItem(w io.Writer, item Item) error {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(item.Key)))
	b = append(b, item.Key...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(item.Value)))
	_, err := w.Write(append(b, item.Value...))
	return err
}

// Restore implements Store. It writes as it reads, so that a backup may be longer than the memory: until its end is found right the store says
// that it is restoring.
func (b base) Restore(ctx context.Context, r io.Reader, last func(Tx) error) error {
	if err := b.beginRestore(ctx); err != nil {
		return err
	}
	in := &backupReader{r: bufio.NewReaderSize(r, 256<<10), sum: sha256.New()}
	if err := in.magic(); err != nil {
		return err
	}
	for {
		batch, end, err := in.batch()
		if err != nil {
			return err
		}
		err = b.update(ctx, func(snapshot) ([]write, error) { return batch, nil })
		if err != nil {
			return err
		}
		if end {
			break
		}
	}
	return b.update(ctx, func(s snapshot) ([]write, error) {
		t := &tx{under: s, writes: map[string][]byte{}}
		if last != nil {
			if err := last(t); err != nil {
				return nil, err
			}
		}
		if err := t.setState(state{Format: format}); err != nil {
			return nil, err
		}
		return t.result()
	})
}

// beginRestore marks the store, and removes what a restore that was not finished left.
func (b base) beginRestore(ctx context.Context) error {
	for more := true; more; {
		err := b.update(ctx, func(s snapshot) ([]write, error) {
			st, fresh, err := readState(s)
			if err != nil {
				return nil, err
			}
			t := &tx{under: s, writes: map[string][]byte{}}
			more = false
			for item, err := range s.scan("", "") {
				switch {
				case err != nil:
					return nil, err
				case !backedUp(item.Key):
					continue
				case !st.Restoring:
					return nil, fmt.Errorf("store: %w: restore into a new one, and point the servers to it", ErrNotEmpty)
				}
				if more = len(t.writes) == MaxOps-1; more {
					break
				}
				t.writes[item.Key] = nil
			}
			if fresh || !st.Restoring {
				if err := t.setState(state{Format: format, Restoring: true}); err != nil {
					return nil, err
				}
			}
			return t.result()
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// backupReader reads a backup in batches that fit a transaction. Nothing is allocated for a length before it is found to be within bounds.
type backupReader struct {
	r     *bufio.Reader
	sum   hash.Hash
	count uint64
	last  string
}

func damagedBackup(format string, args ...any) error {
	return fmt.Errorf("store: the backup is %w: %s", ErrDamaged, fmt.Sprintf(format, args...))
}

// read fills b from the part that the sum is over.
func (in *backupReader) read(b []byte) error {
	_, err := io.ReadFull(in.r, b)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return damagedBackup("it is cut off after %d records", in.count)
	case err != nil:
		return fmt.Errorf("store: backup: %w", err)
	}
	in.sum.Write(b)
	return nil
}

func (in *backupReader) magic() error {
	b := make([]byte, len(backupMagic))
	if err := in.read(b); err != nil {
		return err
	}
	if string(b) != backupMagic {
		return fmt.Errorf("store: %w: this is no backup of version 1", ErrFormat)
	}
	return nil
}

func (in *backupReader) length(most int) (int, error) {
	b := make([]byte, 4)
	if err := in.read(b); err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(b)
	if n > uint32(most) {
		return 0, damagedBackup("a length of %d after %d records", n, in.count)
	}
	return int(n), nil
}

func (in *backupReader) batch() (writes []write, end bool, err error) {
	size := 0
	for len(writes) < MaxOps && size < MaxTx-MaxValue-MaxKey {
		n, err := in.length(MaxKey)
		if err != nil {
			return nil, false, err
		}
		if n == 0 {
			return writes, true, in.end()
		}
		key := make([]byte, n)
		if err := in.read(key); err != nil {
			return nil, false, err
		}
		if n, err = in.length(MaxValue); err != nil {
			return nil, false, err
		}
		value := make([]byte, n)
		if err := in.read(value); err != nil {
			return nil, false, err
		}
		if string(key) <= in.last || !backedUp(string(key)) || checkKey(string(key)) != nil {
			return nil, false, damagedBackup("key %.80q follows %.80q", key, in.last)
		}
		in.last = string(key)
		in.count++
		size += len(key) + len(value)
		writes = append(writes, write{string(key), value})
	}
	return writes, false, nil
}

func (in *backupReader) end() error {
	b := make([]byte, 8)
	if err := in.read(b); err != nil {
		return err
	}
	if n := binary.BigEndian.Uint64(b); n != in.count {
		return damagedBackup("it says that it has %d records, and has %d", n, in.count)
	}
	want := in.sum.Sum(nil)
	sum := make([]byte, sha256.Size)
	if err := in.read(sum); err != nil {
		return err
	}
	if string(sum) != string(want) {
		return damagedBackup("its sum does not match")
	}
	if _, err := in.r.ReadByte(); !errors.Is(err, io.EOF) {
		return damagedBackup("bytes follow its end")
	}
	return nil
}
