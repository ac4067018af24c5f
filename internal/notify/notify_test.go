// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/internal/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// notifier serves until the test ends, with short pauses.
func notifier(t *testing.T, specs ...Spec) *Notifier {
	t.Helper()
	n := idle(t)
	serve(t, n, specs...)
	return n
}

// idle does not serve yet.
func idle(t *testing.T) *Notifier {
	t.Helper()
	n := New(Options{Cluster: "edge", Member: "gw-b", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	n.backoff, n.settle = 10*time.Millisecond, 100*time.Millisecond
	return n
}

// serve serves until the test ends or calls end, after which the counters are final: they count what a receiver may have read before.
func serve(t *testing.T, n *Notifier, specs ...Spec) (end func()) {
	t.Helper()
	n.Configure(specs)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- n.Serve(ctx) }()
	end = sync.OnceFunc(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return end
}

// datagrams listens on a unix or UDP address and returns what comes, one a call.
func datagrams(t *testing.T, network, address string) (where string, next func() []byte) {
	t.Helper()
	c, err := net.ListenPacket(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.LocalAddr().String(), func() []byte {
		t.Helper()
		b := make([]byte, 65536)
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		k, _, err := c.ReadFrom(b)
		if err != nil {
			t.Fatal(err)
		}
		return b[:k]
	}
}

const takeoverText = `active: gw-b inside interface-active-check STANDBY -> ACTIVE(!): gw-a: "inside" has no carrier [eth1] \ größer`

var takeoverParams = map[string]string{"cluster": "edge", "reporter": "gw-b", "code": "102", "event": "active", "severity": "info", "member": "gw-b", "peer": "gw-a",
	"interface": "inside", "device": "interface-active-check", "from": "STANDBY", "to": "ACTIVE(!)", "term": "8", "gap_ms": "31.5"}

func checkSyslog(t *testing.T, b []byte) {
	t.Helper()
	m, err := parseSyslog(b)
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	if m.pri != 3*8+6 || !m.time.Equal(takeover.Time) || m.host != host || m.app != "holdfastd" || m.pid != os.Getpid() || m.id != "active" ||
		m.sdID != "holdfast@32473" || m.text != takeoverText || !m.utf8 {
		t.Errorf("%+v", m)
	}
	if !reflect.DeepEqual(m.params, takeoverParams) {
		t.Errorf("structured data %v, want %v", m.params, takeoverParams)
	}
}

func TestSyslogDatagrams(t *testing.T) {
	for network, address := range map[string]string{"udp": "127.0.0.1:0", "unixgram": filepath.Join(t.TempDir(), "log")} {
		where, next := datagrams(t, network, address)
		n := notifier(t, Spec{Name: network, Kind: Syslog, Network: network, Address: where, Facility: 3})
		n.Notify(takeover, "")
		checkSyslog(t, next())
	}
}

// TestSyslogEscapes sends values with everything that structured data must escape.
func TestSyslogEscapes(t *testing.T) {
	for _, odd := range []string{`"`, `\`, `]`, `a\]"b`, "two\nlines", "tab\there", "gr\xffoss", strings.Repeat("ü", 300)} {
		s := &syslog{facility: 16}
		m, err := parseSyslog([]byte(s.encode(&message{Event: control.Event{Code: "down", Number: 107, Severity: "warning", Device: odd, Reason: odd}, origin: origin{host: "a host"}})))
		if err != nil {
			t.Errorf("%q: %v", odd, err)
			continue
		}
		if want := clip(line(odd), 256); m.params["device"] != want || m.pri != 16*8+4 || m.host != "ahost" {
			t.Errorf("%q is read as %q, %+v", odd, m.params["device"], m)
		}
	}
	if got := (&syslog{}).encode(&message{Event: control.Event{Reason: strings.Repeat("ü", 3000)}}); len(got) > maxSyslog || !strings.HasSuffix(got, "ü") {
		t.Errorf("%d bytes", len(got))
	}
}

// TestSyslogOverTCP reads octet counts, closes the connection, and expects the next one to bring what came meanwhile.
func TestSyslogOverTCP(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := notifier(t, Spec{Name: "tcp", Kind: Syslog, Network: "tcp", Address: l.Addr().String(), Facility: 3})
	for range 3 {
		n.Notify(takeover, "")
		n.Notify(takeover, "")
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		r := bufio.NewReader(c)
		for range 2 {
			count, err := r.ReadString(' ')
			length, e := strconv.Atoi(strings.TrimSuffix(count, " "))
			if err != nil || e != nil {
				t.Fatal(count, err, e)
			}
			b := make([]byte, length)
			if _, err := io.ReadFull(r, b); err != nil {
				t.Fatal(err)
			}
			checkSyslog(t, b)
		}
		_ = c.Close()
	}
	_ = l.Close()
	n.Notify(takeover, "")
	n.Notify(takeover, "")
	if r := <-n.Reports(); !r.Failed || r.Sink != "tcp" || !strings.Contains(r.Reason, "cannot be reached") {
		t.Errorf("reported %+v", r)
	}
	if c := n.Counters()[0]; c.Sent < 6 || c.Failed == 0 || c.Dropped != 0 {
		t.Errorf("%+v", c)
	}
}

// TestSyslogOverTCPThatVanishes has a receiver that acknowledges nothing any more: what it has not acknowledged must arrive when it is back.
func TestSyslogOverTCPThatVanishes(t *testing.T) {
	// A reader that does not read, with hardly any buffer: its machine acknowledges the first events only.
	small := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		return errors.Join(c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 1) }), err)
	}}
	l, err := small.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := New(Options{Cluster: "edge", Member: "gw-b", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	n.backoff, n.settle, n.confirm = 10*time.Millisecond, 400*time.Millisecond, time.Second
	serve(t, n, Spec{Name: "tcp", Kind: Syslog, Network: "tcp", Address: l.Addr().String(), Facility: 3})
	const many = 40
	for range many {
		n.Notify(control.Event{Code: "down", Severity: "warning", Reason: strings.Repeat("x", 300)}, "")
	}
	if r := <-n.Reports(); !r.Failed || !strings.Contains(r.Reason, "acknowledges nothing") {
		t.Errorf("reported %+v", r)
	}
	lost, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close() // and with it connections that wait
	inTime, err := net.Listen("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = inTime.Close() }()
	got := 0
	for _, accept := range []func() (net.Conn, error){func() (net.Conn, error) { return lost, nil }, inTime.Accept} {
		c, err := accept()
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
		for r := bufio.NewReader(c); got < many; got++ {
			count, err := r.ReadString(' ')
			length, e := strconv.Atoi(strings.TrimSuffix(count, " "))
			if err != nil || e != nil {
				break
			}
			if _, err = io.ReadFull(r, make([]byte, length)); err != nil {
				break
			}
		}
	}
	if got < many {
		t.Errorf("%d of %d arrived", got, many)
	}
	if r := <-n.Reports(); r.Failed || r.Dropped != 0 {
		t.Errorf("reported %+v", r)
	}
}

func TestJournal(t *testing.T) {
	where, next := datagrams(t, "unixgram", filepath.Join(t.TempDir(), "socket"))
	n := notifier(t, Spec{Name: "journald", Kind: Journald, Network: "unixgram", Address: where, Facility: 3})
	n.Notify(takeover, "")
	got, err := parseJournal(next())
	want := map[string]string{"MESSAGE": takeoverText, "MESSAGE_ID": "8d3f5a1c6b7e4c2f9a0b484600000066", "PRIORITY": "6", "SYSLOG_IDENTIFIER": "holdfastd",
		"SYSLOG_FACILITY": "3", "HOLDFAST_REASON": takeover.Reason}
	for k, v := range takeoverParams {
		want["HOLDFAST_"+strings.ToUpper(k)] = v
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v\n got %v\nwant %v", err, got, want)
	}
	odd := takeover
	odd.Severity, odd.Reason = "error", "two\nlines=odd"
	n.Notify(odd, "")
	if got, err = parseJournal(next()); err != nil || got["HOLDFAST_REASON"] != odd.Reason || got["PRIORITY"] != "3" || strings.Contains(got["MESSAGE"], "\n") {
		t.Errorf("%v %v", got, err)
	}
}

func TestFilters(t *testing.T) {
	dir := t.TempDir()
	where, next := datagrams(t, "unixgram", filepath.Join(dir, "a"))
	n := idle(t)
	end := serve(t, n, Spec{Name: "a", Kind: Syslog, Severity: Warning, Network: "unixgram", Address: where})
	for _, severity := range []string{"info", "warning", "error"} {
		n.Notify(control.Event{Code: severity, Severity: severity}, "")
		n.Notify(control.Event{Code: "about-" + severity, Severity: severity}, "a")
	}
	for _, want := range []string{"warning", "error"} {
		if m, err := parseSyslog(next()); err != nil || m.id != want {
			t.Errorf("%v %+v, want %s", err, m, want)
		}
	}
	end()
	if c := n.Counters(); c[0] != (Counters{Sink: "a", Sent: 2}) {
		t.Errorf("%+v", c)
	}
}

// TestNeverWaits fills the queue of a receiver that does not read, and lets it come back.
func TestNeverWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	n := notifier(t, Spec{Name: "slow", Kind: Syslog, Network: "unixgram", Address: path})
	const many = queueLength + 500
	for i := range many {
		n.Notify(control.Event{Code: "down", Severity: "warning", Reason: fmt.Sprint(i)}, "")
	}
	if r := <-n.Reports(); !r.Failed || r.Sink != "slow" {
		t.Errorf("reported %+v", r)
	}
	lost := n.Counters()[0].Dropped
	if lost == 0 || lost > 500 {
		t.Errorf("%d dropped", lost)
	}
	_, next := datagrams(t, "unixgram", path)
	for i := range many - int(lost) {
		m, err := parseSyslog(next())
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 && !strings.HasSuffix(m.text, " 0") {
			t.Errorf("the first one is %q: order is lost", m.text)
		}
	}
	if r := <-n.Reports(); r.Failed || r.Sink != "slow" || r.Dropped > lost {
		t.Errorf("reported %+v of %d dropped", r, lost)
	}
}

// TestReconfigure keeps the receiver that stays with what is queued for it, and ends the other.
func TestReconfigure(t *testing.T) {
	dir := t.TempDir()
	stays := Spec{Name: "stays", Kind: Syslog, Network: "unixgram", Address: filepath.Join(dir, "stays")}
	whereGoes, nextGoes := datagrams(t, "unixgram", filepath.Join(dir, "goes"))
	n := notifier(t, stays, Spec{Name: "goes", Kind: Syslog, Network: "unixgram", Address: whereGoes})
	n.Notify(control.Event{Code: "one"}, "")
	<-n.Reports() // "stays" is not there yet
	nextGoes()
	whereNew, nextNew := datagrams(t, "unixgram", filepath.Join(dir, "new"))
	n.Configure([]Spec{stays, {Name: "new", Kind: Syslog, Network: "unixgram", Address: whereNew}})
	n.Notify(control.Event{Code: "two"}, "")
	_, nextStays := datagrams(t, "unixgram", stays.Address)
	for _, k := range []struct {
		next func() []byte
		want string
	}{{nextStays, "one"}, {nextStays, "two"}, {nextNew, "two"}} {
		if m, err := parseSyslog(k.next()); err != nil || m.id != k.want {
			t.Errorf("%v %q, want %q", err, m.id, k.want)
		}
	}
	if c := n.Counters(); len(c) != 2 || c[1].Sink != "new" {
		t.Errorf("%+v", c)
	}
}

// TestChangeOfFailing changes a receiver that fails: what waits for it, its counters and its recovery must come through.
func TestChangeOfFailing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	spec := Spec{Name: "a", Kind: Syslog, Network: "unixgram", Address: path + "-mistyped"}
	n := notifier(t, spec)
	n.Notify(control.Event{Code: "one"}, "")
	n.Notify(control.Event{Code: "two"}, "")
	if r := <-n.Reports(); !r.Failed {
		t.Errorf("reported %+v", r)
	}
	_, next := datagrams(t, "unixgram", path)
	spec.Address, spec.Facility = path, 16
	n.Configure([]Spec{spec})
	for _, want := range []string{"one", "two"} {
		if m, err := parseSyslog(next()); err != nil || m.id != want || m.pri/8 != 16 {
			t.Errorf("%v %+v, want %s", err, m, want)
		}
	}
	if r := <-n.Reports(); r.Failed || r.Sink != "a" || r.Dropped != 0 {
		t.Errorf("reported %+v", r)
	}
	if c := n.Counters()[0]; c.Sent != 2 || c.Failed == 0 || c.Dropped != 0 {
		t.Errorf("%+v", c)
	}
	spec.Severity = Error
	n.Configure([]Spec{spec})
	n.Notify(control.Event{Code: "three", Severity: "warning"}, "")
	n.Notify(control.Event{Code: "four", Severity: "error"}, "")
	if m, err := parseSyslog(next()); err != nil || m.id != "four" {
		t.Errorf("%v %+v", err, m)
	}
}

// TestLastWords expects what was queued before the end to leave.
func TestLastWords(t *testing.T) {
	where, next := datagrams(t, "unixgram", filepath.Join(t.TempDir(), "log"))
	n := New(Options{Cluster: "edge", Member: "gw-b", Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	n.Configure([]Spec{{Name: "a", Kind: Syslog, Network: "unixgram", Address: where}})
	for range 5 {
		n.Notify(control.Event{Code: "stopped"}, "")
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := n.Serve(ctx); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		next()
	}
}
