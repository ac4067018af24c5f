// SPDX-License-Identifier: Apache-2.0

package conversation

import (
	"cmp"
	"fmt"
	"net/netip"
	"time"

	"github.com/holdfast-project/holdfast/lab/topology"
)

// Kind is what a conversation is like; see the package's documentation.
type Kind string

// The kinds.
const (
	SSH      Kind = "ssh"
	Download Kind = "download"
	UDP      Kind = "udp"
	OneWay   Kind = "one-way"
	Stream   Kind = "stream"
	Ping     Kind = "ping"
	FTP      Kind = "ftp"
	Web      Kind = "web"
	Large    Kind = "large"
	Tunnel   Kind = "tunnel"
)

// kind is what is usual for a kind.
type kind struct {
	port  uint16
	every time.Duration
	size  int64
	over  time.Duration
	hold  time.Duration
}

var kinds = map[Kind]kind{
	SSH:      {port: 22, every: 20 * time.Millisecond},
	Download: {port: 80, size: 1 << 30, over: 20 * time.Second},
	UDP:      {port: 5000, every: 20 * time.Millisecond},
	OneWay:   {port: 5001, every: 20 * time.Millisecond},
	Stream:   {port: 5002, every: 20 * time.Millisecond},
	Ping:     {every: 20 * time.Millisecond},
	Web:      {port: 8080, every: 250 * time.Millisecond, size: 8000},
	Large:    {port: 5003, every: 50 * time.Millisecond},
	Tunnel:   {every: 20 * time.Millisecond},
	FTP:      {port: 21, size: 500_000, over: 300 * time.Millisecond, hold: 300 * time.Millisecond},
}

// Kinds lists the kinds' names.
func Kinds() []string {
	return append(Connected(), string(Web), string(Large), string(Tunnel))
}

// Connected lists the kinds that are one connection for as long as they run, all of them of packets that are whole.
func Connected() []string {
	return []string{string(SSH), string(Download), string(UDP), string(OneWay), string(Stream), string(Ping), string(FTP)}
}

// Config says what to talk about. Zero fields take what is usual for the kind.
type Config struct {
	// Name is the conversation's in reports; "" makes one of kind, family and ends.
	Name string
	Kind Kind
	// Client begins, Server is who it wants; each uses the address of its first port.
	Client, Server *topology.Node
	// Family is 4 (if it is 0) or 6.
	Family int
	// To is where the client turns to; not valid: to the server's own address. With a DNAT rule it is the gateway's. A port of 0
	// is the server's.
	To netip.AddrPort
	// Port is the server's port: 22 for ssh, 80 for download, 8080 for web, 21 for ftp, 5000 to 5003 for the datagrams.
	Port uint16
	// Every is the time between two messages or datagrams, 20 ms (50 ms of kind large), or two connections of kind web, 250 ms.
	Every time.Duration
	// Size is how many bytes a download has (1 GiB), a file of ftp's (500 kB) or a page of web's (8 kB), Over about how long it takes (20 s, 300 ms).
	Size int64
	Over time.Duration
	// Hold is how long ftp waits before it opens a data connection that was agreed on: 300 ms.
	Hold time.Duration
}

func (c Config) withDefaults() (Config, error) {
	k, ok := kinds[c.Kind]
	if !ok {
		return c, fmt.Errorf("conversation: kind %q: one of %v", c.Kind, Kinds())
	}
	c.Family = cmp.Or(c.Family, 4)
	c.Port = cmp.Or(c.Port, k.port)
	c.Every = cmp.Or(c.Every, k.every)
	c.Size = cmp.Or(c.Size, k.size)
	c.Over = cmp.Or(c.Over, k.over)
	c.Hold = cmp.Or(c.Hold, k.hold)
	switch {
	case c.Client == nil || c.Server == nil || len(c.Client.Ports) == 0 || len(c.Server.Ports) == 0:
		return c, fmt.Errorf("conversation %s: a client and a server, each with a port, are needed", c.Kind)
	case c.Family != 4 && c.Family != 6:
		return c, fmt.Errorf("conversation %s: family %d: 4 or 6", c.Kind, c.Family)
	case c.Every < 0 || c.Size < 0 || c.Over < 0 || c.Hold < 0:
		return c, fmt.Errorf("conversation %s: a time or a size below 0", c.Kind)
	}
	if c.Name == "" {
		c.Name = fmt.Sprintf("%s v%d %s>%s", c.Kind, c.Family, c.Client.Name, c.Server.Name)
	}
	to := c.To.Addr()
	if !to.IsValid() {
		to = address(c.Server, c.Family)
	}
	if to.Is4() != (c.Family == 4) {
		return c, fmt.Errorf("conversation %s: to %s over IPv%d", c.Name, to, c.Family)
	}
	c.To = netip.AddrPortFrom(to, cmp.Or(c.To.Port(), c.Port))
	return c, nil
}

// from is the client's own address, at reads the server's.
func (c Config) from() netip.Addr   { return address(c.Client, c.Family) }
func (c Config) at() netip.AddrPort { return netip.AddrPortFrom(address(c.Server, c.Family), c.Port) }

func address(n *topology.Node, family int) netip.Addr {
	if family == 6 {
		return n.Ports[0].V6.Addr()
	}
	return n.Ports[0].V4.Addr()
}
