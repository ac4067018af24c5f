// SPDX-License-Identifier: Apache-2.0

package generator

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"

	"github.com/holdfast-project/holdfast/lab/topology"
)

// Flow is the two ends of a flow of UDP over IPv4.
type Flow struct{ From, To netip.AddrPort }

// Reverse is the flow of the answers.
func (f Flow) Reverse() Flow { return Flow{From: f.To, To: f.From} }

// Config says what to send.
type Config struct {
	// Node sends out of its first port; NextHop is the MAC that the frames go to.
	Node    *topology.Node
	NextHop net.HardwareAddr
	// Flows are sent in turns, each processor its own part of them.
	Flows []Flow
	// Processors are the numbers of those that send, each with a thread of its own.
	Processors []int
}

func (c Config) check() error {
	var errs []error
	if c.Node == nil || len(c.Node.Ports) == 0 {
		errs = append(errs, errors.New("generator: a node with a port is needed"))
	}
	if len(c.NextHop) != macLen {
		errs = append(errs, fmt.Errorf("generator: next hop %q: a MAC of %d octets", c.NextHop, macLen))
	}
	if len(c.Processors) == 0 || len(c.Flows) < len(c.Processors) {
		errs = append(errs, fmt.Errorf("generator: %d flows for %d processors: at least one flow for each, and one processor", len(c.Flows), len(c.Processors)))
	}
	for _, p := range c.Processors {
		if p < 0 || p >= runtime.NumCPU() {
			errs = append(errs, fmt.Errorf("generator: processor %d: there are 0 to %d", p, runtime.NumCPU()-1))
		}
	}
	for _, f := range c.Flows {
		if !f.From.Addr().Is4() || !f.To.Addr().Is4() {
			errs = append(errs, fmt.Errorf("generator: flow %s to %s: IPv4 only", f.From, f.To))
			break
		}
	}
	return errors.Join(errs...)
}
