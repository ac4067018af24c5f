// SPDX-License-Identifier: Apache-2.0

package observe_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/observe"
	"github.com/holdfast-project/holdfast/lab/topology"
	"github.com/holdfast-project/holdfast/lab/topology/topologytest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve gives a member all virtual addresses, or takes them.
func serve(t *testing.T, l *topology.Lab, member string, on bool) {
	t.Helper()
	n := topologytest.Node(t, l, member)
	for i, s := range l.Spec.Segments {
		port, err := n.Port(s.Name)
		if err != nil {
			t.Fatal(err)
		}
		topologytest.Change(t, n, port.Device, func(h *netlink.Handle, link netlink.Link) error {
			set := h.AddrDel
			if on {
				set = h.AddrAdd
			}
			for _, vip := range l.Spec.Net(i).VIPs {
				if err := set(link, &netlink.Addr{IPNet: netlink.NewIPNet(vip.AsSlice()), Flags: unix.IFA_F_NODAD}); err != nil {
					return err
				}
			}
			return nil
		})
	}
}

func TestObserver(t *testing.T) {
	l := topologytest.Build(t, topology.DefaultSpec("observe", 2))
	ob, err := observe.Start(context.Background(), l, observe.Options{})
	if err != nil {
		t.Fatal(err)
	}
	soon, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
	defer cancel()
	if _, err := ob.Steady(soon, 100*time.Millisecond); err == nil || !strings.Contains(err.Error(), "unanswered") {
		t.Errorf("nobody serves, and Steady says %v", err)
	}
	serve(t, l, "fw2", true)
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	server, err := ob.Steady(ctx, 200*time.Millisecond)
	if err != nil || server != "fw2" {
		t.Fatalf("server %q, %v, want fw2", server, err)
	}
	from := time.Now()
	serve(t, l, "fw1", true)
	for end := from.Add(20 * time.Second); ob.Window(from, time.Now()).Dual() < 50*time.Millisecond && time.Now().Before(end); {
		<-time.After(10 * time.Millisecond)
	}
	serve(t, l, "fw1", false)
	to := time.Now()
	if _, err := ob.Stop(); err != nil {
		t.Fatal(err)
	}
	if w := ob.Window(from, to); w.Contested() == 0 || w.Dual() <= 0 || w.Missed() != 0 {
		t.Errorf("two served for %v: contested %d, dual %v, missed %d", to.Sub(from), w.Contested(), w.Dual(), w.Missed())
	}
}
