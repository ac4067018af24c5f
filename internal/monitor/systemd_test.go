// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/holdfast-project/holdfast/internal/labtest"
	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

const busConfig = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path=%s</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow own="*"/><allow receive_sender="*"/><allow user="*"/></policy></busconfig>`

// startBus runs a message bus of the test's own and returns its address, and what ends it.
func startBus(t *testing.T) (address string, stop func()) {
	t.Helper()
	labtest.Require(t, "dbus-daemon")
	dir := t.TempDir()
	socket, conf := filepath.Join(dir, "bus"), filepath.Join(dir, "conf")
	if err := os.WriteFile(conf, fmt.Appendf(nil, busConfig, socket), 0o644); err != nil {
		t.Fatal(err)
	}
	c := exec.Command("dbus-daemon", "--nofork", "--nopidfile", "--print-address", "--config-file="+conf)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			_ = c.Process.Kill()
			_ = c.Wait()
		})
	}
	t.Cleanup(stop)
	if _, err := bufio.NewReader(out).ReadString('\n'); err != nil { // it listens
		t.Fatal(err)
	}
	return "unix:path=" + socket, stop
}

// manager stands for systemd: units with their states.
type manager struct {
	t    *testing.T
	conn *dbus.Conn

	mu    sync.Mutex
	units map[string][3]string // LoadState, ActiveState, SubState
	asked int
	// refuse and silent are how many more calls of Subscribe and Get end in an error; subscribed counts those of Subscribe.
	refuse, silent, subscribed int
}

func startManager(t *testing.T, address string) *manager {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, conn: conn, units: map[string][3]string{}}
	if err := conn.Export(m, systemdPath, systemdManager); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.RequestName(systemdName, dbus.NameFlagDoNotQueue); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return m
}

func unitPath(name string) dbus.ObjectPath {
	return systemdPath + "/unit/" + dbus.ObjectPath(strings.NewReplacer(".", "_2e", "-", "_2d").Replace(name))
}

// Subscribe is org.freedesktop.systemd1.Manager's.
func (m *manager) Subscribe() *dbus.Error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.subscribed++
	if m.refuse > 0 {
		m.refuse--
		return dbus.NewError("org.freedesktop.DBus.Error.LimitsExceeded", nil)
	}
	return nil
}

// LoadUnit is org.freedesktop.systemd1.Manager's: it knows every name.
func (m *manager) LoadUnit(name string) (dbus.ObjectPath, *dbus.Error) {
	m.mu.Lock() // two exports at once race in the library
	defer m.mu.Unlock()
	p := unitPath(name)
	if err := m.conn.Export(unitProperties{m, name}, p, properties); err != nil {
		return "", dbus.MakeFailedError(err)
	}
	return p, nil
}

type unitProperties struct {
	m    *manager
	name string
}

// Get is org.freedesktop.DBus.Properties's.
func (u unitProperties) Get(iface, name string) (dbus.Variant, *dbus.Error) {
	u.m.mu.Lock()
	defer u.m.mu.Unlock()
	u.m.asked++
	if u.m.silent > 0 {
		u.m.silent--
		return dbus.Variant{}, dbus.NewError("org.freedesktop.DBus.Error.NoReply", nil)
	}
	st, known := u.m.units[u.name]
	if !known {
		st = [3]string{"not-found", "inactive", "dead"}
	}
	for i, p := range []string{"LoadState", "ActiveState", "SubState"} {
		if iface == systemdUnit && name == p {
			return dbus.MakeVariant(st[i]), nil
		}
	}
	return dbus.Variant{}, dbus.MakeFailedError(fmt.Errorf("no property %s.%s", iface, name))
}

// set changes a unit and tells the subscribers.
func (m *manager) set(unit, active, sub string) {
	m.t.Helper()
	m.mu.Lock()
	m.units[unit] = [3]string{"loaded", active, sub}
	m.mu.Unlock()
	if err := m.conn.Emit(unitPath(unit), properties+".PropertiesChanged", systemdUnit,
		map[string]dbus.Variant{"ActiveState": dbus.MakeVariant(active)}, []string{}); err != nil {
		m.t.Fatal(err)
	}
}

// TestUnit: the states of a unit follow its signals, though the interval is an hour.
func TestUnit(t *testing.T) {
	address, _ := startBus(t)
	m := startManager(t, address)
	m.set("frr.service", "active", "running")
	w := serve(t, Spec{Check: Unit{Name: "frr.service", Bus: address}}, Spec{Name: "y", Check: Unit{Name: "none.service", Bus: address}})
	for range 2 {
		if r := w.next(); r.Monitor == "x" && r.Status != verdict.OK || r.Monitor == "y" && r.Reason != "unit none.service is not-found" {
			t.Errorf("%+v", r)
		}
	}
	for _, k := range []struct {
		active, sub string
		want        verdict.Status
		reason      string
	}{
		{"failed", "failed", verdict.Problem, "unit frr.service is failed"},
		{"activating", "start-pre", verdict.Problem, "unit frr.service is activating (start-pre)"},
		{"active", "running", verdict.OK, ""},
		{"inactive", "dead", verdict.Problem, "unit frr.service is inactive (dead)"},
		{"reloading", "reload", verdict.OK, ""},
	} {
		m.set("frr.service", k.active, k.sub)
		if r := w.want(k.want, k.reason); r.Reason != k.reason || r.Monitor != "x" {
			t.Errorf("%s: %+v", k.active, r)
		}
	}
	m.set("none.service", "active", "exited") // it was installed meanwhile
	if r := w.want(verdict.OK, ""); r.Monitor != "y" {
		t.Errorf("%+v", r)
	}
}

// TestBusGoes: what cannot be asked is a problem.
func TestBusGoes(t *testing.T) {
	address, stop := startBus(t)
	bad(t, Unit{Name: "a.service", Bus: address}, "systemd does not run: nobody on the bus is org.freedesktop.systemd1")
	m := startManager(t, address)
	m.set("a.service", "active", "running")
	w := serve(t, Spec{Check: Unit{Name: "a.service", Bus: address}, Interval: 50 * time.Millisecond, Timeout: 2 * time.Second})
	w.want(verdict.OK, "")
	stop()
	w.want(verdict.Problem, "systemd")
}

func TestNoSystemd(t *testing.T) {
	bad(t, Unit{Name: "a.service", Bus: "unix:path=/nonexistent/bus"}, "systemd cannot be asked: no message bus at /nonexistent/bus")
}

// TestSilentBus: a bus that accepts and says nothing is a problem, and holds up nobody who stops.
func TestSilentBus(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bus")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	specs := []Spec{{Name: "a", Check: Unit{Name: "a.service", Bus: "unix:path=" + path}}, {Name: "b", Check: Unit{Name: "b.service", Bus: "unix:path=" + path}}}
	for i := range specs {
		sound(&specs[i])
		specs[i].Timeout = 100 * time.Millisecond
	}
	specs[1].Timeout = time.Minute
	s := New(specs, nil)
	ctx, cancel := contextOf(t)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(ctx) }()
	select {
	case r := <-s.Reports():
		if r.Monitor != "a" || !strings.Contains(r.Reason, "systemd cannot be asked") {
			t.Errorf("%+v", r)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("no report")
	}
	cancel()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		t.Fatal("the monitors do not end")
	}
}

// TestSubscribeAgain: a subscription that failed is asked for again until it works, and then no more.
func TestSubscribeAgain(t *testing.T) {
	address, _ := startBus(t)
	m := startManager(t, address)
	m.set("a.service", "active", "running")
	m.mu.Lock()
	m.refuse = 2
	m.mu.Unlock()
	w := serve(t, Spec{Check: Unit{Name: "a.service", Bus: address}, Interval: 20 * time.Millisecond})
	w.checked("x", 6)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.subscribed != 3 {
		t.Errorf("asked %d times, want 3", m.subscribed)
	}
}

// TestLostAnswer: systemd that starts anew amid a question is asked again before it counts.
func TestLostAnswer(t *testing.T) {
	address, _ := startBus(t)
	m := startManager(t, address)
	m.set("a.service", "active", "running")
	m.mu.Lock()
	m.silent = 2
	m.mu.Unlock()
	good(t, Unit{Name: "a.service", Bus: address})
}
