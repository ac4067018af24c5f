// SPDX-License-Identifier: Apache-2.0

package monitor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"

	"github.com/godbus/dbus/v5"

	"github.com/holdfast-project/holdfast/internal/monitor/verdict"
)

// Names of systemd's objects and interfaces (org.freedesktop.systemd1(5)).
const (
	systemdName    = "org.freedesktop.systemd1"
	systemdPath    = dbus.ObjectPath("/org/freedesktop/systemd1")
	systemdManager = systemdName + ".Manager"
	systemdUnit    = systemdName + ".Unit"
	properties     = "org.freedesktop.DBus.Properties"
	usualBus       = "unix:path=/run/dbus/system_bus_socket"
)

// unit checks that a systemd unit is active.
type unit struct {
	Unit
	buses *buses
	news  chan struct{}
	bus   *bus
}

func newUnit(u Unit, b *buses) *unit { return &unit{Unit: u, buses: b, news: make(chan struct{}, 1)} }

func (u *unit) changed() <-chan struct{} { return u.news }

func (u *unit) close() {
	if u.bus != nil {
		u.bus.leave(u.news)
	}
}

func (u *unit) check(ctx context.Context) verdict.Result {
	b, err := u.buses.get(ctx, cmp.Or(u.Bus, os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), usualBus))
	if err != nil {
		return verdict.Wrong("systemd cannot be asked: " + inWords(ctx, err))
	}
	if b != u.bus {
		u.close()
		u.bus = b
	}
	path, err := b.load(ctx, u.Name)
	if err != nil {
		return u.failed(ctx, err)
	}
	b.listen(u.news, path)
	var words [3]string
	for i, p := range []string{"LoadState", "ActiveState", "SubState"} {
		if err := b.property(ctx, path, p, &words[i]); err != nil {
			return u.failed(ctx, err)
		}
	}
	loaded, active, sub := words[0], words[1], words[2]
	switch {
	case active == "active" || active == "reloading" || active == "refreshing":
		return verdict.Fine()
	case loaded == "not-found" || loaded == "masked" || loaded == "bad-setting" || loaded == "error":
		return verdict.Wrong("unit " + u.Name + " is " + loaded)
	case active == sub || sub == "":
		return verdict.Wrong("unit " + u.Name + " is " + active)
	}
	return verdict.Wrong("unit " + u.Name + " is " + active + " (" + sub + ")")
}

func (u *unit) failed(ctx context.Context, err error) verdict.Result {
	if !u.bus.conn.Connected() {
		u.buses.drop(u.bus)
	}
	var d dbus.Error
	if errors.As(err, &d) && (d.Name == "org.freedesktop.DBus.Error.ServiceUnknown" || d.Name == "org.freedesktop.DBus.Error.NameHasNoOwner") {
		return verdict.Wrong("systemd does not run: nobody on the bus is " + systemdName)
	}
	return verdict.Wrong("ask systemd for " + u.Name + ": " + inWords(ctx, err))
}

// buses are the connections to message buses that are open: one for all units.
type buses struct {
	log  *slog.Logger
	mu   sync.Mutex
	open map[string]*bus
}

// bus is one connection.
type bus struct {
	address string
	conn    *dbus.Conn

	mu   sync.Mutex
	ears map[chan struct{}]dbus.ObjectPath
}

// get returns the connection to an address, and opens it if there is none.
func (b *buses) get(ctx context.Context, address string) (*bus, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if c := b.open[address]; c != nil && c.conn.Connected() {
		return c, nil
	}
	if path, is := strings.CutPrefix(address, "unix:path="); is {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("no message bus at %s", path)
		}
	}
	conn, err := dbus.Connect(address)
	if err != nil {
		return nil, err
	}
	c := &bus{address: address, conn: conn, ears: map[chan struct{}]dbus.ObjectPath{}}
	signals := make(chan *dbus.Signal, 64)
	conn.Signal(signals)
	go c.hear(signals) // until the connection ends
	// Without these two, checks come at their interval only.
	err = errors.Join(
		conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(systemdName), dbus.WithMatchInterface(properties), dbus.WithMatchMember("PropertiesChanged"),
			dbus.WithMatchPathNamespace(systemdPath+"/unit")),
		conn.Object(systemdName, systemdPath).CallWithContext(ctx, systemdManager+".Subscribe", 0).Err)
	if err != nil {
		b.log.Debug("subscribe to systemd's changes", "error", err)
		if ctx.Err() != nil {
			_ = conn.Close()
			return nil, ctx.Err()
		}
	}
	b.open[address] = c
	return c, nil
}

// drop forgets a connection that has ended.
func (b *buses) drop(c *bus) {
	b.mu.Lock()
	defer b.mu.Unlock()
	_ = c.conn.Close()
	if b.open[c.address] == c {
		delete(b.open, c.address)
	}
}

func (b *buses) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for address, c := range b.open {
		_ = c.conn.Close()
		delete(b.open, address)
	}
}

// hear wakes those whose unit has changed; all of them when the connection ends.
func (b *bus) hear(signals <-chan *dbus.Signal) {
	for s := range signals {
		b.tell(s.Path)
	}
	b.tell("")
}

func (b *bus) tell(path dbus.ObjectPath) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for ear, of := range b.ears {
		if path == "" || path == of {
			select {
			case ear <- struct{}{}:
			default:
			}
		}
	}
}

func (b *bus) listen(ear chan struct{}, path dbus.ObjectPath) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ears[ear] = path
}

func (b *bus) leave(ear chan struct{}) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.ears, ear)
}

// load returns the object of a unit. systemd loads the unit if it has forgotten it.
func (b *bus) load(ctx context.Context, name string) (path dbus.ObjectPath, err error) {
	err = b.conn.Object(systemdName, systemdPath).CallWithContext(ctx, systemdManager+".LoadUnit", 0, name).Store(&path)
	return path, err
}

func (b *bus) property(ctx context.Context, path dbus.ObjectPath, name string, to *string) error {
	var v dbus.Variant
	if err := b.conn.Object(systemdName, path).CallWithContext(ctx, properties+".Get", 0, systemdUnit, name).Store(&v); err != nil {
		return err
	}
	return v.Store(to)
}
