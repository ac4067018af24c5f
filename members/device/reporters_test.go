// SPDX-License-Identifier: Apache-2.0

package device

import (
	"errors"
	"testing"
	"time"
)

// Several monitors feed one device: the worst status wins, and the reasons for it are joined.
func TestSeveralReportersOfOneDevice(t *testing.T) {
	r := NewRegistry(1)
	for _, step := range []struct {
		reporter string
		status   Status
		reason   string
		want     Status
		text     string
	}{
		{"ping", Init, "no answer yet", Init, "ping: no answer yet"},
		{"bgp", Init, "", Init, "bgp; ping: no answer yet"},
		{"ping", OK, "", Init, "bgp"},
		{"bgp", OK, "", OK, ""},
		{"ping", Problem, "no answer", Problem, "ping: no answer"},
		{"bgp", Problem, "2 prefixes of 5", Problem, "bgp: 2 prefixes of 5; ping: no answer"},
		{"bgp", Init, "starts", Problem, "ping: no answer"},
		{"routing", Problem, "by hand", Problem, "ping: no answer; by hand"},
		{"", Problem, "without a name", Problem, "without a name; ping: no answer; by hand"},
	} {
		if err := r.RegisterBy(2, Routing, step.reporter, 0, step.status, step.reason); step.reporter == "" {
			if !errors.Is(err, ErrBuiltin) {
				t.Errorf("a user registers a built-in device: %v", err)
			}
			err = r.Report(2, Routing, step.status, step.reason)
			if err != nil {
				t.Fatal(err)
			}
		} else if err != nil {
			t.Fatal(err)
		}
		if d, _ := r.Get(Routing); d.Status != step.want || d.Reason != step.text {
			t.Errorf("after %q says %v: %v %q, want %v %q", step.reporter, step.status, d.Status, d.Reason, step.want, step.text)
		}
	}
	for _, by := range []string{"", "ping", "bgp", "routing"} {
		if err := r.UnregisterBy(3, Routing, by); err != nil {
			t.Error(err)
		}
	}
	if d, ok := r.Get(Routing); !ok || d.Status != OK || len(d.Reports) != 0 {
		t.Errorf("without reporters: %+v", d)
	}
	if err := r.UnregisterBy(3, Routing, "ping"); !errors.Is(err, ErrUnknown) {
		t.Errorf("a reporter is withdrawn twice: %v", err)
	}
}

func TestLastReporterTakesItsDeviceAlong(t *testing.T) {
	var r Registry
	for _, by := range []string{"a", "b"} {
		if err := r.RegisterBy(1, "uplink", by, 0, Problem, by); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.UnregisterBy(2, "uplink", "a"); err != nil {
		t.Fatal(err)
	}
	if d, ok := r.Get("uplink"); !ok || d.Reason != "b: b" {
		t.Fatalf("%v %+v", ok, d)
	}
	if err := r.UnregisterBy(3, "uplink", "b"); err != nil {
		t.Fatal(err)
	}
	if _, ok := r.Get("uplink"); ok {
		t.Error("the device stays without a reporter")
	}
}

// Each reporter has its own timeout: the others' reports do not excuse its silence.
func TestOneReporterOfSeveralFallsSilent(t *testing.T) {
	var r Registry
	for _, by := range []string{"a", "b", "never"} {
		timeout := 50 * time.Nanosecond
		if by == "never" {
			timeout = 0
		}
		if err := r.RegisterBy(100, "uplink", by, timeout, OK, ""); err != nil {
			t.Fatal(err)
		}
	}
	r.Expire(100)
	if err := r.ReportBy(140, "uplink", "a", OK, ""); err != nil {
		t.Fatal(err)
	}
	if next := r.Expire(150); next != 190 {
		t.Errorf("due at %d, want 190", next)
	}
	if d, _ := r.Get("uplink"); d.Status != Problem || d.Reason != "b: no report for 50ns" || !d.TimedOut || d.Timeout != 50 {
		t.Errorf("%+v", d)
	}
	if err := r.ReportBy(160, "uplink", "b", OK, ""); err != nil {
		t.Fatal(err)
	}
	if d, _ := r.Get("uplink"); d.Status != OK || d.TimedOut {
		t.Errorf("%+v", d)
	}
	if next := r.Expire(161); next != 190 {
		t.Errorf("due at %d, want 190", next)
	}
}

func TestEveryBuiltinDeviceSaysWhatItsProblemMeans(t *testing.T) {
	r := NewRegistry(1)
	for _, name := range []string{ProblemNotification, InitDevice, InterfaceActiveCheck, FullSync, Policy, Daemon, Routing,
		RecoveryDelay, AdminDown, Version, Config} {
		if d, ok := r.Get(name); !ok || !d.Builtin || d.Meaning == "" {
			t.Errorf("%s: %v %+v", name, ok, d)
		}
	}
	if r.Len() != 11 {
		t.Errorf("%d built-in devices", r.Len())
	}
}
