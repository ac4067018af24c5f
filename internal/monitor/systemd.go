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
	"time"

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

// askAgain is how long a unit waits before it asks again after the bus, or systemd, was away: both start anew when they are upgraded.
const askAgain = 100 * time.Millisecond

func (u *unit) check(ctx context.Context) verdict.Result {
	for {
		r, again := u.look(ctx)
		if !again {
			return r
		}
		select {
		case <-ctx.Done():
			return r
		case <-time.After(askAgain):
		}
	}
}

// look asks once. again says that nobody could be asked, which may be over in a moment.
func (u *unit) look(ctx context.Context) (r verdict.Result, again bool) {
	b, err := u.buses.get(ctx, cmp.Or(u.Bus, os.Getenv("DBUS_SYSTEM_BUS_ADDRESS"), usualBus))
	if err != nil {
		return verdict.Wrong("systemd cannot be asked: " + inWords(ctx, err)), true
	}
	if b != u.bus {
		u.close()
		u.bus = b
	}
	if err := b.subscribe(ctx); err != nil {
		u.buses.log.Debug("subscribe to systemd's changes", "error", err) // until it works, checks come at their interval only
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
		return verdict.Fine(), false
	case loaded == "not-found" || loaded == "masked" || loaded == "bad-setting" || loaded == "error":
		return verdict.Wrong("unit " + u.Name + " is " + loaded), false
	case active == sub || sub == "":
		return verdict.Wrong("unit " + u.Name + " is " + active), false
	}
	return verdict.Wrong("unit " + u.Name + " is " + active + " (" + sub + ")"), false
}

func (u *unit) failed(ctx context.Context, err error) (r verdict.Result, again bool) {
	var d dbus.Error
	said := errors.As(err, &d)
	if !said || d.Name == "org.freedesktop.DBus.Error.NoReply" {
		u.buses.drop(u.bus) // it is broken, or nobody reads it: questions must not pile up in it
		return verdict.Wrong("ask systemd for " + u.Name + ": " + inWords(ctx, err)), true
	}
	if d.Name == "org.freedesktop.DBus.Error.ServiceUnknown" || d.Name == "org.freedesktop.DBus.Error.NameHasNoOwner" {
		u.bus.unsubscribed()
		return verdict.Wrong("systemd does not run: nobody on the bus is " + systemdName), true
	}
	return verdict.Wrong("ask systemd for " + u.Name + ": " + inWords(ctx, err)), false
}

// buses are the connections to message buses that are open: one for all units. No lock is held while a bus is waited for.
type buses struct {
	log     *slog.Logger
	mu      sync.Mutex
	open    map[string]*bus
	opening map[string]chan struct{} // closed when whoever opens that address has ended
	closed  bool
}

// bus is one connection.
type bus struct {
	address string
	conn    *dbus.Conn

	mu                  sync.Mutex
	ears                map[chan struct{}]dbus.ObjectPath
	matched, subscribed bool
}

// get returns the connection to an address, and opens it if there is none.
func (b *buses) get(ctx context.Context, address string) (*bus, error) {
	for {
		b.mu.Lock()
		if c := b.open[address]; c != nil && c.conn.Connected() {
			b.mu.Unlock()
			return c, nil
		}
		other := b.opening[address]
		if other == nil {
			b.opening[address] = make(chan struct{})
		}
		b.mu.Unlock()
		if other == nil {
			return b.connect(ctx, address)
		}
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// connect opens the connection that opening speaks of.
func (b *buses) connect(ctx context.Context, address string) (*bus, error) {
	c, err := dial(ctx, address)
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.opening[address])
	delete(b.opening, address)
	if err != nil {
		return nil, err
	}
	if b.closed {
		_ = c.conn.Close()
		return nil, context.Canceled
	}
	b.open[address] = c
	return c, nil
}

// dial connects to a bus, which may accept and then say nothing: ctx ends that.
func dial(ctx context.Context, address string) (*bus, error) {
	if path, is := strings.CutPrefix(address, "unix:path="); is {
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("no message bus at %s", path)
		}
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx)) // of the connection: its end closes the socket
	stop := context.AfterFunc(ctx, end)
	conn, err := dbus.Connect(address, dbus.WithContext(life))
	if !stop() && err == nil {
		err = ctx.Err()
		_ = conn.Close()
	}
	if err != nil {
		end()
		return nil, err
	}
	c := &bus{address: address, conn: conn, ears: map[chan struct{}]dbus.ObjectPath{}}
	signals := make(chan *dbus.Signal, 64)
	conn.Signal(signals)
	go c.hear(signals) // until the connection ends
	return c, nil
}

// subscribe makes sure that systemd tells of changes. It is asked before each check until it works.
func (b *bus) subscribe(ctx context.Context) error {
	b.mu.Lock()
	matched, subscribed := b.matched, b.subscribed
	b.mu.Unlock()
	if !matched {
		if err := b.conn.AddMatchSignalContext(ctx, dbus.WithMatchSender(systemdName), dbus.WithMatchInterface(properties),
			dbus.WithMatchMember("PropertiesChanged"), dbus.WithMatchPathNamespace(systemdPath+"/unit")); err != nil {
			return err
		}
		b.mu.Lock()
		b.matched = true
		b.mu.Unlock()
	}
	if !subscribed {
		err := b.conn.Object(systemdName, systemdPath).CallWithContext(ctx, systemdManager+".Subscribe", 0).Err
		var d dbus.Error
		if err != nil && (!errors.As(err, &d) || d.Name != systemdName+".AlreadySubscribed") {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribed = true
	return nil
}

// unsubscribed notes that the systemd that was asked to tell is no more.
func (b *bus) unsubscribed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.subscribed = false
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
	b.closed = true
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
