// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/tap"
)

// AcceptRouter lets the kernel of a host configure itself from router advertisements on an interface: addresses and default route.
// It works on hosts that forward, too (accept_ra=2).
func AcceptRouter(in tap.Namespace, name string) error {
	return in.Do(func() error {
		for _, s := range []struct{ key, value string }{{"accept_ra", "2"}, {"autoconf", "1"}, {"accept_ra_defrtr", "1"}, {"accept_ra_pinfo", "1"}} {
			path := "/proc/sys/net/ipv6/conf/" + name + "/" + s.key
			if err := os.WriteFile(path, []byte(s.value), 0o644); err != nil {
				return fmt.Errorf("traffic: accept routers on %s: %w", name, err)
			}
		}
		return nil
	})
}

// WaitRouter waits until the host has an IPv6 default route on the interface that came from a router advertisement, and returns
// the router's link-local address. It ends with ctx's error when ctx ends first.
func WaitRouter(ctx context.Context, in tap.Namespace, name string) (netip.Addr, error) {
	var index int
	var handle *netlink.Handle
	updates, done := make(chan netlink.RouteUpdate, 64), make(chan struct{})
	defer close(done)
	err := in.Do(func() error {
		ifi, err := net.InterfaceByName(name)
		if err != nil {
			return err
		}
		index = ifi.Index
		// Subscribed before the list is read, so that no route falls between them.
		if err := netlink.RouteSubscribe(updates, done); err != nil {
			return fmt.Errorf("subscribe to routes: %w", err)
		}
		handle, err = netlink.NewHandle(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return netip.Addr{}, fmt.Errorf("traffic: wait for a router on %s: %w", name, err)
	}
	defer handle.Close()
	// The subscription ends silently when its socket overflows, so the list is read again now and then.
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		if router, ok, err := routerOf(handle, index); err != nil || ok {
			return router, err
		}
		select {
		case <-ctx.Done():
			return netip.Addr{}, fmt.Errorf("traffic: no router advertised itself on %s: %w", name, ctx.Err())
		case _, ok := <-updates:
			if !ok {
				updates = nil
			}
		case <-again.C:
		}
	}
}

// routerOf returns the gateway of the default route that came from a router advertisement.
func routerOf(handle *netlink.Handle, index int) (netip.Addr, bool, error) {
	filter := &netlink.Route{LinkIndex: index, Protocol: unix.RTPROT_RA, Table: unix.RT_TABLE_MAIN}
	routes, err := handle.RouteListFiltered(netlink.FAMILY_V6, filter, netlink.RT_FILTER_OIF|netlink.RT_FILTER_PROTOCOL|netlink.RT_FILTER_TABLE)
	if err != nil {
		return netip.Addr{}, false, fmt.Errorf("traffic: list routes of interface %d: %w", index, err)
	}
	for _, r := range routes {
		if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		if gw, ok := netip.AddrFromSlice(r.Gw); ok {
			return gw, true, nil
		}
	}
	return netip.Addr{}, false, nil
}
