// SPDX-License-Identifier: Apache-2.0

package node

import (
	"log/slog"
	"reflect"
	"testing"
	"time"

	"github.com/holdfast-project/holdfast/internal/control"
)

func remember(t *testing.T, dir string) *store {
	t.Helper()
	s, err := openStore(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func register(name, status string, persist bool) control.DeviceRequest {
	return control.DeviceRequest{Action: "register", Name: name, Status: status, Timeout: control.Duration(time.Second), Persistent: persist}
}

// TestPersistentDevices: a registration with --persist is there after a restart as it was last reported, and after a reboot as it was
// registered; any other is gone.
func TestPersistentDevices(t *testing.T) {
	dir := t.TempDir()
	s := remember(t, dir)
	again := func() map[string]string {
		t.Helper()
		if err := s.close(); err != nil {
			t.Fatal(err)
		}
		s = remember(t, dir)
		got := map[string]string{}
		for _, r := range s.kept() {
			got[r.Name] = r.Status + " " + r.Reason
		}
		return got
	}
	check := func(what string, got, want map[string]string) {
		t.Helper()
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	if err := s.keepDevices([]control.DeviceRequest{register("db", "init", true), register("web", "ok", true), register("batch", "ok", false)}); err != nil {
		t.Fatal(err)
	}
	check("registered", again(), map[string]string{"db": "init ", "web": "ok "})
	for _, name := range []string{"db", "batch"} {
		s.noteReport(control.DeviceRequest{Action: "report", Name: name, Status: "problem", Reason: "full"})
	}
	if err := s.writeReports(); err != nil {
		t.Fatal(err)
	}
	check("reported", again(), map[string]string{"db": "problem full", "web": "ok "})
	s.bootID = "another"
	got := map[string]string{}
	for _, r := range s.kept() {
		got[r.Name] = r.Status + " " + r.Reason
	}
	check("after a reboot", got, map[string]string{"db": "init ", "web": "ok "})
	s.bootID = bootID()

	if err := s.keepDevices([]control.DeviceRequest{{Action: "unregister", Name: "db"}, {Action: "unregister", Name: "web", Persistent: true}}); err != nil {
		t.Fatal(err)
	}
	check("unregistered, one for good", again(), map[string]string{"db": "problem full"})
	s.noteReport(control.DeviceRequest{Action: "report", Name: "db", Status: "problem", Reason: "old"})
	if err := s.keepDevices([]control.DeviceRequest{register("db", "ok", true)}); err != nil {
		t.Fatal(err)
	}
	if err := s.writeReports(); err != nil {
		t.Fatal(err)
	}
	check("registered anew after a report", again(), map[string]string{"db": "ok "})
}

// TestUnchangedReportsTouchNoDisk: a program that reports the same a thousand times a second keeps no disk busy.
func TestUnchangedReportsTouchNoDisk(t *testing.T) {
	s := remember(t, t.TempDir())
	if err := s.keepDevices([]control.DeviceRequest{register("db", "ok", true)}); err != nil {
		t.Fatal(err)
	}
	s.noteReport(control.DeviceRequest{Name: "db", Status: "ok"})
	if err := s.writeReports(); err != nil {
		t.Fatal(err)
	}
	s.path = "/dev/null/member.json" // any further write fails
	s.noteReport(control.DeviceRequest{Name: "db", Status: "ok"})
	if err := s.writeReports(); err != nil {
		t.Error(err)
	}
	if err := s.keepDevices([]control.DeviceRequest{{Action: "unregister", Name: "db"}}); err != nil {
		t.Error(err)
	}
	if err := s.keepDevices([]control.DeviceRequest{register("x", "ok", true)}); err == nil || s.keeps("x") {
		t.Errorf("a registration that cannot be remembered counts as remembered: %v", err)
	}
}

func TestTooManyRecoveries(t *testing.T) {
	var f flips
	recover := func(now int64) time.Duration {
		wait := f.wait(now)
		if wait == 0 {
			f = f.recover(now)
		}
		return wait
	}
	now := int64(time.Hour)
	for i := range flipBudget {
		if wait := recover(now); wait != 0 {
			t.Fatalf("recovery %d has to wait %v", i, wait)
		}
	}
	if wait := recover(now + int64(time.Second)); wait != flipRefill-time.Second {
		t.Errorf("one too many waits %v", wait)
	}
	if wait := recover(now + int64(flipRefill)); wait != 0 {
		t.Errorf("after %v it still waits %v", flipRefill, wait)
	}
	if wait := recover(now + int64(flipRefill)); wait == 0 {
		t.Error("one refill gave two recoveries")
	}
	now += int64(time.Hour)
	for i := range flipBudget {
		if wait := recover(now); wait != 0 {
			t.Errorf("after a quiet hour recovery %d has to wait %v", i, wait)
		}
	}
}
