// SPDX-License-Identifier: Apache-2.0

package pulse

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/bpf"
)

func TestWordInSharedMemory(t *testing.T) {
	s, file, err := newSpoken()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	heard, err := listenTo(int(file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	at := int64(time.Hour)
	for _, tc := range []struct {
		name string
		wait time.Duration
		tell bool
	}{
		{"the first", 0, true},
		{"in time", 150 * time.Millisecond, false},
		{"just in time", wordLate, false},
		{"late: leases may have to be renewed again", wordLate + 1, true},
		{"in time again", time.Millisecond, false},
	} {
		at += int64(tc.wait)
		if tell := s.say(at); tell != tc.tell {
			t.Errorf("%s: told %v", tc.name, tell)
		}
		if heard.Load() != at {
			t.Errorf("%s: said %d, heard %d", tc.name, at, heard.Load())
		}
	}
	if err := unix.Ftruncate(int(file.Fd()), 0); err == nil {
		t.Error("memory that is shared can be taken away from who reads it")
	}
	for range 2 {
		if err := s.giveBack(); err != nil {
			t.Fatal(err)
		}
	}
	if s.say(at+int64(time.Hour)) || heard.Load() != at {
		t.Error("said after it was given back")
	}
}

// TestWordWithoutMessage: while main speaks in time it sends nothing, and its lease is renewed all the same.
func TestWordWithoutMessage(t *testing.T) {
	a, _ := newPair(t)
	a.start()
	stop := a.speak()
	defer stop()
	a.grantOwn(1)
	if err := a.pulse.Lease(0, 1, false); err != nil {
		t.Fatal(err)
	}
	a.serving(1)
	first := bpf.Boottime() // what was said in a message is stale soon
	await(a, "health after a word's life", func(h Health) bool {
		now := bpf.Boottime()
		if age := a.gate.Words().Lease(0).Age(now); h.OnTimeSince == 0 || age > int64(WordMax) {
			t.Fatalf("%v after the last message: on time since %d, the lease was renewed %v ago", time.Duration(now-first), h.OnTimeSince, time.Duration(age))
		}
		return now-first > int64(WordMax+wordLate)
	})
}
