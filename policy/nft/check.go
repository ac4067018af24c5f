// SPDX-License-Identifier: Apache-2.0

package nft

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Link is a device that a member has, for Check to stand something in for.
type Link struct {
	Name      string
	Addresses []netip.Prefix
}

// Check loads and wakes the policy in a network namespace made for it, with devices of the given names and addresses, where no packet is.
// That is more than nft's own --check: hooks are registered, and devices and helpers must be there. It returns what the kernel
// has then, which is what it must always have. The error is a *RulesetError if the ruleset is at fault. It needs CAP_SYS_ADMIN and
// CAP_NET_ADMIN. gentle runs it below the priority of what else goes on: not where the policy in force is not watched until it is done, since on a busy
// host that may be long.
func Check(ctx context.Context, command string, p *Policy, links []Link, gentle bool) (base *Baseline, err error) {
	err = try(ctx, command, p, links, gentle, func(k *Kernel) (err error) {
		base, err = k.Baseline(ctx, p)
		return err
	})
	return base, err
}

// Try is a gentle Check without reading what the kernel has then, which takes longer than a load does.
func Try(ctx context.Context, command string, p *Policy, links []Link) error {
	return try(ctx, command, p, links, true, func(*Kernel) error { return nil })
}

func try(ctx context.Context, command string, p *Policy, links []Link, gentle bool, then func(*Kernel) error) error {
	file, err := scratch(links)
	if err != nil {
		return err
	}
	defer file.Close() // and with it, the namespace
	k := New(Options{Cluster: p.Mark.Cluster, Namespace: int(file.Fd()), Command: command, Gentle: gentle})
	for _, s := range p.Keep {
		if !p.Ruleset.Has(s.Family, s.Table, s.Name) {
			return &RulesetError{[]Problem{{File: p.Ruleset.File, What: fmt.Sprintf("set %v, which is to be kept, is not there", s)}}}
		}
	}
	if _, err := k.Prepare(ctx, p); err != nil {
		return err
	}
	if _, err := k.Commit(ctx, p); err != nil {
		return &RulesetError{[]Problem{{File: p.Ruleset.File, What: "it loads, and cannot be put into force: " + err.Error()}}}
	}
	return then(k)
}

// scratch makes a namespace with stand-ins for devices. It goes with the last descriptor.
func scratch(links []Link) (*os.File, error) {
	type result struct {
		file *os.File
		err  error
	}
	done := make(chan result, 1)
	go func() {
		runtime.LockOSThread() // and never unlock it: the runtime ends the thread with the goroutine
		file, err := func() (*os.File, error) {
			if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
				return nil, fmt.Errorf("make a scratch namespace: %w; run as root", err)
			}
			file, err := os.Open("/proc/thread-self/ns/net")
			if err != nil {
				return nil, err
			}
			if err := standIns(links); err != nil {
				return nil, errors.Join(err, file.Close())
			}
			return file, nil
		}()
		done <- result{file, err}
	}()
	r := <-done
	return r.file, r.err
}

func standIns(links []Link) error {
	lo, err := netlink.LinkByName("lo")
	if err == nil {
		err = netlink.LinkSetUp(lo)
	}
	if err != nil {
		return fmt.Errorf("scratch namespace: loopback: %w", err)
	}
	for _, l := range links {
		device := lo
		if l.Name != "lo" {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = l.Name
			// Not every kernel has dummies; all that run Holdfast have one of these.
			if err = netlink.LinkAdd(&netlink.Dummy{LinkAttrs: attrs}); errors.Is(err, unix.EOPNOTSUPP) {
				err = netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs})
			}
			if err == nil {
				device, err = netlink.LinkByName(l.Name)
			}
			if err == nil {
				err = netlink.LinkSetUp(device)
			}
			if err != nil {
				return fmt.Errorf("scratch namespace: stand in for %s: %w", l.Name, err)
			}
		}
		for _, p := range l.Addresses {
			a, err := netlink.ParseAddr(p.String())
			if err == nil {
				a.Flags = unix.IFA_F_NODAD
				err = netlink.AddrAdd(device, a)
			}
			if err != nil && !errors.Is(err, unix.EEXIST) && !errors.Is(err, unix.EACCES) && !errors.Is(err, unix.EPERM) { // the last two: no IPv6
				return fmt.Errorf("scratch namespace: address %v of %s: %w", p, l.Name, err)
			}
		}
	}
	return nil
}
