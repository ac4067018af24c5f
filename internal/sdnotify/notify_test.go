// SPDX-License-Identifier: Apache-2.0

package sdnotify

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

func environment(m map[string]string) func(string) string {
	return func(k string) string { return m[k] }
}

func TestMessages(t *testing.T) {
	for _, socket := range []string{filepath.Join(t.TempDir(), "notify"), "@holdfast-test-" + strconv.Itoa(os.Getpid())} {
		l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = l.Close() }()
		n := New(environment(map[string]string{"NOTIFY_SOCKET": socket}))
		for _, c := range []struct {
			name string
			send func() error
			want string
		}{
			{"ready", func() error { return n.Ready("ACTIVE,\nterm 7") }, "READY=1\nSTATUS=ACTIVE, term 7"},
			{"watchdog", n.Watchdog, "WATCHDOG=1"},
			{"stopping", n.Stopping, "STOPPING=1"},
		} {
			if err := c.send(); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			buf := make([]byte, 256)
			if err := l.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
				t.Fatal(err)
			}
			k, err := l.Read(buf)
			if err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
			if got := string(buf[:k]); got != c.want {
				t.Errorf("%s: sent %q, want %q", c.name, got, c.want)
			}
		}
	}
}

func TestInterval(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		usec, pid string
		want      time.Duration
	}{
		{"", "", 0}, {"2000000", "", time.Second}, {"2000000", self, time.Second},
		{"2000000", "1", 0}, {"-5", "", 0}, {"soon", "", 0},
	} {
		n := New(environment(map[string]string{"WATCHDOG_USEC": c.usec, "WATCHDOG_PID": c.pid}))
		if got := n.Interval(); got != c.want {
			t.Errorf("WATCHDOG_USEC=%q WATCHDOG_PID=%q: interval %v, want %v", c.usec, c.pid, got, c.want)
		}
	}
}

func TestNobodyListens(t *testing.T) {
	if err := (Notifier{}).Ready("x"); err != nil {
		t.Errorf("without a service manager: %v", err)
	}
	n := New(environment(map[string]string{"NOTIFY_SOCKET": filepath.Join(t.TempDir(), "gone")}))
	if err := n.Watchdog(); err == nil {
		t.Error("a missing socket went unnoticed")
	}
}

func TestFromEnvironmentClearsIt(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/nowhere")
	t.Setenv("WATCHDOG_USEC", "1000")
	if n := FromEnvironment(); n.socket != "/nowhere" {
		t.Errorf("socket %q", n.socket)
	}
	if v, ok := os.LookupEnv("NOTIFY_SOCKET"); ok {
		t.Errorf("children would inherit NOTIFY_SOCKET=%s", v)
	}
}
