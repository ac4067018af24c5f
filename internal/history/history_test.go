// SPDX-License-Identifier: Apache-2.0

package history

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-project/holdfast/internal/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

// open opens the history in dir in a given boot of the machine, and collects what it says.
func open(dir, boot string) (*Log, *bytes.Buffer) {
	var said bytes.Buffer
	return Open(Options{Dir: dir, BootID: boot, Booted: noon, Log: slog.New(slog.NewTextHandler(&said, nil))}), &said
}

func shut(t *testing.T, l *Log) {
	t.Helper()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func move(l *Log, to string) control.Failover {
	return l.Failover(control.Failover{Time: noon, From: "gw-a", To: to, Kind: "silence", GapMs: 31.5, Peer: "gw-a", Device: "db", Interface: "inside"})
}

func change(l *Log, reason string) {
	l.Change(control.Event{Seq: 9, Time: noon, Code: "down", Number: 107, Member: "gw-a", From: "ACTIVE", To: "DOWN", Reason: reason})
}

func TestSurvivesRestartAndReboot(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(dir, "boot-1")
	if c := l.Counter(); c.Why != WhyBoot || !c.Since.Equal(noon) || c.Count != 0 {
		t.Errorf("a new counter: %+v", c)
	}
	first := move(l, "gw-b")
	move(l, "gw-c")
	change(l, "one")
	shut(t, l)

	l, said := open(dir, "boot-1")
	if c := l.Counter(); c.Count != 2 || c.Number != 2 || c.Why != WhyBoot || !c.Since.Equal(noon) {
		t.Errorf("after a restart: %+v", c)
	}
	if got := l.Failovers(); len(got) != 2 || got[0] != first {
		t.Errorf("after a restart: %+v", got)
	}
	if got := l.Changes(); len(got) != 1 || got[0].Reason != "one" || got[0].Seq != 0 || got[0].Number != 107 {
		t.Errorf("after a restart: %+v", got)
	}
	l.Reset(true, false, noon.Add(time.Hour))
	if f := move(l, "gw-b"); f.Number != 3 {
		t.Errorf("number %d after a reset, want 3", f.Number)
	}
	shut(t, l)

	l, _ = open(dir, "boot-1")
	if c := l.Counter(); c.Count != 1 || c.Why != WhyReset || !c.Since.Equal(noon.Add(time.Hour)) || len(l.Failovers()) != 3 {
		t.Errorf("after a reset of the counter: %+v and %d failovers", c, len(l.Failovers()))
	}
	shut(t, l)

	l, _ = open(dir, "boot-2")
	if c := l.Counter(); c.Count != 0 || c.Why != WhyBoot || c.Number != 3 || len(l.Failovers()) != 3 {
		t.Errorf("after a reboot: %+v and %d failovers", c, len(l.Failovers()))
	}
	l.Reset(false, true, noon)
	if f := move(l, "gw-b"); f.Number != 4 || len(l.Failovers()) != 1 || l.Counter().Count != 1 {
		t.Errorf("after a reset of the history: number %d, %d failovers, counter %+v", f.Number, len(l.Failovers()), l.Counter())
	}
	shut(t, l)
	if text, _ := os.ReadFile(filepath.Join(dir, "history.jsonl")); strings.Contains(string(text), `"one"`) {
		t.Error("what was to be forgotten is on disk")
	}
	if said.Len() > 0 {
		t.Errorf("said %s", said)
	}
}

// TestTorn cuts the file at every byte of its last line.
func TestTorn(t *testing.T) {
	whole := func() []byte {
		dir := t.TempDir()
		l, _ := open(dir, "b")
		change(l, "one")
		shut(t, l)
		l, _ = open(dir, "b")
		change(l, "two")
		shut(t, l)
		text, err := os.ReadFile(filepath.Join(dir, "history.jsonl"))
		if err != nil {
			t.Fatal(err)
		}
		return text
	}()
	last := bytes.LastIndexByte(whole[:len(whole)-1], '\n') + 1
	for cut := last; cut <= len(whole); cut++ {
		for _, zeros := range []int{0, 100} {
			dir := t.TempDir()
			text := append(bytes.Clone(whole[:cut]), make([]byte, zeros)...)
			if err := os.WriteFile(filepath.Join(dir, "history.jsonl"), text, 0o600); err != nil {
				t.Fatal(err)
			}
			l, said := open(dir, "b")
			want := 1
			if cut >= len(whole)-1 && zeros == 0 || cut == len(whole) {
				want = 2
			}
			if got := len(l.Changes()); got != want {
				t.Fatalf("cut at %d of %d, %d zeros: %d changes, want %d", cut-last, len(whole)-last, zeros, got, want)
			}
			if torn := cut != last && cut < len(whole)-1 || zeros > 0; torn != (strings.Count(said.String(), "torn") == 1) {
				t.Fatalf("cut at %d of %d, %d zeros: said %q", cut-last, len(whole)-last, zeros, said)
			}
			change(l, "three")
			shut(t, l)
			l, said = open(dir, "b")
			if got := l.Changes(); len(got) != want+1 || got[want].Reason != "three" || said.Len() > 0 {
				t.Fatalf("cut at %d: afterwards %+v, said %q", cut-last, got, said)
			}
			shut(t, l)
		}
	}
}

func TestDamaged(t *testing.T) {
	for _, k := range []struct {
		name, old, new string
		keeps          int
	}{
		{"a line", `{"change":`, `{"chXnge:`, 1},
		{"zeros in the middle", `{"change":{"time"`, strings.Repeat("\x00", 17), 1},
		{"a later format", `{"format":1}`, `{"format":2}`, 0},
		{"an unknown line", `{"format":1}`, "{\"format\":1}\n{\"weather\":\"fine\"}", 2},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "history.jsonl")
		l, _ := open(dir, "b")
		change(l, "one")
		change(l, "two")
		shut(t, l)
		text, _ := os.ReadFile(path)
		bad := strings.Replace(string(text), k.old, k.new, 1)
		if bad == string(text) {
			t.Fatalf("%s: nothing to damage in %s", k.name, text)
		}
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		l, said := open(dir, "b")
		if got := len(l.Changes()); got != k.keeps {
			t.Errorf("%s: %d changes, want %d", k.name, got, k.keeps)
		}
		change(l, "three")
		shut(t, l)
		aside, err := os.ReadFile(path + ".damaged")
		if moved := k.keeps < 2; moved != (err == nil) || moved && string(aside) != bad || moved != strings.Contains(said.String(), "moved aside") {
			t.Errorf("%s: moved aside %v, said %q", k.name, err == nil, said)
		}
		if l, _ = open(dir, "b"); len(l.Changes()) != k.keeps+1 {
			t.Errorf("%s: afterwards %d changes", k.name, len(l.Changes()))
		}
		shut(t, l)
	}
}

func TestBounds(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(dir, "b")
	for i := range KeepChanges + 3000 {
		change(l, fmt.Sprint(i))
		if i < KeepFailovers+500 {
			move(l, "gw-b")
		}
		if i%700 == 0 {
			if err := l.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	check := func(l *Log) {
		t.Helper()
		f, c := l.Failovers(), l.Changes()
		if len(f) != KeepFailovers || f[0].Number != 501 || f[len(f)-1].Number != KeepFailovers+500 {
			t.Errorf("%d failovers from %d to %d", len(f), f[0].Number, f[len(f)-1].Number)
		}
		if len(c) != KeepChanges || c[0].Reason != "3000" || c[len(c)-1].Reason != "7999" {
			t.Errorf("%d changes from %s to %s", len(c), c[0].Reason, c[len(c)-1].Reason)
		}
		if n := l.Counter(); n.Count != KeepFailovers+500 {
			t.Errorf("counted %d", n.Count)
		}
	}
	check(l)
	shut(t, l)
	text, _ := os.ReadFile(filepath.Join(dir, "history.jsonl"))
	if n := bytes.Count(text, []byte("\n")); n > KeepFailovers+KeepChanges+slack+2 {
		t.Errorf("the file has %d lines", n)
	}
	l, _ = open(dir, "b")
	check(l)
	shut(t, l)
}

// TestDiskThatRefuses puts a directory where the file belongs, and takes it away again.
func TestDiskThatRefuses(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(dir, "b")
	path := filepath.Join(dir, "history.jsonl")
	if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		change(l, "one")
		if l.flush() == nil {
			t.Fatal("written over a directory")
		}
	}
	if r := <-l.Reports(); !r.Failed || !strings.Contains(r.Reason, "cannot write the history") {
		t.Errorf("reported %+v", r)
	}
	if len(l.Reports()) != 0 {
		t.Error("reported twice")
	}
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	shut(t, l)
	if r := <-l.Reports(); r.Failed {
		t.Errorf("reported %+v", r)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".history-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	l, _ = open(dir, "b")
	if got := len(l.Changes()); got != 2 {
		t.Errorf("%d changes, want 2", got)
	}
	shut(t, l)
}

// TestServeWritesInOrder adds from here while the writer writes, and reads the file after an orderly end.
// TestRemovedFileIsWrittenAnew: what is added after somebody has removed the file, its directory, or has put it aside, is not written into
// nothing: the whole history is there again. Keep needs nothing to be added.
func TestRemovedFileIsWrittenAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, _ := open(dir, "boot-1")
	file := filepath.Join(dir, "history.jsonl")
	for i, harm := range []func() error{
		func() error { return nil },
		func() error { return os.Remove(file) },
		func() error { return os.RemoveAll(dir) },
		func() error { return os.Rename(file, file+".1") },
	} {
		if err := harm(); err != nil {
			t.Fatal(err)
		}
		move(l, "gw-b")
		if err := l.flush(); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(file); err != nil || bytes.Count(text, []byte(`"failover"`)) != i+1 {
			t.Errorf("%d: %v: %s", i, err, text)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	l.Keep()
	shut(t, l)
	if text, err := os.ReadFile(file); err != nil || bytes.Count(text, []byte(`"failover"`)) != 4 {
		t.Errorf("%v: %s", err, text)
	}
}

func TestServeWritesInOrder(t *testing.T) {
	dir := t.TempDir()
	l, _ := open(dir, "b")
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- l.Serve(ctx) }()
	for i := range 3000 {
		change(l, fmt.Sprint(i))
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	change(l, "3000") // between the end of the writer and the close
	shut(t, l)
	l, _ = open(dir, "b")
	got := l.Changes()
	if len(got) != 3001 {
		t.Fatalf("%d changes", len(got))
	}
	for i, c := range got {
		if c.Reason != fmt.Sprint(i) {
			t.Fatalf("change %d is %s", i, c.Reason)
		}
	}
	shut(t, l)
}

// TestServeTriesAgain: a disk that refuses for a while gets everything afterwards, though nothing more happens, and is not tried at
// each event meanwhile.
func TestServeTriesAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		l, _ := open(dir, "b")
		path := filepath.Join(dir, "history.jsonl")
		if err := os.MkdirAll(filepath.Join(path, "in the way"), 0o700); err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- l.Serve(ctx) }()
		synctest.Wait()
		for i := range 3 { // attempts in vain, one with an event that comes while the writer waits
			if i == 1 {
				change(l, "one")
			}
			time.Sleep(retry + time.Millisecond)
			synctest.Wait()
		}
		if r := <-l.Reports(); !r.Failed {
			t.Errorf("reported %+v", r)
		}
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		change(l, "two")
		synctest.Wait()
		if _, err := os.Stat(path); err == nil {
			t.Error("tried at once: a full disk would be tried at each event")
		}
		time.Sleep(retry)
		synctest.Wait()
		if text, _ := os.ReadFile(path); bytes.Count(text, []byte(`"change"`)) != 2 {
			t.Errorf("the disk takes everything again, and has %q", text)
		}
		if len(l.Reports()) != 1 {
			t.Error("that the disk takes it again was not reported")
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		shut(t, l)
	})
}
