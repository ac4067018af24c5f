// SPDX-License-Identifier: Apache-2.0

package flow

import (
	"errors"
	"strings"
	"testing"
)

// initials keeps the first letter of every item behind a mark. It does not know items with an exclamation mark.
type initials struct{}

func (*initials) Begin(dst []byte) []byte { return append(dst, '#') }

func (*initials) Append(dst, data []byte, size int) ([]byte, bool) {
	if len(dst) == size || data[len(data)-1] == '!' {
		return dst, false
	}
	return append(dst, data[0]), true
}

// TestPacking: what fits is packed together, what cannot be goes as it is, in its place, and only while packing is on.
func TestPacking(t *testing.T) {
	s := newSender(t, SenderConfig{Payload: 6, Packer: &initials{}})
	s.SetPeer(0, 1, 77)
	all(0, s)
	for _, c := range []struct{ items, packed, plain string }{
		{"one nil every two three", "#onett", "onenil every two three"},
		{"four five fifty boom! eight! nine", "#fff boom! eight! #n", "four five fifty boom! eight! nine"},
		{"! oh! a", "!oh!a", "!oh!a"}, // a batch that begins as it is goes on so
	} {
		for i, want := range []string{c.plain, c.packed, c.plain} {
			s.SetPacking(i == 1)
			for key, item := range strings.Fields(c.items) {
				add(t, s, 0, uint64(key), News, item)
			}
			s.Flush()
			var got []string
			for _, b := range all(0, s) {
				got = append(got, string(b.Payload))
			}
			if strings.Join(got, " ") != want {
				t.Errorf("%s: sent %q, want %q", c.items, got, want)
			}
		}
	}
}

// TestPackingKeepsItsPlace: a queue that is emptied goes on as it was told.
func TestPackingKeepsItsPlace(t *testing.T) {
	s := newSender(t, SenderConfig{Packer: &initials{}})
	s.SetPacking(true)
	s.SetPeer(0, 1, 77)
	add(t, s, 0, 1, News, "lost")
	s.RemovePeer(1)
	s.SetPeer(0, 1, 78)
	add(t, s, 0, 2, News, "one")
	s.Flush()
	var got string
	for _, b := range all(0, s) {
		got += string(b.Payload)
	}
	if got != "#o" {
		t.Errorf("sent %q, want %q", got, "#o")
	}
}

// TestBulkPacking: credit counts what is sent, and what an item was is not lost when the caller uses its memory again.
func TestBulkPacking(t *testing.T) {
	s, err := NewBulkSender(0, BulkConfig{Session: aSession, Payload: 6, Packer: &initials{}})
	if err != nil {
		t.Fatal(err)
	}
	s.Credit(0, Credit{Log: aSession, Limit: 100})
	item := make([]byte, 0, 6)
	for _, it := range strings.Fields("one nil every two three four boom! five") {
		item = append(item[:0], it...)
		if ok, err := s.Offer(0, item); !ok || err != nil {
			t.Fatal(it, ok, err)
		}
	}
	if _, err := s.Offer(0, make([]byte, 7)); !errors.Is(err, ErrTooLong) {
		t.Error(err)
	}
	if got, want := s.Room(), uint64(100-len("#onett#fboom!#f")); got != want {
		t.Errorf("room for %d more, want %d", got, want)
	}
	s.Close()
	var got []string
	for {
		b, ok := s.Next(0)
		if !ok {
			break
		}
		if b.Sequence != 0 {
			got = append(got, string(b.Payload))
		}
	}
	if want := "#onett #f boom! #f"; strings.Join(got, " ") != want {
		t.Errorf("sent %q, want %q", got, want)
	}
}
