// SPDX-License-Identifier: Apache-2.0

package churn

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/holdfast-project/holdfast/lab/topology"
)

// Protocol is what the connections speak.
type Protocol string

// The protocols.
const (
	UDP Protocol = "udp"
	TCP Protocol = "tcp"
)

// The ports of connections.
const (
	// DefaultFirstPort is the server's first port unless Config says otherwise. It is below the hosts' own ephemeral ports.
	DefaultFirstPort = 20000
	// firstSource and sources are the client's ports.
	firstSource = 1024
	sources     = 64000
	// maxServerPorts bounds the server's ports, and so the connections of a run: 64 million.
	maxServerPorts = 1000
)

// MaxConnections is how many connections a run can open.
const MaxConnections = sources * maxServerPorts

// maxRate is in connections per second; nothing here is that fast.
const maxRate = 1_000_000

// Config says what to open. Zero fields take the defaults named at each.
type Config struct {
	// Client opens the connections, Server is their other end; each uses its first port.
	Client, Server *topology.Node
	// Protocol is UDP if it is empty, Family 4 if it is 0.
	Protocol Protocol
	Family   int
	// To is where the client sends them; not valid: to the server's own address. With a DNAT rule it is the gateway's; the rule
	// must leave the port as it is.
	To netip.Addr
	// Rate is in new connections per second, 1 to 1,000,000; 0 opens them as fast as they can be sent.
	Rate int
	// Count ends the run after so many connections; 0 goes on until Stop or MaxConnections.
	Count int
	// Answer lets the server answer: datagrams with the same one, SYNs with a SYN/ACK. Without it all connections are one-way.
	Answer bool
	// Close lets the client close each TCP connection as soon as it is open.
	Close bool
	// Payload is the length of each datagram's payload in bytes, up to 1400; 0 is an empty one, and one of NumberLen or more carries
	// the connection's number (see Number). TCP carries none.
	Payload int
	// FirstPort is the server's first port; 0 means DefaultFirstPort. Runs at the same time on the same hosts need ranges of
	// 1000 ports that do not overlap.
	FirstPort uint16
}

func (c Config) withDefaults() (Config, error) {
	if c.Protocol == "" {
		c.Protocol = UDP
	}
	if c.Family == 0 {
		c.Family = 4
	}
	if c.FirstPort == 0 {
		c.FirstPort = DefaultFirstPort
	}
	if c.Count == 0 {
		c.Count = MaxConnections
	}
	switch {
	case c.Client == nil || c.Server == nil || len(c.Client.Ports) == 0 || len(c.Server.Ports) == 0:
		return c, errors.New("churn: a client and a server, each with a port, are needed")
	case c.Protocol != UDP && c.Protocol != TCP:
		return c, fmt.Errorf("churn: protocol %q: udp or tcp", c.Protocol)
	case c.Family != 4 && c.Family != 6:
		return c, fmt.Errorf("churn: family %d: 4 or 6", c.Family)
	case c.Rate < 0 || c.Rate > maxRate:
		return c, fmt.Errorf("churn: rate %d: 0 to %d connections a second", c.Rate, maxRate)
	case c.Count < 0 || c.Count > MaxConnections:
		return c, fmt.Errorf("churn: count %d: 0 to %d", c.Count, MaxConnections)
	case c.Payload < 0 || c.Payload > 1400:
		return c, fmt.Errorf("churn: payload %d: 0 to 1400 bytes", c.Payload)
	case c.FirstPort > 65535-maxServerPorts+1:
		return c, fmt.Errorf("churn: first port %d: at most %d", c.FirstPort, 65535-maxServerPorts+1)
	}
	if !c.To.IsValid() {
		c.To = address(c.Server, c.Family)
	}
	if c.To.Is4() != (c.Family == 4) {
		return c, fmt.Errorf("churn: to %s over IPv%d", c.To, c.Family)
	}
	return c, nil
}

func address(n *topology.Node, family int) netip.Addr {
	if family == 6 {
		return n.Ports[0].V6.Addr()
	}
	return n.Ports[0].V4.Addr()
}

// Flow is a connection's tuple as the client sends it.
type Flow struct {
	Protocol Protocol
	From, To netip.AddrPort
}

// flow returns connection n.
func (c Config) flow(n int) Flow {
	return Flow{
		Protocol: c.Protocol,
		From:     netip.AddrPortFrom(address(c.Client, c.Family), uint16(firstSource+n%sources)),
		To:       netip.AddrPortFrom(c.To, c.FirstPort+uint16(n/sources)),
	}
}
