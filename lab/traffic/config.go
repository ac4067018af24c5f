// SPDX-License-Identifier: Apache-2.0

package traffic

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/holdfast-project/holdfast/lab/tap"
)

// DefaultPort is the UDP port that both ends use when Config.Port is 0, and the TCP port of a Stream.
const DefaultPort = 9100

// Endpoint is one end of the traffic: a host in a namespace of its own. An address that is not valid switches that family off.
type Endpoint struct {
	// Name is the host's name in reports ("client").
	Name string
	// In is the host's namespace; nil is the caller's.
	In tap.Namespace
	// Addr4 and Addr6 are the host's own addresses, used as source here and as destination by the other end.
	Addr4, Addr6 netip.Addr
}

// Config says what to send. Zero fields take the defaults named at each.
type Config struct {
	// A and B are the two ends; packets run both ways at once.
	A, B Endpoint
	// Rate is packets per second and flow; 0 means 1000.
	Rate int
	// Payload is the length of the UDP payload in bytes, at least HeaderLen; 0 means HeaderLen.
	Payload int
	// Port is the UDP port of both ends; 0 means DefaultPort.
	Port uint16
	// OneWay sends from A to B only.
	OneWay bool
	// Priority is the SCHED_FIFO priority of the two sending threads; 0 is an ordinary thread. Under a CPU stress an ordinary
	// sender is late by many milliseconds, which hides short gaps; keep it below the priorities of what is measured.
	Priority int
}

func (c Config) withDefaults() (Config, error) {
	if c.Rate == 0 {
		c.Rate = 1000
	}
	if c.Payload == 0 {
		c.Payload = HeaderLen
	}
	if c.Port == 0 {
		c.Port = DefaultPort
	}
	switch {
	case c.Rate < 1 || c.Rate > 100000:
		return c, fmt.Errorf("traffic: rate %d: must be 1 to 100000 packets a second", c.Rate)
	case c.Payload < HeaderLen || c.Payload > 1400:
		return c, fmt.Errorf("traffic: payload %d: must be %d to 1400 bytes", c.Payload, HeaderLen)
	case c.A.Addr4.IsValid() != c.B.Addr4.IsValid() || c.A.Addr6.IsValid() != c.B.Addr6.IsValid():
		return c, fmt.Errorf("traffic: %s and %s: both need an address of the same family", c.A.Name, c.B.Name)
	case !c.A.Addr4.IsValid() && !c.A.Addr6.IsValid():
		return c, errors.New("traffic: no address at either end: set Addr4 or Addr6")
	}
	return c, nil
}

func (c Config) interval() time.Duration { return time.Second / time.Duration(c.Rate) }
