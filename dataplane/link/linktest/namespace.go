// SPDX-License-Identifier: Apache-2.0

package linktest

import (
	"fmt"
	"net"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/holdfast-project/holdfast/internal/labtest"
)

// Namespace is a network namespace whose lo is up.
type Namespace struct {
	tb     testing.TB
	handle netns.NsHandle
}

// New makes a namespace that lives as long as the test. It skips the test unless it may do so.
func New(tb testing.TB) *Namespace {
	tb.Helper()
	labtest.Require(tb)
	n := &Namespace{tb: tb}
	made := make(chan error)
	go func() {
		// Never unlocked: the thread dies with the goroutine rather than be reused in the wrong namespace.
		runtime.LockOSThread()
		var err error
		n.handle, err = netns.New()
		made <- err
	}()
	if err := <-made; err != nil {
		tb.Fatalf("network namespace: %v", err)
	}
	tb.Cleanup(func() { _ = n.handle.Close() })
	n.Do(func() error { return up("lo") })
	return n
}

// Here is the namespace that the test runs in: one of its own, or the end of a pair would be left on the host.
func Here(tb testing.TB) *Namespace {
	tb.Helper()
	labtest.Require(tb)
	h, err := netns.Get()
	if err != nil {
		tb.Fatalf("network namespace: %v", err)
	}
	tb.Cleanup(func() { _ = h.Close() })
	return &Namespace{tb: tb, handle: h}
}

// Do runs f on a thread in the namespace and fails the test with its error. Goroutines that f starts are elsewhere.
func (n *Namespace) Do(f func() error) {
	n.tb.Helper()
	if err := <-n.Go(f); err != nil {
		n.tb.Fatal(err)
	}
}

// Go runs f on a thread of its own in the namespace and delivers its error.
func (n *Namespace) Go(f func() error) <-chan error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := netns.Set(n.handle); err != nil {
			done <- fmt.Errorf("enter network namespace: %w", err)
			return
		}
		done <- f()
	}()
	return done
}

// Run runs a tool in the namespace and returns its output; failure fails the test.
func (n *Namespace) Run(tool string, args ...string) string {
	n.tb.Helper()
	out, err := n.Try(tool, args...)
	if err != nil {
		n.tb.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
	return out
}

// Try is Run for tools that may fail.
func (n *Namespace) Try(tool string, args ...string) (string, error) {
	var out []byte
	err := <-n.Go(func() error {
		var err error
		out, err = exec.Command(tool, args...).CombinedOutput()
		return err
	})
	return string(out), err
}

// Veth joins two namespaces by a pair of interfaces, both up, and returns their indices.
func Veth(a *Namespace, nameA string, b *Namespace, nameB string) (indexA, indexB int) {
	a.tb.Helper()
	a.Do(func() error {
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: netlink.LinkAttrs{Name: nameA}, PeerName: nameB, PeerNamespace: netlink.NsFd(b.handle),
		})
	})
	b.Do(func() error { return up(nameB) })
	a.Do(func() error { return up(nameA) })
	return a.Index(nameA), b.Index(nameB)
}

// Bridge makes a bridge of interfaces in the namespace, up and without spanning tree.
func (n *Namespace) Bridge(name string, ports ...string) {
	n.tb.Helper()
	n.Do(func() error {
		br := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name}}
		if err := netlink.LinkAdd(br); err != nil {
			return err
		}
		for _, p := range ports {
			port, err := netlink.LinkByName(p)
			if err != nil {
				return err
			}
			if err := netlink.LinkSetMaster(port, br); err != nil {
				return err
			}
		}
		return up(name)
	})
}

// Addr gives an interface an address in prefix notation, IPv6 without duplicate detection.
func (n *Namespace) Addr(name, prefix string) {
	n.tb.Helper()
	n.Do(func() error {
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		a, err := netlink.ParseAddr(prefix)
		if err != nil {
			return err
		}
		if a.IP.To4() == nil {
			a.Flags = 0x02 // IFA_F_NODAD
		}
		return netlink.AddrAdd(l, a)
	})
}

// Index returns an interface's index.
func (n *Namespace) Index(name string) int {
	n.tb.Helper()
	return n.iface(name).Index
}

// MAC returns an interface's MAC.
func (n *Namespace) MAC(name string) [6]byte {
	n.tb.Helper()
	return [6]byte(n.iface(name).HardwareAddr)
}

func (n *Namespace) iface(name string) *net.Interface {
	n.tb.Helper()
	var ifi *net.Interface
	n.Do(func() error {
		var err error
		ifi, err = net.InterfaceByName(name)
		return err
	})
	return ifi
}

// SetUp brings an interface up or down.
func (n *Namespace) SetUp(name string, on bool) {
	n.tb.Helper()
	n.Do(func() error {
		if on {
			return up(name)
		}
		l, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkSetDown(l)
	})
}

func up(name string) error {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	return netlink.LinkSetUp(l)
}
