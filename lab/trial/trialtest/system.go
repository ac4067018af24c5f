// SPDX-License-Identifier: Apache-2.0

// Package trialtest is a cluster that is none: a test moves the virtual addresses of a topology from member to member itself, with
// netlink, after a known time. What trials, benchmarks and demonstrations say of it is known in advance. For tests only.
package trialtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/holdfast-project/holdfast/lab/machine"
	"github.com/holdfast-project/holdfast/lab/topology"
)

// System is the pretended cluster software. A power-off moves the addresses to the next member after Delay; a Kill leaves them where
// they are and gives them to the next member too (two serve); a hand-over moves them at once.
type System struct {
	Title string
	Delay time.Duration

	lab *topology.Lab

	mu       sync.Mutex
	server   string
	off      map[string]bool
	watchers []func(machine.Change)
}

var _ machine.System = (*System)(nil)

// New returns a system on a topology.
func New(lab *topology.Lab, title string, delay time.Duration) *System {
	return &System{Title: title, Delay: delay, lab: lab, off: map[string]bool{}}
}

// Name implements machine.System.
func (s *System) Name() string { return s.Title }

// Lab implements machine.System.
func (s *System) Lab() *topology.Lab { return s.lab }

// Machine implements machine.System; there is none.
func (s *System) Machine(string) (*machine.Machine, error) { return nil, errors.ErrUnsupported }

// Boot implements machine.System: the first member serves.
func (s *System) Boot(context.Context) error {
	for i, m := range s.members() {
		if i == 0 {
			if err := s.serve(m, true); err != nil {
				return err
			}
			s.setServer(m)
			s.tell(m, "ACTIVE")
			continue
		}
		s.tell(m, "STANDBY")
	}
	return nil
}

// Serving implements machine.System.
func (s *System) Serving(context.Context) []string { return []string{s.Server()} }

// Server returns who serves.
func (s *System) Server() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.server
}

func (s *System) setServer(member string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = member
}

// PowerOff implements machine.System.
func (s *System) PowerOff(member string) error {
	s.mu.Lock()
	s.off[member] = true
	s.mu.Unlock()
	if err := s.serve(member, false); err != nil {
		return err
	}
	<-time.After(s.Delay)
	return s.give(s.next(member))
}

// PowerOn implements machine.System.
func (s *System) PowerOn(_ context.Context, member string) error {
	s.mu.Lock()
	s.off[member] = false
	s.mu.Unlock()
	s.tell(member, "STANDBY")
	return nil
}

// Kill implements machine.System: the member still has the addresses, the next one gets them.
func (s *System) Kill(member string, _ machine.Part) error { return s.give(s.next(member)) }

// Start implements machine.System: it gives up what it has.
func (s *System) Start(_ context.Context, member string) error {
	if err := s.serve(member, false); err != nil {
		return err
	}
	s.tell(member, "STANDBY")
	return nil
}

// Stop implements machine.System; nothing notices.
func (s *System) Stop(string, machine.Part) error { return nil }

// Continue implements machine.System.
func (s *System) Continue(string, machine.Part) error { return nil }

// Restart implements machine.System; nothing notices.
func (s *System) Restart(context.Context, string) error { return nil }

// Handover implements machine.System.
func (s *System) Handover(_ context.Context, to string) error {
	from := s.Server()
	if err := s.serve(from, false); err != nil {
		return err
	}
	s.tell(from, "STANDBY")
	return s.give(to)
}

// Watch implements machine.System; ctx is not looked at.
func (s *System) Watch(_ context.Context, fn func(machine.Change)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.watchers = append(s.watchers, fn)
}

// Close implements machine.System.
func (s *System) Close() error { return nil }

// Rest says how long after a change it is at rest: it does nothing by itself.
func (s *System) Rest() time.Duration { return 100 * time.Millisecond }

func (s *System) give(member string) error {
	if err := s.serve(member, true); err != nil {
		return err
	}
	s.setServer(member)
	s.tell(member, "ACTIVE")
	return nil
}

func (s *System) next(member string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members() {
		if m != member && !s.off[m] {
			return m
		}
	}
	return member
}

func (s *System) tell(member, state string) {
	s.mu.Lock()
	watchers := slices.Clone(s.watchers)
	s.mu.Unlock()
	for _, fn := range watchers {
		fn(machine.Change{At: time.Now(), Member: member, To: state})
	}
}

func (s *System) members() []string {
	var names []string
	for _, n := range s.lab.OfKind(topology.Member) {
		names = append(names, n.Name)
	}
	return names
}

// serve gives a member all virtual addresses and the one MAC that goes with them, or takes them, so that it receives no more. One
// MAC means that nobody has to be told of a move but the switch.
func (s *System) serve(member string, on bool) error {
	for i := range s.lab.Spec.Segments {
		err := s.device(member, i, func(h *netlink.Handle, link netlink.Link) error {
			mac := []byte{2, 0x48, 0, 1, byte(i), 0}
			if !on {
				mac = append(mac[:5:5], member[len(member)-1])
			}
			if err := h.LinkSetHardwareAddr(link, mac); err != nil {
				return fmt.Errorf("MAC of %s: %w", member, err)
			}
			for _, vip := range s.lab.Spec.Net(i).VIPs {
				a := &netlink.Addr{IPNet: netlink.NewIPNet(vip.AsSlice()), Flags: unix.IFA_F_NODAD}
				var err error
				if on {
					err = h.AddrReplace(link, a)
				} else {
					err = h.AddrDel(link, a)
				}
				if err != nil {
					return fmt.Errorf("%s on %s: %w", vip, member, err)
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *System) device(member string, i int, fn func(*netlink.Handle, netlink.Link) error) error {
	n, err := s.lab.Node(member)
	if err != nil {
		return err
	}
	port, err := n.Port(s.lab.Spec.Segments[i].Name)
	if err != nil {
		return err
	}
	h, err := n.NS.Handle()
	if err != nil {
		return err
	}
	defer h.Close()
	link, err := h.LinkByName(port.Device)
	if err != nil {
		return err
	}
	return fn(h, link)
}
