// SPDX-License-Identifier: Apache-2.0

package node

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/control"
	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/members"
)

func TestStore(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s, err := openStore(dir, nil)
	if err != nil || s.TermCeiling != 0 || s.AdminDown {
		t.Fatalf("a new member remembers %+v, %v", s.stored, err)
	}
	if err := s.reserve(7); err != nil {
		t.Fatal(err)
	}
	if err := s.setAdminDown(true); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	again, err := openStore(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if again.TermCeiling <= 7 || !again.AdminDown {
		t.Errorf("after a restart: %+v", again.stored)
	}
	before, err := os.Stat(again.path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.reserve(again.TermCeiling); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(again.path); err != nil || !after.ModTime().Equal(before.ModTime()) || !os.SameFile(before, after) {
		t.Error("a term below the ceiling was written to disk: a claim would wait for it")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*.json.*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// TestStarts: a daemon that adopts its gate uses no terms up, however often it is started; one with a new gate begins above all that were used; and
// when all are used up, and no gate is left to remember them, they begin anew.
func TestStarts(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	start := func(gate uint64, adopted bool, fence uint32) (term, ceiling uint32) {
		s, err := openStore(dir, nil)
		if err != nil {
			t.Fatal(err)
		}
		if term, err = s.begin(gate, adopted, fence); err != nil {
			t.Fatal(err)
		}
		if s.ceiling.Load() <= max(term, fence) {
			t.Fatalf("the term after %d is not reserved: the ceiling is %d", max(term, fence), s.ceiling.Load())
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		return term, s.TermCeiling
	}
	if term, _ := start(11, false, 0); term != 0 {
		t.Errorf("a new member has used term %d", term)
	}
	_, before := start(11, true, 900)
	if term, ceiling := start(11, true, 5000); term != 0 || ceiling <= before {
		t.Errorf("what the gate's fence knows is not above the ceiling: after %d, %d", term, ceiling)
	}
	_, used := start(11, true, 5000)
	first, ceiling := start(22, false, 0)
	if first != used {
		t.Errorf("a new gate begins after term %d, up to %d may be used", first, used)
	}
	for range 40 {
		if term, now := start(22, true, 0); term != first || now != ceiling {
			t.Fatalf("another daemon on the same gate: after term %d, ceiling %d, want %d and %d", term, now, first, ceiling)
		}
	}
	if term, _ := start(33, true, 0); term != ceiling { // the file is of another gate, or of an earlier build
		t.Errorf("a gate of which the file knows nothing begins after term %d, want %d", term, ceiling)
	}
	start(33, true, members.MaxTerm)
	if term, _ := start(33, true, members.MaxTerm); term != ceiling {
		t.Errorf("terms begin anew after %d while a gate remembers them", term)
	}
	if term, now := start(44, false, 0); term != 0 || now > 2*termReserve {
		t.Errorf("terms do not begin anew with all gates: after %d, ceiling %d", term, now)
	}
}

// TestStoreUnreadable: a directory in the file's place gives an error for every read, as a disk does that has failed.
func TestStoreUnreadable(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "member.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := openStore(dir, nil); err == nil || !strings.Contains(err.Error(), "name another state-dir") || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}

func TestStoreDamaged(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "member.json"), []byte("{\"term_ceiling\": 12"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := openStore(dir, nil)
	if err == nil || !strings.Contains(err.Error(), "move it away") {
		t.Errorf("a damaged file gave %v", err)
	}
}

// TestStateIsWrittenAnew: what somebody has removed is there again, with its directory, its lock and the history, whether or not something is
// to be written; what never was there is not missed.
func TestStateIsWrittenAnew(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	s := remember(t, dir)
	s.keep()
	if _, err := os.Stat(s.path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a member that remembers nothing has a file: %v", err)
	}
	told := 0
	s.remade = func() { told++ }
	if err := s.reserve(7); err != nil {
		t.Fatal(err)
	}
	for i, k := range []struct {
		harm, heal func() error
		down       bool
	}{
		{func() error { return os.RemoveAll(dir) }, func() error { s.keep(); return nil }, false},
		{func() error { return os.RemoveAll(dir) }, func() error { return s.setAdminDown(true) }, true},
		{func() error { return os.Remove(s.path) }, func() error { s.keep(); return nil }, true},
	} {
		if err := errors.Join(k.harm(), k.heal()); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(s.path)
		var got stored
		if err := errors.Join(err, json.Unmarshal(text, &got)); err != nil || got.TermCeiling <= 7 || got.AdminDown != k.down || told != i+1 {
			t.Errorf("%d: %+v, %v, told %d times", i, got, err, told)
		}
		if other, err := lockFileWithin(filepath.Join(dir, "lock"), 0); err == nil {
			t.Errorf("%d: another daemon can be this member", i)
			_ = other.Close()
		}
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // no directory can be made there
		t.Fatal(err)
	}
	if err := s.setAdminDown(false); err == nil || !s.AdminDown {
		t.Errorf("believed to be written: %v, %t", err, s.AdminDown)
	}
}

// TestReportsSurviveAFullDisk: what is reported while the disk refuses is written when it no longer does, though nothing more is reported.
func TestReportsSurviveAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "state")
		s := remember(t, dir)
		report := func(name, reason string) {
			s.noteReport(control.DeviceRequest{Action: "report", Name: name, Status: "problem", Reason: reason})
		}
		if err := s.keepDevices([]control.DeviceRequest{register("db", "ok", true), register("web", "ok", true)}); err != nil {
			t.Fatal(err)
		}
		away := dir + ".away"
		if err := errors.Join(os.Rename(dir, away), os.WriteFile(dir, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		go func() { ended <- s.serve(ctx) }()
		report("db", "first")
		report("web", "only")
		time.Sleep(reportsEvery + time.Millisecond)
		report("db", "newer")
		if err := s.keepDevices([]control.DeviceRequest{register("web", "init", true)}); err == nil {
			t.Error("registered without a disk")
		}
		time.Sleep(reportsAgain + time.Millisecond)
		if err := errors.Join(os.Remove(dir), os.Rename(away, dir)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(reportsAgain + time.Millisecond)
		synctest.Wait()
		got := map[string]string{}
		for _, r := range s.kept() {
			got[r.Name] = r.Status + " " + r.Reason
		}
		if want := map[string]string{"db": "problem newer", "web": "problem only"}; !reflect.DeepEqual(got, want) {
			t.Errorf("on disk: %v, want %v", got, want)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestReportsThatNeverPause: reports that change more often than they are written are written all the same.
func TestReportsThatNeverPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := remember(t, t.TempDir())
		if err := s.keepDevices([]control.DeviceRequest{register("db", "ok", true)}); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		ctx, stop := context.WithCancel(t.Context())
		go func() { ended <- s.serve(ctx) }()
		for i := range 4 {
			s.noteReport(control.DeviceRequest{Action: "report", Name: "db", Status: "problem", Reason: strconv.Itoa(i)})
			time.Sleep(reportsEvery / 2)
		}
		synctest.Wait()
		if got := s.kept()[0]; got.Status != "problem" {
			t.Errorf("after two seconds of reports %q is on disk", got.Status)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestDiskThatRefuses: a daemon on a disk that has become read-only, or full, is the member all the same, and alone.
func TestDiskThatRefuses(t *testing.T) {
	labtest.Require(t, "mount", "umount")
	dir := filepath.Join(t.TempDir(), "state")
	for _, there := range []bool{true, false} { // the file to be locked
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if there {
			if err := os.WriteFile(filepath.Join(dir, "lock"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
		if err := unix.Mount("", dir, "", unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
			t.Fatal(err)
		}
		s, err := openStore(dir, nil)
		if err != nil {
			t.Fatalf("lock there: %v: %v", there, err)
		}
		if err := s.reserve(1); err == nil {
			t.Error("a read-only disk has taken a term")
		}
		if _, err := lockFileWithin(filepath.Join(dir, "lock"), 0); err == nil {
			t.Errorf("lock there: %v: a second daemon is this member", there)
		}
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(unix.Unmount(dir, 0), os.RemoveAll(dir)); err != nil {
			t.Fatal(err)
		}
	}
}
