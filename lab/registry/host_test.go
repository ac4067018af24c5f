// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// pretend makes a setting of a file of the test's own.
func pretend(t *testing.T, value int) HostSetting {
	t.Helper()
	s := HostSetting(filepath.Join(t.TempDir(), "setting"))
	if err := write(s, value); err != nil {
		t.Fatal(err)
	}
	return s
}

func want(t *testing.T, s HostSetting, value int) {
	t.Helper()
	if got, err := read(s); err != nil || got != value {
		t.Fatalf("the setting is %d (%v), want %d", got, err, value)
	}
}

func open(t *testing.T, root string) *Entry {
	t.Helper()
	e, err := Open(root, "test")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRaiseAndClose(t *testing.T) {
	s, high := pretend(t, 100), pretend(t, 1000)
	e := open(t, t.TempDir())
	for _, least := range []int{300, 200, 500} {
		check(t, e.Raise(s, least))
	}
	check(t, e.Raise(high, 900))
	want(t, s, 500)
	want(t, high, 1000)
	if _, ok := e.Host[high]; ok {
		t.Error("a setting that was high enough is recorded")
	}
	check(t, e.Close())
	want(t, s, 100)
}

// record writes the record of another laboratory, which the given process is or was.
func record(t *testing.T, root string, r Record) {
	t.Helper()
	text, err := json.Marshal(r)
	check(t, err)
	check(t, os.WriteFile(filepath.Join(root, r.ID+".json"), text, 0o600))
}

func TestSweepRestoresWhatAKilledOneRaised(t *testing.T) {
	s, root := pretend(t, 700), t.TempDir()
	record(t, root, Record{ID: "hfl1", Host: map[HostSetting]int{s: 100}}) // of no process
	_, err := Sweep(root)
	check(t, err)
	want(t, s, 100)
}

func TestTheLastOneRestores(t *testing.T) {
	s, root := pretend(t, 100), t.TempDir()
	first := open(t, root)
	check(t, first.Raise(s, 500))
	// The second one is of this test's parent, which runs.
	start, err := startOf(os.Getppid())
	check(t, err)
	second := &Entry{Record{ID: "hfl2", PID: os.Getppid(), Start: start}, root}
	record(t, root, second.Record)
	check(t, second.Raise(s, 700))
	if second.Host[s] != 100 {
		t.Errorf("the second one remembers %d: what the first one made of it", second.Host[s])
	}
	check(t, first.Close())
	want(t, s, 700)
	check(t, second.Close())
	want(t, s, 100)
}
